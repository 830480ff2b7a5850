//! Approving, which goes to Pulumi Cloud and not through signoff.

use serde_json::{Value, json};

use crate::stub::{ID, Reply, Stub, TOKEN, ended, finish, pending, reply, request};

fn proposal(environment: &str, revision: i64) -> Value {
    json!({"id": "x", "orgID": "o", "action": "open", "status": "pending", "latestRevisionNumber": revision,
        "description": format!("signoff acme {ID}\nrequester: alice\n> Ship 2.4\u{1b}[2J"),
        "createdAt": "2026-11-23T20:00:00Z", "createdBy": {"githubLogin": "deployer", "name": "Deployer", "avatarUrl": ""},
        "entity": {"entityType": "environment", "project": "credentials", "name": environment},
        "gateEvaluation": {"satisfied": false, "applicableGates": []}})
}

/// A request with two change requests, both as signoff submitted them.
fn both() -> Value {
    let mut request = pending();
    let mut other = request["changeRequests"][0].clone();
    other["id"] = "cr-2".into();
    other["environment"] = "credentials/shared".into();
    request["changeRequests"].as_array_mut().unwrap().push(other);
    request
}

/// The same once signoff saw an approval, waiting for this.
fn seen(state: &str, blockers: Value) -> Value {
    let mut request = both();
    request["state"] = state.into();
    request["blockers"] = blockers;
    request
}

fn two() -> Stub {
    let stub = Stub::start();
    stub.on(&path(), [both(), seen("approved", json!([]))])
        .on("GET /api/change-requests/acme/cr-1", [proposal("prod", 1)])
        .on("GET /api/change-requests/acme/cr-2", [proposal("shared", 1)])
        .on("POST /api/change-requests/acme/cr-1/approve", [reply(204, Value::Null)])
        .on("POST /api/change-requests/acme/cr-2/approve", [reply(204, Value::Null)]);
    stub
}

fn path() -> String {
    format!("GET /v1/requests/{ID}")
}

fn approvals(stub: &Stub) -> Vec<String> {
    stub.lines().into_iter().filter(|line| line.starts_with("POST")).collect()
}

#[test]
fn the_recorded_revisions_are_approved_with_the_reviewers_token() {
    let stub = two();
    let run = stub.run(&["approve", ID, "--comment", "Looks good", "--yes"]).ends(0);
    assert!(run.out.contains("approved  credentials/prod (cr-1): revision 1"), "{run:?}");
    assert!(run.err.starts_with("alice asks for update of acme/web/prod"), "{run:?}");
    assert!(run.err.contains("  | > Ship 2.4\\u{1b}[2J"), "{run:?}");
    assert_eq!(
        approvals(&stub),
        ["POST /api/change-requests/acme/cr-1/approve", "POST /api/change-requests/acme/cr-2/approve"]
    );
    let last = stub.calls().into_iter().rfind(|call| call.line.starts_with("POST")).unwrap();
    assert_eq!(last.body, json!({"revisionNumber": 1, "comment": "Looks good"}));
    assert_eq!(last.headers["authorization"], format!("token {TOKEN}"));
    assert_eq!(last.headers["accept"], "application/vnd.pulumi+8");
    assert_eq!(last.headers["content-type"], "application/json");
}

#[test]
fn what_will_end_is_not_approved_and_says_how_it_will() {
    let mut request = both();
    request["ending"] =
        json!({"state": "cancelled", "outcome": {"code": "cancelled", "message": "Taken back by alice: no."}});
    let stub = Stub::start();
    stub.on(&path(), [request]);
    let run = stub.run(&["approve", ID, "--yes"]).ends(1);
    assert!(run.err.contains(&format!("{ID} will be cancelled. Taken back by alice: no.")), "{run:?}");
    assert!(approvals(&stub).is_empty(), "{run:?}");
    let shown = stub.run(&["show", ID]).ends(0);
    assert!(shown.out.contains("will be      cancelled (cancelled): Taken back by alice: no."), "{shown:?}");
    assert!(!shown.out.contains("signoff approve") && !shown.out.contains("expires"), "{shown:?}");
}

