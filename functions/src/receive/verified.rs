//! A delivery that Pulumi Cloud signed, as a type: there is no other way to get one than through the signature.

use axum::body::Bytes;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::api::Problem;
use crate::secrets::Secret;

const SIGNATURE: &str = "pulumi-webhook-signature";
const ID: &str = "pulumi-webhook-id";
const KIND: &str = "pulumi-webhook-kind";

/// The longest delivery id and kind, in characters.
const MAX_NAME: usize = 200;

/// The webhook's shared secrets.
#[derive(Debug, Clone)]
pub struct WebhookSecrets {
    /// The one in use.
    pub current: Secret,
    /// The one before, while it is being rotated.
    pub previous: Option<Secret>,
}

impl WebhookSecrets {
    /// Whether one of them signed this body. Takes as long for every signature that is wrong.
    pub(super) fn signed(&self, body: &[u8], signature: &[u8; 32]) -> bool {
        let by = |secret: &Secret| {
            Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).is_ok_and(|mut mac| {
                mac.update(body);
                mac.verify_slice(signature).is_ok()
            })
        };
        let by_previous = self.previous.as_ref().is_some_and(by);
        by(&self.current) | by_previous
    }
}

/// A delivery that Pulumi Cloud signed.
#[derive(Debug)]
pub struct Verified {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) raw: Bytes,
    pub(super) body: Value,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It carries no signature, several, or a wrong one.
    #[error(
        "The delivery is not signed with the webhook's secret; set the same secret here and where the webhook comes from."
    )]
    Unsigned,
    /// It is signed, but its id or kind is not what it should be.
    #[error(
        "A delivery has one Pulumi-Webhook-ID and one Pulumi-Webhook-Kind, of {MAX_NAME} ASCII characters at most."
    )]
    Unnamed,
    /// It is signed, but its body is not JSON.
    #[error("The delivery's body is not JSON in UTF-8; set the webhook's format to the one of Pulumi's own.")]
    NotJson,
    /// GitHub's secret signed it, but its id or event is not what it should be.
    #[error("A delivery has one X-GitHub-Delivery and one X-GitHub-Event, of {MAX_NAME} ASCII characters at most.")]
    UnnamedByGitHub,
    /// GitHub's secret signed it, but its body is not JSON.
    #[error("The delivery's body is not JSON in UTF-8; set the webhook's content type at GitHub to application/json.")]
    NotJsonByGitHub,
}

impl Verified {
    /// The delivery, if it is signed; only then is anything else of it looked at.
    ///
    /// # Errors
    /// [`Refused`], which says what is wrong.
    pub fn from(secrets: &WebhookSecrets, headers: &HeaderMap, raw: Bytes) -> Result<Self, Refused> {
        let signature = signature(headers).ok_or(Refused::Unsigned)?;
        if !secrets.signed(&raw, &signature) {
            return Err(Refused::Unsigned);
        }
        let id = name(headers, ID).ok_or(Refused::Unnamed)?;
        let kind = name(headers, KIND).ok_or(Refused::Unnamed)?;
        let body = serde_json::from_slice(&raw).map_err(|_| Refused::NotJson)?;
        Ok(Self { id, kind, raw, body })
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unsigned => Self::unauthorized(refused.to_string()),
            _ => Self::malformed(refused.to_string()),
        }
    }
}

/// Whether there is a signature that a secret could have made.
pub(super) fn has_signature(headers: &HeaderMap) -> bool {
    signature(headers).is_some()
}

/// The header of this name, if there is exactly one.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// The signature: 64 hexadecimal digits in lower case, in one header.
fn signature(headers: &HeaderMap) -> Option<[u8; 32]> {
    digits(only(headers, SIGNATURE)?)
}

/// 64 hexadecimal digits in lower case.
pub(super) fn digits(digits: &[u8]) -> Option<[u8; 32]> {
    let is_lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    digits.iter().all(is_lower).then(|| hex::decode(digits).ok())??.try_into().ok()
}

pub(super) fn name(headers: &HeaderMap, header: &str) -> Option<String> {
    let text = std::str::from_utf8(only(headers, header)?).ok()?;
    let fits = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}
