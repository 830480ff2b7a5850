//! Looking: list, show, events, gates, cancel.

use serde_json::json;

use crate::stub::{ID, Stub, ended, pending, reply, reply_problem, request};

#[test]
fn a_list_is_a_table_and_follows_its_cursor() {
    let stub = Stub::start();
    stub.on(
        "GET /v1/requests",
        [json!({"requests": [pending()], "cursor": "next/1"}), json!({"requests": [ended("succeeded", "Done.")]})],
    );
    let filters = ["--stack", "acme/web/prod", "--state", "open", "--requester", "alice", "--organization", "acme"];
    let run = stub.run(&[&["list"], &filters[..]].concat()).ends(0);
    let lines: Vec<_> = run.out.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[0].ends_with("WAITING FOR"), "{run:?}");
    assert!(
        lines[1].contains("pending_approval") && lines[1].ends_with("credentials/prod: 0 of 1 approvals that count")
    );
    assert!(lines[2].contains("succeeded") && lines.len() == 3);
    let query = "stack=acme%2Fweb%2Fprod&state=open&requester=alice";
    assert_eq!(
        stub.lines(),
        [
            format!("GET /v1/requests?{query}&limit=50&organization=acme"),
            format!("GET /v1/requests?{query}&limit=49&cursor=next%2F1&organization=acme")
        ]
    );
}

#[test]
fn a_list_for_programs_is_json_and_says_where_it_goes_on() {
    let stub = Stub::start();
    stub.on("GET /v1/requests", [json!({"requests": [pending()], "cursor": "c"})]);
    let json = stub.run(&["list", "--limit", "1", "--json"]).ends(0).json();
    assert_eq!(json, json!({"requests": [pending()], "cursor": "c"}));
    let run = stub.run(&["list", "--limit", "1"]).ends(0);
    assert!(run.err.contains("--cursor c"), "{run:?}");
    stub.on("GET /v1/requests", [json!({"requests": []})]);
    let run = stub.run(&["list"]).ends(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "No requests.\n"));
}

#[test]
fn show_says_all_and_nothing_in_it_acts_on_the_terminal() {
    let stub = Stub::start();
    let mut hostile = pending();
    hostile["reason"] = "x\u{1b}]0;owned\u{7}\u{9b}2J".into();
    hostile["newField"] = json!({"kept": true});
    stub.on(&format!("GET /v1/requests/{ID}"), [hostile.clone()]);
    let run = stub.run(&["show", ID]).ends(0);
    assert!(run.out.contains("> x\\u{1b}]0;owned\\u{7}\\u{9b}2J"), "{run:?}");
    assert!(run.out.contains(&format!("  approve      signoff approve {ID}\n")), "{run:?}");
    assert!(run.out.contains("or: pulumi env change-request approve cr-1 --organization acme"), "{run:?}");
    let run = stub.run(&["show", ID, "--json"]).ends(0);
    assert!(!run.out.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{run:?}");
    assert_eq!(run.json(), hostile);
}

#[test]
fn what_is_not_there_ends_with_1() {
    let stub = Stub::start();
    for command in [&["show", ID][..], &["events", ID], &["watch", ID], &["cancel", ID, "--reason", "x"]] {
        assert_eq!(stub.run(command).ends(1).err, "signoff: Not found (404): there is no such request\n");
    }
    stub.on(&format!("GET /v1/requests/{ID}"), [json!({"hello": "world"})]);
    assert!(stub.run(&["show", ID]).ends(1).err.contains("not a request"));
}

#[test]
fn events_are_a_table_or_the_servers_json() {
    let stub = Stub::start();
    let events = json!({"events": [{"type": "signoff.request.cancelled", "time": "2026-11-23T20:00:00Z",
        "data": {"from": "approved", "to": "cancelled", "actor": {"login": "alice"}, "evidence": {"outcome": {"message": "Taken back."}}}}]});
    stub.on(&format!("GET /v1/requests/{ID}/events"), [events.clone()]);
    let run = stub.run(&["events", ID]).ends(0);
    assert!(run.out.contains("2026-11-23T20:00:00Z  cancelled  alice  approved → cancelled; Taken back."), "{run:?}");
    assert_eq!(stub.run(&["events", ID, "--json"]).ends(0).json(), events);
}

#[test]
fn gates_are_a_table_in_either_spelling() {
    let stub = Stub::start();
    let gate = json!({"stacks": ["acme/*/prod"], "environment": "acme/credentials/prod", "operations": ["update"],
        "principal": "default", "pendingTimeout": "72h", "accessDuration": "1h", "grantExpiration": "2h", "commit": "required",
        "requesters": ["alice", "machine:ci"]});
    stub.on("GET /v1/gates", [json!({"hold": true, "gates": [gate]})]);
    let run = stub.run(&["gates"]).ends(0);
    let expected = "\
GATE  STACKS       ENVIRONMENT            PRINCIPAL  PENDING  ACCESS  OPEN WITHIN
1     acme/*/prod  acme/credentials/prod  default    72h      1h      2h
Gate 1: update; has to pin the commit; only alice, machine:ci may ask.
All gates are on hold: nothing is applied or deployed.
";
    assert_eq!(run.out, expected);
    assert_eq!(stub.run(&["gates", "--json"]).ends(0).json()["hold"], true);
}

#[test]
fn what_asks_by_itself_is_said_too() {
    let stub = Stub::start();
    let push = json!({"repository": "acme/web", "branch": "main", "stack": "acme/web/prod"});
    let gate = json!({"stacks": ["acme/*/prod"], "pushes": [push], "rescue": true, "allowOlder": false, "newerPush": "queue",
            "notices": [{"channel": "team", "on": ["waiting"]}, {"channel": "log"}]});
    let many = json!({"stacks": ["acme/*/dev"], "pushes": [push, push, push, push], "allowOlder": true, "supersedeApproved": true});
    stub.on("GET /v1/gates", [json!({"gates": [gate, many]})]);
    let run = stub.run(&["gates"]).ends(0);
    for notes in [
        "a push to main of acme/web asks for update acme/web/prod; older pushes stay when newer ones come; nothing is deployed after a newer update; runs that were refused are asked for; tells team, log",
        "4 pushes ask by themselves; a newer push cancels an older one even if it is approved; older pushes are deployed after newer updates",
    ] {
        assert!(run.out.contains(notes), "{run:?}");
    }
}

