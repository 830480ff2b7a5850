//! A Pulumi Cloud that can't be trusted: it passes calls on to the simulated one, and lies about what was answered.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::body::Frame;
use pulumi_sim::{Call, Pattern};
use reqwest::{Client, Method};
use serde_json::Value;
use signoff_tests::{Gate, client};
use tokio::net::TcpListener;

/// Its lies: to which calls, and what becomes of the answer.
type Lies = Arc<Mutex<Vec<(Pattern, Lie)>>>;
type Lie = Box<dyn Fn(&Heard, &mut Said) + Send + Sync>;

/// A call as it came.
pub(super) struct Heard {
    /// Path and query.
    pub(super) target: String,
    /// The whole `Authorization` header.
    pub(super) authorization: String,
}

/// An answer as it goes out.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// After the body it goes on for ever, and counts here what could be sent of that.
    pub(super) endless: Option<Arc<AtomicU64>>,
}

impl Said {
    /// Changes the body, which is JSON.
    pub(super) fn json(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_slice(&self.body) {
            change(&mut body);
            self.body = body.to_string().into_bytes();
        }
    }
}

/// The hostile cloud.
#[derive(Clone)]
pub(super) struct Hostile {
    upstream: String,
    client: Client,
    lies: Lies,
}

impl Hostile {
    /// Puts one between a gate and its cloud, honest for now.
    pub(super) async fn between(gate: &mut Gate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let hostile = Self { upstream: gate.sim.url(), client: client(), lies: Lies::default() };
        let router = Router::new().fallback(answer).with_state(hostile.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        gate.pulumi = Some(url);
        gate.restart().await;
        hostile
    }

    /// From now on it lies about the answers to these calls.
    pub(super) fn lies(&self, method: &str, path: &str, lie: impl Fn(&Heard, &mut Said) + Send + Sync + 'static) {
        self.all().push((Pattern::new(method, path), Box::new(lie)));
    }

    /// From now on it says something else at one place in these answers.
    pub(super) fn says(&self, method: &str, path: &str, pointer: &'static str, value: Value) {
        self.lies(method, path, move |_, said| {
            said.json(|body| {
                if let Some(place) = body.pointer_mut(pointer) {
                    *place = value.clone();
                }
            });
        });
    }

    /// From now on it tells the truth.
    pub(super) fn repents(&self) {
        self.all().clear();
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<(Pattern, Lie)>> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(hostile): State<Hostile>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let heard = Heard { target, authorization: authorization.to_owned() };
    let method = Method::from_bytes(parts.method.as_str().as_bytes()).expect("a method is one");
    let mut call = hostile.client.request(method, format!("{}{}", hostile.upstream, heard.target)).body(body);
    for (name, value) in
        parts.headers.iter().filter(|(name, _)| matches!(name.as_str(), "authorization" | "accept" | "content-type"))
    {
        call = call.header(name.as_str(), value.as_bytes());
    }
    let mut said = match call.send().await {
        Ok(truth) => Said {
            status: truth.status().as_u16(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: truth.bytes().await.unwrap_or_default().to_vec(),
            endless: None,
        },
        Err(_) => Said { status: 502, headers: Vec::new(), body: Vec::new(), endless: None },
    };
    let asked = Call::new(parts.method.as_str(), &heard.target);
    for (pattern, lie) in hostile.all().iter() {
        if pattern.matches(&asked) {
            lie(&heard, &mut said);
        }
    }
    let body = match said.endless {
        Some(sent) => Body::new(Endless { begins: Some(said.body.into()), sent }),
        None => Body::from(said.body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(said.status).unwrap_or(StatusCode::OK);
    for (name, value) in said.headers {
        let name = HeaderName::try_from(name).expect("a header's name");
        response.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
    }
    response
}

/// A body without an end.
struct Endless {
    begins: Option<Bytes>,
    sent: Arc<AtomicU64>,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        const MORE: &[u8] = &[b' '; 16 * 1024];
        let next = self.begins.take().unwrap_or(Bytes::from_static(MORE));
        self.sent.fetch_add(next.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(next))))
    }
}
