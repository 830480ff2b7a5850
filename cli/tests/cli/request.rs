//! Asking.

use serde_json::json;

use crate::stub::{ID, Stub, TOKEN, bare, ended, finish, pending, reply, reply_problem, request};

const ASK: [&str; 5] = ["request", "acme/web/prod", "update", "--reason", "Ship 2.4"];

#[test]
fn what_is_asked_is_sent_with_the_token_and_a_key() {
    let stub = Stub::start();
    stub.on("POST /v1/requests", [reply(202, request("requested"))]);
    let more = [
        "--commit",
        "0123456789abcdef0123456789abcdef01234567",
        "--access-duration",
        "30m",
        "--grant-expiration",
        "10m",
    ];
    let run = stub.run(&[&ASK[..], &more, &["--pending-timeout", "4h", "--on-behalf-of", "carol"]].concat()).ends(0);
    assert!(run.out.contains(ID) && run.out.contains("requested") && run.err.contains("signoff watch"), "{run:?}");
    let call = &stub.calls()[0];
    assert_eq!(call.headers["authorization"], format!("token {TOKEN}"));
    assert!(call.headers["idempotency-key"].to_str().unwrap().starts_with("cli-"));
    let body = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4", "onBehalfOf": "carol",
        "commit": "0123456789abcdef0123456789abcdef01234567", "accessDuration": "30m", "grantExpiration": "10m", "pendingTimeout": "4h"});
    assert_eq!(call.body, body);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let stub = Stub::start();
    stub.on(
        "POST /v1/requests",
        [reply_problem(503, "Try again", "the store is away"), reply(200, request("requested"))],
    );
    let run = stub.run(&[&ASK[..], &["--json", "--idempotency-key", "build-7"]].concat()).ends(0);
    assert_eq!(run.json()["id"], ID);
    let keys: Vec<_> = stub.calls().iter().map(|call| call.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys, ["build-7", "build-7"]);

    stub.on("POST /v1/requests", [reply(200, ended("cancelled", "Taken back."))]);
    let run = stub.run(&[&ASK[..], &["--idempotency-key", "build-7"]].concat()).ends(0);
    assert!(run.err.starts_with("Nothing new was asked for: the idempotency key is that of this one"), "{run:?}");
}

#[test]
fn too_many_open_requests_are_not_waited_for() {
    let stub = Stub::start();
    let problem =
        json!({"type": "/problems/too-many", "title": "There are too many", "status": 429, "detail": "cancel one"});
    stub.on("POST /v1/requests", [reply(429, problem)]);
    let run = stub.run(&ASK).ends(1);
    assert_eq!((run.err.as_str(), stub.calls().len()), ("signoff: There are too many (429): cancel one\n", 1));
}

#[test]
fn a_refusal_says_what_is_wrong_and_ends_with_1() {
    let stub = Stub::start();
    let problem = json!({"title": "Bad input", "status": 422, "detail": "the request can't be taken",
        "errors": [{"pointer": "/stack", "detail": "no gate covers it\u{1b}[2J"}]});
    stub.on("POST /v1/requests", [reply(422, problem)]);
    let run = stub.run(&ASK).ends(1);
    assert_eq!(run.err, "signoff: Bad input (422)\n  STACK: no gate covers it\\u{1b}[2J\n");
    assert_eq!(run.out, "");
}

#[test]
fn what_the_command_line_can_tell_by_itself_ends_with_2_and_asks_nobody() {
    let stub = Stub::start();
    for wrong in [
        &["request", "acme/prod", "update", "--reason", "x"][..],
        &["request", "acme/web/prod", "detect-drift", "--reason", "x"],
        &["request", "acme/web/prod", "update", "--reason", " "],
        &["request", "acme/web/prod", "update", "--reason", "a\u{202e}b"],
        &["request", "acme/web/prod", "update"],
        &["request", "acme/web/prod", "update", "--reason", "x", "--commit", "main"],
        &["request", "acme/web/prod", "update", "--reason", "x", "--commit", "HEAD"],
        &["request", "acme/web/prod", "update", "--reason", "x", "--access-duration", "1w"],
        &["request", "acme/web/prod", "update", "--reason", "x", "--idempotency-key", "a b"],
        &["cancel", ID],
        &["show", "req_1"],
        &["list", "--state", "lost"],
        &["list", "--url", "http://signoff.example"],
        &["list", "--url", "https://alice:secret@signoff.example"],
        &["approve", ID, "--pulumi-url", "http://pulumi.example"],
        &["approve"],
        &["frobnicate"],
        &[],
    ] {
        stub.run(wrong).ends(2);
    }
    assert!(stub.lines().is_empty(), "{:?}", stub.lines());
}

#[test]
fn without_address_or_token_nothing_is_asked() {
    let stub = Stub::start();
    let mut command = stub.command(&["list"]);
    command.env_remove("SIGNOFF_URL");
    assert!(finish(command, "").ends(2).err.contains("SIGNOFF_URL"));
    let mut command = stub.command(&["list"]);
    command.env("SIGNOFF_URL", "http://signoff.example");
    assert!(finish(command, "").ends(2).err.contains("https"));
    let mut command = stub.command(&["list"]);
    command.env("PULUMI_ACCESS_TOKEN", "");
    assert!(finish(command, "").ends(2).err.contains("PULUMI_ACCESS_TOKEN"));
    assert!(stub.lines().is_empty());
}

#[test]
fn the_token_that_pulumi_login_left_is_used() {
    let stub = Stub::start();
    stub.on("GET /v1/requests", [json!({"requests": []})]);
    std::fs::create_dir(stub.home.join(".pulumi")).unwrap();
    let file = json!({"current": stub.url, "accessTokens": {stub.url.clone(): "pul-left", "https://api.pulumi.com": "pul-other"}});
    std::fs::write(stub.home.join(".pulumi/credentials.json"), file.to_string()).unwrap();
    let mut command = bare(&stub.home, &["list"]);
    command.env("SIGNOFF_URL", &stub.url);
    finish(command, "").ends(0);
    assert_eq!(stub.calls()[0].headers["authorization"], "token pul-left");
    let mut command = bare(&stub.home, &["list"]);
    command.env("SIGNOFF_URL", &stub.url).env("SIGNOFF_PULUMI_URL", "https://api.pulumi.com");
    finish(command, "").ends(0);
    assert_eq!(stub.calls()[1].headers["authorization"], "token pul-other");
}

#[test]
fn redirects_are_not_followed_with_the_token() {
    let stub = Stub::start();
    stub.on("GET /v1/gates", [reply(307, json!({}))]);
    assert!(stub.run(&["gates"]).ends(1).err.contains("does not follow"));
}

#[test]
fn head_pins_the_commit_that_is_checked_out() {
    let stub = Stub::start();
    stub.on("POST /v1/requests", [reply(202, pending())]);
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments).current_dir(&stub.home);
        let output = command.env("HOME", &stub.home).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    std::fs::write(stub.home.join("a"), "1").unwrap();
    git(&["add", "a"]);
    git(&["commit", "--quiet", "--message", "one"]);
    std::fs::write(stub.home.join("a"), "2").unwrap();
    let run = stub.run(&[&ASK[..], &["--commit", "HEAD"]].concat()).ends(0);
    assert_eq!(stub.calls()[0].body["commit"], git(&["rev-parse", "HEAD"]));
    assert!(run.err.contains("not committed") && run.err.contains("push it first"), "{run:?}");
}
