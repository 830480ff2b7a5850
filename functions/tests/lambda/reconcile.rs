//! The clock.

use signoff_core::request::Worker;
use signoff_functions::stream::filter::Filters;

use crate::emulator::until;
use crate::events;
use crate::world::World;

#[tokio::test]
async fn the_clock_rings_for_what_is_due_and_does_nothing_else() {
    let mut world = World::start("reconcile").await;
    world.run(&["api", "reconcile"]);
    let id = world.ask("acme/web/prod").await;
    // What asking itself wakes `apply` with is lost.
    world.records();
    let filters = Filters::of(Worker::Apply).unwrap();
    let rung = until("the request to be rung for", async || {
        world.tick("reconcile").await;
        world.records().into_iter().find(|record| filters.pass(record))
    });
    let rung = rung.await;
    assert_eq!(rung["dynamodb"]["NewImage"]["pk"]["S"], format!("REQ#{id}"));
    assert_eq!(world.state(&id).await, "requested");
    world.finish();
}

#[tokio::test]
async fn a_sweep_that_fails_says_so_and_the_next_one_comes() {
    let mut world = World::start("sweep").await;
    // Nothing listens there.
    world.run_with("reconcile", &[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9".to_owned())]);
    for _ in 0..2 {
        let (status, answer) = world.emulator.invoke("reconcile", &events::tick()).await;
        assert_eq!(status, 500);
        assert!(answer["errorMessage"].as_str().unwrap().starts_with("the store does not answer"), "{answer}");
    }
    world.finish();
}
