//! The webhook door and the API, as they are served.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, Uri};
use pulumi_sim::signature;
use signoff_core::doorbell::{MAX_POINTERS, Pointers};
use signoff_functions::api::{self, Api};
use signoff_functions::receive::{Verified, WebhookSecrets};
use signoff_functions::secrets::Secret;
use tokio::sync::oneshot::Sender;
use tower::ServiceExt;

use crate::nobody::{ADMIN, Clock, Cloud, MEMBER, WRITER, ledger, token};
use crate::wait;

const SECRET: &str = "the secret of the fuzzed webhook";
/// The longest answer, in bytes, however long what was asked.
const MAX_ANSWER: usize = 64 * 1024;

/// A delivery: what stands before the first empty line is three headers, one a line (signature, id, kind); what follows is the body. It is taken as it
/// is, which only a good signature lets pass, and signed.
pub(crate) fn webhook(bytes: &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = at.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let secrets = WebhookSecrets { current: Secret::new(SECRET).expect("a secret"), previous: None };
    let signed = signature(SECRET, body);
    let mut request = Request::builder();
    let mut given = Vec::new();
    for (name, value) in ["pulumi-webhook-signature", "pulumi-webhook-id", "pulumi-webhook-kind"]
        .into_iter()
        .zip(head.split(|byte| *byte == b'\n'))
    {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            given.push((name, value.clone()));
            request = request.header(name, value);
        }
    }
    let headers = request.body(()).expect("a request").into_parts().0.headers;
    let taken = Verified::from(&secrets, &headers, body.to_vec().into());
    let is_signed = given.iter().any(|(name, value)| *name == "pulumi-webhook-signature" && *value == *signed);
    assert!(is_signed || taken.is_err(), "a delivery was taken without its signature");

    let mut headers = headers;
    headers.insert("pulumi-webhook-signature", HeaderValue::from_str(&signed).expect("hexadecimal digits"));
    let taken = Verified::from(&secrets, &headers, body.to_vec().into());
    let Ok(value) = serde_json::from_slice(body) else {
        assert!(taken.is_err(), "a delivery was taken whose body is not JSON");
        return;
    };
    let found = Pointers::find(&value);
    for length in [found.change_requests.len(), found.stacks.len(), found.environments.len()] {
        assert!(length <= MAX_POINTERS, "{length} pointers");
    }
    // Only this is kept of it: two kilobytes at most, as an attribute.
    let kept = serde_json::to_vec(&found).expect("pointers can be written").len();
    assert!(kept <= 16 * 1024, "{kept} bytes are kept of a delivery");
}

/// The body of a call that asks for a deployment, or takes one back. The first byte says which, and whether whoever calls may.
pub(crate) fn body(bytes: &[u8]) {
    let (kind, body) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let (login, statuses): (_, &[u16]) = match kind & 4 {
        0 => (MEMBER, &[400, 403, 404, 413, 422]),
        _ => (WRITER, &[202, 400, 403, 404, 413, 422, 429]),
    };
    let known = KNOWN.with(|known| known.borrow().last.clone());
    let known = known.unwrap_or_else(|| "req_01KAT5D8Q2Z3V7XN4W6M9RCY1B".to_owned());
    let path = if kind % 4 == 3 { format!("/v1/requests/{known}/cancel") } else { "/v1/requests".to_owned() };
    let request = Request::post(path).body(Body::from(body.to_vec())).expect("a request");
    let (status, answer) = expect(request, &token(login, bytes), statuses);
    if status == 202 {
        let id = serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")["id"].as_str().map(str::to_owned);
        KNOWN.with(|known| known.borrow_mut().asked(id));
    }
}

/// The path and query of a call that reads, from its second part on: `requests?cursor=…`, `audit?since=…`.
pub(crate) fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = format!("/v1/{text}").parse::<Uri>() else { return };
    let request = Request::get(uri).body(Body::empty()).expect("a request");
    expect(request, &token(ADMIN, bytes), &[200, 400, 404, 405]);
}

/// The API, on a store that is made anew when there is too much in it: each of its writes looks through all that was written.
struct Served {
    api: Router,
    _store: Sender<()>,
    writes: usize,
    last: Option<String>,
}

/// How many calls may write to one store.
const MAX_WRITES: usize = 50;

thread_local! {
    static KNOWN: RefCell<Served> = RefCell::new(Served::new());
}

impl Served {
    fn new() -> Self {
        let (ledger, store) = ledger();
        let api = api::router(Api {
            ledger,
            callers: Arc::new(Cloud),
            host: Arc::new(Clock::default()),
            public_url: "https://signoff.example".to_owned(),
            console_url: "https://app.pulumi.com".to_owned(),
            version: "0".to_owned(),
            sweep: jiff::SignedDuration::from_secs(5),
        });
        Self { api, _store: store, writes: 0, last: None }
    }

    /// Something was recorded about this request.
    fn asked(&mut self, id: Option<String>) {
        (self.writes, self.last) = (self.writes + 1, id);
        if self.writes >= MAX_WRITES {
            *self = Self::new();
        }
    }
}

/// Sends a call to the API, with this token; its answer has to be one of these, short, and without the token.
fn expect(mut request: Request<Body>, token: &str, statuses: &[u16]) -> (u16, String) {
    let value = HeaderValue::from_str(&format!("token {token}")).expect("a token is printable");
    request.headers_mut().insert("authorization", value);
    let api = KNOWN.with(|known| known.borrow().api.clone());
    answered(api, request, token, statuses)
}

/// Sends a call to a router; its answer has to be one of these, short, and without the secret that it must not tell.
pub(crate) fn answered(router: Router, request: Request<Body>, secret: &str, statuses: &[u16]) -> (u16, String) {
    let (status, bytes) = wait(async {
        let answer = router.oneshot(request).await.expect("it answers");
        (answer.status().as_u16(), to_bytes(answer.into_body(), MAX_ANSWER).await)
    });
    let text = String::from_utf8_lossy(&bytes.expect("an answer is short")).into_owned();
    assert!(statuses.contains(&status), "answered {status}: {text}");
    assert!(!text.contains(secret), "a secret is in an answer: {text}");
    (status, text)
}
