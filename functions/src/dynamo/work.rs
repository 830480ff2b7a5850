//! The bookkeeping of work: leases, intents, notes, and when the next look is due.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use signoff_core::ledger::{
    Begin, Cause, Due, Finish, Intent, Lease, LedgerError, MAX_RINGS, Note, RING_WINDOW_SECONDS, Work,
};
use signoff_core::names::RequestId;
use ulid::Ulid;

use super::item::{self, Item, json, ms, n, s};
use super::keys::{self, Key};
use super::store::{Question, Write, Written};
use super::{Dynamo, requests};

/// How often a look is begun anew because the lease changed hands in between.
const ATTEMPTS: u32 = 4;

/// The work of an item.
pub(super) fn read(found: &Item) -> Result<Work, LedgerError> {
    Ok(Work {
        due: item::maybe_time(found, keys::DUE)?,
        intent: item::maybe_json(found, keys::INTENT)?,
        note: item::maybe_json(found, keys::NOTE)?.unwrap_or_default(),
    })
}

/// The write of a new request's work.
pub(super) fn first(id: RequestId, due: Timestamp) -> Write {
    let attributes = [(keys::SHARD, s(keys::shard(id))), (keys::DUE, ms(due))];
    Write::put(Key::work(id), attributes).when("attribute_not_exists(#pk)")
}

/// The write after which no intent is recorded any more; refused if there is one.
pub(super) fn forbid_intents(id: RequestId) -> Write {
    Write::update(Key::work(id), "SET #ending = :yes")
        .when("attribute_exists(#pk) AND attribute_not_exists(#intent)")
        .with(":yes", AttributeValue::Bool(true))
}

pub(super) async fn begin(
    db: &Dynamo,
    id: RequestId,
    holder: Ulid,
    now: Timestamp,
    until: Timestamp,
    cause: Cause,
) -> Result<Begin, LedgerError> {
    for _ in 0..ATTEMPTS {
        let rings = match &cause {
            Cause::Due => None,
            Cause::Ring(_) => {
                let Some(found) = db.get(&Key::work(id)).await? else { return Ok(Begin::Gone) };
                let Some(rings) = Rings::after_one_more(&found, now)? else { return Ok(Begin::Quiet) };
                Some(rings)
            }
        };
        let count = |write: Write| match &rings {
            Some(rings) => write.with(":since", ms(rings.since)).with(":rings", n(rings.count)),
            None => write,
        };
        let counted = if rings.is_some() { ", #rings_since = :since, #rings = :rings" } else { "" };
        // The holder's own id is let in again: an answer may have been lost on the way.
        let take = Write::update(
            Key::work(id),
            format!("SET #holder = :me, #lease_until = :until{counted} REMOVE #again"),
        )
        .when("attribute_exists(#pk) AND (attribute_not_exists(#holder) OR #lease_until <= :now OR #holder = :me)")
        .with(":me", s(holder.to_string()))
        .with(":until", ms(until))
        .with(":now", ms(now));
        let other = match db.write(&count(take)).await? {
            Written::Done(_) => return held(db, Lease { id, holder, until }).await,
            Written::Refused(None) => return Ok(Begin::Gone),
            Written::Refused(Some(found)) if found.contains_key(keys::AGAIN) => return Ok(Begin::Busy),
            Written::Refused(Some(found)) => item::text(&found, keys::HOLDER)?.to_owned(),
        };
        let tell = Write::update(Key::work(id), format!("SET #again = :yes{counted}"))
            .when("#holder = :other")
            .with(":other", s(other))
            .with(":yes", AttributeValue::Bool(true));
        if let Written::Done(_) = db.write(&count(tell)).await? {
            return Ok(Begin::Busy);
        }
    }
    Err(LedgerError::Unavailable(format!("the lease of {id} changes hands all the time")))
}

