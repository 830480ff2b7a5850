//! The walkthroughs of ARCHITECTURE.md.

use pulumi_sim::{Status, WebhookFaults};
use signoff_tests::Setup;

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
