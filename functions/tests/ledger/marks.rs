//! The small items.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use signoff_core::doorbell::{Delivery, Pointers};
use signoff_core::gate::Gates;
use signoff_core::ledger::{Cause, Ledger};
use signoff_core::request::Worker;
use signoff_functions::dynamo::{delivery, keys};

use crate::place::{Place, TABLE};
use crate::samples::{at, id, ulid};

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

pub(crate) async fn a_delivery_is_recorded_once_whatever_its_id(place: &impl Place) {
    let ledger = place.ledger();
    let body = json!({"organization": "acme", "changeRequestId": "cr-1"});
    for id in ["6f0d2b0e-0001", "", "# REQ", &"x".repeat(3_000), "é\n"] {
        let hook = Delivery {
            id: id.to_owned(),
            kind: "environment".to_owned(),
            body: "b".repeat(64),
            pointers: Pointers::find(&body),
            at: at(0),
        };
        assert_eq!(ledger.record_delivery(&hook, at(100)).await, Ok(true), "{id:?}");
        assert_eq!(ledger.record_delivery(&hook, at(100)).await, Ok(false), "{id:?}");
        let key = keys::Key::hook(id);
        let stored = place.client().get_item().table_name(TABLE);
        let stored = stored.key(keys::PK, AttributeValue::S(key.pk)).key(keys::SK, AttributeValue::S(key.sk));
        let item = stored.send().await.unwrap().item.unwrap();
        let read = delivery(item[keys::DELIVERY].as_s().unwrap()).unwrap();
        assert_eq!(read, Delivery { id: keys::outside(id), ..hook });
        assert_eq!(item[keys::EXPIRES], AttributeValue::N(at(100).as_second().to_string()));
    }
    assert_eq!(delivery("{}"), None);
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

pub(crate) async fn gates_are_none_until_they_are_put(place: &impl Place) {
    let ledger = place.ledger();
    assert_eq!(ledger.gates().await, Ok(Gates::default()));
    let text = "hold = true\n[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";
    let gates = Gates::from_toml(text).unwrap();
    ledger.put_gates(&gates).await.unwrap();
    assert_eq!(ledger.gates().await, Ok(gates));
}
