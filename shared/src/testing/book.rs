//! A ledger in memory, with the same promises as the real one, whose calls can be made to fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use crate::chain::{Sealed, Step};
use crate::doorbell::Delivery;
use crate::gate::Gates;
use crate::ledger::{
    Begin, Cause, Creation, Due, Finish, Idempotency, InLine, Intent, Lease, Ledger, LedgerError, Line, LineChange,
    Listing, Loaded, MAX_RINGS, NewRequest, Note, NoticeDue, NoticeWork, ONCE_SKEW, Page, RING_WINDOW_SECONDS, Work,
};
use crate::names::{Login, Organization, PrincipalName, RequestId, StackName};
use crate::request::{Request, Worker};

/// What is kept of one request.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) request: Request,
    pub(crate) events: Vec<Sealed>,
    pub(crate) work: Work,
    pub(crate) lease: Option<Lease>,
    again: bool,
    no_intents: bool,
    rings: (Timestamp, u32),
}

/// Who has the lock under which open requests are created, and who waits for it.
#[derive(Default)]
struct Lock {
    holder: Option<RequestId>,
    waiting: Vec<RequestId>,
}

/// What the ledger holds.
#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) gates: Gates,
    pub(crate) rows: BTreeMap<RequestId, Row>,
    pub(crate) line: Line,
    lock: Lock,
    once: BTreeMap<String, Timestamp>,
    idempotency: BTreeMap<(String, String), Idempotency>,
    pointed: BTreeMap<String, RequestId>,
    /// When notices are due, and how far they have come; `None`: they were sent.
    pub(crate) notices: BTreeMap<(RequestId, u64), Option<(Timestamp, NoticeWork)>>,
    /// Who is to look at what, and why: what the stream carries.
    pub(crate) bells: VecDeque<(RequestId, Worker, Cause)>,
    /// The deliveries that were recorded.
    pub(crate) deliveries: Vec<Delivery>,
    /// Every worker that a recorded step woke.
    pub(crate) woken: Vec<Worker>,
    /// The call, counted from 0, that fails; and whether it has its effect.
    pub(crate) fault_at: Option<(usize, bool)>,
    pub(crate) calls: usize,
    /// The call, counted from 0, from which on none has an effect any more: the process died.
    pub(crate) dead_from: Option<usize>,
    /// The requests that can't be read.
    pub(crate) broken: BTreeSet<RequestId>,
    /// What happens while an intent to deploy is written.
    pub(crate) intending: Option<Box<dyn FnOnce() + Send>>,
}

/// The ledger.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Inside>>);

impl Book {
    /// What it holds.
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Puts a request with its events into it.
    pub(crate) fn put(&self, request: Request, events: Vec<Sealed>, due: Timestamp) {
        let mut inside = self.inside();
        let ask = &request.ask;
        inside.line.waiting.push(InLine::of(ask));
        inside.line.next = inside.line.next.max(ask.position + 1);
        let work = Work { due: Some(due), ..Work::default() };
        let row = Row { events, work, lease: None, again: false, no_intents: false, rings: (due, 0), request };
        inside.rows.insert(row.request.ask.id, row);
    }

    fn call<T>(&self, effect: impl FnOnce(&mut Inside) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let mut inside = self.inside();
        let number = inside.calls;
        inside.calls += 1;
        let unavailable = || Err(LedgerError::Unavailable("a test says so".to_owned()));
        if inside.dead_from.is_some_and(|from| number >= from) {
            return unavailable();
        }
        match inside.fault_at.take_if(|(at, _)| *at == number) {
            Some((_, false)) => unavailable(),
            Some((_, true)) => effect(&mut inside).and_then(|_| unavailable()),
            None => effect(&mut inside),
        }
    }
}

impl Inside {
    /// Loses which request a change request belongs to.
    pub(crate) fn forget_pointers(&mut self) {
        self.pointed.clear();
    }

    /// Whether it is known whose this change request is.
    pub(crate) fn is_pointed(&self, id: &str) -> bool {
        self.pointed.contains_key(id)
    }

    /// Whether nobody has the lock under which open requests are created.
    pub(crate) fn is_lock_free(&self) -> bool {
        self.lock.holder.is_none()
    }

