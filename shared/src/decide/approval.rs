//! From `pending_approval` to `granted`: approvals are awaited and applied late, all at once and one request of a stack at a time.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Known, Next, Record, Rest, ask, checks, fail, mend, moment, newer, stop, unreadable};
use crate::blocker::{Blocker, BlockerKind};
use crate::cloud::ChangeRequestNow;
use crate::conditions::Lift;
use crate::event::{Actor, Event, Seen};
use crate::facts::{Act, Look};
use crate::gate::Gate;
use crate::ledger::LineChange;
use crate::names::Login;
use crate::request::{ChangeRequest, ChangeRequestStatus, Grant, Outcome, State};
use crate::verdict::{self, Verdict};

/// How much is kept of what a reviewer said when they closed a change request, in characters.
const MAX_COMMENT: usize = 300;

/// A change request: as recorded, as seen, and how it stands.
struct One<'a> {
    recorded: &'a ChangeRequest,
    now: &'a ChangeRequestNow,
    verdict: Verdict,
}

impl One<'_> {
    fn is_applied(&self) -> bool {
        self.now.status == ChangeRequestStatus::Applied
    }
}

/// Awaits the approvals, and applies when their moment has come.
pub(super) fn await_and_apply(known: &Known<'_>) -> Next {
    let gate = match checks::gate(known) {
        Ok(gate) => gate,
        Err(outcome) => return fail(known, outcome),
    };
    let all = match look_at_all(known) {
        Ok(all) => all,
        Err(next) => return next,
    };
    if let Some(next) = applied_elsewhere(known, &all)
        .or_else(|| late(known, gate, &all))
        .or_else(|| newer::superseded(known, gate))
        .or_else(|| ungated(known, &all))
        .or_else(|| approvals_changed(known, &all))
    {
        return next;
    }
    let seen = || all.iter().map(|one| Seen { rulesets: Vec::new(), ..one.verdict.seen.clone() }).collect();
    match (known.request.status.state, all.iter().all(|one| one.verdict.enough)) {
        (State::PendingApproval, true) => Next::record(Event::Approved { change_requests: seen() }, Actor::SIGNOFF),
        (State::Approved, false) if !known.request.status.is_any_applied() => Next::Record(Record {
            event: Box::new(Event::Unapproved { change_requests: seen() }),
            actor: Actor::SIGNOFF,
            line: LineChange::ReleaseTurn,
        }),
        (_, true) => apply(known, gate, &all),
        (_, false) => {
            let mut waiting: Vec<_> = all.iter().filter_map(|one| one.verdict.blocker.clone()).collect();
            // Nobody has to approve before they learn that it would not be deployed.
            match newer::overtaken(known, gate) {
                Some(Next::Rest(rest)) => waiting.extend(rest.waiting),
                Some(look) => return look,
                None => {}
            }
            waiting.extend(moment::in_vain(known, gate));
            Next::Rest(Rest { waiting, ..Rest::default() })
        }
    }
}

/// Sees every change request, and that each is what was submitted.
fn look_at_all<'a>(known: &Known<'a>) -> Result<Vec<One<'a>>, Next> {
    let status = &known.request.status;
    let Some(principal) = &status.principal else { return Err(Next::Rest(Rest::default())) };
    let mut all = Vec::new();
    for recorded in &status.change_requests {
        match known.facts.change_requests.get(&recorded.id) {
            None => return Err(Next::Look(Look::ChangeRequest(recorded.id.clone()))),
            Some(None) => return Err(ask::gone(known, recorded)),
            Some(Some(now)) => {
                let verdict = verdict::judge(&known.request.ask, recorded, principal, now);
                all.push(One { recorded, now, verdict });
            }
        }
    }
    for one in &all {
        if one.now.status == ChangeRequestStatus::Closed {
            return Err(rejected(known, one.recorded));
        }
        if let Some(what) = checks::edited(known, one.recorded, one.now) {
            return Err(checks::fail_as_edited(known, one.recorded, &what));
        }
    }
    if all.is_empty() { Err(Next::Rest(Rest::default())) } else { Ok(all) }
}

