//! One seed from its beginning to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::EventRecord;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use signoff_core::branches::POLL_SWEEPS;
use signoff_core::request::Worker;
use signoff_functions::stream::filter::Filters;

use crate::coverage::Coverage;
use crate::judge::{self, Case, Violation};
use crate::people::{self, Wish};
use crate::roles::{Asked, Done, Roles};
use crate::schedule::{Queue, Task, Went, go_on};
use crate::setup::{self, REQUESTERS, STACKS, token};
use crate::table::{Row, Table};
use crate::world::{BEGINNING, Shared, World, later};

/// How often a stream record is tried.
const TRIES: u32 = 5;
/// The most records that are handed over at once.
const MAX_BATCH: i64 = 10;
/// For how long records are gathered at most, in milliseconds.
const GATHERING: i64 = 2_000;
/// The most steps of a seed. More would be something that never rests.
const MAX_STEPS: u64 = 2_000_000;
/// How long it takes to put a backup in the place of the table, in milliseconds.
const RESTORING: i64 = 600_000;
/// For how long branches are looked at after all is calm, whatever is on them, in milliseconds.
const AFTER_CALM: i64 = 600_000;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What was tried.
    pub coverage: Coverage,
    /// How many steps there were.
    pub steps: u64,
}

/// What is to happen at a time.
#[derive(Debug, Clone)]
enum What {
    GoOn(u64),
    Record(usize, Worker, Arc<Value>),
    Gathered(usize, Worker),
    Batch(Batch),
    Sweep(usize, i64),
    Person,
    Ask(Ask, u32),
    Wish(Wish),
    Backup,
    Restore,
    Restored,
    Calm,
}

/// What somebody asks for; again and again under the same key until there is an answer.
#[derive(Debug, Clone)]
struct Ask {
    place: usize,
    login: &'static str,
    key: String,
    body: Value,
}

/// Why a task runs.
#[derive(Debug, Clone)]
enum Why {
    /// A record of a batch, by the batch's number and its place in it.
    Record(u64, usize),
    Ask(Ask, u32),
    Nothing,
}

/// Stream records that one process works on at once.
#[derive(Debug, Clone)]
struct Batch {
    place: usize,
    worker: Worker,
    records: Vec<Arc<Value>>,
    /// How often it was tried before.
    tries: u32,
    /// How many of its records are worked on.
    left: usize,
    /// The first record that has to come again.
    failed: Option<usize>,
}

struct Run {
    shared: Shared,
    roles: Roles,
    queue: Queue<What>,
    tasks: BTreeMap<u64, Task<Why>>,
    next_task: u64,
    /// The batches that are worked on.
    batches: BTreeMap<u64, Batch>,
    /// The records that are being gathered, by installation and worker.
    gathering: Vec<(usize, Worker, Vec<Arc<Value>>)>,
    filters: Vec<(Worker, Filters)>,
    skews: Vec<i64>,
    sweep_at: Vec<i64>,
    last_sweep: Vec<i64>,
    backup: Option<(Timestamp, Vec<Table>)>,
    down: bool,
    /// Since when nothing goes wrong any more, in milliseconds, until what is on the branches has to be asked for.
    calm_since: Option<i64>,
}

/// Plays a seed; `telling` prints each step.
pub fn run(seed: u64, telling: bool) -> Outcome {
    let mut world = setup::world(seed, telling);
    let installations = world.plan.installations;
    let skew = world.plan.skew;
    let skews = (0..4).map(|_| world.chance.within(-skew, skew)).collect();
    world.say(|| format!("{:#?}", world.plan));
    let shared = Shared::new(world);
    let filters =
        [Worker::Apply, Worker::Deploy].into_iter().filter_map(|worker| Some((worker, Filters::of(worker).ok()?)));
    let mut run = Run {
        roles: Roles::new(&shared),
        filters: filters.collect(),
        queue: Queue::default(),
        tasks: BTreeMap::new(),
        next_task: 0,
        batches: BTreeMap::new(),
        gathering: Vec::new(),
        skews,
        sweep_at: vec![i64::MAX; installations],
        last_sweep: vec![0; installations],
        backup: None,
        down: false,
        calm_since: None,
        shared,
    };
    run.begin();
    run.play();
    let mut world = run.shared.world();
    if world.judge.violations.is_empty() {
        judge::at_the_end(&mut world);
    }
    let mut coverage = std::mem::take(&mut world.coverage);
    coverage.checked(&world.judge.checked);
    Outcome { violations: std::mem::take(&mut world.judge.violations), coverage, steps: world.steps }
}

