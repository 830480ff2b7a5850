//! Requests are recorded whole or not at all, and read back as they were.

use aws_sdk_dynamodb::types::AttributeValue;
use signoff_core::chain::replay;
use signoff_core::ledger::{Idempotency, Ledger, LedgerError, LineChange, Listing, Loaded, NewRequest, Work};
use signoff_core::names::RequestId;
use signoff_functions::dynamo::keys::{self, Key};

use crate::place::{Place, TABLE};
use crate::samples::{STACK, ask, at, cancelled, created, id, new, opened, recorded, step, submitted, taken_back};

pub(crate) async fn what_is_created_is_loaded(place: &impl Place) {
    let ledger = place.ledger();
    let new = new(ask(STACK, 0));
    ledger.create(&new).await.unwrap();
    let loaded = ledger.load(new.step.request.ask.id).await.unwrap();
    let work = Work { due: Some(new.due), ..Work::default() };
    assert_eq!(loaded, Some(Loaded { request: new.step.request.clone(), work }));
    assert_eq!(ledger.create(&new).await, Ok(()), "an answer that was lost: it is recorded already");
    assert_eq!(ledger.load(id()).await, Ok(None));
    assert_eq!(ledger.events(id()).await, Ok(Vec::new()));
}

pub(crate) async fn a_line_that_moved_is_a_conflict_and_nothing_is_written(place: &impl Place) {
    let ledger = place.ledger();
    created(&ledger, STACK).await;
    for position in [0, 2] {
        let late = with_key(new(ask(STACK, position)), "late");
        assert_eq!(ledger.create(&late).await, Err(LedgerError::Conflict));
        assert_eq!(ledger.load(late.step.request.ask.id).await, Ok(None));
        assert_eq!(ledger.idempotency(&"alice".parse().unwrap(), "late", at(0)).await, Ok(None));
    }
    assert_eq!(ledger.line(&STACK.parse().unwrap()).await.unwrap().next, 1);
}

pub(crate) async fn of_two_at_once_one_is_created(place: &impl Place) {
    let (one, two) = (place.ledger(), place.ledger());
    let (first, second) = (new(ask(STACK, 0)), new(ask(STACK, 0)));
    let (a, b) = tokio::join!(one.create(&first), two.create(&second));
    assert!(matches!((&a, &b), (Ok(()), Err(LedgerError::Conflict)) | (Err(LedgerError::Conflict), Ok(()))));
    assert_eq!(one.line(&STACK.parse().unwrap()).await.unwrap().waiting.len(), 1);
}

fn with_key(new: NewRequest, key: &str) -> NewRequest {
    let idempotency = Idempotency {
        caller: "Alice".parse().unwrap(),
        key: key.to_owned(),
        body: "b".repeat(64),
        request: new.step.request.ask.id,
        until: at(100),
    };
    NewRequest { idempotency: Some(idempotency), ..new }
}

pub(crate) async fn an_idempotency_key_stands_for_one_request_until_it_ends(place: &impl Place) {
    let ledger = place.ledger();
    let first = with_key(new(ask(STACK, 0)), "k#1 é");
    ledger.create(&first).await.unwrap();
    let caller = "aLICE".parse().unwrap();
    assert_eq!(ledger.idempotency(&caller, "k#1 é", at(99)).await, Ok(first.idempotency.clone()));
    assert_eq!(ledger.idempotency(&"bob".parse().unwrap(), "k#1 é", at(99)).await, Ok(None));
    assert_eq!(ledger.idempotency(&caller, "k#1 e", at(99)).await, Ok(None));
    assert_eq!(ledger.create(&with_key(new(ask(STACK, 1)), "k#1 é")).await, Err(LedgerError::Conflict));

    assert_eq!(ledger.idempotency(&caller, "k#1 é", at(100)).await, Ok(None), "it ended, though it is still there");
    let mut later = ask(STACK, 1);
    later.created_at = at(100);
    assert_eq!(ledger.create(&with_key(new(later), "k#1 é")).await, Ok(()), "and can be used again");
}

pub(crate) async fn the_state_is_what_the_events_make(place: &impl Place) {
    let ledger = place.ledger();
    let mut request = created(&ledger, STACK).await;
    for event in [opened(), submitted(), taken_back(), cancelled()] {
        request = recorded(&ledger, &request, event, LineChange::Keep).await;
        let loaded = ledger.load(request.ask.id).await.unwrap().unwrap();
        assert_eq!(loaded.request, request);
    }
    let events = ledger.events(request.ask.id).await.unwrap();
    assert_eq!((events.len(), replay(&events).unwrap()), (5, request));
}

