//! What DynamoDB's own ledger does besides: how its items look, what it says of one that makes no sense, and what is put into it from outside.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use signoff_core::doorbell::Delivery;
use signoff_core::gate::Gates;
use signoff_core::ledger::{Due, Finish, Intent, Ledger, LedgerError, LineChange, Note, Work};
use signoff_core::names::RequestId;
use signoff_functions::dynamo::keys::{self, Key};

use crate::contract::marks::{IDS, hook};
use crate::contract::samples::{STACK, at, created, opened, recorded};
use crate::contract::work::begun;
use crate::place::{TABLE, Table};

pub(crate) async fn what_makes_no_sense_is_shown_and_not_guessed(place: &impl Table) {
    let ledger = place.ledger();
    let id = recorded(&ledger, &created(&ledger, STACK).await, opened(), LineChange::Keep).await.ask.id;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (key, name, value, said) in [
        (Key::state(id), keys::VERSION, AttributeValue::N("7".to_owned()), "version 7, but a status of event 2"),
        (Key::state(id), keys::STATUS, text("{}"), "status is not what it should be"),
        (Key::state(id), keys::HEAD, AttributeValue::N("1".to_owned()), "head is no text"),
        (Key::work(id), keys::DUE, AttributeValue::N("1.5".to_owned()), "due is no number that can stand there"),
        (Key::work(id), keys::NOTE, text("[1"), "note is not what it should be"),
        (Key::event(id, 1), keys::EVENT, text("gone"), "event is not what it should be"),
    ] {
        let before = put(place, &key, name, value).await;
        assert_broken(place, id, said).await;
        match before {
            Some(before) => drop(put(place, &key, name, before).await),
            None => remove(place, &key, name).await,
        }
    }
    let event = ledger.events(id).await.unwrap().remove(0);
    let edited = serde_json::to_string(&event).unwrap().replace("4711", "4712");
    let before = put(place, &Key::event(id, 1), keys::EVENT, text(&edited)).await.unwrap();
    assert_broken(place, id, "event 1 was edited").await;
    put(place, &Key::event(id, 1), keys::EVENT, before).await;
    assert!(ledger.load(id).await.unwrap().is_some());

    delete(place, &Key::event(id, 1)).await;
    let said = "its state is there (version Some(2)), its first event is missing, its work is there";
    assert_broken(place, id, said).await;
    let other = created(&ledger, "acme/api/prod").await.ask.id;
    let listed = ledger.list(&"acme".parse().unwrap(), None, 10).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| one.map(|loaded| loaded.request.ask.id)).collect();
    assert_eq!(listed, [Ok(other), Err(id)], "it hides nobody, and is not left out");
}

async fn assert_broken(place: &impl Table, id: RequestId, said: &str) {
    match place.ledger().load(id).await {
        Err(LedgerError::Broken(why)) => assert!(why.contains(said) && why.contains(&id.to_string()), "{why}"),
        other => panic!("{said}: {other:?}"),
    }
}

/// Sets an attribute behind the ledger's back, and gives what it was.
async fn put(place: &impl Table, key: &Key, name: &str, value: AttributeValue) -> Option<AttributeValue> {
    let update = place.client().update_item().table_name(TABLE).update_expression("SET #name = :value");
    let done = update
        .key(keys::PK, AttributeValue::S(key.pk.clone()))
        .key(keys::SK, AttributeValue::S(key.sk.clone()))
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value)
        .return_values(aws_sdk_dynamodb::types::ReturnValue::UpdatedOld)
        .send()
        .await;
    done.unwrap().attributes?.remove(name)
}

async fn remove(place: &impl Table, key: &Key, name: &str) {
    let update = place.client().update_item().table_name(TABLE).update_expression("REMOVE #name");
    let update =
        update.key(keys::PK, AttributeValue::S(key.pk.clone())).key(keys::SK, AttributeValue::S(key.sk.clone()));
    update.expression_attribute_names("#name", name).send().await.unwrap();
}

async fn delete(place: &impl Table, key: &Key) {
    let delete = place.client().delete_item().table_name(TABLE);
    let delete =
        delete.key(keys::PK, AttributeValue::S(key.pk.clone())).key(keys::SK, AttributeValue::S(key.sk.clone()));
    delete.send().await.unwrap();
}

pub(crate) async fn a_delivery_is_kept_as_it_came_whatever_its_id(place: &impl Table) {
    let ledger = place.ledger();
    let long = "x".repeat(3_000);
    for id in IDS.into_iter().chain([&*long]) {
        let hook = hook(id);
        for is_new in [true, false] {
            assert_eq!(ledger.record_delivery(&hook, at(100)).await, Ok(is_new), "{id:?}");
        }
        let key = Key::hook(id);
        let stored = place.client().get_item().table_name(TABLE);
        let stored = stored.key(keys::PK, AttributeValue::S(key.pk)).key(keys::SK, AttributeValue::S(key.sk));
        let item = stored.send().await.unwrap().item.unwrap();
        let read = signoff_functions::dynamo::delivery(item[keys::DELIVERY].as_s().unwrap()).unwrap();
        assert_eq!(read, Delivery { id: keys::outside(id), ..hook });
        assert_eq!(item[keys::EXPIRES], AttributeValue::N(at(100).as_second().to_string()));
    }
    assert_eq!(signoff_functions::dynamo::delivery("{}"), None);
}

pub(crate) async fn gates_are_none_until_they_are_put(place: &impl Table) {
    let ledger = place.ledger();
    assert_eq!(ledger.gates().await, Ok(Gates::default()));
    let text = "hold = true\n[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";
    let gates = Gates::from_toml(text).unwrap();
    ledger.put_gates(&gates).await.unwrap();
    assert_eq!(ledger.gates().await, Ok(gates));
}

pub(crate) async fn void_leases_let_what_was_intended_settle(place: &impl Table) {
    let ledger = place.ledger();
    let (died, idle) = (created(&ledger, STACK).await.ask.id, created(&ledger, STACK).await.ask.id);
    let (_, lease) = begun(&ledger, died, 0).await;
    let intent = Intent { at: at(1), settles_at: at(1_000) };
    ledger.intend(&lease, &intent).await.unwrap();
    ledger.note(&lease, &Note { opening: Some(intent.clone()), failures: 1, ..Note::default() }).await.unwrap();
    ledger.void_leases(at(5), SignedDuration::from_secs(10)).await.unwrap();
    let due = ledger.due(at(5), 10).await.unwrap();
    assert_eq!(due.len(), 2, "every open request is looked at when the process starts anew");
    assert!(due.contains(&Due { id: died, due: at(5) }) && due.contains(&Due { id: idle, due: at(5) }));
    assert_eq!(ledger.finish(&lease, &Work::default()).await, Ok(Finish::Lost));
    let work = begun(&ledger, died, 5).await.0.work;
    let settles = Some(Intent { settles_at: at(15), ..intent });
    assert_eq!((work.intent, work.note.opening, work.note.failures), (settles.clone(), settles, 1));
}
