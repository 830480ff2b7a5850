//! A gatekeeper with a ledger, a Pulumi Cloud and a clock in memory, and the stream and the sweep that keep it going.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::book::{Book, Row};
use super::clock::Clock;
use super::life::Life;
use super::pulumi::Pulumi;
use super::{INSTALLATION, ask};
use crate::chain;
use crate::event::{Actor, Entry, Event, RestsOn};
use crate::gate::Gates;
use crate::host::Host;
use crate::ledger::{Cause, Ledger, LedgerError, Line, Work};
use crate::look::{Gatekeeper, Timing};
use crate::names::RequestId;
use crate::request::{Ask, ChangeRequestStatus, Outcome, Request, State, Worker};
use crate::sweep::sweep;

/// The time between two sweeps.
pub(crate) const SWEEP: SignedDuration = SignedDuration::from_secs(60);

/// A gate for the example's stack.
pub(crate) fn gates() -> Gates {
    Gates::from_toml(GATES).unwrap()
}

/// They, as they are written.
pub(crate) const GATES: &str = "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";

/// Everything in memory.
pub(crate) struct World {
    pub(crate) keeper: Gatekeeper<Book, Pulumi, Clock>,
    pub(crate) book: Book,
    pub(crate) cloud: Pulumi,
    pub(crate) clock: Clock,
    pub(crate) id: RequestId,
}

impl World {
    /// One in which the example was just asked; nobody looked yet.
    pub(crate) fn new() -> Self {
        let ask = ask();
        let clock = Clock::at(ask.created_at);
        let (book, cloud) = (Book::default(), Pulumi::new(&clock));
        book.inside().gates = gates();
        let timing = Timing {
            sweep: SWEEP,
            settle: SignedDuration::from_secs(90),
            budget: Duration::from_secs(30),
            call: Duration::from_secs(10),
        };
        let keeper = Gatekeeper {
            ledger: book.clone(),
            cloud: cloud.clone(),
            host: clock.clone(),
            installation: INSTALLATION.to_owned(),
            link: None,
            timing,
        };
        let world = Self { keeper, book, cloud, clock, id: ask.id };
        world.ask(ask);
        world
    }

    /// Somebody asks.
    pub(crate) fn ask(&self, ask: Ask) {
        let life = Life::of(ask);
        let due = self.clock.now() + SWEEP;
        self.book.inside().bells.push_back((life.request.ask.id, Worker::Apply, Cause::Due));
        self.book.put(life.request, life.events, due);
    }

    /// What the ledger holds of the example now, to restore it from later.
    pub(crate) fn backup(&self) -> (Row, Line) {
        let inside = self.book.inside();
        (inside.rows[&self.id].clone(), inside.line.clone())
    }

    /// The ledger is as it was at the backup.
    pub(crate) fn restore(&self, (row, line): (Row, Line)) {
        let mut inside = self.book.inside();
        inside.rows.insert(self.id, row);
        inside.line = line;
        inside.bells.clear();
    }

    /// A second request of the same stack, asked by carol right after.
    pub(crate) fn ask_again(&self, position: u64) -> RequestId {
        let mut second = ask();
        second.id = RequestId::new(ulid::Ulid::from_parts(1_795_000_000_001, position.into()));
        second.requester.login = "carol".parse().unwrap();
        second.position = position;
        self.ask(second.clone());
        second.id
    }

    /// One look.
    pub(crate) fn look(&self, worker: Worker) -> Result<(), LedgerError> {
        block_on(self.keeper.look(worker, self.id, Cause::Due))
    }

    /// The workers answer what is in the stream; one that fails comes again with the sweep.
    pub(crate) fn work(&self) {
        loop {
            let Some((id, worker, cause)) = self.book.inside().bells.pop_front() else { break };
            let _ = block_on(self.keeper.look(worker, id, cause));
        }
    }

    /// Time passes, with a sweep every minute; then what always holds is checked.
    pub(crate) fn pass(&self, minutes: i64) {
        for _ in 0..minutes {
            self.clock.pass(SWEEP);
            let _ = block_on(sweep(&self.book, &self.clock, SWEEP));
            self.work();
        }
        self.check();
    }

