//! `POST /v1/requests/{id}/cancel`.

use serde_json::json;
use signoff_core::event::{Event, RestsOn};
use signoff_core::ledger::Ledger;
use signoff_core::request::{Outcome, State};

use crate::setup::World;

#[tokio::test]
async fn the_requester_and_admins_cancel_and_the_reason_is_kept() {
    let world = World::new().await;
    for login in ["alice", "admin"] {
        let id = world.asked().await;
        let shown = world.cancel(login, id).await.ok(202);
        assert_eq!(shown["state"], "requested", "the state changes when nothing is left open at Pulumi Cloud");
        assert_eq!(shown["blockers"][0]["kind"], "closing");
        let ending = world.load(id).await.request.status.ending.unwrap();
        assert_eq!((ending.to, ending.outcome.code.as_str()), (State::Cancelled, "cancelled"));
        assert_eq!(
            ending.outcome.message,
            format!("Cancelled by {login}: Not today. Ask again if it is still wanted.")
        );
        let events = world.ledger.events(id).await.unwrap();
        assert_eq!(serde_json::to_value(&events[1].data.actor).unwrap(), json!({"login": login}));
        world.cancel(login, id).await.ok(202);
        assert_eq!(world.ledger.events(id).await.unwrap().len(), 2, "once is enough");
    }
    let id = world.asked().await;
    world.cancel("bob", id).await.problem(403);
    world.cancel("stranger", id).await.problem(404);
}

#[tokio::test]
async fn a_cancellation_has_a_reason_and_nothing_else() {
    let world = World::new().await;
    let id = world.asked().await;
    let post = async |body: &str| world.post("alice", &format!("/v1/requests/{id}/cancel"), body.to_owned()).await;
    post("").await.problem(400);
    assert_eq!(post("{}").await.pointers(), ["/reason"]);
    assert_eq!(post("[]").await.pointers(), [""]);
    assert_eq!(post(r#"{"reason": 1, "why": "x"}"#).await.pointers(), ["/reason", "/why"]);
    assert_eq!(post(r#"{"reason": " "}"#).await.pointers(), ["/reason"]);
    post(&"x".repeat(1024 * 1024 + 1)).await.problem(413);
    assert!(world.load(id).await.request.status.ending.is_none());
}

#[tokio::test]
async fn what_is_over_or_ends_otherwise_is_409() {
    let world = World::new().await;
    let id = world.asked().await;
    let outcome = Outcome::new("expired", "Too late.");
    world
        .record(id, Event::EndDecided { to: State::Expired, outcome: outcome.clone(), rests_on: RestsOn::default() })
        .await;
    world.cancel("alice", id).await.problem(409);
    world.record(id, Event::Expired { outcome, rests_on: RestsOn::default() }).await;
    world.cancel("alice", id).await.problem(409);
}

#[tokio::test]
async fn it_is_too_late_once_an_intent_to_deploy_is_recorded() {
    let world = World::new().await;
    let id = world.asked().await;
    world.intended(id).await;
    world.cancel("alice", id).await.problem(409);
    assert!(world.load(id).await.request.status.ending.is_none());
}
