//! A simulated GitHub: what signoff asks of one, field by field as GitHub documents its REST API (version 2022-11-28), and its signed webhooks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{self, Reply};

/// The token that may read.
pub const GITHUB_TOKEN: &str = "github_pat_5d1f8a0c";
/// The shared secret of its webhook.
pub const GITHUB_SECRET: &str = "ghsec-41c7be90";

/// How much is more than anybody reads, in bytes.
const MUCH: usize = 16 << 20;

/// What goes wrong with its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitHubFault {
    /// 502, with a page of some proxy.
    Down,
    /// 403 with `x-ratelimit-remaining: 0`.
    Limited,
    /// A redirect to somewhere else, as for a repository that was renamed.
    Moved,
    /// A branch that was not asked for.
    OtherBranch,
    /// 403, with the token in what it says.
    SaysBack,
    /// More than anybody reads.
    Huge,
}

/// A commit.
#[derive(Debug, Clone)]
struct Commit {
    message: String,
    author: String,
    parent: Option<String>,
    files: Vec<String>,
}

/// Something that moved a branch.
#[derive(Debug, Clone)]
struct Activity {
    reference: String,
    after: String,
    actor: String,
}

#[derive(Debug, Default)]
struct Inside {
    commits: BTreeMap<String, Commit>,
    branches: BTreeMap<String, String>,
    activities: Vec<Activity>,
    fault: Option<GitHubFault>,
    calls: Vec<String>,
    statuses: Vec<(String, Value)>,
}

/// GitHub, with the repository `acme/web`.
#[derive(Debug, Clone)]
pub struct GitHub {
    inside: Arc<Mutex<Inside>>,
    url: String,
}

type Shared = State<Arc<Mutex<Inside>>>;

impl GitHub {
    /// Starts it on a port of its own.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start() -> Self {
        let inside: Arc<Mutex<Inside>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let router = Router::new()
            .route("/repos/acme/web/branches/{branch}", get(branch))
            .route("/repos/acme/web/activity", get(activity))
            .route("/repos/acme/web/compare/{range}", get(compare))
            .route("/repos/acme/web/statuses/{sha}", post(status))
            .with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inside, url }
    }

    /// Its API's base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody pushes a commit of somebody's to a branch; its id.
    pub fn push(&self, branch: &str, pusher: &str, author: &str, message: &str, files: &[&str]) -> String {
        let mut inside = self.inside();
        let parent = inside.branches.get(branch).cloned();
        let text = format!("{parent:?} {author} {message} {files:?} {}", inside.activities.len());
        let sha = hex::encode(Sha256::digest(text)).chars().take(40).collect::<String>();
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        let commit = Commit { message: message.to_owned(), author: author.to_owned(), parent, files };
        inside.commits.insert(sha.clone(), commit);
        inside.moved(branch, &sha, pusher);
        sha
    }

    /// Somebody moves a branch to a commit that is there.
    pub fn force(&self, branch: &str, pusher: &str, sha: &str) {
        self.inside().moved(branch, sha, pusher);
    }

    /// From now on this goes wrong with every answer; `None`: nothing.
    pub fn fail(&self, fault: Option<GitHubFault>) {
        self.inside().fault = fault;
    }

    /// The statuses that a commit was given, oldest first.
    pub fn statuses(&self, sha: &str) -> Vec<Value> {
        self.inside().statuses.iter().filter(|one| one.0 == sha).map(|one| one.1.clone()).collect()
    }

    /// The calls that were made, method and path.
    pub fn calls(&self) -> Vec<String> {
        self.inside().calls.clone()
    }

    /// Delivers the webhook of a push, signed with this secret.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn deliver(&self, gate: &str, secret: &str, id: &str, branch: &str) -> Reply {
        self.try_deliver(gate, secret, id, branch).await.expect("the door answers")
    }

    /// The same; the error if no answer came.
    pub async fn try_deliver(&self, gate: &str, secret: &str, id: &str, branch: &str) -> Result<Reply, reqwest::Error> {
        let after = self.inside().branches.get(branch).cloned().unwrap_or_default();
        let body = json!({
            "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": after, "deleted": false, "forced": false,
            "repository": {"id": 1, "name": "web", "full_name": "acme/web", "default_branch": "main"},
            "pusher": {"name": "mallory"}, "sender": {"login": "mallory"},
            "head_commit": {"id": "f".repeat(40), "message": "What a webhook says"},
        });
        try_deliver(gate, secret, id, "push", &body).await
    }
}

impl Inside {
    fn moved(&mut self, branch: &str, sha: &str, actor: &str) {
        let (reference, after) = (format!("refs/heads/{branch}"), sha.to_owned());
        self.activities.push(Activity { reference, after: after.clone(), actor: actor.to_owned() });
        self.branches.insert(branch.to_owned(), after);
    }

