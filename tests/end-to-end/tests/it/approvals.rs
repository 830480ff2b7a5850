//! Whose approval counts, and until when.

use pulumi_sim::{Eligible, Fault, Pattern, Ruleset, Status};
use serde_json::json;
use signoff_tests::{PRINCIPAL, Setup};

/// What is read right before the apply: how long the open request lets the principal in.
const LAST_LOOK: &str = "/api/esc/environments/*/*/*/open/request/*";

#[tokio::test]
async fn the_requesters_own_approval_does_not_count() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("alice", &id).await;
    assert_eq!(gate.statuses(&id), [Status::Ready], "for Pulumi Cloud it is enough");
    let detail = gate.expect_blocker_saying(&id, "self-approval", "alice").await;
    assert_eq!(
        detail,
        "credentials/prod: 0 of 1 approvals that count: alice approved, but whoever asks for a deployment or carries it out does not count; somebody else has to approve"
    );
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    assert_eq!(gate.statuses(&id), [Status::Ready], "applied on alice's own approval");
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_apply_in_the_console_on_the_requesters_own_approval_deploys_nothing() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("alice", &id).await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.apply_in_console("dave", &change_request);
    let message = gate.expect_end(&id, "error", "applied-without-approvals").await;
    assert!(message.contains("Nothing is deployed."), "{message}");
    assert!(message.contains("The grant on credentials/prod can't be revoked"), "{message}");
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn an_apply_in_the_console_on_approvals_that_count_is_taken_up() {
    let gate = Setup::new().reconcile_every("10m").start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.click(|cloud, now| {
        cloud.approve(now, "bob", &change_request)?;
        cloud.apply_as(now, "dave", &change_request)
    })
    .expect("bob may approve, dave may apply");
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn the_principals_approval_does_not_count() {
    let gate = Setup::new()
        .cloud(|cloud| {
            let now = cloud.history().last().map_or(jiff::Timestamp::UNIX_EPOCH, |record| record.at);
            cloud.change_ruleset(now, "acme/credentials/prod", "prod-signoff", |ruleset| {
                ruleset.allow_self_approval = true;
                ruleset.eligible.push(Eligible::user(PRINCIPAL));
            });
        })
        .start()
        .await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve(PRINCIPAL, &id).await;
    gate.expect_blocker_saying(&id, "self-approval", "0 of 1 approvals that count: signoff-deployer approved").await;
    gate.expect_looks(4).await;
    assert_eq!(gate.statuses(&id), [Status::Ready], "applied on the principal's own approval");
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn each_ruleset_counts_for_itself() {
    let second = Ruleset::open("second", 1, [Eligible::user("alice"), Eligible::user("carol")]);
    let gate = Setup::new().cloud(|cloud| _ = cloud.ruleset("acme/credentials/prod", second)).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("alice", &id).await;
    gate.approve("bob", &id).await;
    assert_eq!(gate.statuses(&id), [Status::Ready], "for Pulumi Cloud both rulesets are satisfied");
    gate.expect(&id, "seen with bob's approval", |request| {
        let rulesets = request["changeRequests"][0]["approvals"].clone();
        let counted = |name: &str| {
            let all = rulesets.as_array().into_iter().flatten();
            all.filter(|one| one["ruleset"] == name).map(|one| one["counted"].clone()).next()
        };
        counted("prod-signoff") == Some(json!(["bob"])) && counted("second") == Some(json!([]))
    })
    .await;
    gate.expect_looks(4).await;
    assert_eq!(gate.statuses(&id), [Status::Ready], "applied although nobody who counts approved for the second");
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_gate_may_let_the_requesters_own_approval_count() {
    let gates = r#"
[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
self-approval = true
"#;
    let gate = Setup::new().gates(gates).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("alice", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_approval_withdrawn_before_the_apply_is_gone() {
    let gate = Setup::new().start().await;
    let theirs = gate.occupy("acme/web/prod").await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "approved").await;
    gate.expect_blocker(&id, "stack-busy").await;
    gate.unapprove("bob", &id).await;
    gate.expect_state(&id, "pending_approval").await;
    gate.release(&theirs);
    gate.expect_looks(4).await;
    gate.expect_no_deployment(&id);
    let events = gate.events(&id).await;
    let withdrawn = events.iter().find(|event| event["type"] == "signoff.request.unapproved").expect("it is recorded");
    assert_eq!(withdrawn["data"]["actor"]["login"], "bob");
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_approval_withdrawn_between_the_last_look_and_the_apply_stops_it() {
    let slow = |cloud: &mut pulumi_sim::Cloud| {
        _ = cloud.faults.plan(Pattern::new("GET", LAST_LOOK), Fault::Slow { ms: 1500 }, 1)
    };
    let gate = Setup::new().cloud(slow).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_calls(1, "GET", "/open/request/*").await;
    gate.unapprove("bob", &id).await;
    gate.expect_calls(1, "POST", "/apply").await;
    gate.expect_state(&id, "pending_approval").await;
    assert_eq!(gate.statuses(&id), [Status::Pending]);
    gate.expect_no_deployment(&id);
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_apply_that_only_the_requesters_own_approval_still_carries_deploys_nothing() {
    let slow = |cloud: &mut pulumi_sim::Cloud| {
        _ = cloud.faults.plan(Pattern::new("GET", LAST_LOOK), Fault::Slow { ms: 1500 }, 1)
    };
    let gate = Setup::new().cloud(slow).start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("alice", &id).await;
    gate.approve("bob", &id).await;
    gate.expect_calls(1, "GET", "/open/request/*").await;
    // Alice's own keeps it ready for Pulumi Cloud, so that the apply goes through there.
    gate.unapprove("bob", &id).await;
    gate.expect_end(&id, "error", "applied-without-approvals").await;
    assert_eq!(gate.statuses(&id), [Status::Applied]);
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_ruleset_that_asks_for_less_than_at_the_submission_does_not_lower_the_bar() {
    let gate = Setup::new()
        .cloud(|cloud| _ = cloud.set_required(jiff::Timestamp::UNIX_EPOCH, "acme/credentials/prod", "prod-signoff", 2))
        .start()
        .await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "pending_approval").await;
    let now = gate.sim.now();
    gate.sim.cloud().set_required(now, "acme/credentials/prod", "prod-signoff", 1);
    assert_eq!(gate.statuses(&id), [Status::Ready], "for Pulumi Cloud it is enough now");
    gate.expect_looks(4).await;
    gate.expect_blocker_saying(&id, "approvals", "credentials/prod: 1 of 2 approvals that count").await;
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}