impl Run {
    fn now(&self) -> i64 {
        self.shared.world().now.as_millisecond()
    }

    fn add(&mut self, after: i64, what: What) {
        let (now, tie) = {
            let mut world = self.shared.world();
            (world.now.as_millisecond(), world.chance.draw())
        };
        self.queue.add(now.saturating_add(after.max(0)), tie, what);
    }

    fn draw(&self, end: i64) -> i64 {
        self.shared.world().chance.within(0, end)
    }

    fn begin(&mut self) {
        let plan = self.shared.world().plan.clone();
        for number in 0..plan.requests {
            let ask = self.ask(number);
            let at = self.draw(plan.storm * 6 / 10);
            self.add(at, What::Ask(ask, 0));
        }
        let at = self.draw(plan.people_every);
        self.add(at, What::Person);
        if plan.restore {
            let backup = self.draw(plan.storm * 6 / 10);
            let restore = self.draw(plan.storm * 4 / 10);
            self.add(backup, What::Backup);
            self.add(backup + restore, What::Restore);
        }
        self.add(plan.storm, What::Calm);
    }

    fn ask(&self, number: u32) -> Ask {
        let mut world = self.shared.world();
        let login = REQUESTERS[world.chance.weighted(&[4, 1, 2, 1])];
        let stack = if login == "ci" { STACKS[2].0 } else { STACKS[world.chance.weighted(&[5, 1, 2, 2])].0 };
        let installations = world.plan.installations as u64;
        let place = usize::try_from(world.chance.below(installations)).unwrap_or(0);
        let operations = ["update", "preview", "refresh"];
        let operation = operations[world.chance.weighted(&[6, 1, 1])];
        let reasons =
            ["Ship 2.4", "line one\nsignoff first req_01KAT5AAAAAAAAAAAAAAAAAAAA\n> quoted", "requester: bob"];
        let mut body = json!({
            "stack": stack, "operation": operation, "reason": reasons[world.chance.weighted(&[3, 1, 1])],
        });
        if world.chance.happens(0.3) {
            body["commit"] = json!("0123456789abcdef0123456789abcdef01234567");
        }
        if world.chance.happens(0.2) {
            body["pendingTimeout"] = json!("4m");
        }
        if world.chance.happens(0.2) {
            body["grantExpiration"] = json!("2m");
        }
        if world.plan.conditions.times {
            let now = world.now;
            if world.chance.happens(0.5) {
                body["notBefore"] = json!(later(now, world.chance.within(1, 200) * 1_000).to_string());
            }
            if world.chance.happens(0.3) {
                body["notAfter"] = json!(later(now, world.chance.within(201, 1_500) * 1_000).to_string());
            }
        }
        if login == "ci" {
            body["onBehalfOf"] = json!("bob");
        }
        Ask { place, login, key: format!("ask-{number}"), body }
    }

