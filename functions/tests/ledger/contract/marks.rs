//! The small items.

use serde_json::json;
use signoff_core::doorbell::{Delivery, Pointers};
use signoff_core::ledger::{Cause, Ledger};
use signoff_core::request::Worker;

use super::Place;
use super::samples::{at, id, ulid};

/// Ids that a delivery may come with: whoever sends it chooses.
pub(crate) const IDS: [&str; 4] = ["6f0d2b0e-0001", "", "# REQ", "é\n"];

/// A delivery with this id.
pub(crate) fn hook(id: &str) -> Delivery {
    let body = json!({"organization": "acme", "changeRequestId": "cr-1"});
    Delivery {
        id: id.to_owned(),
        kind: "environment".to_owned(),
        body: "b".repeat(64),
        pointers: Pointers::find(&body),
        at: at(0),
    }
}

pub(crate) async fn something_is_done_once_until_its_time(place: &impl Place) {
    let ledger = place.ledger();
    assert_eq!(ledger.once("sweep", at(0), at(10)).await, Ok(true));
    assert_eq!(ledger.once("sweep", at(9), at(19)).await, Ok(false));
    assert_eq!(ledger.once("another thing # é", at(9), at(19)).await, Ok(true));
    assert_eq!(ledger.once("by a clock that is ahead", at(100_000), at(100_010)).await, Ok(true));
    assert_eq!(ledger.once("by a clock that is ahead", at(0), at(10)).await, Ok(true), "that would be for ever");
    let (a, b) = tokio::join!(ledger.once("sweep", at(10), at(20)), ledger.once("sweep", at(10), at(20)));
    assert!(a.unwrap() ^ b.unwrap(), "one of two");
}

pub(crate) async fn a_delivery_is_recorded_once(place: &impl Place) {
    let ledger = place.ledger();
    for id in IDS {
        let hook = hook(id);
        assert_eq!(ledger.record_delivery(&hook, at(100)).await, Ok(true), "{id:?}");
        assert_eq!(ledger.record_delivery(&hook, at(100)).await, Ok(false), "{id:?}");
    }
}

pub(crate) async fn change_requests_lead_to_their_requests(place: &impl Place) {
    let ledger = place.ledger();
    let (acme, other, id) = ("acme".parse().unwrap(), "other".parse().unwrap(), id());
    ledger.point(&acme, "cr-1", id, at(100)).await.unwrap();
    ledger.point(&acme, "cr-1", id, at(100)).await.unwrap();
    assert_eq!(ledger.pointed(&acme, "cr-1").await, Ok(Some(id)));
    assert_eq!(ledger.pointed(&other, "cr-1").await, Ok(None));
    assert_eq!(ledger.pointed(&acme, "cr-2").await, Ok(None));
    ledger.ring(id, Worker::Deploy, Cause::Due, ulid()).await.unwrap();
    ledger.ring(id, Worker::Apply, Cause::Ring("delivery-1".to_owned()), ulid()).await.unwrap();
    assert_eq!(ledger.load(id).await, Ok(None), "a bell makes no request");
}
