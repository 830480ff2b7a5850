//! `POST /v1/requests`.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use signoff_core::asking::Permission;
use signoff_core::cloud::Role;
use signoff_core::ledger::Ledger;

use crate::setup::{World, want};

fn with(mut body: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_request_is_recorded_and_shown_as_the_contract_says() {
    let world = World::new().await;
    let body = with(
        want("acme/web/prod"),
        json!({"commit": "ABCDEF0123456789abcdef0123456789abcdef01", "pendingTimeout": "30m"}),
    );
    let answer = world.ask("alice", body).await;
    let shown = answer.ok(202);
    let id = shown["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("https://signoff.example/v1/requests/{id}"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        shown,
        json!({
            "id": id, "state": "requested", "stack": "acme/web/prod", "operation": "update",
            "commit": "abcdef0123456789abcdef0123456789abcdef01", "reason": "Ship 2.4",
            "requester": {"login": "alice", "name": "ALICE"},
            "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false},
            "accessDuration": "1h", "grantExpiration": "1h", "pendingTimeout": "30m",
            "audit": {"sequence": 1, "head": shown["audit"]["head"]},
            "changeRequests": [], "blockers": [], "grant": null, "deployment": null,
            "createdAt": "2026-11-23T12:00:00Z", "updatedAt": "2026-11-23T12:00:00Z", "expiresAt": "2026-11-23T12:30:00Z",
            "outcome": null
        })
    );
    assert_eq!(world.get("bob", &format!("/v1/requests/{id}")).await.ok(200), shown);
    let loaded = world.load(id.parse().unwrap()).await;
    assert_eq!(
        loaded.work.due.unwrap().to_string(),
        "2026-11-23T12:00:30Z",
        "looked at by the next sweep, at the latest"
    );
    let line = world.ledger.line(&"acme/web/prod".parse().unwrap()).await.unwrap();
    assert_eq!(line.waiting.len(), 1);
}

#[tokio::test]
async fn what_is_no_json_is_400_and_what_is_too_much_413() {
    let world = World::new().await;
    for bad in [&b""[..], b"{", b"stack=acme", b"\xff", b"{\"stack\": \"\xff\"}", b"{} {}"] {
        world.post("alice", "/v1/requests", bad).await.problem(400);
    }
    world.post("alice", "/v1/requests", vec![b' '; 1024 * 1024 + 1]).await.problem(413);
    assert_eq!(world.post("alice", "/v1/requests", vec![b' '; 1024 * 1024]).await.problem(400)["status"], 400);
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_with_pointers() {
    let world = World::new().await;
    assert_eq!(world.ask("alice", json!({})).await.pointers(), ["/stack", "/operation", "/reason"]);
    assert_eq!(world.ask("alice", json!([1])).await.pointers(), [""]);
    assert_eq!(world.ask("alice", json!(null)).await.pointers(), [""]);
    let body = json!({
        "stack": "acme/web", "operation": "detect-drift", "reason": "a\u{202e}b", "commit": "abc", "accessDuration": "1w",
        "grantExpiration": 60, "pendingTimeout": "0s", "onBehalfOf": "a b", "a/b~c": 1, "state": "approved"
    });
    let expected = [
        "/stack",
        "/operation",
        "/reason",
        "/commit",
        "/accessDuration",
        "/grantExpiration",
        "/pendingTimeout",
        "/onBehalfOf",
        "/a~1b~0c",
        "/state",
    ];
    assert_eq!(world.ask("alice", body).await.pointers(), expected);
    let body = with(
        want("acme/web/prod"),
        json!({"accessDuration": "2h", "grantExpiration": "61m", "pendingTimeout": "4d", "x": 1}),
    );
    let expected = ["/accessDuration", "/grantExpiration", "/pendingTimeout", "/x"];
    assert_eq!(world.ask("alice", body).await.pointers(), expected);
    for reason in ["", "   ", "a\tb", "a\u{0}b", &"x".repeat(1_001)] {
        let body = with(want("acme/web/prod"), json!({"reason": reason}));
        assert_eq!(world.ask("alice", body).await.pointers(), ["/reason"], "{reason:?}");
    }
    let body = with(want("acme/web/prod"), json!({"reason": "é\n".repeat(500), "commit": null}));
    world.ask("alice", body).await.ok(202);
}

#[tokio::test]
async fn the_gate_has_its_say() {
    let world = World::new().await;
    assert_eq!(world.ask("alice", want("acme/web/staging")).await.pointers(), ["/stack"]);
    let body = json!({"stack": "acme/locked/prod", "operation": "destroy", "reason": "x", "pendingTimeout": "3h"});
    assert_eq!(world.ask("alice", body).await.pointers(), ["/operation", "/commit", "/pendingTimeout"]);
    let body = with(want("acme/locked/prod"), json!({"commit": "xyz"}));
    assert_eq!(world.ask("alice", body).await.pointers(), ["/commit"], "said once");
    let body = with(want("acme/locked/prod"), json!({"commit": "a".repeat(40)}));
    let shown = world.ask("alice", body).await.ok(202);
    assert_eq!(shown["expiresAt"], "2026-11-23T14:00:00Z", "the gate's own time-out");
}

#[tokio::test]
async fn members_need_the_permission_of_the_operation() {
    let world = World::new().await;
    world.callers.allow("alice", "acme/api/prod", Permission::Read);
    let ask = async |login: &str, stack: &str, operation: &str| {
        world.ask(login, with(want(stack), json!({"operation": operation}))).await
    };
    for operation in ["update", "preview", "refresh"] {
        ask("alice", "acme/web/prod", operation).await.ok(202);
    }
    let said = ask("alice", "acme/web/prod", "destroy").await.problem(403)["detail"].to_string();
    assert!(said.contains("admin") && said.contains("write"), "{said}");
    world.callers.allow("alice", "acme/web/prod", Permission::Admin);
    ask("alice", "acme/web/prod", "destroy").await.ok(202);
    ask("alice", "acme/api/prod", "update").await.problem(403);
    ask("alice", "acme/nosuch/prod", "update").await.problem(403);
    ask("admin", "acme/nosuch/prod", "destroy").await.ok(202);
    world.callers.allow("visitor", "acme/web/prod", Permission::Admin);
    for login in ["visitor", "stranger", "odd", "nobody"] {
        ask(login, "acme/web/prod", "update").await.problem(403);
        ask(login, "acme/none/at-all", "update").await;
    }
    ask("stranger", "acme/web/staging", "update").await.problem(403);
}

#[tokio::test]
async fn requesters_replace_the_rule_and_machines_are_named() {
    let world = World::new().await;
    let body = with(want("acme/locked/prod"), json!({"commit": "a".repeat(40)}));
    world.ask("bob", body.clone()).await.problem(403);
    world.ask("admin", body.clone()).await.problem(403);
    world.ask("other", body.clone()).await.problem(403);
    world.ask("ci", want("acme/web/prod")).await.problem(403);
    let shown = world.ask("ci", with(body.clone(), json!({"onBehalfOf": "Carol"}))).await.ok(202);
    assert_eq!(shown["requester"], json!({"login": "machines", "name": "MACHINES", "machine": "ci"}));
    assert_eq!(shown["onBehalfOf"], "Carol");
    let id = shown["id"].as_str().unwrap().parse().unwrap();
    world.cancel("other", id).await.problem(403);
    assert_eq!(world.ask("alice", with(body, json!({"onBehalfOf": "carol"}))).await.pointers(), ["/onBehalfOf"]);
}

#[tokio::test]
async fn the_same_key_gives_the_same_request_for_a_day() {
    let world = World::new().await;
    let first = world.ask_with_key("alice", "k-1", want("acme/web/prod")).await.ok(202);
    let again = world.ask_with_key("alice", "k-1", want("acme/web/prod")).await;
    assert_eq!(again.header("location").rsplit('/').next().unwrap(), first["id"]);
    assert_eq!(again.ok(200)["id"], first["id"]);
    let other = with(want("acme/web/prod"), json!({"reason": "Ship 2.5"}));
    world.ask_with_key("alice", "k-1", other).await.problem(409);
    assert_ne!(world.ask_with_key("bob", "k-1", want("acme/web/prod")).await.ok(202)["id"], first["id"]);
    world.host.forward(24 * 60 * 60);
    assert_ne!(world.ask_with_key("alice", "k-1", want("acme/web/prod")).await.ok(202)["id"], first["id"]);
    for bad in [" ", "a b", "é", &"x".repeat(256)] {
        world.ask_with_key("alice", bad, want("acme/web/prod")).await.problem(400);
    }
    let twice = Request::post("/v1/requests")
        .header("authorization", "token pul-alice")
        .header("idempotency-key", "a")
        .header("idempotency-key", "a")
        .body(Body::from(want("acme/web/prod").to_string()));
    world.send(twice.unwrap()).await.problem(400);
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_request() {
    let world = World::new().await;
    let all = (0..8).map(|_| world.ask_with_key("alice", "k", want("acme/web/prod")));
    let mut ids = Vec::new();
    for answer in join(all).await {
        assert!([200, 202, 503].contains(&answer.status.as_u16()), "{:?}", answer.bytes);
        if answer.status.as_u16() != 503 {
            ids.push(answer.json()["id"].clone());
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut running {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if running.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn ten_of_one_requester_and_fifty_of_a_stack_are_the_most() {
    let world = World::new().await;
    let mut first = None;
    for _ in 0..10 {
        first = first.or(Some(world.asked().await));
    }
    let full = world.ask("alice", want("acme/web/prod")).await;
    full.problem(429);
    assert_eq!(full.header("retry-after"), "60");
    world.cancel("alice", first.unwrap()).await.ok(202);
    world.ask("alice", want("acme/web/prod")).await.problem(429);
    for n in 0..4 {
        let login = format!("user-{n}");
        world.callers.person(&login, &[("acme", Role::Admin)]);
        for _ in 0..10 {
            world.ask(&login, want("acme/web/prod")).await.ok(202);
        }
    }
    world.ask("bob", want("acme/web/prod")).await.problem(429);
    world.ask("admin", want("acme/api/prod")).await.ok(202);
}

#[tokio::test]
async fn a_store_that_is_down_is_503() {
    let world = World::without_store();
    let answer = world.ask("alice", want("acme/web/prod")).await;
    answer.problem(503);
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    for path in [
        "/v1/requests",
        "/v1/requests?state=open",
        "/v1/gates",
        "/v1/audit",
        "/v1/requests/req_01KAT5AAAAAAAAAAAAAAAAAAAA",
    ] {
        world.get("admin", path).await.problem(503);
    }
}
