//! The keys of all items, the names of their attributes, and the indexes. Nothing else in the adapter spells one.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use signoff_core::names::{Login, Organization, PrincipalName, RequestId, StackName};
use ulid::Ulid;

/// Partition key of the table.
pub const PK: &str = "pk";
/// Sort key of the table.
pub const SK: &str = "sk";

/// `STATE`: the version, the number of events that made it.
pub const VERSION: &str = "v";
/// `STATE`: the status, as JSON.
pub const STATUS: &str = "status";
/// `STATE`: the hash of the last event.
pub const HEAD: &str = "head";
/// `STATE`: the organization; partition key of [`BY_ORGANIZATION`].
pub const ORGANIZATION: &str = "org";
/// `STATE`: the request's id; sort key of [`BY_ORGANIZATION`].
pub const ID: &str = "id";
/// `STATE`: the worker that has to act next (`apply`, `deploy`); absent when none does. The stream is filtered by it.
pub const WAKE: &str = "wake";

/// `EVT#<n>`: the sealed event, as JSON.
pub const EVENT: &str = "event";
/// `EVT#<n>`: organization and UTC day; partition key of [`BY_DAY`].
pub const DAY: &str = "day";
/// `EVT#<n>`: time and id of the event; sort key of [`BY_DAY`].
pub const AT: &str = "at";

/// `WORK`: one of [`SHARDS`]; `NOTICE#<n>`: [`NOTICES`]; partition key of [`DUE_INDEX`]; absent once the request is over, or the notice was sent.
pub const SHARD: &str = "shard";
/// `WORK`, `NOTICE#<n>`: when the next look, or the notice, is due, in milliseconds; sort key of [`DUE_INDEX`]; absent with [`SHARD`].
pub const DUE: &str = "due";
/// `WORK`: who holds the lease. `LOCK`: which request holds the lock.
pub const HOLDER: &str = "holder";
/// `WORK`: until when the lease holds, in milliseconds. `NOTICE#<n>`: until when it is being sent; absent when it is not.
pub const LEASE_UNTIL: &str = "lease_until";
/// `WORK`: somebody asked for another look while the lease was held.
pub const AGAIN: &str = "again";
/// `WORK`: a cancellation is recorded; no intent is from then on.
pub const ENDING: &str = "ending";
/// `WORK`: since when rings are counted, in milliseconds.
pub const RINGS_SINCE: &str = "rings_since";
/// `WORK`: how many rings there were since.
pub const RINGS: &str = "rings";
/// `WORK`: the intent without an outcome, as JSON.
pub const INTENT: &str = "intent";
/// `WORK`: the note, as JSON. `NOTICE#<n>`: how far it has come, as JSON; absent before the first try.
pub const NOTE: &str = "note";

/// `RING`: the worker that is to look. The stream is filtered by it.
pub const FOR: &str = "for";
/// `RING`: why (`due`, `ring`).
pub const CAUSE: &str = "cause";
/// `RING`: the webhook delivery that rang; absent if none did.
pub const HOOK: &str = "hook";
/// `RING`: a fresh ULID each time, since a write that changes nothing makes no stream record.
pub const RING: &str = "ring";

/// `HOOK`: the delivery, as JSON. The stream is filtered by it.
pub const DELIVERY: &str = "delivery";
/// Whatever goes by itself: from when on, in seconds since 1970. The table's TTL attribute.
pub const EXPIRES: &str = "expires";

/// `LINE`: the place that the next request gets.
pub const NEXT: &str = "next";
/// `LINE`: the open requests, a list of JSON texts. `LOCK`: the requests that wait for it, a set.
pub const WAITING: &str = "waiting";
/// `LINE`: the request that has the turn.
pub const TURN: &str = "turn";
/// `LINE`: the commit that the last push asked for; absent if none did.
pub const PUSHED: &str = "pushed";
/// `LINE`: there if a push was heard of before any asked for something.
pub const HEARD: &str = "heard";
/// `LINE`: the place of the last update that was deployed; absent where the gate does not keep to the order.
pub const DEPLOYED: &str = "deployed";
/// `LINE`: how often requests came and left.
pub const REVISION: &str = "rev";

/// `IDEM` and `CR`: the request.
pub const REQUEST: &str = "request";
/// `IDEM`: the SHA-256 of the body that came with the key.
pub const BODY: &str = "body";
/// `IDEM` and `ONCE`: until when it holds, in milliseconds.
pub const UNTIL: &str = "until";
/// `GATES`: the configuration, as JSON.
pub const GATES: &str = "gates";