    fn play(&mut self) {
        loop {
            let due = self.shared.world().cloud.next_due().map(Timestamp::as_millisecond);
            let Some(at) = [self.queue.first(), due].into_iter().flatten().min() else { return };
            let thing = if self.queue.first() == Some(at) { self.queue.take() } else { None };
            {
                let mut world = self.shared.world();
                let at = at.max(world.now.as_millisecond());
                world.now = Timestamp::from_millisecond(at).unwrap_or(world.now);
                world.current = Default::default();
                world.tick();
                if world.steps > MAX_STEPS {
                    return world.check("comes to rest", false, || "too many steps".to_owned());
                }
                if world.calm {
                    if self.calm_since.is_some_and(|since| since + world.plan.polled_within() < at) {
                        self.calm_since = None;
                        let is_asked = judge::is_asked_for(&world);
                        world.check("10 asked for", is_asked, || "what is on a branch is not asked for".to_owned());
                    }
                    if world.steps.is_multiple_of(64) {
                        judge::in_time(&mut world);
                    }
                    let is_over = || is_over(&world) && judge::is_asked_for(&world);
                    if is_late(&world) || (self.tasks.is_empty() && is_over()) {
                        return;
                    }
                }
                if !world.judge.violations.is_empty() {
                    return;
                }
            }
            if let Some(thing) = thing {
                self.happen(thing);
            }
            self.hand_over();
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::GoOn(number) => self.go_on(number),
            What::Record(place, worker, record) => self.arrive(place, worker, record),
            What::Gathered(place, worker) => self.gathered(place, worker),
            What::Batch(batch) => self.work(batch),
            What::Sweep(place, at) => self.sweep(place, at),
            What::Person => self.person(),
            What::Ask(ask, tries) => self.ask_for(ask, tries),
            What::Wish(wish) => self.wish(wish),
            What::Backup => {
                let world = self.shared.world();
                let mut tables = world.tables.clone();
                tables.iter_mut().for_each(|table| table.stream.clear());
                self.backup = Some((world.now, tables));
            }
            What::Restore => self.restore(),
            What::Restored => self.restored(),
            What::Calm => {
                people::calm_down(&mut self.shared.world());
                self.calm_since = Some(self.now());
                let mut world = self.shared.world();
                world.judge.answers_since = Some(world.now);
            }
        }
    }

    /// A machine, and by how much its clock is ahead.
    fn machine(&mut self) -> (usize, i64) {
        let machine = usize::try_from(self.draw(3)).unwrap_or(0);
        let skew = self.skews.get(machine).copied().unwrap_or(0);
        if skew != 0 {
            let how = if skew > 0 { "ahead" } else { "behind" };
            self.shared.world().coverage.add("clock fault", how);
        }
        (machine, skew)
    }

    fn spawn(&mut self, make: impl FnOnce(&Roles, i64) -> crate::roles::Running, worker: Option<Worker>, why: Why) {
        let (machine, skew) = self.machine();
        let running = make(&self.roles, skew);
        self.start(running, machine, worker, why);
    }

    fn start(&mut self, running: crate::roles::Running, machine: usize, worker: Option<Worker>, why: Why) {
        self.next_task += 1;
        let number = self.next_task;
        self.tasks.insert(number, Task { running, worker, machine, why });
        self.add(0, What::GoOn(number));
    }

    fn go_on(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        match go_on(&self.shared, number, task) {
            Went::On(wait) => self.add(wait, What::GoOn(number)),
            Went::Stuck => {
                let mut world = self.shared.world();
                world.check("comes to rest", false, || "a task waits for something that nobody does".to_owned());
            }
            Went::Done(done) => {
                self.shared.world().judge.asking.remove(&number);
                let Some(task) = self.tasks.remove(&number) else { return };
                self.done(done, task.why);
            }
            Went::Died => {
                let Some(task) = self.tasks.remove(&number) else { return };
                if let Why::Record(batch, _) = task.why {
                    self.kill(|task| matches!(task.why, Why::Record(of, _) if of == batch));
                }
                self.again(task.why);
            }
            Went::MachineDied => {
                let Some(machine) = self.tasks.get(&number).map(|task| task.machine) else { return };
                self.kill(|task| task.machine == machine);
            }
        }
    }