pub(crate) async fn a_step_is_recorded_once_whoever_asks_again(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let own = step(Some(&request), opened(), at(1));
    let other = step(Some(&request), opened(), at(1));
    assert_eq!(ledger.record(&own, None, LineChange::Keep).await, Ok(()));
    assert_eq!(ledger.record(&own, None, LineChange::Keep).await, Ok(()), "it is recorded already");
    assert_eq!(ledger.record(&other, None, LineChange::Keep).await, Err(LedgerError::Conflict));
    let later = step(Some(&own.request), submitted(), at(2));
    let after = step(Some(&later.request), taken_back(), at(3));
    assert_eq!(ledger.record(&after, None, LineChange::Keep).await, Err(LedgerError::Conflict), "a step is missing");
    assert_eq!(ledger.record(&later, None, LineChange::Keep).await, Ok(()));
    assert_eq!(ledger.record(&own, None, LineChange::Leave).await, Ok(()), "still, when others came after it");
    assert_eq!(ledger.load(request.ask.id).await.unwrap().unwrap().request, later.request);
}

pub(crate) async fn of_two_steps_at_once_one_is_recorded(place: &impl Place) {
    let (one, two) = (place.ledger(), place.ledger());
    let request = created(&one, STACK).await;
    let (first, second) = (step(Some(&request), opened(), at(1)), step(Some(&request), taken_back(), at(1)));
    let (a, b) = tokio::join!(one.record(&first, None, LineChange::Keep), two.record(&second, None, LineChange::Leave));
    assert!(matches!((&a, &b), (Ok(()), Err(LedgerError::Conflict)) | (Err(LedgerError::Conflict), Ok(()))));
    assert_eq!(one.events(request.ask.id).await.unwrap().len(), 2);
}

pub(crate) async fn what_makes_no_sense_is_shown_and_not_guessed(place: &impl Place) {
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

async fn assert_broken(place: &impl Place, id: RequestId, said: &str) {
    match place.ledger().load(id).await {
        Err(LedgerError::Broken(why)) => assert!(why.contains(said) && why.contains(&id.to_string()), "{why}"),
        other => panic!("{said}: {other:?}"),
    }
}

/// Sets an attribute behind the ledger's back, and gives what it was.
async fn put(place: &impl Place, key: &Key, name: &str, value: AttributeValue) -> Option<AttributeValue> {
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

async fn remove(place: &impl Place, key: &Key, name: &str) {
    let update = place.client().update_item().table_name(TABLE).update_expression("REMOVE #name");
    let update =
        update.key(keys::PK, AttributeValue::S(key.pk.clone())).key(keys::SK, AttributeValue::S(key.sk.clone()));
    update.expression_attribute_names("#name", name).send().await.unwrap();
}

async fn delete(place: &impl Place, key: &Key) {
    let delete = place.client().delete_item().table_name(TABLE);
    let delete =
        delete.key(keys::PK, AttributeValue::S(key.pk.clone())).key(keys::SK, AttributeValue::S(key.sk.clone()));
    delete.send().await.unwrap();
}

pub(crate) async fn a_listing_is_newest_first_and_of_one_organization(place: &impl Place) {
    let ledger = place.ledger();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(created(&ledger, if n % 2 == 0 { STACK } else { "acme/api/prod" }).await.ask.id);
    }
    created(&ledger, "other/web/prod").await;
    ids.reverse();
    let acme = "acme".parse().unwrap();
    let all = ledger.list(&acme, None, 10).await.unwrap();
    let found = |listed: &[Listing]| listed.iter().map(|one| one.as_ref().unwrap().request.ask.id).collect::<Vec<_>>();
    assert_eq!(found(&all), ids);
    let page = ledger.list(&acme, Some(ids[1]), 2).await.unwrap();
    assert_eq!(found(&page), ids[2..4]);
    assert_eq!(page[0], Ok(ledger.load(ids[2]).await.unwrap().unwrap()));
    assert_eq!(ledger.list(&acme, Some(ids[4]), 2).await, Ok(Vec::new()));
}
