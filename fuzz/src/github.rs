//! GitHub, or whoever pretends to be it: its webhooks, and its answers.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use pulumi_sim::signature;
use signoff_core::branches;
use signoff_core::github::{Branch, CommitStatus, GitHub, GitHubError, Mood, Repository};
use signoff_core::names::Commit;
use signoff_functions::github::{GitHubClient, Token};
use signoff_functions::pulumi::ClientOptions;
use signoff_functions::receive::{self, Receive, WebhookSecrets};
use signoff_functions::secrets::Secret;
use signoff_functions::tls::Trust;
use tokio::sync::oneshot::Sender;

use crate::doors::answered;
use crate::nobody::{Clock, serving, unwritable};
use crate::wait;

const SECRET: &str = "the secret of GitHub's fuzzed webhook";
const HEADERS: [&str; 3] = ["x-hub-signature-256", "x-github-delivery", "x-github-event"];
const TOKEN: &str = "github_pat_0123456789abcdef0123456789abcdef";
/// The longest that an error's text may be, in bytes: 300 characters of somebody else's, and our own words.
const MAX_TEXT: usize = 2_000;

/// A delivery: what stands before the first empty line is three headers, one a line (signature, id, event); what follows is the body. It is taken as it
/// is, which only a good signature lets pass, and signed. What is good comes as far as the ledger, which takes nothing.
pub(crate) fn push(bytes: &[u8]) {
    thread_local! {
        static DOOR: (Router, Sender<()>) = door();
    }
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = at.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let signed = format!("sha256={}", signature(SECRET, body));
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS.into_iter().zip(head.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let is_signed = headers.get(HEADERS[0]).is_some_and(|value| *value == *signed);
    let send = |headers: HeaderMap, statuses: &[u16]| {
        let mut request = Request::post("/webhooks/github").body(Body::from(body.to_vec())).expect("a request");
        *request.headers_mut() = headers;
        answered(DOOR.with(|(router, _)| router.clone()), request, SECRET, statuses).0
    };
    if !is_signed {
        send(headers.clone(), &[401, 413]);
    }
    let event = headers.get(HEADERS[2]).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    headers.insert(HEADERS[0], HeaderValue::from_str(&signed).expect("hexadecimal digits"));
    let status = send(headers, &[400, 413, 503]);
    let Ok(value) = serde_json::from_slice(body) else {
        assert!(status != 503, "a delivery was taken whose body is not JSON");
        return;
    };
    if let Some(found) = branches::pointer(&event, &value) {
        // Only this is kept of it, as an attribute.
        let kept = serde_json::to_vec(&found).expect("a pointer can be written").len();
        assert!(kept <= 2_048, "{kept} bytes are kept of a delivery");
    }
}

fn door() -> (Router, Sender<()>) {
    let secrets = || WebhookSecrets { current: Secret::new(SECRET).expect("a secret"), previous: None };
    let (ledger, store) = unwritable();
    (
        receive::router(Receive {
            ledger,
            secrets: secrets(),
            github: Some(secrets()),
            host: Arc::new(Clock::default()),
        }),
        store,
    )
}

/// What GitHub answers: status, headers, body.
type Canned = Arc<Mutex<(StatusCode, HeaderMap, Vec<u8>)>>;

/// A GitHub that answers every call with the same, and a client that it has not sent away for a while.
struct Answering {
    url: String,
    canned: Canned,
    client: GitHubClient,
}

impl Answering {
    fn start() -> Self {
        let canned = Canned::default();
        let said = Arc::clone(&canned);
        let address = serving(async move |listener| {
            let answer = async move || said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            axum::serve(listener, Router::new().fallback(answer)).await.expect("it serves");
        });
        let url = format!("http://{address}");
        let client = client(&url);
        Self { url, canned, client }
    }
}

fn client(url: &str) -> GitHubClient {
    let token = Token::Given(Secret::new(TOKEN).expect("a token is not empty"));
    GitHubClient::trusting(url, ClientOptions::default(), &Trust::embedded(), token).expect("an address")
}

/// The first byte stands for the status, the rest up to the first line's end for `Retry-After`, and what follows is the body. Every call is made.
pub(crate) fn answers(bytes: &[u8]) {
    thread_local! {
        static GITHUB: RefCell<Answering> = RefCell::new(Answering::start());
    }
    let Some((status, rest)) = bytes.split_first() else { return };
    let (after, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&[][..], rest),
    };
    const STATUSES: [u16; 16] = [200, 200, 200, 200, 200, 200, 201, 301, 400, 401, 403, 404, 408, 422, 429, 500];
    let status = StatusCode::from_u16(STATUSES[usize::from(*status) % STATUSES.len()]).expect("a status");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(after) {
        headers.insert("retry-after", value);
    }
    GITHUB.with_borrow_mut(|github| {
        *github.canned.lock().unwrap_or_else(PoisonError::into_inner) = (status, headers, body.to_vec());
        if wait(every_call(&github.client)) {
            github.client = client(&github.url);
        }
    });
}

/// Whether it wants to be left alone.
async fn every_call(client: &GitHubClient) -> bool {
    let repository: Repository = "acme/web".parse().expect("a repository");
    let branch: Branch = "main".parse().expect("a branch");
    let commit: Commit = "0123456789abcdef0123456789abcdef01234567".parse().expect("a commit");
    let (context, description) = ("signoff".to_owned(), "waits".to_owned());
    let status = CommitStatus { context, mood: Mood::Pending, description, link: None };
    let head = client.head(&repository, &branch).await;
    if let Ok(Some(head)) = &head {
        assert!(!head.title.chars().any(char::is_control), "{:?}", head.title);
        assert!(head.title.chars().count() <= 200 && head.url.len() <= 300, "{head:?}");
    }
    [
        fine(head),
        fine(client.push(&repository, &branch, &commit).await),
        fine(client.changed(&repository, &commit, &commit).await),
        fine(client.set_status(&repository, &commit, &status).await),
    ]
    .contains(&true)
}

/// An error is short, and holds neither the token nor what a terminal would obey. Whether it wants to be left alone.
fn fine<T>(answer: Result<T, GitHubError>) -> bool {
    let Err(error) = answer else { return false };
    let text = error.to_string();
    assert!(text.len() <= MAX_TEXT, "an error of {} bytes", text.len());
    assert!(!text.contains(TOKEN) && !text.chars().any(char::is_control), "{text:?}");
    matches!(error, GitHubError::Later { .. })
}
