//! People who want more than they may: readers, members of other organizations, guessers of ids and cursors, thieves of paths.

use pulumi_sim::{Eligible, EnvironmentPermission, Permission, Role, Ruleset, StackSetup};
use reqwest::Method;
use serde_json::{Value, json};
use signoff_tests::{Gate, Setup};

use super::{STACK, call};

/// Gates of two organizations.
const GATES: &str = r#"
[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"

[[gate]]
stacks = ["globex/*/prod"]
environment = "globex/credentials/prod"
"#;

/// Two organizations at one gate; zoe administers globex and is in no other.
async fn two() -> Gate {
    let setup = Setup::new().gates(GATES).secret("pul-zoe").cloud(|cloud| {
        cloud.organization("globex").person("globex", "zoe", "Zoe", Role::Admin).token("pul-zoe", "zoe");
        cloud.person("globex", "signoff-deployer", "signoff deployer", Role::Member);
        cloud.environment("globex/credentials/prod", &[]);
        cloud.ruleset("globex/credentials/prod", Ruleset::open("globex-signoff", 1, [Eligible::user("zoe")]));
        cloud.stack(
            "globex/web/prod",
            StackSetup::git("https://github.com/globex/web.git", "refs/heads/main").opens("credentials/prod"),
        );
        cloud.allow("signoff-deployer", "globex/web/prod", Permission::Write);
        cloud.allow_environment("signoff-deployer", "globex/credentials/prod", EnvironmentPermission::Open);
    });
    setup.start().await
}

#[tokio::test]
async fn a_reader_asks_for_nothing_and_a_writer_for_no_destroy() {
    let reader = |cloud: &mut pulumi_sim::Cloud| _ = cloud.allow("erin", STACK, Permission::Read);
    let gate = Setup::new().cloud(reader).start().await;
    for (who, operation) in
        [("erin", "destroy"), ("erin", "update"), ("erin", "refresh"), ("erin", "preview"), ("alice", "destroy")]
    {
        // However it is spelled.
        for operation in
            [operation.to_owned(), operation.to_uppercase(), format!("{operation} "), format!("{operation}\u{0}")]
        {
            let body = json!({"stack": STACK, "operation": operation, "reason": "x"});
            let reply = gate.call(who, Method::POST, "/v1/requests", Some(body)).await;
            assert!(matches!(reply.status, 403 | 422), "{who} {operation}: {}", reply.text);
        }
    }
    // The last of two fields of one name counts, for the check as for what is recorded.
    let headers = [("authorization", "token pul-alice"), ("content-type", "application/json")];
    let twice = format!(r#"{{"operation": "update", "stack": "{STACK}", "reason": "x", "operation": "destroy"}}"#);
    let reply = call(&gate, Method::POST, "/v1/requests", &headers, Some(twice)).await;
    assert!(matches!(reply.status, 400 | 403 | 422), "{}", reply.text);
    assert_eq!(gate.requests().await, Vec::<Value>::new());
    gate.finish().await;
}

#[tokio::test]
async fn requests_and_cursors_of_another_organization_tell_nothing() {
    let gate = two().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(gate.ask("alice", STACK, "update").await);
    }
    let get = async |who: &str, path: &str| gate.call(who, Method::GET, path, None).await;
    for id in &ids {
        let unknown = id.replace(&id[20..], &"0".repeat(id.len() - 20));
        for suffix in ["", "/events"] {
            let theirs = get("zoe", &format!("/v1/requests/{id}{suffix}")).await;
            let nobodys = get("zoe", &format!("/v1/requests/{unknown}{suffix}")).await;
            assert_eq!((theirs.status, &theirs.text), (404, &nobodys.text), "it tells that it is there");
        }
        assert_eq!(get("zoe", &format!("/v1/requests/{id}?organization=acme")).await.status, 404);
        assert_eq!(gate.cancel("zoe", id).await.status, 404);
        assert_eq!(gate.cancel("bob", id).await.status, 403, "a member may read it, but did not ask for it");
    }
    assert_eq!(get("zoe", "/v1/requests").await.body, json!({"requests": []}));
    assert_eq!(get("zoe", "/v1/requests?organization=acme").await.status, 404);
    assert_eq!(get("zoe", "/v1/audit?organization=acme").await.status, 404);
    assert_eq!(get("zoe", "/v1/audit").await.text, "");
    assert_eq!(get("zoe", &format!("/v1/requests?stack={STACK}")).await.body, json!({"requests": []}));
    let gates = get("zoe", "/v1/gates").await.text;
    assert!(gates.contains("globex") && !gates.contains("acme"), "{gates}");

    // A cursor of the other's listing, as it is and forged: none leads out of one's own.
    let page = get("dave", "/v1/requests?limit=1").await;
    let cursor = page.body["cursor"].as_str().expect("there is more").to_owned();
    assert_eq!(get("zoe", &format!("/v1/requests?cursor={cursor}")).await.status, 400);
    let own = get("dave", &format!("/v1/requests?limit=1&cursor={cursor}")).await;
    assert_eq!((own.status, own.body["requests"].as_array().map(Vec::len)), (200, Some(1)));
    for forged in [cursor[2..].to_owned(), format!("{cursor}00"), "0".repeat(48), "%00".to_owned(), "../1".to_owned()] {
        assert_eq!(get("dave", &format!("/v1/requests?limit=1&cursor={forged}")).await.status, 400, "{forged}");
        assert_eq!(get("dave", &format!("/v1/audit?cursor={forged}")).await.status, 400, "{forged}");
    }
    let body = json!({"stack": STACK, "operation": "update", "reason": "x"});
    assert_eq!(gate.call("zoe", Method::POST, "/v1/requests", Some(body)).await.status, 403);
    for id in &ids {
        gate.cancel("alice", id).await;
    }
    gate.finish().await;
}

#[tokio::test]
async fn the_key_of_somebody_else_gives_nothing_away() {
    let gate = two().await;
    let key = |login: &'static str| {
        [("authorization", login), ("content-type", "application/json"), ("idempotency-key", "build-41")]
    };
    let body = || Some(json!({"stack": STACK, "operation": "update", "reason": "x"}).to_string());
    let first = call(&gate, Method::POST, "/v1/requests", &key("token pul-alice"), body()).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let theirs = call(&gate, Method::POST, "/v1/requests", &key("token pul-dave"), body()).await;
    assert_eq!(theirs.status, 202, "{}", theirs.text);
    assert_ne!(first.body["id"], theirs.body["id"]);
    assert_eq!(call(&gate, Method::POST, "/v1/requests", &key("token pul-zoe"), body()).await.status, 403);
    assert_eq!(call(&gate, Method::POST, "/v1/requests", &key("token pul-erin"), body()).await.status, 403);
    for request in [first, theirs] {
        gate.cancel("dave", request.body["id"].as_str().expect("it has an id")).await;
    }
    gate.finish().await;
}

