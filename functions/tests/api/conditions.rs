//! What a request may say of its time, what is lifted from it, and what a gate says of itself.

use serde_json::{Value, json};
use signoff_core::asking::Permission;
use signoff_core::event::{Event, RestsOn};
use signoff_core::gate::Gates;
use signoff_core::ledger::{Ledger, Work};
use signoff_core::request::{Outcome, State};

use crate::setup::{GATES, World, want};

/// The usual gates, of which the second has conditions. The clock stands on a Monday at noon.
async fn world() -> World {
    let world = World::new().await;
    let second = "stacks = [\"acme/*/prod\"]";
    let keys = "time-zone = \"Europe/Berlin\"\nwindows = [\"tue 09:00-12:00\"]\nwait = \"10m\"\napprovals-for = { update = 2 }\nbreak-glass = [\"bob\", \"machines\"]";
    let gates = GATES.replace(second, &format!("{second}\n{keys}"));
    world.ledger.put_gates(&Gates::from_toml(&gates).unwrap()).await.unwrap();
    world
}

fn timed(changes: Value) -> Value {
    let mut body = want("acme/web/prod");
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_time_is_kept_shown_and_bounds_the_expiry() {
    let world = world().await;
    let asked = json!({"notBefore": "2026-11-23T18:00:00+01:00", "notAfter": "2026-11-24T12:00:00.5Z"});
    let shown = world.ask("alice", timed(asked)).await.ok(202);
    assert_eq!(shown["notBefore"], "2026-11-23T17:00:00Z");
    assert_eq!(
        (&shown["notAfter"], &shown["expiresAt"]),
        (&json!("2026-11-24T12:00:00.5Z"), &json!("2026-11-24T12:00:00.5Z"))
    );
    assert_eq!((&shown["gate"]["approvals"], &shown["gate"]["wait"]), (&json!(2), &json!("10m")));
    for (bad, pointers) in [
        (json!({"notBefore": "tomorrow", "notAfter": 7}), &["/notBefore", "/notAfter"][..]),
        (json!({"notAfter": "2026-11-23T12:00:00Z"}), &["/notAfter"]),
        (json!({"notBefore": "2026-11-24T12:00:00Z", "notAfter": "2026-11-24T12:00:00Z"}), &["/notAfter"]),
        (json!({"notBefore": "2026-11-26T12:00:00Z"}), &["/notBefore"]),
        (json!({"notBefore": "2026-11-23T18:00"}), &["/notBefore"]),
        (json!({"notBefore": "9999-12-31T00:00:00Z"}), &["/notBefore"]),
        // The gate has a wait of ten minutes.
        (json!({"notAfter": "2026-11-23T12:10:00Z"}), &["/notAfter"]),
        (json!({"pendingTimeout": "10m"}), &["/pendingTimeout"]),
    ] {
        assert_eq!(world.ask("alice", timed(bad.clone())).await.pointers(), pointers, "{bad}");
    }
}

#[tokio::test]
async fn the_glass_is_broken_by_whom_the_gate_names_with_a_reason_and_once() {
    let world = world().await;
    let id = world.asked().await;
    let post = async |login: &str, body: Value| {
        world.post(login, &format!("/v1/requests/{id}/break-glass"), body.to_string()).await
    };
    let good = json!({"lift": ["window", "line", "window"], "reason": "It burns"});
    for nobody in ["alice", "admin", "ci"] {
        post(nobody, good.clone()).await.problem(403);
    }
    post("stranger", good.clone()).await.problem(404);
    for (bad, pointers) in [
        (json!({}), &["/lift", "/reason"][..]),
        (json!({"lift": [], "reason": "x"}), &["/lift"]),
        (json!({"lift": "window", "reason": "x"}), &["/lift"]),
        (json!({"lift": ["approvals"], "reason": "x"}), &["/lift"]),
        (json!({"lift": [7], "reason": "x"}), &["/lift"]),
        (json!({"lift": ["hold"], "reason": " ", "force": true}), &["/lift", "/reason", "/force"]),
    ] {
        assert_eq!(post("bob", bad.clone()).await.pointers(), pointers, "{bad}");
    }
    assert!(world.load(id).await.request.status.lifted.is_empty());
    assert_eq!(post("bob", good.clone()).await.ok(202)["lifted"], json!(["window", "line"]));
    post("bob", good.clone()).await.ok(202);
    assert_eq!(world.ledger.events(id).await.unwrap().len(), 2, "once is enough");
    assert_eq!(
        post("bob", json!({"lift": ["line", "wait"], "reason": "Still"})).await.ok(202)["lifted"],
        json!(["window", "wait", "line"])
    );
    let lease = world.intended(id).await;
    let late = post("bob", json!({"lift": ["freeze"], "reason": "x"})).await;
    assert_eq!(late.problem(409)["detail"], "The request is deploying or about to be: nothing holds it up any more.");
    world.ledger.finish(&lease, &Work::default()).await.unwrap();
    let outcome = Outcome::new("expired", "Too late.");
    world.record(id, Event::EndDecided { to: State::Expired, outcome, rests_on: RestsOn::default() }).await;
    let ending = post("bob", json!({"lift": ["freeze"], "reason": "x"})).await;
    assert_eq!(ending.problem(409)["detail"], "The request is over: it is about to end as expired.");
    let outcome = Outcome::new("expired", "Too late.");
    world.record(id, Event::Expired { outcome, rests_on: RestsOn::default() }).await;
    let over = post("bob", json!({"lift": ["freeze"], "reason": "x"})).await;
    assert_eq!(over.problem(409)["detail"], "The request is over: it ended as expired.");
}

#[tokio::test]
async fn a_gate_says_who_may_ask_what_holds_and_when_it_opens() {
    let world = world().await;
    let explain = async |login: &str, query: &str| {
        world.get(login, &format!("/v1/gates/explain?stack=acme/web/prod{query}")).await
    };
    let now = explain("alice", "").await.ok(200);
    assert_eq!((&now["number"], &now["operation"], &now["mayAsk"]), (&json!(2), &json!("update"), &json!(true)));
    assert_eq!((&now["at"], &now["opens"]), (&json!("2026-11-23T12:00:00Z"), &json!("2026-11-24T08:00:00Z")));
    let kinds =
        |of: &Value| of["blockers"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&now), ["wait", "window"]);
    let rules = now["rules"].to_string();
    for said in [
        "2 different people",
        "10m after the last approval",
        "within tue 09:00-12:00 (Europe/Berlin)",
        "by bob, machines",
    ] {
        assert!(rules.contains(said), "{said}: {rules}");
    }
    let open = explain("alice", "&at=2026-11-24T10:49:59Z&operation=refresh").await.ok(200);
    assert_eq!((kinds(&open), &open["opens"]), (vec![json!("wait")], &json!("2026-11-24T10:59:59Z")));
    let missed = explain("alice", "&at=2026-11-24T10:50:00Z").await.ok(200);
    assert_eq!(
        (kinds(&missed), &missed["opens"]),
        (vec![json!("wait"), json!("window")], &json!("2026-12-01T08:00:00Z"))
    );
    // Three days, before the next window opens.
    assert_eq!(missed["expires"], "2026-11-27T10:50:00Z");
    let others =
        async |requester: &str| explain("alice", &format!("&requester={requester}")).await.ok(200)["mayAsk"].clone();
    assert_eq!((others("bob").await, others("machine:ci").await), (Value::Null, json!(false)));
    let locked =
        world.get("alice", "/v1/gates/explain?stack=acme/locked/prod&operation=destroy&requester=bob").await.ok(200);
    assert_eq!((&locked["number"], &locked["mayAsk"]), (&json!(1), &json!(false)));
    assert!(locked["rules"][0].as_str().unwrap().contains("only update"), "{locked}");
    let none = world.get("alice", "/v1/gates/explain?stack=acme/web/dev").await.ok(200);
    assert_eq!((&none["gate"], &none["mayAsk"]), (&Value::Null, &json!(false)));
    world.get("alice", "/v1/gates/explain").await.problem(400);
    explain("alice", "&at=soon").await.problem(400);
    explain("alice", "&at=2037-01-01T00:00:00Z").await.problem(400);
    explain("alice", "&requester=a%20b").await.problem(400);
    for nobody in ["stranger", "odd", "visitor"] {
        explain(nobody, "").await.problem(403);
    }
    world.callers.allow("visitor", "acme/web/prod", Permission::Read);
    world.host.forward(120);
    assert_eq!(explain("visitor", "").await.ok(200)["mayAsk"], false);
}

