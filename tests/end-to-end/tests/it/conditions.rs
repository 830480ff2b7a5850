//! When an approved request is applied: windows, freezes, a wait, a time of its own; more people for some operations; and what lifts which of these.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use signoff_core::conditions::Zone;
use signoff_tests::{Gate, Reply, Setup};

const STACK: &str = "acme/web/prod";

#[expect(clippy::disallowed_methods, reason = "conditions are about the real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// One gate, with some more keys.
fn gated(keys: &str) -> Setup {
    Setup::new().gates(&format!(
        "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\nbreak-glass = [\"dave\"]\n{keys}\n"
    ))
}

/// A window that is closed now: a minute of the day after tomorrow.
fn shut() -> String {
    let day = Zone::UTC.clock(now() + SignedDuration::from_hours(48));
    format!("windows = [\"{} 12:00-12:01\"]", day.strftime("%a").to_string().to_lowercase())
}

/// A freeze that began an hour ago and ends in a day.
fn frozen() -> String {
    let clock = |at: Timestamp| Zone::UTC.clock(at).strftime("%Y-%m-%dT%H:%M").to_string();
    let (from, to) = (clock(now() - SignedDuration::from_hours(1)), clock(now() + SignedDuration::from_hours(24)));
    format!("freezes = [{{ from = \"{from}\", to = \"{to}\", reason = \"The big sale\" }}]")
}

async fn lift(gate: &Gate, login: &str, id: &str, lift: Value) -> Reply {
    let body = json!({"lift": lift, "reason": "The shop is down"});
    gate.call(login, Method::POST, &format!("/v1/requests/{id}/break-glass"), Some(body)).await
}

#[tokio::test]
async fn an_approved_request_waits_for_its_window_and_whom_the_gate_names_may_lift_that() {
    let gate = gated(&shut()).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    let detail = gate.expect_blocker(&id, "window").await;
    assert!(detail.contains("12:00-12:01; that opens at ") && detail.ends_with("12:00 UTC"), "{detail}");
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "approved");
    assert_eq!(gate.sim.cloud().grants().len(), 0, "applied outside of its window: the grant's clocks run");

    for nobody in ["alice", "bob"] {
        assert_eq!(lift(&gate, nobody, &id, json!(["window"])).await.status, 403, "{nobody}");
    }
    assert_eq!(lift(&gate, "dave", &id, json!(["approvals"])).await.status, 422, "an approval is never lifted");
    let lifted = lift(&gate, "dave", &id, json!(["window"])).await;
    assert_eq!((lifted.status, &lifted.body["lifted"]), (202, &json!(["window"])));
    gate.expect_state(&id, "succeeded").await;
    let words = gate.event_words(&id).await;
    assert!(words.contains(&"glass_broken".to_owned()), "{words:?}");
    let events = gate.events(&id).await;
    let broken =
        events.iter().find(|event| event["type"] == "signoff.request.glass_broken").expect("it is in the trail");
    assert_eq!(broken["data"]["actor"], json!({"login": "dave"}));
    assert_eq!(broken["data"]["evidence"], json!({"lifted": ["window"], "reason": "The shop is down"}));
    assert_eq!(lift(&gate, "dave", &id, json!(["freeze"])).await.status, 409, "it is over");
    gate.finish().await;
}

#[tokio::test]
async fn a_freeze_wins_and_breaking_the_glass_gives_no_approval() {
    let gate = gated(&frozen()).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    assert_eq!(lift(&gate, "dave", &id, json!(["freeze", "wait", "window", "line"])).await.status, 202);
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval", "only approvals approve");
    let other = gate.ask("alice", "acme/api/prod", "update").await;
    gate.approve("bob", &other).await;
    let detail = gate.expect_blocker(&other, "freeze").await;
    assert!(detail.contains("The big sale"), "{detail}");
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.request(&other).await["state"], "approved", "the glass was broken for one request alone");
    gate.cancel("alice", &other).await;
    gate.finish().await;
}

#[tokio::test]
async fn what_is_asked_for_later_or_waits_after_its_approval_holds_nobody_up() {
    let gate = gated("").start().await;
    let soon = now() + SignedDuration::from_secs(6);
    let first = gate
        .ask_with(
            "alice",
            json!({"stack": STACK, "operation": "update", "reason": "Tonight", "notBefore": soon.to_string()}),
        )
        .await;
    let second = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &first).await;
    gate.expect_blocker(&first, "not-before").await;
    gate.approve("bob", &second).await;
    gate.expect_state(&second, "succeeded").await;
    assert_eq!(gate.request(&first).await["state"], "approved");
    gate.expect_state(&first, "succeeded").await;
    let applied: Timestamp =
        gate.request(&first).await["grant"]["appliedAt"].as_str().and_then(|at| at.parse().ok()).expect("a grant");
    assert!(applied >= soon, "applied at {applied}, before {soon}");
    gate.finish().await;
}

