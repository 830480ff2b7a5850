//! Writing checkpoints: what appeared since the last one, found in the index of days.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use ulid::Ulid;

use super::{ALIVE_EVERY, Checkpoint, Days, GENESIS, Head, Notary, Place, TYPE};
use crate::chain::{Sealed, day_of};
use crate::host::Host;
use crate::ledger::LedgerError;
use crate::names::{Organization, RequestId};

/// By how much an event may show up later than its time says and is still found: the index is eventually consistent, and clocks differ.
pub const LATE: SignedDuration = SignedDuration::from_mins(5);
/// The most events in one checkpoint.
pub const MAX_HEADS: usize = 1_000;
/// How often the last [`LATE`] are read again. In between only what lies behind the last event that was seen is read.
const REVIEW_EVERY: Duration = Duration::from_secs(60);
/// By how much the clocks of those who record events may be ahead.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How many events are read at once.
const PAGE: usize = 100;
/// How often the ledger is read in one sweep; the next one goes on where this one stopped.
const MAX_READS: usize = 60;
/// How many events may wait to be kept; while it is so many, nothing is read.
const MAX_WAITING: usize = 20_000;

/// Why no checkpoint was kept. The next sweep tries again, and nothing is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// The ledger can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It can't be signed or kept.
    #[error("{0}")]
    Notary(String),
}

/// Where a chain of checkpoints goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// With its first, of the events from this time on.
    New {
        /// The chain's id.
        chain: Ulid,
        /// Before which there is no event.
        since: Timestamp,
    },
    /// After this one.
    After {
        /// The last one that was kept.
        last: Box<Checkpoint>,
        /// What it and those before it say of the last [`LATE`] before its `through`, or more; what is not in here may be kept twice, which does no harm.
        recent: Vec<Head>,
        /// Before which there is no event.
        since: Timestamp,
    },
}

/// Writes checkpoints, and knows how far it has come.
#[derive(Debug)]
pub struct Checkpointer<N> {
    notary: N,
    chain: Ulid,
    number: u64,
    previous: String,
    time: Option<Timestamp>,
    through: Option<Timestamp>,
    since: Timestamp,
    /// Whose events are looked through: who has gates, as of the last review, or had some.
    organizations: BTreeSet<Organization>,
    covered: BTreeSet<Organization>,
    readings: BTreeMap<Organization, Reading>,
    reviewed: Option<Duration>,
    waiting: Vec<Head>,
    signed: Option<Checkpoint>,
}

/// How far the events of one organization were read.
#[derive(Debug)]
struct Reading {
    place: Place,
    /// What was seen lately: the hash of each event, and its time.
    known: HashMap<(RequestId, u64), (Timestamp, String)>,
    is_done: bool,
}

impl<N: Notary> Checkpointer<N> {
    /// Goes on from there.
    ///
    /// # Errors
    /// If the last checkpoint can't be hashed.
    pub fn new(notary: N, resume: Resume) -> Result<Self, Unkept> {
        let mut new = Self {
            notary,
            chain: Ulid::nil(),
            number: 0,
            previous: GENESIS.to_owned(),
            time: None,
            through: None,
            since: Timestamp::MIN,
            organizations: BTreeSet::new(),
            covered: BTreeSet::new(),
            readings: BTreeMap::new(),
            reviewed: None,
            waiting: Vec::new(),
            signed: None,
        };
        match resume {
            Resume::New { chain, since } => (new.chain, new.since) = (chain, since),
            Resume::After { last, recent, since } => {
                new.previous = last.hash().map_err(|error| Unkept::Notary(error.to_string()))?;
                (new.chain, new.number, new.since) = (last.chain, last.number, since);
                (new.time, new.through) = (Some(last.time), Some(last.through));
                for organization in &last.organizations {
                    new.readings.insert(organization.clone(), Reading::from(less(last.through, LATE)));
                }
                new.covered = last.organizations.iter().cloned().collect();
                // Whose last gate was taken away still has requests that end.
                new.organizations = new.covered.clone();
                for head in recent {
                    if let Some(reading) = new.readings.get_mut(&head.organization) {
                        reading.known.insert((head.request, head.sequence), (head.time, head.hash));
                    }
                }
            }
        }
        Ok(new)
    }

    /// Writes what appeared since the last time, if anything did. Gives how many events it kept.
    ///
    /// # Errors
    /// If the ledger can't be read, or a checkpoint not be kept; the next call goes on where this one stopped.
    pub async fn sweep<D: Days, H: Host>(&mut self, days: &D, host: &H) -> Result<usize, Unkept> {
        let mut kept = self.keep_signed().await?;
        let now = host.now();
        let through = self.read(days, host, now).await?;
        let is_quiet_for_long = |time| now.duration_since(time) >= ALIVE_EVERY;
        while !self.waiting.is_empty() || self.time.is_none_or(is_quiet_for_long) {
            let heads: Vec<Head> = self.waiting.iter().take(MAX_HEADS).cloned().collect();
            let is_last = heads.len() == self.waiting.len();
            let mut checkpoint = Checkpoint {
                kind: TYPE.to_owned(),
                chain: self.chain,
                number: self.number + 1,
                time: now,
                // What lies before it has to be kept, so only the last one that is kept now may say it.
                through: if is_last { through } else { self.through.unwrap_or(self.since) },
                organizations: self.covered.iter().cloned().collect(),
                previous: self.previous.clone(),
                heads,
                key: self.notary.key().to_owned(),
                signature: String::new(),
            };
            let message = checkpoint.message().map_err(|error| Unkept::Notary(error.to_string()))?;
            checkpoint.signature = self.notary.sign(&message).await?;
            self.signed = Some(checkpoint);
            kept += self.keep_signed().await?;
        }
        Ok(kept)
    }