#[tokio::test]
async fn what_nobody_asks_for_is_explained_too() {
    let world = world().await;
    let rules = async |keys: &str, operation: &str| {
        let gates = GATES.replace("stacks = [\"acme/*/prod\"]", &format!("stacks = [\"acme/*/prod\"]\n{keys}"));
        world.ledger.put_gates(&Gates::from_toml(&gates).unwrap()).await.unwrap();
        let path = format!("/v1/gates/explain?stack=acme/web/prod&operation={operation}");
        world.get("alice", &path).await.ok(200)["rules"].to_string()
    };
    let push = |keys: &str| {
        format!(
            "{keys}\npushes = [{{ repository = \"acme/web\", branch = \"main\", stack = \"acme/web/prod\", paths = [\"infra/**\", \"*.ts\"] }}]"
        )
    };
    let (by_push, supersedes) =
        ("A push to main of acme/web that changes infra/** or *.ts asks for it", "When a newer push");
    let (own, all) = ("What a push asked for is not deployed once", "It is not deployed once");
    let rescued = "it is asked for in their name";
    for (keys, operation, said, unsaid) in [
        (push(""), "update", vec![by_push, supersedes, own], vec![all, rescued]),
        (push(""), "preview", vec![], vec![by_push, supersedes, own, all]),
        (
            push("newer-push = \"queue\"\nallow-older = true\nrescue = true"),
            "update",
            vec![by_push, rescued],
            vec![supersedes, own, all],
        ),
        (
            push("supersede-approved = true"),
            "update",
            vec!["waits to be approved, or to be applied is cancelled"],
            vec![],
        ),
        ("allow-older = false".to_owned(), "destroy", vec![all], vec![by_push, own]),
        (String::new(), "update", vec![], vec![by_push, own, all, rescued]),
    ] {
        let rules = rules(&keys, operation).await;
        for said in said {
            assert!(rules.contains(said), "{keys}, {operation}: {said}: {rules}");
        }
        for unsaid in unsaid {
            assert!(!rules.contains(unsaid), "{keys}, {operation}: {unsaid}: {rules}");
        }
    }
}
