use std::sync::{Arc, Mutex};

use super::*;
use crate::chain::{self, Sealed};
use crate::event::{Actor, Entry, Event, RestsOn};
use crate::host::Host as _;
use crate::ledger::LedgerError;
use crate::request::{Ask, Outcome, Request};
use crate::testing::clock::Clock;
use crate::testing::world::block_on;

const KEY: &str = "k1";

/// A key for tests: who knows the word can sign.
fn signature(message: &[u8]) -> String {
    hex::encode(Sha256::digest([b"word", message].concat()))
}

fn check(text: &str) -> Inspection {
    inspect(text, KEY, |message, signed| signed == signature(message))
}

/// A file of checkpoints in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(Vec<Checkpoint>, Option<bool>)>>);

impl Shelf {
    /// The next call fails, with or without its effect.
    fn fail(&self, has_effect: bool) {
        self.0.lock().unwrap().1 = Some(has_effect);
    }

    fn all(&self) -> Vec<Checkpoint> {
        self.0.lock().unwrap().0.clone()
    }

    fn heads(&self) -> Vec<String> {
        self.all().into_iter().flat_map(|one| one.heads).map(|head| head.hash).collect()
    }

    fn text(&self) -> String {
        lines(&self.all())
    }
}

fn lines(checkpoints: &[Checkpoint]) -> String {
    checkpoints.iter().map(|one| serde_json::to_string(one).unwrap() + "\n").collect()
}

impl Notary for Shelf {
    fn key(&self) -> &str {
        KEY
    }

    async fn sign(&self, message: &[u8]) -> Result<String, Unkept> {
        Ok(signature(message))
    }

    async fn keep(&self, checkpoint: &Checkpoint) -> Result<(), Unkept> {
        let (kept, fault) = &mut *self.0.lock().unwrap();
        let fault = fault.take();
        if fault != Some(false) && kept.last() != Some(checkpoint) {
            kept.push(checkpoint.clone());
        }
        fault.map_or(Ok(()), |_| Err(Unkept::Notary("the disk is full".to_owned())))
    }
}

/// The index of days, in which events show up when a test says so, and how often it was read.
#[derive(Clone, Default)]
struct Index(Arc<Mutex<(Vec<Sealed>, usize)>>);

impl Index {
    fn show(&self, events: &[Sealed]) {
        let mut inside = self.0.lock().unwrap();
        inside.0.extend_from_slice(events);
        inside.0.sort_by_key(|event| (event.time, event.id));
    }

