//! What becomes of a request when something newer is asked for on the same stack: a push supersedes an older one that still waits, and what an update
//! has overtaken is not deployed after it.

use super::{Known, Next, stop};
use crate::blocker::{Blocker, BlockerKind};
use crate::event::Actor;
use crate::facts::{Look, Newer};
use crate::gate::Gate;
use crate::push::NewerPush;
use crate::request::{Outcome, State};

/// A newer push is in line: this one, which a push made as well, ends, as long as it still waits for approval, or as the gate says.
pub(super) fn superseded(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let (ask, status) = (&known.request.ask, &known.request.status);
    let push = ask.push.as_ref().filter(|_| gate.newer_push == NewerPush::Supersede)?;
    let stands = status.state == State::Approved && !gate.supersede_approved;
    if stands || status.is_any_applied() {
        return None;
    }
    let newer = match seen(known) {
        Ok(newer) => newer.push?,
        Err(look) => return Some(look),
    };
    let message = format!(
        "A newer push to {} of {} superseded it: {newer} asks for what is on the branch now.",
        push.branch, push.repository
    );
    Some(stop(known, State::Cancelled, Outcome::new("superseded", message), Actor::SIGNOFF))
}

/// An update that was asked for later has been deployed: to deploy this one now would take it back.
pub(super) fn overtaken(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let ask = &known.request.ask;
    if !gate.minds_newer(ask) {
        return None;
    }
    match seen(known) {
        Err(look) => return Some(look),
        Ok(newer) if !newer.deployed => return None,
        Ok(_) => {}
    }
    let detail = format!(
        "an update of {} that was asked for later has been deployed, and this would take it back; cancel this one and ask for what is wanted now, or have the gate say allow-older = true",
        ask.stack
    );
    Some(Next::wait(Blocker::new(BlockerKind::Overtaken, detail)))
}

fn seen(known: &Known<'_>) -> Result<Newer, Next> {
    known.facts.newer.ok_or(Next::Look(Look::Newer))
}
