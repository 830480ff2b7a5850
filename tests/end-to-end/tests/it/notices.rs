//! Word gets round: to Slack, to a program that checks signatures with the published library, beside a commit at GitHub; and nobody's silence holds a request up.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use signoff_tests::{Answer, Ears, GITHUB_SECRET, GITHUB_TOKEN, Gate, GitHub, Heard, LIMIT, Setup, until};
use standardwebhooks::Webhook;

const STACK: &str = "acme/web/prod";
/// The key that signs.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How long a request takes at most that nobody holds up.
const QUICK: Duration = Duration::from_secs(15);
/// The secret part of the address at Slack.
const SLACK: &str = "/services/T00/B00/x7Vb2Qe9";

/// A gate whose two channels lead to the same ears.
async fn gated(ears: &Ears, notices: &str) -> Gate {
    let gates = format!(
        "[[channel]]\nname = \"team\"\nkind = \"slack\"\n[[channel]]\nname = \"the-log\"\nkind = \"webhook\"\nurl = \"{}/hook\"\n\
         [[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\nbreak-glass = [\"dave\"]\nnotices = [{notices}]\n",
        ears.url()
    );
    let setup = Setup::new().gates(&gates).secret(KEY).secret(SLACK);
    let setup = setup.variable("SIGNOFF_CHANNEL_SECRET_TEAM", &format!("{}{SLACK}", ears.url()));
    setup.variable("SIGNOFF_CHANNEL_SECRET_THE_LOG", KEY).start().await
}

const BOTH: &str = "{ channel = \"team\" }, { channel = \"the-log\" }";

