//! The calls, each bounded in time and size, and what their answers mean.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signoff_core::github::{Branch, Changed, CommitStatus, GitHub, GitHubError, Head, Push, Repository};
use signoff_core::names::Commit;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::wire;
use crate::pulumi::{BadBase, ClientOptions, bounded, bounded_body, encoded, http_client, retry_after, trouble};
use crate::secrets::{NoSecret, Secret, SecretsManager};
use crate::tls::Trust;

/// The API of github.com.
pub const GITHUB_URL: &str = "https://api.github.com";

const MEDIA_TYPE: &str = "application/vnd.github+json";
const VERSION: &str = "2022-11-28";
/// Longest description of a status, in characters: what GitHub takes.
const MAX_DESCRIPTION: usize = 140;
/// How long GitHub is left alone if it is rate-limiting and does not say for how long: what it asks for in its documentation.
const WAIT: Duration = Duration::from_secs(60);
/// The longest that GitHub is left alone because it said so.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Where the token comes from that reads branches.
#[derive(Debug, Clone)]
pub enum Token {
    /// Given at start.
    Given(Secret),
    /// In Secrets Manager.
    Stored {
        /// Where it is.
        manager: SecretsManager,
        /// Its name or ARN.
        name: String,
    },
}

impl Token {
    async fn get(&self) -> Result<Secret, NoSecret> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Stored { manager, name } => manager.get(name).await,
        }
    }

    /// The token after `stale` was refused. The same one may come back.
    async fn refresh(&self, stale: &Secret) -> Result<Secret, NoSecret> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Stored { manager, name } => manager.refresh(name, stale).await,
        }
    }
}

/// GitHub over REST.
#[derive(Debug, Clone)]
pub struct GitHubClient {
    http: Client,
    base: String,
    options: ClientOptions,
    token: Token,
    /// Until when GitHub wants to be left alone, as far as this process knows. Clones share it.
    quiet_until: Arc<Mutex<Option<Instant>>>,
}

/// One call.
struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Call {
    fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None }
    }

    fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, GitHubError> {
        // What a parser says of a body may quote it.
        serde_json::from_slice(body).map_err(|_| unclear("an answer that is not what GitHub documents"))
    }
}

impl GitHubClient {
    /// A client of the GitHub whose API is at this address ([`GITHUB_URL`], or `https://HOST/api/v3` of a GitHub Enterprise Server), which trusts these
    /// roots. Nothing is sent yet.
    ///
    /// # Errors
    /// If the address is not one of https, or of http on this very machine, without user, query and fragment.
    pub fn trusting(base_url: &str, options: ClientOptions, trust: &Trust, token: Token) -> Result<Self, BadBase> {
        let (http, url) = http_client("GitHub", GITHUB_URL, base_url, options, trust)?;
        let (base, quiet_until) = (url.as_str().trim_end_matches('/').to_owned(), Arc::default());
        Ok(Self { http, base, options, token, quiet_until })
    }

    /// Calls, unless GitHub wants to be left alone: whoever goes on calling then is kept out for longer.
    async fn send(&self, call: &Call) -> Result<Vec<u8>, GitHubError> {
        let quiet_until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = quiet_until.map(|until| until.saturating_duration_since(now())).filter(|left| !left.is_zero());
        if left.is_some() {
            return Err(GitHubError::Later { retry_after: left });
        }
        let answer = self.send_now(call).await;
        if let Err(GitHubError::Later { retry_after }) = &answer {
            let until = now().checked_add(retry_after.unwrap_or(WAIT));
            *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
        answer
    }

    /// Calls, and once more if the token was refused and has been replaced in the meantime.
    async fn send_now(&self, call: &Call) -> Result<Vec<u8>, GitHubError> {
        let missing = |NoSecret(message)| GitHubError::Refused { status: 401, message };
        let token = self.token.get().await.map_err(missing)?;
        let refused = match self.send_with(call, &token).await {
            Err(GitHubError::Refused { status: 401, message }) => GitHubError::Refused { status: 401, message },
            answer => return answer,
        };
        let fresh = self.token.refresh(&token).await.map_err(missing)?;
        if fresh == token { Err(refused) } else { self.send_with(call, &fresh).await }
    }

    async fn send_with(&self, call: &Call, token: &Secret) -> Result<Vec<u8>, GitHubError> {
        let url = Url::parse(&format!("{}{}", self.base, call.path))
            .map_err(|_| unclear("a name that can't stand in an address; nothing was sent"))?;
        let message = "the token has characters that no token has".to_owned();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| GitHubError::Refused { status: 401, message })?;
        authorization.set_sensitive(true);
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, MEDIA_TYPE)
            .header("x-github-api-version", VERSION)
            .header(USER_AGENT, concat!("signoff/", env!("CARGO_PKG_VERSION")));
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| unclear(trouble(&error)))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = bounded_body(answer, self.options.max_body).await.map_err(|error| unclear(&error.to_string()));
        tracing::debug!(method = %call.method, status, "called GitHub");
        // An error's status counts whatever became of its body.
        match error_of(status, &headers, body.as_deref().unwrap_or_default(), token) {
            Some(error) => Err(error),
            None => body,
        }
    }
}

