//! Who is calling.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use serde_json::json;
use signoff_core::cloud::CloudError;

use crate::setup::{Answer, World};

async fn with(world: &World, authorization: &[&[u8]]) -> Answer {
    let mut request = Request::get("/v1/gates");
    for value in authorization {
        request = request.header("authorization", HeaderValue::from_bytes(value).unwrap());
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn one_good_token_lets_in_and_nothing_else_does() {
    let world = World::new().await;
    for good in [&b"token pul-alice"[..], b"Bearer pul-alice", b"bearer pul-alice", b"TOKEN  pul-alice "] {
        with(&world, &[good]).await.ok(200);
    }
    let asked = world.callers.asked.load(Ordering::SeqCst);
    let long = format!("token {}", "x".repeat(600));
    let bad: [&[&[u8]]; 9] = [
        &[],
        &[b""],
        &[b"pul-alice"],
        &[b"token "],
        &[b"Basic cHVsLWFsaWNl"],
        &[b"token pul-alice x"],
        &[b"token pul-\xffalice"],
        &[b"token pul-alice", b"token pul-alice"],
        &[long.as_bytes()],
    ];
    for values in bad {
        let answer = with(&world, values).await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").contains("signoff"));
    }
    assert_eq!(world.callers.asked.load(Ordering::SeqCst), asked, "Pulumi Cloud is not bothered with any of them");
    let answer = with(&world, &[b"token pul-wrong"]).await;
    assert!(!answer.problem(401).to_string().contains("pul-wrong"));
}

#[tokio::test]
async fn answers_and_refusals_are_kept_for_a_minute() {
    let world = World::new().await;
    for _ in 0..3 {
        world.get("alice", "/v1/gates").await.ok(200);
        world.get("wrong", "/v1/gates").await.problem(401);
    }
    assert_eq!(world.callers.asked.load(Ordering::SeqCst), 2);
    world.host.forward(60);
    world.get("alice", "/v1/gates").await.ok(200);
    world.get("wrong", "/v1/gates").await.problem(401);
    assert_eq!(world.callers.asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_flood_of_unknown_tokens_is_not_passed_on_and_known_callers_stay() {
    let world = World::new().await;
    world.get("alice", "/v1/gates").await.ok(200);
    world.host.forward(61);
    for n in 0..50 {
        world.get(&format!("wrong-{n}"), "/v1/gates").await.problem(401);
    }
    let answer = world.get("wrong-50", "/v1/gates").await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(world.callers.asked.load(Ordering::SeqCst), 51);
    world.get("wrong-0", "/v1/gates").await.problem(401);
    world.get("alice", "/v1/gates").await.ok(200);
    world.host.forward(1);
    world.get("bob", "/v1/gates").await.ok(200);
}

#[tokio::test]
async fn when_pulumi_cloud_cant_be_asked_it_is_503_and_not_kept() {
    let world = World::new().await;
    let fails = |error| *world.callers.fails.lock().unwrap() = error;
    for (error, after) in [
        (CloudError::Later { retry_after: Some(Duration::from_secs(7)) }, "7"),
        (CloudError::Later { retry_after: None }, "60"),
        (CloudError::Unclear("a broken connection".to_owned()), "10"),
        (CloudError::NotFound("x".to_owned()), "10"),
    ] {
        fails(Some(error));
        let answer = world.get("alice", "/v1/gates").await;
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), after);
    }
    fails(None);
    world.get("alice", "/v1/gates").await.ok(200);
}

#[tokio::test]
async fn an_organization_is_named_where_there_are_several() {
    let world = World::new().await;
    world.get("both", "/v1/requests").await.problem(400);
    world.get("both", "/v1/requests?organization=globex").await.ok(200);
    world.get("both", "/v1/requests?stack=globex/web/prod").await.ok(200);
    world.get("both", "/v1/audit").await.problem(400);
    assert_eq!(world.get("both", "/v1/audit?organization=globex").await.status, 200);
    world.get("both", "/v1/requests?organization=initech").await.problem(404);
    world.get("nobody", "/v1/requests").await.problem(403);
    world.get("odd", "/v1/requests").await.problem(403);
    world.get("alice", "/v1/requests?organization=globex").await.problem(404);
}

#[tokio::test]
async fn ones_own_account_counts_for_nothing_where_it_has_no_gates() {
    let world = World::new().await;
    let id = world.asked().await;
    let listed = world.get("housed", "/v1/requests").await.ok(200);
    assert_eq!(listed["requests"][0]["id"], id.to_string());
    // Its role there is the one that counts.
    world.get("housed", "/v1/audit").await.problem(403);
    assert_eq!(world.get("housed", "/v1/audit?organization=housed").await.status, 200);
    let none = world.get("housed", "/v1/requests?stack=globex/web/prod").await.ok(200);
    assert_eq!(none["requests"], json!([]));
}
