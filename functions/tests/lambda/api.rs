//! The HTTP API as API Gateway calls it.

use serde_json::json;

use crate::events;
use crate::world::World;

#[tokio::test]
async fn calls_come_through_api_gateway_with_query_headers_and_either_kind_of_body() {
    let mut world = World::start("api").await;
    world.run(&["api"]);
    let (status, health) = world.call("alice", "GET", "/healthz", None).await;
    assert_eq!(status, 200, "{health}");

    let nobody = events::http("GET", "/v1/requests?limit=1", &[], None, false);
    let (_, refused) = world.emulator.invoke("api", &nobody).await;
    assert_eq!(refused["statusCode"], 401);
    assert_eq!(refused["headers"]["content-type"], "application/problem+json");

    // The same key with the same body is the same request: the two kinds of body are the same bytes to the function.
    let asked = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4: für alle"}).to_string();
    let headers =
        [("Authorization", "token pul-alice"), ("Content-Type", "application/json"), ("Idempotency-Key", "one")];
    let mut ids = Vec::new();
    for base64 in [false, true] {
        let event = events::http("POST", "/v1/requests", &headers, Some(asked.as_bytes()), base64);
        let (status, answer) = world.emulator.invoke("api", &event).await;
        assert_eq!(status, 200, "{answer}");
        let request = events::json_body(&answer);
        assert!(matches!(answer["statusCode"].as_u64(), Some(200 | 202)), "{answer}");
        assert_eq!(request["reason"], "Ship 2.4: für alle");
        ids.push(request["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);

    world.ask("acme/api/prod").await;
    let (_, page) = world.call("alice", "GET", "/v1/requests?state=open&limit=1", None).await;
    assert_eq!(page["requests"].as_array().unwrap().len(), 1, "the query comes through: {page}");
    world.finish();
}

/// What a function with these variables alone says before it ends.
async fn last_words(name: &str, variables: &[(&str, &str)]) -> String {
    let folder = crate::emulator::folder(&format!("{name}-ends"));
    let mut command = tokio::process::Command::new(crate::emulator::program(name));
    // Nothing listens there, and nothing has to: it ends before it asks for work.
    command.env_clear().env("AWS_REGION", "eu-central-1").env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
    let command = command.envs(variables.iter().copied()).current_dir(&folder).kill_on_drop(true);
    let ended = tokio::time::timeout(crate::emulator::LIMIT, command.output()).await.unwrap().unwrap();
    assert!(!ended.status.success());
    drop(std::fs::remove_dir_all(folder));
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
}

#[tokio::test]
async fn a_function_that_lacks_a_variable_ends_at_start_and_names_it() {
    for name in crate::emulator::FUNCTIONS {
        let said = last_words(name, &[]).await;
        assert!(said.contains("SIGNOFF_TABLE is not set"), "{name} does not say what is missing: {said}");
    }
    let said = last_words("reconcile", &[("SIGNOFF_TABLE", "t"), ("SIGNOFF_CHECKPOINT_BUCKET", "b")]).await;
    assert!(said.contains("SIGNOFF_CHECKPOINT_KEY is not set"), "{said}");
    let said = last_words("deploy", &[("SIGNOFF_METRICS_NAMESPACE", "AWS/Lambda")]).await;
    assert!(said.contains("SIGNOFF_METRICS_NAMESPACE: a namespace has"), "{said}");
}