    fn reads(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

impl Days for Index {
    async fn organizations(&self) -> Result<Vec<Organization>, LedgerError> {
        Ok(vec!["acme".to_owned().try_into().unwrap()])
    }

    async fn after(
        &self,
        organization: &Organization,
        day: &str,
        place: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Sealed>, LedgerError> {
        let mut inside = self.0.lock().unwrap();
        inside.1 += 1;
        let is_wanted = |event: &&Sealed| {
            event.source == format!("signoff/{organization}")
                && event.time.to_string().starts_with(day)
                && place.is_none_or(|place| (place.at, place.event) < (event.time, event.id))
        };
        Ok(inside.0.iter().filter(is_wanted).take(limit).cloned().collect())
    }
}

/// A request that was asked at this time and cancelled `events - 2` minutes after; a request of its own for each number.
fn trail(number: u128, at: Timestamp, events: usize) -> Vec<Sealed> {
    let mut ask: Ask = crate::testing::ask();
    (ask.id, ask.created_at) = (RequestId::new(Ulid::from_parts(7, number)), at);
    let seen = |status: &str| crate::testing::life::seen("cr-1", status, &[]);
    let mut all = vec![Event::Requested(Box::new(ask))];
    all.push(
        serde_json::from_value(
            serde_json::json!({"type": "opened", "evidence": {"principal": "deployer", "settings": "x",
            "changeRequests": [{"id": "cr-1", "environment": "acme/credentials/prod", "revision": 1}]}}),
        )
        .unwrap(),
    );
    all.push(Event::Submitted { change_requests: vec![seen("pending")] });
    let outcome = Outcome::new("cancelled", "Taken back.");
    all.push(Event::Cancelled { outcome, rests_on: RestsOn::default() });
    all.truncate(events);
    seal_all(number, at, all)
}

fn seal_all(number: u128, at: Timestamp, events: Vec<Event>) -> Vec<Sealed> {
    let mut request: Option<Request> = None;
    let mut sealed = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let at = at + SignedDuration::from_secs(i64::try_from(index).unwrap());
        let id = Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap(), number * 100 + index as u128);
        let step = chain::seal(request.as_ref(), &Entry { id, at, actor: Actor::SIGNOFF, event }).unwrap();
        sealed.push(step.sealed);
        request = Some(step.request);
    }
    sealed
}

/// The same trail with another sentence at its end, sealed anew from there on.
fn forged(number: u128, at: Timestamp) -> Vec<Sealed> {
    let mut events: Vec<Event> = Vec::new();
    for event in trail(number, at, 4) {
        events.push(Event::parse(&event.kind, event.data.evidence.clone()).unwrap());
    }
    events[3] =
        Event::Cancelled { outcome: Outcome::new("cancelled", "Nothing to see."), rests_on: RestsOn::default() };
    seal_all(number, at, events)
}

fn begin() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

struct Rig {
    clock: Clock,
    index: Index,
    shelf: Shelf,
    checkpointer: Checkpointer<Shelf>,
}

impl Rig {
    fn new() -> Self {
        Self::at(begin(), begin())
    }

    fn at(now: Timestamp, since: Timestamp) -> Self {
        let (clock, shelf) = (Clock::at(now), Shelf::default());
        let checkpointer = Checkpointer::new(shelf.clone(), Resume::New { chain: clock.ulid(), since }).unwrap();
        Self { clock, index: Index::default(), shelf, checkpointer }
    }

    fn sweep(&mut self) -> Result<usize, Unkept> {
        block_on(self.checkpointer.sweep(&self.index, &self.clock))
    }

    fn pass(&self, seconds: i64) {
        self.clock.pass(SignedDuration::from_secs(seconds));
    }

    /// The process is started anew, on what was kept.
    fn restart(&mut self) {
        let all = self.shelf.all();
        let last = all.last().unwrap().clone();
        let recent = last.heads.clone();
        let resume = Resume::After { last: Box::new(last), recent, since: begin() };
        self.checkpointer = Checkpointer::new(self.shelf.clone(), resume).unwrap();
    }

    /// A file of a few checkpoints over three requests, and the trail that it saw.
    fn with_history() -> (Self, Vec<Sealed>) {
        let mut rig = Self::new();
        let mut all = Vec::new();
        for number in 1..=3 {
            let events = trail(number, rig.clock.now(), 4);
            for event in &events {
                rig.index.show(std::slice::from_ref(event));
                rig.pass(1);
                rig.sweep().unwrap();
            }
            all.extend(events);
            rig.pass(1_200);
            rig.sweep().unwrap();
        }
        rig.pass(3_600);
        rig.sweep().unwrap();
        (rig, all)
    }