    fn readable(&self, id: RequestId) -> Result<(), LedgerError> {
        if self.broken.contains(&id) { Err(LedgerError::Broken("a test says so".to_owned())) } else { Ok(()) }
    }

    fn row(&mut self, id: RequestId) -> Result<&mut Row, LedgerError> {
        self.rows.get_mut(&id).ok_or(LedgerError::Conflict)
    }

    fn held(&mut self, lease: &Lease) -> Result<&mut Row, LedgerError> {
        let row = self.row(lease.id)?;
        let holder = row.lease.as_ref().map(|held| held.holder);
        if holder == Some(lease.holder) { Ok(row) } else { Err(LedgerError::Conflict) }
    }

    fn append(&mut self, step: &Step) -> Result<bool, LedgerError> {
        let row = self.row(step.sealed.subject)?;
        if row.request.head == step.request.head {
            return Ok(false);
        }
        if row.request.head != step.sealed.prevhash {
            return Err(LedgerError::Conflict);
        }
        row.request = step.request.clone();
        row.events.push(step.sealed.clone());
        if step.is_told {
            let due = (step.sealed.time, NoticeWork::default());
            self.notices.insert((step.sealed.subject, step.request.status.sequence), Some(due));
        }
        Ok(true)
    }
}

impl Ledger for Book {
    async fn gates(&self) -> Result<Gates, LedgerError> {
        self.call(|inside| Ok(inside.gates.clone()))
    }

    async fn load(&self, id: RequestId) -> Result<Option<Loaded>, LedgerError> {
        self.call(|inside| {
            inside.readable(id)?;
            Ok(inside.rows.get(&id).map(|row| Loaded { request: row.request.clone(), work: row.work.clone() }))
        })
    }

    async fn line(&self, _: &StackName) -> Result<Line, LedgerError> {
        self.call(|inside| Ok(inside.line.clone()))
    }

    async fn create(&self, new: &NewRequest) -> Result<(), LedgerError> {
        let ask = &new.step.request.ask;
        let key = new.idempotency.as_ref().map(|held| (held.caller.to_string(), held.key.clone()));
        self.call(|inside| {
            let taken = key.as_ref().is_some_and(|key| inside.idempotency.contains_key(key));
            if inside.line.next != ask.position || taken {
                return Err(LedgerError::Conflict);
            }
            inside.idempotency.extend(key.clone().zip(new.idempotency.clone()));
            Ok(())
        })?;
        self.put(new.step.request.clone(), vec![new.step.sealed.clone()], new.due);
        let mut inside = self.inside();
        if ask.push.is_some() {
            inside.line.pushed.clone_from(&ask.commit);
        }
        inside.bells.push_back((ask.id, Worker::Apply, Cause::Due));
        Ok(())
    }

    async fn idempotency(&self, caller: &Login, key: &str, now: Timestamp) -> Result<Option<Idempotency>, LedgerError> {
        self.call(|inside| {
            let held = inside.idempotency.get(&(caller.to_string(), key.to_owned()));
            Ok(held.filter(|held| held.until > now).cloned())
        })
    }

    async fn begin(
        &self,
        id: RequestId,
        holder: Ulid,
        now: Timestamp,
        until: Timestamp,
        cause: Cause,
    ) -> Result<Begin, LedgerError> {
        self.call(|inside| {
            inside.readable(id)?;
            let Some(row) = inside.rows.get_mut(&id) else { return Ok(Begin::Gone) };
            if cause.delivery().is_some() {
                let window = SignedDuration::from_secs(RING_WINDOW_SECONDS);
                match &mut row.rings {
                    (since, count) if now.duration_since(*since).abs() < window => {
                        if *count >= MAX_RINGS {
                            return Ok(Begin::Quiet);
                        }
                        *count += 1;
                    }
                    rings => *rings = (now, 1),
                }
            }
            if row.lease.as_ref().is_some_and(|lease| lease.until > now) {
                row.again = true;
                return Ok(Begin::Busy);
            }
            let lease = Lease { id, holder, until };
            (row.lease, row.again) = (Some(lease.clone()), false);
            let loaded = Loaded { request: row.request.clone(), work: row.work.clone() };
            Ok(Begin::Held(Box::new(loaded), lease))
        })
    }

