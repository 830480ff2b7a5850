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

/// What keeps an approved request from being applied now. Once something is applied there is no way back, so then nothing does.
pub(super) fn not_yet(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let status = &known.request.status;
    if status.is_any_applied() || known.facts.tried.iter().any(|act| matches!(act, Act::Apply(_))) {
        return None;
    }
    if let Some((kind, until)) = status.held_until(known.now) {
        let shown = gate.time_zone.show(until);
        let detail = match kind {
            BlockerKind::Wait => {
                format!("it is applied {} after it was approved, at {shown}", words(status.wait.as_ref()))
            }
            _ => format!("it was asked for {shown} or later"),
        };
        return Some(wait(Blocker::new(kind, detail), until));
    }
    let closed = known.facts.gates.calendar(gate).closed(known.now, &status.lifted)?;
    if let Some(next) = pushed_on(known, gate) {
        return Some(next);
    }
    let expires_at = known.request.expires_at();
    let too_late = if closed.opens < expires_at {
        String::new()
    } else {
        format!("; its own time is up before, at {}", gate.time_zone.show(expires_at))
    };
    Some(wait(Blocker::new(closed.kind, format!("{}{too_late}", closed.detail)), closed.opens))
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
    let least = closed.opens.saturating_add(LEAST.min(ask.pending_timeout.duration())).unwrap_or(Timestamp::MAX);
    if known.request.expires_at() >= least {
        return None;
    }
    let later = |from: Timestamp, by: SignedDuration| from.saturating_add(by).unwrap_or(Timestamp::MAX);
    let bound = later(later(ask.created_at, ask.pending_timeout.duration()), extension.duration());
    let expires_at = ask.in_time(later(closed.opens, ask.pending_timeout.duration()).min(bound));
    // What does not reach its opening is of no use.
    let reaches = expires_at > closed.opens && expires_at > known.request.expires_at();
    reaches.then(|| Next::record(Event::Extended { expires_at, why: closed.detail }, Actor::SIGNOFF))
}

/// What keeps a request that is applied from being deployed now: a window or a freeze that was in force at its apply, when somebody else applied it, or
/// that began more than [`TOGETHER`] after it.
pub(super) fn closed_again(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let grant = known.request.status.grant.as_ref()?;
    let together = known.now.duration_since(grant.applied_at) <= TOGETHER;
    let at = if together { grant.applied_at.min(known.now) } else { known.now };
    let closed = known.facts.gates.calendar(gate).closed(at, &known.request.status.lifted)?;
    let until = closed.opens.max(known.now).min(grant.expires_at);
    Some(wait(Blocker::new(closed.kind, closed.detail), until))
}

fn wait(blocker: Blocker, until: Timestamp) -> Next {
    Next::Rest(Rest { waiting: vec![blocker], until: None, moment: Some(until) })
}

fn words(period: Option<&crate::period::Period>) -> String {
    period.map(ToString::to_string).unwrap_or_default()
}
