//! From `granted` to the end: one deployment is created, and followed until it is over.

use jiff::SignedDuration;

use super::{Known, Next, Record, Rest, checks, fail, moment, newer, stop};
use crate::blocker::{Blocker, BlockerKind};
use crate::cloud::{DeploymentNow, DeploymentStatus};
use crate::event::{Actor, Event};
use crate::facts::{Act, Look};
use crate::gate::Gate;
use crate::ledger::LineChange;
use crate::names::Operation;
use crate::request::{ChangeRequestStatus, Deployment, Outcome, State};
use crate::verdict;

/// After how many days without an end a deployment counts as lost: the queue's seven and one.
pub const LOST_AFTER_DAYS: i64 = 8;

/// Creates the deployment, unless one that carries the mark exists.
pub(super) fn create(known: &Known<'_>) -> Next {
    if let Some(deployment) = &known.facts.deployed {
        return created(known, deployment.clone(), None);
    }
    if let Some(intent) = known.work.intent.as_ref().filter(|intent| known.now < intent.settles_at) {
        let detail = format!(
            "Pulumi Cloud did not say whether the deployment was created; that is looked up at {}",
            intent.settles_at
        );
        let waiting = vec![Blocker::new(BlockerKind::PulumiCloud, detail)];
        return Next::Rest(Rest { waiting, until: Some(intent.settles_at), ..Rest::default() });
    }
    // It may have been created, even without an intent: the ledger may have been restored from a backup. Until the stack's deployments were
    // searched, nothing else is decided.
    if let Err(next) = search(known) {
        return next;
    }
    let gate = match checks::gate(known) {
        Ok(gate) => gate,
        Err(outcome) => return fail(known, outcome),
    };
    if let Some(why) = known.facts.refused.get(&Act::Deploy) {
        return fail(
            known,
            Outcome::new(
                "deployment-refused",
                format!(
                    "Pulumi Cloud refused the deployment of {}: {why}. Mend that, and ask again.",
                    known.request.ask.stack
                ),
            ),
        );
    }
    if known.request.status.grant.as_ref().is_some_and(|grant| moment::is_past(known, grant.applied_at)) {
        let message = "It is later than the latest that was asked for. Nothing is deployed. Ask again.";
        return stop(known, State::Expired, Outcome::new("not-deployed-in-time", message), Actor::SIGNOFF);
    }
    if known.request.status.grant.as_ref().is_none_or(|grant| known.now >= grant.expires_at) {
        let message = format!(
            "The grant ran out before the deployment could be created{}. Nothing is deployed. Ask again.",
            super::waited_for(known)
        );
        return stop(known, State::Expired, Outcome::new("not-deployed-in-time", message), Actor::SIGNOFF);
    }
    if known.facts.gates.hold {
        return Next::wait(Blocker::new(
            BlockerKind::Hold,
            "the operator holds all gates: nothing is applied or deployed until hold is switched off",
        ));
    }
    if let Some(next) = moment::closed_again(known, gate)
        .or_else(|| newer::overtaken(known, gate))
        .or_else(|| checks::unmet(known, gate))
        .or_else(|| unapplied(known))
        .or_else(|| checks::unseen(known))
    {
        return next;
    }
    if known.facts.has_tried(&Act::Deploy) { super::conflict(known, &Act::Deploy) } else { Next::Act(Act::Deploy) }
}

/// The deployment exists: where the gate keeps to the order of updates, the line says which was the last.
fn created(known: &Known<'_>, deployment: Deployment, status: Option<String>) -> Next {
    let ask = &known.request.ask;
    let keeps_order = known.facts.gates.gate_of(&ask.stack).is_some_and(Gate::keeps_order);
    let line = if keeps_order && ask.operation == Operation::Update { LineChange::Deployed } else { LineChange::Keep };
    let event = Box::new(Event::Deploying { deployment, status });
    Next::Record(Record { event, actor: Actor::SIGNOFF, line })
}

