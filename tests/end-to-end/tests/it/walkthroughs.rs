//! The walkthroughs of ARCHITECTURE.md.

use pulumi_sim::{Status, WebhookFaults, signature};
use reqwest::Method;
use serde_json::json;
use signoff_tests::{Setup, WEBHOOK_SECRET, client, send};

/// A sweep so rare that only webhooks move anything.
const RARELY: &str = "10m";

#[tokio::test]
async fn what_is_asked_for_waits_for_an_approval_and_then_runs() {
    let gate = Setup::new().reconcile_every(RARELY).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    let request = gate.expect_state(&id, "pending_approval").await;
    assert_eq!(request["blockers"][0]["kind"], "approvals");
    gate.expect_no_deployment(&id);
    gate.approve("bob", &id).await;
    let message = gate.expect_end(&id, "succeeded", "succeeded").await;
    assert_eq!(message, "Deployment 1 of acme/web/prod succeeded.");
    assert_eq!(gate.statuses(&id), [Status::Applied]);
    let words = gate.event_words(&id).await;
    assert_eq!(words, ["requested", "opened", "submitted", "approved", "granted", "deploying", "succeeded"]);
    let approved = &gate.events(&id).await[3];
    assert_eq!(approved["data"]["actor"]["login"], "bob");
    assert_eq!((&approved["data"]["from"], &approved["data"]["to"]), (&"pending_approval".into(), &"approved".into()));
    gate.finish().await;
}

#[tokio::test]
async fn without_webhooks_the_sweep_alone_carries_it_through() {
    let gate = Setup::new().without_webhooks().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn closing_a_change_request_refuses_the_deployment_and_says_who() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.close("carol", &id, "not on a Friday").await;
    let message = gate.expect_end(&id, "rejected", "rejected").await;
    assert!(message.starts_with("carol closed the change request of credentials/prod: not on a Friday."), "{message}");
    let events = gate.events(&id).await;
    assert!(events.iter().any(|event| event["data"]["actor"]["login"] == "carol"), "{events:#?}");
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn closing_one_of_two_change_requests_closes_the_other() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/platform/prod", "update").await;
    let network = gate.change_request(&id, "network/prod").await;
    gate.click(|cloud, now| cloud.close_as(now, "carol", &network, Some("no"))).expect("carol may close");
    let message = gate.expect_end(&id, "rejected", "rejected").await;
    assert!(message.starts_with("carol closed the change request of network/prod: no."), "{message}");
    assert_eq!(gate.statuses(&id), [Status::Closed, Status::Closed]);
    let words = gate.event_words(&id).await;
    assert!(
        words.ends_with(&[
            "end_decided".to_owned(),
            "change_request_closed".to_owned(),
            "change_request_closed".to_owned(),
            "rejected".to_owned()
        ]),
        "{words:?}"
    );
    gate.finish().await;
}

#[tokio::test]
async fn webhooks_that_come_twice_late_out_of_order_or_never_change_nothing() {
    let faults = WebhookFaults { lost: 0.3, doubled: 0.6, delayed: 0.5, delay_ms: 400, reordered: 0.5 };
    let gate = Setup::seeded(7).webhook_faults(faults).start().await;
    let mut asked = Vec::new();
    for stack in ["acme/web/prod", "acme/api/prod", "acme/web/prod"] {
        asked.push(gate.ask("alice", stack, "update").await);
    }
    for id in &asked {
        gate.approve("bob", id).await;
    }
    for id in &asked {
        gate.expect_state(id, "succeeded").await;
        assert_eq!(gate.deployments(id).len(), 1);
    }
    gate.finish().await;
}

#[tokio::test]
async fn what_a_webhook_says_moves_nothing_even_when_it_is_signed() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.expect_state(&id, "pending_approval").await;
    let (client, url) = (client(), format!("{}/webhooks/pulumi", gate.url()));
    let says = json!({
        "organization": {"githubLogin": "acme", "name": "Acme"}, "projectName": "credentials", "environmentName": "prod",
        "action": "change_request_applied", "changeRequestId": change_request, "status": "applied",
    })
    .to_string();
    let signed = signature(WEBHOOK_SECRET, says.as_bytes());
    let forged = signature("another secret", says.as_bytes());
    let deliver = async |delivery: &str, signature: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("pulumi-webhook-id", delivery),
            ("pulumi-webhook-kind", "change_request"),
            ("pulumi-webhook-signature", signature),
        ];
        send(&client, Method::POST, &url, &headers, Some(says.clone())).await.expect("it answers")
    };
    let first = deliver("one", &signed).await;
    assert_eq!((first.status, &first.body), (202, &json!({"delivery": "one", "duplicate": false})));
    let again = deliver("one", &signed).await;
    assert_eq!((again.status, &again.body), (202, &json!({"delivery": "one", "duplicate": true})));
    assert_eq!(deliver("two", &forged).await.status, 401);
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    gate.expect_no_deployment(&id);
    assert_eq!(gate.cancel("alice", &id).await.status, 202);
    gate.finish().await;
}