/// The end of a request of which somebody closed a change request.
pub(super) fn rejected(known: &Known<'_>, one: &ChangeRequest) -> Next {
    let place = one.environment.qualified();
    let Some(closer) = known.facts.closed_by.get(&one.id) else {
        return Next::Look(Look::WhoClosed(one.id.clone()));
    };
    let (who, said, actor) = match closer {
        Some((login, comment)) => (
            login.to_string(),
            comment.as_ref().map(|text| format!(": {}", shown(text))).unwrap_or_default(),
            Actor::Login(login.clone()),
        ),
        None => ("Somebody".to_owned(), String::new(), Actor::SIGNOFF),
    };
    let end = if said.ends_with(['.', '!', '?']) { "" } else { "." };
    let message = format!("{who} closed the change request of {place}{said}{end} Settle it with them, and ask again.");
    let outcome = Outcome::new("rejected", message);
    stop(known, State::Rejected, outcome, actor)
}

/// What somebody said at Pulumi Cloud, as it is shown and kept: bounded, and on one line.
fn shown(text: &str) -> String {
    text.chars().take(MAX_COMMENT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Records what was applied, whoever did it; if it was not with enough approvals that count, that is the end.
fn applied_elsewhere(known: &Known<'_>, all: &[One<'_>]) -> Option<Next> {
    for one in all.iter().filter(|one| one.is_applied()) {
        if !one.verdict.enough {
            let why = one.verdict.blocker.as_ref().map_or("", |blocker| &blocker.detail);
            if !known.facts.applied_at.contains_key(&one.recorded.id) {
                return Some(Next::Look(Look::WhenApplied(one.recorded.id.clone())));
            }
            let by = known.facts.applied_by.get(&one.recorded.id);
            let message = format!(
                "The change request {} was applied{} without enough approvals that count ({why}). Nothing is deployed. Ask again.",
                one.recorded.id,
                by.map(|login| format!(" by {login}")).unwrap_or_default()
            );
            let outcome = Outcome::new("applied-without-approvals", message);
            return Some(stop(known, State::Error, outcome, applier(known, one)));
        }
        if one.recorded.applied_at.is_some() {
            continue;
        }
        let Some(applied_at) = known.facts.applied_at.get(&one.recorded.id) else {
            return Some(Next::Look(Look::WhenApplied(one.recorded.id.clone())));
        };
        if all.len() == 1 && known.facts.turn == Some(true) {
            return Some(altered(known, one).unwrap_or_else(|| granted(known, all, *applied_at)));
        }
        let change_request = Seen { rulesets: Vec::new(), ..one.verdict.seen.clone() };
        return Some(Next::record(Event::Applied { change_request, applied_at: *applied_at }, applier(known, one)));
    }
    None
}

/// Who applied a change request: somebody at Pulumi Cloud, or signoff itself.
fn applier(known: &Known<'_>, one: &One<'_>) -> Actor {
    known.facts.applied_by.get(&one.recorded.id).cloned().map_or(Actor::SIGNOFF, Actor::Login)
}

/// How long an open request lets the principal in has to be what was submitted, before and after it is applied.
fn altered(known: &Known<'_>, one: &One<'_>) -> Option<Next> {
    let ask = &known.request.ask;
    match known.facts.durations.get(&one.recorded.id) {
        None => Some(Next::Look(Look::Durations(one.recorded.id.clone()))),
        Some(Err(why)) => {
            let place = one.recorded.environment.qualified();
            let detail = format!(
                "{place}: Pulumi Cloud does not say now how long its change request lets the principal in ({why}); it is asked again"
            );
            Some(Next::wait(Blocker::new(BlockerKind::PulumiCloud, detail)))
        }
        Some(Ok(now)) if *now != (ask.access_duration.seconds(), ask.grant_expiration.seconds()) => {
            Some(checks::fail_as_edited(known, one.recorded, "how long it lets the principal in"))
        }
        Some(Ok(_)) => None,
    }
}

/// Too late: not approved in time, or the first grant runs out before the rest is applied.
fn late(known: &Known<'_>, gate: &Gate, all: &[One<'_>]) -> Option<Next> {
    let (ask, status) = (&known.request.ask, &known.request.status);
    let outcome = match status.first_applied_at() {
        Some(first) => {
            let until = first.saturating_add(ask.grant_expiration.duration()).unwrap_or(first);
            if known.now < until && !moment::is_past(known, first) {
                return None;
            }
            let all_applied = all.iter().all(One::is_applied);
            // A ledger that was restored from a backup may not know that it was granted, and deployed: then that goes on.
            if all_applied {
                match known.facts.activity.as_ref() {
                    None => return Some(Next::Look(Look::Activity)),
                    Some(activity) if activity.marked.is_empty() => {}
                    Some(_) if status.state == State::PendingApproval => {
                        let change_requests = all.iter().map(|one| one.verdict.seen.clone()).collect();
                        return Some(Next::record(Event::Approved { change_requests }, Actor::SIGNOFF));
                    }
                    Some(_) => return Some(granted(known, all, first)),
                }
            }
            let waited = super::waited_for(known);
            let (code, message) = if all_applied {
                (
                    "not-deployed-in-time",
                    format!(
                        "It was applied, but its moment to deploy did not come in time{waited}. Nothing is deployed. Ask again."
                    ),
                )
            } else {
                (
                    "not-applied-in-time",
                    format!(
                        "It was applied in part, and the rest could not be applied in time{waited}. Nothing is deployed. Ask again."
                    ),
                )
            };
            Outcome::new(code, message)
        }
        None if known.now < known.request.expires_at() => return None,
        None if status.state == State::Approved => {
            if all.iter().all(|one| one.verdict.enough)
                && let Some(next) = moment::pushed_on(known, gate)
            {
                return Some(next);
            }
            let message = format!(
                "It was approved, but its moment did not come {}{}. Ask again.",
                time(known),
                super::waited_for(known)
            );
            Outcome::new("not-deployed-in-time", message)
        }
        None => Outcome::new(
            "not-approved-in-time",
            format!("There were not enough approvals that count {}. Ask again, and tell the reviewers.", time(known)),
        ),
    };
    Some(stop(known, State::Expired, outcome, Actor::SIGNOFF))
}