#[test]
fn whoever_breaks_the_glass_learns_what_still_holds_it_up() {
    let stub = Stub::start();
    let mut lifted = request("approved");
    lifted["lifted"] = json!(["window"]);
    stub.on(&format!("POST /v1/requests/{ID}/break-glass"), [reply(202, lifted.clone())]);
    lifted["blockers"] = json!([{"kind": "wait", "detail": "not before 2026-11-23 21:00 UTC"}]);
    stub.on(&format!("GET /v1/requests/{ID}"), [lifted]);
    let run = stub.run(&["break-glass", ID, "--lift", "window", "--reason", "The shop is down"]).ends(0);
    let said = "It has enough approvals. It waits for the end of its wait: not before 2026-11-23 21:00 UTC\n";
    assert!(run.out.contains("lifted       window") && run.out.ends_with(said), "{run:?}");
}

#[test]
fn cancel_sends_the_reason_and_tells_how_far_it_is() {
    let stub = Stub::start();
    let path = format!("POST /v1/requests/{ID}/cancel");
    stub.on(&path, [reply(202, pending())]);
    let run = stub.run(&["cancel", ID, "--reason", "Wrong stack"]).ends(0);
    assert!(run.out.contains("will not be deployed"), "{run:?}");
    assert_eq!(stub.calls()[0].body, json!({"reason": "Wrong stack"}));
    stub.on(&path, [reply(202, ended("cancelled", "Taken back."))]);
    let cancel = ["cancel", ID, "--reason", "Wrong stack"];
    assert_eq!(stub.run(&cancel).ends(0).out, format!("{ID} is cancelled\n"));
    stub.on(&path, [reply_problem(409, "Too late", "it is being deployed")]);
    assert_eq!(stub.run(&cancel).ends(1).err, "signoff: Too late (409): it is being deployed\n");
}

#[test]
fn every_command_has_help_with_examples() {
    let stub = Stub::start();
    for command in [
        &["request"][..],
        &["list"],
        &["show"],
        &["watch"],
        &["events"],
        &["cancel"],
        &["approve"],
        &["gates"],
        &["audit", "export"],
        &["audit", "verify"],
        &["config", "check"],
        &[],
    ] {
        let run = stub.run(&[command, &["--help"]].concat()).ends(0);
        assert!(run.out.contains("Examples:\n  signoff ") && run.out.contains("--json"), "{run:?}");
    }
    assert!(stub.run(&["--help"]).ends(0).out.contains("  130  interrupted"));
}

#[test]
fn help_does_not_speak_of_options_that_mean_nothing() {
    let stub = Stub::start();
    let check = stub.run(&["config", "check", "--help"]).ends(0).out;
    assert!(check.contains("--json") && !check.contains("--url") && !check.contains("--organization"), "{check}");
    let local = stub.run(&["local", "--help"]).ends(0).out;
    assert!(!local.contains("--json") && !local.contains("  --url") && !local.contains("--organization"), "{local}");
    // They are taken all the same, wherever they stand.
    std::fs::write(stub.home.join("signoff.toml"), "").unwrap();
    let all = ["--json", "--url", "https://signoff.example", "--organization", "acme"];
    stub.run(&[&["config", "check"], &all[..]].concat()).ends(0).json();
    stub.run(&[&all[..], &["config", "check"]].concat()).ends(0).json();
    let run = stub.run(&[&["local"], &all[..], &["--config", "missing.toml"]].concat()).ends(1);
    assert!(run.err.contains("missing.toml"), "{run:?}");
}