/// Loads what the lease was taken for. If that fails, the lease is given back: whoever comes next need not wait for its end.
async fn held(db: &Dynamo, lease: Lease) -> Result<Begin, LedgerError> {
    match requests::load(db, lease.id).await {
        Ok(Some(loaded)) => Ok(Begin::Held(Box::new(loaded), lease)),
        Ok(None) => Ok(Begin::Gone),
        Err(error) => {
            let release = Write::update(Key::work(lease.id), "REMOVE #holder, #lease_until")
                .when("#holder = :me")
                .with(":me", s(lease.holder.to_string()));
            // The lease ends by itself if this fails too; what the caller has to know is the first failure.
            let _ = db.write(&release).await;
            Err(error)
        }
    }
}

/// The rings that made somebody look since a time.
struct Rings {
    since: Timestamp,
    count: u32,
}

impl Rings {
    /// With one more now; `None` if that is too many.
    fn after_one_more(found: &Item, now: Timestamp) -> Result<Option<Self>, LedgerError> {
        let since = item::maybe_time(found, keys::RINGS_SINCE)?;
        let count: u32 = item::maybe_number(found, keys::RINGS)?.unwrap_or(0);
        let window = SignedDuration::from_secs(RING_WINDOW_SECONDS);
        Ok(match since {
            Some(since) if now.duration_since(since).abs() < window => {
                (count < MAX_RINGS).then(|| Self { since, count: count.saturating_add(1) })
            }
            _ => Some(Self { since: now, count: 1 }),
        })
    }
}

pub(super) async fn intend(db: &Dynamo, lease: &Lease, intent: &Intent) -> Result<(), LedgerError> {
    let write = under(lease, "SET #intent = :intent", " AND attribute_not_exists(#ending) AND #lease_until > :now")
        .with(":intent", json(intent)?)
        .with(":now", ms(intent.at));
    done_or_conflict(db, &write).await
}

pub(super) async fn confirm(db: &Dynamo, lease: &Lease, now: Timestamp) -> Result<(), LedgerError> {
    let write = under(lease, "SET #lease_until = :until", " AND attribute_not_exists(#ending) AND #lease_until > :now")
        .with(":until", ms(lease.until))
        .with(":now", ms(now));
    done_or_conflict(db, &write).await
}

pub(super) async fn note(db: &Dynamo, lease: &Lease, note: &Note) -> Result<(), LedgerError> {
    done_or_conflict(db, &under(lease, "SET #note = :note", "").with(":note", json(note)?)).await
}

pub(super) async fn finish(db: &Dynamo, lease: &Lease, work: &Work) -> Result<Finish, LedgerError> {
    let (keep_intent, drop_intent) =
        if work.intent.is_some() { (", #intent = :intent", "") } else { ("", ", #intent") };
    let (set_due, drop_due) =
        if work.due.is_some() { (", #due = :due, #shard = :shard", "") } else { ("", ", #due, #shard") };
    let fill = |mut write: Write, with_due: bool| -> Result<Write, LedgerError> {
        write = write.with(":note", json(&work.note)?);
        if let Some(intent) = &work.intent {
            write = write.with(":intent", json(intent)?);
        }
        if let Some(due) = work.due.filter(|_| with_due) {
            write = write.with(":due", ms(due)).with(":shard", s(keys::shard(lease.id)));
        }
        Ok(write)
    };
    let release =
        format!("SET #note = :note{keep_intent}{set_due} REMOVE #holder, #lease_until{drop_intent}{drop_due}");
    let release = fill(under(lease, release, " AND attribute_not_exists(#again)"), true)?;
    match db.write(&release).await? {
        Written::Done(_) => return Ok(Finish::Released),
        Written::Refused(Some(found)) if found.get(keys::HOLDER) == Some(&s(lease.holder.to_string())) => {}
        Written::Refused(_) => return Ok(Finish::Lost),
    }
    // The due time stays as it was: should the next look never come about, the sweep finds the request.
    let stay = format!("SET #note = :note{keep_intent} REMOVE #again{drop_intent}");
    match db.write(&fill(under(lease, stay, ""), false)?).await? {
        Written::Done(_) => Ok(Finish::Again),
        Written::Refused(_) => Ok(Finish::Lost),
    }
}

