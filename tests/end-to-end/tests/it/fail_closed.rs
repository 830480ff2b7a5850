//! It fails closed: whatever is not as it was when the deployment was asked for ends it, and the outcome says what to do.

use pulumi_sim::{Pattern, Revision, StackSetup, Status};
use serde_json::json;
use signoff_tests::{Ears, PRINCIPAL, Setup};

const ENVIRONMENT: &str = "acme/credentials/prod";
const STACK: &str = "acme/web/prod";

#[tokio::test]
async fn without_a_ruleset_in_force_nothing_is_asked_for() {
    let off = |cloud: &mut pulumi_sim::Cloud| {
        _ = cloud.set_ruleset_enabled(jiff::Timestamp::UNIX_EPOCH, ENVIRONMENT, "prod-signoff", false)
    };
    let gate = Setup::new().cloud(off).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    let message = gate.expect_end(&id, "error", "no-ruleset").await;
    assert!(message.starts_with("No Open ruleset is in force on acme/credentials/prod"), "{message}");
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_ruleset_switched_off_after_the_approval_ends_it() {
    let gate = Setup::new().start().await;
    let theirs = gate.occupy(STACK).await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_blocker(&id, "stack-busy").await;
    let now = gate.sim.now();
    gate.sim.cloud().set_ruleset_enabled(now, ENVIRONMENT, "prod-signoff", false);
    assert_eq!(gate.statuses(&id), [Status::Ready], "for Pulumi Cloud nothing is missing");
    let message = gate.expect_end(&id, "error", "no-ruleset").await;
    assert!(message.contains("Switch one on"), "{message}");
    gate.release(&theirs);
    assert_eq!(gate.sim.cloud().grants().len(), 0, "applied although no ruleset is in force");
    gate.finish().await;
}

#[tokio::test]
async fn settings_changed_after_the_request_end_it() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.submitted(&id).await;
    let now = gate.sim.now();
    let change = json!({"sourceContext": {"git": {"branch": "refs/heads/mine"}}});
    gate.sim.cloud().patch_settings(now, Some("alice"), STACK, &change);
    gate.approve("bob", &id).await;
    let message = gate.expect_end(&id, "error", "settings-changed").await;
    assert!(message.contains("Ask again."), "{message}");
    assert_eq!(gate.sim.cloud().grants().len(), 0);
    gate.finish().await;
}

