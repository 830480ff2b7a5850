//! What a function on Lambda asks for work, one for each function: it notes when that happens first, and hands events over one after the other.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as At, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::Result;

/// How long an answer, or the first time that a function asks for work, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event, and where its answer goes.
type Work = (Value, oneshot::Sender<(bool, Bytes)>);

struct Shared {
    asked: watch::Sender<Option<Instant>>,
    work: Mutex<mpsc::Receiver<Work>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<(bool, Bytes)>>>,
}

/// A function that runs; killed when this is dropped.
pub(crate) struct Function {
    child: Child,
    events: mpsc::Sender<Work>,
    /// From before the start of the process until it asked for work.
    pub(crate) started_in: Duration,
}

impl Function {
    /// Starts a program with these variables, and waits until it asks for work.
    pub(crate) async fn start(program: &Path, variables: &[(String, String)]) -> Result<Self> {
        let (events, work) = mpsc::channel(1);
        let (asked, mut first) = watch::channel(None);
        let shared = Arc::new(Shared { asked, work: Mutex::new(work), waiting: Mutex::default() });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let at = tokio::time::timeout(PATIENCE, first.wait_for(Option::is_some)).await;
        let at = at.map_err(|_| format!("{} did not ask for work", program.display()))??.ok_or("it did not ask")?;
        Ok(Self { child, events, started_in: at.duration_since(began) })
    }

    /// Hands an event over; what the function gave back.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        self.events.send((event.clone(), answer)).await?;
        let (is_good, body) = tokio::time::timeout(PATIENCE, answered).await??;
        if is_good {
            Ok(serde_json::from_slice(&body)?)
        } else {
            Err(format!("the function failed: {}", String::from_utf8_lossy(&body)).into())
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The most memory that it had so far, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        crate::gate::memory(self.child.id().ok_or("it is gone")?, "VmHWM")
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.asked.send_if_modified(|at| at.is_none().then(|| *at = Some(Instant::now())).is_some());
    let Some((event, answer)) = shared.work.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let mut waiting = shared.waiting.lock().await;
    let id = format!("00000000-0000-4000-8000-{:012}", waiting.len());
    waiting.insert(id.clone(), answer);
    let deadline = jiff::Timestamp::MAX.as_millisecond().to_string();
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:local:0:function:bench".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(State(shared): State<Arc<Shared>>, At(id): At<String>, body: Bytes) -> StatusCode {
    pass_on(&shared, &id, true, body).await
}

async fn failed(State(shared): State<Arc<Shared>>, At(id): At<String>, body: Bytes) -> StatusCode {
    pass_on(&shared, &id, false, body).await
}

async fn pass_on(shared: &Shared, id: &str, is_good: bool, body: Bytes) -> StatusCode {
    if let Some(answer) = shared.waiting.lock().await.remove(id) {
        // Whoever asked may have given up.
        let _late = answer.send((is_good, body));
    }
    StatusCode::ACCEPTED
}