/// Every change request has to be applied, with enough approvals that count, as this very look sees it.
fn unapplied(known: &Known<'_>) -> Option<Next> {
    let status = &known.request.status;
    let wrong = |message: String| Some(fail(known, Outcome::new("applied-without-approvals", message)));
    let Some(principal) = &status.principal else {
        return wrong("Nobody knows who applied. Nothing is deployed. Ask again.".to_owned());
    };
    if status.change_requests.is_empty() {
        return wrong("There is no change request. Nothing is deployed. Ask again.".to_owned());
    }
    for one in &status.change_requests {
        let now = match known.facts.change_requests.get(&one.id) {
            None => return Some(Next::Look(Look::ChangeRequest(one.id.clone()))),
            Some(None) => return Some(super::ask::gone(known, one)),
            Some(Some(now)) => now,
        };
        if let Some(what) = checks::edited(known, one, now) {
            return Some(checks::fail_as_edited(known, one, &what));
        }
        let verdict = verdict::judge(&known.request.ask, one, principal, now);
        if now.status != ChangeRequestStatus::Applied || !verdict.enough {
            let why =
                verdict.blocker.map_or_else(|| format!("it is {}", now.status.as_str()), |blocker| blocker.detail);
            return wrong(format!(
                "The change request {} is not applied with enough approvals that count ({why}). Nothing is deployed. Ask again.",
                one.id
            ));
        }
    }
    None
}

/// Looks for a deployment that carries the mark. `Ok`: there is none.
fn search(known: &Known<'_>) -> Result<(), Next> {
    let Some(activity) = &known.facts.activity else { return Err(Next::Look(Look::Activity)) };
    // Should there be two, the first one is it: the other may still be in the queue, where it can be stopped.
    let Some(found) = activity.marked.iter().min_by_key(|one| one.deployment.version) else { return Ok(()) };
    if is_ours(known, found) {
        let (deployment, status) = (found.deployment.clone(), Some(found.status.as_str().to_owned()));
        return Err(created(known, deployment, status));
    }
    let message = format!(
        "Deployment {} carries this request's mark, but is not what was asked for. Nothing is deployed. See who created it, and ask again.",
        found.deployment.version
    );
    Err(fail(known, Outcome::new("foreign-mark", message)))
}

/// Whether a marked deployment is one that signoff created for this request: what it does and the commit are as asked. (Only deployments of
/// the principal's, made since the request was, are searched for the mark.)
fn is_ours(known: &Known<'_>, found: &DeploymentNow) -> bool {
    let ask = &known.request.ask;
    let commit = match (&ask.commit, &found.commit) {
        (Some(asked), Some(found)) => asked.as_str() == found,
        (Some(_), None) => false,
        (None, _) => true,
    };
    commit && found.operation.as_deref().is_none_or(|operation| operation == ask.operation.as_str())
}

