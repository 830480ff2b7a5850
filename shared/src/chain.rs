//! The audit trail of a request: its events as CloudEvents, each sealed to the one before by its hash.
//!
//! `hash` is the SHA-256 of the event in canonical form (RFC 8785) without `hash` itself; `prevhash` is the hash of the one before, all
//! zeros for the first. The hash of the last event is kept with the request's status, so that a tail that was cut off shows too.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::event::{Actor, Entry, Event};
use crate::names::RequestId;
use crate::request::{Request, State};
use crate::transition::{self, Illegal};

/// The `prevhash` of a first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A time before the first event that any signoff recorded.
pub const DAWN: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The UTC day of an event of this time: the trail is read by days.
pub fn day_of(time: Timestamp) -> Date {
    Offset::UTC.to_datetime(time).date()
}

/// Where the evidence names the webhook delivery that made signoff look.
const DELIVERY: &str = "webhookDelivery";

/// One event of the trail as it is stored, exported and hashed: CloudEvents 1.0 in JSON, with the extensions `sequence`, `prevhash` and `hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Always `1.0`.
    pub specversion: String,
    /// The event's id, a ULID.
    pub id: Ulid,
    /// `signoff/` and the organization.
    pub source: String,
    /// `signoff.request.` and what happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request.
    pub subject: RequestId,
    /// When it was recorded.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Its place in the request's trail, from 1, ten digits.
    pub sequence: String,
    /// The hash of the event before.
    pub prevhash: String,
    /// What happened: from, to, actor, evidence.
    pub data: Data,
    /// The hash of this event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// The `data` of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The state before, null in the first event; only in events that change it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub from: Option<Option<State>>,
    /// The state after; only in events that change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<State>,
    /// Who caused it.
    pub actor: Actor,
    /// What it rests on.
    pub evidence: Value,
}

/// A field that is there, be it null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<State>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A step that can be recorded: the event with its place in the chain, and the request as it makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The event to append.
    pub sealed: Sealed,
    /// The request after it.
    pub request: Request,
    /// Whether somebody is told of it: a notice becomes due in the same transaction.
    pub is_told: bool,
}

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is no event at all.
    #[error("the trail is empty")]
    Empty,
    /// An event is missing, doubled or out of its place.
    #[error("event {found} stands where event {expected} belongs")]
    Order {
        /// The sequence number that belongs here.
        expected: u64,
        /// The one that is here.
        found: String,
    },
    /// An event's own hash is not that of its content.
    #[error("event {sequence} was edited: its hash is not that of its content")]
    Edited {
        /// The event.
        sequence: u64,
    },
    /// An event does not continue the one before.
    #[error("event {sequence} does not continue the one before it")]
    Unlinked {
        /// The event.
        sequence: u64,
    },
    /// An event is of another request.
    #[error("event {sequence} belongs to {subject}")]
    Foreign {
        /// The event.
        sequence: u64,
        /// Whose it says that it is.
        subject: RequestId,
    },
    /// An event is of no known type, or its evidence or states are not those of its type.
    #[error("event {sequence} makes no sense: {why}")]
    Senseless {
        /// The event.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// The trail does not end where the request's state says.
    #[error(
        "the trail ends with event {sequence}, but the request's state is of event {expected} or another content: events were cut off or rewritten"
    )]
    Cut {
        /// The last event there is.
        sequence: u64,
        /// How many there should be.
        expected: u64,
    },
}

/// Seals `entry` to the end of a request's trail; `before` is `None` for the first event.
///
/// # Errors
/// [`Illegal`] if the event can't happen in the request's state.
pub fn seal(before: Option<&Request>, entry: &Entry) -> Result<Step, Illegal> {
    seal_rung(before, entry, None)
}

