//! Who caused a step, as the trail names them: compared with what the cloud's history and the calls to the API say.

use signoff_core::chain::Step;
use signoff_core::event::{Actor, Event};
use signoff_core::names::Login;
use signoff_core::request::{Outcome, Request, State, Status};

use crate::setup::PRINCIPAL;
use crate::world::{Current, World};

/// Judges who is named as the one who caused a step.
pub(super) fn caused(world: &mut World, before: Option<&Request>, step: &Step, event: &Event, writer: Current) {
    let status = &step.request.status;
    let actor = match &step.sealed.data.actor {
        Actor::Login(login) => Some(login.folded()),
        Actor::Service(_) => None,
    };
    let caller = world.judge.callers.get(&writer.task).cloned();
    let (right, named) = match event {
        // Whoever asks by a push is judged with it.
        Event::Requested(_) => ("who asked", caller.is_none() || actor == caller),
        Event::ApprovalSeen { .. } => ("who approved", has_approved(world, status, actor.as_ref())),
        // It may be the rules that changed, and nobody's approval.
        Event::Approved { .. } => ("who approved", actor.is_none() || has_approved(world, status, actor.as_ref())),
        Event::ApprovalWithdrawn { .. } | Event::Unapproved { .. } => {
            let withdrew = |who: &String| {
                let mut own = status.change_requests.iter();
                own.any(|one| world.judge.withdrawn.contains(&(one.id.clone(), who.clone())))
            };
            ("who withdrew", actor.as_ref().is_none_or(withdrew))
        }
        Event::Applied { change_request, .. } => {
            ("who applied", applied_by(world, status, &change_request.id, actor.as_ref()))
        }
        Event::Granted { change_requests, .. } => match &change_requests[..] {
            // Who applied it may stand in an event of its own, before this one.
            [one] => {
                let mut then = before.iter().flat_map(|before| &before.status.change_requests);
                let is_told = then.any(|then| then.id == one.id && then.applied_at.is_some());
                let named = actor.is_none() && is_told || applied_by(world, status, &one.id, actor.as_ref());
                ("who applied", named)
            }
            _ => ("who applied the last", actor.is_none()),
        },
        Event::GlassBroken { .. } => ("who broke the glass", actor.is_some() && actor == caller),
        Event::EndDecided { to, outcome, .. } => ended(world, status, *to, outcome, actor.as_ref(), caller.as_ref()),
        Event::Rejected { outcome, .. }
        | Event::Cancelled { outcome, .. }
        | Event::Expired { outcome, .. }
        | Event::Errored { outcome, .. }
        | Event::Succeeded { outcome, .. }
        | Event::Failed { outcome, .. } => match before.and_then(|before| before.status.ending.as_ref()) {
            Some(ending) => ("who decided that it ends", ending.actor == step.sealed.data.actor),
            None => ended(world, status, status.state, outcome, actor.as_ref(), caller.as_ref()),
        },
        Event::Opened { .. }
        | Event::Submitted { .. }
        | Event::Extended { .. }
        | Event::Deploying { .. }
        | Event::DuplicateFound { .. } => ("signoff", actor.is_none()),
        Event::ChangeRequestClosed { change_request } => {
            let closer = world.judge.closed.get(change_request);
            // It may have been with another's token, if the principal's was swapped.
            let is_principals = closer.is_none() || closer == status.principal.as_ref().map(Login::folded).as_ref();
            let is_ours = is_principals || world.judge.closed_by_call.contains(change_request);
            // It is not waited for long, nor for a history that is refused.
            let since = before.and_then(|before| before.status.ending.as_ref()).map(|ending| ending.since);
            let is_late = since.is_some_and(|since| status.updated_at.duration_since(since).as_mins() >= 10);
            let named = match &actor {
                Some(who) => !is_principals && closer == Some(who),
                None => is_ours || is_late || world.cloud.is_left_out(PRINCIPAL),
            };
            ("who closed it", named)
        }
    };
    world
        .coverage
        .add("named", format!("{} {}", if actor.is_some() { "somebody for" } else { "signoff for" }, event.word()));
    world.check("5 actor", named, || {
        format!("{actor:?} is named for {} of {}, and is not {right}", event.word(), step.request.ask.id)
    });
}

/// Who is named for an end, or for the decision that it ends.
fn ended(
    world: &World,
    status: &Status,
    to: State,
    outcome: &Outcome,
    actor: Option<&String>,
    caller: Option<&String>,
) -> (&'static str, bool) {
    let mut own = status.change_requests.iter();
    let judge = &world.judge;
    match (to, outcome.code.as_str()) {
        (State::Rejected, _) => {
            let closed = match actor {
                Some(who) => own.any(|one| {
                    let said = format!("{who} closed the change request of {}", one.environment.qualified());
                    judge.closed.get(&one.id) == Some(who) && outcome.message.to_lowercase().starts_with(&said)
                }),
                // Only a history that is refused names nobody.
                None => world.cloud.is_left_out(PRINCIPAL) || !own.any(|one| judge.closed.contains_key(&one.id)),
            };
            ("who closed it", closed)
        }
        (State::Cancelled, code) if code != "superseded" => ("who took it back", actor.is_some() && actor == caller),
        (_, "applied-without-approvals") => {
            let applied = |who: &String| own.any(|one| judge.applied.get(&one.id) == Some(who));
            ("who applied it", actor.is_none_or(applied))
        }
        _ => ("signoff", actor.is_none()),
    }
}

/// Whether somebody has approved one of its change requests, ever.
fn has_approved(world: &World, status: &Status, who: Option<&String>) -> bool {
    let approved = |who: &String| {
        let mut own = status.change_requests.iter();
        own.any(|one| world.judge.approved.contains(&(one.id.clone(), who.clone())))
    };
    who.is_some_and(approved)
}

/// Whether a change request was applied by whom the step names: somebody at Pulumi Cloud, or signoff as its principal.
fn applied_by(world: &World, status: &Status, id: &str, who: Option<&String>) -> bool {
    let principal = status.principal.as_ref().map(Login::folded);
    let by = world.judge.applied.get(id);
    by.is_some() && by == who.or(principal.as_ref())
}