    fn compare(&self, events: &[Sealed], span: Span) -> Vec<String> {
        let inspection = check(&self.shelf.text());
        assert_eq!((inspection.faults, inspection.torn), (vec![], vec![]));
        let comparison = Witness::new(&inspection.checkpoints).compare(events.iter(), span);
        let said = |(request, what): (&RequestId, &Disagreement)| format!("{}: {what}", request.ulid().random());
        comparison.disagreements.iter().map(said).collect()
    }
}

fn hashes(events: &[Sealed]) -> Vec<String> {
    events.iter().map(|event| event.hash.clone()).collect()
}

#[test]
fn every_event_is_in_one_checkpoint_and_each_continues_the_one_before() {
    let (rig, all) = Rig::with_history();
    assert_eq!(rig.shelf.heads(), hashes(&all));
    let inspection = check(&rig.shelf.text());
    assert_eq!((inspection.faults.len(), inspection.torn.len()), (0, 0));
    assert_eq!(inspection.checkpoints, rig.shelf.all());
    assert_eq!(inspection.checkpoints[0].previous, GENESIS);
}

#[test]
fn an_idle_gate_writes_one_an_hour_and_reads_little() {
    let mut rig = Rig::new();
    rig.sweep().unwrap();
    assert_eq!(rig.shelf.all().len(), 1, "the first says since when there are checkpoints");
    rig.index.show(&trail(1, begin(), 4));
    rig.pass(10);
    assert_eq!(rig.sweep(), Ok(4));
    rig.index.reads();
    for _ in 0..100 {
        assert_eq!(rig.sweep(), Ok(0));
    }
    assert_eq!((rig.shelf.all().len(), rig.index.reads()), (2, 100), "one read a sweep");
    for _ in 0..180 {
        rig.pass(60);
        rig.sweep().unwrap();
    }
    assert_eq!(rig.shelf.all().len(), 5, "three hours have passed");
    assert!(rig.shelf.all()[2..].iter().all(|one| one.heads.is_empty()));
}

#[test]
fn what_comes_late_is_found_and_nothing_is_written_twice() {
    let mut rig = Rig::new();
    let (early, late) = (trail(1, begin(), 4), trail(2, begin(), 3));
    rig.pass(10);
    rig.index.show(&early);
    assert_eq!(rig.sweep(), Ok(4));
    rig.index.show(&late);
    rig.pass(1);
    assert_eq!(rig.sweep(), Ok(0), "it lies before what was seen");
    rig.pass(60);
    assert_eq!(rig.sweep(), Ok(3));
    let mut wanted = hashes(&early);
    wanted.extend(hashes(&late));
    assert_eq!(rig.shelf.heads(), wanted);
}

#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    let mut rig = Rig::new();
    rig.index.show(&trail(1, begin(), 4));
    rig.pass(5);
    assert_eq!(rig.sweep(), Ok(4));
    rig.clock.pass(SignedDuration::from_secs(0));
    let back = begin() - SignedDuration::from_hours(1);
    let (clock, index) = (Clock::at(back), rig.index.clone());
    rig.index.show(&trail(2, back, 1));
    assert_eq!(block_on(rig.checkpointer.sweep(&index, &clock)), Ok(1));
    assert_eq!(check(&rig.shelf.text()).faults, []);
}

#[test]
fn a_day_follows_a_day() {
    let evening: Timestamp = "2026-11-23T23:59:58Z".parse().unwrap();
    let mut rig = Rig::at(evening, evening);
    let events = trail(1, evening, 4);
    for (event, second) in events.iter().zip(1..) {
        rig.index.show(std::slice::from_ref(event));
        rig.pass(1);
        assert_eq!(rig.sweep(), Ok(1), "second {second}");
    }
    rig.pass(3_600);
    rig.sweep().unwrap();
    rig.index.reads();
    rig.pass(1);
    rig.sweep().unwrap();
    assert_eq!(rig.index.reads(), 1, "yesterday is over");
}

#[test]
fn what_was_there_before_the_first_checkpoint_is_taken_up_over_several_sweeps() {
    let now = begin();
    let mut rig = Rig::at(now, now - SignedDuration::from_hours(24 * 200));
    let mut all = Vec::new();
    for number in 0..40_u32 {
        let at = now - SignedDuration::from_hours(24 * 199 - 100 * i64::from(number));
        all.extend(trail(u128::from(number) + 1, at, 4));
    }
    rig.index.show(&all);
    let mut sweeps = 0;
    while rig.shelf.heads().len() < all.len() {
        rig.pass(1);
        rig.sweep().unwrap();
        sweeps += 1;
        assert!(rig.index.reads() <= 60 && sweeps < 10);
    }
    assert!(sweeps > 1);
    rig.pass(1);
    rig.sweep().unwrap();
    assert_eq!(rig.shelf.heads(), hashes(&all));
    let covered: Vec<bool> = rig.shelf.all().iter().map(|one| !one.organizations.is_empty()).collect();
    assert!(!covered[0], "nothing is said to be covered until all of it was read");
}

