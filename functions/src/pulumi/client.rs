//! The transport: one call, bounded in time and size, and what its answer means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signoff_core::cloud::CloudError;
use signoff_core::names::{EnvironmentName, StackName};

use super::carrier::{Carrier, Letter};
use super::message::error_of;
use crate::metrics;
use crate::secrets::Secret;
use crate::tls::Trust;

/// The version of the API.
const MEDIA_TYPE: &str = "application/vnd.pulumi+8";
/// Longest part of a path that is sent, in bytes.
const MAX_SEGMENT: usize = 300;

/// The bounds of every call.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions {
    /// For a whole call, its answer included.
    pub timeout: Duration,
    /// For the connection alone.
    pub connect_timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_body: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), connect_timeout: Duration::from_secs(3), max_body: 4 << 20 }
    }
}

/// An API's address is not one; the text says what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBase(pub String);

/// How many calls were made, by method, shape of the path and status; status 0 stands for none that came in one piece.
pub type Calls = BTreeMap<(&'static str, &'static str, u16), u64>;

/// A connection to one Pulumi Cloud. Clones share it.
#[derive(Debug, Clone)]
pub struct PulumiClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    wire: Wire,
    base: String,
    console: String,
    options: ClientOptions,
    calls: Mutex<Calls>,
}

/// What a call goes over.
#[derive(Debug)]
enum Wire {
    Http(Client),
    Carried(Arc<dyn Carrier>),
}

impl PulumiClient {
    /// A client whose calls this carries, instead of the network; links lead to `https://app.pulumi.com`.
    pub fn carried(carrier: Arc<dyn Carrier>) -> Self {
        let (base, console) = ("https://api.pulumi.com".to_owned(), "https://app.pulumi.com".to_owned());
        let (wire, options) = (Wire::Carried(carrier), ClientOptions::default());
        Self { inner: Arc::new(Inner { wire, base, console, options, calls: Mutex::default() }) }
    }

    /// A client of the Pulumi Cloud at this address (`https://api.pulumi.com`), which trusts whom the machine trusts. Nothing is sent yet.
    ///
    /// # Errors
    /// If the address is not one of https, or of http on this very machine, without user, query and fragment.
    pub fn new(base_url: &str, options: ClientOptions) -> Result<Self, BadBase> {
        Self::trusting(base_url, options, &Trust::machine())
    }

    /// The same, which trusts these roots.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn trusting(base_url: &str, options: ClientOptions, trust: &Trust) -> Result<Self, BadBase> {
        let (http, url) = http_client("Pulumi Cloud", "https://api.pulumi.com", base_url, options, trust)?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        let console = console_of(&url);
        let wire = Wire::Http(http);
        Ok(Self { inner: Arc::new(Inner { wire, base, console, options, calls: Mutex::default() }) })
    }

    /// The calls that were made so far.
    pub fn calls(&self) -> Calls {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the console is, without a slash at the end.
    pub fn console_url(&self) -> &str {
        &self.inner.console
    }

    /// A deployment's page in the console.
    pub fn deployment_url(&self, stack: &StackName, version: i64) -> String {
        format!("{}/{stack}/deployments/{version}", self.inner.console)
    }

    /// Makes a call, and gives the body of an answer that says that it was done.
    pub(super) async fn send(&self, call: &Call<'_>, token: &Secret) -> Result<Vec<u8>, CloudError> {
        #[expect(clippy::disallowed_methods, reason = "how long a call took, for the log and the metrics alone")]
        let started = std::time::Instant::now();
        let (status, result) = match &self.inner.wire {
            Wire::Http(http) => self.over_http(http, call, token).await?,
            Wire::Carried(carrier) => self.over_carrier(&**carrier, call, token).await?,
        };
        let took = started.elapsed();
        metrics::called(status, took);
        let (method, shape, millis) = (call.method_name(), call.shape, took.as_millis());
        tracing::debug!(method, shape, status, millis, "called Pulumi Cloud");
        let mut calls = self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((method, shape, status)).or_default() += 1;
        result
    }

    /// The status of the answer (0: none came) and what it says. An error: nothing was sent.
    async fn over_http(&self, http: &Client, call: &Call<'_>, token: &Secret) -> Result<Outcome, CloudError> {
        let url = format!("{}{}", self.inner.base, call.target()?);
        let url = Url::parse(&url).map_err(|_| unsendable())?;
        let mut authorization = HeaderValue::from_str(&format!("token {}", token.expose()))
            .map_err(|_| CloudError::Unauthorized("the token has characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let mut request = http
            .request(call.method.clone(), url)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, MEDIA_TYPE)
            .header(USER_AGENT, concat!("signoff/", env!("CARGO_PKG_VERSION")));
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        Ok(match request.send().await {
            Ok(answer) => (answer.status().as_u16(), self.read(answer, token).await),
            Err(error) => (0, Err(CloudError::Unclear(trouble(&error).to_owned()))),
        })
    }

    /// The same, without a network.
    async fn over_carrier(
        &self,
        carrier: &dyn Carrier,
        call: &Call<'_>,
        token: &Secret,
    ) -> Result<Outcome, CloudError> {
        let (method, target) = (call.method_name(), call.target()?);
        let letter = Letter { method, target, token: token.clone(), body: call.body.clone() };
        let Some(answer) = carrier.carry(letter).await else {
            return Ok((0, Err(CloudError::Unclear("no answer in time".to_owned()))));
        };
        let most = self.inner.options.max_body;
        let body = match answer.body {
            body if body.len() > most => Err(too_large(most)),
            body => Ok(body),
        };
        let text = body.as_deref().unwrap_or_default();
        Ok((answer.status, error_of(answer.status, &answer.headers, text, token).map_or(body, Err)))
    }

    async fn read(&self, answer: Response, token: &Secret) -> Result<Vec<u8>, CloudError> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = bounded_body(answer, self.inner.options.max_body).await;
        // An error's status counts whatever became of its body.
        let text = body.as_deref().unwrap_or_default();
        match error_of(status.as_u16(), &headers, text, token) {
            Some(error) => Err(error),
            None => body,
        }
    }
}

