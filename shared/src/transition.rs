//! The state machine: which event may follow which state, and what it makes of a request's status.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::event::{Actor, Event, Seen};
use crate::request::{Asked, ChangeRequest, ChangeRequestStatus, Ending, State, Status};

/// An event that can't happen in this state. A conflict or a bug; nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} can't follow the state {}", .state.map_or("none", State::as_str))]
pub struct Illegal {
    /// The state; `None` before the first event.
    pub state: Option<State>,
    /// The event's word.
    pub event: &'static str,
}

/// The state after `event`; the whole table is checked in as `snapshots/*transition_table*`.
///
/// # Errors
/// [`Illegal`] if the event can't happen in this state.
pub fn next_state(state: Option<State>, event: &Event) -> Result<State, Illegal> {
    use State::{
        Approved, Cancelled, Deploying, Error, Expired, Failed, Granted, PendingApproval, Rejected, Requested,
        Succeeded,
    };
    let Some(now) = state else {
        return match event {
            Event::Requested(_) => Ok(Requested),
            other => Err(Illegal { state, event: other.word() }),
        };
    };
    match (now, event) {
        (Requested, Event::Opened { .. }) => Ok(now),
        (Requested, Event::Submitted { .. }) => Ok(PendingApproval),
        (PendingApproval | Approved, Event::ApprovalSeen { .. } | Event::ApprovalWithdrawn { .. }) => Ok(now),
        (PendingApproval | Approved, Event::Applied { .. }) => Ok(now),
        (PendingApproval, Event::Approved { .. }) => Ok(Approved),
        (Approved, Event::Unapproved { .. }) => Ok(PendingApproval),
        (Approved, Event::Extended { .. }) => Ok(now),
        (Requested | PendingApproval | Approved | Granted, Event::GlassBroken { .. }) => Ok(now),
        (Approved, Event::Granted { .. }) => Ok(Granted),
        (Granted, Event::Deploying { .. }) => Ok(Deploying),
        (Deploying, Event::DuplicateFound { .. }) => Ok(now),
        (Requested | PendingApproval | Approved | Granted, Event::EndDecided { .. }) => Ok(now),
        (Requested | PendingApproval | Approved, Event::ChangeRequestClosed { .. }) => Ok(now),
        (Deploying, Event::Succeeded { .. }) => Ok(Succeeded),
        (Deploying, Event::Failed { .. }) => Ok(Failed),
        (Requested | PendingApproval | Approved, Event::Rejected { .. }) => Ok(Rejected),
        (Requested | PendingApproval | Approved | Granted, Event::Expired { .. }) => Ok(Expired),
        (Requested | PendingApproval | Approved | Granted, Event::Cancelled { .. }) => Ok(Cancelled),
        (Requested | PendingApproval | Approved | Granted | Deploying, Event::Errored { .. }) => Ok(Error),
        (_, other) => Err(Illegal { state, event: other.word() }),
    }
}

