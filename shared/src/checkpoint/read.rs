//! Reading checkpoints: are they whole and signed, and is a trail the one that they saw?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use super::{Checkpoint, GENESIS, Head, TYPE};
use crate::chain::Sealed;
use crate::names::{Organization, RequestId};

/// An event this much older than what checkpoints have looked through has to be in one of them. More than [`super::LATE`], and the time between two reviews.
const SETTLED: SignedDuration = SignedDuration::from_mins(10);

/// What a file of checkpoints holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Those that the key signed, in the order of the file.
    pub checkpoints: Vec<Checkpoint>,
    /// What is wrong with the file.
    pub faults: Vec<Fault>,
    /// Lines that are no checkpoint: writes that were cut short. They say nothing, and hide nothing: a checkpoint that is missing is a fault.
    pub torn: Vec<usize>,
}

/// Something that is wrong with a file of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What.
    pub flaw: Flaw,
}

/// What can be wrong with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Another key signed it.
    #[error("checkpoint {number} is signed by another key: {key}")]
    ForeignKey {
        /// The checkpoint.
        number: u64,
        /// The key that it names.
        key: String,
    },
    /// Its signature is not one of its content.
    #[error("checkpoint {number} was edited: its signature does not fit its content")]
    Forged {
        /// The checkpoint.
        number: u64,
    },
    /// Some before it are missing, or it is doubled or out of its place.
    #[error("checkpoint {found} stands where checkpoint {expected} belongs")]
    Order {
        /// The number that belongs here.
        expected: u64,
        /// The one that is here.
        found: u64,
    },
    /// It does not continue the one before.
    #[error("checkpoint {number} does not continue the one before it")]
    Unlinked {
        /// The checkpoint.
        number: u64,
    },
}

/// Where a chain of checkpoints stands; the hash is not known after one that nobody can trust.
struct Standing {
    next: u64,
    hash: Option<String>,
}

/// Checks checkpoints as they are kept, one on each line. `key` is the name of the key that has to have signed them, and `is_signed` tells whether it made a
/// signature (in hexadecimal) over a message.
pub fn inspect(text: &str, key: &str, is_signed: impl Fn(&[u8], &str) -> bool) -> Inspection {
    let mut inspection = Inspection::default();
    let mut chains: HashMap<Ulid, Standing> = HashMap::new();
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim().is_empty() {
            continue;
        }
        let Ok(checkpoint) = serde_json::from_str::<Checkpoint>(content) else {
            inspection.torn.push(line);
            continue;
        };
        let number = checkpoint.number;
        let mut flaws = Vec::new();
        let message = checkpoint.message().unwrap_or_default();
        let is_authentic = if checkpoint.key != key {
            flaws.push(Flaw::ForeignKey { number, key: checkpoint.key.clone() });
            false
        } else if checkpoint.kind != TYPE || !is_signed(&message, &checkpoint.signature) {
            flaws.push(Flaw::Forged { number });
            false
        } else {
            true
        };
        let first = Standing { next: 1, hash: Some(GENESIS.to_owned()) };
        let standing = chains.entry(checkpoint.chain).or_insert(first);
        let is_again = is_authentic && number + 1 == standing.next && standing.hash == checkpoint.hash().ok();
        if is_again {
            // Kept once more, since nobody could tell whether it was.
            continue;
        }
        if number != standing.next {
            flaws.push(Flaw::Order { expected: standing.next, found: number });
        } else if is_authentic && standing.hash.as_ref().is_some_and(|hash| *hash != checkpoint.previous) {
            flaws.push(Flaw::Unlinked { number });
        }
        // What nobody can trust does not say where the chain goes on, but it stands where one is missing.
        *standing = match is_authentic {
            true => Standing { next: number + 1, hash: checkpoint.hash().ok() },
            false => Standing { next: standing.next + 1, hash: None },
        };
        inspection.faults.extend(flaws.into_iter().map(|flaw| Fault { line, flaw }));
        if is_authentic {
            inspection.checkpoints.push(checkpoint);
        }
    }
    inspection
}

/// Which events a trail is meant to hold: those from `since` on and before `until`. Without bounds: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first time.
    pub since: Option<Timestamp>,
    /// The time after the last.
    pub until: Option<Timestamp>,
}

impl Span {
    fn holds(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}

/// What checkpoints saw.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    heads: BTreeMap<RequestId, BTreeMap<u64, Seen>>,
    /// Until when each organization was looked through.
    covered: BTreeMap<Organization, Timestamp>,
    rewritten: BTreeMap<RequestId, Disagreement>,
}

/// An event as a checkpoint saw it.
#[derive(Debug, Clone)]
struct Seen {
    head: Head,
    number: u64,
    at: Timestamp,
}

/// What came of comparing a trail with checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// The first thing that is wrong with a request, by request.
    pub disagreements: BTreeMap<RequestId, Disagreement>,
    /// How many events are those that checkpoints saw.
    pub vouched: usize,
    /// How many are too new to be in a checkpoint.
    pub newer: usize,
    /// Organizations that checkpoints speak of, and the trail does not.
    pub elsewhere: BTreeSet<Organization>,
}

