//! A push, from GitHub's webhook to the status beside its commit; GitHub and Pulumi Cloud both have certificates of the company's own.

use serde_json::json;

use crate::authority::Authority;
use crate::emulator::until;
use crate::github::{GITHUB_SECRET, GITHUB_TOKEN, GitHub};
use crate::whole::deployed_for;
use crate::world::World;

/// The webhook's secret before, while it is being rotated.
const GITHUB_BEFORE: &str = "ghsec-before-2c19";
const PUSHES: &str = "\n[[gate.pushes]]\nrepository = \"acme/web\"\nbranch = \"main\"\nstack = \"acme/web/prod\"\n";

/// A GitHub, whose secrets the functions have from now on, and a gate that lets its pushes ask.
pub(crate) async fn github(world: &mut World, before: &str, keys: &str) -> GitHub {
    let github = GitHub::start().await;
    let before = format!("github-logins = {{ octocat = \"alice\" }}\n{before}");
    world.gates(&before, &format!("{keys}{PUSHES}")).await;
    let token = world.secret("signoff-test/github-token", GITHUB_TOKEN).await;
    let webhook = world.secret("signoff-test/github-webhook-2", GITHUB_SECRET).await;
    let webhook_before = world.secret("signoff-test/github-webhook-1", GITHUB_BEFORE).await;
    world.give("SIGNOFF_GITHUB_TOKEN_ID", token);
    world.give("SIGNOFF_GITHUB_SECRET_ID", webhook);
    world.give("SIGNOFF_GITHUB_SECRET_PREVIOUS_ID", webhook_before);
    world.give("SIGNOFF_GITHUB_URL", github.url());
    world.hide(&[GITHUB_TOKEN, GITHUB_SECRET, GITHUB_BEFORE]);
    world.iam.configure("github");
    github
}

/// Somebody pushes, GitHub says so, and a request comes of it; the commit, and the request's id.
pub(crate) async fn push(world: &mut World, github: &GitHub) -> (String, String) {
    let commit = github.push("main", "octocat", "octocat", "Ship 2.4", &["infra/index.ts"]);
    let door = format!("{}/lambda-url/receive", world.emulator.url);
    assert_eq!(github.deliver(&door, GITHUB_SECRET, &commit, "main").await.status, 202);
    let id = until("the push to ask", async || {
        world.pump().await;
        let (_, page) = world.call("alice", "GET", "/v1/requests?state=open", None).await;
        let found = page["requests"].as_array()?.iter().find(|one| one["commit"] == *commit)?;
        assert_eq!(found["push"]["pusher"], "octocat");
        found["id"].as_str().map(str::to_owned)
    });
    let id = id.await;
    (commit, id)
}

#[tokio::test]
async fn a_push_asks_is_deployed_at_its_commit_and_shows_how_it_ended() {
    let mut world = World::start("pushes").await;
    let authority = Authority::new();
    let github = github(&mut world, "", "").await;
    world.give("SIGNOFF_GITHUB_URL", authority.before(github.url()).await);
    world.give("SIGNOFF_PULUMI_URL", authority.before(&world.sim.url()).await);
    world.give("SIGNOFF_CA_BUNDLE", authority.pem());
    world.run(&["api", "receive", "apply", "deploy", "notify"]);
    world.send_webhooks();

    let door = format!("{}/lambda-url/receive", world.emulator.url);
    world.pump().await;
    assert_eq!(github.deliver(&door, "another", "forged", "main").await.status, 401);
    assert_eq!(world.pump().await, 0, "nothing is left of what nobody signed");
    assert_eq!(github.deliver(&door, GITHUB_BEFORE, "rotated", "main").await.status, 202, "still good");
    let (commit, id) = push(&mut world, &github).await;
    world.expect_state(&id, "pending_approval", async |_| {}).await;
    let shown = |state: &'static str| github.statuses(&commit).into_iter().find(|one| one["state"] == state);
    let pending = until("the status", async || {
        world.tick("notify").await;
        shown("pending")
    });
    let link = format!("https://signoff.example.com/v1/requests/{id}");
    assert_eq!(pending.await["target_url"], json!(link));
    world.approve("bob", &id);
    world.expect_state(&id, "succeeded", async |_| {}).await;
    assert_eq!(deployed_for(&world, &id), 1);
    let commits: Vec<_> = world.sim.cloud().deployments().iter().map(|one| one.commit().map(str::to_owned)).collect();
    assert_eq!(commits, [Some(commit.clone())]);
    world.tick("notify").await;
    assert!(shown("success").is_some(), "{:?}\n{}", github.statuses(&commit), world.emulator.log("notify"));
    world.finish();
}

#[tokio::test]
async fn without_the_bundle_nobody_talks_to_a_certificate_that_nobody_knows() {
    let mut world = World::start("unknown").await;
    world.give("SIGNOFF_PULUMI_URL", Authority::new().before(&world.sim.url()).await);
    world.give("SIGNOFF_CA_BUNDLE", Authority::new().pem());
    world.run(&["api"]);
    let (status, problem) = world.call("alice", "GET", "/v1/requests", None).await;
    assert_eq!(status, 503, "{problem}");
    world.finish();
}