/// The time that a request had, as part of a sentence.
fn time(known: &Known<'_>) -> String {
    let ask = &known.request.ask;
    match (ask.not_after, known.request.status.extended_until) {
        (Some(last), _) if last <= known.now => format!("before {last}, which is the latest that was asked for"),
        (_, Some(until)) => format!("by {until}, to which its time was pushed on"),
        _ => format!("within {}", ask.pending_timeout),
    }
}

/// No ruleset asks for an approval of the gate's own change request any more: then the environment itself is looked at, and if none is in force
/// there, that is the end. Nobody would have to approve.
fn ungated(known: &Known<'_>, all: &[One<'_>]) -> Option<Next> {
    let own = all.iter().find(|one| one.recorded.environment == known.request.ask.gate.environment)?;
    let asks = own.now.rulesets.iter().any(|ruleset| ruleset.approval.is_some());
    if asks { None } else { checks::ruleset(known) }
}

/// Records approvals that came or went, one person at a time; the one that makes it enough is recorded with the approval itself.
fn approvals_changed(known: &Known<'_>, all: &[One<'_>]) -> Option<Next> {
    let mut changes = Vec::new();
    for one in all {
        let people = |approvals: &[crate::request::Approvals]| -> BTreeSet<Login> {
            approvals.iter().flat_map(|ruleset| ruleset.approvers.iter().cloned()).collect()
        };
        let (before, after) = (people(&one.recorded.approvals), people(&one.verdict.seen.approvals));
        changes.extend(after.difference(&before).map(|who| (one, who.clone(), true)));
        changes.extend(before.difference(&after).map(|who| (one, who.clone(), false)));
    }
    // Those who count come last: theirs is the one that makes it enough, or too few.
    let counts = |(one, who, came): &(&One<'_>, Login, bool)| {
        let approvals = if *came { &one.verdict.seen.approvals } else { &one.recorded.approvals };
        approvals.iter().any(|ruleset| ruleset.counted.contains(who))
    };
    changes.sort_by_key(counts);
    let change = changes.first()?;
    let (one, who, came) = change;
    // One that does not count any more need not have been withdrawn: a ruleset or a team may have changed, which is nobody's wish about this request.
    let by_them = *came
        || match known.facts.withdrawn.get(&one.recorded.id) {
            None => return Some(Next::Look(Look::WhoWithdrew(one.recorded.id.clone()))),
            Some(withdrawn) => withdrawn.contains(who),
        };
    let status = &known.request.status;
    let enough = all.iter().all(|one| one.verdict.enough);
    let seen = |one: &One<'_>| Seen { rulesets: Vec::new(), ..one.verdict.seen.clone() };
    let actor = if by_them { Actor::Login(who.clone()) } else { Actor::SIGNOFF };
    let decides = changes.len() == 1 && counts(change);
    if decides && status.state == State::PendingApproval && enough && *came {
        return Some(Next::record(Event::Approved { change_requests: all.iter().map(seen).collect() }, actor));
    }
    if decides && status.state == State::Approved && !enough && !*came && !status.is_any_applied() {
        let event = Event::Unapproved { change_requests: all.iter().map(seen).collect() };
        return Some(Next::Record(Record { event: Box::new(event), actor, line: LineChange::ReleaseTurn }));
    }
    // Only this person's approval is recorded now; the others' are next.
    let mut change_request = seen(one);
    for ruleset in &mut change_request.approvals {
        let before: Vec<Login> = one
            .recorded
            .approvals
            .iter()
            .filter(|known| known.ruleset == ruleset.ruleset)
            .flat_map(|known| known.approvers.clone())
            .collect();
        let counted_before = one.recorded.approvals.iter().filter(|known| known.ruleset == ruleset.ruleset);
        let counted_before: Vec<_> = counted_before.flat_map(|known| &known.counted).collect();
        let keep = |login: &Login| login == who || before.contains(login);
        ruleset.approvers.retain(keep);
        ruleset.counted.retain(keep);
        let still: Vec<_> =
            before.iter().filter(|login| *login != who && !ruleset.approvers.contains(login)).cloned().collect();
        ruleset.counted.extend(still.iter().filter(|login| counted_before.contains(login)).cloned());
        ruleset.approvers.extend(still);
    }
    let event =
        if *came { Event::ApprovalSeen { change_request } } else { Event::ApprovalWithdrawn { change_request } };
    Some(Next::record(event, actor))
}

