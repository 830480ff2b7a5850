//! The ledger on the simulated table: the same reads, writes and conditions, in the same order, as the DynamoDB adapter makes them.
//!
//! Between any two of them others go on, a process can die, the store can throttle, or an answer can get lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use signoff_core::chain::{Sealed, Step as Sealing};
use signoff_core::doorbell::Delivery;
use signoff_core::gate::Gates;
use signoff_core::ledger::{
    Begin, Cause, Creation, Due, Finish, Idempotency, Intent, Lease, Ledger, LedgerError, Line, LineChange, Listing,
    Loaded, MAX_RINGS, NewRequest, Note, NoticeDue, NoticeWork, ONCE_SKEW, Page, RING_WINDOW_SECONDS, Work,
};
use signoff_core::names::{Login, Organization, PrincipalName, RequestId, StackName};
use signoff_core::request::Worker;
use ulid::Ulid;

use crate::step::{Phase, Step};
use crate::table::{LineItem, Row, WorkItem};
use crate::world::{Shared, World};

/// How often a look is begun anew because the lease changed hands in between.
const BEGIN_ATTEMPTS: u32 = 4;
/// How often a lock or a step is tried anew.
const ATTEMPTS: u32 = 5;

/// The ledger of one installation.
#[derive(Debug, Clone)]
pub struct SimLedger {
    shared: Shared,
    place: usize,
}

/// What goes wrong with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    None,
    Throttled,
    LostAfter,
    Retried,
    Contended,
}

impl SimLedger {
    /// The ledger of the installation at this place.
    pub fn new(shared: &Shared, place: usize) -> Self {
        Self { shared: shared.clone(), place }
    }

    async fn read<T>(&self, operation: &'static str, look: impl Fn(&mut World) -> T) -> Result<T, LedgerError> {
        Step::at(&self.shared, operation, Phase::Before).await;
        let answer = {
            let mut world = self.shared.world();
            let throttled = world.chance_of(|plan| plan.ledger.throttled);
            if throttled {
                world.judge.mishaps += 1;
                world.coverage.add("ledger fault", format!("throttled {operation}"));
                Err(unavailable())
            } else {
                Ok(look(&mut world))
            }
        };
        Step::at(&self.shared, operation, Phase::After).await;
        answer
    }

    async fn write<T>(&self, operation: &'static str, effect: impl Fn(&mut World) -> T) -> Result<T, LedgerError> {
        Ok(self.act(operation, false, effect).await?.unwrap_or_else(|| unreachable!("no transaction")))
    }

    /// `None`: items were in other transactions again and again.
    async fn transact<T>(
        &self,
        operation: &'static str,
        effect: impl Fn(&mut World) -> T,
    ) -> Result<Option<T>, LedgerError> {
        self.act(operation, true, effect).await
    }

    async fn act<T>(
        &self,
        operation: &'static str,
        transaction: bool,
        effect: impl Fn(&mut World) -> T,
    ) -> Result<Option<T>, LedgerError> {
        Step::at(&self.shared, operation, Phase::Before).await;
        let mishap = self.mishap(operation, transaction);
        let answer = match mishap {
            Mishap::Throttled => Err(unavailable()),
            Mishap::Contended => Ok(None),
            Mishap::None | Mishap::LostAfter | Mishap::Retried => {
                let answer = effect(&mut self.shared.world());
                if mishap == Mishap::LostAfter { Err(unavailable()) } else { Ok(Some(answer)) }
            }
        };
        let answer = if mishap == Mishap::Retried {
            // The answer got lost, and the client sent the write once more.
            drop(answer);
            Step::at(&self.shared, operation, Phase::After).await;
            Ok(Some(effect(&mut self.shared.world())))
        } else {
            answer
        };
        Step::at(&self.shared, operation, Phase::After).await;
        answer
    }

    fn mishap(&self, operation: &'static str, transaction: bool) -> Mishap {
        let mut world = self.shared.world();
        let (mishap, word) = if world.chance_of(|plan| plan.ledger.throttled) {
            (Mishap::Throttled, "throttled")
        } else if world.chance_of(|plan| plan.ledger.lost_after) {
            (Mishap::LostAfter, "effect, then an error,")
        } else if world.chance_of(|plan| plan.ledger.retried) {
            (Mishap::Retried, "answer lost and retried")
        } else if transaction && world.chance_of(|plan| plan.ledger.contended) {
            (Mishap::Contended, "transaction conflict")
        } else {
            return Mishap::None;
        };
        world.judge.mishaps += 1;
        world.coverage.add("ledger fault", format!("{word} {operation}"));
        world.say(|| format!("ledger: {word} {operation}"));
        mishap
    }

