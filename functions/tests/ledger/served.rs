//! A DynamoDB Local that somebody else started (`make test-dynamodb-local`), and what stands before it.
//!
//! The build that can be had is one of 2020. It does not know `ReturnValuesOnConditionCheckFailure` on single writes: where a condition fails, the item that
//! was there is missing from the answer. DynamoDB has given it since 2023, the embedded store gives it, and the ledger goes by it. So it is read and put into
//! the answer here; all else goes through as it is.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use signoff_functions::dynamo::{Dynamo, create_table, keys};

use crate::contract::Place;
use crate::place::{TABLE, Table};

/// A server at the address in `SIGNOFF_TEST_DYNAMODB`. Each place has an access key of its own, by which DynamoDB Local keeps tables apart.
pub(crate) struct Served {
    client: Client,
}

impl Place for Served {
    type Ledger = Dynamo;

    async fn open() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        #[expect(clippy::disallowed_methods, reason = "who runs these tests says where the server is")]
        let server = std::env::var("SIGNOFF_TEST_DYNAMODB").unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let door = Door { server, client: reqwest::Client::builder().no_proxy().build().unwrap() };
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/", post(carry)).with_state(door)).await },
        );
        let key = format!("AKIA{}X{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url(url)
            .credentials_provider(Credentials::new(key, "local", None, None, "local"))
            .build();
        let client = Client::from_conf(config);
        create_table(&client, TABLE).await.unwrap();
        Self { client }
    }

    fn ledger(&self) -> Dynamo {
        Dynamo::new(self.client.clone(), TABLE.to_owned())
    }
}

impl Table for Served {
    fn client(&self) -> &Client {
        &self.client
    }
}

#[derive(Clone)]
struct Door {
    server: String,
    client: reqwest::Client,
}

impl Door {
    async fn send(&self, mut headers: HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
        for name in ["host", "content-length"] {
            headers.remove(name);
        }
        let answer = self.client.post(&self.server).headers(headers).body(body).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap())
    }
}

async fn carry(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    let (status, mut answer) = door.send(headers.clone(), body.clone()).await;
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let wants_item = asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD";
    if status == StatusCode::BAD_REQUEST && wants_item {
        let mut refused: Value = serde_json::from_slice(&answer).unwrap();
        let kind = refused["__type"].as_str().unwrap_or_default();
        if kind.ends_with("#ConditionalCheckFailedException") && refused.get("Item").is_none() {
            if let Some(item) = before(&door, headers, &asked).await {
                refused["Item"] = item;
            }
            answer = refused.to_string().into();
        }
    }
    (status, [("content-type", "application/x-amz-json-1.0")], answer).into_response()
}

/// The item that a write was refused for.
async fn before(door: &Door, mut headers: HeaderMap, asked: &Value) -> Option<Value> {
    let named = asked.get("Key").or_else(|| asked.get("Item"))?;
    let key = json!({keys::PK: named[keys::PK], keys::SK: named[keys::SK]});
    let get = json!({"TableName": asked["TableName"], "Key": key, "ConsistentRead": true}).to_string();
    headers.insert("x-amz-target", HeaderValue::from_static("DynamoDB_20120810.GetItem"));
    let (_, found) = door.send(headers, get.into()).await;
    serde_json::from_slice::<Value>(&found).unwrap().get("Item").cloned()
}
