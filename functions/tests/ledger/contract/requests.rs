//! Requests are recorded whole or not at all, and read back as they were.

use signoff_core::chain::replay;
use signoff_core::ledger::{Idempotency, Ledger, LedgerError, LineChange, Listing, Loaded, NewRequest, Work};

use super::Place;
use super::samples::{STACK, ask, at, cancelled, created, id, new, opened, recorded, step, submitted, taken_back};

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
