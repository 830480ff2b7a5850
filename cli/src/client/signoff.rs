//! signoff's HTTP API, in the words of the command line.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use signoff_core::conditions::Lift;
use signoff_core::names::RequestId;

use super::base::BaseUrl;
use super::http::{Answer, Http, Token};
use crate::failure::Failure;

/// How often a call that may be repeated is tried.
const ATTEMPTS: u32 = 4;

/// Before every event. A server that is not told since when gives what it thinks is enough, which is not the whole trail.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// A client of one signoff.
pub(crate) struct Signoff {
    http: Http,
    organization: Option<String>,
}

/// One page of the audit trail: events in JSON, one on each line.
pub(crate) struct Page {
    /// The lines.
    pub(crate) text: String,
    /// Where the next page is.
    pub(crate) next: Option<Url>,
}

impl Signoff {
    /// A client of the signoff at this address; `organization` says which one is meant by somebody who is in several.
    ///
    /// # Errors
    /// If the token is no token.
    pub(crate) fn new(base: BaseUrl, token: &Token, organization: Option<String>) -> Result<Self, Failure> {
        let http = Http::new(base, token, "application/json, application/problem+json, application/x-ndjson")?;
        Ok(Self { http, organization })
    }

    /// Asks for a deployment. Under one key it is asked once, so it is tried again when the answer does not come.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn ask(&self, body: &Value, key: &str) -> Result<Value, Failure> {
        let value = HeaderValue::from_str(key)
            .map_err(|_| Failure::Usage("an idempotency key is plain letters, digits and signs".to_owned()))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), value)]);
        let url = self.http.base.join(&["v1", "requests"]);
        self.patiently(|| self.http.call(Method::POST, url.clone(), headers.clone(), Some(body))).await?.json()
    }

    /// One request.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn request(&self, id: RequestId) -> Result<Value, Failure> {
        self.get(self.http.base.join(&["v1", "requests", &id.to_string()])).await?.json()
    }

    /// The trail of one request.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn events(&self, id: RequestId) -> Result<Value, Failure> {
        self.get(self.http.base.join(&["v1", "requests", &id.to_string(), "events"])).await?.json()
    }

    /// One page of requests, newest first.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn list(&self, filters: &[(&str, String)]) -> Result<Value, Failure> {
        let url = self.with_query(&["v1", "requests"], filters);
        self.patiently(|| self.get(url.clone())).await?.json()
    }

    /// Takes a request back.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn cancel(&self, id: RequestId, reason: &str) -> Result<Answer, Failure> {
        let url = self.http.base.join(&["v1", "requests", &id.to_string(), "cancel"]);
        self.http.call(Method::POST, url, HeaderMap::new(), Some(&json!({"reason": reason}))).await
    }

    /// Lifts something from a request.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn break_glass(&self, id: RequestId, lift: &[Lift], reason: &str) -> Result<Value, Failure> {
        let url = self.http.base.join(&["v1", "requests", &id.to_string(), "break-glass"]);
        let body = json!({"lift": lift, "reason": reason});
        self.http.call(Method::POST, url, HeaderMap::new(), Some(&body)).await?.json()
    }

    /// What a gate says of a deployment.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn explain(&self, query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut url = self.http.base.join(&["v1", "gates", "explain"]);
        url.query_pairs_mut().extend_pairs(query);
        self.get(url).await?.json()
    }

    /// The gates.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn gates(&self) -> Result<Value, Failure> {
        self.get(self.with_query(&["v1", "gates"], &[])).await?.json()
    }

    /// Where the audit trail begins; without `since` at its first event.
    pub(crate) fn audit(&self, since: Option<&str>, until: Option<&str>) -> Url {
        let since = ("since", since.unwrap_or(EPOCH).to_owned());
        let query: Vec<_> = [since].into_iter().chain(until.map(|until| ("until", until.to_owned()))).collect();
        self.with_query(&["v1", "audit"], &query)
    }

    /// A page of the audit trail.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn audit_page(&self, url: &Url) -> Result<Page, Failure> {
        let answer = self.patiently(|| self.get(url.clone())).await?;
        let next = self.http.base.next_page(url, &answer.headers);
        if next.as_ref() == Some(url) {
            return Err(Failure::Failed("the next page of the trail is the same again".to_owned()));
        }
        let text = String::from_utf8(answer.body).map_err(|_| Failure::Failed("the trail is not UTF-8".to_owned()))?;
        Ok(Page { text, next })
    }

    async fn get(&self, url: Url) -> Result<Answer, Failure> {
        self.http.call(Method::GET, url, HeaderMap::new(), None).await
    }

    /// Tries a call that does no harm when it is repeated a few times.
    async fn patiently(&self, call: impl AsyncFn() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
        let mut pause = Duration::from_millis(500);
        for _ in 1..ATTEMPTS {
            match call().await {
                Err(failure) if failure.passes() => {
                    tokio::time::sleep(failure.retry_after().unwrap_or(pause).min(Duration::from_secs(30))).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        call().await
    }

    fn with_query(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.http.base.join(path);
        let organization = self.organization.iter().map(|name| ("organization", name.clone()));
        let query: Vec<_> = query.iter().cloned().chain(organization).collect();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}
