//! Who may ask.

use reqwest::Method;
use serde_json::json;
use signoff_tests::Setup;

const GATES: &str = r#"
[[gate]]
stacks = ["acme/api/prod"]
environment = "acme/credentials/prod"
requesters = ["machine:ci"]

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;

#[tokio::test]
async fn who_may_not_deploy_the_stack_may_not_ask() {
    let gate = Setup::new().gates(GATES).start().await;
    for (who, stack, operation, status) in [
        ("erin", "acme/web/prod", "update", 403),
        ("erin", "acme/web/prod", "preview", 403),
        ("alice", "acme/web/prod", "destroy", 403),
        ("ci", "acme/web/prod", "update", 403),
        ("alice", "acme/api/prod", "update", 403),
        ("dave", "acme/api/prod", "update", 403),
        ("nobody", "acme/web/prod", "update", 401),
        ("alice", "acme/web/staging", "update", 422),
    ] {
        let body = json!({"stack": stack, "operation": operation, "reason": "Ship 2.4"});
        let reply = gate.call(who, Method::POST, "/v1/requests", Some(body)).await;
        assert_eq!(reply.status, status, "{who} {operation} {stack}: {}", reply.text);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(gate.requests().await.len(), 0);
    assert_eq!(gate.sim.cloud().change_requests().len(), 0);
    gate.finish().await;
}

#[tokio::test]
async fn an_admin_may_ask_to_destroy() {
    let gate = Setup::new().start().await;
    let id = gate.ask("dave", "acme/web/prod", "destroy").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.deployments(&id)[0].operation, "destroy");
    gate.finish().await;
}

#[tokio::test]
async fn a_machine_asks_where_it_is_named_and_for_whom_it_asks_does_not_count() {
    let gate = Setup::new().gates(GATES).start().await;
    let body = json!({
        "stack": "acme/api/prod", "operation": "update", "reason": "Build 41", "onBehalfOf": "Bob",
        "commit": "0123456789abcdef0123456789abcdef01234567",
    });
    let id = gate.ask_with("ci", body).await;
    gate.approve("bob", &id).await;
    gate.expect_blocker_saying(&id, "self-approval", "0 of 1 approvals that count: bob approved").await;
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.deployments(&id)[0].commit(), Some("0123456789abcdef0123456789abcdef01234567"));
    gate.finish().await;
}

#[tokio::test]
async fn the_same_key_asks_once() {
    let gate = Setup::new().start().await;
    let body = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4"}).to_string();
    let client = signoff_tests::client();
    let headers =
        [("authorization", "token pul-alice"), ("content-type", "application/json"), ("idempotency-key", "build-41")];
    let url = format!("{}/v1/requests", gate.url());
    let mut ids = Vec::new();
    for status in [202, 200, 200] {
        let reply =
            signoff_tests::send(&client, Method::POST, &url, &headers, Some(body.clone())).await.expect("it answers");
        assert_eq!(reply.status, status, "{}", reply.text);
        ids.push(reply.body["id"].as_str().map(str::to_owned).expect("a request has an id"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    gate.approve("bob", &ids[0]).await;
    gate.expect_state(&ids[0], "succeeded").await;
    assert_eq!(gate.requests().await.len(), 1);
    gate.finish().await;
}
