//! The line is in the order of asking, and one has the turn.

use signoff_core::ledger::{Ledger, LedgerError, LineChange};
use signoff_core::names::StackName;
use signoff_core::push::Pushed;

use super::Place;
use super::samples::{STACK, ask, cancelled, created, id, in_line, new, opened, recorded, submitted, taken_back};

fn stack() -> StackName {
    STACK.parse().unwrap()
}

pub(crate) async fn requests_stand_in_the_order_of_asking_and_leave(place: &impl Place) {
    let ledger = place.ledger();
    assert_eq!(ledger.line(&stack()).await.unwrap(), signoff_core::ledger::Line::default());
    let a = created(&ledger, STACK).await;
    let b = created(&ledger, STACK).await;
    let c = created(&ledger, STACK).await;
    created(&ledger, "acme/api/prod").await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.next, line.waiting, line.turn), (3, vec![in_line(&a), in_line(&b), in_line(&c)], None));
    recorded(&ledger, &b, cancelled(), LineChange::Leave).await;
    let d = created(&ledger, STACK).await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.next, line.waiting), (4, vec![in_line(&a), in_line(&c), in_line(&d)]), "no place is given twice");
}

pub(crate) async fn a_push_that_was_heard_of_is_remembered_before_anything_was_asked_for(place: &impl Place) {
    let ledger = place.ledger();
    assert!(!ledger.line(&stack()).await.unwrap().heard);
    ledger.hear(&stack()).await.unwrap();
    ledger.hear(&stack()).await.unwrap();
    let line = ledger.line(&stack()).await.unwrap();
    assert!(line.heard && line.next == 0 && line.pushed.is_none(), "{line:?}");
    let a = created(&ledger, STACK).await;
    assert!(ledger.claim_turn(&stack(), a.ask.id).await.unwrap());
    ledger.hear(&stack()).await.unwrap();
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.heard, line.next, line.turn, line.waiting), (true, 1, Some(a.ask.id), vec![in_line(&a)]));
    recorded(&ledger, &a, cancelled(), LineChange::Leave).await;
    assert!(ledger.line(&stack()).await.unwrap().heard);
}

pub(crate) async fn the_turn_is_had_by_one_and_given_back(place: &impl Place) {
    let ledger = place.ledger();
    assert!(matches!(ledger.claim_turn(&stack(), id()).await, Err(LedgerError::Broken(_))), "there is no line at all");
    let a = created(&ledger, STACK).await;
    let b = created(&ledger, STACK).await;
    let claim = async |id| ledger.claim_turn(&stack(), id).await.unwrap();
    assert!(claim(a.ask.id).await && claim(a.ask.id).await && !claim(b.ask.id).await);
    let b = recorded(&ledger, &b, opened(), LineChange::ReleaseTurn).await;
    assert_eq!(ledger.line(&stack()).await.unwrap().turn, Some(a.ask.id), "it is not b's to give back");
    let a = recorded(&ledger, &a, opened(), LineChange::ReleaseTurn).await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.turn, line.waiting.len()), (None, 2));
    assert!(claim(b.ask.id).await && !claim(a.ask.id).await);
    let b = recorded(&ledger, &b, submitted(), LineChange::Keep).await;
    let b = recorded(&ledger, &b, taken_back(), LineChange::Leave).await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.turn, line.waiting), (None, vec![in_line(&a)]));
    recorded(&ledger, &b, cancelled(), LineChange::Leave).await;
    assert!(claim(a.ask.id).await, "leaving twice is leaving once");
}

pub(crate) async fn many_leave_at_once(place: &impl Place) {
    let ledger = place.ledger();
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(created(&ledger, STACK).await);
    }
    let leave = |n: usize| recorded(&ledger, &requests[n], cancelled(), LineChange::Leave);
    tokio::join!(leave(0), leave(1), leave(3), created(&ledger, "acme/api/prod"));
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.next, line.waiting), (4, vec![in_line(&requests[2])]));
}

pub(crate) async fn a_turn_of_one_that_left_is_taken_over(place: &impl Place) {
    let ledger = place.ledger();
    let a = created(&ledger, STACK).await;
    let b = created(&ledger, STACK).await;
    let c = created(&ledger, STACK).await;
    recorded(&ledger, &a, cancelled(), LineChange::Leave).await;
    let claim = async |id| ledger.claim_turn(&stack(), id).await.unwrap();
    assert!(claim(a.ask.id).await, "a worker that stood still takes it for a request that is over");
    let (first, second) = tokio::join!(claim(b.ask.id), claim(c.ask.id));
    assert!(first ^ second, "one of those in line has it from then on");
    let turn = ledger.line(&stack()).await.unwrap().turn;
    assert_eq!(turn, Some(if first { b.ask.id } else { c.ask.id }));
    assert!(!claim(a.ask.id).await, "and the one that left gets it back no more");
}

pub(crate) async fn it_remembers_what_was_pushed_and_what_was_deployed_last(place: &impl Place) {
    let ledger = place.ledger();
    let a = created(&ledger, STACK).await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.pushed, line.deployed), (None, None));
    let mut pushed = ask(STACK, line.next);
    let (repository, branch) = ("acme/web".parse().unwrap(), "main".parse().unwrap());
    pushed.push = Some(Pushed { repository, branch, pusher: None, author: None });
    pushed.commit = Some("f".repeat(40).parse().unwrap());
    let b = new(pushed.clone());
    ledger.create(&b).await.unwrap();
    let stale = new(pushed.clone());
    assert_eq!(ledger.create(&stale).await, Err(LedgerError::Conflict), "the line moved since it was read");
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.pushed, line.waiting[1].push, line.waiting[0].push), (pushed.commit, true, false));
    assert!(ledger.claim_turn(&stack(), b.step.request.ask.id).await.unwrap());
    let b = recorded(&ledger, &b.step.request, opened(), LineChange::Deployed).await;
    let line = ledger.line(&stack()).await.unwrap();
    assert_eq!((line.deployed, line.turn, line.waiting.len()), (Some(1), Some(b.ask.id), 2));
    recorded(&ledger, &a, opened(), LineChange::Deployed).await;
    assert_eq!(ledger.line(&stack()).await.unwrap().deployed, Some(1), "an older one is not the last");
    recorded(&ledger, &b, cancelled(), LineChange::Leave).await;
    assert_eq!(ledger.line(&stack()).await.unwrap().deployed, Some(1), "it outlives the request");
}