    fn row<'a>(&self, world: &'a mut World, id: RequestId) -> Option<&'a mut Row> {
        world.tables[self.place].requests.get_mut(&id)
    }

    /// Changes an item `WORK` if the condition holds. `Err`: the item as it was, if there is one.
    fn update(
        &self,
        world: &mut World,
        id: RequestId,
        when: impl Fn(&WorkItem) -> bool,
        change: impl Fn(&mut WorkItem),
    ) -> Result<(), Option<Box<WorkItem>>> {
        let shows_at = world.index_shows_at();
        let Some(row) = self.row(world, id) else { return Err(None) };
        let before = row.work.clone();
        if !when(&before) {
            return Err(Some(Box::new(before)));
        }
        change(&mut row.work);
        let state = row.request.status.state;
        let due = row.work.due;
        world.say(|| format!("work of {id}: due {due:?}, held until {:?}", before.lease_until));
        world.tables[self.place].emit_work(id, &before, shows_at);
        world.check("every open request is due", state.is_terminal() || due.is_some(), || {
            format!("{id} is {state} and has no next look")
        });
        Ok(())
    }

    fn reply(found: Result<(), Option<Box<WorkItem>>>) -> Result<(), LedgerError> {
        found.map_err(|_| LedgerError::Conflict)
    }

    async fn held(&self, lease: Lease) -> Result<Begin, LedgerError> {
        match self.load(lease.id).await {
            Ok(Some(loaded)) => Ok(Begin::Held(Box::new(loaded), lease)),
            Ok(None) => Ok(Begin::Gone),
            Err(error) => {
                let mine = |work: &WorkItem| work.holder == Some(lease.holder);
                let release = |work: &mut WorkItem| (work.holder, work.lease_until) = (None, None);
                let _ =
                    self.write("begin.give-back", |world| self.update(world, lease.id, mine, release).is_ok()).await;
                Err(error)
            }
        }
    }

    /// Appends a step to a row, under the conditions of the transaction. `Some(ours)`: refused, and whether it is recorded already.
    fn append(&self, world: &mut World, step: &Sealing, wake: Option<Worker>) -> Option<bool> {
        let id = step.request.ask.id;
        let writer = world.writer();
        let Some(row) = self.row(world, id) else { return Some(false) };
        if row.request.status.sequence + 1 != step.request.status.sequence {
            let at = usize::try_from(step.request.status.sequence).unwrap_or(0);
            return Some(at.checked_sub(1).and_then(|at| row.events.get(at)) == Some(&step.sealed));
        }
        let before = row.request.clone();
        row.request = step.request.clone();
        row.wake = wake;
        row.events.push(step.sealed.clone());
        if step.is_told {
            row.notices.insert(step.request.status.sequence, Some((step.sealed.time, NoticeWork::default())));
        }
        world.tables[self.place].emit_state(id);
        world.recorded(self.place, Some(&before), step, writer);
        None
    }

    fn change_line(&self, world: &mut World, step: &Sealing, change: LineChange, revision: Option<u64>) -> bool {
        let (id, stack) = (step.request.ask.id, &step.request.ask.stack);
        let Some(item) = world.tables[self.place].lines.get_mut(stack) else { return true };
        if revision.is_some_and(|read| read != item.revision) {
            return false;
        }
        let waits = item.line.waiting.iter().any(|other| other.id == id);
        if change == LineChange::Deployed {
            item.line.deployed = item.line.deployed.max(Some(step.request.ask.position));
        } else if change != LineChange::Keep {
            item.line.turn.take_if(|turn| *turn == id);
        }
        if change == LineChange::Leave && waits {
            item.line.waiting.retain(|other| other.id != id);
            item.revision += 1;
        }
        true
    }

    async fn is_open(&self, id: RequestId) -> Result<bool, LedgerError> {
        self.read("lock.holder-open", |world| {
            self.row(world, id).is_some_and(|row| !row.request.status.state.is_terminal())
        })
        .await
    }
}

