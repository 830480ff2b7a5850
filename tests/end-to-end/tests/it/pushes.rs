//! Pushes ask for deployments: of the branch's head, at the exact commit, by whoever pushed; forged, late and reordered ones ask for nothing else.

use serde_json::json;
use signoff_tests::{GITHUB_SECRET, GITHUB_TOKEN, Gate, GitHub, GitHubFault, LIMIT, Setup, deliver, until};

const STACK: &str = "acme/web/prod";

/// A gate with a push to `main`, with more keys for the gate and for the push, and the GitHub that it reads.
async fn gated(keys: &str, push: &str) -> (Gate, GitHub) {
    let github = GitHub::start().await;
    (setup(&github, keys, push).start().await, github)
}

/// What such a gate starts with.
pub(crate) fn setup(github: &GitHub, keys: &str, push: &str) -> Setup {
    let gates = format!(
        "github-logins = {{ octocat = \"alice\" }}\n[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n{keys}\n\
         [[gate.pushes]]\nrepository = \"acme/web\"\nbranch = \"main\"\nstack = \"{STACK}\"\n{push}\n"
    );
    let setup = Setup::new().gates(&gates).secret(GITHUB_TOKEN).secret(GITHUB_SECRET);
    let setup = setup.variable("SIGNOFF_GITHUB_TOKEN", GITHUB_TOKEN).variable("SIGNOFF_GITHUB_URL", github.url());
    setup.variable("SIGNOFF_GITHUB_WEBHOOK_SECRET", GITHUB_SECRET)
}

/// Somebody pushes, and GitHub says so; the commit.
async fn push(gate: &Gate, github: &GitHub, pusher: &str, message: &str) -> String {
    let sha = github.push("main", pusher, pusher, message, &["infra/index.ts"]);
    assert_eq!(github.deliver(gate.url(), GITHUB_SECRET, &sha, "main").await.status, 202);
    sha
}

/// The commits that were asked for, oldest first.
async fn commits(gate: &Gate) -> Vec<String> {
    let requests = gate.requests().await;
    requests.iter().rev().filter_map(|one| one["commit"].as_str().map(str::to_owned)).collect()
}

/// Whatever still waits is taken back; then all is checked.
async fn finish(gate: Gate) {
    for request in gate.requests().await {
        gate.cancel("dave", request["id"].as_str().unwrap_or_default()).await;
    }
    gate.finish().await;
}

/// Waits for the request of a commit; its id.
async fn asked(gate: &Gate, commit: &str) -> String {
    let found = until(LIMIT, async || {
        let all = gate.requests().await;
        all.iter().find(|one| one["commit"] == commit).and_then(|one| one["id"].as_str()).map(str::to_owned)
    });
    found.await.unwrap_or_else(|| panic!("nobody asked for {commit}\n{}", gate.log()))
}

/// Waits until the gate has looked at GitHub so many more times.
async fn looked(github: &GitHub, times: usize) {
    let before = github.calls().len();
    let more = until(LIMIT, async || (github.calls().len() >= before + times).then_some(()));
    more.await.expect("GitHub is asked");
}

#[tokio::test]
async fn a_push_waits_for_an_approval_and_then_runs_at_its_commit() {
    let (gate, github) = gated("", "").await;
    let sha = push(&gate, &github, "octocat", "Ship 2.4\n\nWith all of it.").await;
    let id = asked(&gate, &sha).await;
    let request = gate.request(&id).await;
    assert_eq!((&request["requester"]["login"], &request["operation"]), (&json!("alice"), &json!("update")));
    assert_eq!(request["reason"], format!("Ship 2.4\nhttps://github.com/acme/web/commit/{sha}"));
    assert_eq!(request["push"]["pusher"], "octocat");
    let shown = gate.cli("alice", &["show", &id]).await;
    assert!(shown.out.contains("acme/web main, by octocat"), "{}", shown.out);
    // Whoever pushed asks: their approval does not count.
    gate.approve("alice", &id).await;
    gate.expect_blocker(&id, "self-approval").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let description = gate.change_requests(&id)[0].description.clone();
    assert!(description.contains(&format!("commit: {sha}\npushed to: acme/web main, by octocat\n")), "{description}");
    assert_eq!(gate.deployments(&id)[0].commit(), Some(sha.as_str()));
    gate.finish().await;
}

