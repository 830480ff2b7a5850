//! Whether the moment of an approved request has come, as far as its gate and whoever asked have a say: the time that was asked for, the wait after the
//! approval, windows and freezes.

use jiff::{SignedDuration, Timestamp};

use super::{Known, Next, Rest};
use crate::blocker::{Blocker, BlockerKind};
use crate::conditions::TOGETHER;
use crate::event::{Actor, Event};
use crate::facts::Act;
use crate::gate::Gate;
use crate::request::State;

/// How much time a request has at least when its window opens or its freeze ends, or its time is pushed on.
const LEAST: SignedDuration = SignedDuration::from_hours(1);

/// What keeps an approved request from being applied now. What follows an apply of its own at once belongs to it; what somebody else applied is measured
/// anew. If all is applied there is nothing left to hold up but the deployment.
pub(super) fn not_yet(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let status = &known.request.status;
    let all_applied = status.change_requests.iter().all(|one| one.applied_at.is_some());
    if all_applied || known.facts.tried.iter().any(|act| matches!(act, Act::Apply(_))) {
        return None;
    }
    if let Some(first) = status.first_applied_at() {
        let expires_at = later(first, known.request.ask.grant_expiration.duration());
        return held(known, gate, Some(first), expires_at);
    }
    // What is closed now may only be waited for in time.
    if status.held_until(known.now).is_none()
        && let Some(next) = pushed_on(known, gate)
    {
        return Some(next);
    }
    held(known, gate, None, known.request.expires_at())
}

/// What keeps a request that is applied from being deployed now, other than in the moments after its apply: a window or a freeze, and what whoever
/// applied it did not wait for.
pub(super) fn closed_again(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let grant = known.request.status.grant.as_ref()?;
    held(known, gate, Some(grant.applied_at), grant.expires_at)
}

/// Why a request that still waits for approvals could not be applied if it got them now: its window opens, or a freeze ends, only when its time is up, and
/// its time is not pushed on. Nobody has to approve before they learn that.
pub(super) fn in_vain(known: &Known<'_>, gate: &Gate) -> Option<Blocker> {
    let (status, until) = (&known.request.status, known.request.expires_at());
    let first = status.held_until(known.now).map_or(known.now, |(_, opens)| opens);
    let closed = known.facts.gates.calendar(gate).closed(first, &status.lifted)?;
    (gate.pending_extension.is_none() && closed.opens >= until).then(|| {
        let detail = format!("{}; its own time is up before, at {}", closed.detail, gate.time_zone.show(until));
        Blocker::new(closed.kind, detail)
    })
}

/// Whether the latest time that was asked for had passed when it was applied, or has by more than what belongs together.
pub(super) fn is_past(known: &Known<'_>, applied_at: Timestamp) -> bool {
    known.request.ask.not_after.is_some_and(|last| last < applied_at || later(last, TOGETHER) < known.now)
}

/// What holds it up: a time of its own, or the gate's windows and freezes. `until` is when it is over in any case.
fn held(known: &Known<'_>, gate: &Gate, applied_at: Option<Timestamp>, until: Timestamp) -> Option<Next> {
    let status = &known.request.status;
    let (kind, opens, detail) = match status.held_until(known.now) {
        Some((BlockerKind::Wait, opens)) => {
            let wait = status.wait.as_ref().map(ToString::to_string).unwrap_or_default();
            let shown = gate.time_zone.show(opens);
            (BlockerKind::Wait, opens, format!("it is applied {wait} after it was approved, not before {shown}"))
        }
        Some((kind, opens)) => (kind, opens, format!("it was asked for {} or later", gate.time_zone.show(opens))),
        None => {
            let calendar = known.facts.gates.calendar(gate);
            let closed = calendar.closed(known.now, &status.lifted)?;
            let was_open = |at: Timestamp| {
                known.now.duration_since(at) <= TOGETHER && calendar.closed(at, &status.lifted).is_none()
            };
            if applied_at.is_some_and(was_open) {
                return None;
            }
            (closed.kind, closed.opens, closed.detail)
        }
    };
    // What is closed when its own time is over holds it up as well.
    let then = matches!(kind, BlockerKind::Wait | BlockerKind::NotBefore)
        .then(|| known.facts.gates.calendar(gate).closed(opens, &status.lifted))
        .flatten();
    let blocker = |kind, opens, detail: String| {
        let too_late = if opens < until {
            String::new()
        } else {
            format!("; its own time is up before, at {}", gate.time_zone.show(until))
        };
        Blocker::new(kind, format!("{detail}{too_late}"))
    };
    let mut waiting = vec![blocker(kind, opens, detail)];
    // Its time may be pushed on for these, once nothing else holds it up.
    let is_pushed_on = applied_at.is_none() && gate.pending_extension.is_some();
    waiting.extend(then.map(|closed| {
        if is_pushed_on {
            Blocker::new(closed.kind, closed.detail)
        } else {
            blocker(closed.kind, closed.opens, closed.detail)
        }
    }));
    Some(Next::Rest(Rest { waiting, until: None, moment: Some(opens.min(until)) }))
}

/// Pushes a request's time on while only a window or a freeze holds it up: when that is over, its time begins anew, to the bound that the
/// gate sets. Where it sets none, its time is its time.
pub(super) fn pushed_on(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let (ask, status) = (&known.request.ask, &known.request.status);
    let held = status.state != State::Approved || status.is_any_applied() || known.facts.gates.hold;
    if held || status.held_until(known.now).is_some() {
        return None;
    }
    let extension = gate.pending_extension.as_ref()?;
    let closed = known.facts.gates.calendar(gate).closed(known.now, &status.lifted)?;
    let least = later(closed.opens, LEAST.min(ask.pending_timeout.duration()));
    if known.request.expires_at() >= least {
        return None;
    }
    let bound = later(later(ask.created_at, ask.pending_timeout.duration()), extension.duration());
    let expires_at = ask.in_time(later(closed.opens, ask.pending_timeout.duration()).min(bound));
    // What does not reach its opening is of no use.
    let reaches = expires_at > closed.opens && expires_at > known.request.expires_at();
    reaches.then(|| Next::record(Event::Extended { expires_at, why: closed.detail }, Actor::SIGNOFF))
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}