    /// Kills tasks; what they were made of is tried again, as Lambda does.
    fn kill(&mut self, which: impl Fn(&Task<Why>) -> bool) {
        let dead: Vec<u64> = self.tasks.iter().filter(|(_, task)| which(task)).map(|(number, _)| *number).collect();
        for number in dead {
            self.shared.world().judge.looks.remove(&number);
            if let Some(task) = self.tasks.remove(&number) {
                self.again(task.why);
            }
        }
    }

    fn again(&mut self, why: Why) {
        match why {
            // The process died, and with it the whole batch; its other records find that it is gone.
            Why::Record(number, _) => {
                if let Some(batch) = self.batches.remove(&number) {
                    self.comes_again(batch, 0);
                }
            }
            Why::Ask(ask, tries) if tries < 6 => {
                let after = self.draw(60_000);
                self.add(after, What::Ask(ask, tries + 1));
            }
            _ => {}
        }
    }

    fn done(&mut self, done: Done, why: Why) {
        match done {
            Done::Worked(worked) => {
                let text = worked.as_ref().err().map(ToString::to_string).unwrap_or_default();
                self.shared.world().check("7 no secret", !text.contains("SECRET"), || text);
                if let Why::Record(number, at) = why {
                    let fails = matches!(worked, Err(signoff_core::ledger::LedgerError::Unavailable(_)));
                    self.worked(number, at, fails);
                }
            }
            Done::Answered(status, body) => {
                {
                    let mut world = self.shared.world();
                    world.say(|| format!("answered {status} {}", body.chars().take(160).collect::<String>()));
                    world.check("7 no secret", !body.contains("SECRET"), || body.clone());
                    world.coverage.add("answered", status.to_string());
                    let sane = matches!(status, 200 | 202 | 401 | 403 | 404 | 409 | 422 | 429 | 503);
                    world.check("sensible answers", sane, || format!("{status} {body}"));
                }
                if status == 503 {
                    self.again(why);
                }
            }
        }
    }

    /// A record arrives: it is worked on by itself, or gathered with others.
    fn arrive(&mut self, place: usize, worker: Worker, record: Arc<Value>) {
        if self.down {
            return;
        }
        if !self.shared.world().plan.batches {
            return self.work(Batch { place, worker, records: vec![record], tries: 0, left: 0, failed: None });
        }
        if let Some((_, _, records)) = self.gathering.iter_mut().find(|(at, of, _)| (*at, *of) == (place, worker)) {
            return records.push(record);
        }
        self.gathering.push((place, worker, vec![record]));
        let after = self.draw(GATHERING);
        self.add(after, What::Gathered(place, worker));
    }

    /// As many of the gathered records as fit are handed over; the others are next.
    fn gathered(&mut self, place: usize, worker: Worker) {
        let Some(at) = self.gathering.iter().position(|(at, of, _)| (*at, *of) == (place, worker)) else { return };
        let (_, _, mut records) = self.gathering.swap_remove(at);
        let most = usize::try_from(self.draw(MAX_BATCH - 1) + 1).unwrap_or(1);
        let rest = records.split_off(records.len().min(most));
        if !rest.is_empty() {
            self.gathering.push((place, worker, rest));
            let after = self.draw(GATHERING);
            self.add(after, What::Gathered(place, worker));
        }
        self.work(Batch { place, worker, records, tries: 0, left: 0, failed: None });
    }

    fn work(&mut self, mut batch: Batch) {
        if self.down {
            return;
        }
        let Ok(events) = batch.records.iter().map(|record| EventRecord::deserialize(&**record)).collect() else {
            return self.shared.world().check("comes to rest", false, || "a record that makes no sense".to_owned());
        };
        if batch.records.len() > 1 {
            self.shared.world().coverage.add("batch", format!("of {}", batch.records.len()));
        }
        let (machine, skew) = self.machine();
        let (place, worker) = (batch.place, batch.worker);
        let number = self.next_task + 1;
        (batch.left, batch.failed) = (batch.records.len(), None);
        self.batches.insert(number, batch);
        for (at, running) in self.roles.work(place, skew, worker, events).into_iter().enumerate() {
            self.start(running, machine, Some(worker), Why::Record(number, at));
        }
    }

