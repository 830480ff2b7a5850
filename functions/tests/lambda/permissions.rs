//! What the policies grant and what the functions do, held against each other.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;

use pulumi_sim::{Timing, signature};
use serde_json::json;

use crate::checkpoints::checkpoints;
use crate::emulator::{FUNCTIONS, until};
use crate::events;
use crate::iam::{Iam, access_key};
use crate::notify::{Ears, KEY};
use crate::pushes::{github, push};
use crate::webhooks::ring;
use crate::world::{SECRET, TABLE, World};

#[tokio::test]
async fn what_is_not_granted_is_refused_and_told_by_name() {
    // Nothing listens there: what goes through fails in another way.
    let iam = Iam::start("http://127.0.0.1:9", "http://127.0.0.1:9").await;
    let client = |function: &str| {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(&iam.url)
            .credentials_provider(Credentials::new(access_key(function), "local", None, None, "test"));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    };
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let deploy = client("deploy");
    let get = deploy.get_item().table_name(TABLE).key("pk", text("IDEM#alice#1")).key("sk", text("IDEM"));
    assert_eq!(get.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let other = deploy.get_item().table_name("another").key("pk", text("CONFIG")).key("sk", text("GATES"));
    assert_eq!(other.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    assert_eq!(deploy.scan().table_name(TABLE).send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let due = client("notify").query().table_name(TABLE).index_name("due").key_condition_expression("#shard = :shard");
    let due = due.expression_attribute_names("#shard", "shard").expression_attribute_values(":shard", text("1"));
    assert_eq!(due.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let refused = [
        "deploy: dynamodb:GetItem IDEM#alice#1",
        "deploy: dynamodb:GetItem another table's CONFIG",
        "deploy: dynamodb:Scan ?",
        "notify: dynamodb:Query index/due 1",
    ];
    assert_eq!(iam.refused(), refused);
}

const STACK: &str = "acme/web/prod";

#[tokio::test]
async fn what_is_granted_is_used() {
    let mut world = World::start("granted").await;
    // Long enough for webhooks to come while it runs.
    world.sim.cloud().timing = Timing { accept_ms: 20, run_ms: 2_000 };
    let (_ears, url) = Ears::start().await;
    world.secret("signoff-test/channels/log", KEY).await;
    let channel = format!("[[channel]]\nname = \"log\"\nkind = \"webhook\"\nurl = \"{url}\"\n");
    let github = github(&mut world, &channel, "rescue = true\nnotices = [{ channel = \"log\" }]\n").await;
    world.iam.configure("rescue");
    checkpoints(&mut world).await;
    world.run(&FUNCTIONS);
    world.send_webhooks();

    // A push, to its end.
    let (_, pushed) = push(&mut world, &github).await;
    world.expect_state(&pushed, "pending_approval", async |_| {}).await;
    world.approve("bob", &pushed);
    world.expect_state(&pushed, "succeeded", async |_| {}).await;

    // One that somebody asks for, who is overtaken while it is recorded, and who takes it back; and what there is to read.
    world.iam.lose_a_race();
    let key = [("Authorization", "token pul-alice"), ("Content-Type", "application/json"), ("Idempotency-Key", "one")];
    let body = json!({"stack": STACK, "operation": "update", "reason": "Ship 2.4: the new checkout"}).to_string();
    let asked = events::http("POST", "/v1/requests", &key, Some(body.as_bytes()), false);
    let asked = events::json_body(&world.emulator.invoke("api", &asked).await.1);
    let id = asked["id"].as_str().unwrap_or_else(|| panic!("{asked}"));
    world.expect_state(id, "pending_approval", async |_| {}).await;
    for path in ["/v1/requests", "/v1/requests?state=open", &format!("/v1/requests/{id}/events"), "/v1/audit"] {
        let read = events::http("GET", path, &[("Authorization", "token pul-dave")], None, false);
        let (_, answer) = world.emulator.invoke("api", &read).await;
        assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
    }
    let reason = json!({"reason": "Not today"});
    world.call("alice", "POST", &format!("/v1/requests/{id}/cancel"), Some(&reason)).await;
    world.expect_state(id, "cancelled", async |_| {}).await;

    // A run that is refused, and asked for.
    let now = world.sim.now();
    let update = json!({"operation": "update", "inheritSettings": true});
    let run = world.sim.cloud().deploy(now, "alice", STACK, &update).unwrap();
    let rescued = until("the run to be asked for", async || {
        world.pump().await;
        let (_, page) = world.call("alice", "GET", "/v1/requests?state=open", None).await;
        page["requests"].as_array()?.iter().any(|one| one["rescues"]["id"] == *run).then_some(())
    });
    rescued.await;

    // A webhook that points nowhere.
    let body = br#"{"organization":{"githubLogin":"acme"}}"#;
    let rung = ring(&world, "vague", &signature(SECRET, body), body, false).await;
    assert_eq!(rung.0, 202);
    world.pump().await;

    // The clock, and a function that begins anew.
    let everything = until("the clock to ring for what is due and to have branches looked at", async || {
        world.tick("reconcile").await;
        world.tick("notify").await;
        let left = world.iam.unused(&["reconcile"]);
        (!left.iter().any(|one| one.ends_with("PutItem HOOK#*") || one.ends_with("PutItem REQ#*"))).then_some(())
    });
    everything.await;
    world.pump().await;
    world.emulator.end("reconcile").await;
    world.run(&["reconcile"]);
    world.tick("reconcile").await;

    assert_eq!(world.iam.unused(&FUNCTIONS), Vec::<String>::new(), "nobody uses this: it need not be granted");
    world.finish();
}
