//! Single requests, lists, trails, gates, and what is around every answer.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use signoff_core::asking::Permission;
use signoff_core::event::{Event, Opened, RestsOn, Seen};
use signoff_core::ledger::{Begin, Cause, Ledger};
use signoff_core::request::{Approvals, ChangeRequestStatus, Deployment, Grant, Outcome, State};
use signoff_functions::api::RequestView;

use crate::setup::{World, want};

fn seen(status: ChangeRequestStatus, approvers: &[&str], counted: &[&str]) -> Seen {
    let logins = |all: &[&str]| all.iter().map(|login| login.parse().unwrap()).collect();
    Seen {
        id: "cr-1".to_owned(),
        status,
        revision: 3,
        approvals: vec![Approvals {
            ruleset: "prod-signoff".to_owned(),
            required: 2,
            approvers: logins(approvers),
            counted: logins(counted),
        }],
        rulesets: vec!["rs-1".to_owned()],
        description_hash: None,
    }
}

fn taken_back() -> Event {
    let outcome = Outcome::new("cancelled", "Taken back.");
    Event::EndDecided { to: State::Cancelled, outcome, rests_on: RestsOn::default() }
}

#[tokio::test]
async fn a_request_is_shown_in_every_stage_of_its_life() {
    let world = World::new().await;
    let id = world.asked().await;
    let path = format!("/v1/requests/{id}");
    let show = async || {
        let answer = world.get("bob", &path).await;
        let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
        let view: RequestView = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&view).unwrap(), text, "programs read what is shown");
        answer.ok(200)
    };
    let opened = Opened { id: "cr-1".to_owned(), environment: "acme/credentials/prod".parse().unwrap(), revision: 3 };
    let principal = "signoff-bot".parse().unwrap();
    world
        .record(id, Event::Opened { principal, machine: None, settings: "s".to_owned(), change_requests: vec![opened] })
        .await;
    let pending = seen(ChangeRequestStatus::Pending, &["alice", "bob"], &["bob"]);
    world.record(id, Event::Submitted { change_requests: vec![pending] }).await;
    let shown = show().await;
    assert_eq!(shown["state"], "pending_approval");
    assert_eq!(
        shown["changeRequests"],
        json!([{
            "id": "cr-1", "environment": "credentials/prod", "revision": 3, "status": "pending",
            "reviewUrl": "https://app.pulumi.com/acme/esc/credentials/prod?version=cr-1",
            "approvals": [{"ruleset": "prod-signoff", "required": 2, "approvers": ["alice", "bob"], "counted": ["bob"]}]
        }])
    );
    let blocker = json!([{"kind": "self-approval", "detail": "credentials/prod: 1 of 2 approvals that count: alice approved, but whoever asks for a deployment or carries it out does not count; somebody else has to approve"}]);
    assert_eq!(shown["blockers"], blocker);
    let ready = seen(ChangeRequestStatus::Ready, &["carol", "bob"], &["carol", "bob"]);
    world.record(id, Event::Approved { change_requests: vec![ready.clone()] }).await;
    let now = signoff_core::host::Host::now(&*world.host);
    let grant = Grant { applied_at: now, expires_at: "2026-11-23T13:00:00Z".parse().unwrap() };
    world.record(id, Event::Granted { change_requests: vec![ready], grant }).await;
    assert_eq!(
        show().await["grant"],
        json!({"appliedAt": "2026-11-23T12:00:00Z", "expiresAt": "2026-11-23T13:00:00Z"})
    );
    let deployment = Deployment { id: "d-1".to_owned(), version: 7, url: "https://app.pulumi.com/d".to_owned() };
    world.record(id, Event::Deploying { deployment, status: None }).await;
    let shown = show().await;
    let deployment = json!({"id": "d-1", "version": 7, "status": "not-started", "url": "https://app.pulumi.com/d"});
    assert_eq!((&shown["state"], &shown["deployment"]), (&json!("deploying"), &deployment));
    world
        .record(id, Event::Succeeded { outcome: Outcome::new("succeeded", "Done."), rests_on: RestsOn::default() })
        .await;
    let shown = show().await;
    assert_eq!(shown["deployment"]["status"], "succeeded");
    assert_eq!(shown["outcome"], json!({"code": "succeeded", "message": "Done."}));
    assert_eq!(shown["blockers"], json!([]));
    let events = world.get("bob", &format!("{path}/events")).await.ok(200);
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    let words = ["requested", "opened", "submitted", "approved", "granted", "deploying", "succeeded"];
    assert_eq!(kinds, words.map(|word| format!("signoff.request.{word}")));
    assert_eq!(events["events"][0]["data"]["actor"], json!({"login": "alice"}));
    assert_eq!(events["events"][0]["sequence"], "0000000001");
}