    /// A record of a batch was worked on. Once all were, those from the first one on that failed come again, as Lambda hands them over: also those after
    /// it that did not fail.
    fn worked(&mut self, number: u64, at: usize, fails: bool) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        batch.left -= 1;
        if fails {
            batch.failed = Some(batch.failed.map_or(at, |first| first.min(at)));
        }
        if batch.left > 0 {
            return;
        }
        let Some(batch) = self.batches.remove(&number) else { return };
        if let Some(failed) = batch.failed {
            if failed > 0 {
                self.shared.world().coverage.add("batch", "fails in part");
            }
            self.comes_again(batch, failed);
        }
    }

    fn comes_again(&mut self, mut batch: Batch, from: usize) {
        batch.records.drain(..from);
        if batch.tries < TRIES {
            batch.tries += 1;
            {
                let mut world = self.shared.world();
                world.judge.mishaps += batch.records.len() as u64;
                if batch.records.len() > 1 {
                    world.coverage.add("batch", "comes again");
                }
            }
            let after = self.draw(3_000);
            self.add(after, What::Batch(batch));
        }
    }

    fn sweep(&mut self, place: usize, at: i64) {
        if self.sweep_at.get(place) != Some(&at) || self.down {
            return;
        }
        self.sweep_at[place] = i64::MAX;
        self.last_sweep[place] = at;
        let twice = self.draw(19) == 0 && !self.shared.world().calm;
        for _ in 0..if twice { 2 } else { 1 } {
            self.spawn(|roles, skew| roles.sweep(place, skew), None, Why::Nothing);
        }
    }

    fn person(&mut self) {
        let (wishes, next) = {
            let mut world = self.shared.world();
            if world.calm {
                return;
            }
            let weights = world.plan.people.clone();
            let kind = world.chance.weighted(&weights);
            let wishes = people::act(&mut world, kind);
            let every = world.plan.people_every;
            (wishes, world.chance.within(1, 2 * every))
        };
        for wish in wishes {
            let late = if let Wish::Ring(_, after, ..) = &wish { *after } else { 0 };
            let after = self.draw(2_000) + late;
            self.add(after, What::Wish(wish));
        }
        self.add(next, What::Person);
    }

    fn ask_for(&mut self, ask: Ask, tries: u32) {
        if self.down {
            return self.again(Why::Ask(ask, tries));
        }
        let headers = vec![
            ("authorization", format!("token {}", token(ask.login))),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", ask.key.clone()),
        ];
        let asked = Asked { path: "/v1/requests".to_owned(), headers, body: ask.body.to_string().into_bytes() };
        let (place, login) = (ask.place, ask.login);
        self.spawn(|roles, skew| roles.api(place, skew, &asked), None, Why::Ask(ask, tries));
        self.called_by(login);
    }

    /// Notes in whose name the task calls that was spawned just now.
    fn called_by(&mut self, who: &str) {
        // A machine has a login of its own.
        let login = if who == "ci" { "acme-ci" } else { who };
        self.shared.world().judge.callers.insert(self.next_task, login.to_owned());
    }

    fn wish(&mut self, wish: Wish) {
        if self.down {
            return;
        }
        match wish {
            Wish::Cancel(place, id, login) => {
                self.call(place, login, &format!("/v1/requests/{id}/cancel"), &json!({"reason": "not needed"}));
            }
            Wish::BreakGlass(place, id, login, what) => {
                let body = json!({"lift": [what], "reason": "it burns"});
                self.call(place, login, &format!("/v1/requests/{id}/break-glass"), &body);
            }
            Wish::Deliver(place, [id, kind, signature], body) => {
                self.shared.world().judge.delivered += 1;
                let headers = vec![
                    ("pulumi-webhook-id", id),
                    ("pulumi-webhook-kind", kind),
                    ("pulumi-webhook-signature", signature),
                ];
                let asked = Asked { path: "/webhooks/pulumi".to_owned(), headers, body };
                self.spawn(|roles, skew| roles.door(place, skew, &asked), None, Why::Nothing);
            }
            Wish::Ring(place, _, [id, event, signature], body) => {
                let headers =
                    vec![("x-github-delivery", id), ("x-github-event", event), ("x-hub-signature-256", signature)];
                let asked = Asked { path: "/webhooks/github".to_owned(), headers, body };
                self.spawn(|roles, skew| roles.door(place, skew, &asked), None, Why::Nothing);
            }
        }
    }

    fn call(&mut self, place: usize, login: &str, path: &str, body: &Value) {
        let headers =
            vec![("authorization", format!("token {}", token(login))), ("content-type", "application/json".to_owned())];
        let asked = Asked { path: path.to_owned(), headers, body: body.to_string().into_bytes() };
        self.spawn(|roles, skew| roles.api(place, skew, &asked), None, Why::Nothing);
        self.called_by(login);
    }

    fn restore(&mut self) {
        self.shared.world().say(|| "all processes are stopped, and the table is replaced by a backup".to_owned());
        self.shared.world().coverage.add("restore", "from a backup");
        self.down = true;
        self.tasks.clear();
        self.batches.clear();
        self.gathering.clear();
        self.shared.world().judge.looks.clear();
        let of_processes = |what: &What| {
            matches!(what, What::GoOn(_) | What::Record(..) | What::Gathered(..) | What::Batch(_) | What::Sweep(..))
        };
        self.queue.retain(|what| !of_processes(what));
        self.sweep_at.fill(i64::MAX);
        self.add(RESTORING, What::Restored);
    }

    fn restored(&mut self) {
        self.down = false;
        self.calm_since = Some(self.now()).filter(|_| self.shared.world().calm);
        let Some((of, tables)) = self.backup.take() else { return };
        let mut world = self.shared.world();
        let now = world.now;
        world.judge.restored = Some((now, of));
        world.judge.answers_since = Some(now).filter(|_| world.calm);
        // What was opened since the backup nobody knows any more.
        world.judge.groups.iter_mut().filter(|group| group.at >= of).for_each(|group| group.excused = true);
        world.tables = tables;
        // Nor does anybody know whose those are that were opened right before, and that somebody took the mark off since.
        let World { judge, tables, cloud, .. } = &mut *world;
        for group in judge.groups.iter_mut() {
            let row = tables.iter().find_map(|table| table.requests.get(&group.request));
            let forgotten = row.is_some_and(|row| row.request.status.change_requests.is_empty());
            let mark = group.request.to_string();
            let unmarked = |id: &String| {
                let first = cloud.change_request(id).and_then(|one| one.description.lines().next());
                first.is_some_and(|first| !first.ends_with(&mark))
            };
            group.excused |= forgotten && group.ids.iter().any(unmarked);
        }
        // What was asked for once more is asked for with the settings of then.
        let rows: Vec<_> = world.tables.iter().flat_map(|table| table.requests.values()).cloned().collect();
        for row in rows.iter().filter(|row| row.request.status.change_requests.is_empty()) {
            if let Some(case) = world.judge.cases.get_mut(&row.request.ask.id) {
                case.settings = None;
            }
        }
        world.say(|| format!("the table is as it was at {of}"));
    }

    /// What was written is handed over: stream records to the workers, webhooks to the door; and the next sweeps are set.
    fn hand_over(&mut self) {
        let (mut records, mut deliveries) = (Vec::new(), Vec::new());
        {
            let mut world = self.shared.world();
            for place in 0..world.tables.len() {
                for change in std::mem::take(&mut world.tables[place].stream) {
                    let record = Arc::new(change.record);
                    for (worker, filters) in &self.filters {
                        if !filters.pass(&record) {
                            continue;
                        }
                        let bell = ["STATE", "RING", "HOOK"].iter().any(|kind| change.key.ends_with(kind));
                        world.check("bookkeeping wakes nobody", bell, || format!("{} wakes {worker:?}", change.key));
                        let mut after = world.chance.within(5, 300);
                        if world.chance_of(|plan| plan.stream.late) {
                            world.coverage.add("stream fault", "late");
                            after += world.chance.within(1_000, 90_000);
                        }
                        records.push((after, What::Record(place, *worker, Arc::clone(&record))));
                        if world.chance_of(|plan| plan.stream.twice) {
                            world.coverage.add("stream fault", "twice");
                            world.judge.mishaps += 1;
                            let again = after + world.chance.within(0, 20_000);
                            records.push((again, What::Record(place, *worker, Arc::clone(&record))));
                        }
                    }
                }
            }
            let now = world.now;
            for delivery in world.cloud.take_webhooks(now) {
                world.delivered(&delivery.id);
                let header = |name: &str| {
                    delivery
                        .headers
                        .iter()
                        .find(|(of, _)| of == name)
                        .map(|(_, value)| value.clone())
                        .unwrap_or_default()
                };
                let names = [delivery.id.clone(), delivery.kind.clone(), header("Pulumi-Webhook-Signature")];
                let place = delivery.url.parse().unwrap_or(0);
                deliveries.push((
                    world.chance.within(5, 200),
                    What::Wish(Wish::Deliver(place, names, delivery.body.clone())),
                ));
            }
        }
        if !self.down {
            for (after, what) in records.into_iter().chain(deliveries) {
                self.add(after, what);
            }
            self.set_sweeps();
        }
    }

    fn set_sweeps(&mut self) {
        let now = self.now();
        for place in 0..self.sweep_at.len() {
            let (due, sweep) = {
                let world = self.shared.world();
                let due = world.tables.get(place).and_then(Table::first_due);
                (due, world.plan.timing.sweep.as_secs().max(1) * 1_000)
            };
            let polled = self.polled_from(now);
            let Some(due) = due.map(Timestamp::as_millisecond).into_iter().chain(polled).min() else { continue };
            // A sweep that would find nothing is left out: the next one is the first at which something is due.
            let from = due.max(now).max(self.last_sweep[place] + 1) - BEGINNING;
            let at = BEGINNING + from.div_euclid(sweep) * sweep + if from % sweep == 0 { 0 } else { sweep };
            if at < self.sweep_at[place] {
                self.sweep_at[place] = at;
                self.add(at - now, What::Sweep(place, at));
            }
        }
    }
}

