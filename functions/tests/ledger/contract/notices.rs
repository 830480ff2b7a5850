//! A notice is due with its event, is sent by one at a time, and stays due until somebody says that it was sent.

use std::collections::BTreeSet;

use signoff_core::ledger::{Ledger, LedgerError, LineChange, NoticeDue, NoticeWork};
use signoff_core::names::RequestId;
use signoff_core::request::Request;

use super::Place;
use super::samples::{STACK, at, created, opened, recorded, step, submitted};

/// Records the submission of a request as one that somebody is told of.
async fn told(ledger: &impl Ledger) -> Request {
    let request = created(ledger, STACK).await;
    let request = recorded(ledger, &request, opened(), LineChange::Keep).await;
    let mut step = step(Some(&request), submitted(), at(5));
    step.is_told = true;
    ledger.record(&step, None, LineChange::Keep).await.unwrap();
    // Whose answer got lost asks again.
    ledger.record(&step, None, LineChange::Keep).await.unwrap();
    step.request
}

fn notice(id: RequestId, due: i64) -> NoticeDue {
    NoticeDue { id, event: 3, due: at(due) }
}

pub(crate) async fn a_notice_is_due_with_its_event_and_is_claimed_once(place: &impl Place) {
    let ledger = place.ledger();
    let (one, other) = (told(&ledger).await, told(&ledger).await);
    // What nobody is told of makes no notice.
    recorded(&ledger, &one, untold(), LineChange::Keep).await;
    assert_eq!(ledger.notices_due(at(4), 10).await.unwrap(), []);
    let due = ledger.notices_due(at(5), 10).await.unwrap();
    assert_eq!(BTreeSet::from_iter(due), BTreeSet::from([notice(one.ask.id, 5), notice(other.ask.id, 5)]));
    assert_eq!(ledger.notices_due(at(5), 1).await.unwrap().len(), 1);
    let claim = |due| ledger.claim_notice(notice(one.ask.id, due), at(60));
    let all = tokio::join!(claim(5), claim(5), claim(5));
    let held = [all.0, all.1, all.2].into_iter().filter(|claim| claim == &Ok(Some(NoticeWork::default()))).count();
    assert_eq!(held, 1);
    assert_eq!(ledger.notices_due(at(59), 10).await.unwrap(), [notice(other.ask.id, 5)]);
    // Nobody is asked about an open request by it.
    assert_eq!(BTreeSet::from_iter(ledger.open(10).await.unwrap()), BTreeSet::from([one.ask.id, other.ask.id]));
    assert!(ledger.due(at(5), 10).await.unwrap().is_empty());
}

pub(crate) async fn what_is_left_of_a_notice_is_there_for_the_next(place: &impl Place) {
    let ledger = place.ledger();
    let id = told(&ledger).await.ask.id;
    ledger.claim_notice(notice(id, 5), at(60)).await.unwrap().unwrap();
    let left = NoticeWork { reminder: 2, tries: 3, told: BTreeSet::from(["team".to_owned()]) };
    ledger.finish_notice(notice(id, 60), Some((at(90), left.clone()))).await.unwrap();
    assert_eq!(ledger.notices_due(at(90), 10).await.unwrap(), [notice(id, 90)]);
    assert_eq!(ledger.claim_notice(notice(id, 90), at(120)).await.unwrap(), Some(left));
    // Whose claim is over has nothing to say any more.
    ledger.finish_notice(notice(id, 90), None).await.unwrap();
    assert_eq!(ledger.notices_due(at(120), 10).await.unwrap(), [notice(id, 120)]);
    ledger.finish_notice(notice(id, 120), None).await.unwrap();
    assert_eq!(ledger.notices_due(at(9_999), 10).await.unwrap(), []);
    assert_eq!(ledger.claim_notice(notice(id, 120), at(150)).await, Ok::<_, LedgerError>(None));
}

fn untold() -> signoff_core::event::Event {
    let reason = "outage".parse().unwrap();
    signoff_core::event::Event::GlassBroken { lifted: BTreeSet::new(), reason }
}