#[tokio::test]
async fn settings_without_a_version_are_compared_all_the_same() {
    let gate = Setup::new().cloud(|cloud| cloud.omit_settings_version = true).start().await;
    let fine = gate.ask("alice", "acme/api/prod", "update").await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.submitted(&id).await;
    let now = gate.sim.now();
    let change = json!({"operationContext": {"environmentVariables": {"TOKEN": {"secret": "other"}}}});
    gate.sim.cloud().patch_settings(now, Some("alice"), STACK, &change);
    gate.approve("bob", &id).await;
    gate.expect_end(&id, "error", "settings-changed").await;
    gate.approve("bob", &fine).await;
    gate.expect_state(&fine, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_run_that_would_not_be_the_principals_is_refused() {
    let setup = || StackSetup::git("https://github.com/acme/web.git", "refs/heads/main").opens("credentials/prod");
    let gate = Setup::new()
        .cloud(|cloud| {
            cloud.stack(STACK, setup().secret("PULUMI_ACCESS_TOKEN", "pul-dave"));
            cloud.stack("acme/api/prod", setup().role("deployer-role"));
            for stack in [STACK, "acme/api/prod"] {
                cloud.allow("alice", stack, pulumi_sim::Permission::Write);
                cloud.allow(PRINCIPAL, stack, pulumi_sim::Permission::Write);
            }
        })
        .start()
        .await;
    for (stack, what) in [(STACK, "PULUMI_ACCESS_TOKEN"), ("acme/api/prod", "a role")] {
        let id = gate.ask("alice", stack, "update").await;
        let message = gate.expect_end(&id, "error", "runs-as-somebody-else").await;
        assert!(message.contains(what), "{message}");
        gate.expect_no_deployment(&id);
    }
    gate.finish().await;
}

#[tokio::test]
async fn a_gate_may_vouch_for_the_stacks_own_identity() {
    let setup = StackSetup::git("https://github.com/acme/web.git", "refs/heads/main")
        .opens("credentials/prod")
        .secret("PULUMI_ACCESS_TOKEN", "pul-signoff-deployer");
    let gates = format!("[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"{ENVIRONMENT}\"\nruns-as = \"stack\"\n");
    let gate = Setup::new()
        .gates(&gates)
        .cloud(|cloud| {
            cloud.stack(STACK, setup);
            cloud.allow("alice", STACK, pulumi_sim::Permission::Write);
            cloud.allow(PRINCIPAL, STACK, pulumi_sim::Permission::Write);
        })
        .start()
        .await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_edited_change_request_is_closed() {
    let gate = Setup::new().start().await;
    let described = gate.ask("alice", STACK, "update").await;
    let change_request = gate.change_request(&described, "credentials/prod").await;
    gate.click(|cloud, now| cloud.edit_description(now, "dave", &change_request, "something harmless"))
        .expect("dave is an admin");
    let message = gate.expect_end(&described, "error", "change-request-edited").await;
    assert!(message.contains("the first line of its description differs"), "{message}");

    // The mark is left in place, and what a reviewer reads is another operation.
    let disguised = gate.ask("dave", STACK, "destroy").await;
    let change_request = gate.change_request(&disguised, "credentials/prod").await;
    gate.click(|cloud, now| {
        let said = cloud.change_request(&change_request).map(|one| one.description.clone()).unwrap_or_default();
        assert!(said.contains("\noperation: destroy\n"), "{said}");
        let said = said.replace("operation: destroy", "operation: preview");
        cloud.edit_description(now, "dave", &change_request, &said)?;
        cloud.approve(now, "bob", &change_request)
    })
    .expect("dave is an admin, bob a reviewer");
    let message = gate.expect_end(&disguised, "error", "change-request-edited").await;
    assert!(message.contains(": its description differs"), "{message}");

    let revised = gate.ask("alice", STACK, "update").await;
    let change_request = gate.change_request(&revised, "credentials/prod").await;
    let longer = Revision { grant_seconds: 86_400, access_seconds: 86_400 };
    gate.click(|cloud, now| {
        cloud.add_revision(now, "dave", &change_request, longer)?;
        cloud.approve(now, "bob", &change_request)
    })
    .expect("dave is an admin, bob a reviewer");
    let message = gate.expect_end(&revised, "error", "change-request-edited").await;
    assert!(message.contains("its revision (1 was submitted, 2 is the latest)"), "{message}");
    gate.finish().await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_waited_for() {
    // The specification does not know it either, so no referee.
    let gate = Setup::new().without_referee().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.sim.cloud().set_strange_status(&change_request, Some("under_review"));
    gate.approve("bob", &id).await;
    gate.expect(&id, "waiting to know the status", |request| {
        request["blockers"][0]["detail"].as_str().is_some_and(|detail| detail.contains("has the status under_review"))
    })
    .await;
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    gate.expect_no_deployment(&id);
    gate.sim.cloud().set_strange_status(&change_request, None);
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_kind_of_rule_that_nobody_knows_counts_nobody() {
    let strange =
        |cloud: &mut pulumi_sim::Cloud| _ = cloud.set_strange_rule_type(ENVIRONMENT, "prod-signoff", Some("vibes"));
    let gate = Setup::new().without_referee().cloud(strange).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    assert_eq!(gate.statuses(&id), [Status::Ready]);
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    assert_eq!(gate.cancel("alice", &id).await.status, 202);
    gate.expect_state(&id, "cancelled").await;
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_gate_changed_between_two_starts_ends_what_was_asked_under_the_old_one() {
    let mut gate = Setup::new().start().await;
    for (config, code) in [
        ("[[gate]]\nstacks = [\"acme/web/prod\"]\nenvironment = \"acme/credentials/platform\"\n", "gate-changed"),
        ("[[gate]]\nstacks = [\"acme/api/prod\"]\nenvironment = \"acme/credentials/prod\"\n", "gate-gone"),
        (
            "[[gate]]\nstacks = [\"acme/web/prod\"]\nenvironment = \"acme/credentials/prod\"\noperations = [\"preview\"]\n",
            "gate-changed",
        ),
    ] {
        let before = std::mem::replace(&mut gate.config, config.to_owned());
        let id = gate.ask("alice", STACK, "update").await;
        gate.submitted(&id).await;
        gate.restart().await;
        let message = gate.expect_end(&id, "error", code).await;
        assert!(message.contains("sk again"), "{message}");
        gate.expect_no_deployment(&id);
        gate.config = before;
        gate.restart().await;
    }
    gate.finish().await;
}

#[tokio::test]
async fn a_token_that_now_is_somebody_elses_deploys_nothing() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.submitted(&id).await;
    // Carol's: she may close what was asked for, but it is not she who asked.
    gate.sim.cloud().token("pul-signoff-deployer", "carol");
    gate.approve("bob", &id).await;
    let message = gate.expect_end(&id, "error", "principal-changed").await;
    assert!(
        message.starts_with(
            "The token of the principal default now belongs to carol; the open request was made by signoff-deployer."
        ),
        "{message}"
    );
    assert_eq!(gate.sim.cloud().grants().len(), 0);
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Ears::start().await;
    let away = pulumi_sim::Fault::Redirect { location: format!("{}/elsewhere", elsewhere.url()) };
    let gate = Setup::new()
        .without_referee()
        .cloud(|cloud| _ = cloud.faults.plan(Pattern::new("POST", "/api/esc/environments/*/*/*/open/request"), away, 1))
        .start()
        .await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_blocker(&id, "pulumi-cloud").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let heard = elsewhere.heard("/elsewhere");
    assert!(heard.is_empty(), "it went where it was sent: {heard:?}");
    gate.finish().await;
}
