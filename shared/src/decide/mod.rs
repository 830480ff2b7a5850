//! The rules of the gate: given what is known and what was seen, what comes next? One pure function. It asks for a look at whatever it needs
//! to know, and is asked again when that was seen; so what it decides always rests on what this very look saw.
//!
//! `ask` takes a request to `pending_approval`, `approval` to `granted`, `deploy` to its end, `closing` ends it otherwise,
//! `checks` are what has to hold each time, `moment` is when it may be applied, and `newer` is what becomes of it when something newer comes.

mod approval;
mod ask;
mod checks;
mod closing;
mod deploy;
mod moment;
mod newer;

use jiff::{SignedDuration, Timestamp};

pub(crate) use closing::{DEPLOYMENT_MAY_EXIST, drafts_may_be_left};

use crate::blocker::{Blocker, BlockerKind};
use crate::cloud::DeploymentStatus;
use crate::event::{Actor, Ended, Event, RestsOn};
use crate::facts::{Act, Facts, Look};
use crate::ledger::{LineChange, Work};
use crate::mark;
use crate::names::{RequestId, StackName};
use crate::request::{Outcome, Request, State, Worker};

pub use closing::CLOSING_HOURS;
pub use deploy::LOST_AFTER_DAYS;

/// After how many looks that did not find a change request, or the deployment, it counts as lost, if they span [`LOST_MINUTES`].
pub const LOST_LOOKS: u32 = 3;
/// The least time, in minutes, since the first of those looks.
pub const LOST_MINUTES: i64 = 10;

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
    /// Where people find a request: its URL without the id. `None`: nowhere.
    pub link: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

impl Known<'_> {
    /// The description that its open requests are submitted with; the settings say which branch it is about, if no commit was asked for.
    pub fn description(&self) -> String {
        let ask = &self.request.ask;
        let settings = self.facts.settings.as_ref().and_then(|settings| settings.as_ref().ok());
        let branch = settings.and_then(|settings| settings.branch.as_deref());
        let link = self.link.map(|link| format!("{link}{}", ask.id));
        mark::description(self.installation, ask, branch, link.as_deref())
    }

    /// Whether what this look did not find was looked for often enough, and long enough, to count as lost.
    fn has_lost_it(&self) -> bool {
        let since = |at: Timestamp| at.saturating_add(SignedDuration::from_mins(LOST_MINUTES));
        let long = |at: Timestamp| since(at).is_ok_and(|until| self.now >= until);
        self.work.note.lost.as_ref().is_some_and(|lost| lost.looks >= LOST_LOOKS && long(lost.since))
    }
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
    /// When it is looked at again instead of when it would be by itself.
    pub until: Option<Timestamp>,
    /// When its moment comes: it is looked at by then.
    pub moment: Option<Timestamp>,
}

impl Next {
    fn record(event: Event, actor: Actor) -> Self {
        Self::Record(Record { event: Box::new(event), actor, line: LineChange::Keep })
    }

    fn end(event: Event, actor: Actor) -> Self {
        Self::Record(Record { event: Box::new(event), actor, line: LineChange::Leave })
    }

    fn wait(blocker: Blocker) -> Self {
        Self::Rest(Rest { waiting: vec![blocker], ..Rest::default() })
    }

    fn until(until: Timestamp) -> Self {
        Self::Rest(Rest { until: Some(until), ..Rest::default() })
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

/// What the last look said that the request waits for, as part of a sentence; empty if it waited for nothing.
fn waited_for(known: &Known<'_>) -> String {
    let waiting = &known.work.note.waiting;
    if waiting.is_empty() {
        return String::new();
    }
    let details: Vec<_> = waiting.iter().map(|blocker| blocker.detail.as_str()).collect();
    format!(" (it waited for this: {})", details.join("; "))
}

/// What was tried and had no effect, since it conflicts with something at Pulumi Cloud: it is tried again at the next look.
fn conflict(known: &Known<'_>, act: &Act) -> Next {
    let why = known.facts.conflicts.get(act).map_or("it did not say why", String::as_str);
    let detail = format!("Pulumi Cloud does not {} yet ({why}); it is tried again", act.verb());
    Next::wait(Blocker::new(BlockerKind::PulumiCloud, detail))
}

/// What is said of a request in the stack's line that can't be read, wherever it is in somebody's way, and what to do.
pub fn unreadable(id: RequestId, stack: &StackName) -> String {
    format!("{id} is in line on {stack}, and can't be read, so that nobody knows how far it is: {}", mend(id))
}

/// What to do about a request that can't be read.
fn mend(id: RequestId) -> String {
    format!("see what is wrong with `signoff audit verify --request {id}`, and put back what was changed in the store")
}

/// Ends a request that did not deploy: what is open at Pulumi Cloud is closed first, if anything is.
fn stop(known: &Known<'_>, to: State, outcome: Outcome, actor: Actor) -> Next {
    if let Some(look) = closing::unsearched(known) {
        return look;
    }
    if closing::is_anything_open(known) {
        // Where nothing is applied, nothing will be: the turn is the next one's.
        let line = if known.request.status.is_any_applied() { LineChange::Keep } else { LineChange::ReleaseTurn };
        return Next::Record(Record {
            event: Box::new(Event::EndDecided { to, outcome, rests_on: rests_on(known) }),
            actor,
            line,
        });
    }
    let outcome = closing::with_leftovers(known, outcome, &[]);
    match Event::end(to, outcome, rests_on(known)) {
        Some(event) => Next::end(event, actor),
        None => Next::Rest(Rest::default()),
    }
}

/// What this look, and the ones before, saw of the change requests and the deployment.
pub(crate) fn rests_on(known: &Known<'_>) -> RestsOn {
    let status = &known.request.status;
    let mut rests_on = RestsOn::recorded(status);
    for one in &mut rests_on.change_requests {
        if let Some(Some(now)) = known.facts.change_requests.get(&one.id) {
            (one.status, one.revision) = (now.status.clone(), now.revision);
        }
    }
    rests_on.deployment = status.deployment.as_ref().map(|deployment| {
        let own = known.facts.activity.as_ref().and_then(|activity| activity.own.as_ref());
        let seen = own.or(known.facts.deployment.as_ref().and_then(Option::as_ref)).map(DeploymentStatus::as_str);
        let status = seen.or(known.work.note.deployment_status.as_deref()).unwrap_or("unknown").to_owned();
        Ended { id: deployment.id.clone(), version: deployment.version, status }
    });
    rests_on
}

/// Ends a request with something that no retry mends.
fn fail(known: &Known<'_>, outcome: Outcome) -> Next {
    stop(known, State::Error, outcome, Actor::SIGNOFF)
}

#[cfg(test)]
mod tests;