    async fn record(&self, step: &Step, wake: Option<Worker>, line: LineChange) -> Result<(), LedgerError> {
        self.call(|inside| {
            if !inside.append(step)? {
                return Ok(());
            }
            let id = step.sealed.subject;
            if line == LineChange::Deployed {
                inside.line.deployed = inside.line.deployed.max(Some(step.request.ask.position));
            } else if line != LineChange::Keep {
                inside.line.turn.take_if(|turn| *turn == id);
            }
            if line == LineChange::Leave {
                inside.line.waiting.retain(|other| other.id != id);
            }
            if let Some(worker) = wake {
                inside.woken.push(worker);
                inside.bells.push_back((id, worker, Cause::Due));
            }
            Ok(())
        })
    }

    async fn record_cancel(&self, step: &Step, wake: Worker) -> Result<(), LedgerError> {
        self.call(|inside| {
            if inside.row(step.sealed.subject)?.work.intent.is_some() {
                return Err(LedgerError::Conflict);
            }
            inside.append(step)?;
            inside.row(step.sealed.subject)?.no_intents = true;
            if !step.request.status.is_any_applied() {
                inside.line.turn.take_if(|turn| *turn == step.sealed.subject);
            }
            inside.bells.push_back((step.sealed.subject, wake, Cause::Due));
            Ok(())
        })
    }

    async fn intend(&self, lease: &Lease, intent: &Intent) -> Result<(), LedgerError> {
        self.call(|inside| {
            let row = inside.held(lease)?;
            if row.no_intents || lease.until <= intent.at {
                return Err(LedgerError::Conflict);
            }
            row.work.intent = Some(intent.clone());
            if let Some(happens) = inside.intending.take() {
                happens();
            }
            Ok(())
        })
    }

    async fn confirm(&self, lease: &Lease, now: Timestamp) -> Result<(), LedgerError> {
        self.call(|inside| {
            let row = inside.held(lease)?;
            if row.no_intents || lease.until <= now { Err(LedgerError::Conflict) } else { Ok(()) }
        })
    }

    async fn note(&self, lease: &Lease, note: &Note) -> Result<(), LedgerError> {
        self.call(|inside| {
            inside.held(lease)?.work.note = note.clone();
            Ok(())
        })
    }

    async fn finish(&self, lease: &Lease, work: &Work) -> Result<Finish, LedgerError> {
        self.call(|inside| {
            let Ok(row) = inside.held(lease) else { return Ok(Finish::Lost) };
            let due = row.work.due;
            row.work = work.clone();
            if std::mem::take(&mut row.again) {
                row.work.due = due;
                return Ok(Finish::Again);
            }
            row.lease = None;
            Ok(Finish::Released)
        })
    }

    async fn hear(&self, _: &StackName) -> Result<(), LedgerError> {
        self.call(|inside| {
            inside.line.heard = true;
            Ok(())
        })
    }

    async fn claim_turn(&self, _: &StackName, id: RequestId) -> Result<bool, LedgerError> {
        self.call(|inside| Ok(*inside.line.turn.get_or_insert(id) == id))
    }

    async fn release_turn(&self, _: &StackName, id: RequestId) -> Result<(), LedgerError> {
        self.call(|inside| {
            inside.line.turn.take_if(|turn| *turn == id);
            Ok(())
        })
    }

    async fn lock_creation(&self, _: &Organization, _: &PrincipalName, id: RequestId) -> Result<Creation, LedgerError> {
        self.call(|inside| {
            let holder = *inside.lock.holder.get_or_insert(id);
            inside.lock.waiting.retain(|waiting| *waiting != id);
            if holder == id {
                return Ok(Creation::Ours);
            }
            inside.lock.waiting.push(id);
            Ok(Creation::Theirs(holder))
        })
    }

    async fn unlock_creation(
        &self,
        _: &Organization,
        _: &PrincipalName,
        id: RequestId,
    ) -> Result<Option<RequestId>, LedgerError> {
        self.call(|inside| {
            inside.lock.waiting.retain(|waiting| *waiting != id);
            if inside.lock.holder.take_if(|holder| *holder == id).is_none() || inside.lock.waiting.is_empty() {
                return Ok(None);
            }
            let rows = &inside.rows;
            let is_open = |id: &RequestId| rows.get(id).is_some_and(|row| !row.request.status.state.is_terminal());
            inside.lock.waiting.retain(is_open);
            Ok((!inside.lock.waiting.is_empty()).then(|| inside.lock.waiting.remove(0)))
        })
    }