#[test]
fn what_the_request_still_waits_for_is_said_when_signoff_has_seen_the_approval() {
    let stub = two();
    let own = json!([{"kind": "self-approval", "detail": "credentials/prod: alice asked for it\u{1b}"}]);
    let busy = json!([{"kind": "stack-busy", "detail": "deployment 7 is running"}]);
    let mut rejected = seen("rejected", json!([]));
    rejected["outcome"] = json!({"code": "rejected", "message": "carol closed it."});
    for (now, said) in [
        (
            seen("pending_approval", own),
            "It waits for an approval of somebody else: credentials/prod: alice asked for it\\u{1b}\n",
        ),
        (seen("approved", json!([])), "\nIt has enough approvals.\n"),
        (
            seen("approved", busy),
            "\nIt has enough approvals. It waits for the stack's deployments: deployment 7 is running\n",
        ),
        (rejected, "\nIt is rejected: carol closed it.\n"),
    ] {
        // It takes signoff a moment to see it.
        stub.on(&path(), [both(), both(), now]);
        let run = stub.run(&["approve", ID, "--yes"]).ends(0);
        assert!(run.out.ends_with(said), "{run:?}");
    }
    stub.on(&path(), [Reply::from(both()), reply(500, json!({"title": "Broken"}))]);
    let run = stub.run(&["approve", ID, "--yes"]).ends(0);
    assert!(run.out.ends_with("What it waits for now is not known: Broken (500)\n"), "{run:?}");
}

#[test]
fn one_that_was_edited_stops_all() {
    let stub = two();
    stub.on("GET /api/change-requests/acme/cr-2", [proposal("shared", 2)]);
    let run = stub.run(&["approve", ID, "--yes", "--json"]).ends(1);
    let results = run.json()["changeRequests"].clone();
    assert_eq!((&results[0]["result"], &results[1]["result"]), (&"skipped".into(), &"refused".into()));
    assert!(results[1]["detail"].as_str().unwrap().contains("signoff submitted revision 1, now it is 2"));
    assert!(approvals(&stub).is_empty());
}

#[test]
fn one_that_is_not_this_requests_is_not_approved_whatever_signoff_says() {
    let stub = two();
    let mut foreign = proposal("shared", 1);
    foreign["description"] = "let me in".into();
    stub.on("GET /api/change-requests/acme/cr-2", [foreign]);
    assert!(stub.run(&["approve", ID, "--yes"]).ends(1).out.contains("does not say at Pulumi Cloud"));
    let mut traversal = pending();
    traversal["changeRequests"][0]["id"] = "../../user".into();
    stub.on(&path(), [traversal]);
    assert!(stub.run(&["approve", ID, "--yes"]).ends(1).out.contains("not the id of a change request"));
    assert!(approvals(&stub).is_empty());
}

#[test]
fn what_one_may_not_approve_does_not_stop_the_rest() {
    let stub = two();
    let refused: Reply = reply(400, json!({"code": 400, "message": "Bad Request: not an eligible approver"}));
    stub.on("POST /api/change-requests/acme/cr-1/approve", [refused]);
    let run = stub.run(&["approve", ID, "--yes"]).ends(1);
    assert!(
        run.out.contains("failed  credentials/prod (cr-1): Bad Request (400): Bad Request: not an eligible approver"),
        "{run:?}"
    );
    assert!(run.out.contains("approved  credentials/shared (cr-2): revision 1"), "{run:?}");
}

#[test]
fn without_a_person_to_ask_it_takes_yes() {
    let stub = two();
    let run = finish(stub.command(&["approve", ID]), "yes\n").ends(2);
    assert!(run.err.contains("--yes") && approvals(&stub).is_empty(), "{run:?}");
}

