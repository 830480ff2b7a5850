//! GitHub's webhooks at the door: signed, recorded once by what they say, and pointing to a branch.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sha2::Digest;
use tower::ServiceExt;

use crate::{GITHUB, door_on, sign, store};

const PUSH: &[u8] = br#"{"ref": "refs/heads/main", "before": "0", "repository": {"full_name": "acme/web"}, "pusher": {"name": "mallory"}}"#;

/// What a delivery says of itself: headers, with its signature.
fn signed<'a>(signature: &'a str, id: &'a str, event: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("x-hub-signature-256", signature), ("x-github-delivery", id), ("x-github-event", event)]
}

async fn send(door: &axum::Router, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let mut request = Request::post("/webhooks/github");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = door.clone().oneshot(request.body(Body::from(body.to_vec())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

fn signature(body: &[u8]) -> String {
    format!("sha256={}", sign(GITHUB, body))
}

#[tokio::test]
async fn a_push_points_to_its_branch_and_is_recorded_once_whatever_its_id() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let good = signature(PUSH);
    let (status, answer) = send(&door, &signed(&good, "d-1", "push"), PUSH).await;
    assert_eq!((status, answer), (202, json!({"delivery": "d-1", "duplicate": false})));
    for id in ["d-1", "d-2"] {
        let (status, answer) = send(&door, &signed(&good, id, "push"), PUSH).await;
        assert_eq!((status, &answer["duplicate"]), (202, &json!(true)), "a captured one under the id {id}");
    }
    let items = store.scan().table_name("signoff").send().await.unwrap().items.unwrap();
    let all = format!("{items:?}");
    assert_eq!(items.len(), 1, "{all}");
    // Somebody mended what was wrong with the first look, and has GitHub deliver it again.
    let later = crate::Clock { later: jiff::SignedDuration::from_mins(10), ..crate::Clock::default() };
    let door = crate::door_at(&store, "s3cret", None, later);
    for duplicate in [false, true] {
        let (status, answer) = send(&door, &signed(&good, "d-1", "push"), PUSH).await;
        assert_eq!((status, &answer["duplicate"]), (202, &json!(duplicate)));
    }
    assert!(all.contains("acme/web") && all.contains("github push") && !all.contains("mallory"), "{all}");
}

#[tokio::test]
async fn no_delivery_of_pulumi_clouds_is_taken_for_one_of_githubs() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let hash = hex::encode(sha2::Sha256::digest(PUSH));
    for (id, status) in [(hash.clone(), 202), (format!("github/{hash}"), 202), (format!("github {hash}"), 400)] {
        let signature = sign("s3cret", b"{}");
        let request = Request::post("/webhooks/pulumi")
            .header("pulumi-webhook-id", id.as_str())
            .header("pulumi-webhook-kind", "ping")
            .header("pulumi-webhook-signature", signature);
        let response = door.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{id}");
    }
    let (status, answer) = send(&door, &signed(&signature(PUSH), "d-1", "push"), PUSH).await;
    assert_eq!((status, answer), (202, json!({"delivery": "d-1", "duplicate": false})));
}

#[tokio::test]
async fn a_delivery_has_one_id_one_event_and_a_bounded_body() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let good = signature(PUSH);
    let whole = signed(&good, "d", "push");
    for (at, name) in [(1, "x-github-delivery"), (2, "x-github-event")] {
        for value in ["", "a b", &"x".repeat(201)] {
            let mut odd = whole.clone();
            odd[at].1 = value;
            assert_eq!(send(&door, &odd, PUSH).await.0, 400, "{name}: {value:?}");
        }
        let missing: Vec<_> = whole.iter().copied().filter(|(known, _)| *known != name).collect();
        assert_eq!(send(&door, &missing, PUSH).await.0, 400, "no {name}");
        let twice = [whole.clone(), vec![(name, "push")]].concat();
        assert_eq!(send(&door, &twice, PUSH).await.0, 400, "{name} twice");
    }
    // Who has no secret learns nothing of that.
    assert_eq!(send(&door, &signed(&format!("sha256={}", "0".repeat(64)), "", ""), PUSH).await.0, 401);
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(send(&door, &signed(&signature(&large), "d", "push"), &large).await.0, 413);
    assert_eq!(store.scan().table_name("signoff").send().await.unwrap().items.unwrap().len(), 0);
}

#[tokio::test]
async fn what_asks_for_nothing_is_taken_and_points_nowhere() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let ping = br#"{"zen": "Design for failure.", "repository": {"full_name": "acme/web"}}"#;
    let deleted = br#"{"ref": "refs/heads/main", "deleted": true, "repository": {"full_name": "acme/web"}}"#;
    for (event, body) in [("ping", &ping[..]), ("push", deleted), ("star", b"[]"), ("push", b"null")] {
        assert_eq!(send(&door, &signed(&signature(body), "d", event), body).await.0, 202, "{event}");
    }
    let items = store.scan().table_name("signoff").send().await.unwrap().items.unwrap();
    assert!(!format!("{items:?}").contains("acme/web"), "{items:?}");
}

#[tokio::test]
async fn only_githubs_own_secret_and_scheme_are_good() {
    let store = store().await;
    let door = door_on(&store, "s3cret", None);
    let good = signature(PUSH);
    let others = sign("s3cret", PUSH);
    let plain = sign(GITHUB, PUSH);
    let bad = [
        String::new(),
        plain.clone(),
        format!("sha1={plain}"),
        format!("SHA256={plain}"),
        format!("sha256={others}"),
        format!("sha256={}", plain.to_uppercase()),
        format!("sha256={}", &plain[2..]),
        format!("{good},{good}"),
        format!("{good}00"),
    ];
    for signature in &bad {
        assert_eq!(send(&door, &signed(signature, "d", "push"), PUSH).await.0, 401, "{signature}");
    }
    let twice = [signed(&good, "d", "push"), vec![("x-hub-signature-256", good.as_str())]].concat();
    assert_eq!(send(&door, &twice, PUSH).await.0, 401);
    let downgraded = [("x-hub-signature", "sha1=00"), ("x-github-delivery", "d"), ("x-github-event", "push")];
    assert_eq!(send(&door, &downgraded, PUSH).await.0, 401);
    assert_eq!(send(&door, &signed(&good, "d", "push"), &PUSH[1..]).await.0, 401);
    let unnamed = [("x-hub-signature-256", good.as_str()), ("x-github-event", "push")];
    assert_eq!(send(&door, &unnamed, PUSH).await.0, 400);
    let form = b"payload=%7B%7D";
    let (status, problem) = send(&door, &signed(&signature(form), "d", "push"), form).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("application/json"), "{problem}");
    assert_eq!(store.scan().table_name("signoff").send().await.unwrap().items.unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_secret_of_its_own_the_door_is_shut() {
    let door = crate::door_without_github(&store().await);
    let (status, problem) = send(&door, &signed(&signature(PUSH), "d", "push"), PUSH).await;
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().unwrap().contains("no secret for GitHub's webhook"), "{problem}");
}