#[test]
fn many_events_at_once_make_several_checkpoints() {
    let mut rig = Rig::new();
    let all: Vec<Sealed> = (1..=300).flat_map(|number| trail(number, begin(), 4)).collect();
    rig.index.show(&all);
    rig.pass(10);
    assert_eq!(rig.sweep(), Ok(1_200));
    let counts: Vec<usize> = rig.shelf.all().iter().map(|one| one.heads.len()).collect();
    assert_eq!(counts, [1_000, 200]);
    let through: Vec<Timestamp> = rig.shelf.all().iter().map(|one| one.through).collect();
    assert!(through[0] < through[1], "only the last one says how far it has come");
}

#[test]
fn what_could_not_be_kept_is_made_up_for() {
    for has_effect in [false, true] {
        let mut rig = Rig::new();
        rig.sweep().unwrap();
        let events = trail(1, begin(), 4);
        rig.index.show(&events[..2]);
        rig.shelf.fail(has_effect);
        rig.pass(5);
        assert!(rig.sweep().is_err());
        rig.index.show(&events[2..]);
        rig.pass(1);
        assert_eq!(rig.sweep(), Ok(4));
        assert_eq!(rig.shelf.heads(), hashes(&events));
        assert_eq!(check(&rig.shelf.text()).faults, []);
    }
}

#[test]
fn after_a_restart_the_chain_goes_on_with_what_was_missed() {
    let mut rig = Rig::new();
    let events = trail(1, begin(), 4);
    rig.index.show(&events[..2]);
    rig.pass(5);
    rig.sweep().unwrap();
    rig.index.show(&events[2..]);
    rig.pass(86_400);
    rig.restart();
    assert_eq!(rig.sweep(), Ok(2));
    assert_eq!(rig.shelf.heads(), hashes(&events));
    assert_eq!(check(&rig.shelf.text()).faults, []);
}

#[test]
fn a_trail_that_is_as_it_was_seen_is_well_whole_or_in_parts() {
    let (rig, all) = Rig::with_history();
    let none: Vec<String> = Vec::new();
    assert_eq!(rig.compare(&all, Span::default()), none);
    let (since, until) = (all[5].time, all[9].time);
    let span = Span { since: Some(since), until: Some(until) };
    assert_eq!(rig.compare(&all[5..9], span), none);
    assert_eq!(rig.compare(&all[5..], Span { since: Some(since), until: None }), none);
    assert!(!rig.compare(&all[5..], Span::default()).is_empty());
}

#[test]
fn whatever_was_done_to_a_trail_is_named() {
    let (rig, all) = Rig::with_history();
    let changed = |change: &dyn Fn(&mut Vec<Sealed>)| {
        let mut events = all.clone();
        change(&mut events);
        let said = rig.compare(&events, Span::default());
        assert_eq!(said.len(), 1, "{said:?}");
        said.into_iter().next().unwrap()
    };
    let rewritten = changed(&|events| {
        let at = events[4].time;
        events.splice(4..8, forged(2, at));
    });
    assert!(rewritten.starts_with("2: event 4 is not the one that checkpoint"), "{rewritten}");
    let gone = changed(&|events| drop(events.drain(..4)));
    assert!(gone.starts_with("1: the whole request is missing: checkpoint 1 saw its event 1"), "{gone}");
    let cut = changed(&|events| events.truncate(11));
    assert!(cut.starts_with("3: event 4 of ") && cut.contains("is missing"), "{cut}");
    let dropped = changed(&|events| drop(events.remove(5)));
    assert!(dropped.starts_with("2: event 2 of "), "{dropped}");
    let inserted = changed(&|events| events.extend(trail(9, begin() + SignedDuration::from_mins(3), 4)));
    assert!(
        inserted.starts_with("9: event 1 says that it is of 2026-11-23T10:03:00Z, but no checkpoint saw it"),
        "{inserted}"
    );
}