impl GitHub for GitHubClient {
    async fn head(&self, repository: &Repository, branch: &Branch) -> Result<Option<Head>, GitHubError> {
        let call = Call::get(format!("/repos/{repository}/branches/{}", encoded(branch.as_str())));
        match self.send(&call).await {
            Err(GitHubError::NotFound(_)) => Ok(None),
            answer => wire::head(&Call::read(&answer?)?, branch).map(Some).ok_or_else(not_documented),
        }
    }

    async fn push(&self, repository: &Repository, branch: &Branch, head: &Commit) -> Result<Option<Push>, GitHubError> {
        let reference = encoded(&format!("refs/heads/{branch}"));
        let call = Call::get(format!("/repos/{repository}/activity?ref={reference}&per_page=100"));
        let activities = Call::read::<Vec<wire::Activity>>(&self.send(&call).await?)?;
        Ok(wire::push(&activities, branch, head))
    }

    async fn changed(&self, repository: &Repository, base: &Commit, head: &Commit) -> Result<Changed, GitHubError> {
        let call = Call::get(format!("/repos/{repository}/compare/{}...{}", base.as_str(), head.as_str()));
        match self.send(&call).await {
            Err(GitHubError::NotFound(_)) => Ok(Changed::Unknown),
            answer => Ok(wire::changed(&Call::read(&answer?)?)),
        }
    }

    async fn set_status(
        &self,
        repository: &Repository,
        commit: &Commit,
        status: &CommitStatus,
    ) -> Result<(), GitHubError> {
        let description: String = status.description.chars().take(MAX_DESCRIPTION).collect();
        let mut body = json!({"state": status.mood.as_str(), "description": description, "context": status.context});
        if let Some(link) = &status.link {
            body["target_url"] = json!(link);
        }
        let path = format!("/repos/{repository}/statuses/{}", commit.as_str());
        self.send(&Call { method: Method::POST, path, body: Some(body) }).await.map(drop)
    }
}

#[expect(clippy::disallowed_methods, reason = "for how long GitHub is left alone, and for nothing else")]
fn now() -> Instant {
    Instant::now()
}

fn unclear(why: &str) -> GitHubError {
    GitHubError::Unclear(why.to_owned())
}

fn not_documented() -> GitHubError {
    unclear("an answer that is not what GitHub documents")
}

/// The error that an answer with this status is; `None` for 2xx.
fn error_of(status: u16, headers: &HeaderMap, body: &[u8], token: &Secret) -> Option<GitHubError> {
    let said = || {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        match answer.as_ref().and_then(|answer| answer["message"].as_str()) {
            Some(text) => bounded(text, token),
            None => format!("status {status} without a message"),
        }
    };
    let used_up = || headers.get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0");
    let limited = || retry_after(headers).is_some() || used_up();
    match status {
        200..=299 => None,
        429 => Some(GitHubError::Later { retry_after: wait(headers) }),
        403 if limited() => Some(GitHubError::Later { retry_after: wait(headers) }),
        404 => Some(GitHubError::NotFound(said())),
        301 | 302 | 307 | 308 => {
            let message = "the repository has moved; name it as it is called now".to_owned();
            Some(GitHubError::Refused { status, message })
        }
        408 | 425 => Some(unclear(&format!("status {status}"))),
        400..=499 => Some(GitHubError::Refused { status, message: said() }),
        _ => Some(unclear(&format!("status {status}"))),
    }
}

/// How long GitHub wants to be left alone: by `Retry-After`, or until the limit begins anew, by its own clock.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let until_reset = || {
        let reset: i64 = text("x-ratelimit-reset")?.parse().ok()?;
        let now = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text("date")?).ok()?;
        Some(Duration::from_secs(u64::try_from(reset - now.as_second()).unwrap_or(0)))
    };
    retry_after(headers).or_else(until_reset).map(|wait| wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;

    use super::*;

    /// A GitHub that answers every call in this way, its client, and how often it was called.
    async fn answering(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
    ) -> (GitHubClient, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&calls);
        let answer = async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
            (StatusCode::from_u16(status).unwrap(), headers, "{}")
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let token = Token::Given(Secret::new("github_pat_x").unwrap());
        (GitHubClient::trusting(&url, ClientOptions::default(), &Trust::machine(), token).unwrap(), calls)
    }

    /// How long it wants to be left alone by what the first of three calls says, in seconds, and how many of them it got.
    async fn called(status: u16, headers: &'static [(&'static str, &'static str)]) -> (Option<u64>, usize) {
        let (client, calls) = answering(status, headers).await;
        let (repository, branch) = ("acme/web".parse().unwrap(), "main".parse().unwrap());
        let mut waits = Vec::new();
        for _ in 0..3 {
            if let Err(GitHubError::Later { retry_after }) = client.clone().head(&repository, &branch).await {
                waits.push(retry_after.map(|wait| wait.as_secs_f64().round() as u64));
            }
        }
        (waits.last().copied().flatten(), calls.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn who_is_rate_limited_leaves_github_alone() {
        assert_eq!(called(429, &[("retry-after", "30")]).await, (Some(30), 1));
        assert_eq!(called(403, &[("x-ratelimit-remaining", "0")]).await, (Some(60), 1), "it does not say for how long");
        const RESET: &[(&str, &str)] = &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "784111877"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        assert_eq!(called(403, RESET).await, (Some(100), 1), "by its own clock");
        assert_eq!(called(403, &[("x-ratelimit-remaining", "7")]).await, (None, 3), "that is no limit");
        assert_eq!(called(503, &[]).await, (None, 3));
    }
}
