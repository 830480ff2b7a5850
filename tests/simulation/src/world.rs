//! The world that a seed plays in: one clock, one cloud, the tables, and what is known of it all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use pulumi_sim::{Answer, Call, Cloud};
use signoff_core::chain::Step as Sealing;
use signoff_core::names::{RequestId, StackName};
use signoff_core::request::{Request, Worker};

use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::github::Hub;
use crate::judge::{Asking, Judge, Look};
use crate::plan::Plan;
use crate::step::Point;
use crate::table::Table;

/// When every world begins, in milliseconds.
pub const BEGINNING: i64 = 1_795_428_000_000;

/// A task that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Current {
    /// Its number.
    pub task: u64,
    /// The worker that it is part of, if it is one's.
    pub worker: Option<Worker>,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The true time.
    pub now: Timestamp,
    /// Where chance comes from.
    pub chance: Chance,
    /// What is in store.
    pub plan: Plan,
    /// Pulumi Cloud.
    pub cloud: Cloud,
    /// GitHub.
    pub github: Hub,
    /// The table of each installation.
    pub tables: Vec<Table>,
    /// The secret store: each principal's token as the workers would read it.
    pub tokens: BTreeMap<String, String>,
    /// What was tried.
    pub coverage: Coverage,
    /// The judge.
    pub judge: Judge,
    /// Nothing goes wrong any more, and nobody does anything.
    pub calm: bool,
    /// Who runs.
    pub current: Current,
    /// Where the task that was polled last stands.
    pub reached: Option<Point>,
    /// Whether each step is told.
    pub telling: bool,
    /// By how many milliseconds the effect of the call that is being made comes later.
    pub late_by: Option<i64>,
    /// How many steps there were.
    pub steps: u64,
}

/// The world, shared by what runs in it. One thread, so nobody ever waits for it.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Shares a world.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world. Not to be held while something is awaited.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Whether something of the probability that the plan gives happens now; in a calm it never does.
    pub fn chance_of(&mut self, rate: impl Fn(&Plan) -> f64) -> bool {
        let rate = if self.calm { 0.0 } else { rate(&self.plan) };
        self.chance.happens(rate)
    }

    /// A webhook of Pulumi Cloud comes out: how late, how often, and after which others?
    pub fn delivered(&mut self, id: &str) {
        let Some(sent) = self.judge.sent.get_mut(id) else { return };
        sent.times += 1;
        let (number, late) = (sent.number, self.now.duration_since(sent.at) > SignedDuration::from_secs(1));
        let is_overtaken = number < self.judge.latest_sent;
        if sent.times > 1 {
            self.coverage.add("webhook fault", "twice");
        } else {
            if late {
                self.coverage.add("webhook fault", "late");
            }
            if is_overtaken {
                self.coverage.add("webhook fault", "after one that was sent later");
            }
        }
        self.judge.latest_sent = self.judge.latest_sent.max(number);
    }

    /// When an index shows what is written now.
    pub fn index_shows_at(&mut self) -> Timestamp {
        let lag = if self.plan.index_lag > 0 && self.chance.happens(0.5) {
            self.coverage.add("index fault", "a write shows late");
            self.chance.within(0, self.plan.index_lag)
        } else {
            0
        };
        later(self.now, lag)
    }

    /// Tells a step, if somebody listens.
    #[expect(clippy::print_stdout, reason = "whoever replays a seed reads it")]
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.telling {
            let since = self.now.as_millisecond() - BEGINNING;
            println!("{:>12.3}s #{:<4} {}", since as f64 / 1000.0, self.current.task, what());
        }
    }

    /// Something that has to hold.
    pub fn check(&mut self, rule: &'static str, holds: bool, otherwise: impl FnOnce() -> String) {
        self.judge.checks(rule);
        if !holds {
            let what = otherwise();
            self.say(|| format!("VIOLATED {rule}: {what}"));
            self.judge.violated(self.now, rule, what);
        }
    }

    /// Who writes.
    pub fn writer(&self) -> Current {
        self.current
    }

    /// Lets the judge note something about the look that runs.
    pub fn judge_look(&mut self, note: impl FnOnce(&mut Look)) {
        if let Some(look) = self.judge.looks.get_mut(&self.current.task) {
            note(look);
        }
    }

    /// Lets the judge note something about a task that may ask by itself, where any does.
    pub fn judge_asking(&mut self, note: impl FnOnce(&mut Asking)) {
        if self.plan.pushes.polled() {
            note(self.judge.asking.entry(self.current.task).or_default());
        }
    }

    /// The look that runs has the lease of a request until a time on its own clock.
    pub fn began(&mut self, place: usize, id: RequestId, until: Timestamp) {
        let (task, worker, now) = (self.current.task, self.current.worker, self.now);
        self.say(|| format!("takes the lease of {id}"));
        self.judge.begins(task, worker, place, id, now, until);
    }

    /// Somebody rang for a worker.
    pub fn rung(&mut self, id: RequestId, worker: Worker) {
        let look = self.judge.looks.get(&self.current.task);
        let own = look.is_some_and(|look| look.request == id && look.worker == Some(worker));
        self.check("no role wakes itself", !own, || format!("{worker:?} rings itself for {id}"));
    }

    /// A step was recorded.
    pub fn recorded(&mut self, place: usize, before: Option<&Request>, step: &Sealing, writer: Current) {
        let (id, word) = (step.request.ask.id, step.sealed.kind.clone());
        self.say(|| {
            let why = step.request.status.outcome.as_ref().map(|outcome| format!(" ({})", outcome.message));
            format!("records {word} of {id}: {}{}", step.request.status.state, why.unwrap_or_default())
        });
        crate::judge::recorded(self, place, before, step, writer);
    }

    /// A request took its stack's turn.
    pub fn turn_taken(&mut self, place: usize, stack: &StackName, id: RequestId) {
        crate::judge::turn_taken(self, place, stack, id);
    }

    /// Lets the cloud go on by itself until now.
    pub fn tick(&mut self) {
        self.cloud.tick(self.now);
        crate::judge::observe(self, None);
    }

    /// A call reaches the cloud.
    pub fn exchange(&mut self, call: &Call, operation: &'static str) -> Answer {
        self.tick();
        crate::judge::sending(self, call, operation);
        let now = self.now;
        let answer = self.cloud.exchange(now, call);
        crate::judge::observe(self, Some((call, operation)));
        crate::judge::answered(self, call, operation, &answer);
        self.say(|| match &answer {
            Answer::Reply(reply, _) => format!("{} {} -> {}", call.method, call.path, reply.status),
            other => format!("{} {} -> {other:?}", call.method, call.path),
        });
        answer
    }

    /// Somebody does something in the console.
    pub fn click<T>(&mut self, click: impl FnOnce(&mut Cloud, Timestamp) -> T) -> T {
        self.tick();
        let now = self.now;
        let done = click(&mut self.cloud, now);
        crate::judge::observe(self, None);
        done
    }
}

/// So many milliseconds after a moment.
pub fn later(from: Timestamp, millis: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(from)
}