    /// Notes a call; what answers it instead, if something is wrong.
    fn called(&mut self, headers: &HeaderMap, path: String) -> Option<Response> {
        self.calls.push(path);
        let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
        if bearer != Some(&format!("Bearer {GITHUB_TOKEN}")) || !headers.contains_key("user-agent") {
            return Some((StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"}))).into_response());
        }
        match self.fault? {
            GitHubFault::Down => Some((StatusCode::BAD_GATEWAY, "<html>Unicorn</html>").into_response()),
            GitHubFault::Limited => {
                let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
                let said = json!({"message": "API rate limit exceeded"});
                Some((StatusCode::FORBIDDEN, headers, Json(said)).into_response())
            }
            GitHubFault::SaysBack => {
                let said =
                    json!({"message": format!("{} may not do this; see {GITHUB_TOKEN}", bearer.unwrap_or_default())});
                Some((StatusCode::FORBIDDEN, [("location", GITHUB_TOKEN)], Json(said)).into_response())
            }
            GitHubFault::Huge => Some(" ".repeat(MUCH).into_response()),
            GitHubFault::Moved => {
                let to = [("location", "/repos/acme/web/branches/moved")];
                Some((StatusCode::MOVED_PERMANENTLY, to, Json(json!({"message": "Moved Permanently"}))).into_response())
            }
            GitHubFault::OtherBranch => {
                let sha = self.branches.values().next().cloned().unwrap_or_default();
                Some(Json(json!({"name": "other", "commit": {"sha": sha}})).into_response())
            }
        }
    }

    /// The commits from one on back to the first, itself included.
    fn ancestors(&self, sha: &str) -> Vec<String> {
        let mut all = vec![sha.to_owned()];
        while let Some(parent) = all.last().and_then(|last| self.commits.get(last)?.parent.clone()) {
            all.push(parent);
        }
        all
    }
}

fn locked(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found", "status": "404"}))).into_response()
}

async fn status(
    State(inside): Shared,
    headers: HeaderMap,
    Path(sha): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let mut inside = locked(&inside);
    if let Some(instead) = inside.called(&headers, format!("statuses/{sha}")) {
        return instead;
    }
    if !inside.commits.contains_key(&sha) {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"message": "No commit found for SHA"}))).into_response();
    }
    inside.statuses.push((sha, body.clone()));
    (StatusCode::CREATED, Json(json!({"id": 1, "state": body["state"], "context": body["context"]}))).into_response()
}

async fn branch(State(inside): Shared, headers: HeaderMap, Path(name): Path<String>) -> Response {
    let mut inside = locked(&inside);
    if let Some(instead) = inside.called(&headers, format!("branches/{name}")) {
        return instead;
    }
    let found = inside.branches.get(&name).and_then(|sha| Some((sha, inside.commits.get(sha)?)));
    let Some((sha, commit)) = found else { return not_found() };
    Json(json!({
        "name": name, "protected": false, "protection": {"enabled": false},
        "commit": {
            "sha": sha, "html_url": format!("https://github.com/acme/web/commit/{sha}"),
            "author": {"login": commit.author, "id": 7, "type": "User"},
            "commit": {"message": commit.message, "author": {"name": commit.author, "email": "x@example.com"}},
        },
    }))
    .into_response()
}

async fn activity(
    State(inside): Shared,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut inside = locked(&inside);
    if let Some(instead) = inside.called(&headers, "activity".to_owned()) {
        return instead;
    }
    let wanted = query.get("ref").map(String::as_str);
    let all = inside.activities.iter().enumerate().rev().filter(|(_, one)| Some(one.reference.as_str()) == wanted);
    let items: Vec<Value> = all
        .map(|(id, one)| {
            json!({
                "id": id, "node_id": "PSH_", "before": "0".repeat(40), "after": one.after, "ref": one.reference,
                "timestamp": "2026-11-24T12:00:00Z", "activity_type": "push", "actor": {"login": one.actor, "id": 7},
            })
        })
        .collect();
    Json(items).into_response()
}

async fn compare(State(inside): Shared, headers: HeaderMap, Path(range): Path<String>) -> Response {
    let mut inside = locked(&inside);
    if let Some(instead) = inside.called(&headers, format!("compare/{range}")) {
        return instead;
    }
    let Some((base, head)) = range.split_once("...") else { return not_found() };
    let back = inside.ancestors(head);
    let Some(ahead) = back.iter().position(|sha| sha == base) else {
        return Json(json!({"status": "diverged", "ahead_by": 1, "behind_by": 1, "files": []})).into_response();
    };
    let changed = back.iter().take(ahead).filter_map(|sha| inside.commits.get(sha)).flat_map(|one| &one.files);
    let files: Vec<Value> = changed.map(|file| json!({"filename": file, "status": "modified"})).collect();
    let status = if ahead == 0 { "identical" } else { "ahead" };
    Json(json!({"status": status, "ahead_by": ahead, "behind_by": 0, "files": files})).into_response()
}

/// Delivers a webhook of this event, signed with this secret.
///
/// # Panics
/// If no answer comes.
pub async fn deliver(gate: &str, secret: &str, id: &str, event: &str, body: &Value) -> Reply {
    try_deliver(gate, secret, id, event, body).await.expect("the gate answers")
}

async fn try_deliver(gate: &str, secret: &str, id: &str, event: &str, body: &Value) -> Result<Reply, reqwest::Error> {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key is good");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", event),
        ("x-github-delivery", id),
        ("content-type", "application/json"),
    ];
    let url = format!("{gate}/webhooks/github");
    http::send(&http::client(), Method::POST, &url, &headers, Some(body)).await
}