/// The index of requests by organization; keys only.
pub const BY_ORGANIZATION: &str = "by-organization";
/// The index of events by organization and day; keys only.
pub const BY_DAY: &str = "by-day";
/// The sparse index of open requests by when their next look is due; keys only.
pub const DUE_INDEX: &str = "due";
/// The partitions of [`DUE_INDEX`].
pub const SHARDS: [&str; 4] = ["0", "1", "2", "3"];

/// The partition of [`DUE_INDEX`] that notices are in.
pub const NOTICES: &str = "notices";

/// What the sort keys of events begin with.
pub const EVENTS: &str = "EVT#";
/// What the sort keys of notices begin with.
pub const NOTICE: &str = "NOTICE#";
const REQUESTS: &str = "REQ#";

/// Longest part of a key that comes from outside, in bytes; longer ones are hashed.
const MAX_OUTSIDE: usize = 128;
const HASHED: &str = "sha256-";

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its partition.
    pub pk: String,
    /// Its place there.
    pub sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// What is known of a request.
    pub fn state(id: RequestId) -> Self {
        Self::new(request(id), "STATE")
    }

    /// A request's event of this number.
    pub fn event(id: RequestId, sequence: u64) -> Self {
        Self::new(request(id), format!("{EVENTS}{sequence:010}"))
    }

    /// The bookkeeping of a request's work.
    pub fn work(id: RequestId) -> Self {
        Self::new(request(id), "WORK")
    }

    /// A request's bell.
    pub fn ring(id: RequestId) -> Self {
        Self::new(request(id), "RING")
    }

    /// The notice of a request's event of this number.
    pub fn notice(id: RequestId, sequence: u64) -> Self {
        Self::new(request(id), format!("{NOTICE}{sequence:010}"))
    }

    /// A webhook delivery, by [`outside`] of its id.
    pub fn hook(delivery: &str) -> Self {
        Self::new(format!("HOOK#{}", outside(delivery)), "HOOK")
    }

    /// A stack's line.
    pub fn line(stack: &StackName) -> Self {
        Self::new(format!("STACK#{stack}"), "LINE")
    }

    /// The lock under which open requests are created as a principal.
    pub fn lock(organization: &Organization, principal: &PrincipalName) -> Self {
        Self::new(format!("PRINCIPAL#{organization}#{principal}"), "LOCK")
    }

    /// A caller's idempotency key.
    pub fn idempotency(caller: &Login, key: &str) -> Self {
        Self::new(format!("IDEM#{}#{}", caller.folded(), hex::encode(Sha256::digest(key))), "IDEM")
    }

    /// The gates.
    pub fn gates() -> Self {
        Self::new("CONFIG", "GATES")
    }

    /// Something that is done by one at a time.
    pub fn once(what: &str) -> Self {
        Self::new(format!("ONCE#{}", outside(what)), "ONCE")
    }

    /// Which request a change request belongs to.
    pub fn change_request(organization: &Organization, id: &str) -> Self {
        Self::new(format!("CR#{organization}#{}", outside(id)), "CR")
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pk, self.sk)
    }
}

/// The partition of a request.
pub fn request(id: RequestId) -> String {
    format!("{REQUESTS}{id}")
}

/// The request whose partition this is.
pub fn request_of(pk: &str) -> Option<RequestId> {
    pk.strip_prefix(REQUESTS)?.parse().ok()
}

/// The number of the event whose sort key this is.
pub fn sequence_of(sk: &str) -> Option<u64> {
    sk.strip_prefix(EVENTS)?.parse().ok()
}

/// The number of the event whose notice has this sort key.
pub fn notice_of(sk: &str) -> Option<u64> {
    sk.strip_prefix(NOTICE)?.parse().ok()
}

/// The partition of the due index that a request is in.
pub fn shard(id: RequestId) -> &'static str {
    // The last bits of a ULID are random, so that they spread evenly without hashing.
    SHARDS[usize::from(id.ulid().to_bytes()[15]) % SHARDS.len()]
}

/// The partition of the day index that the events of this day are in.
pub fn day(organization: &str, day: &str) -> String {
    format!("{organization}#{day}")
}

/// An event's place in its day: its time to the millisecond, and its id.
pub fn place(at: Timestamp, event: Ulid) -> String {
    format!("{at:.3}#{event}")
}

/// An id from outside as it is used in keys: itself if it is short and plain, else its hash.
pub fn outside(id: &str) -> String {
    let plain = (1..=MAX_OUTSIDE).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
        && !id.starts_with(HASHED);
    if plain { id.to_owned() } else { format!("{HASHED}{}", hex::encode(Sha256::digest(id))) }
}
