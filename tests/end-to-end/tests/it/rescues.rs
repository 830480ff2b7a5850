//! Runs that somebody started without asking, and that Pulumi Cloud did not let in: the same is asked for in their name, once, and waits.

use pulumi_sim::{Fault, Pattern, WebhookFaults};
use serde_json::{Value, json};
use signoff_tests::{Gate, LIMIT, Setup, until};

const STACK: &str = "acme/web/prod";
const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";
const LOGS: &str = "/api/stacks/*/*/*/deployments/*/logs";

/// A gate for the stack, named in full, with these keys.
fn gated(keys: &str) -> Setup {
    let gates = format!("[[gate]]\nstacks = [\"{STACK}\"]\nenvironment = \"acme/credentials/prod\"\n{keys}\n");
    Setup::new().gates(&gates)
}

/// Somebody starts a run without asking, and it ends; its id.
async fn run(gate: &Gate, login: &str, body: Value) -> String {
    let id = gate.click(|cloud, now| cloud.deploy(now, login, STACK, &body)).expect("it can be started");
    let over = until(LIMIT, async || gate.sim.cloud().deployment(&id)?.status.is_over().then_some(()));
    over.await.expect("it ends");
    id
}

fn update() -> Value {
    json!({"operation": "update", "inheritSettings": true, "sourceContext": {"git": {"commit": COMMIT}}})
}

/// Waits for the request that repeats a run.
async fn asked(gate: &Gate, run: &str) -> Value {
    let found = until(LIMIT, async || gate.requests().await.into_iter().find(|one| one["rescues"]["id"] == run));
    found.await.unwrap_or_else(|| panic!("nobody asked for {run}\n{}", gate.tail()))
}

fn id(request: &Value) -> &str {
    request["id"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_refused_run_waits_is_signed_off_and_runs_again() {
    // The sweep comes so seldom that a webhook alone can have told of it.
    let gate = gated("rescue = true").reconcile_every("10m").start().await;
    let run = run(&gate, "alice", update()).await;
    let request = asked(&gate, &run).await;
    let id = id(&request);
    assert_eq!(
        (&request["requester"], &request["operation"]),
        (&json!({"login": "alice", "name": "alice"}), &json!("update"))
    );
    assert_eq!((&request["commit"], &request["rescues"]["version"]), (&json!(COMMIT), &json!(1)));
    let page = request["rescues"]["url"].as_str().unwrap();
    assert!(page.ends_with("/acme/web/prod/deployments/1"), "{page}");
    let reason = request["reason"].as_str().unwrap();
    assert!(reason.starts_with("Run 1 was started without asking") && reason.ends_with(page), "{reason}");
    let shown = gate.cli("alice", &["show", id]).await;
    assert!(shown.out.contains("repeats      run #1, which was refused for want of an approval"), "{}", shown.out);
    // Whoever started it asks: their own approval does not count.
    gate.approve("alice", id).await;
    gate.expect_blocker(id, "self-approval").await;
    gate.approve("bob", id).await;
    gate.expect_state(id, "succeeded").await;
    let deployments = gate.deployments(id);
    assert_eq!((deployments[0].commit(), deployments[0].operation.as_str()), (Some(COMMIT), "update"));
    assert_eq!(gate.finish().await.requests.len(), 1);
}

#[tokio::test]
async fn without_a_webhook_the_clock_finds_it_and_what_signoff_runs_is_not_asked_for_again() {
    let gate = gated("rescue = true").without_webhooks().start().await;
    let first = run(&gate, "alice", json!({"operation": "preview"})).await;
    let request = asked(&gate, &first).await;
    assert_eq!((&request["operation"], &request["commit"]), (&json!("preview"), &json!(null)));
    assert!(gate.sim.cloud().plan_outcome(STACK, false));
    gate.approve("bob", id(&request)).await;
    gate.expect_state(id(&request), "failed").await;
    // The clock comes to the stack a few times more.
    gate.expect_calls(5, "GET", "/deployments").await;
    assert_eq!(gate.finish().await.requests.len(), 1);
}

#[tokio::test]
async fn only_what_was_refused_is_asked_for_and_only_where_the_gate_says_so() {
    let mut gate = gated("").without_webhooks().start().await;
    let unasked = run(&gate, "alice", update()).await;
    gate.config.push_str("rescue = true\n");
    // What alice may not do as far as can be told, and what a request would do otherwise.
    let destroy = run(&gate, "alice", json!({"operation": "destroy"})).await;
    let elsewhere = json!({"operation": "update", "sourceContext": {"git": {"branch": "refs/heads/feature"}}});
    let other = run(&gate, "alice", elsewhere).await;
    let short = json!({"operation": "update", "sourceContext": {"git": {"commit": "6dcb09b"}}});
    let short = run(&gate, "alice", short).await;
    // Cancelled by an admin.
    let cancelled = gate.occupy(STACK).await;
    gate.release(&cancelled);
    assert_eq!(gate.requests().await.len(), 0, "{unasked} was asked for without `rescue`");
    gate.restart().await;
    let request = asked(&gate, &unasked).await;
    gate.expect_calls(1, "GET", "/deployments").await;
    let requests = gate.requests().await;
    assert_eq!(requests.len(), 1, "one of {destroy}, {other}, {short}, {cancelled} was asked for: {requests:#?}");
    for why in ["to ask for destroy takes admin permission", "another branch", "a whole commit id"] {
        assert!(gate.log().contains(why), "{why}\n{}", gate.log());
    }
    gate.cancel("dave", id(&request)).await;
    gate.finish().await;
}

#[tokio::test]
async fn killed_in_between_it_is_asked_for_once() {
    let fault =
        |cloud: &mut pulumi_sim::Cloud| _ = cloud.faults.plan(Pattern::new("GET", LOGS), Fault::SilenceAfterEffect, 1);
    let mut gate = gated("rescue = true").cloud(fault).start().await;
    let run = run(&gate, "alice", update()).await;
    // While it reads the log.
    gate.expect_calls(1, "GET", "/logs").await;
    gate.kill().await;
    gate.restart().await;
    let request = asked(&gate, &run).await;
    // When it has just asked.
    gate.kill().await;
    gate.restart().await;
    gate.approve("bob", id(&request)).await;
    gate.expect_state(id(&request), "succeeded").await;
    assert_eq!(gate.finish().await.requests.len(), 1);
}

#[tokio::test]
async fn webhooks_that_come_twice_and_in_the_wrong_order_ask_once() {
    let faults = WebhookFaults { doubled: 1.0, reordered: 0.5, ..WebhookFaults::default() };
    let gate = gated("rescue = true").webhook_faults(faults).start().await;
    let runs = [run(&gate, "alice", update()).await, run(&gate, "alice", json!({"operation": "refresh"})).await];
    for run in &runs {
        let request = asked(&gate, run).await;
        gate.approve("bob", id(&request)).await;
        gate.expect_state(id(&request), "succeeded").await;
    }
    assert_eq!(gate.finish().await.requests.len(), 2);
}
