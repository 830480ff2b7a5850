//! A server with canned answers that remembers what it was asked, and the program run against it.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The request that most tests are about.
pub(crate) const ID: &str = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3";
/// The token that the program is given.
pub(crate) const TOKEN: &str = "pul-0123456789";

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method and path with query.
    pub(crate) line: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, null if it is no JSON.
    pub(crate) body: Value,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl From<Value> for Reply {
    fn from(body: Value) -> Self {
        reply(200, body)
    }
}

/// An answer with this status and JSON.
pub(crate) fn reply(status: u16, body: Value) -> Reply {
    Reply { status, headers: Vec::new(), body: if body.is_null() { String::new() } else { body.to_string() } }
}

/// A page of the audit trail.
pub(crate) fn page(events: &[Value], next: Option<&str>) -> Reply {
    let headers = next.map(|next| ("link", format!("<{next}>; rel=\"next\""))).into_iter().collect();
    Reply { status: 200, headers, body: events.iter().map(|event| format!("{event}\n")).collect() }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, VecDeque<Reply>>,
    calls: Vec<Call>,
}

/// The server.
pub(crate) struct Stub {
    script: Arc<Mutex<Script>>,
    /// Its address.
    pub(crate) url: String,
    /// A directory of the test's own.
    pub(crate) home: PathBuf,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    /// Starts one that answers 404 to everything.
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("signoff-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        Self { script, url, home, _runtime: runtime }
    }

    /// Answers this to a call (method and path, without the query); several answers in their order, the last one for ever.
    pub(crate) fn on<R: Into<Reply>>(&self, call: &str, replies: impl IntoIterator<Item = R>) -> &Self {
        let replies = replies.into_iter().map(Into::into).collect();
        self.script.lock().unwrap().answers.insert(call.to_owned(), replies);
        self
    }

    /// What it was asked until now.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.script.lock().unwrap().calls.clone()
    }

    /// The lines of what it was asked until now.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.line).collect()
    }

    /// A command with only what it needs in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.home, arguments);
        command.env("SIGNOFF_URL", &self.url).env("SIGNOFF_PULUMI_URL", &self.url).env("PULUMI_ACCESS_TOKEN", TOKEN);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments), "")
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    script.calls.push(Call { line: format!("{method} {uri}"), headers, body });
    let replies = script.answers.get_mut(&format!("{method} {}", uri.path()));
    let reply =
        replies.and_then(|replies| if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() });
    let reply = reply.unwrap_or_else(|| reply_problem(404, "Not found", "there is no such request"));
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
    }
    response
}

/// Problem details.
pub(crate) fn reply_problem(status: u16, title: &str, detail: &str) -> Reply {
    reply(status, json!({"type": "about:blank", "title": title, "status": status, "detail": detail}))
}

/// The program with an empty environment.
pub(crate) fn bare(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signoff"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    if let Some(path) = option_env!("PATH") {
        command.env("PATH", path);
    }
    command
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Run {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!format!("{}{}", self.out, self.err).contains(TOKEN), "the token shows: {self:?}");
        self
    }
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn finish(mut command: Command, input: &str) -> Run {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command to its end, with nobody to read its standard output.
pub(crate) fn closed(mut command: Command) -> Run {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    Run { code: output.status.code(), out: String::new(), err: String::from_utf8(output.stderr).unwrap() }
}

/// A request in this state, as the API shows it.
pub(crate) fn request(state: &str) -> Value {
    json!({
        "id": ID, "state": state, "stack": "acme/web/prod", "operation": "update", "commit": null, "reason": "Ship 2.4",
        "requester": {"login": "alice", "name": "Alice"},
        "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false},
        "accessDuration": "1h", "grantExpiration": "1h",
        "changeRequests": [], "blockers": [], "grant": null, "deployment": null,
        "createdAt": "2026-11-23T20:00:00Z", "updatedAt": "2026-11-23T20:00:00Z", "expiresAt": "2026-11-26T20:00:00Z",
        "outcome": null
    })
}

/// The request while it waits for the approval of one change request.
pub(crate) fn pending() -> Value {
    let mut request = request("pending_approval");
    request["changeRequests"] = json!([{"id": "cr-1", "environment": "credentials/prod", "status": "pending", "revision": 1,
        "reviewUrl": "https://app.pulumi.com/acme/esc/credentials/prod?version=cr-1",
        "approvals": [{"ruleset": "prod-signoff", "required": 1, "approvers": [], "counted": []}]}]);
    request["blockers"] = json!([{"kind": "approvals", "detail": "credentials/prod: 0 of 1 approvals that count"}]);
    request
}

/// The request after its end.
pub(crate) fn ended(state: &str, message: &str) -> Value {
    let mut request = request(state);
    request["outcome"] = json!({"code": state, "message": message});
    request
}