/// Approved: applies when nothing is in the way.
fn apply(known: &Known<'_>, gate: &Gate, all: &[One<'_>]) -> Next {
    if known.facts.gates.hold {
        return Next::wait(Blocker::new(
            BlockerKind::Hold,
            "the operator holds all gates: nothing is applied or deployed until hold is switched off",
        ));
    }
    if let Some(next) = moment::not_yet(known, gate)
        .or_else(|| newer::overtaken(known, gate))
        .or_else(|| earlier(known))
        .or_else(|| busy(known))
        .or_else(|| checks::unmet(known, gate))
        .or_else(|| checks::unseen(known).filter(|_| !known.request.status.is_any_applied()))
        .or_else(|| all.iter().find_map(|one| altered(known, one)))
    {
        return next;
    }
    match known.facts.turn {
        None => return Next::Act(Act::ClaimTurn),
        Some(false) => {
            let holder = known.facts.holder.map_or_else(|| "another request".to_owned(), |id| id.to_string());
            let mut detail = format!("{holder} has the turn on {}", known.request.ask.stack);
            if let Some(id) = known.facts.unreadable.first() {
                detail.push_str(&format!(". It may be {id}, which can't be read: {}", mend(*id)));
            }
            return Next::wait(Blocker::new(BlockerKind::EarlierRequest, detail));
        }
        Some(true) => {}
    }
    let Some(one) = all.iter().find(|one| !one.is_applied()) else { return granted(known, all, known.now) };
    let act = Act::Apply(one.recorded.id.clone());
    match known.facts.refused.get(&act) {
        Some(why) => Next::wait(Blocker::new(
            BlockerKind::PulumiCloud,
            format!(
                "{}: Pulumi Cloud does not apply the change request ({why}); it is tried again",
                one.recorded.environment.qualified()
            ),
        )),
        None if known.facts.has_tried(&act) => super::conflict(known, &act),
        None => Next::Act(act),
    }
}

