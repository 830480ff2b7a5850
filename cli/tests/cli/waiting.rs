//! Waiting: `watch` and `request --wait`.

use serde_json::{Value, json};

use crate::stub::{ID, Reply, Stub, ended, pending, reply, reply_problem, request};

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
        "credentials/prod asks for approval",
        "review:  https://app.pulumi.com/acme/esc/credentials/prod?version=cr-1",
        "approve: pulumi env change-request approve cr-1 --organization acme",
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
    assert!(stub.run(&["watch", ID]).ends(1).err.contains("Unauthorized (401)"));
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