/// An HTTP client for the API of `whose`, which follows no redirect and trusts these roots, and the API's address as it was read.
///
/// # Errors
/// If the address is not one of https, or of http on this very machine, without user, query and fragment.
pub(crate) fn http_client(
    whose: &str,
    example: &str,
    base_url: &str,
    options: ClientOptions,
    trust: &Trust,
) -> Result<(Client, Url), BadBase> {
    let bad = || BadBase(format!("{whose}'s address is like {example}, not {base_url:?}"));
    let url = Url::parse(base_url).map_err(|_| bad())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let host = url.host_str().filter(|_| plain && url.fragment().is_none()).ok_or_else(bad)?.to_owned();
    let here = host.parse::<std::net::IpAddr>().map_or(host == "localhost" || host == "[::1]", |ip| ip.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => {
            let why = format!(
                "{whose}'s address {base_url:?} has to be https, or http on this machine: tokens are sent there"
            );
            return Err(BadBase(why));
        }
        _ => return Err(bad()),
    }
    Ok((bare_client(options, trust, here)?, url))
}

/// An HTTP client that follows no redirect and trusts these roots; `here`: for what is on this very machine, past any proxy.
///
/// # Errors
/// If this machine can make none.
pub(crate) fn bare_client(options: ClientOptions, trust: &Trust, here: bool) -> Result<Client, BadBase> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .referer(false);
    if here {
        builder = builder.no_proxy();
    }
    let unmakeable = || BadBase("no HTTP client can be made on this machine".to_owned());
    trust.apply(builder).map_err(|_| unmakeable())?.build().map_err(|_| unmakeable())
}

/// An answer's status, and what it says.
type Outcome = (u16, Result<Vec<u8>, CloudError>);

fn too_large(most: usize) -> CloudError {
    CloudError::Unclear(format!("an answer of more than {most} bytes"))
}

/// An answer's body, if it is not larger than that.
pub(crate) async fn bounded_body(mut answer: Response, most: usize) -> Result<Vec<u8>, CloudError> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if chunk.len() > most - body.len() => {
                return Err(too_large(most));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(CloudError::Unclear(trouble(&error).to_owned())),
        }
    }
}

/// What went wrong on the wire, in words of our own.
pub(crate) fn trouble(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    }
}

fn unsendable() -> CloudError {
    CloudError::Refused { status: 400, message: "a name that can't stand in an address; nothing was sent".to_owned() }
}

/// Where the console is: at `app.` where the API is at `api.`, else at the same place.
fn console_of(base: &Url) -> String {
    let mut console = base.clone();
    console.set_path("");
    if let Some(rest) = base.host_str().and_then(|host| host.strip_prefix("api.")) {
        // An address that does not take the other name keeps its own.
        let _ = console.set_host(Some(&format!("app.{rest}")));
    }
    console.as_str().trim_end_matches('/').to_owned()
}

