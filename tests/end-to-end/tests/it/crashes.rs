//! Crashed in between: killed at the worst moments, or cut off from answers to what took effect.

use pulumi_sim::{Fault, Happened, Pattern, Status};
use signoff_tests::{Gate, Setup, together};

const OPEN: &str = "/api/esc/environments/*/*/*/open/request";
const SUBMIT: &str = "/api/change-requests/*/*/submit";
const APPLY: &str = "/api/change-requests/*/*/apply";
/// A stack with one gated environment, and one with two.
const ONE: &str = "acme/web/prod";
const TWO: &str = "acme/platform/prod";
const DEPLOY: &str = "/api/stacks/*/*/*/deployments";

/// Whether something is what the call to this path does.
fn is_effect_of(path: &str, what: &Happened) -> bool {
    match what {
        Happened::OpenRequestCreated { .. } => path == OPEN,
        Happened::ChangeRequestSubmitted { .. } => path == SUBMIT,
        Happened::ChangeRequestApplied { .. } => path == APPLY,
        Happened::DeploymentCreated { .. } => path == DEPLOY,
        _ => false,
    }
}

/// Starts a gate of which the next call to this path goes wrong.
async fn with_fault(path: &str, fault: Fault) -> Gate {
    Setup::new().cloud(|cloud| _ = cloud.faults.plan(Pattern::new("POST", path), fault, 1)).start().await
}

/// The request goes its way to one deployment, whatever happened.
async fn goes_on(gate: Gate, id: &str) {
    gate.expect_state(id, "succeeded").await;
    assert_eq!(gate.deployments(id).len(), 1);
    gate.finish().await;
}

/// Killed when a call took effect and its answer had not come: what it did is found again, or closed and done anew.
async fn killed_before_the_answer(path: &'static str, stack: &'static str) {
    let mut gate = with_fault(path, Fault::SilenceAfterEffect).await;
    let id = gate.ask("alice", stack, "update").await;
    if path == APPLY || path == DEPLOY {
        gate.approve("carol", &id).await;
    }
    gate.expect_history(path, |what| is_effect_of(path, what)).await;
    gate.kill().await;
    gate.restart().await;
    if path == OPEN || path == SUBMIT {
        gate.approve("carol", &id).await;
    }
    goes_on(gate, &id).await;
}

/// The connection breaks when a call took effect; the gate lives on.
async fn cut_off(path: &'static str, stack: &'static str) {
    let gate = with_fault(path, Fault::BreakAfter).await;
    let id = gate.ask("alice", stack, "update").await;
    gate.approve("carol", &id).await;
    goes_on(gate, &id).await;
}

#[tokio::test]
async fn killed_between_the_effect_of_a_call_and_its_answer() {
    together(vec![
        Box::pin(killed_before_the_answer(OPEN, ONE)),
        Box::pin(killed_before_the_answer(SUBMIT, ONE)),
        Box::pin(killed_before_the_answer(APPLY, ONE)),
        Box::pin(killed_before_the_answer(DEPLOY, ONE)),
    ])
    .await;
}

/// One of two is submitted or applied, and the other is not.
#[tokio::test]
async fn killed_between_two_change_requests() {
    together(vec![
        Box::pin(killed_before_the_answer(OPEN, TWO)),
        Box::pin(killed_before_the_answer(SUBMIT, TWO)),
        Box::pin(killed_before_the_answer(APPLY, TWO)),
    ])
    .await;
}

#[tokio::test]
async fn connections_that_break_after_the_call_took_effect() {
    together(vec![
        Box::pin(cut_off(OPEN, ONE)),
        Box::pin(cut_off(SUBMIT, TWO)),
        Box::pin(cut_off(APPLY, TWO)),
        Box::pin(cut_off(DEPLOY, ONE)),
    ])
    .await;
}

#[tokio::test]
async fn killed_right_after_the_request_was_recorded() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.kill().await;
    gate.restart().await;
    gate.approve("bob", &id).await;
    goes_on(gate, &id).await;
}

#[tokio::test]
async fn killed_while_it_waits_and_approved_meanwhile() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.expect_state(&id, "pending_approval").await;
    gate.kill().await;
    gate.approve("bob", &id).await;
    gate.restart().await;
    goes_on(gate, &id).await;
}

#[tokio::test]
async fn killed_while_it_follows_a_deployment_that_ends_meanwhile() {
    let mut gate = Setup::new().cloud(|cloud| _ = cloud.set_hold("acme/web/prod", true)).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    let next = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "deploying").await;
    gate.approve("bob", &next).await;
    gate.expect_blocker(&next, "earlier-request").await;
    gate.kill().await;
    gate.sim.cloud().set_hold("acme/web/prod", false);
    gate.expect_history(
        "the end of the deployment",
        |what| matches!(what, Happened::DeploymentMoved { to, .. } if to == "succeeded"),
    )
    .await;
    gate.restart().await;
    gate.expect_state(&next, "succeeded").await;
    goes_on(gate, &id).await;
}

#[tokio::test]
async fn killed_again_and_again_while_it_waits_for_a_lost_answer() {
    let mut gate = with_fault(DEPLOY, Fault::SilenceAfterEffect).await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_history("a deployment", |what| is_effect_of(DEPLOY, what)).await;
    for _ in 0..3 {
        gate.restart().await;
    }
    goes_on(gate, &id).await;
}

#[tokio::test]
async fn cancelled_after_a_crash_in_the_creation_nothing_stays_open() {
    let mut gate = with_fault(OPEN, Fault::SilenceAfterEffect).await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.expect_history("an open request", |what| is_effect_of(OPEN, what)).await;
    gate.kill().await;
    gate.restart().await;
    assert_eq!(gate.cancel("alice", &id).await.status, 202);
    gate.expect_state(&id, "cancelled").await;
    let drafts: Vec<Status> = gate.sim.cloud().change_requests().iter().map(|one| one.status).collect();
    assert_eq!(drafts, [Status::Closed]);
    gate.finish().await;
}