impl Run {
    /// When the clock has branches and stacks looked at next: twice in [`POLL_SWEEPS`] sweeps, since a clock that is late does not see yet that it is
    /// time. Long after all is calm only if something is not asked for that should be.
    fn polled_from(&self, now: i64) -> Option<i64> {
        let world = self.shared.world();
        let sweep = world.plan.timing.sweep.as_secs().max(1) * 1_000;
        let lasts = || match self.calm_since {
            Some(since) => now < since + AFTER_CALM || !judge::is_asked_for(&world),
            None => !world.calm || !judge::is_asked_for(&world),
        };
        if !world.plan.pushes.polled() || !lasts() {
            return None;
        }
        let since = now - BEGINNING;
        let in_span = since.rem_euclid(sweep * POLL_SWEEPS);
        Some(if in_span < sweep { now } else { now - in_span + sweep * POLL_SWEEPS })
    }
}

/// Whether every request has ended, and nobody looks at one any more.
fn is_over(world: &World) -> bool {
    let over = |row: &Row| row.request.status.state.is_terminal() && row.work.due.is_none();
    world.tables.iter().all(|table| table.requests.values().all(over))
}

/// Whether every request should have ended by now.
fn is_late(world: &World) -> bool {
    let bound = |case: &Case| judge::end_bound(world, case);
    world.steps.is_multiple_of(64) && world.judge.cases.values().map(bound).max().is_some_and(|bound| bound < world.now)
}
