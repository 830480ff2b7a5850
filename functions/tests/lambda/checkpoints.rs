//! Checkpoints of the audit trail, in a bucket of moto's and signed by a key of its KMS.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use signoff_core::checkpoint::{Inspection, inspect};
use signoff_functions::checkpoint::VerifyingKey;
use tokio::net::TcpListener;

use crate::events::tick;
use crate::world::World;

const BUCKET: &str = "signoff-test-checkpoints";

/// The bucket and the key, which `reconcile` has from now on; the key's ARN.
pub(crate) async fn checkpoints(world: &mut World) -> String {
    let place =
        "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
    aws(world, "s3", Method::PUT, &format!("/{BUCKET}"), "", place).await;
    let key = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}).to_string();
    let key: Value =
        serde_json::from_str(&aws(world, "kms", Method::POST, "/", "TrentService.CreateKey", &key).await).unwrap();
    let arn = key["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    world.give("AWS_ENDPOINT_URL_KMS", world.iam.url.clone());
    world.give("AWS_ENDPOINT_URL_S3", world.iam.url.clone());
    world.give("SIGNOFF_CHECKPOINT_BUCKET", BUCKET);
    world.give("SIGNOFF_CHECKPOINT_KEY", arn.clone());
    world.iam.configure_checkpoints(BUCKET, &arn);
    arn
}

/// Calls AWS as whoever set it up; the body of the answer.
async fn aws(world: &World, service: &str, method: Method, path: &str, target: &str, body: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=AKIASETUP/20261123/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let call = client.request(method, format!("{}{path}", world.manager)).header("authorization", signed);
    let call = if target.is_empty() { call } else { call.header("x-amz-target", target) };
    let answer = call.body(body.to_owned()).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    text
}

/// What is in the bucket, held against the key.
async fn kept(world: &World, key: &str) -> Inspection {
    let asked = json!({"KeyId": key}).to_string();
    let public: Value =
        serde_json::from_str(&aws(world, "kms", Method::POST, "/", "TrentService.GetPublicKey", &asked).await).unwrap();
    let public = STANDARD.decode(public["PublicKey"].as_str().unwrap()).unwrap();
    let key = VerifyingKey::from_der(public).unwrap();
    let list = aws(world, "s3", Method::GET, &format!("/{BUCKET}?list-type=2"), "", "").await;
    let mut text = String::new();
    for rest in list.split("<Key>").skip(1) {
        let (name, _) = rest.split_once("</Key>").unwrap();
        text += &aws(world, "s3", Method::GET, &format!("/{BUCKET}/{name}"), "", "").await;
    }
    inspect(&text, key.name(), |message, signature| key.is_signed(message, signature))
}

/// How many events are in what was kept.
fn events(kept: &Inspection) -> usize {
    kept.checkpoints.iter().map(|one| one.heads.len()).sum()
}

#[tokio::test]
async fn what_happened_is_kept_signed_and_a_new_function_goes_on_with_the_chain() {
    let mut world = World::start("checkpoints").await;
    let key = checkpoints(&mut world).await;
    world.run(&["api", "reconcile"]);
    world.ask("acme/web/prod").await;
    world.tick("reconcile").await;
    let first = kept(&world, &key).await;
    assert_eq!(first.faults, []);
    assert_eq!(events(&first), 1);

    world.emulator.end("reconcile").await;
    world.run(&["reconcile"]);
    world.ask("acme/api/prod").await;
    world.tick("reconcile").await;
    let second = kept(&world, &key).await;
    assert_eq!(second.faults, []);
    assert_eq!(events(&second), 2);
    assert!(second.checkpoints.iter().all(|one| one.chain == first.checkpoints[0].chain), "one chain");
    world.finish();
}

#[tokio::test]
async fn checkpoints_that_take_too_long_end_before_the_invocation_does() {
    let mut world = World::start("long").await;
    checkpoints(&mut world).await;
    world.run(&["api"]);
    // Whoever connects there is never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    world.run_within("reconcile", &[("AWS_ENDPOINT_URL_KMS", url)], Duration::from_secs(4));
    world.ask("acme/web/prod").await;
    let answer = tokio::time::timeout(Duration::from_secs(4), world.emulator.invoke("reconcile", &tick())).await;
    let (status, answer) = answer.unwrap();
    assert_eq!((status, &answer["errorMessage"]), (500, &json!("checkpoints took too long")));
    let log = world.emulator.log("reconcile");
    assert!(log.contains(r#""message":"swept""#), "requests come first: {log}");
    world.finish();
}
