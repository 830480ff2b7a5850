//! Where the webhook's secrets come from.

use std::fmt::Debug;
use std::future::Future;

use super::WebhookSecrets;
use crate::secrets::{NoSecret, Secret, SecretsManager};

/// What knows the webhook's secrets.
pub trait Secrets: Debug + Send + Sync {
    /// The secrets.
    ///
    /// # Errors
    /// If the one in use can't be had.
    fn known(&self) -> impl Future<Output = Result<WebhookSecrets, NoSecret>> + Send;

    /// The secrets after none of `stale` made a signature: others, if they were replaced.
    fn others(&self, stale: &WebhookSecrets) -> impl Future<Output = Option<WebhookSecrets>> + Send;
}

/// Secrets that were given at start.
impl Secrets for WebhookSecrets {
    async fn known(&self) -> Result<WebhookSecrets, NoSecret> {
        Ok(self.clone())
    }

    async fn others(&self, _: &WebhookSecrets) -> Option<WebhookSecrets> {
        None
    }
}

/// Secrets in Secrets Manager: read when the first signature has to be checked, kept for five minutes, and read again when no known one made a
/// signature, four times a minute at most. So one can be replaced while functions run, and neither an event nor a flood of bad ones costs a call each.
#[derive(Debug, Clone)]
pub struct StoredSecrets {
    /// Where they are.
    pub manager: SecretsManager,
    /// The name or ARN of the one in use.
    pub current: String,
    /// That of the one before, while it is being rotated.
    pub previous: Option<String>,
}

impl Secrets for StoredSecrets {
    async fn known(&self) -> Result<WebhookSecrets, NoSecret> {
        let current = self.manager.get(&self.current).await?;
        let previous = match &self.previous {
            Some(name) => without_previous(self.manager.get(name).await),
            None => None,
        };
        Ok(WebhookSecrets { current, previous })
    }

    async fn others(&self, stale: &WebhookSecrets) -> Option<WebhookSecrets> {
        let current = match self.manager.refresh(&self.current, &stale.current).await {
            Ok(current) => current,
            Err(error) => {
                tracing::warn!(%error, "a signature does not fit, and whether the webhook's secret was replaced is not known");
                return None;
            }
        };
        let previous = match (&self.previous, &stale.previous) {
            (Some(name), Some(stale)) => without_previous(self.manager.refresh(name, stale).await),
            (Some(name), None) => without_previous(self.manager.get(name).await),
            (None, _) => None,
        };
        let others = WebhookSecrets { current, previous };
        (others.current != stale.current || others.previous != stale.previous).then_some(others)
    }
}

/// The secret before this one is gone when its rotation is over: then there is one less that is good.
fn without_previous(read: Result<Secret, NoSecret>) -> Option<Secret> {
    read.inspect_err(|error| tracing::warn!(%error, "the webhook's secret before this one is not taken")).ok()
}
