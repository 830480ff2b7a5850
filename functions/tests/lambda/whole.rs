//! The whole path, from the request to its end.

use serde_json::Value;

use crate::world::World;

pub(crate) async fn words(world: &World, id: &str) -> Vec<String> {
    let (_, events) = world.call("alice", "GET", &format!("/v1/requests/{id}/events"), None).await;
    let events = events["events"].as_array().unwrap_or_else(|| panic!("{events}"));
    let word = |event: &Value| event["type"].as_str().unwrap().trim_start_matches("signoff.request.").to_owned();
    events.iter().map(word).collect()
}

pub(crate) fn deployed_for(world: &World, id: &str) -> usize {
    let cloud = world.sim.cloud();
    let carries = |mark: &Value| mark["plaintext"] == id || *mark == *id;
    let marked = cloud.deployments().iter().filter(|one| {
        one.settings.pointer("/operationContext/environmentVariables/SIGNOFF_REQUEST_ID").is_some_and(carries)
    });
    marked.count()
}

#[tokio::test]
async fn what_is_asked_for_waits_for_an_approval_and_then_runs_moved_by_webhooks_and_the_stream() {
    let mut world = World::start("whole").await;
    world.run(&["api", "receive", "apply", "deploy"]);
    world.send_webhooks();
    let id = world.ask("acme/web/prod").await;
    world.expect_state(&id, "pending_approval", async |_| {}).await;
    assert_eq!(deployed_for(&world, &id), 0);
    world.approve("bob", &id);
    world.expect_state(&id, "succeeded", async |_| {}).await;
    assert_eq!(deployed_for(&world, &id), 1);
    let words = words(&world, &id).await;
    assert_eq!(words, ["requested", "opened", "submitted", "approved", "granted", "deploying", "succeeded"]);
    world.finish();
}

#[tokio::test]
async fn without_webhooks_the_clock_carries_it_to_its_end() {
    let mut world = World::start("clock").await;
    world.run(&["api", "apply", "deploy", "reconcile"]);
    let id = world.ask("acme/web/prod").await;
    world.expect_state(&id, "pending_approval", async |_| {}).await;
    world.approve("bob", &id);
    world.expect_state(&id, "succeeded", async |world| world.tick("reconcile").await).await;
    assert_eq!(deployed_for(&world, &id), 1);
    world.finish();
}