#[tokio::test]
async fn what_is_not_applied_by_the_time_that_was_asked_for_expires() {
    let gate = gated("").start().await;
    let soon = now() + SignedDuration::from_secs(2);
    let id = gate
        .ask_with(
            "alice",
            json!({"stack": STACK, "operation": "update", "reason": "Today", "notAfter": soon.to_string()}),
        )
        .await;
    let message = gate.expect_end(&id, "expired", "not-approved-in-time").await;
    assert!(message.contains("which is the latest that was asked for"), "{message}");
    gate.finish().await;
}

#[tokio::test]
async fn after_its_approval_it_waits_as_long_as_the_gate_says() {
    let gate = gated("wait = \"3s\"").start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_blocker(&id, "wait").await;
    gate.expect_state(&id, "succeeded").await;
    let events = gate.events(&id).await;
    let time = |word: &str| -> Timestamp {
        let event = events.iter().find(|event| event["type"] == format!("signoff.request.{word}")).expect("an event");
        event["time"].as_str().and_then(|at| at.parse().ok()).expect("a time")
    };
    let waited = time("granted").duration_since(time("approved"));
    assert!(waited >= SignedDuration::from_secs(3), "{waited}");
    gate.finish().await;
}

#[tokio::test]
async fn a_destroy_takes_as_many_people_as_the_gate_says() {
    let gate = gated("approvals-for = { destroy = 2 }").start().await;
    let update = gate.ask("dave", STACK, "update").await;
    gate.approve("bob", &update).await;
    gate.expect_state(&update, "succeeded").await;
    let destroy = gate.ask("dave", STACK, "destroy").await;
    gate.approve("bob", &destroy).await;
    let lacking = "1 of 2 people whose approval counts, whom this gate asks for to destroy";
    gate.expect_blocker_saying(&destroy, "approvals", lacking).await;
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&destroy).await["state"], "pending_approval", "one person is not two");
    gate.approve("carol", &destroy).await;
    gate.expect_state(&destroy, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn what_somebody_else_applies_in_a_freeze_is_not_deployed_in_it() {
    let gate = gated(&frozen()).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_blocker(&id, "freeze").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.apply_in_console("dave", &change_request);
    gate.expect_state(&id, "granted").await;
    gate.expect_blocker(&id, "freeze").await;
    gate.expect_calls(4, "GET", "/deployments").await;
    gate.expect_no_deployment(&id);
    assert_eq!(lift(&gate, "dave", &id, json!(["freeze"])).await.status, 202);
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_gate_explains_itself() {
    let gate =
        gated(&format!("{}\napprovals-for = {{ destroy = 2 }}\nrequesters = [\"alice\"]", frozen())).start().await;
    let explained = gate.cli("alice", &["explain", STACK, "destroy"]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.err);
    for said in [
        "Gate 1 covers it.",
        "You may ask for it.",
        "2 different people whose approval counts",
        "freeze: nothing is applied until",
        "The big sale",
    ] {
        assert!(explained.out.contains(said), "{said} is not in {}", explained.out);
    }
    let later = (now() + SignedDuration::from_hours(48)).to_string();
    let explained = gate.cli("alice", &["explain", STACK, "--at", &later, "--requester", "bob"]).await;
    assert!(explained.out.contains("bob may not ask for it"), "{}", explained.out);
    let explained = gate.cli("alice", &["explain", STACK, "--at", &later]).await;
    assert!(
        explained.out.contains("it could be applied from") && !explained.out.contains("would wait"),
        "{}",
        explained.out
    );
    let ungated = gate.cli("alice", &["explain", "acme/web/dev"]).await;
    assert!(ungated.out.contains("No gate covers acme/web/dev"), "{}", ungated.out);
    for (query, status) in
        [("", 400), ("?stack=acme", 400), ("?stack=acme/web/prod&at=now", 400), ("?stack=other/web/prod", 403)]
    {
        assert_eq!(
            gate.call("alice", Method::GET, &format!("/v1/gates/explain{query}"), None).await.status,
            status,
            "{query}"
        );
    }
    gate.finish().await;
}
