//! GitHub's webhooks: which branch to look at. What a delivery says of the branch counts for nothing.

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};
use signoff_core::branches;
use signoff_core::doorbell::{Delivery, Pointers};
use signoff_core::host::Host;

use super::verified::{self, Refused, WebhookSecrets};

const SIGNATURE: &str = "x-hub-signature-256";
const ID: &str = "x-github-delivery";
const EVENT: &str = "x-github-event";
/// What the signature's header begins with.
const SCHEME: &[u8] = b"sha256=";

/// For how long a body is a repeat of the same one, at most, in seconds.
const REMEMBERED_SECONDS: i64 = 600;

/// A delivery that GitHub signed.
pub(super) struct Pushed {
    /// GitHub's id of the delivery.
    pub(super) id: String,
    event: String,
    raw: Bytes,
    body: Value,
}

impl Pushed {
    /// The delivery, if it is signed; only then is anything else of it looked at.
    pub(super) fn from(secrets: &WebhookSecrets, headers: &HeaderMap, raw: Bytes) -> Result<Self, Refused> {
        let signature = signature(headers).ok_or(Refused::Unsigned)?;
        if !secrets.signed(&raw, &signature) {
            return Err(Refused::Unsigned);
        }
        let id = verified::name(headers, ID).ok_or(Refused::UnnamedByGitHub)?;
        let event = verified::name(headers, EVENT).ok_or(Refused::UnnamedByGitHub)?;
        let body = serde_json::from_slice(&raw).map_err(|_| Refused::NotJsonByGitHub)?;
        Ok(Self { id, event, raw, body })
    }

    /// What is recorded of it. It is remembered by its body and not by its id, which is not signed: one that was captured and is sent again under fresh
    /// ids is a repeat of the first; and not for long, so that somebody who mended something can have GitHub deliver it again. No delivery of Pulumi Cloud's can be taken for it, since no header's id has a space.
    pub(super) fn delivery(&self, host: &impl Host) -> Delivery {
        let body = hex::encode(Sha256::digest(&self.raw));
        let at = host.now();
        let span = at.as_second().div_euclid(REMEMBERED_SECONDS);
        let branches = branches::pointer(&self.event, &self.body).into_iter().collect();
        Delivery {
            id: format!("github {body} {span}"),
            kind: format!("{}{}", branches::FROM_GITHUB, self.event),
            body,
            pointers: Pointers { branches, ..Pointers::default() },
            at,
        }
    }
}

/// Whether there is a signature that a secret could have made.
pub(super) fn has_signature(headers: &HeaderMap) -> bool {
    signature(headers).is_some()
}

/// The signature: `sha256=` and 64 hexadecimal digits in lower case, in one header.
fn signature(headers: &HeaderMap) -> Option<[u8; 32]> {
    verified::digits(verified::only(headers, SIGNATURE)?.strip_prefix(SCHEME)?)
}
