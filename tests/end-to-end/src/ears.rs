//! Whoever listens to notices: takes what is sent, and answers as it is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::gate::LIMIT;
use crate::wait::until;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With a redirect back to itself.
    Redirect,
    /// Not for a long time.
    Never,
    /// With 64 MiB that nobody wants.
    Huge,
}

/// What was sent.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The path that it was sent to.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The bytes of the body.
    pub body: Bytes,
    /// The same as JSON.
    pub json: Value,
}

impl Heard {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Inside {
    answer: Answer,
    heard: Vec<Heard>,
}

/// A listener on a port of its own.
#[derive(Debug, Clone)]
pub struct Ears {
    inside: Arc<Mutex<Inside>>,
    url: String,
}

impl Ears {
    /// Starts it; it answers 200.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start() -> Self {
        let inside = Arc::new(Mutex::new(Inside { answer: Answer::Status(200), heard: Vec::new() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let router = Router::new().fallback(take).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inside, url }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: Answer) {
        self.inside().answer = answer;
    }

    /// All that was sent to this path.
    pub fn heard(&self, path: &str) -> Vec<Heard> {
        self.inside().heard.iter().filter(|one| one.path == path).cloned().collect()
    }

    /// Waits until this much was sent to a path, and gives it.
    ///
    /// # Panics
    /// If it is not within the limit.
    pub async fn expect(&self, path: &str, count: usize) -> Vec<Heard> {
        let heard = until(LIMIT, async || Some(self.heard(path)).filter(|heard| heard.len() >= count)).await;
        heard.unwrap_or_else(|| panic!("{count} messages were not sent to {path}: {:#?}", self.heard(path)))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(
    State(inside): State<Arc<Mutex<Inside>>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().to_owned();
    let answer = {
        let mut inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.heard.push(Heard { path: path.clone(), headers, body, json });
        inside.answer
    };
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap_or_default().into_response(),
        Answer::Redirect => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{path}/elsewhere"))]).into_response()
        }
        Answer::Never => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            StatusCode::OK.into_response()
        }
        Answer::Huge => (StatusCode::OK, vec![b'x'; 64 << 20]).into_response(),
    }
}
