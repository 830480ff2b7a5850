//! The door for Pulumi Cloud's webhooks: checks who rings, notes that they did, and does nothing else.

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
    /// The webhook's shared secrets.
    pub secrets: S,
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
    Router::new()
        .route("/webhooks/pulumi", post(take).fallback(async || Problem::method_not_allowed()))
        .with_state(Arc::new(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(edge_of, edge::<H>))
}

impl<L: Ledger, H: Host, S: Secrets> Receive<L, H, S> {
    /// Takes a delivery, if it is one.
    async fn hear(&self, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Response, Problem> {
        let refused = |refused: Refused| {
            let unsigned = refused == Refused::Unsigned;
            metrics::delivered(None, if unsigned { Verdict::BadSignature } else { Verdict::Refused });
            Problem::from(refused)
        };
        let body = body.inspect_err(|_| metrics::delivered(None, Verdict::Refused))?;
        if !verified::has_signature(headers) {
            return Err(refused(Refused::Unsigned));
        }
        let known = self.secrets.known().await.map_err(|error| {
            tracing::error!(%error, "nobody can tell who rings");
            Problem::unavailable("The delivery could not be checked; redeliver it.", 10)
        })?;
        let verified = match Verified::from(&known, headers, body.clone()) {
            Err(Refused::Unsigned) => match self.secrets.others(&known).await {
                Some(others) => Verified::from(&others, headers, body),
                None => Err(Refused::Unsigned),
            },
            verified => verified,
        };
        self.take(verified.map_err(refused)?).await
    }

    /// Records a delivery.
    async fn take(&self, verified: Verified) -> Result<Response, Problem> {
        let now = self.host.now();
        let delivery = Delivery {
            id: verified.id,
            kind: verified.kind,
            body: hex::encode(Sha256::digest(&verified.raw)),
            pointers: Pointers::find(&verified.body),
            at: now,
        };
        let expires = now.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
        let is_new = self.ledger.record_delivery(&delivery, expires).await.map_err(|error| {
            tracing::error!(%error, delivery = delivery.id, "a delivery could not be recorded");
            Problem::unavailable("The delivery could not be recorded; redeliver it.", 10)
        })?;
        metrics::delivered(Some(&delivery.kind), if is_new { Verdict::Accepted } else { Verdict::Duplicate });
        tracing::info!(delivery = delivery.id, kind = delivery.kind, duplicate = !is_new, "a webhook was delivered");
        let answer = Received { delivery: delivery.id, duplicate: !is_new };
        Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
    }
}