/// Seals an entry whose look a webhook rang for: the evidence names the delivery, though nothing rests on what it said.
///
/// # Errors
/// As [`seal`].
pub fn seal_rung(before: Option<&Request>, entry: &Entry, delivery: Option<&str>) -> Result<Step, Illegal> {
    let state = before.map(|request| request.status.state);
    let status = transition::apply(before.map(|request| &request.status), &entry.event, &entry.actor, entry.at)?;
    let illegal = || Illegal { state, event: entry.event.word() };
    let ask = match (&entry.event, before) {
        (Event::Requested(ask), None) => (**ask).clone(),
        (_, Some(request)) => request.ask.clone(),
        (_, None) => return Err(illegal()),
    };
    let changes = state != Some(status.state);
    let mut evidence = entry.event.evidence().map_err(|_| illegal())?;
    if let (Some(delivery), Value::Object(fields)) = (delivery, &mut evidence) {
        fields.insert(DELIVERY.to_owned(), delivery.into());
    }
    let mut sealed = Sealed {
        specversion: "1.0".to_owned(),
        id: entry.id,
        source: format!("signoff/{}", ask.stack.organization),
        kind: entry.event.type_name(),
        subject: ask.id,
        time: entry.at,
        datacontenttype: "application/json".to_owned(),
        sequence: format!("{:010}", status.sequence),
        prevhash: before.map_or(GENESIS, |request| &request.head).to_owned(),
        data: Data {
            from: changes.then_some(state),
            to: changes.then_some(status.state),
            actor: entry.actor.clone(),
            evidence,
        },
        hash: String::new(),
    };
    let head = hash(&sealed).map_err(|_| illegal())?;
    sealed.hash.clone_from(&head);
    Ok(Step { sealed, request: Request { ask, status, head }, is_told: false })
}

/// The SHA-256, in lower-case hexadecimal, of an event's canonical form without its `hash`.
///
/// # Errors
/// If the event can't be written as JSON.
pub fn hash(event: &Sealed) -> serde_json::Result<String> {
    let bare = Sealed { hash: String::new(), ..event.clone() };
    Ok(hex::encode(Sha256::digest(serde_json_canonicalizer::to_vec(&bare)?)))
}

/// Checks a request's whole trail and makes the request of it anew: recovery is replay.
///
/// # Errors
/// The first thing that is wrong.
pub fn replay(events: &[Sealed]) -> Result<Request, Broken> {
    let mut request: Option<Request> = None;
    for (expected, event) in (1u64..).zip(events) {
        let next = replay_one(request.as_ref(), event, expected)?;
        request = Some(next);
    }
    request.ok_or(Broken::Empty)
}

/// Checks that a trail is whole and ends where the request's stored state says that it does.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(events: &[Sealed], sequence: u64, head: &str) -> Result<Request, Broken> {
    let request = replay(events)?;
    if request.status.sequence == sequence && request.head == head {
        Ok(request)
    } else {
        Err(Broken::Cut { sequence: request.status.sequence, expected: sequence })
    }
}

/// Checks one event against all before it, and gives the request after it. For whoever reads a trail as a stream.
///
/// # Errors
/// What is wrong with it.
pub fn replay_one(before: Option<&Request>, event: &Sealed, expected: u64) -> Result<Request, Broken> {
    let sequence = expected;
    if event.sequence != format!("{expected:010}") {
        return Err(Broken::Order { expected, found: event.sequence.clone() });
    }
    if hash(event).ok().as_deref() != Some(event.hash.as_str()) {
        return Err(Broken::Edited { sequence });
    }
    if event.prevhash != before.map_or(GENESIS, |request| &request.head) {
        return Err(Broken::Unlinked { sequence });
    }
    if before.is_some_and(|request| request.ask.id != event.subject) {
        return Err(Broken::Foreign { sequence, subject: event.subject });
    }
    let parsed = Event::parse(&event.kind, event.data.evidence.clone())
        .map_err(|error| Broken::Senseless { sequence, why: error.to_string() })?;
    let entry = Entry { id: event.id, at: event.time, actor: event.data.actor.clone(), event: parsed };
    let delivery = event.data.evidence.get(DELIVERY).and_then(Value::as_str);
    let step = seal_rung(before, &entry, delivery)
        .map_err(|illegal| Broken::Senseless { sequence, why: illegal.to_string() })?;
    if step.sealed != *event {
        return Err(Broken::Senseless {
            sequence,
            why: "its states or its source are not those of its type".to_owned(),
        });
    }
    Ok(step.request)
}

#[cfg(test)]
mod tests;