/// How a request's trail is not the one that checkpoints saw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// An event is another one.
    #[error(
        "event {sequence} is not the one that checkpoint {number} of {at} saw: the trail was rewritten from there on"
    )]
    Rewritten {
        /// The event.
        sequence: u64,
        /// The checkpoint.
        number: u64,
        /// Its time.
        at: Timestamp,
    },
    /// An event is gone.
    #[error(
        "event {sequence} of {time} is missing, which checkpoint {number} saw; checkpoints know of {last} events at least"
    )]
    Missing {
        /// The first event that is missing.
        sequence: u64,
        /// Its time.
        time: Timestamp,
        /// The checkpoint.
        number: u64,
        /// The last event that a checkpoint saw.
        last: u64,
    },
    /// There is no event of the request at all.
    #[error("the whole request is missing: checkpoint {number} saw its event {sequence} of {time}")]
    Gone {
        /// The first event that should be there.
        sequence: u64,
        /// Its time.
        time: Timestamp,
        /// The checkpoint.
        number: u64,
    },
    /// There is an event that no checkpoint saw.
    #[error(
        "event {sequence} says that it is of {time}, but no checkpoint saw it, and they go through {through}: it was inserted"
    )]
    Inserted {
        /// The event.
        sequence: u64,
        /// Its time.
        time: Timestamp,
        /// Until when checkpoints have looked.
        through: Timestamp,
    },
    /// Checkpoints themselves saw it change.
    #[error("event {sequence} was rewritten in the ledger between checkpoint {number} and checkpoint {later}")]
    Changed {
        /// The event.
        sequence: u64,
        /// The checkpoint that saw it first.
        number: u64,
        /// The one that saw another.
        later: u64,
    },
}

impl Witness {
    /// What these checkpoints saw; they have to be authentic.
    pub fn new(checkpoints: &[Checkpoint]) -> Self {
        let mut witness = Self::default();
        for checkpoint in checkpoints {
            for organization in &checkpoint.organizations {
                // The last one counts: a clock that was ahead once says nothing of what came after.
                witness.covered.insert(organization.clone(), checkpoint.through);
            }
            for head in &checkpoint.heads {
                let number = checkpoint.number;
                let seen = Seen { head: head.clone(), number, at: checkpoint.time };
                let events = witness.heads.entry(head.request).or_default();
                let first = events.entry(head.sequence).or_insert(seen);
                if first.head.hash != head.hash {
                    let (sequence, before) = (head.sequence, first.number);
                    let changed = Disagreement::Changed { sequence, number: before, later: number };
                    witness.rewritten.entry(head.request).or_insert(changed);
                }
            }
        }
        witness
    }

    /// Compares the events of a trail, in any order, which are meant to be all those of the span.
    pub fn compare<'a>(&self, trail: impl Iterator<Item = &'a Sealed>, span: Span) -> Comparison {
        let mut comparison = Comparison::default();
        let mut organizations = BTreeSet::new();
        let mut found: BTreeMap<RequestId, BTreeMap<u64, Head>> = BTreeMap::new();
        for head in trail.filter_map(Head::of) {
            organizations.insert(head.organization.clone());
            found.entry(head.request).or_default().insert(head.sequence, head);
        }
        comparison.elsewhere = self.covered.keys().filter(|one| !organizations.contains(one)).cloned().collect();
        let none = BTreeMap::new();
        for (request, seen) in &self.heads {
            let events = found.get(request).unwrap_or(&none);
            // An export is of one organization.
            if seen.values().all(|one| organizations.contains(&one.head.organization))
                && let Some(disagreement) = self.missing_or_rewritten(*request, seen, events, span)
            {
                comparison.disagreements.insert(*request, disagreement);
            }
        }
        for (request, events) in &found {
            let last = self.heads.get(request).and_then(|seen| seen.keys().next_back().copied()).unwrap_or_default();
            for (sequence, head) in events {
                // An event before one that was seen is vouched for by that one's hash.
                if *sequence <= last {
                    comparison.vouched += 1;
                    continue;
                }
                let through = self.covered.get(&head.organization).copied().unwrap_or(Timestamp::MIN);
                let settled = through.saturating_sub(SETTLED).unwrap_or(Timestamp::MIN);
                if head.time < settled {
                    let inserted = Disagreement::Inserted { sequence: *sequence, time: head.time, through };
                    comparison.disagreements.entry(*request).or_insert(inserted);
                } else {
                    comparison.newer += 1;
                }
            }
        }
        comparison
    }

    fn missing_or_rewritten(
        &self,
        request: RequestId,
        seen: &BTreeMap<u64, Seen>,
        events: &BTreeMap<u64, Head>,
        span: Span,
    ) -> Option<Disagreement> {
        if let Some(changed) = self.rewritten.get(&request) {
            return Some(changed.clone());
        }
        let last = seen.keys().next_back().copied()?;
        seen.iter().find_map(|(sequence, one)| {
            let (sequence, number, time) = (*sequence, one.number, one.head.time);
            match events.get(&sequence) {
                Some(event) if event.hash == one.head.hash => None,
                Some(_) => Some(Disagreement::Rewritten { sequence, number, at: one.at }),
                None if !span.holds(time) => None,
                None if events.is_empty() => Some(Disagreement::Gone { sequence, time, number }),
                None => Some(Disagreement::Missing { sequence, time, number, last }),
            }
        })
    }
}
