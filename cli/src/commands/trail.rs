//! Checking trails: the events of many requests as they lie in an export, each request's chain for itself.

use std::collections::HashMap;

use serde_json::Value;
use signoff_core::chain::{self, Broken, Sealed};
use signoff_core::request::Request;

/// The trails that a text of JSON lines holds.
#[derive(Default)]
pub(crate) struct Trails {
    /// In the order in which each request shows up first.
    trails: Vec<Trail>,
    places: HashMap<String, usize>,
    /// Lines that belong to no request, and why.
    pub(crate) strays: Vec<Stray>,
    lines: usize,
}

/// A line that is no event of any request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) why: String,
}

/// The events of one request.
struct Trail {
    subject: String,
    events: Vec<Sealed>,
    /// The first line that says that it is the request's, but is no event.
    damaged: Option<String>,
}

/// What was found about one request.
pub(crate) struct Verdict {
    /// The request.
    pub(crate) subject: String,
    /// How many events there are.
    pub(crate) events: usize,
    /// What they are worth.
    pub(crate) finding: Finding,
}

/// What a trail is worth.
pub(crate) enum Finding {
    /// Whole from the first event on; the request that it makes.
    Whole(Box<Request>),
    /// It begins in the middle: from event `first` to `last` nothing is wrong with hashes and links.
    Window {
        /// The first event that is there.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// Something is wrong.
    Broken(String),
}

impl Trails {
    /// Adds the lines of a text.
    pub(crate) fn read(&mut self, text: &str) {
        for line in text.lines() {
            self.lines += 1;
            if !line.trim().is_empty() {
                match serde_json::from_str(line) {
                    Ok(event) => self.add(event),
                    Err(error) => self.stray(format!("is not JSON: {error}")),
                }
            }
        }
    }

    /// Adds one event.
    pub(crate) fn add(&mut self, event: Value) {
        let Some(subject) = event["subject"].as_str().map(str::to_owned) else {
            return self.stray("names no request".to_owned());
        };
        let place = *self.places.entry(subject.clone()).or_insert(self.trails.len());
        if place == self.trails.len() {
            self.trails.push(Trail { subject, events: Vec::new(), damaged: None });
        }
        let trail = &mut self.trails[place];
        match sealed(&event) {
            Ok(sealed) => trail.events.push(sealed),
            Err(why) => {
                let sequence = event["sequence"].as_str().unwrap_or("without a number").trim_start_matches('0');
                trail.damaged.get_or_insert(format!("event {sequence} is no event of a trail: {why}"));
            }
        }
    }

    /// All events, in no order that means anything.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Sealed> {
        self.trails.iter().flat_map(|trail| &trail.events)
    }

    /// The verdict on each request. Where a line stands in the text means nothing: its place is its sealed sequence number.
    pub(crate) fn verdicts(self) -> Vec<Verdict> {
        self.trails.into_iter().map(Trail::verdict).collect()
    }

    /// Whether there was not a single line in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.trails.is_empty() && self.strays.is_empty()
    }

    fn stray(&mut self, why: String) {
        self.strays.push(Stray { line: self.lines, why });
    }
}

/// The event that this JSON is, if it is one to the last field: what the hash would not cover must not be there.
fn sealed(event: &Value) -> Result<Sealed, String> {
    let sealed: Sealed = serde_json::from_value(event.clone()).map_err(|error| error.to_string())?;
    if serde_json::to_value(&sealed).is_ok_and(|again| again == *event) {
        Ok(sealed)
    } else {
        Err("it was edited: it holds what no event holds, or writes it otherwise".to_owned())
    }
}

impl Trail {
    fn verdict(mut self) -> Verdict {
        self.events.sort_by(|one, other| one.sequence.cmp(&other.sequence));
        let events = self.events.len();
        let finding = match self.damaged.take() {
            Some(why) => Finding::Broken(why),
            None => self.finding().unwrap_or_else(|broken| Finding::Broken(broken.to_string())),
        };
        Verdict { subject: self.subject, events, finding }
    }

    fn finding(&self) -> Result<Finding, Broken> {
        match self.events.first() {
            Some(first) if number(first)? > 1 => self.window(number(first)?),
            _ => chain::replay(&self.events).map(|request| Finding::Whole(Box::new(request))),
        }
    }

    /// Checks hashes and links of a trail that begins in the middle.
    fn window(&self, first: u64) -> Result<Finding, Broken> {
        let mut before: Option<&Sealed> = None;
        for (expected, event) in (first..).zip(&self.events) {
            if number(event)? != expected {
                return Err(Broken::Order { expected, found: event.sequence.clone() });
            }
            if chain::hash(event).ok().as_deref() != Some(event.hash.as_str()) {
                return Err(Broken::Edited { sequence: expected });
            }
            if before.is_some_and(|before| before.hash != event.prevhash) {
                return Err(Broken::Unlinked { sequence: expected });
            }
            before = Some(event);
        }
        let last = before.map(number).transpose()?.ok_or(Broken::Empty)?;
        Ok(Finding::Window { first, last })
    }
}

/// An event's place in its trail.
fn number(event: &Sealed) -> Result<u64, Broken> {
    let found = &event.sequence;
    let is_number = found.len() == 10 && found.bytes().all(|b| b.is_ascii_digit());
    let number = found.parse().ok().filter(|number| is_number && *number > 0);
    number.ok_or_else(|| Broken::Order { expected: 1, found: found.clone() })
}

#[cfg(test)]
#[path = "trail_tests.rs"]
mod tests;