/// Every change request is applied: the earliest apply starts the clock.
fn granted(known: &Known<'_>, all: &[One<'_>], latest: Timestamp) -> Next {
    let applied_at = known.request.status.first_applied_at().map_or(latest, |first| first.min(latest));
    let expires_at = applied_at.saturating_add(known.request.ask.grant_expiration.duration()).unwrap_or(applied_at);
    let change_requests = all.iter().map(|one| Seen { rulesets: Vec::new(), ..one.verdict.seen.clone() }).collect();
    let actor = match all {
        [one] => applier(known, one),
        _ => Actor::SIGNOFF,
    };
    Next::record(Event::Granted { change_requests, grant: Grant { applied_at, expires_at } }, actor)
}

/// Other requests of the stack that go first: approved ones that were asked for earlier, and whichever is granted or deploying.
fn earlier(known: &Known<'_>) -> Option<Next> {
    let Some(line) = &known.facts.line else { return Some(Next::Look(Look::Line)) };
    // Who has the turn keeps it, and from the first apply on there is no way back: else two could wait for each other.
    if known.facts.turn == Some(true) {
        return None;
    }
    let ask = &known.request.ask;
    let lifted = known.request.status.lifted.contains(&Lift::Line);
    // Should it be granted or deploying, it has the turn, which nobody can lift.
    if let Some(id) = known.facts.unreadable.first().filter(|_| !lifted) {
        let detail = format!("{}, or have the line lifted from this one", unreadable(*id, &ask.stack));
        return Some(Next::wait(Blocker::new(BlockerKind::EarlierRequest, detail)));
    }
    let first = line.iter().find(|other| match other.state {
        // One that waits for a time of its own holds nobody up.
        State::Approved => other.place.position < ask.position && !other.held && !lifted,
        State::Granted | State::Deploying => true,
        _ => false,
    })?;
    let detail = format!("{} goes first on {}: it is {}", first.place.id, ask.stack, first.state);
    Some(Next::wait(Blocker::new(BlockerKind::EarlierRequest, detail)))
}

/// The stack has deployments paused, running or queued. Once something is applied there is no way back, so then it does not matter.
fn busy(known: &Known<'_>) -> Option<Next> {
    let stack = &known.request.ask.stack;
    if known.request.status.is_any_applied() || known.facts.tried.iter().any(|act| matches!(act, Act::Apply(_))) {
        return None;
    }
    let Some(activity) = &known.facts.activity else { return Some(Next::Look(Look::Activity)) };
    if activity.paused {
        let detail = format!("deployments of {stack} are paused; resume them at Pulumi Cloud");
        return Some(Next::wait(Blocker::new(BlockerKind::StackPaused, detail)));
    }
    let running = activity.busy.first()?;
    let detail = format!(
        "deployment {} of {stack} is {}; it goes on when that is over",
        running.version,
        running.status.as_str()
    );
    Some(Next::wait(Blocker::new(BlockerKind::StackBusy, detail)))
}
