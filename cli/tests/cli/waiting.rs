//! Waiting: `watch` and `request --wait`.

use serde_json::{Value, json};

use crate::stub::{ID, Reply, Stub, closed, ended, pending, reply, reply_problem, request};

fn path() -> String {
    format!("GET /v1/requests/{ID}")
}

#[test]
fn the_exit_code_says_how_it_ended() {
    let stub = Stub::start();
    for (state, code) in [
        ("succeeded", 0),
        ("failed", 4),
        ("rejected", 3),
        ("expired", 3),
        ("cancelled", 3),
        ("error", 1),
        ("vanished", 1),
    ] {
        stub.on(&path(), [ended(state, "So it went.")]);
        let run = stub.run(&["watch", ID]).ends(code);
        assert!(run.out.contains(state) && run.out.contains("So it went."), "{run:?}");
    }
}

#[test]
fn each_change_is_told_once_with_what_it_waits_for_and_how_to_approve() {
    let stub = Stub::start();
    stub.on("POST /v1/requests", [reply(202, request("requested"))]);
    let mut deploying = request("deploying");
    deploying["deployment"] =
        json!({"id": "d", "version": 12, "status": "running", "url": "https://app.pulumi.com/d/12"});
    stub.on(&path(), [pending(), pending(), deploying, ended("succeeded", "Deployed.")]);
    let run = stub.run(&["request", "acme/web/prod", "update", "--reason", "Ship 2.4", "--wait"]).ends(0);
    let found: Vec<usize> = [
        "requested",
        "pending_approval",
        "approve: signoff approve req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3",
        "credentials/prod asks for approval",
        "review: https://app.pulumi.com/acme/esc/credentials/prod?version=cr-1",
        "or: pulumi env change-request approve cr-1 --organization acme",
        "waits for approvals: credentials/prod: 0 of 1",
        "deploying",
        "deployment #12 running https://app.pulumi.com/d/12",
        "succeeded",
        "Deployed.",
    ]
    .iter()
    .map(|text| run.out.find(text).unwrap_or_else(|| panic!("{text}: {run:?}")))
    .collect();
    assert!(found.is_sorted(), "{run:?}");
    assert_eq!(run.out.matches("pending_approval").count(), 1, "{run:?}");
    assert!(!run.out.contains("nothing"), "what waits for nothing says nothing of it: {run:?}");
}

#[test]
fn nobody_is_asked_to_approve_what_is_approved() {
    let stub = Stub::start();
    let mut approved = pending();
    approved["state"] = "approved".into();
    approved["changeRequests"][0]["status"] = "ready".into();
    approved["blockers"] = json!([{"kind": "stack-busy", "detail": "deployment 7 is running"}]);
    stub.on(&path(), [approved.clone(), ended("succeeded", "Deployed.")]);
    let run = stub.run(&["watch", ID]).ends(0);
    assert!(
        run.out.contains("waits for the stack's deployments: deployment 7")
            && !run.out.contains("approve ")
            && !run.out.contains("review:"),
        "{run:?}"
    );
    // An approval withdrawn is to be given again.
    stub.on(&path(), [pending(), approved, pending(), ended("succeeded", "Deployed.")]);
    let run = stub.run(&["watch", ID]).ends(0);
    assert_eq!((run.out.matches("approve: ").count(), run.out.matches("review: ").count()), (2, 2), "{run:?}");
}

#[test]
fn a_closed_output_changes_nothing_about_how_it_ended() {
    let stub = Stub::start();
    stub.on("POST /v1/requests", [reply(202, request("requested"))]);
    let ask = ["request", "acme/web/prod", "update", "--reason", "Ship 2.4", "--wait"];
    for (command, end, code) in
        [(&ask[..], "rejected", 3), (&["watch", ID], "failed", 4), (&["watch", ID, "--json"], "error", 1)]
    {
        stub.on(&path(), [pending(), ended(end, "So it went.")]);
        let run = closed(stub.command(command)).ends(code);
        assert_eq!(run.err, "", "{command:?}");
    }
    // What does not wait is done when nobody listens.
    stub.on(&path(), [pending()]);
    closed(stub.command(&["show", ID])).ends(0);
}

#[test]
fn for_programs_each_change_is_a_line() {
    let stub = Stub::start();
    stub.on(&path(), [pending(), pending(), ended("rejected", "bob closed it.")]);
    let run = stub.run(&["watch", ID, "--json"]).ends(3);
    let states: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone()).collect();
    assert_eq!(states, ["pending_approval", "rejected"]);
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let stub = Stub::start();
    let away: Reply = reply_problem(503, "Try again", "Pulumi Cloud can't be asked");
    stub.on(&path(), [away.clone(), pending().into(), away.clone(), away, ended("succeeded", "Deployed.").into()]);
    let run = stub.run(&["watch", ID]).ends(0);
    assert_eq!(run.err.matches("trying again until it answers").count(), 2, "{run:?}");
    assert_eq!(run.err.matches("signoff answers again").count(), 2, "{run:?}");
}

#[test]
fn an_address_where_nobody_is_is_not_waited_for() {
    let stub = Stub::start();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = stub.run(&["watch", ID, "--url", &format!("http://127.0.0.1:{port}")]).ends(1);
    assert!(run.err.contains("can't be reached"), "{run:?}");
}

#[test]
fn a_token_that_is_refused_meanwhile_ends_the_waiting() {
    let stub = Stub::start();
    stub.on(
        &path(),
        [Reply::from(pending()), reply_problem(401, "Unauthorized", "Pulumi Cloud does not know the token")],
    );
    let said = "signoff: Pulumi Cloud does not take your token: set PULUMI_ACCESS_TOKEN, or say: pulumi login\n";
    assert_eq!(stub.run(&["watch", ID]).ends(1).err, said);
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_the_request_alone_and_says_how_to_go_on() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let stub = Stub::start();
    stub.on(&path(), [pending()]);
    let mut child = stub.command(&["watch", ID]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("goes on without you") && said.contains(&format!("signoff watch {ID}")), "{said}");
    assert!(stub.lines().iter().all(|line| line.starts_with("GET")));
}