fn under(lease: &Lease, expression: impl Into<String>, also: &str) -> Write {
    Write::update(Key::work(lease.id), expression)
        .when(format!("#holder = :me{also}"))
        .with(":me", s(lease.holder.to_string()))
}

async fn done_or_conflict(db: &Dynamo, write: &Write) -> Result<(), LedgerError> {
    match db.write(write).await? {
        Written::Done(_) => Ok(()),
        Written::Refused(_) => Err(LedgerError::Conflict),
    }
}

pub(super) async fn due(db: &Dynamo, now: Timestamp, limit: usize) -> Result<Vec<Due>, LedgerError> {
    let mut all = Vec::new();
    for shard in keys::SHARDS {
        let values = vec![(":shard", s(shard)), (":now", ms(now))];
        for hit in in_index(db, "#shard = :shard AND #due <= :now", values, limit).await? {
            let due = item::maybe_time(&hit, keys::DUE)?;
            all.extend(due.map(|due| Ok(Due { id: request_in(&hit)?, due })).transpose()?);
        }
    }
    all.sort_by_key(|due| (due.due, due.id));
    all.truncate(limit);
    Ok(all)
}

pub(super) async fn open(db: &Dynamo, limit: usize) -> Result<Vec<RequestId>, LedgerError> {
    let mut all = Vec::new();
    for shard in keys::SHARDS {
        let left = limit.saturating_sub(all.len());
        for hit in in_index(db, "#shard = :shard", vec![(":shard", s(shard))], left).await? {
            all.push(request_in(&hit)?);
        }
    }
    Ok(all)
}

async fn in_index(
    db: &Dynamo,
    condition: &'static str,
    values: Vec<(&'static str, AttributeValue)>,
    limit: usize,
) -> Result<Vec<Item>, LedgerError> {
    let index = Some(keys::DUE_INDEX);
    db.query(Question { index, condition, values, limit: Some(limit), ..Question::default() }).await
}

fn request_in(hit: &Item) -> Result<RequestId, LedgerError> {
    keys::request_of(item::text(hit, keys::PK)?).ok_or_else(|| item::broken(hit, "no request's key"))
}

pub(super) async fn claim_due(db: &Dynamo, due: &Due, next: Timestamp) -> Result<bool, LedgerError> {
    let claim = Write::update(Key::work(due.id), "SET #due = :next")
        .when("#due = :was")
        .with(":next", ms(next))
        .with(":was", ms(due.due));
    Ok(matches!(db.write(&claim).await?, Written::Done(_)))
}

pub(super) async fn void_leases(db: &Dynamo, now: Timestamp, settle: SignedDuration) -> Result<(), LedgerError> {
    let settles_at = now.saturating_add(settle).unwrap_or(Timestamp::MAX);
    for id in open(db, usize::MAX).await? {
        let Some(found) = db.get(&Key::work(id)).await? else { continue };
        let mut work = read(&found)?;
        let mut expression = "SET #due = :due".to_owned();
        let mut values = vec![(":due", ms(work.due.map_or(now, |due| due.min(now))))];
        if let Some(intent) = &mut work.intent {
            intent.settles_at = settles_at;
            expression.push_str(", #intent = :intent");
            values.push((":intent", json(intent)?));
        }
        if let Some(opening) = &mut work.note.opening {
            opening.settles_at = settles_at;
        }
        // A time to wait for that another process noted may be by a clock that was wrong.
        if work.note.opening.is_some() || work.note.retry_at.is_some() {
            work.note.retry_at = None;
            expression.push_str(", #note = :note");
            values.push((":note", json(&work.note)?));
        }
        expression.push_str(" REMOVE #holder, #lease_until, #again");
        let write = Write::update(Key::work(id), expression).when("attribute_exists(#due)");
        db.write(&values.into_iter().fold(write, |write, (name, value)| write.with(name, value))).await?;
    }
    Ok(())
}
