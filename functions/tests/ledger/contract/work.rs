//! One works at a time, nothing that was asked for meanwhile is forgotten, and intent and cancellation exclude each other.

use signoff_core::ledger::{
    Begin, Cause, Due, Finish, Intent, Lease, Ledger, LedgerError, LineChange, Loaded, MAX_RINGS, Note,
    RING_WINDOW_SECONDS, Work,
};
use signoff_core::names::RequestId;
use signoff_core::request::Worker;

use super::Place;
use super::samples::{STACK, at, cancelled, created, id, recorded, step, taken_back, ulid};

/// A lease from this second on, for a minute.
pub(crate) async fn begun(ledger: &impl Ledger, id: RequestId, from: i64) -> (Loaded, Lease) {
    match ledger.begin(id, ulid(), at(from), at(from + 60), Cause::Due).await.unwrap() {
        Begin::Held(loaded, lease) => (*loaded, lease),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_lease_is_held_by_one(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let id = request.ask.id;
    let (loaded, lease) = begun(&ledger, id, 0).await;
    assert_eq!((loaded.request, lease.until), (request, at(60)));
    for cause in [Cause::Due, Cause::Ring("delivery-1".to_owned()), Cause::Due] {
        assert_eq!(ledger.begin(id, ulid(), at(1), at(61), cause).await, Ok(Begin::Busy));
    }
    let again = ledger.begin(id, lease.holder, at(1), at(60), Cause::Due).await.unwrap();
    assert!(matches!(again, Begin::Held(..)), "whoever asks twice, since the answer was lost, has it: {again:?}");

    assert_eq!(ledger.begin(id, ulid(), at(1), at(61), Cause::Due).await, Ok(Begin::Busy));
    let work = loaded.work;
    assert_eq!(ledger.finish(&lease, &work).await, Ok(Finish::Again), "somebody asked for another look");
    assert_eq!(ledger.begin(id, ulid(), at(2), at(62), Cause::Due).await, Ok(Begin::Busy), "it is still held");
    assert_eq!(ledger.finish(&lease, &work).await, Ok(Finish::Again));
    assert_eq!(ledger.finish(&lease, &work).await, Ok(Finish::Released));
    begun(&ledger, id, 3).await;

    for cause in [Cause::Due, Cause::Ring("delivery-1".to_owned())] {
        assert_eq!(ledger.begin(super::samples::id(), ulid(), at(1), at(61), cause).await, Ok(Begin::Gone));
    }
}

pub(crate) async fn a_lease_that_ran_out_is_taken_and_its_holder_writes_nothing_more(place: &impl Place) {
    let ledger = place.ledger();
    let id = created(&ledger, STACK).await.ask.id;
    let (loaded, old) = begun(&ledger, id, 0).await;
    let intent = |seconds| Intent { at: at(seconds), settles_at: at(seconds + 10) };
    assert_eq!(ledger.begin(id, ulid(), at(59), at(99), Cause::Due).await, Ok(Begin::Busy));
    assert_eq!(ledger.intend(&old, &intent(60)).await, Err(LedgerError::Conflict), "it ran out, though nobody has it");
    let (_, new) = begun(&ledger, id, 60).await;
    assert_eq!(ledger.intend(&old, &intent(59)).await, Err(LedgerError::Conflict));
    assert_eq!(ledger.note(&old, &Note::default()).await, Err(LedgerError::Conflict));
    assert_eq!(ledger.finish(&old, &Work { due: None, ..loaded.work.clone() }).await, Ok(Finish::Lost));
    assert_eq!(ledger.finish(&new, &loaded.work).await, Ok(Finish::Released));
    assert_eq!(ledger.finish(&old, &Work::default()).await, Ok(Finish::Lost), "not even when nobody has it");
    assert_eq!(ledger.load(id).await.unwrap().unwrap().work, loaded.work);
}

pub(crate) async fn rings_are_bounded_within_their_window(place: &impl Place) {
    let ledger = place.ledger();
    let id = created(&ledger, STACK).await.ask.id;
    let ring = |seconds| {
        let ledger = ledger.clone();
        async move {
            ledger.begin(id, ulid(), at(seconds), at(seconds + 60), Cause::Ring("delivery-1".to_owned())).await.unwrap()
        }
    };
    let Begin::Held(loaded, lease) = ring(0).await else { panic!("nobody has it") };
    assert_eq!(ring(1).await, Begin::Busy, "counts, since it makes its holder look");
    assert_eq!(ring(1).await, Begin::Busy, "does not count: the holder is going to look anyway");
    assert_eq!(ledger.finish(&lease, &loaded.work).await, Ok(Finish::Again));
    assert_eq!(ledger.finish(&lease, &loaded.work).await, Ok(Finish::Released));
    for n in 2..MAX_RINGS {
        let Begin::Held(loaded, lease) = ring(2).await else { panic!("ring {n} is not too many") };
        assert_eq!(ledger.finish(&lease, &loaded.work).await, Ok(Finish::Released));
    }
    assert_eq!(ring(RING_WINDOW_SECONDS - 1).await, Begin::Quiet);
    let (loaded, lease) = begun(&ledger, id, 3).await;
    assert_eq!(ledger.finish(&lease, &loaded.work).await, Ok(Finish::Released), "the sweep may look at any time");
    assert!(matches!(ring(RING_WINDOW_SECONDS).await, Begin::Held(..)), "a new window");
}

pub(crate) async fn an_intent_forbids_the_cancellation(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let (loaded, lease) = begun(&ledger, request.ask.id, 0).await;
    let intent = Intent { at: at(1), settles_at: at(11) };
    ledger.intend(&lease, &intent).await.unwrap();
    let end = step(Some(&request), taken_back(), at(2));
    assert_eq!(ledger.record_cancel(&end, Worker::Apply).await, Err(LedgerError::Conflict));
    assert_eq!(ledger.events(request.ask.id).await.unwrap().len(), 1);
    assert_eq!(ledger.load(request.ask.id).await.unwrap().unwrap().work.intent, Some(intent));
    // Once the intent's outcome is known and it is taken back, the way is free.
    ledger.finish(&lease, &Work { intent: None, ..loaded.work }).await.unwrap();
    assert_eq!(ledger.record_cancel(&end, Worker::Apply).await, Ok(()));
}

pub(crate) async fn a_cancellation_forbids_the_intent(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let (_, lease) = begun(&ledger, request.ask.id, 0).await;
    let end = step(Some(&request), taken_back(), at(1));
    assert_eq!(ledger.record_cancel(&end, Worker::Apply).await, Ok(()));
    assert_eq!(ledger.record_cancel(&end, Worker::Apply).await, Ok(()), "it is recorded already");
    let intent = Intent { at: at(2), settles_at: at(12) };
    assert_eq!(ledger.intend(&lease, &intent).await, Err(LedgerError::Conflict));
    let other = step(Some(&request), taken_back(), at(2));
    assert_eq!(ledger.record_cancel(&other, Worker::Apply).await, Err(LedgerError::Conflict));
    assert_eq!(ledger.load(request.ask.id).await.unwrap().unwrap().request, end.request);
}

pub(crate) async fn a_lease_is_confirmed_while_it_holds_and_nothing_ends(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let (_, lease) = begun(&ledger, request.ask.id, 0).await;
    assert_eq!(ledger.confirm(&lease, at(59)).await, Ok(()));
    assert_eq!(ledger.confirm(&lease, at(60)).await, Err(LedgerError::Conflict), "it ran out");
    let (_, new) = begun(&ledger, request.ask.id, 60).await;
    assert_eq!(ledger.confirm(&lease, at(1)).await, Err(LedgerError::Conflict), "somebody else has it");
    assert_eq!(ledger.confirm(&new, at(61)).await, Ok(()));
    ledger.record_cancel(&step(Some(&request), taken_back(), at(62)), Worker::Apply).await.unwrap();
    assert_eq!(ledger.confirm(&new, at(63)).await, Err(LedgerError::Conflict), "the request was cancelled");
}

pub(crate) async fn what_a_look_leaves_is_there_for_the_next(place: &impl Place) {
    let ledger = place.ledger();
    let id = created(&ledger, STACK).await.ask.id;
    let (_, lease) = begun(&ledger, id, 0).await;
    let intent = Some(Intent { at: at(1), settles_at: at(11) });
    let note = Note { version: 1, failures: 2, retry_at: Some(at(90)), opening: intent.clone(), ..Note::default() };
    ledger.note(&lease, &note).await.unwrap();
    let work = ledger.load(id).await.unwrap().unwrap().work;
    assert_eq!((&work.note, work.due), (&note, Some(at(60))));

    let left = Work { due: Some(at(120)), intent, note: Note { failures: 3, ..note } };
    assert_eq!(ledger.begin(id, ulid(), at(2), at(62), Cause::Due).await, Ok(Begin::Busy));
    assert_eq!(ledger.finish(&lease, &left).await, Ok(Finish::Again));
    let stays = Work { due: Some(at(60)), ..left.clone() };
    assert_eq!(ledger.load(id).await.unwrap().unwrap().work, stays, "it is due as before: the next look may die");
    assert_eq!(ledger.finish(&lease, &left).await, Ok(Finish::Released));
    assert_eq!(begun(&ledger, id, 3).await.0.work, left);
}

pub(crate) async fn what_is_due_is_found_oldest_first_and_claimed_once(place: &impl Place) {
    let ledger = place.ledger();
    let mut all = Vec::new();
    for n in 0..6 {
        let id = created(&ledger, STACK).await.ask.id;
        let (loaded, lease) = begun(&ledger, id, 0).await;
        let due = at(100 - n);
        ledger.finish(&lease, &Work { due: Some(due), ..loaded.work }).await.unwrap();
        all.insert(0, Due { id, due });
    }
    assert_eq!(ledger.due(at(94), 10).await, Ok(Vec::new()));
    assert_eq!(ledger.due(at(100), 10).await.unwrap(), all);
    assert_eq!(ledger.due(at(98), 10).await.unwrap(), all[..4]);
    assert_eq!(ledger.due(at(100), 2).await.unwrap(), all[..2]);

    let (a, b) = tokio::join!(ledger.claim_due(&all[0], at(200)), ledger.claim_due(&all[0], at(201)));
    assert!(a.unwrap() ^ b.unwrap(), "one of two claims");
    assert_eq!(ledger.due(at(100), 10).await.unwrap(), all[1..]);
    assert_eq!(ledger.claim_due(&Due { id: id(), due: at(1) }, at(200)).await, Ok(false));

    let mut open = ledger.open(10).await.unwrap();
    open.sort_by_key(|id| std::cmp::Reverse(*id));
    assert_eq!(open, all.iter().map(|due| due.id).collect::<Vec<_>>());
    assert_eq!(ledger.open(3).await.unwrap().len(), 3);
}

pub(crate) async fn a_request_that_is_over_is_neither_due_nor_open(place: &impl Place) {
    let ledger = place.ledger();
    let request = created(&ledger, STACK).await;
    let id = request.ask.id;
    let (loaded, lease) = begun(&ledger, id, 0).await;
    recorded(&ledger, &request, cancelled(), LineChange::Leave).await;
    ledger.finish(&lease, &Work { due: None, ..loaded.work }).await.unwrap();
    assert_eq!(ledger.open(10).await, Ok(Vec::new()));
    assert_eq!(ledger.due(at(1_000_000), 10).await, Ok(Vec::new()));
    assert_eq!(ledger.claim_due(&Due { id, due: at(60) }, at(90)).await, Ok(false));
    assert_eq!(begun(&ledger, id, 5).await.0.work.due, None);
}
