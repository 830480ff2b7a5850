//! GitHub's webhook door, through the real binary, and a GitHub that is not what it should be.

use reqwest::Method;
use serde_json::json;
use signoff_tests::{GITHUB_SECRET, GITHUB_TOKEN, Gate, GitHub, GitHubFault, LIMIT, WEBHOOK_SECRET, until};

use super::{STACK, call};
use crate::pushes::setup;

/// A gate at which only what rings makes anything happen: the clock comes once in ten minutes.
async fn unhurried(keys: &str) -> (Gate, GitHub) {
    let github = GitHub::start().await;
    (setup(&github, keys, "").without_webhooks().reconcile_every("10m").start().await, github)
}

/// The signature of a body, as GitHub writes it.
fn signed(body: &str) -> String {
    format!("sha256={}", pulumi_sim::signature(GITHUB_SECRET, body.as_bytes()))
}

fn payload(n: usize) -> String {
    json!({"ref": "refs/heads/main", "after": format!("{n:040x}"), "repository": {"full_name": "acme/web"}}).to_string()
}

#[tokio::test]
async fn what_github_did_not_sign_is_not_heard() {
    let (gate, github) = unhurried("").await;
    github.push("main", "octocat", "octocat", "Ship 2.4", &[]);
    let body = payload(1);
    let good = signed(&body);
    let plain = good.trim_start_matches("sha256=");
    let by_pulumi = format!("sha256={}", pulumi_sim::signature(WEBHOOK_SECRET, body.as_bytes()));
    let of_nothing = signed("");
    let signatures: [&[(&str, &str)]; 11] = [
        &[],
        &[("x-hub-signature-256", "")],
        &[("x-hub-signature-256", plain)],
        &[("x-hub-signature-256", &by_pulumi)],
        &[("x-hub-signature-256", &of_nothing)],
        &[("x-hub-signature-256", &good[..70])],
        &[("x-hub-signature-256", &good.to_uppercase())],
        &[("x-hub-signature-256", &good), ("x-hub-signature-256", &good)],
        // The old header is not looked at, whatever is in it.
        &[("x-hub-signature", &good)],
        &[("x-hub-signature", &format!("sha1={}", &plain[..40]))],
        &[("pulumi-webhook-signature", plain), ("pulumi-webhook-id", "d"), ("pulumi-webhook-kind", "deployment")],
    ];
    let named = [("x-github-delivery", "d"), ("x-github-event", "push"), ("content-type", "application/json")];
    for signature in signatures {
        let headers = [&named[..], signature].concat();
        let reply = call(&gate, Method::POST, "/webhooks/github", &headers, Some(body.clone())).await;
        assert_eq!(reply.status, 401, "{signature:?}: {}", reply.text);
        assert!(!reply.text.contains(&plain[..20]), "it tells what the signature should have been");
    }
    let good = ("x-hub-signature-256", good.as_str());
    for (headers, status) in [
        (vec![good, named[1]], 400),
        (vec![good, named[0]], 400),
        (vec![good, named[0], named[1], named[0]], 400),
        (vec![good, named[0], named[1], named[1]], 400),
    ] {
        let reply = call(&gate, Method::POST, "/webhooks/github", &headers, Some(body.clone())).await;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text);
    }
    let large = " ".repeat((1 << 20) + 1);
    let of_large = signed(&large);
    let headers = [&named[..], &[("x-hub-signature-256", of_large.as_str())]].concat();
    assert_eq!(call(&gate, Method::POST, "/webhooks/github", &headers, Some(large)).await.status, 413);
    assert_eq!(call(&gate, Method::GET, "/webhooks/github", &named, None).await.status, 405);
    // What asks for nothing is taken.
    for (event, body) in [
        ("ping", r#"{"zen": "Design for failure."}"#.to_owned()),
        ("push", payload(1).replace("acme/web", "mallory/web")),
        ("push", payload(1).replace("heads/main", "heads/next")),
        ("push", payload(1).replace("heads/main", "tags/main")),
    ] {
        let signature = signed(&body);
        let headers = [("x-hub-signature-256", signature.as_str()), named[0], ("x-github-event", event)];
        assert_eq!(call(&gate, Method::POST, "/webhooks/github", &headers, Some(body)).await.status, 202, "{event}");
    }
    // What comes in the stream behind all of them was taken up: they are through.
    let last = gate.ask("alice", "acme/api/prod", "update").await;
    gate.submitted(&last).await;
    assert_eq!((github.calls().len(), gate.requests().await.len()), (0, 1));
    gate.cancel("alice", &last).await;
    gate.finish().await;
}

