//! The webhook door, through the real binary: who does not have the secret is not heard, and who has one delivery can't make much of it.

use reqwest::Method;
use serde_json::json;
use signoff_tests::{Setup, WEBHOOK_SECRET};

use super::{STACK, call, deliver};

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_is_not_heard() {
    let gate = Setup::new().without_webhooks().start().await;
    let body = json!({"organization": {"githubLogin": "acme"}, "changeRequestId": "cr-1"}).to_string();
    let good = pulumi_sim::signature(WEBHOOK_SECRET, body.as_bytes());
    let of_nothing = pulumi_sim::signature(WEBHOOK_SECRET, b"");
    let without_a_key = pulumi_sim::signature("", body.as_bytes());
    let signatures: [&[(&str, &str)]; 13] = [
        &[],
        &[("pulumi-webhook-signature", "")],
        &[("pulumi-webhook-signature", "none")],
        &[("pulumi-webhook-signature", &of_nothing)],
        &[("pulumi-webhook-signature", &without_a_key)],
        &[("pulumi-webhook-signature", &good[..40])],
        &[("pulumi-webhook-signature", &good[..63])],
        &[("pulumi-webhook-signature", &format!("{good}0"))],
        &[("pulumi-webhook-signature", &good.to_uppercase())],
        &[("pulumi-webhook-signature", &format!("sha256={good}"))],
        &[("pulumi-webhook-signature", &format!("sha1={}", &good[..40]))],
        &[("x-hub-signature-256", &good)],
        &[("pulumi-webhook-signature", &good), ("pulumi-webhook-signature", &good)],
    ];
    for signature in signatures {
        let mut headers = vec![("pulumi-webhook-id", "d-1"), ("pulumi-webhook-kind", "change_request")];
        headers.extend(signature);
        let reply = call(&gate, Method::POST, "/webhooks/pulumi", &headers, Some(body.clone())).await;
        assert_eq!(reply.status, 401, "{signature:?}: {}", reply.text);
        assert!(!reply.text.contains(&good[..20]), "it tells what the signature should have been");
    }
    for altered in [body.replace("cr-1", "cr-2"), body[..body.len() - 1].to_owned(), format!("{body} "), String::new()]
    {
        let headers = [
            ("pulumi-webhook-id", "d-1"),
            ("pulumi-webhook-kind", "change_request"),
            ("pulumi-webhook-signature", good.as_str()),
        ];
        let reply = call(&gate, Method::POST, "/webhooks/pulumi", &headers, Some(altered.clone())).await;
        assert_eq!(reply.status, 401, "{altered}: {}", reply.text);
    }
    let reply = deliver(&gate, "d-1", &body).await;
    assert_eq!(
        (reply.status, &reply.body["duplicate"]),
        (202, &json!(false)),
        "nothing of the above was recorded: {}",
        reply.text
    );
    gate.finish().await;
}

#[tokio::test]
async fn one_delivery_replayed_under_fresh_ids_costs_a_bounded_number_of_looks() {
    const REPLAYS: u64 = 150;
    // The sweep comes so seldom that whatever is looked at, the replays made it so.
    let gate = Setup::new().without_webhooks().reconcile_every("10m").start().await;
    let id = gate.ask("alice", STACK, "update").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.expect_state(&id, "pending_approval").await;
    let captured = json!({
        "organization": {"githubLogin": "acme"}, "projectName": "credentials", "environmentName": "prod",
        "action": "change_request_approved", "changeRequestId": change_request,
    })
    .to_string();
    let all = |gate: &signoff_tests::Gate| gate.sim.cloud().calls().values().sum::<u64>();
    let before = all(&gate);
    let (client, url) = (signoff_tests::client(), format!("{}/webhooks/pulumi", gate.url()));
    let signed = pulumi_sim::signature(WEBHOOK_SECRET, captured.as_bytes());
    for n in 0..REPLAYS {
        let fresh = format!("replay-{n}");
        let headers = [
            ("pulumi-webhook-id", fresh.as_str()),
            ("pulumi-webhook-kind", "change_request"),
            ("pulumi-webhook-signature", signed.as_str()),
        ];
        for duplicate in [false, true] {
            let sent = signoff_tests::send(&client, Method::POST, &url, &headers, Some(captured.clone())).await;
            let reply = sent.expect("it answers");
            assert_eq!((reply.status, &reply.body["duplicate"]), (202, &json!(duplicate)), "{}", reply.text);
        }
    }
    // What comes in the stream behind all of them was taken up: they are through.
    let last = gate.ask("alice", "acme/api/prod", "update").await;
    gate.submitted(&last).await;
    let cost = all(&gate) - before;
    // Ten rings in twenty seconds, each a handful of calls, and the calls of the last request.
    assert!(cost <= 120, "{REPLAYS} replays made {cost} calls to Pulumi Cloud");
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    gate.expect_no_deployment(&id);
    gate.cancel("alice", &id).await;
    gate.cancel("alice", &last).await;
    gate.finish().await;
}

#[tokio::test]
async fn an_approval_forged_by_webhook_approves_nothing() {
    let gate = Setup::new().without_webhooks().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    let change_request = gate.change_request(&id, "credentials/prod").await;
    gate.expect_state(&id, "pending_approval").await;
    let bob = json!({"githubLogin": "bob", "name": "Bob"});
    for (n, says) in [
        json!({"organization": {"githubLogin": "acme"}, "changeRequestId": change_request, "action": "approved", "status": "ready", "user": bob}),
        json!({"organization": {"githubLogin": "acme"}, "changeRequest": {"id": change_request, "status": "applied", "approvers": [bob]}}),
        json!({"changeRequestId": change_request, "eventType": "status_changed", "newStatus": "applied", "createdBy": bob}),
        json!({"requestId": id, "state": "granted", "signoff": {"approve": id}}),
        json!([{"changeRequestId": [change_request]}, id]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(deliver(&gate, &format!("forged-{n}"), &says.to_string()).await.status, 202);
    }
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    assert_eq!(gate.calls("POST", "/apply"), 0);
    gate.expect_no_deployment(&id);
    gate.cancel("alice", &id).await;
    gate.finish().await;
}
