//! The runtime API before the emulator's. Each invocation ends when its function's time is up: the emulator says of each that it ended in 1970. And what a
//! function had asked for when it was ended goes to the next one, where the emulator would hand it to the dead one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use signoff_core::host::Host;
use signoff_functions::machine::Machine;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// By when an invocation has to have ended, in milliseconds since 1970.
const DEADLINE: &str = "lambda-runtime-deadline-ms";

/// An answer of the emulator's; none if it is gone, as at the end of a test.
type Answer = Option<(StatusCode, HeaderMap, Bytes)>;

#[derive(Clone)]
struct Runtime {
    emulator: String,
    client: reqwest::Client,
    time: Duration,
    /// The invocation that was asked for and that nobody has yet.
    next: Arc<Mutex<Option<JoinHandle<Answer>>>>,
}

/// Serves it for a function whose invocations may take this long; its address.
pub(crate) fn before(emulator: &str, time: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let listener = TcpListener::from_std(listener).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let runtime = Runtime { emulator: emulator.to_owned(), client, time, next: Arc::default() };
    let router = Router::new().fallback(Runtime::carry).with_state(runtime);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl Runtime {
    async fn carry(State(runtime): State<Self>, request: Request) -> Response {
        let is_next = request.uri().path().ends_with("/invocation/next");
        let answer = if is_next {
            let mut next = runtime.next.lock().await;
            // Who goes away while it waits leaves this for whoever comes then.
            let asked = next.get_or_insert_with(|| tokio::spawn(runtime.clone().ask(request)));
            let answer = asked.await.unwrap();
            *next = None;
            answer
        } else {
            runtime.clone().ask(request).await
        };
        let Some((status, mut headers, body)) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
        if headers.contains_key(DEADLINE) {
            let ends = Machine::new().now() + jiff::SignedDuration::try_from(runtime.time).unwrap();
            headers.insert(DEADLINE, ends.as_millisecond().into());
        }
        (status, headers, Body::from(body)).into_response()
    }

    async fn ask(self, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let mut headers = head.headers;
        headers.remove("host");
        let call = self.client.request(head.method, format!("{}{}", self.emulator, head.uri));
        let answer = call.headers(headers).body(body).send().await.ok()?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        // How long it is, and in how many pieces it comes, is said anew.
        for name in ["content-length", "transfer-encoding"] {
            headers.remove(name);
        }
        Some((status, headers, answer.bytes().await.ok()?))
    }
}
