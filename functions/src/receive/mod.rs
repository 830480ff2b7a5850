//! The door for webhooks, Pulumi Cloud's and GitHub's: checks who rings, notes that they did, and does nothing else.

mod github;
mod secrets;
mod verified;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use signoff_core::doorbell::{Delivery, Pointers};
use signoff_core::host::Host;
use signoff_core::ledger::Ledger;

pub use secrets::{Secrets, StoredSecrets};
pub use verified::{Refused, Verified, WebhookSecrets};

use crate::api::{Edge, MAX_BODY, Problem, edge};
use crate::metrics::{self, Verdict};

/// For how long a delivery is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the door works with.
#[derive(Debug)]
pub struct Receive<L, H, S = WebhookSecrets> {
    /// What is remembered.
    pub ledger: Arc<L>,
    /// The shared secrets of Pulumi Cloud's webhook.
    pub secrets: S,
    /// The shared secrets of GitHub's webhook, where pushes ask for deployments.
    pub github: Option<S>,
    /// The clock and fresh ids.
    pub host: Arc<H>,
}

/// What is answered to a delivery that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The delivery's id.
    pub delivery: String,
    /// Whether it was recorded before.
    pub duplicate: bool,
}

/// The router of the webhook door. It has no fallback, so that it can be merged with one that has.
pub fn router<L, H, S>(receive: Receive<L, H, S>) -> Router
where
    L: Ledger + 'static,
    H: Host + 'static,
    S: Secrets + 'static,
{
    let edge_of = Edge { host: Arc::clone(&receive.host) };
    let take = async |State(on): State<Arc<Receive<L, H, S>>>,
                      headers: HeaderMap,
                      body: Result<Bytes, BytesRejection>| { on.hear(&headers, body).await };
    let push = async |State(on): State<Arc<Receive<L, H, S>>>,
                      headers: HeaderMap,
                      body: Result<Bytes, BytesRejection>| { on.hear_push(&headers, body).await };
    Router::new()
        .route("/webhooks/pulumi", post(take).fallback(async || Problem::method_not_allowed()))
        .route("/webhooks/github", post(push).fallback(async || Problem::method_not_allowed()))
        .with_state(Arc::new(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(edge_of, edge::<H>))
}

impl<L: Ledger, H: Host, S: Secrets> Receive<L, H, S> {
    /// Takes a delivery of Pulumi Cloud's, if it is one.
    async fn hear(&self, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Response, Problem> {
        let body = body.inspect_err(|_| metrics::delivered(None, Verdict::Refused))?;
        if !verified::has_signature(headers) {
            return Err(refused(Refused::Unsigned));
        }
        let verified = signed(&self.secrets, |known| Verified::from(known, headers, body.clone())).await?;
        let delivery = Delivery {
            id: verified.id.clone(),
            kind: verified.kind,
            body: hex::encode(Sha256::digest(&verified.raw)),
            pointers: Pointers::find(&verified.body),
            at: self.host.now(),
        };
        self.take(verified.id, delivery).await
    }

    /// Takes a delivery of GitHub's, if it is one.
    async fn hear_push(&self, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Response, Problem> {
        let body = body.inspect_err(|_| metrics::delivered(None, Verdict::Refused))?;
        let Some(secrets) = &self.github else {
            return Err(Problem::not_found("Pushes ask for nothing here: no secret for GitHub's webhook is set."));
        };
        if !github::has_signature(headers) {
            return Err(refused(Refused::Unsigned));
        }
        let pushed = signed(secrets, |known| github::Pushed::from(known, headers, body.clone())).await?;
        let delivery = pushed.delivery(&*self.host);
        self.take(pushed.id, delivery).await
    }

    /// Records a delivery.
    async fn take(&self, id: String, delivery: Delivery) -> Result<Response, Problem> {
        let expires = delivery.at.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
        let is_new = self.ledger.record_delivery(&delivery, expires).await.map_err(|error| {
            tracing::error!(%error, delivery = id, "a delivery could not be recorded");
            Problem::unavailable("The delivery could not be recorded; redeliver it.", 10)
        })?;
        metrics::delivered(Some(&delivery.kind), if is_new { Verdict::Accepted } else { Verdict::Duplicate });
        tracing::info!(delivery = id, kind = delivery.kind, duplicate = !is_new, "a webhook was delivered");
        let answer = Received { delivery: id, duplicate: !is_new };
        Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
    }
}

/// What a secret signed; where none did, whether they were replaced is looked up.
async fn signed<S: Secrets, T>(
    secrets: &S,
    verify: impl Fn(&WebhookSecrets) -> Result<T, Refused>,
) -> Result<T, Problem> {
    let known = secrets.known().await.map_err(|error| {
        tracing::error!(%error, "nobody can tell who rings");
        Problem::unavailable("The delivery could not be checked; redeliver it.", 10)
    })?;
    let verified = match verify(&known) {
        Err(Refused::Unsigned) => match secrets.others(&known).await {
            Some(others) => verify(&others),
            None => Err(Refused::Unsigned),
        },
        verified => verified,
    };
    verified.map_err(refused)
}

fn refused(refused: Refused) -> Problem {
    let unsigned = refused == Refused::Unsigned;
    metrics::delivered(None, if unsigned { Verdict::BadSignature } else { Verdict::Refused });
    Problem::from(refused)
}
