//! The calls: each bounded in time, none redirected, and nothing of an answer kept but its status.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};
use reqwest::{Client, RequestBuilder, Url};
use signoff_core::github::{CommitStatus, GitHub as _, GitHubError, Repository};
use signoff_core::names::Commit;
use signoff_core::notice::{Channel, ChannelKind, ChannelName, Notice, is_address};
use signoff_core::notify::{Messenger, SendError};

use super::signature::SigningKeys;
use super::wire;
use crate::github::GitHubClient;
use crate::pulumi::{BadBase, ClientOptions, bare_client, retry_after, trouble};
use crate::secrets::{Named, NoSecret, Secret};
use crate::tls::Trust;

/// How long one message may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends messages over HTTP.
#[derive(Debug, Clone)]
pub struct Sender {
    /// To this very machine, past any proxy.
    here: Client,
    elsewhere: Client,
    secrets: Arc<Named<ChannelName>>,
    github: Option<GitHubClient>,
    console: String,
}

impl Sender {
    /// Sends with the channels' secrets, to whoever these roots vouch for. Without `github`, no commit has a status. Links for reviewers begin with `console`.
    ///
    /// # Errors
    /// If this machine can't make HTTP clients.
    pub fn new(
        secrets: Named<ChannelName>,
        github: Option<GitHubClient>,
        console: String,
        trust: &Trust,
    ) -> Result<Self, BadBase> {
        let options = ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() };
        let (here, elsewhere) = (bare_client(options, trust, true)?, bare_client(options, trust, false)?);
        Ok(Self { here, elsewhere, secrets: Arc::new(secrets), github, console })
    }

    /// A call to this address.
    fn post(&self, address: &str) -> Result<RequestBuilder, SendError> {
        // What comes out of a secret was not looked at before.
        let url = Some(address).filter(|address| is_address(address)).and_then(|address| Url::parse(address).ok());
        let url = url.ok_or_else(|| failed("its address is not one of https, or of http on this very machine"))?;
        let client = if url.scheme() == "http" { &self.here } else { &self.elsewhere };
        Ok(client.post(url).header(USER_AGENT, concat!("signoff/", env!("CARGO_PKG_VERSION"))))
    }

    async fn carry(&self, channel: &Channel, notice: &Notice<'_>, secret: &Secret) -> Result<(), SendError> {
        let call = match &channel.kind {
            ChannelKind::Slack => self.post(secret.expose())?.json(&wire::slack(notice, &self.console)),
            ChannelKind::Webhook(url) => {
                let keys = SigningKeys::of(secret).map_err(|why| failed(&why.to_string()))?;
                let body = wire::webhook(notice, &self.console).to_string();
                let (id, seconds) = (notice.id(), notice.now.as_second());
                self.post(url)?
                    .header(CONTENT_TYPE, "application/json")
                    .header("webhook-id", &id)
                    .header("webhook-timestamp", seconds)
                    .header("webhook-signature", keys.sign(&id, seconds, body.as_bytes()))
                    .body(body)
            }
        };
        let answer = call.send().await.map_err(|error| failed(trouble(&error)))?;
        judged(answer.status().as_u16(), answer.headers())
    }
}

impl Messenger for Sender {
    async fn send(&self, channel: &Channel, notice: &Notice<'_>) -> Result<(), SendError> {
        let missing = |NoSecret(why)| failed(&why);
        let secret = self.secrets.get(&channel.name).await.map_err(missing)?;
        let refused = match self.carry(channel, notice, &secret).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        // The address of an incoming webhook, or a key, may have been replaced.
        let fresh = self.secrets.refresh(&channel.name, &secret).await.map_err(missing)?;
        if fresh == secret { Err(refused) } else { self.carry(channel, notice, &fresh).await }
    }

    async fn set_status(
        &self,
        repository: &Repository,
        commit: &Commit,
        status: &CommitStatus,
    ) -> Result<(), GitHubError> {
        let message = "there is no token for GitHub".to_owned();
        let github = self.github.as_ref().ok_or(GitHubError::Refused { status: 401, message })?;
        github.set_status(repository, commit, status).await
    }
}

fn failed(why: &str) -> SendError {
    SendError::Failed { why: why.to_owned(), retry_after: None }
}

/// What an answer's status means.
fn judged(status: u16, headers: &HeaderMap) -> Result<(), SendError> {
    match status {
        200..=299 => Ok(()),
        410 => Err(SendError::Gone("whoever was there is gone (status 410)".to_owned())),
        _ => Err(SendError::Failed { why: format!("status {status}"), retry_after: retry_after(headers) }),
    }
}
