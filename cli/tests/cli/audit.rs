//! Exporting the trail, and checking it.

use serde_json::{Value, json};
use signoff_core::chain::{Sealed, seal};
use signoff_core::event::{Actor, Entry, Event, RestsOn};
use signoff_core::request::{Outcome, Request};

use crate::stub::{ID, Stub, closed, ended, finish, page, reply_problem, request};

/// A trail of two events, which ends as cancelled.
fn trail(id: &str) -> Vec<Value> {
    let ask = json!({"id": id, "stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4",
        "requester": {"login": "alice", "name": "Alice"},
        "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false, "commitRequired": false},
        "accessDuration": "1h", "grantExpiration": "1h", "pendingTimeout": "72h", "position": 1, "createdAt": "2026-11-23T20:00:00Z"});
    let asked = Event::Requested(Box::new(serde_json::from_value(ask).unwrap()));
    let cancelled =
        Event::Cancelled { outcome: Outcome::new("cancelled", "Taken back."), rests_on: RestsOn::default() };
    let mut before: Option<Request> = None;
    let mut events: Vec<Sealed> = Vec::new();
    for event in [asked, cancelled] {
        let at = "2026-11-23T20:00:00Z".parse().unwrap();
        let entry = Entry { id: ulid::Ulid::from_parts(1, events.len() as u128), at, actor: Actor::SIGNOFF, event };
        let step = seal(before.as_ref(), &entry).unwrap();
        events.push(step.sealed);
        before = Some(step.request);
    }
    events.iter().map(|event| json!(event)).collect()
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

#[test]
fn an_export_follows_the_pages_and_passes_the_check() {
    let stub = Stub::start();
    let events = trail(ID);
    stub.on("GET /v1/audit", [page(&events[..1], Some("/v1/audit?page=2")), page(&events[1..], None)]);
    let run = stub.run(&["audit", "export", "--since", "2026-11-01", "--organization", "acme"]).ends(0);
    assert_eq!(run.out, lines(&events));
    assert_eq!(
        stub.lines(),
        ["GET /v1/audit?since=2026-11-01T00%3A00%3A00Z&organization=acme", "GET /v1/audit?page=2"]
    );
    let run = finish(stub.command(&["audit", "verify", "-"]), &run.out).ends(0);
    assert_eq!(run.out, format!("ok      {ID}  2 events, cancelled\n1 request ok, 0 broken\n"));
    assert!(run.err.contains("cut off"), "{run:?}");
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let stub = Stub::start();
    let events = trail(ID);
    let first = page(&events[..1], Some("?page=2"));
    stub.on("GET /v1/audit", [first.clone(), reply_problem(403, "Forbidden", "admins only")]);
    stub.run(&["audit", "export", "--output", "trail.ndjson"]).ends(1);
    assert_eq!(std::fs::read_dir(&stub.home).unwrap().count(), 0);
    stub.on("GET /v1/audit", [first, page(&events[1..], None)]);
    let run = stub.run(&["audit", "export", "--output", "trail.ndjson", "--json"]).ends(0);
    assert_eq!(run.json(), json!({"output": "trail.ndjson", "events": 2}));
    assert_eq!(std::fs::read_to_string(stub.home.join("trail.ndjson")).unwrap(), lines(&events));
    stub.run(&["audit", "verify", "trail.ndjson"]).ends(0);
}

#[test]
fn only_what_was_begun_is_called_not_the_whole() {
    let stub = Stub::start();
    let events = trail(ID);
    stub.on("GET /v1/audit", [reply_problem(403, "Forbidden", "admins only")]);
    let run = stub.run(&["audit", "export"]).ends(1);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "signoff: Forbidden (403): admins only\n"));
    stub.on("GET /v1/audit", [page(&events[..1], Some("?page=2")), reply_problem(403, "Forbidden", "admins only")]);
    let run = stub.run(&["audit", "export"]).ends(1);
    assert!(run.out == lines(&events[..1]) && run.err.contains("not the whole trail"), "{run:?}");
    // A reader that has enough, such as head.
    stub.on("GET /v1/audit", [page(&events, None)]);
    let run = closed(stub.command(&["audit", "export"])).ends(0);
    assert_eq!(run.err, "");
}

#[test]
fn a_file_that_cant_be_is_named_as_it_was_asked_for() {
    let stub = Stub::start();
    stub.on("GET /v1/audit", [page(&trail(ID), None)]);
    let run = stub.run(&["audit", "export", "--output", "missing/trail.ndjson"]).ends(1);
    assert!(run.err.starts_with("signoff: missing/trail.ndjson: "), "{run:?}");
}

