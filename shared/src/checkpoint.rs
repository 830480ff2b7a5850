//! Checkpoints of the audit trail: which events there were, signed, and kept where whoever can change the ledger has nothing to say.
//!
//! A request's trail is a hash chain, so a single event can't be changed. But who rewrites a trail from some event on and computes the hashes anew,
//! or takes a request away as a whole, leaves nothing in the ledger that shows it. A checkpoint names the events that appeared since the one
//! before, with their hashes; checkpoints are a chain of their own.
//!
//! [`Checkpointer`] writes them, a sweep at a time, [`inspect`] checks what was written, and [`Witness`] compares a trail with it.

mod read;
mod write;

use std::future::Future;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::chain::Sealed;
use crate::ledger::Reply;
use crate::names::{Organization, RequestId};

pub use read::{Comparison, Disagreement, Fault, Flaw, Inspection, Span, Witness, inspect};
pub use write::{Checkpointer, LATE, MAX_HEADS, Resume, Unkept};

/// What stands in `type`, so that what is signed can't be taken for anything else.
pub const TYPE: &str = "signoff.checkpoint.v1";
/// The `previous` of a first checkpoint.
pub const GENESIS: &str = crate::chain::GENESIS;
/// The longest until the next checkpoint: one without events says that signoff was there.
pub const ALIVE_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// A checkpoint as it is signed and kept: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Always [`TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The chain that it belongs to, a ULID that was drawn for its first.
    pub chain: Ulid,
    /// Its place in the chain, from 1.
    pub number: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Until when the events of `organizations` were looked through.
    pub through: Timestamp,
    /// Of whom every event up to `through` is in this checkpoint or in one before it, but for what came late.
    pub organizations: Vec<Organization>,
    /// The SHA-256 of the checkpoint before, all zeros in the first.
    pub previous: String,
    /// The events that appeared.
    pub heads: Vec<Head>,
    /// Which key signed it.
    pub key: String,
    /// The signature over the canonical form (RFC 8785) without this field, in hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
}

/// An event as a checkpoint names it: the head of its request's chain when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose event.
    pub organization: Organization,
    /// The request.
    pub request: RequestId,
    /// The event's place in the request's trail, from 1.
    pub sequence: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// What a checkpoint says of this event; `None` if its number or source is not one.
    pub fn of(event: &Sealed) -> Option<Self> {
        let organization = event.source.strip_prefix("signoff/")?.to_owned().try_into().ok()?;
        let sequence = event.sequence.parse().ok()?;
        Some(Self { organization, request: event.subject, sequence, time: event.time, hash: event.hash.clone() })
    }
}

impl Checkpoint {
    /// What is signed: the canonical form without the signature.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn message(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(&Self { signature: String::new(), ..self.clone() })
    }

    /// Its SHA-256, by which the next one names it, in lower-case hexadecimal.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn hash(&self) -> serde_json::Result<String> {
        Ok(hex::encode(Sha256::digest(self.message()?)))
    }
}

/// What signs checkpoints, and keeps them.
pub trait Notary: Send + Sync {
    /// The name of the key that signs.
    fn key(&self) -> &str;

    /// Signs a message; the signature in hexadecimal.
    fn sign(&self, message: &[u8]) -> impl Future<Output = Result<String, Unkept>> + Send;

    /// Keeps a signed checkpoint. After an error the very same one comes again, as it may have been kept; twice in a row does no harm.
    fn keep(&self, checkpoint: &Checkpoint) -> impl Future<Output = Result<(), Unkept>> + Send;
}

/// What checkpoints ask of the ledger.
pub trait Days: Send + Sync {
    /// Whose stacks are gated now?
    fn organizations(&self) -> impl Reply<Vec<Organization>>;

    /// An organization's events of one UTC day (`2026-11-23`), in the order of their times and ids, after a place in it, `limit` at most. Eventually consistent.
    fn after(
        &self,
        organization: &Organization,
        day: &str,
        place: Option<&Place>,
        limit: usize,
    ) -> impl Reply<Vec<Sealed>>;
}

/// A place among the events of a day. There need not be an event at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The event's time.
    pub at: Timestamp,
    /// The event's id.
    pub event: Ulid,
    /// The request.
    pub request: RequestId,
    /// The event's place in its trail.
    pub sequence: u64,
}

impl Place {
    /// The place before everything that happened at this time or later.
    pub fn before(at: Timestamp) -> Self {
        Self { at, event: Ulid::nil(), request: RequestId::new(Ulid::nil()), sequence: 1 }
    }

    /// The place of this event.
    pub fn of(event: &Sealed) -> Self {
        let sequence = event.sequence.parse().unwrap_or_default();
        Self { at: event.time, event: event.id, request: event.subject, sequence }
    }
}

#[cfg(test)]
mod tests;