#[tokio::test]
async fn no_name_leads_out_of_its_place() {
    let gate = Setup::new().start().await;
    let tricks = [
        "acme/../prod",
        "acme/./prod",
        "acme/..%2f..%2fglobex/prod",
        "acme/%2e%2e/prod",
        "acme/web%2fprod",
        "acme/web/prod/..",
        "acme//prod",
        "/acme/web/prod",
        "acme/web/prod/",
        "acme\\web\\prod",
        "acme/web/prod%00",
        "acme/web/prod\u{0}",
        "acme/\u{2025}/prod",
        "acme/\u{FF0E}\u{FF0E}/prod",
        "acme/web\u{2215}x/prod",
        "acme/web/pro\u{200B}d",
        "acme/we\u{44C}/prod",
        "acme/web/prod?x=y",
        "acme/web/prod#x",
        "acme/web/prod;x",
        "acme/*/prod",
        "ACME/web/prod",
    ];
    let calls = |gate: &Gate| gate.sim.cloud().calls().keys().filter(|(_, path)| path.contains("/console/")).count();
    assert_eq!(calls(&gate), 0);
    for stack in tricks {
        let body = json!({"stack": stack, "operation": "update", "reason": "x"});
        let reply = gate.call("alice", Method::POST, "/v1/requests", Some(body)).await;
        assert!(matches!(reply.status, 403 | 422), "{stack:?}: {} {}", reply.status, reply.text);
        // In a query each character is sent as it is meant.
        let query: String = stack.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = gate.call("alice", Method::GET, &format!("/v1/requests?stack={query}"), None).await;
        let nothing = reply.status == 400 || (reply.status == 200 && reply.body == json!({"requests": []}));
        assert!(nothing, "{stack:?}: {} {}", reply.status, reply.text);
    }
    assert_eq!(calls(&gate), 0, "Pulumi Cloud was asked about a name that is none");
    for path in [
        "/v1/requests/..%2f..%2fv1%2fgates",
        "/v1/requests/%2e%2e/gates",
        "/v1/requests/..%5cgates",
        "//v1/gates",
        "/v1//gates",
        "/V1/gates",
        "/v1/gates/",
        "/v1/requests/req_%00",
        "/v1/gates%2f",
        "/v1/gates;x=y",
        "/.git/config",
        "/v1/../healthz%00",
    ] {
        let answer = super::raw(
            &gate,
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: token pul-dave\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await;
        assert!(matches!(super::status(&answer), 400 | 404), "{path}: {answer}");
    }
    gate.finish().await;
}