fn types(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(|one| one.json["type"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn everybody_hears_each_change_once_and_signatures_hold() {
    let ears = Ears::start().await;
    let gate = gated(&ears, BOTH).await;
    let body = json!({"stack": STACK, "operation": "update", "reason": "<!channel> *now* & <https://evil.example|click>\nShip it"});
    let id = gate.ask_with("alice", body).await;
    ears.expect("/hook", 1).await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let heard = ears.expect("/hook", 4).await;
    let all = ["waiting", "approved", "running", "over"].map(|word| format!("signoff.request.{word}"));
    assert_eq!(types(&heard), all);
    let library = Webhook::new(KEY).unwrap();
    for one in &heard {
        library.verify(&one.body, &one.headers).unwrap();
        assert!(library.verify(b"{}", &one.headers).is_err());
        assert_eq!(one.json["data"]["request"]["id"], id.as_str());
        assert_eq!(one.header("content-type"), "application/json");
    }
    let ids: BTreeSet<&str> = heard.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids.len(), 4);
    let last = &heard[3].json["data"];
    assert_eq!(last["headline"], format!("alice's update of {STACK}: succeeded"));
    assert_eq!(last["link"], format!("{}/v1/requests/{id}", gate.url()));
    // The ids are those of the trail's events: whoever listens can find each there.
    let events: BTreeSet<String> =
        gate.events(&id).await.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect();
    assert!(ids.iter().all(|id| events.contains(*id)));
    let slack = ears.expect(SLACK, 4).await;
    let first = slack[0].json.to_string();
    assert!(first.contains("> &lt;!channel&gt; *now* &amp; &lt;https://evil.example|click&gt;"), "{first}");
    assert!(
        first.contains(&format!("To approve: signoff approve {id}")) && first.contains("|Review credentials/prod>"),
        "{first}"
    );
    assert!(slack[3].json["text"].as_str().unwrap().ends_with("succeeded"));
    // Time for more, if there were more.
    let more = gate.ask("alice", STACK, "preview").await;
    ears.expect("/hook", 5).await;
    assert_eq!((ears.heard("/hook").len(), ears.heard(SLACK).len()), (5, 5));
    gate.cancel("alice", &more).await;
    gate.expect_state(&more, "cancelled").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_gate_says_who_hears_what_and_broken_glass_is_heard_by_all() {
    let ears = Ears::start().await;
    let gate = gated(
        &ears,
        "{ channel = \"team\", on = [\"broken\"] }, { channel = \"the-log\", on = [\"waiting\", \"broken\"] }",
    )
    .await;
    let id = gate.ask("alice", STACK, "update").await;
    ears.expect("/hook", 1).await;
    let said = gate.cli("dave", &["break-glass", &id, "--lift", "freeze", "--reason", "outage"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let (slack, hook) = (ears.expect(SLACK, 1).await, ears.expect("/hook", 2).await);
    assert_eq!(hook[1].json["type"], "signoff.request.glass_broken");
    assert_eq!(slack[0].json["text"], format!("Break-glass by dave: freeze lifted from alice's update of {STACK}"));
    gate.sim.cloud().plan_outcome(STACK, false);
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "failed").await;
    let hook = ears.expect("/hook", 3).await;
    assert_eq!(hook[2].json["type"], "signoff.request.broken");
    assert!(hook[2].json["data"]["details"].to_string().contains("Break-glass: freeze lifted from it"));
    ears.expect(SLACK, 2).await;
    gate.finish().await;
}

#[tokio::test]
async fn nobodys_silence_holds_a_request_up() {
    for answer in [Answer::Never, Answer::Status(500), Answer::Redirect, Answer::Huge, Answer::Status(410)] {
        let ears = Ears::start().await;
        ears.answer(answer);
        let gate = gated(&ears, BOTH).await;
        let id = gate.ask("alice", STACK, "update").await;
        gate.approve("bob", &id).await;
        let all = gate.expect_state(&id, "succeeded");
        assert!(tokio::time::timeout(QUICK, all).await.is_ok(), "{answer:?} held it up");
        ears.expect("/hook", 1).await;
        assert!(ears.heard("/hook/elsewhere").is_empty(), "nothing is followed");
        gate.finish().await;
    }
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_after_a_crash_under_the_same_id() {
    let ears = Ears::start().await;
    ears.answer(Answer::Never);
    let mut gate = gated(&ears, "{ channel = \"the-log\", on = [\"over\"] }").await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.cancel("alice", &id).await;
    gate.expect_state(&id, "cancelled").await;
    let first = ears.expect("/hook", 1).await;
    gate.kill().await;
    ears.answer(Answer::Status(200));
    gate.restart().await;
    let heard =
        until(Duration::from_secs(240), async || Some(ears.heard("/hook")).filter(|heard| heard.len() > 1)).await;
    let heard = heard.expect("it is sent again when the claim of the dead one is over");
    assert_eq!(first[0].header("webhook-id"), heard[1].header("webhook-id"));
    Webhook::new(KEY).unwrap().verify(&heard[1].body, &heard[1].headers).unwrap();
    gate.finish().await;
}

#[tokio::test]
async fn a_pushed_commit_shows_what_its_request_waits_for_and_how_it_ended() {
    let github = GitHub::start().await;
    let gates = format!(
        "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n\
         [[gate.pushes]]\nrepository = \"acme/web\"\nbranch = \"main\"\nstack = \"{STACK}\"\n"
    );
    let setup = Setup::new().gates(&gates).secret(GITHUB_TOKEN).secret(GITHUB_SECRET);
    let setup = setup.variable("SIGNOFF_GITHUB_TOKEN", GITHUB_TOKEN).variable("SIGNOFF_GITHUB_URL", github.url());
    let gate = setup.variable("SIGNOFF_GITHUB_WEBHOOK_SECRET", GITHUB_SECRET).start().await;
    let sha = github.push("main", "alice", "alice", "Ship", &[]);
    assert_eq!(github.deliver(gate.url(), GITHUB_SECRET, &sha, "main").await.status, 202);
    let shown = |wanted: &'static str| {
        let (github, sha) = (github.clone(), sha.clone());
        async move {
            let found =
                until(LIMIT, async || github.statuses(&sha).pop().filter(|status| status["state"] == wanted)).await;
            found.unwrap_or_else(|| panic!("{wanted} is not shown: {:?}", github.statuses(&sha)))
        }
    };
    let pending = shown("pending").await;
    assert_eq!(pending["description"], "credentials/prod: 0 of 1 approvals that count");
    assert_eq!(pending["context"], format!("signoff/{STACK}"));
    let id = pending["target_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let end = shown("success").await;
    assert_eq!(end["description"], format!("Deployment 1 of {STACK} succeeded."));
    gate.finish().await;
}

#[tokio::test]
async fn a_channel_without_a_good_secret_keeps_it_from_starting() {
    let ears = Ears::start().await;
    let mut gate = gated(&ears, BOTH).await;
    for (name, value, said) in [
        (
            "SIGNOFF_CHANNEL_SECRET_TEAM",
            None,
            "is not set: the address of the incoming webhook at Slack; the channel team needs it",
        ),
        ("SIGNOFF_CHANNEL_SECRET_THE_LOG", None, "is not set: the key that signs its webhooks"),
        (
            "SIGNOFF_CHANNEL_SECRET_TEAM",
            Some("http://hooks.slack.example/x7Vb2Qe9"),
            "is not the address of the incoming webhook",
        ),
        ("SIGNOFF_CHANNEL_SECRET_THE_LOG", Some("whsec_c2hvcnQ="), "is not the key that signs its webhooks"),
    ] {
        gate.kill().await;
        let environment = gate.environment.clone();
        gate.environment.retain(|(known, _)| known != name);
        gate.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        assert_eq!(gate.try_start().await, Err(Some(1)));
        assert!(gate.log().contains(&format!("{name} {said}")), "{}", gate.log());
        gate.environment = environment;
    }
    gate.restart().await;
    gate.finish().await;
}
