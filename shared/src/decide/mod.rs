//! The rules of the gate: given what is known and what was seen, what comes next? One pure function. It asks for a look at whatever it needs
//! to know, and is asked again when that was seen; so what it decides always rests on what this very look saw.
//!
//! `ask` takes a request to `pending_approval`, `approval` to `granted`, `deploy` to its end, `closing` ends it otherwise, and
//! `checks` are what has to hold each time.

mod approval;
mod ask;
mod checks;
mod closing;
mod deploy;

use jiff::Timestamp;

use crate::blocker::Blocker;
use crate::event::{Actor, Event};
use crate::facts::{Act, Facts, Look};
use crate::ledger::{LineChange, Work};
use crate::request::{Outcome, Request, State, Worker};

pub use closing::CLOSING_HOURS;
pub use deploy::{LOST_AFTER_DAYS, LOST_LOOKS, LOST_MINUTES};

/// What is known when a decision is taken.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The request.
    pub request: &'a Request,
    /// The bookkeeping of the work on it.
    pub work: &'a Work,
    /// What this look has seen.
    pub facts: &'a Facts,
    /// The installation's name, as it stands in marks.
    pub installation: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look at this, and decide again.
    Look(Look),
    /// Do this, and decide again.
    Act(Act),
    /// Record this, and decide again.
    Record(Record),
    /// Nothing more for now.
    Rest(Rest),
}

/// Something to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub event: Box<Event>,
    /// Who caused it.
    pub actor: Actor,
    /// What it does to the stack's line.
    pub line: LineChange,
}

/// Nothing more for now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// What the request waits for.
    pub waiting: Vec<Blocker>,
    /// When it is looked at again, if that is sooner than it would be by itself.
    pub until: Option<Timestamp>,
}

impl Next {
    fn record(event: Event, actor: Actor) -> Self {
        Self::Record(Record { event: Box::new(event), actor, line: LineChange::Keep })
    }

    fn end(event: Event, actor: Actor) -> Self {
        Self::Record(Record { event: Box::new(event), actor, line: LineChange::Leave })
    }

    fn wait(blocker: Blocker) -> Self {
        Self::Rest(Rest { waiting: vec![blocker], until: None })
    }

    fn until(until: Timestamp) -> Self {
        Self::Rest(Rest { waiting: Vec::new(), until: Some(until) })
    }
}

/// Decides what `worker` does next about a request.
pub fn decide(worker: Worker, known: &Known<'_>) -> Next {
    let status = &known.request.status;
    if status.state.worker() != Some(worker) {
        return Next::Rest(Rest::default());
    }
    if status.ending.is_some() {
        return closing::close(known);
    }
    match status.state {
        State::Requested => ask::take_up(known),
        State::PendingApproval | State::Approved => approval::await_and_apply(known),
        State::Granted => deploy::create(known),
        State::Deploying => deploy::follow(known),
        State::Succeeded | State::Failed | State::Rejected | State::Expired | State::Cancelled | State::Error => {
            Next::Rest(Rest::default())
        }
    }
}

/// Ends a request that did not deploy: what is open at Pulumi Cloud is closed first, if anything is.
fn stop(known: &Known<'_>, to: State, outcome: Outcome, actor: Actor) -> Next {
    if closing::is_anything_open(known) {
        // Where nothing is applied, nothing will be: the turn is the next one's.
        let line = if known.request.status.is_any_applied() { LineChange::Keep } else { LineChange::ReleaseTurn };
        return Next::Record(Record { event: Box::new(Event::EndDecided { to, outcome }), actor, line });
    }
    let outcome = closing::with_leftovers(known, outcome, &[]);
    match Event::end(to, outcome) {
        Some(event) => Next::end(event, actor),
        None => Next::Rest(Rest::default()),
    }
}

/// Ends a request with something that no retry mends.
fn fail(known: &Known<'_>, outcome: Outcome) -> Next {
    stop(known, State::Error, outcome, Actor::SIGNOFF)
}

#[cfg(test)]
mod tests;
