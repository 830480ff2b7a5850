//! Webhooks as API Gateway hands them over: the signature is over the exact bytes.

use pulumi_sim::signature;
use serde_json::{Value, json};

use crate::events;
use crate::world::{PREVIOUS, SECRET, World};

/// White space and escapes that reading and writing as JSON would not leave as they are.
const BODY: &str =
    "{ \"organization\":{\"githubLogin\":\"acme\"} ,\n\t\"changeRequestId\": \"cr-1\", \"more\": \"\\u00e9 é\"}\r\n";

pub(crate) async fn ring(world: &World, id: &str, signature: &str, body: &[u8], base64: bool) -> (u64, Value) {
    let headers = [
        ("Content-Type", "application/json"),
        ("Pulumi-Webhook-ID", id),
        ("Pulumi-Webhook-Kind", "change_request"),
        ("Pulumi-Webhook-Signature", signature),
    ];
    let event = events::http("POST", "/webhooks/pulumi", &headers, Some(body), base64);
    let (status, answer) = world.emulator.invoke("receive", &event).await;
    assert_eq!(status, 200, "{answer}\n{}", world.emulator.log("receive"));
    (answer["statusCode"].as_u64().unwrap(), events::json_body(&answer))
}

#[tokio::test]
async fn a_signature_is_over_the_bytes_that_were_sent_plain_or_base64() {
    let mut world = World::start("webhooks").await;
    world.run(&["receive"]);
    let signed = signature(SECRET, BODY.as_bytes());
    let first = ring(&world, "plain", &signed, BODY.as_bytes(), false).await;
    assert_eq!(first, (202, json!({"delivery": "plain", "duplicate": false})));
    let second = ring(&world, "base64", &signed, BODY.as_bytes(), true).await;
    assert_eq!(second, (202, json!({"delivery": "base64", "duplicate": false})));
    let again = ring(&world, "plain", &signed, BODY.as_bytes(), true).await;
    assert_eq!(again, (202, json!({"delivery": "plain", "duplicate": true})));
    let rotated = ring(&world, "rotated", &signature(PREVIOUS, BODY.as_bytes()), BODY.as_bytes(), false).await;
    assert_eq!(rotated.0, 202, "the secret before is good while it is being rotated: {rotated:?}");

    let other = BODY.replace("\r\n", "\n");
    for base64 in [false, true] {
        assert_eq!(
            ring(&world, "other", &signed, other.as_bytes(), base64).await.0,
            401,
            "a byte less is another body"
        );
        assert_eq!(ring(&world, "forged", &signature("guess", BODY.as_bytes()), BODY.as_bytes(), base64).await.0, 401);
    }
    let kept = world.records();
    let deliveries = kept.iter().filter(|record| record["dynamodb"]["NewImage"].get("delivery").is_some());
    assert_eq!(deliveries.count(), 3, "what was refused left nothing");
    world.finish();
}