fn unavailable() -> LedgerError {
    LedgerError::Unavailable("the simulated store throttles".to_owned())
}

fn lock_key(organization: &Organization, principal: &PrincipalName) -> String {
    format!("{organization}#{principal}")
}

impl Ledger for SimLedger {
    async fn gates(&self) -> Result<Gates, LedgerError> {
        self.read("gates", |world| {
            let gates = Arc::clone(&world.tables[self.place].gates);
            world.judge_look(|look| look.gates = Some(Arc::clone(&gates)));
            world.judge_asking(|asking| asking.gates = Arc::clone(&gates));
            gates
        })
        .await
        .map(Arc::unwrap_or_clone)
    }

    async fn load(&self, id: RequestId) -> Result<Option<Loaded>, LedgerError> {
        // The items of a batch are read one by one: what is written in between shows in one and not in the other.
        let state = self
            .read("load.state", |world| {
                let now = world.now;
                world.judge_look(|look| {
                    if look.intended && look.request == id {
                        look.sure = Some(now);
                    }
                });
                self.row(world, id).map(|row| row.request.clone())
            })
            .await?;
        let Some(request) = state else { return Ok(None) };
        let torn = self.shared.world().chance_of(|plan| plan.ledger.torn);
        let work = if torn {
            self.shared.world().coverage.add("ledger fault", "torn load");
            self.read("load.work", |world| self.row(world, id).map(|row| row.work.work())).await?
        } else {
            self.row(&mut self.shared.world(), id).map(|row| row.work.work())
        };
        Ok(work.map(|work| Loaded { request, work }))
    }

    async fn line(&self, stack: &StackName) -> Result<Line, LedgerError> {
        self.read("line", |world| {
            let now = world.now;
            world.judge_asking(|asking| asking.line = Some(now));
            let line = world.tables[self.place].lines.get(stack);
            line.map(|item| item.line.clone()).unwrap_or_default()
        })
        .await
    }

    async fn create(&self, new: &NewRequest) -> Result<(), LedgerError> {
        let done = self
            .transact("create", |world| {
                let now = new.step.sealed.time;
                let (id, stack) = (new.step.request.ask.id, new.step.request.ask.stack.clone());
                let lag = world.index_shows_at();
                let table = &mut world.tables[self.place];
                if let Some(row) = table.requests.get(&id) {
                    return row.events.first() == Some(&new.step.sealed);
                }
                let item = table.lines.get(&stack).cloned().unwrap_or_default();
                let key = new.idempotency.as_ref().map(|key| (key.caller.folded(), key.key.clone()));
                let taken =
                    key.as_ref().and_then(|key| table.idempotency.get(key)).is_some_and(|held| now < held.until);
                if item.line.next != new.step.request.ask.position || taken {
                    return false;
                }
                let ask = &new.step.request.ask;
                let mut line = item.line;
                line.next += 1;
                line.waiting.push(signoff_core::ledger::InLine::of(ask));
                if ask.push.is_some() {
                    line.pushed.clone_from(&ask.commit);
                }
                table.lines.insert(stack, LineItem { line, revision: item.revision + 1 });
                let work = WorkItem { due: Some(new.due), ..WorkItem::default() };
                let wake = new.step.request.status.state.worker();
                let row = Row {
                    request: new.step.request.clone(),
                    wake,
                    events: vec![new.step.sealed.clone()],
                    work,
                    shown: None,
                    showing: vec![(lag, Some(new.due))],
                    listed_at: lag,
                    notices: BTreeMap::new(),
                };
                table.requests.insert(id, row);
                if let (Some(key), Some(held)) = (key, &new.idempotency) {
                    table.idempotency.insert(key, held.clone());
                }
                table.emit_state(id);
                let writer = world.writer();
                world.recorded(self.place, None, &new.step, writer);
                true
            })
            .await?;
        if done == Some(true) { Ok(()) } else { Err(LedgerError::Conflict) }
    }

    async fn idempotency(&self, caller: &Login, key: &str, now: Timestamp) -> Result<Option<Idempotency>, LedgerError> {
        let found = self
            .read("idempotency", |world| {
                world.tables[self.place].idempotency.get(&(caller.folded(), key.to_owned())).cloned()
            })
            .await?;
        Ok(found.filter(|held| now < held.until))
    }

