//! Ends without a deployment: every change request that is still open is closed, as far as the principal may.

use jiff::SignedDuration;

use super::{Known, Next, Rest};
use crate::blocker::{Blocker, BlockerKind};
use crate::event::{Actor, Event};
use crate::facts::{Act, Look};
use crate::request::{ChangeRequest, ChangeRequestStatus, Outcome, State};

/// For how long a change request that can't be closed is tried again, in hours.
pub const CLOSING_HOURS: i64 = 24;

/// Closes what is open, then ends the request.
pub(super) fn close(known: &Known<'_>) -> Next {
    let Some(ending) = &known.request.status.ending else { return Next::Rest(Rest::default()) };
    let give_up =
        ending.since.saturating_add(SignedDuration::from_hours(CLOSING_HOURS)).is_ok_and(|at| known.now >= at);
    if let Some(next) = leftovers_of_creation(known).filter(|_| !give_up) {
        return next;
    }
    let mut stuck: Vec<(&ChangeRequest, String)> = Vec::new();
    for known_one in known.request.status.change_requests.iter().filter(|one| is_open(one)) {
        let id = &known_one.id;
        let closed = || Next::record(Event::ChangeRequestClosed { change_request: id.clone() }, Actor::SIGNOFF);
        let act = Act::Close(id.clone());
        match known.facts.change_requests.get(id) {
            None if give_up => stuck.push((known_one, "it could not be read".to_owned())),
            None => return Next::Look(Look::ChangeRequest(id.clone())),
            Some(None) => return closed(),
            Some(Some(now)) if now.status == ChangeRequestStatus::Closed => return closed(),
            // Somebody applied it meanwhile: it can't be closed any more, and its grant is named in the outcome.
            Some(Some(now)) if now.status == ChangeRequestStatus::Applied => {}
            Some(Some(_)) => match known.facts.refused.get(&act) {
                Some(why) => stuck.push((known_one, why.clone())),
                None if known.facts.has_tried(&act) => stuck.push((known_one, "it stayed open".to_owned())),
                None => return Next::Act(act),
            },
        }
    }
    if !stuck.is_empty() && !give_up {
        let waiting = stuck.iter().map(|(one, why)| {
            let detail = format!("{}: change request {} can't be closed yet ({why}); close it at Pulumi Cloud, or let the principal do it", one.environment.qualified(), one.id);
            Blocker::new(BlockerKind::Closing, detail)
        });
        return Next::Rest(Rest { waiting: waiting.collect(), until: None });
    }
    let stuck: Vec<_> = stuck.into_iter().map(|(one, _)| one).collect();
    match Event::end(ending.to, with_leftovers(known, ending.outcome.clone(), &stuck)) {
        Some(event) => Next::end(event, ending.actor.clone()),
        None => Next::Rest(Rest::default()),
    }
}

/// Whether something at Pulumi Cloud would be left open if the request ended now.
pub(super) fn is_anything_open(known: &Known<'_>) -> bool {
    known.request.status.change_requests.iter().any(is_open) || is_creation_unclear(known)
}

fn is_open(change_request: &ChangeRequest) -> bool {
    change_request.applied_at.is_none() && change_request.status != ChangeRequestStatus::Closed
}

/// Whether a creation was begun whose outcome neither the ledger nor this look knows.
fn is_creation_unclear(known: &Known<'_>) -> bool {
    known.request.status.change_requests.is_empty() && known.work.note.opening.is_some() && known.facts.opened.is_none()
}

/// After a creation of which no outcome is recorded: waits until its effect shows, and closes the drafts that it left.
pub(super) fn leftovers_of_creation(known: &Known<'_>) -> Option<Next> {
    let opening = known.work.note.opening.as_ref().filter(|_| is_creation_unclear(known))?;
    if known.now < opening.settles_at {
        let detail = format!(
            "Pulumi Cloud did not say whether the open request was created; that is looked up at {}",
            opening.settles_at
        );
        return Some(Next::Rest(Rest {
            waiting: vec![Blocker::new(BlockerKind::PulumiCloud, detail)],
            until: Some(opening.settles_at),
        }));
    }
    let Some(drafts) = &known.facts.drafts else {
        return Some(match known.facts.identity {
            None => Next::Look(Look::Identity),
            Some(_) => Next::Look(Look::Drafts),
        });
    };
    let act = |id: &String| Act::Close(id.clone());
    if let Some(open) = drafts.iter().map(act).find(|act| !known.facts.has_tried(act)) {
        return Some(Next::Act(open));
    }
    let stuck = |id: &&String| known.facts.refused.contains_key(&act(id));
    if let Some(id) = drafts.iter().find(stuck) {
        let detail = format!(
            "the draft {id}, left over by an attempt to open a request, can't be closed yet; close it at Pulumi Cloud, or let the principal do it"
        );
        return Some(Next::wait(Blocker::new(BlockerKind::Closing, detail)));
    }
    Some(Next::Act(Act::ForgetOpening))
}

/// Adds to an outcome what is left at Pulumi Cloud: grants that are live, and change requests that could not be closed.
pub(super) fn with_leftovers(known: &Known<'_>, mut outcome: Outcome, stuck: &[&ChangeRequest]) -> Outcome {
    let status = &known.request.status;
    if matches!(status.state, State::Deploying) {
        return outcome;
    }
    for one in &status.change_requests {
        let applied = known
            .facts
            .change_requests
            .get(&one.id)
            .and_then(Option::as_ref)
            .is_some_and(|now| now.status == ChangeRequestStatus::Applied);
        let Some(from) = one.applied_at.or(applied.then_some(known.now)) else { continue };
        let until = from.saturating_add(known.request.ask.grant_expiration.duration()).unwrap_or(from);
        if until > known.now {
            let environment = one.environment.qualified();
            outcome.message.push_str(&format!(" The grant on {environment} can't be revoked: until {until} the principal can open it, and for {} from then on if it does.", known.request.ask.access_duration));
        }
    }
    if is_creation_unclear(known) {
        outcome.message.push_str(&format!(" It is not known whether drafts of open requests for {} were left at Pulumi Cloud: close those of the principal that have no description.", known.request.ask.gate.environment));
    }
    for one in stuck {
        let environment = one.environment.qualified();
        outcome.message.push_str(&format!(
            " The change request {} of {environment} could not be closed: close it at Pulumi Cloud.",
            one.id
        ));
    }
    outcome
}
