//! Requests: recording them, their steps, and reading them back.

use std::collections::HashMap;

use jiff::Timestamp;
use signoff_core::chain::{self, Sealed, Step, day_of};
use signoff_core::ledger::{Idempotency, LedgerError, LineChange, Listing, Loaded, NewRequest};
use signoff_core::names::{Login, Organization, RequestId};
use signoff_core::request::{Request, Status, Worker};

use super::Dynamo;
use super::item::{self, Item, json, ms, n, s, seconds};
use super::keys::{self, Key};
use super::store::{Question, Transacted, Write};
use super::{line, notices, work};

/// How often a step is tried again when nothing but the stack's line moved.
const ATTEMPTS: u32 = 5;

/// The three items that make a request.
fn parts(id: RequestId) -> [Key; 3] {
    [Key::state(id), Key::event(id, 1), Key::work(id)]
}

pub(super) async fn load(db: &Dynamo, id: RequestId) -> Result<Option<Loaded>, LedgerError> {
    match assemble(id, &db.get_all(&parts(id)).await?) {
        // The items of a batch are read one by one: a request that is being recorded right now can be half there, for a moment.
        Err(LedgerError::Broken(_)) => assemble(id, &db.get_all(&parts(id)).await?),
        answer => answer,
    }
}

pub(super) async fn list(
    db: &Dynamo,
    organization: &Organization,
    before: Option<RequestId>,
    limit: usize,
) -> Result<Vec<Listing>, LedgerError> {
    let mut values = vec![(":org", s(organization.as_str()))];
    values.extend(before.map(|id| (":id", s(id.to_string()))));
    let condition = if before.is_some() { "#org = :org AND #id < :id" } else { "#org = :org" };
    let question = Question {
        index: Some(keys::BY_ORGANIZATION),
        condition,
        values,
        backward: true,
        limit: Some(limit),
        ..Question::default()
    };
    let hits = db.query(question).await?;
    let ids = hits.iter().map(|hit| item::parsed(hit, keys::ID)).collect::<Result<Vec<RequestId>, _>>()?;
    let keys: Vec<Key> = ids.iter().copied().flat_map(parts).collect();
    let found = db.get_all(&keys).await?;
    let mut listed = Vec::with_capacity(ids.len());
    for id in ids {
        match assemble(id, &found) {
            Ok(None) => {}
            Ok(Some(loaded)) => listed.push(Ok(loaded)),
            // Or it was only half recorded yet: then it can be read now.
            Err(LedgerError::Broken(_)) => match load(db, id).await {
                Err(LedgerError::Broken(why)) => {
                    tracing::error!(request = %id, why, "an item makes no sense; it waits for a person");
                    listed.push(Err(id));
                }
                answer => listed.extend(answer?.map(Ok)),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

/// Makes a request of its items; `None` if it has none.
fn assemble(id: RequestId, found: &HashMap<Key, Item>) -> Result<Option<Loaded>, LedgerError> {
    let [state, first, work] = parts(id).map(|key| found.get(&key));
    let (Some(state), Some(first), Some(work)) = (state, first, work) else {
        if state.is_none() && first.is_none() && work.is_none() {
            return Ok(None);
        }
        let version = |item: &Item| item::maybe_number::<u64>(item, keys::VERSION).ok().flatten();
        let there = |item: Option<&Item>| if item.is_some() { "is there" } else { "is missing" };
        return Err(LedgerError::Broken(format!(
            "{id}: its state {} (version {:?}), its first event {}, its work {}",
            there(state),
            state.and_then(version),
            there(first),
            there(work)
        )));
    };
    let version: u64 = item::number(state, keys::VERSION)?;
    let status: Status = item::from_json(state, keys::STATUS)?;
    let head = item::text(state, keys::HEAD)?;
    let event: Sealed = item::from_json(first, keys::EVENT)?;
    if version != status.sequence {
        let what = format_args!("version {version}, but a status of event {}", status.sequence);
        return Err(item::broken(state, what));
    }
    let origin = chain::replay_one(None, &event, 1).map_err(|why| item::broken(first, why))?;
    if origin.ask.id != id {
        return Err(item::broken(first, format_args!("the first event of {}", origin.ask.id)));
    }
    if version == 1 && head != origin.head {
        return Err(item::broken(state, "version 1 with a head that is not the hash of the first event"));
    }
    let request = Request { ask: origin.ask, status, head: head.to_owned() };
    Ok(Some(Loaded { request, work: work::read(work)? }))
}

pub(super) async fn create(db: &Dynamo, new: &NewRequest) -> Result<(), LedgerError> {
    let step = &new.step;
    let ask = &step.request.ask;
    let mut writes = vec![
        state(step, ask_worker(step))?.when("attribute_not_exists(#pk)"),
        event(step)?,
        work::first(ask.id, new.due),
        line::join(ask)?,
    ];
    if let Some(key) = &new.idempotency {
        let attributes = [
            (keys::BODY, s(&key.body)),
            (keys::REQUEST, s(key.request.to_string())),
            (keys::UNTIL, ms(key.until)),
            (keys::EXPIRES, seconds(key.until)),
        ];
        writes.push(
            Write::put(Key::idempotency(&key.caller, &key.key), attributes)
                .when("attribute_not_exists(#pk) OR #until <= :now")
                .with(":now", ms(step.sealed.time)),
        );
    }
    match db.transact(&writes).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => unless_ours(db, step).await,
        Transacted::Contended => Err(LedgerError::Conflict),
    }
}

fn ask_worker(step: &Step) -> Option<Worker> {
    step.request.status.state.worker()
}

pub(super) async fn idempotency(
    db: &Dynamo,
    caller: &Login,
    key: &str,
    now: Timestamp,
) -> Result<Option<Idempotency>, LedgerError> {
    let Some(found) = db.get(&Key::idempotency(caller, key)).await? else { return Ok(None) };
    let until = item::maybe_time(&found, keys::UNTIL)?
        .ok_or_else(|| item::broken(&found, format_args!("{} is missing", keys::UNTIL)))?;
    if until <= now {
        return Ok(None);
    }
    Ok(Some(Idempotency {
        caller: caller.clone(),
        key: key.to_owned(),
        body: item::text(&found, keys::BODY)?.to_owned(),
        request: item::parsed(&found, keys::REQUEST)?,
        until,
    }))
}

pub(super) async fn record(
    db: &Dynamo,
    step: &Step,
    wake: Option<Worker>,
    change: LineChange,
) -> Result<(), LedgerError> {
    for _ in 0..ATTEMPTS {
        let mut writes = vec![next_state(step, wake)?, event(step)?];
        writes.extend(notices::first(step));
        let fixed = writes.len();
        writes.extend(line::change(db, &step.request.ask, change).await?);
        match db.transact(&writes).await? {
            Transacted::Done => return Ok(()),
            Transacted::Refused(refused) if refused.iter().take(fixed).all(|refused| !refused) => {}
            Transacted::Refused(_) => return unless_ours(db, step).await,
            Transacted::Contended => return Err(LedgerError::Conflict),
        }
    }
    Err(LedgerError::Conflict)
}

pub(super) async fn record_cancel(db: &Dynamo, step: &Step, wake: Worker) -> Result<(), LedgerError> {
    // Where nothing is applied, nothing will be: the turn is the next one's.
    let change = if step.request.status.is_any_applied() { LineChange::Keep } else { LineChange::ReleaseTurn };
    for _ in 0..ATTEMPTS {
        let mut writes = vec![next_state(step, Some(wake))?, event(step)?, work::forbid_intents(step.request.ask.id)];
        let fixed = writes.len();
        writes.extend(line::change(db, &step.request.ask, change).await?);
        match db.transact(&writes).await? {
            Transacted::Done => return Ok(()),
            Transacted::Refused(refused) if refused.iter().take(fixed).all(|refused| !refused) => {}
            Transacted::Refused(_) => return unless_ours(db, step).await,
            Transacted::Contended => return Err(LedgerError::Conflict),
        }
    }
    Err(LedgerError::Conflict)
}

/// After a refusal: a success if the step is recorded already (an answer got lost), else a conflict.
async fn unless_ours(db: &Dynamo, step: &Step) -> Result<(), LedgerError> {
    let key = Key::event(step.request.ask.id, step.request.status.sequence);
    let Some(found) = db.get(&key).await? else { return Err(LedgerError::Conflict) };
    let recorded: Sealed = item::from_json(&found, keys::EVENT)?;
    if recorded == step.sealed { Ok(()) } else { Err(LedgerError::Conflict) }
}

/// The state as the step makes it. All of it is written, so that its size is known and nothing old stays.
fn state(step: &Step, wake: Option<Worker>) -> Result<Write, LedgerError> {
    let Request { ask, status, head } = &step.request;
    let attributes = [
        (keys::VERSION, n(status.sequence)),
        (keys::STATUS, json(status)?),
        (keys::HEAD, s(head)),
        (keys::ORGANIZATION, s(ask.stack.organization.as_str())),
        (keys::ID, s(ask.id.to_string())),
    ];
    let wake = wake.map(|worker| (keys::WAKE, s(worker.as_str())));
    Ok(Write::put(Key::state(ask.id), attributes.into_iter().chain(wake)))
}

fn next_state(step: &Step, wake: Option<Worker>) -> Result<Write, LedgerError> {
    let before = step.request.status.sequence.saturating_sub(1);
    Ok(state(step, wake)?.when("#v = :before").with(":before", n(before)))
}

fn event(step: &Step) -> Result<Write, LedgerError> {
    let Request { ask, status, .. } = &step.request;
    let sealed = &step.sealed;
    let attributes = [
        (keys::EVENT, json(sealed)?),
        (keys::DAY, s(keys::day(ask.stack.organization.as_str(), &day_of(sealed.time).to_string()))),
        (keys::AT, s(keys::place(sealed.time, sealed.id))),
    ];
    Ok(Write::put(Key::event(ask.id, status.sequence), attributes).when("attribute_not_exists(#pk)"))
}
