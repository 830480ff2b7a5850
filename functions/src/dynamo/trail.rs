//! The audit trail: one request's, and an organization's of one day.

use std::ops::Range;

use jiff::Timestamp;
use signoff_core::chain::{Sealed, day_of};
use signoff_core::checkpoint::{Days, Place};
use signoff_core::ledger::{Ledger, LedgerError, Page};
use signoff_core::names::{Organization, RequestId};
use ulid::Ulid;

use super::Dynamo;
use super::item::{self, Item, s};
use super::keys::{self, Key};
use super::store::{Question, key_in, key_of};

pub(super) async fn events(db: &Dynamo, id: RequestId) -> Result<Vec<Sealed>, LedgerError> {
    let question = Question {
        condition: "#pk = :pk AND begins_with(#sk, :events)",
        values: vec![(":pk", s(keys::request(id))), (":events", s(keys::EVENTS))],
        ..Question::default()
    };
    db.query(question).await?.iter().map(|found| item::from_json(found, keys::EVENT)).collect()
}

pub(super) async fn events_of_day(
    db: &Dynamo,
    organization: &Organization,
    day: &str,
    span: &Range<Timestamp>,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Sealed>, LedgerError> {
    let partition = keys::day(organization.as_str(), day);
    let from = keys::place(span.start, Ulid::nil());
    let until = keys::place(span.end, Ulid::from(u128::MAX));
    let after = match after {
        None => None,
        Some(text) => {
            let end = End::parse(text).filter(|end| {
                day_of(end.at).to_string() == day && (&from..=&until).contains(&&keys::place(end.at, end.event))
            });
            let end = end.ok_or(LedgerError::BadCursor)?;
            Some(end.item(&partition))
        }
    };
    // One more than asked for tells whether there is another page.
    let question = Question {
        index: Some(keys::BY_DAY),
        condition: "#day = :day AND #at BETWEEN :from AND :until",
        values: vec![(":day", s(partition)), (":from", s(from)), (":until", s(until))],
        limit: Some(limit.saturating_add(1)),
        after,
        ..Question::default()
    };
    let mut hits = db.query(question).await?;
    let more = hits.len() > limit;
    hits.truncate(limit);
    let keys = hits.iter().map(key_in).collect::<Result<Vec<Key>, _>>()?;
    let found = db.get_all(&keys).await?;
    let mut items = Vec::with_capacity(keys.len());
    for key in &keys {
        // Nothing deletes an event: one that is in the index and nowhere else was taken away.
        let event = found.get(key).ok_or_else(|| LedgerError::Broken(format!("{key}: an event is missing")))?;
        items.push(item::from_json::<Sealed>(event, keys::EVENT)?);
    }
    let last = keys.last().zip(items.last()).filter(|_| more);
    let next = last.map(|(key, event)| End::of(key, event).map(|end| end.to_string())).transpose()?;
    Ok(Page { items, next })
}

impl Days for Dynamo {
    async fn organizations(&self) -> Result<Vec<Organization>, LedgerError> {
        let gates = self.gates().await?;
        let mut names: Vec<Organization> =
            gates.gates.iter().map(|gate| gate.environment.organization.clone()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn after(
        &self,
        organization: &Organization,
        day: &str,
        place: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Sealed>, LedgerError> {
        let end = place.map(|place| {
            End { at: place.at, event: place.event, request: place.request, sequence: place.sequence }.to_string()
        });
        let always = Timestamp::UNIX_EPOCH..Timestamp::MAX;
        Ok(events_of_day(self, organization, day, &always, end.as_deref(), limit).await?.items)
    }
}

/// Where a page of a day's events ends. As text: milliseconds, event, request and number, with dots between them.
struct End {
    at: Timestamp,
    event: Ulid,
    request: RequestId,
    sequence: u64,
}

impl End {
    fn of(key: &Key, event: &Sealed) -> Result<Self, LedgerError> {
        let sequence = keys::sequence_of(&key.sk);
        let sequence = sequence.ok_or_else(|| LedgerError::Broken(format!("{key}: no event's key")))?;
        Ok(Self { at: event.time, event: event.id, request: event.subject, sequence })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let end = Self {
            at: Timestamp::from_millisecond(parts.next()?.parse().ok()?).ok()?,
            event: Ulid::from_string(parts.next()?).ok()?,
            request: RequestId::new(Ulid::from_string(parts.next()?).ok()?),
            sequence: parts.next()?.parse().ok()?,
        };
        // What does not print as it came is not one that was handed out.
        (parts.next().is_none() && end.to_string() == text).then_some(end)
    }

    /// The key at which the index goes on.
    fn item(&self, partition: &str) -> Item {
        let mut item = key_of(&Key::event(self.request, self.sequence));
        item.insert(keys::DAY.to_owned(), s(partition));
        item.insert(keys::AT.to_owned(), s(keys::place(self.at, self.event)));
        item
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.at.as_millisecond(), self.event, self.request.ulid(), self.sequence)
    }
}
