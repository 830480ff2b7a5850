//! The webhook door against its contract, on the embedded store.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it has to be")]

mod pushes;
mod rotation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signoff_core::host::Host;
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::receive::{Receive, WebhookSecrets, router};
use signoff_functions::secrets::Secret;
use tower::ServiceExt;
use ulid::Ulid;

const BODY: &[u8] = br#"{"organization": {"githubLogin": "acme"}, "changeRequestId": "cr-1", "more": "\u00e9"}"#;

/// The secret of GitHub's webhook.
const GITHUB: &str = "github-s3cret";

/// A clock that stands still.
#[derive(Debug, Default)]
struct Clock {
    ulids: AtomicU64,
    /// How much later it stands than it usually does.
    later: SignedDuration,
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + self.later
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn ulid(&self) -> Ulid {
        Ulid::from_parts(1_795_435_200_000, u128::from(self.ulids.fetch_add(1, Ordering::SeqCst)))
    }
}

fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn door_on(client: &Client, current: &str, previous: Option<&str>) -> Router {
    door_at(client, current, previous, Clock::default())
}

fn door_at(client: &Client, current: &str, previous: Option<&str>, clock: Clock) -> Router {
    router(Receive {
        ledger: Arc::new(Dynamo::new(client.clone(), "signoff".to_owned())),
        secrets: WebhookSecrets { current: Secret::new(current).unwrap(), previous: previous.and_then(Secret::new) },
        github: Some(WebhookSecrets { current: Secret::new(GITHUB).unwrap(), previous: None }),
        host: Arc::new(clock),
    })
}

fn door_without_github(client: &Client) -> Router {
    router(Receive {
        ledger: Arc::new(Dynamo::new(client.clone(), "signoff".to_owned())),
        secrets: WebhookSecrets { current: Secret::new("s3cret").unwrap(), previous: None },
        github: None,
        host: Arc::new(Clock::default()),
    })
}