#[tokio::test]
async fn what_is_on_the_branch_counts_and_not_what_a_webhook_says() {
    let (gate, github) = gated("newer-push = \"queue\"", "").await;
    let first = push(&gate, &github, "octocat", "First").await;
    asked(&gate, &first).await;
    // Two pushes whose webhooks come late and in the wrong order, one of them twice, under a fresh id each time.
    let second = github.push("main", "octocat", "octocat", "Second", &[]);
    let third = github.push("main", "octocat", "octocat", "Third", &[]);
    for id in ["late", "late-again", "later"] {
        github.deliver(gate.url(), GITHUB_SECRET, id, "main").await;
    }
    // One of a commit that is not on the branch, of a branch and a repository that no gate names, and one that nobody signed.
    let forged = |branch: &str, repository: &str| json!({"ref": format!("refs/heads/{branch}"), "after": "f".repeat(40), "repository": {"full_name": repository}});
    for body in [forged("main", "acme/web"), forged("next", "acme/web"), forged("main", "mallory/web")] {
        assert_eq!(deliver(gate.url(), GITHUB_SECRET, "x", "push", &body).await.status, 202);
    }
    let unsigned = deliver(gate.url(), "another", "y", "push", &forged("main", "acme/web")).await;
    assert_eq!(unsigned.status, 401);
    asked(&gate, &third).await;
    looked(&github, 2).await;
    assert_eq!(commits(&gate).await, [first, third], "{second} is not what is on the branch");
    finish(gate).await;
}

#[tokio::test]
async fn a_newer_push_supersedes_one_that_still_waits() {
    let (gate, github) = gated("", "").await;
    let first = push(&gate, &github, "octocat", "First").await;
    let older = asked(&gate, &first).await;
    let closed = gate.submitted(&older).await;
    let second = push(&gate, &github, "octocat", "Second").await;
    let newer = asked(&gate, &second).await;
    gate.expect_state(&older, "cancelled").await;
    let outcome = gate.request(&older).await["outcome"].clone();
    assert_eq!(outcome["code"], "superseded");
    assert!(outcome["message"].as_str().unwrap().contains(&newer), "{outcome}");
    let status = gate.sim.cloud().change_request(&closed[0].id).unwrap().status;
    assert_eq!(status, pulumi_sim::Status::Closed);
    gate.approve("bob", &newer).await;
    gate.expect_state(&newer, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn an_older_push_is_not_deployed_after_a_newer_update() {
    let (mut gate, github) = gated("newer-push = \"queue\"", "").await;
    let first = push(&gate, &github, "octocat", "First").await;
    let older = asked(&gate, &first).await;
    let newer = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &newer).await;
    gate.expect_state(&newer, "succeeded").await;
    gate.approve("bob", &older).await;
    let detail = gate.expect_blocker(&older, "overtaken").await;
    assert!(detail.contains("asked for later has been deployed"), "{detail}");
    gate.expect_no_deployment(&older);
    // It holds nobody up.
    let third = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &third).await;
    gate.expect_state(&third, "succeeded").await;
    gate.config = gate.config.replace("newer-push", "allow-older = true\nnewer-push");
    gate.restart().await;
    gate.expect_state(&older, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn paths_pick_and_a_lost_webhook_costs_time_alone() {
    let (gate, github) = gated("newer-push = \"queue\"", "paths = [\"infra/**\"]").await;
    let first = push(&gate, &github, "octocat", "First").await;
    asked(&gate, &first).await;
    let words = github.push("main", "octocat", "octocat", "Words", &["README.md"]);
    github.deliver(gate.url(), GITHUB_SECRET, "words", "main").await;
    looked(&github, 4).await;
    assert_eq!(commits(&gate).await, [first], "{words} changes nothing of interest");
    // No webhook comes for this one.
    let lost = github.push("main", "hubot", "octocat", "Lost", &["infra/a/b.ts"]);
    let id = asked(&gate, &lost).await;
    let request = gate.request(&id).await;
    assert_eq!((&request["requester"]["machine"], &request["onBehalfOf"]), (&json!("github"), &json!("hubot")));
    finish(gate).await;
}

#[tokio::test]
async fn while_github_can_not_be_read_nothing_is_asked_for() {
    let (mut gate, github) = gated("", "").await;
    let first = push(&gate, &github, "octocat", "First").await;
    let id = asked(&gate, &first).await;
    for fault in [GitHubFault::Down, GitHubFault::Limited, GitHubFault::Moved, GitHubFault::OtherBranch] {
        github.fail(Some(fault));
        let sha = push(&gate, &github, "octocat", "Later").await;
        looked(&github, 2).await;
        assert!(!commits(&gate).await.contains(&sha), "{fault:?}");
    }
    // What was asked for goes on meanwhile.
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    // Killed, and started again when GitHub can be read.
    gate.kill().await;
    github.fail(None);
    let last = github.push("main", "octocat", "octocat", "Last", &[]);
    gate.restart().await;
    asked(&gate, &last).await;
    finish(gate).await;
}

#[tokio::test]
async fn pushes_without_a_token_or_a_secret_keep_it_from_starting() {
    let (mut gate, _github) = gated("", "").await;
    for name in ["SIGNOFF_GITHUB_TOKEN", "SIGNOFF_GITHUB_WEBHOOK_SECRET"] {
        gate.kill().await;
        let environment = gate.environment.clone();
        gate.environment.retain(|(known, _)| known != name);
        assert_eq!(gate.try_start().await, Err(Some(1)));
        assert!(gate.log().contains(&format!("{name} is not set")), "{}", gate.log());
        gate.environment = environment;
    }
    gate.restart().await;
    finish(gate).await;
}
