//! Small items: gates, rings, webhook deliveries, pointers from change requests, and what is done by one at a time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use signoff_core::doorbell::{Delivery, Pointers};
use signoff_core::gate::Gates;
use signoff_core::ledger::{Cause, LedgerError, ONCE_SKEW};
use signoff_core::names::{Organization, RequestId};
use signoff_core::request::Worker;
use ulid::Ulid;

use super::Dynamo;
use super::item::{self, json, ms, s, seconds};
use super::keys::{self, Key};
use super::store::{Write, Written};

/// How long what was done once stays in the table after its time, for people to see.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// A delivery as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    kind: String,
    body: String,
    #[serde(default)]
    pointers: Pointers,
    at: Timestamp,
}

/// The delivery of a stored text: the attribute [`keys::DELIVERY`], as the stream shows it. `None` if it is none.
pub fn delivery(text: &str) -> Option<Delivery> {
    let Stored { id, kind, body, pointers, at } = serde_json::from_str(text).ok()?;
    Some(Delivery { id, kind, body, pointers, at })
}

pub(super) async fn gates(db: &Dynamo) -> Result<Gates, LedgerError> {
    let Some(found) = db.get(&Key::gates()).await? else { return Ok(Gates::default()) };
    Gates::from_json(item::text(&found, keys::GATES)?).map_err(|why| item::broken(&found, why))
}

pub(super) async fn put_gates(db: &Dynamo, gates: &Gates) -> Result<(), LedgerError> {
    db.write(&Write::put(Key::gates(), [(keys::GATES, json(gates)?)])).await.map(|_| ())
}

pub(super) async fn ring(
    db: &Dynamo,
    id: RequestId,
    worker: Worker,
    cause: Cause,
    ulid: Ulid,
) -> Result<(), LedgerError> {
    let attributes =
        [(keys::FOR, s(worker.as_str())), (keys::CAUSE, s(cause.as_str())), (keys::RING, s(ulid.to_string()))];
    let hook = cause.delivery().map(|delivery| (keys::HOOK, s(delivery)));
    db.write(&Write::put(Key::ring(id), attributes.into_iter().chain(hook))).await.map(|_| ())
}

pub(super) async fn once(db: &Dynamo, what: &str, now: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
    let tidy = until.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
    let write = Write::put(Key::once(what), [(keys::UNTIL, ms(until)), (keys::EXPIRES, seconds(tidy))])
        .when("attribute_not_exists(#pk) OR #until <= :now OR #until > :far")
        .with(":now", ms(now))
        .with(":far", ms(until.saturating_add(ONCE_SKEW).unwrap_or(Timestamp::MAX)));
    Ok(matches!(db.write(&write).await?, Written::Done(_)))
}

pub(super) async fn record_delivery(db: &Dynamo, delivery: &Delivery, expires: Timestamp) -> Result<bool, LedgerError> {
    let Delivery { id, kind, body, pointers, at } = delivery.clone();
    let stored = json(&Stored { id: keys::outside(&id), kind, body, pointers, at })?;
    let write = Write::put(Key::hook(&id), [(keys::DELIVERY, stored), (keys::EXPIRES, seconds(expires))])
        .when("attribute_not_exists(#pk)");
    Ok(matches!(db.write(&write).await?, Written::Done(_)))
}

pub(super) async fn point(
    db: &Dynamo,
    organization: &Organization,
    change_request: &str,
    id: RequestId,
    expires: Timestamp,
) -> Result<(), LedgerError> {
    let attributes = [(keys::REQUEST, s(id.to_string())), (keys::EXPIRES, seconds(expires))];
    db.write(&Write::put(Key::change_request(organization, change_request), attributes)).await.map(|_| ())
}

pub(super) async fn pointed(
    db: &Dynamo,
    organization: &Organization,
    change_request: &str,
) -> Result<Option<RequestId>, LedgerError> {
    let found = db.get(&Key::change_request(organization, change_request)).await?;
    found.map(|found| item::parsed(&found, keys::REQUEST)).transpose()
}
