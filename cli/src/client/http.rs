//! One HTTP call: with the token, without redirects, bounded in time and size, its errors in words.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Url};
use serde_json::Value;

use super::base::BaseUrl;
use super::refusal::refusal;
use crate::failure::Failure;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes; a page of the audit trail has 4 MB at most.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// An access token. It shows nowhere.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// A token of this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

/// A server and the right to call it.
pub(crate) struct Http {
    /// Its address.
    pub(crate) base: BaseUrl,
    client: Client,
}

/// An answer that is no refusal.
pub(crate) struct Answer {
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::Failed("the server's answer is not JSON: is this the right address?".to_owned()))
    }
}

impl Http {
    /// A client of this server that presents this token and takes answers of this type.
    ///
    /// # Errors
    /// If the token can't be in a header, or the client can't be set up.
    pub(crate) fn new(base: BaseUrl, token: &Token, accept: &'static str) -> Result<Self, Failure> {
        let mut authorization = HeaderValue::from_str(&format!("token {}", token.secret()))
            .map_err(|_| Failure::Usage("the access token holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (ACCEPT, HeaderValue::from_static(accept)),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("signoff/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT);
        // A proxy would get to see the token of a call that is not encrypted.
        let builder = if base.is_loopback() { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| Failure::Failed(format!("no HTTP client: {error}")))?;
        Ok(Self { base, client })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] without an answer, [`Failure::Refused`] with one that is no success.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut call = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            call = call.body(body.to_string());
        }
        let mut response = call.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Failed(format!("{} answers more than {MAX_ANSWER} bytes", self.base)));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            200..300 => Ok(Answer { headers, body }),
            300..400 => Err(Failure::Failed(format!(
                "{} sends elsewhere ({status}), and the token does not follow: say its final address",
                self.base
            ))),
            _ => Err(Failure::Refused(refusal(status, &headers, &body))),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            why = error.to_string();
            source = error.source();
        }
        let why = if error.is_timeout() { "it takes too long to answer".to_owned() } else { why };
        Failure::Unreachable(format!("{} can't be reached: {why}", self.base))
    }
}