    async fn begin(
        &self,
        id: RequestId,
        holder: Ulid,
        now: Timestamp,
        until: Timestamp,
        cause: Cause,
    ) -> Result<Begin, LedgerError> {
        for _ in 0..BEGIN_ATTEMPTS {
            let mut rings = None;
            if cause.delivery().is_some() {
                let found = self.read("begin.rings", |world| self.row(world, id).map(|row| row.work.rings)).await?;
                let Some(found) = found else { return Ok(Begin::Gone) };
                let window = SignedDuration::from_secs(RING_WINDOW_SECONDS);
                rings = Some(match found {
                    Some((since, count)) if now.duration_since(since).abs() < window => {
                        if count >= MAX_RINGS {
                            return Ok(Begin::Quiet);
                        }
                        (since, count + 1)
                    }
                    _ => (now, 1),
                });
            }
            let free = |work: &WorkItem| {
                work.holder.is_none_or(|held| held == holder) || work.lease_until.is_none_or(|end| end <= now)
            };
            let take = |work: &mut WorkItem| {
                (work.holder, work.lease_until, work.again) = (Some(holder), Some(until), false);
                work.rings = rings.or(work.rings);
            };
            let taken = self
                .write("begin.take", |world| {
                    let taken = self.update(world, id, free, take);
                    if taken.is_ok() {
                        world.began(self.place, id, until);
                    }
                    taken
                })
                .await?;
            let other = match taken {
                Ok(()) => return self.held(Lease { id, holder, until }).await,
                Err(None) => return Ok(Begin::Gone),
                Err(Some(work)) if work.again => return Ok(Begin::Busy),
                Err(Some(work)) => work.holder,
            };
            let theirs = |work: &WorkItem| work.holder == other;
            let tell = |work: &mut WorkItem| {
                work.again = true;
                work.rings = rings.or(work.rings);
            };
            if self.write("begin.tell", |world| self.update(world, id, theirs, tell).is_ok()).await? {
                return Ok(Begin::Busy);
            }
        }
        Err(LedgerError::Unavailable(format!("the lease of {id} changes hands all the time")))
    }

    async fn record(&self, step: &Sealing, wake: Option<Worker>, line: LineChange) -> Result<(), LedgerError> {
        for _ in 0..ATTEMPTS {
            let stack = &step.request.ask.stack;
            let revision = if line == LineChange::Keep {
                None
            } else {
                let read = |world: &mut World| world.tables[self.place].lines.get(stack).map(|item| item.revision);
                self.read("record.line", read).await?
            };
            let revision = revision.filter(|_| line == LineChange::Leave);
            let done = self
                .transact("record", |world| {
                    let table = &world.tables[self.place];
                    let current = table.lines.get(stack).map(|item| item.revision);
                    let moves = table
                        .requests
                        .get(&step.request.ask.id)
                        .is_some_and(|row| row.request.status.sequence + 1 == step.request.status.sequence);
                    // All conditions are checked before anything is written.
                    if moves && revision.is_some() && current != revision {
                        return Err(());
                    }
                    let refused = self.append(world, step, wake);
                    if refused.is_none() {
                        self.change_line(world, step, line, revision);
                    }
                    Ok(refused)
                })
                .await?;
            match done {
                Some(Ok(None | Some(true))) => return Ok(()),
                Some(Ok(Some(false))) | None => return Err(LedgerError::Conflict),
                Some(Err(())) => {}
            }
        }
        Err(LedgerError::Conflict)
    }

    async fn record_cancel(&self, step: &Sealing, wake: Worker) -> Result<(), LedgerError> {
        let id = step.request.ask.id;
        // Where nothing is applied, nothing will be: the turn is the next one's.
        let change = if step.request.status.is_any_applied() { LineChange::Keep } else { LineChange::ReleaseTurn };
        let done = self
            .transact("record_cancel", |world| {
                let intended = self.row(world, id).is_some_and(|row| {
                    row.work.intent.is_some() && row.request.status.sequence + 1 == step.request.status.sequence
                });
                if intended {
                    return Some(false);
                }
                let refused = self.append(world, step, Some(wake));
                if refused.is_none() {
                    let _ = self.update(world, id, |_| true, |work| work.ending = true);
                    self.change_line(world, step, change, None);
                }
                refused
            })
            .await?;
        match done {
            Some(None | Some(true)) => Ok(()),
            Some(Some(false)) | None => Err(LedgerError::Conflict),
        }
    }