    /// Whether the events of everybody who has gates were read to their end, and not only as far as one sweep goes.
    pub fn has_caught_up(&self) -> bool {
        self.organizations.is_subset(&self.covered)
    }

    /// As [`Checkpointer::sweep`], but with what came late as well: for the last one before the process ends.
    ///
    /// # Errors
    /// As [`Checkpointer::sweep`].
    pub async fn finish<D: Days, H: Host>(&mut self, days: &D, host: &H) -> Result<usize, Unkept> {
        self.reviewed = None;
        self.sweep(days, host).await
    }

    /// Keeps the checkpoint that is signed already.
    async fn keep_signed(&mut self) -> Result<usize, Unkept> {
        let Some(checkpoint) = &self.signed else { return Ok(0) };
        self.notary.keep(checkpoint).await?;
        self.previous = checkpoint.hash().map_err(|error| Unkept::Notary(error.to_string()))?;
        (self.number, self.time) = (checkpoint.number, Some(checkpoint.time));
        self.through = Some(checkpoint.through);
        let kept = checkpoint.heads.len();
        self.waiting.drain(..kept);
        self.signed = None;
        Ok(kept)
    }

    /// Reads on in every organization; gives until when all that is covered was looked through.
    async fn read<D: Days, H: Host>(&mut self, days: &D, host: &H, now: Timestamp) -> Result<Timestamp, Unkept> {
        let is_review = self.reviewed.is_none_or(|at| host.uptime().saturating_sub(at) >= REVIEW_EVERY);
        if is_review {
            self.organizations.extend(days.organizations().await?);
            self.reviewed = Some(host.uptime());
        }
        // Where nothing was looked at for long, what came late lies before that.
        let again = less(self.through.map_or(now, |before| before.min(now)), LATE);
        let mut through = now;
        let mut reads = MAX_READS;
        for organization in &self.organizations {
            let reading = self.readings.entry(organization.clone()).or_insert_with(|| Reading::from(self.since));
            if is_review || now < reading.place.at {
                reading.go_back(again);
            }
            let room = MAX_WAITING.saturating_sub(self.waiting.len());
            reading.read(days, organization, now, &mut reads, room, &mut self.waiting).await?;
            if reading.is_done {
                self.covered.insert(organization.clone());
            } else if self.covered.contains(organization) {
                through = through.min(reading.place.at);
            }
        }
        Ok(through)
    }
}

impl Reading {
    fn from(since: Timestamp) -> Self {
        Self { place: Place::before(since), known: HashMap::new(), is_done: false }
    }

    /// Reads from this time on once more, if it is further than that, and forgets what was seen before it.
    fn go_back(&mut self, to: Timestamp) {
        let to = Place::before(to);
        if self.is_done && self.place.at > to.at {
            self.place = to;
        }
        self.known.retain(|_, (time, _)| *time >= self.place.at);
    }

    /// Reads on to the end, or as far as `reads` and `room` go, and adds what was not seen before to `waiting`.
    async fn read<D: Days>(
        &mut self,
        days: &D,
        organization: &Organization,
        now: Timestamp,
        reads: &mut usize,
        room: usize,
        waiting: &mut Vec<Head>,
    ) -> Result<(), LedgerError> {
        self.is_done = false;
        let full = waiting.len() + room;
        let mut day = day_of(self.place.at);
        let last = day_of(now.saturating_add(SKEW).unwrap_or(now)).max(day);
        while *reads > 0 && waiting.len() < full {
            *reads -= 1;
            let place = (day_of(self.place.at) == day).then_some(self.place);
            let events = days.after(organization, &day.to_string(), place.as_ref(), PAGE).await?;
            for event in &events {
                self.place = Place::of(event);
                waiting.extend(self.news(event));
            }
            if events.len() == PAGE {
                continue;
            }
            let Some(next) = day.tomorrow().ok().filter(|next| *next <= last) else {
                self.is_done = true;
                return Ok(());
            };
            day = next;
            // A day that is over is not read again, but for what comes late. One that has not begun is looked into, and waited for.
            if let Ok(begins) = format!("{next}T00:00:00Z").parse::<Timestamp>()
                && begins <= now
            {
                self.place = Place::before(begins);
            }
        }
        Ok(())
    }

    /// The event, if it was not seen before.
    fn news(&mut self, event: &Sealed) -> Option<Head> {
        let Some(head) = Head::of(event) else {
            tracing::error!(request = %event.subject, sequence = event.sequence, "an event makes no sense; no checkpoint has it");
            return None;
        };
        let seen = self.known.insert((head.request, head.sequence), (head.time, head.hash.clone()));
        match seen {
            Some((_, hash)) if hash == head.hash => return None,
            Some(_) => {
                tracing::error!(request = %head.request, sequence = head.sequence, "an event was rewritten in the ledger since it was recorded");
            }
            None => {}
        }
        Some(head)
    }
}

fn less(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
