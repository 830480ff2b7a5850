//! Notices: an item for each event that somebody is told of, in a partition of the due index that is theirs alone.

use jiff::{SignedDuration, Timestamp};
use signoff_core::chain::Step;
use signoff_core::ledger::{LedgerError, NoticeDue, NoticeWork};

use super::Dynamo;
use super::item::{self, json, ms, s, seconds};
use super::keys::{self, Key};
use super::store::{Question, Write, Written};

/// How long a notice stays in the table after it was sent, or given up, for people to see.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The write of the notice that a step makes due; `None`: nobody is told of it.
pub(super) fn first(step: &Step) -> Option<Write> {
    let key = Key::notice(step.request.ask.id, step.request.status.sequence);
    let attributes = [(keys::SHARD, s(keys::NOTICES)), (keys::DUE, ms(step.sealed.time))];
    step.is_told.then(|| Write::put(key, attributes).when("attribute_not_exists(#pk)"))
}

pub(super) async fn due(db: &Dynamo, now: Timestamp, limit: usize) -> Result<Vec<NoticeDue>, LedgerError> {
    let question = Question {
        index: Some(keys::DUE_INDEX),
        condition: "#shard = :shard AND #due <= :now",
        values: vec![(":shard", s(keys::NOTICES)), (":now", ms(now))],
        limit: Some(limit),
        ..Question::default()
    };
    let hits = db.query(question).await?;
    let found = hits.iter().map(|hit| {
        let place = || item::broken(hit, "no notice's key");
        let id = keys::request_of(item::text(hit, keys::PK)?).ok_or_else(place)?;
        let event = keys::notice_of(item::text(hit, keys::SK)?).ok_or_else(place)?;
        let due = item::maybe_time(hit, keys::DUE)?.ok_or_else(place)?;
        Ok(NoticeDue { id, event, due })
    });
    found.collect()
}

pub(super) async fn claim(db: &Dynamo, notice: NoticeDue, until: Timestamp) -> Result<Option<NoticeWork>, LedgerError> {
    let claim = Write::update(Key::notice(notice.id, notice.event), "SET #due = :until, #lease_until = :until")
        .when("#due = :was")
        .with(":until", ms(until))
        .with(":was", ms(notice.due));
    match db.write(&claim).await? {
        Written::Done(found) => Ok(Some(item::maybe_json(&found, keys::NOTE)?.unwrap_or_default())),
        Written::Refused(_) => Ok(None),
    }
}

pub(super) async fn finish(
    db: &Dynamo,
    claimed: NoticeDue,
    left: Option<(Timestamp, NoticeWork)>,
) -> Result<(), LedgerError> {
    let key = Key::notice(claimed.id, claimed.event);
    let write = match left {
        Some((due, work)) => Write::update(key, "SET #due = :due, #note = :note REMOVE #lease_until")
            .with(":due", ms(due))
            .with(":note", json(&work)?),
        None => {
            let expires = claimed.due.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
            Write::update(key, "SET #expires = :expires REMOVE #shard, #due, #lease_until")
                .with(":expires", seconds(expires))
        }
    };
    // Whoever took it over since will say what is left.
    db.write(&write.when("#due = :claimed").with(":claimed", ms(claimed.due))).await.map(|_| ())
}

/// Makes due at once what a process that is dead was sending.
pub(super) async fn void_claims(db: &Dynamo, now: Timestamp) -> Result<(), LedgerError> {
    for notice in due(db, Timestamp::MAX, usize::MAX).await? {
        let free = Write::update(Key::notice(notice.id, notice.event), "SET #due = :now REMOVE #lease_until")
            .when("attribute_exists(#lease_until) AND #due = :was")
            .with(":now", ms(now))
            .with(":was", ms(notice.due));
        db.write(&free).await?;
    }
    Ok(())
}