async fn store() -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    create_table(&client, "signoff").await.unwrap();
    client
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Sends a body with these headers; gives the status and the answer.
async fn send(door: &Router, headers: &[(&str, &[u8])], body: &[u8]) -> (u16, Value) {
    let mut request = Request::post("/webhooks/pulumi");
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let response = door.clone().oneshot(request.body(Body::from(body.to_vec())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn deliver(door: &Router, secret: &str, id: &str, body: &[u8]) -> (u16, Value) {
    let signature = sign(secret, body);
    let headers = [
        ("pulumi-webhook-id", id.as_bytes()),
        ("pulumi-webhook-kind", b"change_request_approved"),
        ("pulumi-webhook-signature", signature.as_bytes()),
    ];
    send(door, &headers, body).await
}

#[tokio::test]
async fn a_signed_delivery_is_recorded_once_and_never_its_body() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let (status, answer) = deliver(&door, "s3cret", "d-1", BODY).await;
    assert_eq!((status, answer), (202, json!({"delivery": "d-1", "duplicate": false})));
    let (status, answer) = deliver(&door, "s3cret", "d-1", BODY).await;
    assert_eq!((status, answer), (202, json!({"delivery": "d-1", "duplicate": true})));
    let (status, answer) = deliver(&door, "s3cret", "d-2", b"null").await;
    assert_eq!((status, &answer["duplicate"]), (202, &json!(false)), "any kind and any JSON");
    let items = store.scan().table_name("signoff").send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 2);
    let all = format!("{items:?}");
    assert!(all.contains(&hex::encode(Sha256::digest(BODY))) && all.contains("cr-1") && !all.contains("more"), "{all}");
    let expires = Timestamp::from_second(1_795_435_200 + 30 * 24 * 60 * 60).unwrap().as_second().to_string();
    assert!(items.iter().all(|item| item.values().any(|value| *value == AttributeValue::N(expires.clone()))), "{all}");
}

#[tokio::test]
async fn no_signature_but_the_right_one_is_taken() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let good = sign("s3cret", BODY);
    let other = sign("other", BODY);
    let of_other_body = sign("s3cret", b"{}");
    let upper = good.to_uppercase();
    let (short, long) = (&good[..62], format!("{good}00"));
    let (before, after, prefixed) = (format!(" {good}"), format!("{good}\t"), format!("sha256={good}"));
    let listed = format!("{other},{good}");
    let mut odd = good.clone().into_bytes();
    odd[3] = 0xff;
    let mut flipped = good.clone().into_bytes();
    flipped[0] = if flipped[0] == b'0' { b'1' } else { b'0' };
    let bad: [&[&[u8]]; 15] = [
        &[],
        &[b""],
        &[b"0000000000000000000000000000000000000000000000000000000000000000"],
        &[other.as_bytes()],
        &[of_other_body.as_bytes()],
        &[upper.as_bytes()],
        &[short.as_bytes()],
        &[long.as_bytes()],
        &[before.as_bytes()],
        &[after.as_bytes()],
        &[prefixed.as_bytes()],
        &[listed.as_bytes()],
        &[&odd],
        &[&flipped],
        &[good.as_bytes(), good.as_bytes()],
    ];
    for signatures in bad {
        let mut headers: Vec<(&str, &[u8])> = vec![("pulumi-webhook-id", b"d"), ("pulumi-webhook-kind", b"k")];
        headers.extend(signatures.iter().map(|value| ("pulumi-webhook-signature", *value)));
        let (status, problem) = send(&door, &headers, BODY).await;
        assert_eq!(status, 401, "{signatures:?}");
        assert!(!problem.to_string().contains(&good));
    }
    let truncated = &BODY[..BODY.len() - 1];
    let headers: [(&str, &[u8]); 3] =
        [("pulumi-webhook-id", b"d"), ("pulumi-webhook-kind", b"k"), ("pulumi-webhook-signature", good.as_bytes())];
    assert_eq!(send(&door, &headers, truncated).await.0, 401);
    assert_eq!(store.scan().table_name("signoff").send().await.unwrap().items.unwrap().len(), 0);
    assert_eq!(send(&door, &headers, BODY).await.0, 202);
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_are_good() {
    let store = store().await;
    let door = door_on(&store, "new", Some("old"));
    assert_eq!(deliver(&door, "new", "d-1", BODY).await.0, 202);
    assert_eq!(deliver(&door, "old", "d-2", BODY).await.0, 202);
    assert_eq!(deliver(&door, "older", "d-3", BODY).await.0, 401);
    assert_eq!(deliver(&door_on(&store, "new", None), "old", "d-4", BODY).await.0, 401);
    assert!(Secret::new("").is_none(), "there is no empty secret to be had");
}

#[tokio::test]
async fn a_signed_delivery_has_one_id_one_kind_and_json() {
    let door = door_on(&store().await, "s3cret", None);
    let signature = sign("s3cret", BODY);
    let long = "x".repeat(201);
    let bad: [&[(&str, &[u8])]; 9] = [
        &[],
        &[("pulumi-webhook-id", b"d")],
        &[("pulumi-webhook-kind", b"k")],
        &[("pulumi-webhook-id", b""), ("pulumi-webhook-kind", b"k")],
        &[("pulumi-webhook-id", b"d e"), ("pulumi-webhook-kind", b"k")],
        &[("pulumi-webhook-id", b"d"), ("pulumi-webhook-kind", b"\xff")],
        &[("pulumi-webhook-id", long.as_bytes()), ("pulumi-webhook-kind", b"k")],
        &[("pulumi-webhook-id", b"d"), ("pulumi-webhook-id", b"d"), ("pulumi-webhook-kind", b"k")],
        &[("pulumi-webhook-id", b"d"), ("pulumi-webhook-kind", b"k"), ("pulumi-webhook-kind", b"k")],
    ];
    for headers in bad {
        let mut unsigned = headers.to_vec();
        assert_eq!(send(&door, &unsigned, BODY).await.0, 401, "who did not sign learns nothing");
        unsigned.push(("pulumi-webhook-signature", signature.as_bytes()));
        assert_eq!(send(&door, &unsigned, BODY).await.0, 400, "{headers:?}");
    }
    for body in [&b""[..], b"{", b"\xff", b"\"\xff\"", b"kind=ping", b"{}{}"] {
        assert_eq!(deliver(&door, "s3cret", "d", body).await.0, 400);
        assert_eq!(deliver(&door, "other", "d", body).await.0, 401);
    }
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_not_looked_at() {
    let door = door_on(&store().await, "s3cret", None);
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    assert_eq!(deliver(&door, "s3cret", "d-1", &text(1024 * 1024)).await.0, 202);
    assert_eq!(deliver(&door, "s3cret", "d-2", &text(1024 * 1024 + 1)).await.0, 413);
    assert_eq!(send(&door, &[], &text(1024 * 1024 + 1)).await.0, 413);
}

#[tokio::test]
async fn what_could_not_be_recorded_shows_as_failed() {
    let door = door_on(&client("http://127.0.0.1:9"), "s3cret", None);
    assert_eq!(deliver(&door, "s3cret", "d-1", BODY).await.0, 503);
    assert_eq!(deliver(&door, "other", "d-1", BODY).await.0, 401);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let door = door_on(&client("http://127.0.0.1:9"), "s3cret", None);
    let request = Request::get("/webhooks/pulumi").body(Body::empty()).unwrap();
    let response = door.oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 405);
    assert_eq!(response.headers()["allow"], "POST");
}