/// The page in the console on which a reviewer sees a change request. The address is that of the answer to `open/request`.
pub(crate) fn review_url(console: &str, environment: &EnvironmentName, change_request: &str) -> String {
    let EnvironmentName { organization, project, name } = environment;
    format!("{console}/{organization}/esc/{project}/{name}?version={}", encoded(change_request))
}

/// Percent-encodes everything but letters, digits, `-`, `_`, `.` and `~`.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Whether a text can be one part of a path. Dots alone would walk the tree, however they are encoded.
pub(super) fn is_segment(text: &str) -> bool {
    (1..=MAX_SEGMENT).contains(&text.len()) && text.bytes().any(|b| b != b'.') && !text.chars().any(char::is_control)
}

/// One call: what is sent, and the shape of its path for the log and the count.
pub(super) struct Call<'a> {
    method: Method,
    shape: &'static str,
    parts: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl<'a> Call<'a> {
    /// A GET of the path that has `parts` in the places of the names in braces.
    pub(super) fn get(shape: &'static str, parts: &[&'a str]) -> Self {
        Self { method: Method::GET, shape, parts: parts.to_vec(), query: Vec::new(), body: None }
    }

    /// A POST to such a path.
    pub(super) fn post(shape: &'static str, parts: &[&'a str]) -> Self {
        Self { method: Method::POST, ..Self::get(shape, parts) }
    }

    /// Whether it changes nothing.
    pub(super) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    /// With this in the query.
    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With this body.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Reads the answer that it got.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, CloudError> {
        // A list would be taken for an object's fields in their order. And what a parser says of a body may quote it.
        let object = body.trim_ascii_start().starts_with(b"{");
        let read = if object { serde_json::from_slice(body).ok() } else { None };
        read.ok_or_else(|| self.wrong("is not what the specification says"))
    }

    /// Reads an answer that says nothing more than that it was done. A page from some proxy doesn't say that.
    pub(super) fn done(&self, body: &[u8]) -> Result<(), CloudError> {
        if body.is_empty() || serde_json::from_slice::<Value>(body).is_ok() {
            Ok(())
        } else {
            Err(self.wrong("is not JSON"))
        }
    }

    /// The error of an answer that came and can't be relied on.
    pub(super) fn wrong(&self, how: &str) -> CloudError {
        CloudError::Unclear(format!("the answer to {} {} {how}", self.method, self.shape))
    }

    fn method_name(&self) -> &'static str {
        if self.method == Method::GET { "GET" } else { "POST" }
    }

    fn target(&self) -> Result<String, CloudError> {
        if !self.parts.iter().all(|part| is_segment(part)) {
            return Err(unsendable());
        }
        let mut parts = self.parts.iter();
        let path = self.shape.split('/').map(|piece| match piece.starts_with('{') {
            true => parts.next().map(|part| encoded(part)).unwrap_or_default(),
            false => piece.to_owned(),
        });
        let mut target = path.collect::<Vec<_>>().join("/");
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(&format!("{name}={}", encoded(value)));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(base: &str) -> String {
        PulumiClient::new(base, ClientOptions::default()).unwrap().inner.console.clone()
    }

    #[test]
    fn the_console_is_beside_the_api() {
        assert_eq!(console("https://api.pulumi.com/"), "https://app.pulumi.com");
        assert_eq!(console("https://api.pulumi.example.org:8443"), "https://app.pulumi.example.org:8443");
        assert_eq!(console("http://127.0.0.1:9000"), "http://127.0.0.1:9000");
        for bad in ["ftp://api.pulumi.com", "https://u:p@api.pulumi.com", "https://api.pulumi.com?x=y", "api"] {
            assert!(PulumiClient::new(bad, ClientOptions::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_of_a_path_stays_one_part() {
        let target = |part: &str| Call::get("/api/a/{id}/b", &[part]).query("q", "x y&z").target();
        assert_eq!(target("i/d?%").unwrap(), "/api/a/i%2Fd%3F%25/b?q=x%20y%26z");
        for bad in ["", ".", "..", "a\nb", &"x".repeat(301)] {
            assert!(matches!(target(bad), Err(CloudError::Refused { .. })), "{bad:?}");
        }
    }
}