#[tokio::test]
async fn a_flood_of_signed_pushes_costs_a_bounded_number_of_calls_and_a_replay_none() {
    const PUSHES: usize = 80;
    let (gate, github) = unhurried("").await;
    let sha = github.push("main", "octocat", "octocat", "Ship 2.4", &[]);
    assert_eq!(github.deliver(gate.url(), GITHUB_SECRET, "first", "main").await.status, 202);
    let asked = until(LIMIT, async || gate.requests().await.into_iter().find(|one| one["commit"] == sha));
    let id = asked.await.expect("the push asks")["id"].as_str().expect("it has an id").to_owned();
    gate.submitted(&id).await;
    let pulumi = |gate: &Gate| gate.sim.cloud().calls().values().sum::<u64>();
    let (at_github, at_pulumi, began) = (github.calls().len(), pulumi(&gate), gate.sim.now());
    for n in 0..PUSHES {
        // Each a body of its own, and each of them twice, under another id and as another event.
        let (body, fresh) = (payload(n), format!("fresh-{n}"));
        let signature = signed(&body);
        for (event, duplicate) in [("push", false), ("pull_request", true)] {
            let headers = [
                ("x-hub-signature-256", signature.as_str()),
                ("x-github-delivery", &format!("{fresh}-{event}")),
                ("x-github-event", event),
            ];
            let reply = call(&gate, Method::POST, "/webhooks/github", &headers, Some(body.clone())).await;
            assert_eq!((reply.status, &reply.body["duplicate"]), (202, &json!(duplicate)), "{}", reply.text);
        }
    }
    let last = gate.ask("alice", "acme/api/prod", "update").await;
    gate.submitted(&last).await;
    let cost = github.calls().len() - at_github;
    // On a slow machine the flood lasts longer.
    let windows = gate.sim.now().duration_since(began).as_secs() / 20 + 1;
    assert!(
        i64::try_from(cost).is_ok_and(|cost| cost <= 10 * (windows + 1)),
        "{PUSHES} pushes made {cost} calls to GitHub"
    );
    let cost = pulumi(&gate) - at_pulumi;
    assert!(cost <= 60, "{PUSHES} pushes made {cost} calls to Pulumi Cloud");
    assert_eq!(gate.requests().await.len(), 2);
    for id in [&id, &last] {
        gate.cancel("dave", id).await;
    }
    gate.finish().await;
}

#[tokio::test]
async fn one_delivery_about_a_run_replayed_under_fresh_ids_costs_a_bounded_number_of_calls() {
    const REPLAYS: usize = 150;
    let (gate, _github) = unhurried("rescue = true").await;
    // One that failed otherwise: with every look it would be looked at again.
    let run = gate.occupy(STACK).await;
    gate.release(&run);
    let body =
        json!({"organization": {"githubLogin": "acme"}, "projectName": "web", "stackName": "prod", "status": "failed"});
    let body = body.to_string();
    let signature = pulumi_sim::signature(WEBHOOK_SECRET, body.as_bytes());
    let all = |gate: &Gate| gate.sim.cloud().calls().values().sum::<u64>();
    let (before, began) = (all(&gate), gate.sim.now());
    for n in 0..REPLAYS {
        let fresh = format!("replay-{n}");
        let headers = [
            ("pulumi-webhook-id", fresh.as_str()),
            ("pulumi-webhook-kind", "deployment"),
            ("pulumi-webhook-signature", signature.as_str()),
        ];
        let reply = call(&gate, Method::POST, "/webhooks/pulumi", &headers, Some(body.clone())).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
    }
    let last = gate.ask("alice", "acme/api/prod", "update").await;
    gate.submitted(&last).await;
    let cost = all(&gate) - before;
    // Ten looks in twenty seconds, two calls each, one of which reads the run and its log, and the calls of the last request.
    let windows = gate.sim.now().duration_since(began).as_secs() / 20 + 1;
    assert!(
        i64::try_from(cost).is_ok_and(|cost| cost <= 20 * (windows + 1) + 40),
        "{REPLAYS} replays made {cost} calls to Pulumi Cloud"
    );
    assert!(gate.calls("GET", "/logs") <= 1);
    assert_eq!(gate.requests().await.len(), 1);
    gate.cancel("alice", &last).await;
    gate.finish().await;
}

#[tokio::test]
async fn whatever_github_says_its_token_is_not_shown_and_goes_nowhere_else() {
    let github = GitHub::start().await;
    let setup = setup(&github, "", "").variable("SIGNOFF_LOG", "trace").without_referee();
    let gate = setup.start().await;
    github.push("main", "octocat", "octocat", "Ship 2.4", &[]);
    for fault in [GitHubFault::SaysBack, GitHubFault::Moved, GitHubFault::Huge] {
        github.fail(Some(fault));
        let before = github.calls().len();
        let headers = |body: &str| {
            [
                ("x-hub-signature-256", signed(body)),
                ("x-github-delivery", "d".to_owned()),
                ("x-github-event", "push".to_owned()),
            ]
        };
        let body = payload(fault as usize);
        let headers = headers(&body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(call(&gate, Method::POST, "/webhooks/github", &headers, Some(body)).await.status, 202);
        let asked = until(LIMIT, async || (github.calls().len() > before).then_some(()));
        asked.await.expect("GitHub is asked");
        let told = match fault {
            GitHubFault::SaysBack => "may not do this; see ***",
            GitHubFault::Moved => "the repository has moved",
            _ => "an answer of more than",
        };
        let logged = until(LIMIT, async || gate.log().contains(told).then_some(()));
        logged.await.unwrap_or_else(|| panic!("{fault:?} is not told\n{}", gate.tail()));
    }
    assert!(!github.calls().iter().any(|path| path.contains("moved")), "a redirect was followed");
    assert!(!gate.log().contains(GITHUB_TOKEN), "the token is in the log");
    gate.finish().await;
}