/// Follows the deployment to its end.
pub(super) fn follow(known: &Known<'_>) -> Next {
    let Some(deployment) = &known.request.status.deployment else {
        return fail(
            known,
            Outcome::new(
                "deployment-lost",
                "It is not known which deployment this is. Look at the stack's deployments at Pulumi Cloud.",
            ),
        );
    };
    let Some(activity) = &known.facts.activity else { return Next::Look(Look::Activity) };
    if let Some(second) = activity.marked.iter().find(|one| {
        one.deployment.id != deployment.id && !known.request.status.duplicates.contains(&one.deployment.version)
    }) && let Some(next) = duplicate(known, second)
    {
        return next;
    }
    let seen = match (&activity.own, &known.facts.deployment) {
        (Some(status), _) | (None, Some(Some(status))) => status,
        (None, None) => return Next::Look(Look::Deployment),
        (None, Some(None)) => return lost(known, deployment),
    };
    let too_late = known.request.status.grant.as_ref().is_none_or(|grant| known.now >= grant.expires_at);
    match seen {
        DeploymentStatus::Succeeded => over(
            known,
            State::Succeeded,
            "succeeded",
            format!("Deployment {} of {} succeeded.", deployment.version, known.request.ask.stack),
        ),
        DeploymentStatus::Skipped | DeploymentStatus::Failed if known.work.note.cancelled => over(
            known,
            State::Failed,
            "deployment-not-started",
            format!(
                "Deployment {} had not started when it was last seen before its grant ran out, and was cancelled. See whether it did anything: {}. Ask again when the stack's queue is free.",
                deployment.version, deployment.url
            ),
        ),
        DeploymentStatus::Failed => over(
            known,
            State::Failed,
            "deployment-failed",
            format!(
                "Deployment {} failed, or was cancelled at Pulumi Cloud. See its logs: {}",
                deployment.version, deployment.url
            ),
        ),
        DeploymentStatus::Skipped => over(
            known,
            State::Failed,
            "deployment-skipped",
            format!(
                "Pulumi Cloud skipped deployment {}, or it was cancelled before it ran. Ask again.",
                deployment.version
            ),
        ),
        DeploymentStatus::NotStarted | DeploymentStatus::Accepted if too_late => {
            let act = Act::CancelDeployment(deployment.id.clone());
            if known.facts.has_tried(&act) { overdue(known, deployment) } else { Next::Act(act) }
        }
        DeploymentStatus::NotStarted
        | DeploymentStatus::Accepted
        | DeploymentStatus::Running
        | DeploymentStatus::Unknown(_) => overdue(known, deployment),
    }
}

fn over(known: &Known<'_>, to: State, code: &str, mut message: String) -> Next {
    for version in &known.request.status.duplicates {
        message
            .push_str(&format!(" Another deployment with this request's mark was found: {version}. See what it did."));
    }
    match Event::end(to, Outcome::new(code, message), super::rests_on(known)) {
        Some(event) => Next::end(event, Actor::SIGNOFF),
        None => Next::Rest(Rest::default()),
    }
}

/// A second deployment of this request: cancelled while it is queued, and reported once.
fn duplicate(known: &Known<'_>, second: &DeploymentNow) -> Option<Next> {
    if known.request.status.duplicates.contains(&second.deployment.version) {
        return None;
    }
    let act = Act::CancelDeployment(second.deployment.id.clone());
    let queued = matches!(second.status, DeploymentStatus::NotStarted | DeploymentStatus::Accepted);
    if queued && !known.facts.has_tried(&act) {
        return Some(Next::Act(act));
    }
    let facts = known.facts;
    let cancelled = facts.has_tried(&act) && !facts.refused.contains_key(&act) && !facts.conflicts.contains_key(&act);
    Some(Next::record(Event::DuplicateFound { deployment: second.deployment.clone(), cancelled }, Actor::SIGNOFF))
}

fn lost(known: &Known<'_>, deployment: &Deployment) -> Next {
    if known.has_lost_it() {
        let message = format!(
            "Deployment {} of {} can't be found any more. See at Pulumi Cloud what became of it: {}",
            deployment.version, known.request.ask.stack, deployment.url
        );
        return over(known, State::Error, "deployment-lost", message);
    }
    Next::wait(Blocker::new(
        BlockerKind::PulumiCloud,
        format!("deployment {} can't be found at Pulumi Cloud; it is looked for again", deployment.version),
    ))
}

/// Not over yet: rests, unless it takes longer than any deployment may.
fn overdue(known: &Known<'_>, deployment: &Deployment) -> Next {
    let limit = SignedDuration::from_hours(24 * LOST_AFTER_DAYS);
    let began = known.request.status.grant.as_ref().map_or(known.request.status.updated_at, |grant| grant.applied_at);
    if began.saturating_add(limit).is_ok_and(|at| known.now >= at) {
        let message = format!(
            "Deployment {} has no end after {LOST_AFTER_DAYS} days, and is not followed any longer. See at Pulumi Cloud what became of it: {}",
            deployment.version, deployment.url
        );
        return over(known, State::Error, "deployment-lost", message);
    }
    Next::Rest(Rest::default())
}
