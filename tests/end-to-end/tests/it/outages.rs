//! Pulumi Cloud away, slow to forgive, or refusing the principal.

use jiff::SignedDuration;
use pulumi_sim::{Fault, Pattern};
use signoff_tests::Setup;

#[tokio::test]
async fn while_pulumi_cloud_is_down_requests_wait_and_go_on_afterwards() {
    let gate = Setup::new().start().await;
    let waiting = gate.ask("alice", "acme/web/prod", "update").await;
    gate.submitted(&waiting).await;
    gate.expect_state(&waiting, "pending_approval").await;
    let until = gate.sim.now() + SignedDuration::from_hours(1);
    gate.sim.cloud().faults.down_until = Some(until);
    let detail = gate.expect_blocker(&waiting, "pulumi-cloud").await;
    assert!(detail.contains("the next try is at 2"), "{detail}");
    gate.approve("bob", &waiting).await;
    gate.sim.cloud().faults.down_until = None;
    gate.expect_state(&waiting, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn nobody_can_ask_while_nobody_can_say_who_is_calling() {
    let gate = Setup::new().start().await;
    let until = gate.sim.now() + SignedDuration::from_hours(1);
    gate.sim.cloud().faults.down_until = Some(until);
    let body = serde_json::json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4"});
    let reply = gate.call("alice", reqwest::Method::POST, "/v1/requests", Some(body)).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert!(reply.header("retry-after").is_some());
    gate.finish().await;
}

#[tokio::test]
async fn a_rate_limit_is_kept_to() {
    let gate = Setup::new().start().await;
    let limit = Fault::TooManyRequests { retry_after: Some(2) };
    gate.sim.cloud().faults.plan(Pattern::new("POST", "/api/esc/environments/*/*/*/open/request"), limit, 1);
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    let detail = gate.expect_blocker(&id, "pulumi-cloud").await;
    assert!(detail.starts_with("Pulumi Cloud is rate-limiting; the next try is at "), "{detail}");
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_principal_that_is_refused_is_waited_for_until_it_has_a_good_token() {
    let mut gate = Setup::new().secret("pul-rotated").start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.submitted(&id).await;
    gate.sim.cloud().rotate_token("pul-signoff-deployer", "pul-rotated");
    gate.approve("bob", &id).await;
    let detail = gate.expect_blocker(&id, "principal-token").await;
    assert!(detail.starts_with("Pulumi Cloud refuses the principal default since "), "{detail}");
    gate.expect_no_deployment(&id);
    gate.environment.retain(|(name, _)| name != "SIGNOFF_DEPLOYER_TOKEN");
    gate.environment.push(("SIGNOFF_DEPLOYER_TOKEN".to_owned(), "pul-rotated".to_owned()));
    gate.restart().await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn errors_answered_after_or_before_the_effect_lead_to_one_deployment() {
    let gate = Setup::new()
        .cloud(|cloud| {
            let deploy = Pattern::new("POST", "/api/stacks/*/*/*/deployments");
            cloud.faults.plan(deploy, Fault::LateEffect { status: 502, after_ms: 4000 }, 1);
            let apply = Pattern::new("POST", "/api/change-requests/*/*/apply");
            cloud.faults.plan(apply, Fault::ErrorAfterEffect { status: 500 }, 1);
        })
        .start()
        .await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.deployments(&id).len(), 1, "the one that came late was not waited for");
    gate.finish().await;
}
