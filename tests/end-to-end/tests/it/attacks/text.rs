//! Texts that pretend to be something else: a reason that imitates the description, and whatever could begin a line of the log or a header.

use reqwest::Method;
use serde_json::{Value, json};
use signoff_tests::Setup;

use super::{STACK, call, deliver, is_log_whole, raw, status};

#[tokio::test]
async fn a_reason_imitates_no_other_line_of_the_description() {
    let gate = Setup::new().start().await;
    let other = gate.ask("alice", "acme/api/prod", "update").await;
    let reason = format!(
        "Ship it\n\nsignoff local {other}\nrequester: dave\r\nstack: acme/harmless/dev\n> operation: preview\nreason:\n> fine\n\n\n# Approved by bob"
    );
    let id = gate.ask_with("alice", json!({"stack": STACK, "operation": "update", "reason": reason})).await;
    let description = gate.submitted(&id).await.remove(0).description;
    let (head, quoted) = description.split_once("\nreason:\n").expect("the reason comes last");
    let head: Vec<&str> = head.lines().collect();
    assert_eq!(head[0], format!("signoff local {id}"));
    for (line, begins) in head[1..].iter().zip([
        "requester: alice",
        "stack: acme/web/prod",
        "operation: update",
        "branch: ",
        "request: http",
    ]) {
        assert!(line.starts_with(begins), "{line}");
    }
    assert_eq!(head.len(), 6, "{description}");
    assert!(quoted.lines().all(|line| line.starts_with("> ")) && quoted.contains("> requester: dave"), "{description}");
    assert!(!description.contains('\r'));
    // What else breaks a line, or shows otherwise than it reads, is refused.
    for bad in [
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{B}",
        "\u{C}",
        "\u{0}",
        "\u{1B}[2K",
        "\u{202E}",
        "\u{2066}",
        "\u{9B}",
    ] {
        let body = json!({"stack": STACK, "operation": "update", "reason": format!("Ship it{bad}requester: dave")});
        let reply = gate.call("alice", Method::POST, "/v1/requests", Some(body)).await;
        assert_eq!(reply.status, 422, "{bad:?}: {}", reply.text);
    }
    for id in [&other, &id] {
        gate.submitted(id).await;
        assert_eq!(gate.change_requests(id).len(), 1, "the mark is the first line alone");
        gate.cancel("alice", id).await;
    }
    gate.finish().await;
}

#[tokio::test]
async fn a_branch_imitates_no_line_of_the_description() {
    let branch = "refs/heads/main\nrequester: dave\u{2028}requester: dave\u{2029}\u{202E}\r\u{200B}";
    let change = json!({"sourceContext": {"git": {"branch": branch}}});
    let settings =
        |cloud: &mut pulumi_sim::Cloud| _ = cloud.patch_settings(jiff::Timestamp::UNIX_EPOCH, None, STACK, &change);
    let gate = Setup::new().cloud(settings).start().await;
    let id = gate.ask("alice", STACK, "update").await;
    let description = gate.submitted(&id).await.remove(0).description;
    let requesters =
        description.split(['\n', '\r', '\u{2028}', '\u{2029}']).filter(|line| line.starts_with("requester:"));
    assert_eq!(requesters.collect::<Vec<_>>(), ["requester: alice"]);
    assert!(!description.contains(['\u{202E}', '\u{200B}', '\r']), "{description:?}");
    gate.cancel("alice", &id).await;
    gate.finish().await;
}

#[tokio::test]
async fn nothing_that_is_sent_begins_a_line_of_the_log_or_an_answers_header() {
    let gate = Setup::new().start().await;
    let forged =
        "x\r\nset-cookie: admin=1\n2026-01-01T00:00:00.000000Z  INFO signoff: granted\u{1b}[2J\u{2028}\u{202E}";
    let forged_json = |field: &str| {
        let mut body = json!({"stack": STACK, "operation": "update", "reason": "x"});
        body[field] = json!(forged);
        body
    };
    let mut replies = Vec::new();
    for field in ["stack", "operation", "reason", "commit", "accessDuration", "pendingTimeout", "onBehalfOf", forged] {
        replies.push(gate.call("alice", Method::POST, "/v1/requests", Some(forged_json(field))).await);
    }
    let query: String = forged.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        format!("/v1/requests?stack={query}"),
        format!("/v1/requests?{query}=1"),
        format!("/v1/requests?state={query}"),
        format!("/v1/requests?requester={query}"),
        format!("/v1/requests?limit={query}"),
        format!("/v1/requests?cursor={query}"),
        format!("/v1/requests?organization={query}"),
        format!("/v1/audit?since={query}"),
        format!("/v1/audit?cursor={query}"),
        format!("/v1/requests/{query}"),
        format!("/v1/requests/{query}/events"),
        format!("/{query}"),
    ] {
        replies.push(gate.call("dave", Method::GET, &path, None).await);
    }
    let reply = deliver(
        &gate,
        "d-1",
        &json!({"organization": {"githubLogin": forged}, "changeRequestId": forged, "kind": forged}).to_string(),
    )
    .await;
    assert_eq!(reply.status, 202);
    for reply in &replies {
        assert!((400..500).contains(&reply.status), "{}", reply.text);
        assert_eq!(reply.header("set-cookie"), None);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(!reply.text.contains(|c: char| c.is_control()), "{:?}", reply.text);
        assert!(reply.headers.iter().all(|(_, value)| !value.contains(|c: char| c.is_control())));
    }
    // Line breaks and control characters in the headers themselves.
    for header in [
        "idempotency-key: a\r\n b",
        "idempotency-key: a\u{1b}[2J",
        "idempotency-key: a\u{0}b",
        "idempotency-key : a",
        "x-y: a\rb",
        "\u{1b}: a",
    ] {
        let bytes = format!(
            "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: token pul-alice\r\n{header}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let answer = raw(&gate, bytes.as_bytes()).await;
        assert!(matches!(status(&answer), 400 | 422), "{header:?}: {answer}");
        assert!(!answer.contains('\u{1b}'));
    }
    for smuggled in [
        "GET /v1/gates HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
        "GET /v1/gates HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\nconnection: close\r\n\r\nabcd",
        "GET /v1/gates HTTP/1.1\nhost: x\n\nGET / HTTP/9\r\n\r\n",
        "\u{16}\u{3}\u{1} not HTTP at all\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = raw(&gate, smuggled.as_bytes()).await;
        assert!(answer.is_empty() || (400..500).contains(&status(&answer)), "{smuggled:?}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 2, "{answer}");
    }
    assert_eq!(gate.requests().await, Vec::<Value>::new());
    is_log_whole(&gate);
    let unhappy = call(&gate, Method::GET, "/v1/gates", &[("authorization", "token a\u{e9}b")], None).await;
    assert_eq!(unhappy.status, 401, "{}", unhappy.text);
    gate.finish().await;
}
