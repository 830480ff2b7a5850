//! The door for Pulumi Cloud's webhooks: checks who rings, notes that they did, and does nothing else.

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

pub use verified::{Refused, Verified, WebhookSecrets};

use crate::api::{Edge, MAX_BODY, Problem, edge};

/// For how long a delivery is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the door works with.
#[derive(Debug)]
pub struct Receive<L, H> {
    /// What is remembered.
    pub ledger: Arc<L>,
    /// The webhook's shared secrets.
    pub secrets: WebhookSecrets,
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
pub fn router<L, H>(receive: Receive<L, H>) -> Router
where
    L: Ledger + 'static,
    H: Host + 'static,
{
    let edge_of = Edge { host: Arc::clone(&receive.host) };
    let take = async |State(on): State<Arc<Receive<L, H>>>, headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
        let delivery = Verified::from(&on.secrets, &headers, body?)?;
        on.take(delivery).await
    };
    Router::new()
        .route("/webhooks/pulumi", post(take).fallback(async || Problem::method_not_allowed()))
        .with_state(Arc::new(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(edge_of, edge::<H>))
}

impl<L: Ledger, H: Host> Receive<L, H> {
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
        tracing::info!(delivery = delivery.id, kind = delivery.kind, duplicate = !is_new, "a webhook was delivered");
        let answer = Received { delivery: delivery.id, duplicate: !is_new };
        Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
    }
}