    async fn intend(&self, lease: &Lease, intent: &Intent) -> Result<(), LedgerError> {
        let may = |work: &WorkItem| {
            work.holder == Some(lease.holder) && !work.ending && work.lease_until.is_some_and(|end| intent.at < end)
        };
        let done = self
            .write("intend", |world| {
                let done = self.update(world, lease.id, may, |work| work.intent = Some(intent.clone()));
                if done.is_ok() {
                    world.judge_look(|look| look.intended = true);
                }
                done
            })
            .await?;
        Self::reply(done)
    }

    async fn confirm(&self, lease: &Lease, now: Timestamp) -> Result<(), LedgerError> {
        let may = |work: &WorkItem| {
            work.holder == Some(lease.holder) && !work.ending && work.lease_until.is_some_and(|end| now < end)
        };
        let done = self
            .write("confirm", |world| {
                let done = self.update(world, lease.id, may, |work| work.lease_until = Some(lease.until));
                if done.is_ok() {
                    world.judge_look(|look| look.confirmed = true);
                }
                done
            })
            .await?;
        Self::reply(done)
    }

    async fn note(&self, lease: &Lease, note: &Note) -> Result<(), LedgerError> {
        let mine = |work: &WorkItem| work.holder == Some(lease.holder);
        Self::reply(
            self.write("note", |world| self.update(world, lease.id, mine, |work| work.note = note.clone())).await?,
        )
    }

    async fn finish(&self, lease: &Lease, work: &Work) -> Result<Finish, LedgerError> {
        let mine = |item: &WorkItem| item.holder == Some(lease.holder);
        let keep = |item: &mut WorkItem| (item.note, item.intent) = (work.note.clone(), work.intent.clone());
        let release = |item: &mut WorkItem| {
            keep(item);
            (item.due, item.holder, item.lease_until) = (work.due, None, None);
        };
        let released = self
            .write("finish.release", |world| self.update(world, lease.id, |item| mine(item) && !item.again, release))
            .await?;
        match released {
            Ok(()) => return Ok(Finish::Released),
            Err(Some(item)) if mine(&item) => {}
            Err(_) => return Ok(Finish::Lost),
        }
        let stay = |item: &mut WorkItem| {
            keep(item);
            item.again = false;
        };
        let stayed = self
            .write("finish.stay", |world| {
                world.judge_look(|look| look.forget());
                self.update(world, lease.id, mine, stay).is_ok()
            })
            .await?;
        Ok(if stayed { Finish::Again } else { Finish::Lost })
    }

    async fn hear(&self, stack: &StackName) -> Result<(), LedgerError> {
        self.write("hear", |world| {
            world.tables[self.place].lines.entry(stack.clone()).or_default().line.heard = true;
        })
        .await
    }

    async fn claim_turn(&self, stack: &StackName, id: RequestId) -> Result<bool, LedgerError> {
        let claim = |world: &mut World, over: Option<RequestId>| {
            let table = &mut world.tables[self.place];
            let Some(item) = table.lines.get_mut(stack) else { return Err(None) };
            let before = item.line.turn;
            if before != over && before != Some(id) && (over.is_some() || before.is_some()) {
                return Err(Some(item.line.clone()));
            }
            item.line.turn = Some(id);
            if before != Some(id) {
                world.turn_taken(self.place, stack, id);
            }
            Ok(())
        };
        let line = match self.write("claim_turn", |world| claim(world, None)).await? {
            Ok(()) => return Ok(true),
            Err(None) => return Err(LedgerError::Broken(format!("{id} is in no line"))),
            Err(Some(line)) => line,
        };
        let stale = line.turn.filter(|turn| !line.waiting.iter().any(|other| other.id == *turn));
        let Some(stale) = stale else { return Ok(false) };
        self.write("claim_turn.over", |world| claim(world, Some(stale)).is_ok()).await
    }

    async fn release_turn(&self, stack: &StackName, id: RequestId) -> Result<(), LedgerError> {
        self.write("release_turn", |world| {
            if let Some(item) = world.tables[self.place].lines.get_mut(stack) {
                item.line.turn.take_if(|turn| *turn == id);
            }
        })
        .await
    }

