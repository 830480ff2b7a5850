//! What the tests have in common.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use signoff_core::names::PrincipalName;
use signoff_functions::pulumi::{ClientOptions, PrincipalClient, PulumiClient};
use signoff_functions::secrets::{Secret, Tokens};

pub(crate) const TOKEN: &str = "pul-signoff-deployer";

/// A name that is known to parse.
pub(crate) fn name<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// A client that gives up soon and reads little.
pub(crate) fn impatient(base: &str) -> PulumiClient {
    let options = ClientOptions { timeout: Duration::from_millis(400), max_body: 64 << 10, ..ClientOptions::default() };
    PulumiClient::new(base, options).unwrap()
}

/// The principal `default` with the token of `signoff-deployer`.
pub(crate) fn principal_of(client: PulumiClient) -> PrincipalClient {
    PrincipalClient::new(client, Tokens::Given(HashMap::from([(PrincipalName::default(), secret(TOKEN))])))
}

/// A server that gives one answer after the other, the last one again and again, and keeps what it was asked.
#[derive(Clone)]
pub(crate) struct Fake {
    answers: Arc<Mutex<Vec<(u16, HeaderMap, String)>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    pub(crate) url: String,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { answers: Arc::default(), asked: Arc::default(), url };
        let router = Router::new().fallback(Self::answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    async fn answer(State(fake): State<Self>, request: Request) -> Response {
        fake.asked.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
        let mut answers = fake.answers.lock().unwrap();
        let (status, headers, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
    }

    /// From now on it answers this.
    pub(crate) fn say(&self, status: u16, body: &str) {
        *self.answers.lock().unwrap() = vec![(status, HeaderMap::new(), body.to_owned())];
    }

    pub(crate) fn json(&self, body: &Value) {
        self.say(200, &body.to_string());
    }

    /// And after that this.
    pub(crate) fn then(&self, status: u16, body: &str) {
        self.answers.lock().unwrap().push((status, HeaderMap::new(), body.to_owned()));
    }

    pub(crate) fn asked(&self) -> Vec<(String, HeaderMap)> {
        self.asked.lock().unwrap().clone()
    }
}