    /// Takes the request to a state in the usual way.
    pub(crate) fn to(state: State) -> Self {
        let world = Self::new();
        world.work();
        if state == State::PendingApproval {
            return world;
        }
        if state == State::Granted {
            world.cloud.approve("bob");
            world.look(Worker::Apply).unwrap();
            assert_eq!(world.state(), State::Granted);
            return world;
        }
        world.cloud.inside().paused = state == State::Approved;
        world.book.inside().gates.hold = state == State::Approved;
        world.cloud.approve("bob");
        world.pass(1);
        world.cloud.inside().paused = false;
        world.book.inside().gates.hold = false;
        world
    }

    /// The requester takes it back.
    pub(crate) fn cancel(&self) -> Result<(), LedgerError> {
        let outcome = Outcome::new("cancelled", "Cancelled by alice.");
        let event = Event::EndDecided { to: State::Cancelled, outcome, rests_on: RestsOn::default() };
        let (request, worker) = (self.request(), self.request().status.state.worker().unwrap());
        let entry = Entry { id: self.clock.ulid(), at: self.clock.now(), actor: Actor::SIGNOFF, event };
        let step = chain::seal(Some(&request), &entry).unwrap();
        block_on(self.book.record_cancel(&step, worker))
    }

    /// The request as it is recorded.
    pub(crate) fn request(&self) -> Request {
        self.book.inside().rows[&self.id].request.clone()
    }

    /// Its state.
    pub(crate) fn state(&self) -> State {
        self.request().status.state
    }

    /// The bookkeeping.
    pub(crate) fn wrk(&self) -> Work {
        self.book.inside().rows[&self.id].work.clone()
    }

    /// What it waits for, each as `kind detail`.
    pub(crate) fn waits(&self) -> Vec<String> {
        self.wrk().note.waiting.iter().map(|one| format!("{}: {}", one.kind.as_str(), one.detail)).collect()
    }

    /// The outcome as `code: message`.
    pub(crate) fn outcome(&self) -> String {
        let outcome = self.request().status.outcome.unwrap();
        format!("{}: {}", outcome.code, outcome.message)
    }

    /// The words of its events.
    pub(crate) fn trail(&self) -> Vec<String> {
        let inside = self.book.inside();
        let words = inside.rows[&self.id].events.iter().map(|event| event.kind.rsplit('.').next().unwrap().to_owned());
        words.collect()
    }

    /// When it is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.wrk().due
    }

    /// What always holds.
    pub(crate) fn check(&self) {
        let inside = self.book.inside();
        let cloud = self.cloud.inside();
        for (id, row) in &inside.rows {
            let status = &row.request.status;
            chain::verify(&row.events, status.sequence, &row.request.head).unwrap();
            if !status.state.is_terminal() {
                assert!(row.work.due.is_some(), "{id} is open and nobody will look at it");
                assert!(inside.line.waiting.iter().any(|one| one.id == *id), "{id} is open and in no line");
            }
            let mark = Some(id.to_string());
            let made: Vec<_> = cloud.deployments.iter().filter(|(one, _)| one.mark == mark).collect();
            assert!(made.len() <= 1, "{id} led to {} deployments", made.len());
            let applied = |id: &str| {
                cloud.change_requests.iter().any(|one| one.id == id && one.status == ChangeRequestStatus::Applied)
            };
            if !made.is_empty() {
                assert!(!status.change_requests.is_empty(), "{id} deployed without a change request");
                assert!(status.change_requests.iter().all(|one| applied(&one.id)), "{id} deployed without an apply");
            }
        }
    }

    /// That nobody waits, and nobody has the turn.
    pub(crate) fn nobody_is_in_line(&self) {
        let line = self.book.inside().line.clone();
        assert!(line.waiting.is_empty() && line.turn.is_none(), "{line:?}");
    }

    /// That no change request is left open.
    pub(crate) fn nothing_is_open(&self) {
        for one in &self.cloud.inside().change_requests {
            let over = matches!(one.status, ChangeRequestStatus::Applied | ChangeRequestStatus::Closed);
            assert!(over, "{} is left {}", one.id, one.status.as_str());
        }
    }
}

/// Runs what never waits for anything.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("everything is in memory, so nothing waits"),
    }
}
