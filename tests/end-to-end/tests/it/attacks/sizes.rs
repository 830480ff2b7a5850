//! Too much of everything.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use signoff_tests::{Gate, Setup, WEBHOOK_SECRET};

use super::{STACK, call, deliver, raw, status};

const MEBIBYTE: usize = 1024 * 1024;
/// How much of a processor's time each of these may cost a program that is not optimised. How long it takes depends on what else the machine does.
const LITTLE: Duration = Duration::from_secs(1);

/// The time for which the gate's process has had a processor.
fn spent(gate: &Gate) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gate.pid().expect("it runs"))).expect("it runs");
    // After the program's name in brackets, in hundredths of a second: the twelfth and thirteenth are its own time and the system's for it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|field| field.parse::<u64>().expect("a number") * 10).sum())
}

/// What comes of a call, which has to cost the gate little.
async fn cheap<T>(gate: &Gate, call: impl Future<Output = T>) -> T {
    let before = spent(gate);
    let answer = call.await;
    let cost = spent(gate).saturating_sub(before);
    assert!(cost < LITTLE, "it costs {cost:?}");
    answer
}

#[tokio::test]
async fn too_much_is_refused_and_costs_nothing() {
    let gate = Setup::new().start().await;
    let many = |n: usize| "x".repeat(n);
    let post = |headers: Vec<(&'static str, String)>, body: String| {
        let gate = &gate;
        async move {
            let mut all = vec![("content-type", "application/json".to_owned())];
            all.extend(headers);
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
            cheap(gate, call(gate, Method::POST, "/v1/requests", &all, Some(body))).await
        }
    };
    let alice = || ("authorization", "token pul-alice".to_owned());
    let fine = || json!({"stack": STACK, "operation": "update", "reason": "x"}).to_string();
    // Whoever is known is not asked about again.
    assert_eq!(gate.call("alice", Method::GET, "/v1/gates", None).await.status, 200);
    // Bodies: of a length that is said, and of one that is not.
    assert_eq!(post(vec![alice()], " ".repeat(MEBIBYTE + 1)).await.status, 413);
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", MEBIBYTE + 1, " ".repeat(MEBIBYTE + 1));
    let head = "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: token pul-alice\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&cheap(&gate, raw(&gate, format!("{head}{chunked}").as_bytes())).await), 413);
    let deep = format!("{}{}", "[".repeat(MEBIBYTE / 2), "]".repeat(MEBIBYTE / 2));
    assert!(matches!(post(vec![alice()], deep.clone()).await.status, 400 | 422));
    // Fields.
    for (field, value) in [
        ("reason", many(1_001)),
        ("stack", format!("acme/{}/prod", many(101))),
        ("commit", "a".repeat(41)),
        ("pendingTimeout", format!("{}s", "9".repeat(400))),
    ] {
        let mut body = json!({"stack": STACK, "operation": "update", "reason": "x"});
        body[field] = json!(value);
        assert_eq!(post(vec![alice()], body.to_string()).await.status, 422, "{field}");
    }
    let unknown: Value =
        (0..20_000).map(|n| (format!("field-{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let reply = post(vec![alice()], unknown.to_string()).await;
    assert!(
        reply.status == 422 && reply.text.len() < 10_000,
        "not everything that is wrong is repeated: {}",
        reply.text.len()
    );
    // Headers: one too long for itself, and heads too long altogether.
    assert_eq!(post(vec![alice(), ("idempotency-key", many(256))], fine()).await.status, 400);
    let asked = gate.calls("GET", "/api/user");
    assert_eq!(post(vec![("authorization", format!("token {}", many(513)))], fine()).await.status, 401);
    assert_eq!(gate.calls("GET", "/api/user"), asked, "Pulumi Cloud is not asked about what can be no token");
    for head in [
        format!("GET /healthz HTTP/1.1\r\nx-long: {}\r\n\r\n", many(2 * MEBIBYTE)),
        format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x-many: 1\r\n".repeat(5_000)),
        format!("GET /v1/requests?stack={} HTTP/1.1\r\nhost: x\r\n\r\n", many(2 * MEBIBYTE)),
        many(2 * MEBIBYTE),
    ] {
        let answer = cheap(&gate, raw(&gate, head.as_bytes())).await;
        // Whoever is still sending may find the connection closed before the answer is read.
        assert!(
            answer.is_empty() || matches!(status(&answer), 400 | 414 | 431),
            "{}",
            &answer[..answer.len().min(200)]
        );
    }
    let query = format!("/v1/requests?requester={}", many(30_000));
    let query = cheap(&gate, gate.call("alice", Method::GET, &query, None)).await;
    assert_eq!(query.status, 400, "{}", query.text);
    // Webhooks, signed.
    assert_eq!(cheap(&gate, deliver(&gate, &many(201), "{}")).await.status, 400);
    assert_eq!(cheap(&gate, deliver(&gate, "d-1", &" ".repeat(MEBIBYTE + 1))).await.status, 413);
    let answered = cheap(&gate, deliver(&gate, "d-2", &deep)).await;
    assert!(matches!(answered.status, 202 | 400), "{}", answered.text);
    let ids: Vec<Value> = (0..30_000).map(|n| json!({"changeRequestId": format!("cr-{n}")})).collect();
    let ids = json!({"all": ids}).to_string();
    assert_eq!(cheap(&gate, deliver(&gate, "d-3", &ids)).await.status, 202);
    assert_eq!(gate.requests().await, Vec::<Value>::new());
    gate.finish().await;
}

#[tokio::test]
async fn what_says_that_it_is_compressed_is_not_inflated() {
    let gate = Setup::new().start().await;
    // `{}` as gzip has it.
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let send = async |path: &str, headers: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        status(&raw(&gate, &[head.as_bytes(), body].concat()).await)
    };
    assert_eq!(
        send("/v1/requests", "authorization: token pul-alice\r\n", gzip).await,
        400,
        "no JSON, and not 422 as {{}} is"
    );
    let signed = |body: &[u8]| {
        let signature = pulumi_sim::signature(WEBHOOK_SECRET, body);
        format!("pulumi-webhook-id: d-1\r\npulumi-webhook-kind: k\r\npulumi-webhook-signature: {signature}\r\n")
    };
    assert_eq!(
        send("/webhooks/pulumi", &signed(gzip), gzip).await,
        400,
        "the signature is over the bytes, which are no JSON"
    );
    assert_eq!(
        send("/webhooks/pulumi", &signed(b"{}"), gzip).await,
        401,
        "the signature is not over what they would be"
    );
    gate.finish().await;
}
