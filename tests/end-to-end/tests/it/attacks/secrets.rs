//! Tokens and secrets, looked for in every answer, the whole log at its most talkative, and all that is stored ([`signoff_tests::Gate::finish`] does).

use reqwest::Method;
use serde_json::json;
use signoff_tests::{Gate, Setup, WEBHOOK_SECRET};

use super::hostile::{Heard, Hostile, Said};
use super::{STACK, call, deliver};

/// Says back what it was sent, as a careless server or a debugging proxy does.
fn echo(status: u16) -> impl Fn(&Heard, &mut Said) + Send + Sync + 'static {
    move |heard, said| {
        said.status = status;
        let text = format!("{} with Authorization: {} was refused", heard.target, heard.authorization);
        said.body = json!({"code": status, "message": text, "errors": [heard.authorization]}).to_string().into_bytes();
        said.headers.push(("www-authenticate".to_owned(), heard.authorization.clone()));
        said.headers.push(("location".to_owned(), format!("/{}", heard.authorization.replace(' ', "/"))));
    }
}

async fn start(level: &str) -> (Gate, Hostile) {
    let mut gate = Setup::new().variable("SIGNOFF_LOG", level).without_referee().start().await;
    let hostile = Hostile::between(&mut gate).await;
    (gate, hostile)
}

#[tokio::test]
async fn whatever_pulumi_cloud_says_back_no_token_is_shown_logged_or_kept() {
    let (mut gate, hostile) = start("trace").await;
    for status in [301, 400, 401, 403, 404, 409, 422, 429, 500, 503] {
        hostile.repents();
        hostile.lies("*", "/api/**", echo(status));
        // Of a caller: one whom the gate does not know yet.
        let token = format!("token pul-unknown-{status}");
        let reply = call(&gate, Method::GET, "/v1/requests", &[("authorization", &token)], None).await;
        assert!(matches!(reply.status, 401 | 503), "{status}: {}", reply.text);
        assert!(!reply.text.contains("pul-unknown"), "{}", reply.text);
    }
    assert!(!gate.log().contains("pul-unknown"), "a caller's token is in the log");
    for (path, status) in [
        ("/api/stacks/*/*/*/deployments/settings", 500),
        ("/api/change-gates/*", 409),
        ("/api/change-gates/*", 403),
        ("/api/esc/environments/*/*/*/open/request", 400),
        ("/api/esc/environments/*/*/*/open/request", 404),
        ("/api/change-requests/*/*/submit", 403),
        ("/api/change-requests/*/*", 401),
        ("/api/change-requests/*/*/apply", 403),
        ("/api/change-requests/*/*/apply", 409),
        ("/api/stacks/*/*/*/deployments", 400),
    ] {
        hostile.repents();
        let id = gate.ask("alice", STACK, "update").await;
        hostile.lies("*", path, echo(status));
        // It ends by it, or waits for something better; both say why.
        let told = gate
            .expect(&id, "told why", |request| {
                !request["outcome"].is_null() || request["blockers"].as_array().is_some_and(|all| !all.is_empty())
            })
            .await;
        if told["outcome"].is_null() && path.ends_with("apply") | path.ends_with("deployments") {
            gate.approve("bob", &id).await;
            gate.expect(&id, "told why", |request| {
                !request["outcome"].is_null() || request["blockers"][0]["kind"] != "approvals"
            })
            .await;
        }
        gate.events(&id).await;
        hostile.repents();
        gate.cancel("alice", &id).await;
        gate.expect(&id, "over", |request| !request["outcome"].is_null()).await;
    }
    assert!(gate.log().contains("TRACE"), "it did log all it can");
    // What was created and then called refused is a lie that nobody can see through.
    for left in gate.open_change_requests() {
        gate.leaves_open(&left.id);
    }
    gate.finish().await;
}

#[tokio::test]
async fn no_way_to_be_refused_shows_a_secret() {
    let gate = Setup::new().variable("SIGNOFF_LOG", "trace").secret("pul-mistaken").without_referee().start().await;
    let headers: [&[(&str, &str)]; 6] = [
        &[("authorization", "token pul-mistaken")],
        &[("authorization", "pul-mistaken")],
        &[("authorization", "Basic pul-mistaken")],
        &[("authorization", "token pul-mistaken pul-mistaken")],
        &[("authorization", "token pul-mistaken"), ("authorization", "token pul-mistaken")],
        &[("authorization", "token pul-erin"), ("idempotency-key", "a b")],
    ];
    let body = json!({"stack": STACK, "operation": "update", "reason": "x", "token": 1}).to_string();
    for headers in headers {
        for (method, path) in [
            (Method::GET, "/v1/gates"),
            (Method::POST, "/v1/requests"),
            (Method::PUT, "/v1/requests"),
            (Method::GET, "/nothing"),
        ] {
            let reply = call(&gate, method, path, headers, Some(body.clone())).await;
            let shown = format!("{} {:?}", reply.text, reply.headers);
            assert!(!shown.contains("pul-mistaken") && !shown.contains("pul-erin"), "{shown}");
        }
    }
    for signature in [WEBHOOK_SECRET, "0", ""] {
        let headers =
            [("pulumi-webhook-id", "d"), ("pulumi-webhook-kind", "k"), ("pulumi-webhook-signature", signature)];
        let reply = call(&gate, Method::POST, "/webhooks/pulumi", &headers, Some("{}".to_owned())).await;
        assert!(reply.status == 401 && !reply.text.contains(WEBHOOK_SECRET), "{}", reply.text);
    }
    // And the usual way, to its end, with everything logged.
    assert_eq!(deliver(&gate, "d-1", "{}").await.status, 202);
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_token_leaves_this_machine_encrypted_or_not_at_all() {
    let mut gate = Setup::new().start().await;
    gate.stop().await;
    for address in [
        "http://api.pulumi.com",
        "http://192.0.2.1:80",
        "ftp://127.0.0.1",
        "https://user:pw@127.0.0.1",
        "http://127.0.0.1.example",
    ] {
        gate.pulumi = Some(address.to_owned());
        assert_eq!(gate.try_start().await, Err(Some(1)), "{address}");
    }
    let said = gate.log();
    assert!(said.contains("has to be https, or http on this machine: tokens are sent there"), "{said}");
    gate.pulumi = None;
    gate.restart().await;
    gate.finish().await;
}