#[test]
fn the_token_does_not_follow_a_page_to_another_server() {
    let stub = Stub::start();
    let events = trail(ID);
    stub.on(
        "GET /v1/audit",
        [page(&events[..1], Some("http://127.0.0.1:1/v1/audit?page=2")), page(&events[1..], None)],
    );
    assert_eq!(stub.run(&["audit", "export"]).ends(0).out, lines(&events));
    assert_eq!(stub.lines(), ["GET /v1/audit?since=1970-01-01T00%3A00%3A00Z", "GET /v1/audit?page=2"]);
}

#[test]
fn what_was_tampered_with_is_named_and_ends_with_1() {
    let stub = Stub::start();
    let mut events = trail(ID);
    events[1]["data"]["evidence"]["outcome"]["message"] = "Nothing to see.".into();
    events.extend(trail("req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4"));
    let run = finish(stub.command(&["audit", "verify", "-"]), &lines(&events)).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {ID}  event 2 was edited")), "{run:?}");
    assert!(run.out.contains("1 request ok, 1 broken"), "{run:?}");
    let json = finish(stub.command(&["audit", "verify", "-", "--json"]), &lines(&events)).ends(1).json();
    assert_eq!(
        (&json["ok"], &json["requests"][0]["result"], &json["requests"][1]["result"]),
        (&false.into(), &"broken".into(), &"ok".into())
    );
    let run = finish(stub.command(&["audit", "verify", "-"]), "nonsense\n").ends(1);
    assert!(run.out.contains("BROKEN  line 1: is not JSON"), "{run:?}");
    assert!(run.out.ends_with("0 requests ok, 0 broken, 1 line of no request\n"), "{run:?}");
    let run = finish(stub.command(&["audit", "verify", "-"]), "nonsense\nagain\n").ends(1);
    assert!(run.out.ends_with(", 2 lines of no request\n"), "{run:?}");
    assert!(finish(stub.command(&["audit", "verify", "-"]), "\n").ends(1).err.contains("no events"));
}

#[test]
fn a_window_says_that_its_beginning_is_missing() {
    let stub = Stub::start();
    let run = finish(stub.command(&["audit", "verify", "-"]), &lines(&trail(ID)[1..])).ends(0);
    assert!(run.out.contains("events 2 to 2; its beginning is not in the file"), "{run:?}");
}

#[test]
fn one_request_is_checked_against_where_it_stands() {
    let stub = Stub::start();
    let events = trail(ID);
    stub.on(&format!("GET /v1/requests/{ID}"), [ended("cancelled", "Taken back.")]);
    stub.on(&format!("GET /v1/requests/{ID}/events"), [json!({"events": events})]);
    let run = stub.run(&["audit", "verify", "--request", ID]).ends(0);
    assert!(run.out.contains("2 events, cancelled"), "{run:?}");
    stub.on(&format!("GET /v1/requests/{ID}/events"), [json!({"events": events[..1]})]);
    let run = stub.run(&["audit", "verify", "--request", ID]).ends(1);
    assert!(run.out.contains("but the request is cancelled"), "{run:?}");
    stub.on(&format!("GET /v1/requests/{ID}/events"), [json!({"events": events[1..]})]);
    assert!(stub.run(&["audit", "verify", "--request", ID]).ends(1).out.contains("events before event 2 are missing"));
    stub.on(&format!("GET /v1/requests/{ID}/events"), [json!({"events": []})]);
    assert!(stub.run(&["audit", "verify", "--request", ID]).ends(1).out.contains("no events"));
}

#[test]
fn a_request_that_moves_on_meanwhile_is_looked_at_again() {
    let stub = Stub::start();
    stub.on(&format!("GET /v1/requests/{ID}"), [request("requested"), ended("cancelled", "Taken back.")]);
    stub.on(&format!("GET /v1/requests/{ID}/events"), [json!({"events": trail(ID)})]);
    stub.run(&["audit", "verify", "--request", ID]).ends(0);
}