    async fn lock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> Result<Creation, LedgerError> {
        let key = lock_key(organization, principal);
        for _ in 0..ATTEMPTS {
            let found = self
                .write("lock.take", |world| {
                    let item = world.tables[self.place].locks.entry(key.clone()).or_default();
                    if item.holder.is_none_or(|holder| holder == id) {
                        item.holder = Some(id);
                        item.waiting.retain(|waiting| *waiting != id);
                        return None;
                    }
                    Some(item.clone())
                })
                .await?;
            let Some(found) = found else { return Ok(Creation::Ours) };
            let Some(other) = found.holder else { continue };
            let alive = self.is_open(other).await?;
            if alive && found.waiting.contains(&id) {
                return Ok(Creation::Theirs(other));
            }
            let done = self
                .write("lock.wait", |world| {
                    let item = world.tables[self.place].locks.entry(key.clone()).or_default();
                    if item.holder != Some(other) {
                        return false;
                    }
                    item.waiting.retain(|waiting| *waiting != id);
                    if alive {
                        item.waiting.push(id);
                    } else {
                        item.holder = Some(id);
                    }
                    true
                })
                .await?;
            if done {
                return Ok(if alive { Creation::Theirs(other) } else { Creation::Ours });
            }
        }
        Err(LedgerError::Unavailable("the creation lock changes hands all the time".to_owned()))
    }

    async fn unlock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> Result<Option<RequestId>, LedgerError> {
        let key = lock_key(organization, principal);
        let given_back = self
            .write("unlock.give-back", |world| {
                let item = world.tables[self.place].locks.entry(key.clone()).or_default();
                if item.holder == Some(id) {
                    item.holder = None;
                    let mut by_age = item.waiting.clone();
                    by_age.sort();
                    return Ok(by_age);
                }
                Err(item.waiting.contains(&id))
            })
            .await?;
        let leave = |who: RequestId| {
            let key = key.clone();
            async move {
                self.write("unlock.leave", |world| {
                    let item = world.tables[self.place].locks.entry(key.clone()).or_default();
                    item.waiting.retain(|waiting| *waiting != who);
                })
                .await
            }
        };
        match given_back {
            Ok(by_age) => {
                for who in by_age {
                    leave(who).await?;
                    if self.is_open(who).await? {
                        return Ok(Some(who));
                    }
                }
                Ok(None)
            }
            Err(false) => Ok(None),
            Err(true) => {
                leave(id).await?;
                Ok(None)
            }
        }
    }

