//! Ends without a deployment that succeeded, and what they leave behind.

use pulumi_sim::Status;
use serde_json::json;
use signoff_tests::{GATES, Setup};

#[tokio::test]
async fn a_cancelled_request_closes_its_change_requests() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/platform/prod", "update").await;
    gate.submitted(&id).await;
    assert_eq!(gate.cancel("bob", &id).await.status, 403, "bob neither asked nor is an admin");
    let reply = gate.cancel("alice", &id).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    gate.expect_state(&id, "cancelled").await;
    assert_eq!(gate.statuses(&id), [Status::Closed, Status::Closed]);
    assert_eq!(gate.cancel("alice", &id).await.status, 409, "it is over");
    gate.finish().await;
}

#[tokio::test]
async fn an_admin_may_cancel_before_the_open_requests_are_there() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    assert_eq!(gate.cancel("dave", &id).await.status, 202);
    gate.expect_state(&id, "cancelled").await;
    gate.finish().await;
}

#[tokio::test]
async fn what_is_being_deployed_can_not_be_cancelled() {
    let gate = Setup::new().cloud(|cloud| _ = cloud.set_hold("acme/web/prod", true)).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "deploying").await;
    assert_eq!(gate.cancel("alice", &id).await.status, 409);
    gate.sim.cloud().set_hold("acme/web/prod", false);
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn what_is_not_approved_in_time_expires_and_is_closed() {
    let gate = Setup::new().start().await;
    let body = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4", "pendingTimeout": "2s"});
    let id = gate.ask_with("alice", body).await;
    let message = gate.expect_end(&id, "expired", "not-approved-in-time").await;
    assert_eq!(message, "There were not enough approvals that count within 2s. Ask again, and tell the reviewers.");
    assert_eq!(gate.statuses(&id), [Status::Closed]);
    gate.finish().await;
}

#[tokio::test]
async fn what_is_approved_but_finds_no_moment_expires_too() {
    let gate = Setup::new().start().await;
    gate.pause("acme/web/prod", true).await;
    let body = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4", "pendingTimeout": "3s"});
    let id = gate.ask_with("alice", body).await;
    gate.approve("bob", &id).await;
    gate.expect_end(&id, "expired", "not-deployed-in-time").await;
    assert_eq!(gate.statuses(&id), [Status::Closed]);
    gate.finish().await;
}

#[tokio::test]
async fn a_deployment_that_fails_or_is_stopped_is_told() {
    let gate = Setup::new().start().await;
    gate.sim.cloud().plan_outcome("acme/web/prod", false);
    let failed = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &failed).await;
    let message = gate.expect_end(&failed, "failed", "deployment-failed").await;
    assert!(message.contains("See its logs: http://"), "{message}");

    gate.sim.cloud().set_hold("acme/web/prod", true);
    let stopped = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &stopped).await;
    gate.expect_state(&stopped, "deploying").await;
    let deployment = gate.deployments(&stopped)[0].id.clone();
    gate.click(|cloud, now| cloud.cancel(now, "dave", &deployment)).expect("dave may cancel");
    gate.expect_state(&stopped, "failed").await;
    gate.finish().await;
}

#[tokio::test]
async fn held_gates_apply_nothing_until_they_are_let_go() {
    let mut gate = Setup::new().gates(&format!("hold = true\n{GATES}")).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_blocker(&id, "hold").await;
    gate.expect_looks(3).await;
    assert_eq!(gate.statuses(&id), [Status::Ready], "applied although all gates are held");
    gate.config = GATES.to_owned();
    gate.restart().await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn one_that_the_principal_may_not_close_is_named_while_it_is_tried() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.expect_state(&id, "pending_approval").await;
    let refused = pulumi_sim::Fault::Error { status: 403, html: false };
    let close = pulumi_sim::Pattern::new("POST", "/api/change-requests/*/*/close");
    gate.sim.cloud().faults.plan(close, refused, 1_000_000);
    assert_eq!(gate.cancel("alice", &id).await.status, 202);
    let detail = gate.expect_blocker(&id, "closing").await;
    assert!(!detail.is_empty());
    gate.expect_looks(3).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval", "it is not over before all is closed");
    gate.approve("bob", &id).await;
    gate.expect_looks(3).await;
    gate.expect_no_deployment(&id);
    gate.sim.cloud().clear_faults();
    gate.expect_state(&id, "cancelled").await;
    gate.finish().await;
}