#[test]
fn the_whole_trail_is_checked_against_where_all_requests_stand() {
    let stub = Stub::start();
    let other = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4";
    let mut second = ended("cancelled", "Taken back.");
    second["id"] = other.into();
    let both = json!({"requests": [ended("cancelled", "Taken back."), second.clone()]});
    stub.on("GET /v1/requests", [both]);
    stub.on("GET /v1/audit", [page(&trail(ID), Some("?page=2")), page(&trail(other), None)]);
    assert!(stub.run(&["audit", "verify"]).ends(0).out.contains("2 requests ok, 0 broken"));
    // All events of one are gone from the trail.
    stub.on("GET /v1/audit", [page(&trail(ID), None)]);
    stub.on(&format!("GET /v1/requests/{other}"), [second]);
    stub.on(&format!("GET /v1/requests/{other}/events"), [json!({"events": []})]);
    let run = stub.run(&["audit", "verify"]).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {other}  there are no events of it")), "{run:?}");
    // One is gone from the requests.
    stub.on("GET /v1/requests", [json!({"requests": []})]);
    let run = stub.run(&["audit", "verify"]).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {ID}  there are events of it, but")), "{run:?}");
}

#[test]
fn what_the_server_cant_read_is_named_by_its_events() {
    let stub = Stub::start();
    let other = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4";
    let mut edited = trail(ID);
    edited[0]["data"]["evidence"]["reason"] = "Ship 2.5".into();
    let broken = || reply_problem(500, "Something is broken", "it can't be read; tell the operator");
    let unreadable = |ids: &[&str]| json!({"requests": [ended("cancelled", "Taken back.")], "unreadable": ids});
    let events = format!("GET /v1/requests/{ID}/events");
    stub.on(&format!("GET /v1/requests/{ID}"), [broken()]);
    stub.on(&events, [json!({"events": edited})]);
    let named = format!("BROKEN  {ID}  event 1 was edited");
    let run = stub.run(&["audit", "verify", "--request", ID]).ends(1);
    assert!(run.out.contains(&named), "{run:?}");
    stub.on("GET /v1/requests", [json!({"requests": [], "unreadable": [ID]})]);
    stub.on("GET /v1/audit", [page(&edited, None)]);
    assert!(stub.run(&["audit", "verify"]).ends(1).out.contains(&named));
    // The trail as a whole tells it even where the request's own can't be had.
    stub.on(&events, [broken()]);
    assert!(stub.run(&["audit", "verify"]).ends(1).out.contains(&named));
    let run = stub.run(&["audit", "verify", "--request", ID]).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {ID}  the server can't read its events: ")), "{run:?}");
    // It is not the events.
    stub.on(&events, [json!({"events": trail(ID)})]);
    let run = stub.run(&["audit", "verify", "--request", ID]).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {ID}  its events are whole, but ")), "{run:?}");
    // One that left no event at all is not passed over.
    stub.on(&format!("GET /v1/requests/{other}"), [broken()]);
    stub.on(&format!("GET /v1/requests/{other}/events"), [json!({"events": []})]);
    stub.on(&format!("GET /v1/requests/{ID}"), [ended("cancelled", "Taken back.")]);
    stub.on("GET /v1/requests", [unreadable(&[other])]);
    stub.on("GET /v1/audit", [page(&trail(ID), None)]);
    let run = stub.run(&["audit", "verify"]).ends(1);
    assert!(run.out.contains(&format!("BROKEN  {other}  there are no events of it")), "{run:?}");
    assert!(run.out.contains("1 request ok, 1 broken"), "{run:?}");
    let run = stub.run(&["list"]).ends(0);
    assert!(run.err.contains(&format!("{other} can't be read: signoff audit verify --request {other}")), "{run:?}");
    assert_eq!(stub.run(&["list", "--json"]).ends(0).json()["unreadable"], json!([other]));
}

#[test]
fn checkpoints_take_their_key_and_have_to_be_some() {
    let stub = Stub::start();
    let file = |name: &str, text: &str| std::fs::write(stub.home.join(name), text).unwrap();
    file("trail.ndjson", &lines(&trail(ID)));
    file("empty.jsonl", "");
    // A public key on P-256.
    file(
        "key.pub",
        "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
",
    );
    let verify = |also: &[&str]| stub.run(&[&["audit", "verify", "trail.ndjson"], also].concat());
    verify(&["--checkpoints", "empty.jsonl"]).ends(2);
    verify(&["--key", "key.pub"]).ends(2);
    verify(&["--since", "2026-11-01"]).ends(2);
    let run = verify(&["--checkpoints", "empty.jsonl", "--key", "key.pub"]).ends(1);
    assert_eq!(run.err, "signoff: empty.jsonl: there are no checkpoints in it\n");
    let run = verify(&["--checkpoints", "empty.jsonl", "--key", "trail.ndjson"]).ends(1);
    assert!(run.err.contains("holds no key on the curve P-256"), "{run:?}");
}
