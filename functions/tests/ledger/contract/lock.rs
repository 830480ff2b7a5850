//! One creates open requests as a principal; the others wait, and nobody waits for the dead.

use signoff_core::ledger::{Creation, Ledger, LineChange};
use signoff_core::names::{Organization, PrincipalName, RequestId};

use super::Place;
use super::samples::{STACK, cancelled, created, id, recorded};

fn acme() -> (Organization, PrincipalName) {
    ("acme".parse().unwrap(), PrincipalName::default())
}

async fn lock(ledger: &impl Ledger, id: RequestId) -> Creation {
    ledger.lock_creation(&acme().0, &acme().1, id).await.unwrap()
}

async fn unlock(ledger: &impl Ledger, id: RequestId) -> Option<RequestId> {
    ledger.unlock_creation(&acme().0, &acme().1, id).await.unwrap()
}

pub(crate) async fn the_lock_is_had_by_one_and_passed_to_who_waited_longest(place: &impl Place) {
    let ledger = place.ledger();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(created(&ledger, STACK).await.ask.id);
    }
    assert_eq!(lock(&ledger, ids[0]).await, Creation::Ours);
    assert_eq!(lock(&ledger, ids[0]).await, Creation::Ours, "it has it already");
    assert_eq!(lock(&ledger, ids[2]).await, Creation::Theirs(ids[0]));
    assert_eq!(lock(&ledger, ids[1]).await, Creation::Theirs(ids[0]));
    assert_eq!(lock(&ledger, ids[1]).await, Creation::Theirs(ids[0]), "it waits already");
    let other = ledger.lock_creation(&acme().0, &"payments".parse().unwrap(), ids[1]).await;
    assert_eq!(other, Ok(Creation::Ours), "another principal has a lock of its own");

    assert_eq!(unlock(&ledger, ids[0]).await, Some(ids[1]));
    assert_eq!(unlock(&ledger, ids[0]).await, None, "it is given back once");
    assert_eq!(lock(&ledger, ids[1]).await, Creation::Ours);
    assert_eq!(unlock(&ledger, ids[1]).await, Some(ids[2]));
    assert_eq!(lock(&ledger, ids[2]).await, Creation::Ours);
    assert_eq!(unlock(&ledger, ids[2]).await, None);
    assert_eq!(lock(&ledger, ids[0]).await, Creation::Ours);
}

pub(crate) async fn the_dead_hold_nothing(place: &impl Place) {
    let ledger = place.ledger();
    let (gone, dead, alive) = (id(), created(&ledger, STACK).await, created(&ledger, STACK).await.ask.id);
    assert_eq!(lock(&ledger, gone).await, Creation::Ours);
    assert_eq!(lock(&ledger, dead.ask.id).await, Creation::Ours, "a request that does not exist has no lock");
    assert_eq!(lock(&ledger, alive).await, Creation::Theirs(dead.ask.id));
    recorded(&ledger, &dead, cancelled(), LineChange::Leave).await;
    assert_eq!(lock(&ledger, alive).await, Creation::Ours, "nor has one that is over");
    assert_eq!(unlock(&ledger, dead.ask.id).await, None, "which gives back nothing that is another's");
    assert_eq!(lock(&ledger, alive).await, Creation::Ours);
    assert_eq!(unlock(&ledger, alive).await, None, "nobody waits for what it has");
}

pub(crate) async fn who_waits_can_go(place: &impl Place) {
    let ledger = place.ledger();
    let a = created(&ledger, STACK).await.ask.id;
    let b = created(&ledger, STACK).await.ask.id;
    assert_eq!(unlock(&ledger, a).await, None, "there is no lock at all");
    lock(&ledger, a).await;
    lock(&ledger, b).await;
    assert_eq!(unlock(&ledger, b).await, None);
    assert_eq!(unlock(&ledger, a).await, None, "b is gone");
    let (dead, c) = (created(&ledger, STACK).await, created(&ledger, STACK).await.ask.id);
    for id in [a, dead.ask.id, c] {
        lock(&ledger, id).await;
    }
    recorded(&ledger, &dead, cancelled(), LineChange::Leave).await;
    assert_eq!(unlock(&ledger, a).await, Some(c), "whoever has ended while it waited is passed over");
    assert_eq!(unlock(&ledger, c).await, None);
}