    async fn ring(&self, id: RequestId, worker: Worker, cause: Cause, _: Ulid) -> Result<(), LedgerError> {
        self.call(|inside| {
            inside.bells.push_back((id, worker, cause));
            Ok(())
        })
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, LedgerError> {
        self.call(|inside| {
            let rows = inside.rows.iter();
            let mut all: Vec<_> = rows.filter_map(|(id, row)| row.work.due.map(|due| Due { id: *id, due })).collect();
            all.retain(|one| one.due <= now);
            all.sort_by_key(|one| (one.due, one.id));
            all.truncate(limit);
            Ok(all)
        })
    }

    async fn claim_due(&self, due: &Due, next: Timestamp) -> Result<bool, LedgerError> {
        self.call(|inside| {
            let row = inside.row(due.id)?;
            let unmoved = row.work.due == Some(due.due);
            if unmoved {
                row.work.due = Some(next);
            }
            Ok(unmoved)
        })
    }

    async fn notices_due(&self, now: Timestamp, limit: usize) -> Result<Vec<NoticeDue>, LedgerError> {
        self.call(|inside| {
            let all = inside.notices.iter();
            let mut due: Vec<NoticeDue> = all
                .filter_map(|((id, event), left)| Some(NoticeDue { id: *id, event: *event, due: left.as_ref()?.0 }))
                .filter(|notice| notice.due <= now)
                .collect();
            due.sort_by_key(|notice| notice.due);
            due.truncate(limit);
            Ok(due)
        })
    }

    async fn claim_notice(&self, notice: NoticeDue, until: Timestamp) -> Result<Option<NoticeWork>, LedgerError> {
        self.call(|inside| match inside.notices.get_mut(&(notice.id, notice.event)) {
            Some(Some((due, work))) if *due == notice.due => {
                *due = until;
                Ok(Some(work.clone()))
            }
            _ => Ok(None),
        })
    }

    async fn finish_notice(
        &self,
        claimed: NoticeDue,
        left: Option<(Timestamp, NoticeWork)>,
    ) -> Result<(), LedgerError> {
        self.call(|inside| {
            if let Some(kept) = inside.notices.get_mut(&(claimed.id, claimed.event))
                && kept.as_ref().is_some_and(|(due, _)| *due == claimed.due)
            {
                *kept = left;
            }
            Ok(())
        })
    }

    async fn open(&self, limit: usize) -> Result<Vec<RequestId>, LedgerError> {
        self.call(|inside| {
            let open = inside.rows.iter().filter(|(_, row)| row.work.due.is_some()).map(|(id, _)| *id);
            Ok(open.take(limit).collect())
        })
    }

    async fn once(&self, what: &str, now: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
        self.call(|inside| {
            let free = inside.once.get(what).is_none_or(|held| *held <= now || *held > until + ONCE_SKEW);
            if free {
                inside.once.insert(what.to_owned(), until);
            }
            Ok(free)
        })
    }

    async fn record_delivery(&self, delivery: &Delivery, _: Timestamp) -> Result<bool, LedgerError> {
        self.call(|inside| {
            inside.deliveries.push(delivery.clone());
            Ok(true)
        })
    }

    async fn point(&self, _: &Organization, id: &str, to: RequestId, _: Timestamp) -> Result<(), LedgerError> {
        self.call(|inside| {
            inside.pointed.insert(id.to_owned(), to);
            Ok(())
        })
    }

    async fn pointed(&self, _: &Organization, id: &str) -> Result<Option<RequestId>, LedgerError> {
        self.call(|inside| Ok(inside.pointed.get(id).copied()))
    }

    async fn list(&self, _: &Organization, _: Option<RequestId>, _: usize) -> Result<Vec<Listing>, LedgerError> {
        Ok(Vec::new())
    }

    async fn events(&self, id: RequestId) -> Result<Vec<Sealed>, LedgerError> {
        self.call(|inside| Ok(inside.rows.get(&id).map(|row| row.events.clone()).unwrap_or_default()))
    }

    async fn events_of_day(
        &self,
        _: &Organization,
        _: &str,
        _: &Range<Timestamp>,
        _: Option<&str>,
        _: usize,
    ) -> Result<Page<Sealed>, LedgerError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}
