//! The audit export: an organization's events in the order of their times, page by page.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use signoff_core::chain::{DAWN, day_of};
use signoff_core::cloud::Role;
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError};
use signoff_core::names::Organization;

use super::Served;
use super::callers::Callers;
use super::problem::Problem;
use super::query::{Parameters, Raw};
use crate::pulumi::encoded;

/// The most bytes on one page.
const MAX_PAGE: usize = 4_000_000;
/// How often the ledger is asked for one page, whatever it finds.
const MAX_READS: u32 = 60;
/// How many events are read at once.
const CHUNK: usize = 200;
/// What is exported if nobody says.
const DEFAULT_SPAN: SignedDuration = SignedDuration::from_hours(24);
/// By how much the clocks of those who record events may be ahead.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Which events are wanted: those from `since` on and before `until`.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: Timestamp,
    until: Timestamp,
}

/// Where a page begins: at a day, or within it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    day: Date,
    after: Option<String>,
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `GET /v1/audit`
    pub(super) async fn audit(&self, headers: &HeaderMap, query: Raw) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["organization", "since", "until", "cursor"])?;
        let (organization, role) = self.organization(&caller, parameters.text("organization")).await?;
        if role != Role::Admin {
            return Err(Problem::forbidden(
                "The audit export is for admins of the organization; ask one, or read the events of single requests.",
            ));
        }
        let now = self.api.host.now();
        let until = parameters.time("until")?.unwrap_or(now);
        let since = match parameters.time("since")? {
            Some(since) => since,
            None => until.saturating_sub(DEFAULT_SPAN).unwrap_or(Timestamp::MIN),
        };
        if since > until {
            let what = match parameters.text("until") {
                Some(_) => "since is later than until; swap them.",
                None => "since is in the future; give a time that has passed.",
            };
            return Err(Problem::malformed(what));
        }
        let span = Span { since, until };
        let given = parameters.text("cursor");
        let bad_cursor = || Problem::malformed("The cursor is not one of this export; begin again without it.");
        let start = match given {
            Some(text) => read(text).filter(|place| place.day >= first_day(span)).ok_or_else(bad_cursor)?,
            None => Place { day: first_day(span), after: None },
        };
        let page = self.collect(&organization, span, start, now).await;
        // A place within a day is the ledger's own word for it, and it tells when it is not.
        let (body, next) = page.map_err(|error| match error {
            LedgerError::BadCursor => bad_cursor(),
            LedgerError::Broken(why) => Problem::gap(&why),
            other => other.into(),
        })?;
        let mut response = ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response();
        if let Some(place) = next {
            let link = format!(
                "<{}/v1/audit?organization={}&since={since}&until={until}&cursor={}>; rel=\"next\"",
                self.api.public_url,
                encoded(organization.as_str()),
                write(&place)
            );
            let link = link.parse().map_err(|_| Problem::broken("The link to the next page"))?;
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    /// The lines of one page, and where the next one begins, if there may be more.
    async fn collect(
        &self,
        organization: &Organization,
        span: Span,
        start: Place,
        now: Timestamp,
    ) -> Result<(String, Option<Place>), LedgerError> {
        let end = last_day(span, now);
        let (mut lines, mut place, mut chunk) = (String::new(), start, CHUNK);
        for _ in 0..MAX_READS {
            if place.day > end {
                return Ok((lines, None));
            }
            let day = place.day.to_string();
            let (span, after) = (span.since..span.until, place.after.as_deref());
            let page = self.api.ledger.events_of_day(organization, &day, &span, after, chunk).await?;
            let mut some = String::new();
            for event in page.items.iter().filter(|event| span.contains(&event.time)) {
                let line = serde_json::to_string(event).map_err(|error| LedgerError::Broken(error.to_string()))?;
                some.push_str(&line);
                some.push('\n');
            }
            if lines.len() + some.len() > MAX_PAGE {
                // The ledger tells only where a whole page ends: this one begins the next answer, or is had in smaller pieces.
                if !lines.is_empty() {
                    return Ok((lines, Some(place)));
                }
                if chunk > 1 {
                    chunk /= 2;
                    continue;
                }
            }
            lines.push_str(&some);
            place = match (page.next, place.day.tomorrow()) {
                (Some(after), _) => Place { day: place.day, after: Some(after) },
                (None, Ok(day)) => Place { day, after: None },
                (None, Err(_)) => return Ok((lines, None)),
            };
        }
        let has_more = place.day <= end;
        Ok((lines, has_more.then_some(place)))
    }
}

/// The first day that can have an event; what is asked for before it is not looked for day by day.
fn first_day(span: Span) -> Date {
    day_of(span.since.max(DAWN))
}

/// The last day that can have an event; there is none in the future.
fn last_day(span: Span, now: Timestamp) -> Date {
    let until = span.until.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(span.until);
    day_of(until.min(now.saturating_add(SKEW).unwrap_or(Timestamp::MAX)))
}

fn write(place: &Place) -> String {
    hex::encode(format!("{}\n{}", place.day, place.after.as_deref().unwrap_or_default()))
}

fn read(cursor: &str) -> Option<Place> {
    let text = String::from_utf8(hex::decode(cursor).ok()?).ok()?;
    let (day, after) = text.split_once('\n')?;
    Some(Place { day: day.parse().ok()?, after: (!after.is_empty()).then(|| after.to_owned()) })
}
