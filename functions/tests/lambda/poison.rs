//! Batches of the stream in which one record can't be worked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use reqwest::StatusCode;
use serde_json::{Value, json};
use signoff_core::request::Worker;
use signoff_functions::stream::filter::Filters;

use crate::world::World;

/// The records that wake `apply` for requests that were asked for just now.
async fn asked(world: &mut World, stacks: &[&str]) -> (Vec<String>, Vec<Value>) {
    let mut ids = Vec::new();
    for stack in stacks {
        ids.push(world.ask(stack).await);
    }
    let filters = Filters::of(Worker::Apply).unwrap();
    let records: Vec<Value> = world.records().into_iter().filter(|record| filters.pass(record)).collect();
    assert_eq!(records.len(), ids.len(), "one for each: {records:#?}");
    (ids, records)
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_passed_over_and_those_around_it_are_worked_on() {
    let mut world = World::start("nonsense").await;
    world.run(&["api", "apply"]);
    let (ids, mut batch) = asked(&mut world, &["acme/web/prod", "acme/api/prod"]).await;
    let mut poison = batch[0].clone();
    poison["dynamodb"]["SequenceNumber"] = json!("100000000000000000001");
    poison["dynamodb"]["NewImage"]["pk"] = json!({"S": "REQ#not-an-id"});
    batch.insert(1, poison.clone());
    poison["dynamodb"]["NewImage"] = json!({"delivery": {"S": "{\"not\": \"a delivery\"}"}});
    batch.insert(2, poison);
    assert_eq!(
        world.deliver("apply", &batch).await,
        Vec::<String>::new(),
        "it would make no sense the next time either"
    );
    // Nothing but these records, and what comes of them, wakes anybody. (One of the two waits for the other's creation lock.)
    for id in &ids {
        world.expect_state(id, "pending_approval", async |_| {}).await;
    }

    // What is no batch at all fails as a whole, which the mapping halves; the function goes on.
    let (status, _) = world.emulator.invoke("apply", &json!({"Records": [{"dynamodb": 7}]})).await;
    assert_eq!(status, 500);
    assert_eq!(world.deliver("apply", &batch).await, Vec::<String>::new());
    world.finish();
}

#[tokio::test]
async fn a_record_whose_request_cannot_be_read_comes_again_alone() {
    let mut world = World::start("unreadable").await;
    world.run(&["api"]);
    let (ids, batch) = asked(&mut world, &["acme/web/prod", "acme/api/prod", "acme/web/prod"]).await;
    let broken = Arc::new(AtomicBool::new(true));
    let store = store_without(&world.iam.url, &ids[1], Arc::clone(&broken)).await;
    world.run_with("apply", &[("AWS_ENDPOINT_URL_DYNAMODB", store), ("SIGNOFF_LOG", "warn".to_owned())]);
    let sequence = batch[1]["dynamodb"]["SequenceNumber"].as_str().unwrap();
    assert_eq!(world.deliver("apply", &batch).await, [sequence], "that one, and no other");
    let log = world.emulator.log("apply");
    let told = log.lines().find(|line| line.contains("a record has to come again")).unwrap();
    assert!(told.contains(r#""requestId":""#), "in which invocation was it? {told}");
    for id in [&ids[0], &ids[2]] {
        world.expect_state(id, "pending_approval", async |_| {}).await;
    }
    assert_eq!(world.state(&ids[1]).await, "requested");
    broken.store(false, Ordering::SeqCst);
    assert_eq!(world.deliver("apply", &batch[1..2]).await, Vec::<String>::new());
    world.expect_state(&ids[1], "pending_approval", async |_| {}).await;
    world.finish();
}

/// What stands before the store, and has no answer for calls that name this request, as long as it is `broken`; its address.
async fn store_without(store: &str, id: &str, broken: Arc<AtomicBool>) -> String {
    let (store, id, client) = (store.to_owned(), id.to_owned(), reqwest::Client::builder().no_proxy().build().unwrap());
    let carry = async move |request: Request| -> Response {
        let (head, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        if broken.load(Ordering::SeqCst) && String::from_utf8_lossy(&body).contains(&id) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let mut headers = head.headers;
        headers.remove("host");
        let answer = client.post(&store).headers(headers).body(body).send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(carry)).await });
    url
}