#[tokio::test]
async fn blockers_are_what_the_last_look_left_as_long_as_nothing_happened_since() {
    let world = World::new().await;
    let id = world.asked().await;
    let now = signoff_core::host::Host::now(&*world.host);
    let holder = ulid::Ulid::from_parts(1, 1);
    let Begin::Held(loaded, lease) =
        world.ledger.begin(id, holder, now, now + std::time::Duration::from_secs(60), Cause::Due).await.unwrap()
    else {
        panic!("nobody else has it")
    };
    let mut work = loaded.work.clone();
    work.note.version = loaded.request.status.sequence;
    let kind = signoff_core::blocker::BlockerKind::StackBusy;
    work.note.waiting = vec![signoff_core::blocker::Blocker::new(kind, "deployment 6 is running")];
    world.ledger.finish(&lease, &work).await.unwrap();
    let show = async || world.get("bob", &format!("/v1/requests/{id}")).await.ok(200);
    assert_eq!(show().await["blockers"], json!([{"kind": "stack-busy", "detail": "deployment 6 is running"}]));
    assert_eq!(show().await["ending"], json!(null));
    world.cancel("alice", id).await.ok(202);
    let shown = show().await;
    assert_eq!((&shown["blockers"][0]["kind"], &shown["outcome"]), (&json!("closing"), &json!(null)));
    assert_eq!(
        (&shown["ending"]["state"], &shown["ending"]["outcome"]["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
}

#[tokio::test]
async fn what_one_may_not_read_is_404() {
    let world = World::new().await;
    let id = world.asked().await;
    for suffix in ["", "/events"] {
        let path = format!("/v1/requests/{id}{suffix}");
        for login in ["alice", "bob", "admin", "both"] {
            world.get(login, &path).await.ok(200);
        }
        for login in ["stranger", "odd", "nobody", "visitor"] {
            world.get(login, &path).await.problem(404);
        }
        world.get("both", &format!("{path}?organization=globex")).await.problem(404);
        world.get("both", &format!("{path}?organization=acme")).await.ok(200);
        world.get("alice", &path.replace("req_", "req_0")).await.problem(404);
    }
    for bad in ["req_", "x", "%ff", "req_01KAT5AAAAAAAAAAAAAAAAAAAA"] {
        world.get("alice", &format!("/v1/requests/{bad}")).await.problem(404);
    }
    world.cancel("stranger", id).await.problem(404);
    world.callers.allow("visitor", "acme/web/prod", Permission::Read);
    world.get("visitor", &format!("/v1/requests/{id}")).await.problem(404);
    world.host.forward(60);
    world.get("visitor", &format!("/v1/requests/{id}")).await.ok(200);
    world.cancel("visitor", id).await.problem(403);
}

fn ids(answer: &Value) -> Vec<String> {
    answer["requests"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_in_pages() {
    let world = World::new().await;
    let mut all = Vec::new();
    for n in 0..5 {
        world.host.forward(1);
        let (login, stack) = if n % 2 == 0 { ("admin", "acme/api/prod") } else { ("alice", "acme/web/prod") };
        let shown = world.ask(login, want(stack)).await.ok(202);
        all.insert(0, shown["id"].as_str().unwrap().to_owned());
    }
    world.ask("stranger", want("globex/web/prod")).await.ok(202);
    let over = all[3].parse().unwrap();
    world
        .record(over, Event::Cancelled { outcome: Outcome::new("cancelled", "No."), rests_on: RestsOn::default() })
        .await;
    let list = async |query: &str| world.get("bob", &format!("/v1/requests{query}")).await.ok(200);
    let whole = list("").await;
    assert_eq!((ids(&whole), &whole["cursor"]), (all.clone(), &Value::Null));
    let open: Vec<_> = [0, 1, 2, 4].map(|n| all[n].clone()).into();
    assert_eq!(ids(&list("?state=open").await), open);
    assert_eq!(ids(&list("?state=requested&limit=100").await), open);
    assert_eq!(ids(&list("?state=cancelled").await), [all[3].clone()]);
    assert_eq!(ids(&list("?stack=acme/web/prod").await), [all[1].clone(), all[3].clone()]);
    assert_eq!(ids(&list("?requester=ALICE&state=open").await), [all[1].clone()]);
    for (filter, expected) in [("?limit=2", all.clone()), ("?state=open&limit=2", open)] {
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&format!("{filter}&cursor={cursor}")).await;
            assert!((1..=2).contains(&ids(&page).len()), "no empty page at the end");
            paged.extend(ids(&page));
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(paged, expected);
    }
    let cursor = list("?limit=2").await["cursor"].as_str().unwrap().to_owned();
    for bad in [
        format!("?cursor={cursor}&state=open"),
        "?cursor=rubbish".to_owned(),
        "?limit=0".to_owned(),
        "?limit=101".to_owned(),
        "?limit=x".to_owned(),
        "?state=opened".to_owned(),
        "?stack=web".to_owned(),
        "?requester=a%20b".to_owned(),
        "?stat=open".to_owned(),
        "?state=open&state=open".to_owned(),
    ] {
        world.get("bob", &format!("/v1/requests{bad}")).await.problem(400);
    }
    assert_eq!(ids(&world.get("visitor", "/v1/requests").await.ok(200)), Vec::<String>::new());
    world.host.forward(60);
    world.callers.allow("visitor", "acme/web/prod", Permission::Read);
    assert_eq!(ids(&world.get("visitor", "/v1/requests").await.ok(200)), [all[1].clone(), all[3].clone()]);
}

#[tokio::test]
async fn one_that_cant_be_read_hides_nobody_and_its_events_are_shown() {
    let world = World::new().await;
    let (broken, sound) = (world.asked().await, world.asked().await);
    world.edit(broken, "Ship 2.4", "Ship 2.5").await;
    let list = async |login: &str, query: &str| {
        let listed = world.get(login, &format!("/v1/requests?organization=acme{query}")).await.ok(200);
        let ids = listed["requests"].as_array().unwrap().iter().map(|request| request["id"].clone());
        (ids.collect::<Vec<_>>(), listed["unreadable"].clone(), listed["cursor"].clone())
    };
    assert_eq!(list("bob", "").await, (vec![json!(sound)], json!([broken]), Value::Null));
    assert_eq!(list("bob", "&stack=acme/web/prod&limit=1").await.1, json!([broken]), "whether it is one, nobody knows");
    assert_eq!(list("bob", "&state=open").await, (vec![json!(sound)], Value::Null, Value::Null));
    world.callers.allow("visitor", "acme/web/prod", Permission::Read);
    assert_eq!(list("visitor", "").await, (vec![json!(sound)], Value::Null, Value::Null), "it may be another stack's");

    let path = format!("/v1/requests/{broken}");
    assert_eq!(world.get("bob", &path).await.problem(500)["type"], "/problems/broken");
    let events = world.get("bob", &format!("{path}/events")).await.ok(200);
    assert_eq!(events["events"][0]["data"]["evidence"]["reason"], "Ship 2.5", "as they are");
    for (login, query) in [("visitor", ""), ("stranger", ""), ("nobody", ""), ("both", "?organization=globex")] {
        world.get(login, &format!("{path}/events{query}")).await.problem(500);
    }
    let explained = world.get("alice", "/v1/gates/explain?stack=acme/web/prod").await.ok(200);
    let detail = format!(
        "{broken} is in line on acme/web/prod, and can't be read, so that nobody knows how far it is: see what is wrong with `signoff audit verify --request {broken}`, and put back what was changed in the store"
    );
    assert_eq!(explained["blockers"], json!([{"kind": "earlier-request", "detail": detail}]));

    // Events that somebody gave to another organization are shown to neither.
    world.record(sound, taken_back()).await;
    world.edit(sound, "signoff/acme", "signoff/globex").await;
    world.get("stranger", &format!("/v1/requests/{sound}/events")).await.problem(500);
    world.get("bob", &format!("/v1/requests/{sound}/events")).await.problem(500);
}

#[tokio::test]
async fn gates_are_those_of_the_callers_organizations() {
    let world = World::new().await;
    let gates = world.get("alice", "/v1/gates").await.ok(200);
    assert_eq!(gates["hold"], false);
    assert_eq!(
        gates["gates"],
        json!([
            {"number": 1, "stacks": ["acme/locked/prod"], "environment": "acme/credentials/locked", "operations": ["update"],
             "principal": "default", "runsAs": "caller", "accessDuration": "1h", "grantExpiration": "1h", "pendingTimeout": "2h",
             "selfApproval": false, "commit": "required", "requesters": ["alice", "machine:ci"], "timeZone": "UTC"},
            {"number": 2, "stacks": ["acme/*/prod"], "environment": "acme/credentials/prod",
             "operations": ["update", "preview", "refresh", "destroy"],
             "principal": "default", "runsAs": "caller", "accessDuration": "1h", "grantExpiration": "1h", "pendingTimeout": "72h",
             "selfApproval": false, "commit": "optional", "requesters": null, "timeZone": "UTC"}
        ])
    );
    let count = async |login: &str, query: &str| {
        world.get(login, &format!("/v1/gates{query}")).await.ok(200)["gates"].as_array().unwrap().len()
    };
    assert_eq!(count("both", "").await, 3);
    assert_eq!(count("both", "?organization=globex").await, 1);
    assert_eq!(count("nobody", "").await, 0);
}

#[tokio::test]
async fn everything_else_is_a_problem_too() {
    let world = World::without_store();
    let health = world.send(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!(health.ok(200), json!({"status": "ok", "version": "0.1.0"}));
    for path in ["/", "/v1", "/v1/nothing", "/v1/requests/"] {
        world.get("alice", path).await.problem(404);
    }
    for (method, path) in
        [("DELETE", "/v1/requests"), ("POST", "/v1/gates"), ("PUT", "/healthz"), ("GET", "/v1/requests/x/cancel")]
    {
        let answer = world.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        answer.problem(405);
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn a_browser_without_a_token_is_told_where_to_look_and_nothing_more() {
    let world = World::new().await;
    let id = world.asked().await;
    let follow =
        |path: String| world.send(Request::get(path).header("accept", "text/html,*/*").body(Body::empty()).unwrap());
    let page = follow(format!("/v1/requests/{id}")).await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (401, &"text/html; charset=utf-8".parse().unwrap())
    );
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(text.contains(&format!("signoff show {id}")) && !text.contains("acme"), "{text}");
    let nobody = follow("/v1/requests/req_01M844DZG0000000000000000Z".to_owned()).await;
    assert_eq!(nobody.status, page.status, "it does not tell whether there is one");
    let rubbish = follow("/v1/requests/req_script".to_owned()).await;
    assert_eq!(
        (rubbish.status.as_u16(), &rubbish.headers["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
}