/// The status after `event`, which `actor` caused, recorded at `at`. No rule is in here but the table's.
///
/// # Errors
/// [`Illegal`] if the event can't happen in this state.
pub fn apply(before: Option<&Status>, event: &Event, actor: &Actor, at: Timestamp) -> Result<Status, Illegal> {
    let state = next_state(before.map(|status| status.state), event)?;
    let mut status = before.cloned().unwrap_or(Status {
        state,
        sequence: 0,
        updated_at: at,
        principal: None,
        machine: None,
        settings: None,
        not_before: None,
        wait: None,
        wait_until: None,
        extended_until: None,
        lifted: BTreeSet::new(),
        change_requests: Vec::new(),
        grant: None,
        deployment: None,
        duplicates: Vec::new(),
        ending: None,
        outcome: None,
    });
    status.state = state;
    status.sequence += 1;
    status.updated_at = at;
    match event {
        Event::Requested(ask) => {
            status.not_before = ask.not_before;
            status.wait.clone_from(&ask.gate.wait);
        }
        Event::Opened { principal, machine, settings, change_requests } => {
            status.principal = Some(principal.clone());
            status.machine.clone_from(machine);
            status.settings = Some(settings.clone());
            status.change_requests = change_requests
                .iter()
                .map(|opened| ChangeRequest {
                    id: opened.id.clone(),
                    environment: opened.environment.clone(),
                    revision: opened.revision,
                    status: ChangeRequestStatus::Draft,
                    asked: Vec::new(),
                    description_hash: None,
                    approvals: Vec::new(),
                    applied_at: None,
                })
                .collect();
        }
        Event::Submitted { change_requests } => {
            change_requests.iter().for_each(|seen| {
                see(&mut status, seen);
                ask(&mut status, seen);
            });
        }
        Event::Approved { change_requests } => {
            change_requests.iter().for_each(|seen| see(&mut status, seen));
            status.wait_until = status.wait.as_ref().and_then(|wait| at.saturating_add(wait.duration()).ok());
        }
        Event::Unapproved { change_requests } => {
            change_requests.iter().for_each(|seen| see(&mut status, seen));
            status.wait_until = None;
        }
        Event::Extended { expires_at, .. } => status.extended_until = Some(*expires_at),
        Event::GlassBroken { lifted, .. } => status.lifted.extend(lifted),
        Event::ApprovalSeen { change_request } | Event::ApprovalWithdrawn { change_request } => {
            see(&mut status, change_request);
        }
        Event::Applied { change_request, applied_at } => {
            see(&mut status, change_request);
            stamp(&mut status, &change_request.id, *applied_at);
        }
        Event::Granted { change_requests, grant } => {
            for seen in change_requests {
                see(&mut status, seen);
                stamp(&mut status, &seen.id, grant.applied_at);
            }
            status.grant = Some(grant.clone());
        }
        Event::Deploying { deployment, .. } => {
            status.deployment = Some(deployment.clone());
            // What was approved has been acted on: the event of the submission keeps it, and the state, which is written with each step, stays small.
            status.change_requests.iter_mut().for_each(|known| known.description_hash = None);
        }
        Event::DuplicateFound { deployment, .. } => status.duplicates.push(deployment.version),
        Event::EndDecided { to, outcome, .. } => {
            status.ending = Some(Ending { to: *to, outcome: outcome.clone(), actor: actor.clone(), since: at });
        }
        Event::ChangeRequestClosed { change_request } => {
            if let Some(known) = status.change_requests.iter_mut().find(|known| known.id == *change_request) {
                known.status = ChangeRequestStatus::Closed;
            }
        }
        Event::Succeeded { outcome, .. }
        | Event::Failed { outcome, .. }
        | Event::Rejected { outcome, .. }
        | Event::Expired { outcome, .. }
        | Event::Cancelled { outcome, .. }
        | Event::Errored { outcome, .. } => {
            status.ending = None;
            status.outcome = Some(outcome.clone());
        }
    }
    Ok(status)
}

fn see(status: &mut Status, seen: &Seen) {
    if let Some(known) = status.change_requests.iter_mut().find(|known| known.id == seen.id) {
        known.status = seen.status.clone();
        known.approvals = seen.approvals.clone();
    }
}

fn ask(status: &mut Status, seen: &Seen) {
    if let Some(known) = status.change_requests.iter_mut().find(|known| known.id == seen.id) {
        let ids = seen.rulesets.iter().cloned();
        let asked = |(id, approvals): (String, &crate::request::Approvals)| Asked {
            id,
            ruleset: approvals.ruleset.clone(),
            required: approvals.required,
        };
        known.asked = ids.zip(&seen.approvals).map(asked).collect();
        known.description_hash.clone_from(&seen.description_hash);
    }
}

/// Keeps the first time of an apply: later ones would move the grant's end.
fn stamp(status: &mut Status, id: &str, at: Timestamp) {
    if let Some(known) = status.change_requests.iter_mut().find(|known| known.id == id) {
        known.applied_at.get_or_insert(at);
    }
}

#[cfg(test)]
mod tests;