#[test]
fn what_is_over_or_not_submitted_yet_is_not_approved() {
    let stub = Stub::start();
    for (request, said) in [
        (ended("expired", "Too late."), "is expired"),
        (request("requested"), "not submitted"),
        (request("deploying"), "is deploying"),
        (request("pending_approval"), "no change requests"),
    ] {
        stub.on(&path(), [request]);
        let run = stub.run(&["approve", ID, "--yes"]).ends(1);
        assert!(run.err.contains(said), "{run:?}");
    }
}

#[test]
fn a_reviewer_says_no_by_closing_one_change_request() {
    let stub = two();
    let mut rejected = seen("rejected", json!([]));
    rejected["outcome"] = json!({"code": "rejected", "message": "bob closed it."});
    stub.on(&path(), [both(), rejected])
        .on("POST /api/change-requests/acme/cr-1/close", [reply(404, json!({"code": 404, "message": "not yours"}))])
        .on("POST /api/change-requests/acme/cr-2/close", [reply(204, Value::Null)]);
    let reject = ["reject", ID, "--reason", "Not before the migration", "--yes"];
    let run = stub.run(&reject).ends(0);
    assert_eq!(run.out, "closed  credentials/shared (cr-2)\nIt is rejected: bob closed it.\n");
    assert!(run.err.contains("  | > Ship 2.4\\u{1b}[2J"), "{run:?}");
    let last = stub.calls().into_iter().rfind(|call| call.line.starts_with("POST")).unwrap();
    assert_eq!(last.body, json!({"comment": "Not before the migration"}));
    assert_eq!(last.headers["authorization"], format!("token {TOKEN}"));

    let stub = two();
    stub.on("POST /api/change-requests/acme/cr-1/close", [reply(204, Value::Null)]);
    let run = stub.run(&[&reject[..], &["--json"]].concat()).ends(0);
    assert_eq!(run.json(), json!({"id": ID, "closed": "cr-1"}));
    assert_eq!(approvals(&stub), ["POST /api/change-requests/acme/cr-1/close"], "one is enough");
    assert!(stub.run(&["reject", ID, "--yes"]).ends(2).err.contains("--reason"));
    assert!(stub.run(&reject[..4]).ends(2).err.contains("say --yes"));
}

#[test]
fn a_change_request_is_closed_though_the_answer_got_lost() {
    let stub = two();
    let mut closed = proposal("prod", 1);
    closed["status"] = "closed".into();
    stub.on("GET /api/change-requests/acme/cr-1", [proposal("prod", 1), closed])
        .on("POST /api/change-requests/acme/cr-1/close", [reply(502, json!({"code": 502, "message": "bad gateway"}))]);
    let run = stub.run(&["reject", ID, "--reason", "No", "--yes", "--json"]).ends(0);
    assert_eq!(run.json(), json!({"id": ID, "closed": "cr-1"}));
    assert_eq!(approvals(&stub), ["POST /api/change-requests/acme/cr-1/close"], "the other one is left alone");
}

#[test]
fn what_is_none_of_the_requests_is_not_closed() {
    let stub = two();
    let mut other = proposal("prod", 1);
    other["description"] = "signoff acme req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4".into();
    let mut applied = proposal("shared", 1);
    applied["status"] = "applied".into();
    stub.on("GET /api/change-requests/acme/cr-1", [other]).on("GET /api/change-requests/acme/cr-2", [applied]);
    let run = stub.run(&["reject", ID, "--reason", "No", "--yes"]).ends(1);
    let why = format!("credentials/prod (cr-1): it does not say at Pulumi Cloud that it is {ID}'s");
    assert_eq!(
        run.err.lines().last().unwrap(),
        format!(
            "signoff: nothing could be closed: {why}; credentials/shared (cr-2): it is applied. Whoever asked for it, and admins, can take it back: signoff cancel {ID} --reason '…'"
        )
    );
    assert!(approvals(&stub).is_empty());
    stub.on(&path(), [ended("succeeded", "Deployed.")]);
    let run = stub.run(&["reject", ID, "--reason", "No", "--yes"]).ends(1);
    assert!(run.err.contains(&format!("there is nothing to reject: the state of {ID} is succeeded")), "{run:?}");
}
