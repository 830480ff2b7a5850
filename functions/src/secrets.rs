//! Secrets: the type that doesn't show them, and where they come from.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use signoff_core::host::Host;
use signoff_core::names::PrincipalName;
use tokio::sync::Mutex;

use crate::aws::LazyClient;

/// How long a secret that was read from Secrets Manager is taken as it was.
pub const CACHED_FOR: Duration = Duration::from_secs(300);
/// How long Secrets Manager is left alone after it did not give a secret.
pub const FAILED_FOR: Duration = Duration::from_secs(3);
/// How long a secret that was read again out of turn, because it did not fit, is not read again so.
pub const REREAD_AFTER: Duration = Duration::from_secs(15);
/// How long one read from Secrets Manager may take.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that nobody is to see. There is no empty one, and neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret without white space around it; `None` if nothing is left: an empty secret is a missing one.
    pub fn new(text: &str) -> Option<Self> {
        Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// There is no secret to be had. The text names it, and doesn't show it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSecret(pub String);

/// Secrets in AWS Secrets Manager, cached for [`CACHED_FOR`]. Clones share their cache.
#[derive(Clone)]
pub struct SecretsManager {
    client: Arc<LazyClient<Client>>,
    host: Arc<dyn Host>,
    cache: Arc<Mutex<HashMap<String, Known>>>,
}

/// What is known of a secret.
#[derive(Default)]
struct Known {
    /// The secret, and when it was read.
    secret: Option<(Duration, Secret)>,
    /// When it was last read out of turn, and what came of it.
    again: Option<(Duration, Result<(), NoSecret>)>,
}

impl SecretsManager {
    /// Reads with the client that `make` makes; `host` tells how old a cached secret is.
    pub fn new(make: impl FnOnce() -> Client + Send + 'static, host: Arc<dyn Host>) -> Self {
        Self { client: Arc::new(LazyClient::new(Box::new(make))), host, cache: Arc::default() }
    }

    /// The secret of this name.
    ///
    /// # Errors
    /// If there is none, it is empty or binary, or Secrets Manager does not give it within [`READ_TIMEOUT`]. For [`FAILED_FOR`] after that it is
    /// not asked again.
    pub async fn get(&self, name: &str) -> Result<Secret, NoSecret> {
        // The lock is held while reading, so that many callers at once make one call.
        let mut cache = self.cache.lock().await;
        let now = self.host.uptime();
        let known = cache.entry(name.to_owned()).or_default();
        match (&known.secret, &known.again) {
            (Some((read, secret)), _) if now.saturating_sub(*read) < CACHED_FOR => Ok(secret.clone()),
            (_, Some((tried, Err(why)))) if now.saturating_sub(*tried) < FAILED_FOR => Err(why.clone()),
            _ => {
                let secret = self.read(name, known).await;
                // What was read in its turn says nothing of when it may be read again out of turn.
                known.again = secret.as_ref().err().map(|why| (now, Err(why.clone())));
                secret
            }
        }
    }

    /// The secret of this name, read again, unless somebody else did so since `stale` was given out, or it was read out of turn less than [`REREAD_AFTER`]
    /// ago: then as it was. So a secret that was replaced is found at once, and a flood of those who bring a wrong one costs four calls a minute.
    ///
    /// # Errors
    /// As [`Self::get`]. What was known before stays known for its time.
    pub async fn refresh(&self, name: &str, stale: &Secret) -> Result<Secret, NoSecret> {
        let mut cache = self.cache.lock().await;
        let now = self.host.uptime();
        let known = cache.entry(name.to_owned()).or_default();
        match (&known.secret, &known.again) {
            (Some((_, secret)), _) if secret != stale => Ok(secret.clone()),
            (secret, Some((tried, result))) if now.saturating_sub(*tried) < REREAD_AFTER => {
                result.clone()?;
                secret.as_ref().map(|(_, secret)| secret.clone()).ok_or_else(|| NoSecret(unread(name)))
            }
            _ => {
                let secret = self.read(name, known).await;
                known.again = Some((now, secret.as_ref().map(|_| ()).map_err(Clone::clone)));
                secret
            }
        }
    }

    async fn read(&self, name: &str, known: &mut Known) -> Result<Secret, NoSecret> {
        let call = self.client.get_secret_value().secret_id(name).send();
        let answer = tokio::time::timeout(READ_TIMEOUT, call)
            .await
            .map_err(|_| NoSecret(format!("Secrets Manager did not answer in time for the secret {name}")))?
            .map_err(|error| {
                let code = error.as_service_error().and_then(|error| error.meta().code()).unwrap_or("no answer");
                NoSecret(format!("Secrets Manager did not give the secret {name} ({code})"))
            })?;
        let secret = answer.secret_string().and_then(Secret::new);
        let secret = secret.ok_or_else(|| NoSecret(format!("the secret {name} is empty or binary")))?;
        known.secret = Some((self.host.uptime(), secret.clone()));
        Ok(secret)
    }
}

fn unread(name: &str) -> String {
    format!("the secret {name} was not read yet")
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").finish_non_exhaustive()
    }
}

/// Secrets that each have a name of ours.
#[derive(Debug, Clone)]
pub enum Named<N> {
    /// Given at start.
    Given(HashMap<N, Secret>),
    /// In Secrets Manager, each under the prefix followed by its name.
    Stored {
        /// Where they are.
        manager: SecretsManager,
        /// What comes before the name.
        prefix: String,
    },
}

/// The principals' access tokens.
pub type Tokens = Named<PrincipalName>;

impl<N: Eq + Hash + fmt::Display> Named<N> {
    /// The secret of this name.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn get(&self, name: &N) -> Result<Secret, NoSecret> {
        match self {
            Self::Given(secrets) => {
                secrets.get(name).cloned().ok_or_else(|| NoSecret(format!("no secret was given for {name}")))
            }
            Self::Stored { manager, prefix } => manager.get(&format!("{prefix}{name}")).await,
        }
    }

    /// The secret after `stale` was refused: read again where that is possible. The same one may come back.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn refresh(&self, name: &N, stale: &Secret) -> Result<Secret, NoSecret> {
        match self {
            Self::Given(_) => self.get(name).await,
            Self::Stored { manager, prefix } => manager.refresh(&format!("{prefix}{name}"), stale).await,
        }
    }
}
