//! Who passes for whom: approvers whose login looks like the requester's, requesters who pass for somebody else, people with several tokens.

use pulumi_sim::{Permission, Role, Status};
use reqwest::Method;
use serde_json::json;
use signoff_tests::{Gate, Setup};

use super::hostile::Hostile;
use super::{STACK, call};

/// Only dirk and the organization's machine token `ci` may ask.
const GATES: &str = r#"
[[gate]]
stacks = ["acme/web/prod"]
environment = "acme/credentials/prod"
requesters = ["dirk", "machine:ci"]

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;

/// A gate on which dirk may ask, with a cloud that can lie.
async fn start() -> (Gate, Hostile) {
    let setup = Setup::new().gates(GATES).without_referee().secret("pul-dirk").cloud(|cloud| {
        cloud.person("acme", "dirk", "Dirk", Role::Member).token("pul-dirk", "dirk");
        cloud.allow("dirk", STACK, Permission::Write);
    });
    let mut gate = setup.start().await;
    let hostile = Hostile::between(&mut gate).await;
    (gate, hostile)
}

#[tokio::test]
async fn an_approver_whose_login_is_the_requesters_in_another_spelling_does_not_count() {
    let (gate, hostile) = start().await;
    let id = gate.ask("dirk", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    // Other case; the Kelvin sign, which is a k in lower case; and what can't be seen: zero width, soft hyphen, byte order mark, a tag.
    let same =
        ["DIRK", "dirK", "dir\u{212A}", "di\u{200B}rk", "dirk\u{200D}", "d\u{AD}irk", "\u{FEFF}dirk", "dirk\u{E0041}"];
    // And what reads the other way round, or has spaces.
    let odd = ["\u{202E}krid", "dirk\u{200F}", "dirk\u{A0}", "dirk\u{3000}", "dirk\u{2028}", "dirk\n", "dirk\u{0}", ""];
    for login in same.into_iter().chain(odd) {
        hostile.repents();
        hostile.lies("GET", "/api/change-requests/*/*", move |_, said| {
            said.json(|body| {
                body["status"] = json!("ready");
                body["gateEvaluation"]["satisfied"] = json!(true);
                let details = &mut body["gateEvaluation"]["applicableGates"][0]["ruleDetails"];
                details["approvers"] = json!([{"githubLogin": login, "name": "Dirk"}]);
            });
        });
        gate.expect_looks(2).await;
        assert_eq!(gate.request(&id).await["state"], "pending_approval", "{login:?} counted as somebody else");
    }
    hostile.repents();
    assert_eq!(gate.calls("POST", "/apply"), 0);
    assert_eq!(gate.statuses(&id), [Status::Pending]);
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn one_person_in_two_spellings_counts_once() {
    let (gate, hostile) = start().await;
    let id = gate.ask("dirk", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    hostile.lies("GET", "/api/change-requests/*/*", |_, said| {
        said.json(|body| {
            body["status"] = json!("ready");
            body["gateEvaluation"]["satisfied"] = json!(true);
            let details = &mut body["gateEvaluation"]["applicableGates"][0]["ruleDetails"];
            details["requiredApprovals"] = json!(2);
            details["approvers"] =
                json!([{"githubLogin": "bob"}, {"githubLogin": "BOB"}, {"githubLogin": "b\u{200B}ob"}]);
        });
    });
    gate.expect_blocker_saying(&id, "approvals", "1 of 2 approvals that count").await;
    gate.expect_looks(2).await;
    assert_eq!(gate.calls("POST", "/apply"), 0);
    hostile.repents();
    gate.cancel("dirk", &id).await;
    gate.finish().await;
}

#[tokio::test]
async fn nobody_passes_for_a_requester_whom_the_gate_names() {
    let (gate, hostile) = start().await;
    let body = || Some(json!({"stack": STACK, "operation": "update", "reason": "x"}));
    // Turkish dotless and dotted i, the Kelvin sign, full width, Cyrillic, zero width: what Pulumi Cloud has as other people are other people.
    let logins = [
        "d\u{131}rk",
        "D\u{130}RK",
        "dir\u{212A}",
        "\u{FF44}\u{FF49}\u{FF52}\u{FF4B}",
        "d\u{456}rk",
        "dirk\u{200B}",
        "dirk ",
        "dirk\n",
    ];
    for (n, login) in logins.into_iter().enumerate() {
        let token = format!("pul-impostor-{n}");
        gate.sim.cloud().token(&token, "bob");
        hostile.repents();
        hostile.says("GET", "/api/user", "/githubLogin", json!(login));
        let authorization = format!("token {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let reply = call(&gate, Method::POST, "/v1/requests", &headers, body().map(|body| body.to_string())).await;
        assert!(matches!(reply.status, 403 | 503), "{login:?}: {}", reply.text);
    }
    hostile.repents();
    for (who, status) in [("bob", 403), ("dave", 403), ("dirk", 202)] {
        let reply = gate.call(who, Method::POST, "/v1/requests", body()).await;
        assert_eq!(reply.status, status, "{who}: {}", reply.text);
    }
    let all = gate.requests().await;
    assert_eq!(all.len(), 1);
    gate.cancel("dirk", all[0]["id"].as_str().expect("it has an id")).await;
    gate.finish().await;
}

#[tokio::test]
async fn a_machine_token_asks_only_where_the_organizations_own_is_named() {
    let (gate, hostile) = start().await;
    let ask = async |what: serde_json::Value| {
        let mut body = json!({"stack": STACK, "operation": "update", "reason": "Build 41"});
        body.as_object_mut().expect("it is one").extend(what.as_object().cloned().unwrap_or_default());
        gate.call("ci", Method::POST, "/v1/requests", Some(body)).await
    };
    // A team's token of the same name, another organization's, one of another spelling: each at a fresh token, since answers are kept.
    for (n, (pointer, value)) in [
        ("/tokenInfo/team", json!("reviewers")),
        ("/tokenInfo/organization", json!("globex")),
        ("/tokenInfo/organization", json!("")),
        ("/tokenInfo/name", json!("CI")),
        ("/tokenInfo/name", json!("ci\u{200B}")),
        ("/tokenInfo/name", json!("")),
    ]
    .into_iter()
    .enumerate()
    {
        hostile.repents();
        hostile.says("GET", "/api/user", pointer, value.clone());
        let token = format!("pul-ci-{n}");
        let before = if n == 0 { "pul-ci".to_owned() } else { format!("pul-ci-{}", n - 1) };
        assert!(gate.sim.cloud().rotate_token(&before, &token));
        let authorization = format!("token {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = json!({"stack": STACK, "operation": "update", "reason": "Build 41"}).to_string();
        let reply = call(&gate, Method::POST, "/v1/requests", &headers, Some(body)).await;
        assert_eq!(reply.status, 403, "{pointer} {value}: {}", reply.text);
    }
    hostile.repents();
    assert!(gate.sim.cloud().rotate_token("pul-ci-5", "pul-ci"));
    let elsewhere = ask(json!({"stack": "acme/api/prod"})).await;
    assert_eq!(elsewhere.status, 403, "no gate names it there: {}", elsewhere.text);
    let reply = ask(json!({"onBehalfOf": "bob"})).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let id = reply.body["id"].as_str().expect("it has an id").to_owned();
    gate.cancel("dave", &id).await;
    gate.finish().await;
}

#[tokio::test]
async fn two_tokens_of_one_person_are_one_person() {
    let second = "pul-alice-again";
    let gate = Setup::new().secret(second).cloud(|cloud| _ = cloud.token(second, "alice")).start().await;
    let authorization = format!("token {second}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = |stack: &str| Some(json!({"stack": stack, "operation": "update", "reason": "x"}).to_string());
    let reply = call(&gate, Method::POST, "/v1/requests", &headers, body(STACK)).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let id = reply.body["id"].as_str().expect("it has an id").to_owned();
    // She approves with the other one, at Pulumi Cloud itself.
    let change_request = gate.change_request(&id, "credentials/prod").await;
    let approve = format!("{}/api/change-requests/acme/{change_request}/approve", gate.sim.url());
    let first = [("authorization", "token pul-alice"), ("content-type", "application/json")];
    let approval = Some(json!({"revisionNumber": 1}).to_string());
    let approved = signoff_tests::send(&signoff_tests::client(), Method::POST, &approve, &first, approval).await;
    assert_eq!(approved.expect("it answers").status, 204);
    gate.expect_blocker_saying(&id, "self-approval", "0 of 1 approvals that count: alice approved").await;
    gate.expect_looks(2).await;
    gate.expect_no_deployment(&id);
    // Nor does a second token make room for more than ten.
    let mut more = Vec::new();
    for n in 0..9 {
        let headers = if n % 2 == 0 { &first } else { &headers };
        let reply = call(&gate, Method::POST, "/v1/requests", headers, body(STACK)).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        more.push(reply.body["id"].as_str().expect("it has an id").to_owned());
    }
    for headers in [&first, &headers] {
        let reply = call(&gate, Method::POST, "/v1/requests", headers, body(STACK)).await;
        assert_eq!(reply.status, 429, "{}", reply.text);
    }
    for id in more.iter().chain([&id]) {
        assert_eq!(gate.cancel("alice", id).await.status, 202, "what one token asked for, the other takes back");
    }
    gate.finish().await;
}