#[test]
fn what_is_newer_than_the_last_checkpoint_is_counted_and_not_judged() {
    let (rig, mut all) = Rig::with_history();
    let count = all.len();
    all.extend(trail(4, rig.clock.now(), 4));
    let inspection = check(&rig.shelf.text());
    let comparison = Witness::new(&inspection.checkpoints).compare(all.iter(), Span::default());
    assert!(comparison.disagreements.is_empty());
    assert_eq!((comparison.vouched, comparison.newer), (count, 4));
}

#[test]
fn an_event_that_changed_in_the_ledger_is_seen_by_two_checkpoints() {
    let mut rig = Rig::new();
    rig.index.show(&trail(1, begin(), 4));
    rig.pass(10);
    rig.sweep().unwrap();
    rig.index.0.lock().unwrap().0 = forged(1, begin());
    rig.pass(60);
    assert_eq!(rig.sweep(), Ok(1));
    let said = rig.compare(&forged(1, begin()), Span::default());
    assert_eq!(said, ["1: event 4 was rewritten in the ledger between checkpoint 1 and checkpoint 2"]);
}

#[test]
fn whatever_was_done_to_the_checkpoints_is_named() {
    let (rig, _) = Rig::with_history();
    let flaws = |change: &dyn Fn(&mut Vec<Checkpoint>)| {
        let mut all = rig.shelf.all();
        change(&mut all);
        let flaws: Vec<Flaw> = check(&lines(&all)).faults.into_iter().map(|fault| fault.flaw).collect();
        flaws
    };
    assert_eq!(flaws(&|_| {}), []);
    assert_eq!(flaws(&|all| all[2].heads[0].hash = "0".repeat(64)), [Flaw::Forged { number: 3 }]);
    assert_eq!(flaws(&|all| all[2].time += SignedDuration::from_secs(1)), [Flaw::Forged { number: 3 }]);
    assert_eq!(flaws(&|all| all[2].signature.clear()), [Flaw::Forged { number: 3 }]);
    assert_eq!(flaws(&|all| drop(all.remove(2))), [Flaw::Order { expected: 3, found: 4 }]);
    assert_eq!(flaws(&|all| drop(all.remove(0))), [Flaw::Order { expected: 1, found: 2 }]);
    assert_eq!(
        flaws(&|all| all.swap(2, 3)),
        [
            Flaw::Order { expected: 3, found: 4 },
            Flaw::Order { expected: 5, found: 3 },
            Flaw::Order { expected: 4, found: 5 }
        ]
    );
    assert_eq!(
        flaws(&|all| all.insert(4, all[2].clone())),
        [Flaw::Order { expected: 5, found: 3 }, Flaw::Order { expected: 4, found: 5 }]
    );
    assert_eq!(flaws(&|all| all.insert(3, all[2].clone())), [], "kept twice, as after an error");
    assert_eq!(flaws(&|all| all[2].key = "k2".to_owned()), [Flaw::ForeignKey { number: 3, key: "k2".to_owned() }]);
    // Signed by the right key, but of another past.
    let other = |all: &mut Vec<Checkpoint>| {
        all[2].previous = "1".repeat(64);
        all[2].signature = signature(&all[2].message().unwrap());
    };
    assert_eq!(flaws(&other), [Flaw::Unlinked { number: 3 }, Flaw::Unlinked { number: 4 }]);
}

#[test]
fn a_write_that_was_cut_short_is_no_fault() {
    let (rig, _) = Rig::with_history();
    let text = rig.shelf.text();
    let first = text.lines().next().unwrap();
    let torn = text.replacen(first, &format!("{}\n{first}", &first[..50]), 1);
    let inspection = check(&torn);
    assert_eq!((inspection.faults, inspection.torn), (vec![], vec![1]));
    assert_eq!(check(&text[..text.len() - 9]).torn, [text.lines().count()]);
}
