//! What somebody might try. SECURITY.md has the table: attack, what happens, and the test that shows it.

mod callers;
mod documented;
mod hostile;
mod hostile_cloud;
mod look_alikes;
mod pushes;
mod secrets;
mod sizes;
mod slow;
mod text;
mod webhooks;

use std::time::Duration;

use reqwest::Method;
use signoff_tests::{Gate, Reply, WEBHOOK_SECRET, client, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The stack that most attacks are about.
const STACK: &str = "acme/web/prod";
/// How long a raw connection may take to be answered and closed.
const CLOSED: Duration = Duration::from_secs(30);

/// Calls the API with these headers, whatever they are.
async fn call(gate: &Gate, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
    send(&client(), method, &format!("{}{path}", gate.url()), headers, body).await.expect("it answers")
}

/// A connection to the gate.
async fn connect(gate: &Gate) -> TcpStream {
    let address = gate.url().trim_start_matches("http://");
    TcpStream::connect(address).await.expect("it takes connections")
}

/// Sends these bytes as they are, and gives what comes back until the gate closes the connection.
async fn raw(gate: &Gate, bytes: &[u8]) -> String {
    let mut stream = connect(gate).await;
    // The gate may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(CLOSED, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "it neither answers nor closes: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status in what came back, raw.
fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Delivers a webhook, signed with the webhook's secret.
async fn deliver(gate: &Gate, delivery: &str, body: &str) -> Reply {
    let signed = pulumi_sim::signature(WEBHOOK_SECRET, body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("pulumi-webhook-id", delivery),
        ("pulumi-webhook-kind", "change_request"),
        ("pulumi-webhook-signature", signed.as_str()),
    ];
    call(gate, Method::POST, "/webhooks/pulumi", &headers, Some(body.to_owned())).await
}

/// Fails if the log has a line that the gate did not begin itself, or a character that acts on a terminal.
fn is_log_whole(gate: &Gate) {
    let log = gate.log();
    let begins = |line: &str| line.get(..20).is_some_and(|time| time.starts_with("20") && time.ends_with(['.', 'Z']));
    let odd: Vec<&str> = log.lines().filter(|line| !begins(line)).collect();
    assert!(log.lines().count() > 0 && odd.is_empty(), "lines that are not the log's own: {odd:#?}");
    let acts =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}');
    assert!(!log.contains(acts), "something in the log acts on a terminal");
}