    async fn ring(&self, id: RequestId, worker: Worker, cause: Cause, ulid: Ulid) -> Result<(), LedgerError> {
        self.write("ring", |world| {
            world.tables[self.place].emit_ring(id, worker, &cause, ulid);
            world.say(|| format!("rings {worker:?} for {id}"));
            world.rung(id, worker);
        })
        .await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, LedgerError> {
        self.read("due", |world| {
            let at = world.now;
            let table = &mut world.tables[self.place];
            table.catch_up(at);
            if table.requests.values().any(|row| row.shown != row.work.due) {
                world.coverage.add("index fault", "read while it lags");
            }
            let rows = table.requests.iter();
            let mut all: Vec<Due> = rows
                .filter_map(|(id, row)| row.shown.map(|due| Due { id: *id, due }))
                .filter(|due| due.due <= now)
                .collect();
            all.sort_by_key(|due| (due.due, due.id));
            all.truncate(limit);
            all
        })
        .await
    }

    async fn claim_due(&self, due: &Due, next: Timestamp) -> Result<bool, LedgerError> {
        let unmoved = |work: &WorkItem| work.due == Some(due.due);
        self.write("claim_due", |world| self.update(world, due.id, unmoved, |work| work.due = Some(next)).is_ok()).await
    }

    async fn notices_due(&self, now: Timestamp, limit: usize) -> Result<Vec<NoticeDue>, LedgerError> {
        self.read("notices_due", |world| {
            let rows = world.tables[self.place].requests.iter();
            let all = rows.flat_map(|(id, row)| row.notices.iter().map(move |(event, left)| (*id, *event, left)));
            let due = |left: &Option<(Timestamp, NoticeWork)>| left.as_ref().map(|(due, _)| *due);
            let mut due: Vec<NoticeDue> =
                all.filter_map(|(id, event, left)| Some(NoticeDue { id, event, due: due(left)? })).collect();
            due.retain(|notice| notice.due <= now);
            due.sort_by_key(|notice| notice.due);
            due.truncate(limit);
            due
        })
        .await
    }

    async fn claim_notice(&self, notice: NoticeDue, until: Timestamp) -> Result<Option<NoticeWork>, LedgerError> {
        self.write("claim_notice", |world| {
            let (due, work) = self.row(world, notice.id)?.notices.get_mut(&notice.event)?.as_mut()?;
            (*due == notice.due).then(|| {
                *due = until;
                work.clone()
            })
        })
        .await
    }

    async fn finish_notice(
        &self,
        claimed: NoticeDue,
        left: Option<(Timestamp, NoticeWork)>,
    ) -> Result<(), LedgerError> {
        self.write("finish_notice", |world| {
            let kept = self.row(world, claimed.id).and_then(|row| row.notices.get_mut(&claimed.event));
            if let Some(kept) = kept
                && kept.as_ref().is_some_and(|(due, _)| *due == claimed.due)
            {
                kept.clone_from(&left);
            }
        })
        .await
    }

    async fn open(&self, limit: usize) -> Result<Vec<RequestId>, LedgerError> {
        self.read("open", |world| {
            let at = world.now;
            let table = &mut world.tables[self.place];
            table.catch_up(at);
            table.requests.iter().filter(|(_, row)| row.shown.is_some()).map(|(id, _)| *id).take(limit).collect()
        })
        .await
    }

    async fn once(&self, what: &str, now: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
        self.write("once", |world| {
            let table = &mut world.tables[self.place];
            let far = until.saturating_add(ONCE_SKEW).unwrap_or(Timestamp::MAX);
            let free = table.once.get(what).is_none_or(|held| *held <= now || *held > far);
            if free {
                table.once.insert(what.to_owned(), until);
            }
            free
        })
        .await
    }

    async fn record_delivery(&self, delivery: &Delivery, expires: Timestamp) -> Result<bool, LedgerError> {
        self.write("record_delivery", |world| {
            let table = &mut world.tables[self.place];
            if table.hooks.contains_key(&delivery.id) {
                return false;
            }
            table.hooks.insert(delivery.id.clone(), (delivery.clone(), expires));
            table.emit_hook(delivery);
            true
        })
        .await
    }

    async fn point(
        &self,
        organization: &Organization,
        change_request: &str,
        id: RequestId,
        _: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write("point", |world| {
            world.tables[self.place].pointers.insert(format!("{organization}#{change_request}"), id);
        })
        .await
    }

    async fn pointed(
        &self,
        organization: &Organization,
        change_request: &str,
    ) -> Result<Option<RequestId>, LedgerError> {
        let key = format!("{organization}#{change_request}");
        self.read("pointed", |world| world.tables[self.place].pointers.get(&key).copied()).await
    }

    async fn list(
        &self,
        organization: &Organization,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<Listing>, LedgerError> {
        self.read("list", |world| {
            let now = world.now;
            let rows = world.tables[self.place].requests.iter().rev();
            rows.filter(|(id, row)| row.listed_at <= now && before.is_none_or(|before| **id < before))
                .filter(|(_, row)| row.request.ask.stack.organization == *organization)
                .take(limit)
                .map(|(_, row)| Ok(row.loaded()))
                .collect()
        })
        .await
    }

    async fn events(&self, id: RequestId) -> Result<Vec<Sealed>, LedgerError> {
        self.read("events", |world| self.row(world, id).map(|row| row.events.clone()).unwrap_or_default()).await
    }

    async fn events_of_day(
        &self,
        _: &Organization,
        day: &str,
        span: &Range<Timestamp>,
        _: Option<&str>,
        limit: usize,
    ) -> Result<Page<Sealed>, LedgerError> {
        self.read("events_of_day", |world| {
            let rows = world.tables[self.place].requests.values();
            let mut items: Vec<Sealed> = rows.flat_map(|row| row.events.iter()).cloned().collect();
            items.retain(|event| event.time.to_string().starts_with(day) && span.contains(&event.time));
            items.sort_by_key(|event| (event.time, event.id));
            items.truncate(limit);
            Page { items, next: None }
        })
        .await
    }
}
