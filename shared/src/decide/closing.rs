//! Ends without a deployment: every change request that is still open is closed, as far as the principal may.

use jiff::SignedDuration;

use super::{Known, Next, Rest, rests_on};
use crate::blocker::{Blocker, BlockerKind};
use crate::event::{Actor, Event};
use crate::facts::{Act, Look};
use crate::names::{EnvironmentName, Login};
use crate::request::{ChangeRequest, ChangeRequestStatus, Outcome, State};

/// For how long a change request that can't be closed is tried again, in hours.
pub const CLOSING_HOURS: i64 = 24;
/// For how long it is tried to find out who closed a change request, in minutes.
const NAMING_MINUTES: i64 = 10;
/// After how many minutes a request that nobody seems to have taken up is looked for at Pulumi Cloud before it is.
const LATE_MINUTES: i64 = 10;

/// Closes what is open, then ends the request.
pub(super) fn close(known: &Known<'_>) -> Next {
    let Some(ending) = &known.request.status.ending else { return Next::Rest(Rest::default()) };
    let is_past = |time: SignedDuration| ending.since.saturating_add(time).is_ok_and(|at| known.now >= at);
    let give_up = is_past(SignedDuration::from_hours(CLOSING_HOURS));
    let leftovers = || leftovers_of_creation(known).or_else(|| leftovers_of_lost_ledger(known));
    if let Some(next) = leftovers().filter(|_| !give_up) {
        return next;
    }
    let mut stuck: Vec<(&ChangeRequest, String)> = Vec::new();
    // Gone for good, as far as can be seen: they hold up nothing, but are named.
    let mut vanished = Vec::new();
    for known_one in known.request.status.change_requests.iter().filter(|one| is_open(one)) {
        let id = &known_one.id;
        let act = Act::Close(id.clone());
        match known.facts.change_requests.get(id) {
            None if give_up => stuck.push((known_one, "it could not be read".to_owned())),
            None => return Next::Look(Look::ChangeRequest(id.clone())),
            // Gone with its environment; or out of sight, since the principal lost a right or the token belongs to somebody else now.
            Some(None) => match known.facts.identity.as_ref() {
                None if give_up => stuck.push((known_one, "it could not be found".to_owned())),
                None => return Next::Look(Look::Identity),
                Some(login) if known.request.status.principal.as_ref() == Some(login) => {
                    if known.has_lost_it() || give_up {
                        vanished.push(known_one);
                    } else {
                        stuck.push((known_one, "it can't be found, and is looked for again".to_owned()));
                    }
                }
                Some(login) => {
                    stuck.push((
                        known_one,
                        format!("it can't be found with the token of {login}, who did not create it"),
                    ));
                }
            },
            Some(Some(now)) if now.status == ChangeRequestStatus::Closed => {
                let is_refused = known.facts.refused.contains_key(&act) || known.facts.conflicts.contains_key(&act);
                let is_ours = known.facts.has_tried(&act) && !is_refused;
                // An end does not wait for long for a history that can't be read.
                let is_late = is_past(SignedDuration::from_mins(NAMING_MINUTES));
                let by = if is_ours || is_late { Some(None) } else { closer(known, id) };
                let Some(by) = by else { return Next::Look(Look::WhoClosed(id.clone())) };
                let actor = by.map_or(Actor::SIGNOFF, Actor::Login);
                return Next::record(Event::ChangeRequestClosed { change_request: id.clone() }, actor);
            }
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
        return Next::Rest(Rest { waiting: waiting.collect(), ..Rest::default() });
    }
    let stuck: Vec<_> = stuck.into_iter().map(|(one, _)| one).chain(vanished).collect();
    if let Some(look) = unsearched(known).filter(|_| !give_up) {
        return look;
    }
    match Event::end(ending.to, with_leftovers(known, ending.outcome.clone(), &stuck), rests_on(known)) {
        Some(event) => Next::end(event, ending.actor.clone()),
        None => Next::Rest(Rest::default()),
    }
}

/// Who else than signoff closed a change request, as far as its history says; `None`: that was not looked up yet.
fn closer(known: &Known<'_>, id: &str) -> Option<Option<Login>> {
    let closed = known.facts.closed_by.get(id)?;
    let by = closed.as_ref().map(|(login, _)| login.clone());
    Some(by.filter(|login| known.request.status.principal.as_ref() != Some(login)))
}

/// Whether something at Pulumi Cloud would be left open if the request ended now.
pub(super) fn is_anything_open(known: &Known<'_>) -> bool {
    known.request.status.change_requests.iter().any(is_open) || is_creation_unclear(known)
}

fn is_open(change_request: &ChangeRequest) -> bool {
    change_request.applied_at.is_none() && change_request.status != ChangeRequestStatus::Closed
}

/// Whether a creation was begun whose outcome neither the ledger nor this look knows. What is on record may be another one's: of a worker that
/// stood still between its creation and the record, while a later look began its own. Once it is submitted that is over: who died before the note was taken
/// back may have given the creation lock to somebody else, whose drafts are not ours.
fn is_creation_unclear(known: &Known<'_>) -> bool {
    let is_creating = known.request.status.state == State::Requested && known.facts.opened.is_none();
    is_creating && known.work.note.opening.is_some()
}

/// Where something is applied and no deployment is recorded, the stack's deployments are searched for the mark before it is said that none was
/// created: a ledger that was restored from a backup may not know of it. `None`: that was done, or is not needed.
pub(super) fn unsearched(known: &Known<'_>) -> Option<Next> {
    let status = &known.request.status;
    let seen_applied =
        known.facts.change_requests.values().flatten().any(|now| now.status == ChangeRequestStatus::Applied);
    let needed = status.deployment.is_none() && (status.is_any_applied() || seen_applied);
    (needed && known.facts.activity.is_none()).then_some(Next::Look(Look::Activity))
}

/// After a creation of which no outcome is recorded: waits until its effect shows, and closes what it left.
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
            ..Rest::default()
        }));
    }
    if let (Some(before), Some(now)) = (&known.work.note.opening_as, &known.facts.identity)
        && before != now
    {
        return Some(someone_elses(known, before, now));
    }
    Some(close_leftovers(known).unwrap_or(Next::Act(Act::ForgetOpening)))
}

/// What one login created, another can't see: that is the end, and until the end the token's owner may come back.
fn someone_elses(known: &Known<'_>, before: &Login, now: &Login) -> Next {
    let principal = &known.request.ask.gate.principal;
    if known.request.status.ending.is_none() {
        let message = format!(
            "The token of the principal {principal} now belongs to {now}; the open request was made by {before}. Give the principal its own token back, or ask again."
        );
        return super::fail(known, Outcome::new("principal-changed", message));
    }
    let detail = format!(
        "{before} may have left drafts of open requests, which {now} can't see; give the principal {principal} the token of {before} back"
    );
    Next::wait(Blocker::new(BlockerKind::Closing, detail))
}

/// Where a request is taken up so late that it must have been taken up before, by a ledger that was lost since: closes what that one left.
pub(super) fn leftovers_of_lost_ledger(known: &Known<'_>) -> Option<Next> {
    let age = known.now.duration_since(known.request.ask.created_at);
    let late = age >= SignedDuration::from_mins(LATE_MINUTES);
    let nothing_known = known.request.status.change_requests.is_empty() && known.facts.opened.is_none();
    if late && nothing_known { close_leftovers(known) } else { None }
}

/// Finds and closes what an earlier attempt left. `None`: nothing is left.
fn close_leftovers(known: &Known<'_>) -> Option<Next> {
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
            "the change request {id}, left over by an attempt to open a request, can't be closed yet; close it at Pulumi Cloud, or let the principal do it"
        );
        return Some(Next::wait(Blocker::new(BlockerKind::Closing, detail)));
    }
    None
}

/// What an outcome says when it remained without an answer whether the deployment was created.
pub(crate) const DEPLOYMENT_MAY_EXIST: &str =
    " It is not known whether a deployment was created: look at the stack's deployments at Pulumi Cloud.";

/// What an outcome says when a creation remained without an answer.
pub(crate) fn drafts_may_be_left(environment: &EnvironmentName) -> String {
    format!(
        " It is not known whether drafts of open requests for {environment} were left at Pulumi Cloud: close those of the principal."
    )
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
    let found = known
        .facts
        .activity
        .as_ref()
        .and_then(|activity| activity.marked.iter().min_by_key(|one| one.deployment.version));
    if let Some(found) = found.filter(|_| status.deployment.is_none() && outcome.code != "foreign-mark") {
        outcome.message = outcome.message.replace(" Nothing is deployed.", "");
        outcome.message.push_str(&format!(
            " But deployment {} carries this request's mark, and signoff does not follow it: see what it did at {}.",
            found.deployment.version, found.deployment.url
        ));
    }
    let unseen = known.facts.activity.as_ref().is_none_or(|activity| activity.unseen);
    if known.work.intent.is_some() && status.deployment.is_none() && unseen {
        outcome.message = outcome.message.replace(" Nothing is deployed.", "");
        outcome.message.push_str(DEPLOYMENT_MAY_EXIST);
    }
    if is_creation_unclear(known) {
        outcome.message.push_str(&drafts_may_be_left(&known.request.ask.gate.environment));
    }
    for one in stuck {
        let environment = one.environment.qualified();
        outcome.message.push_str(&format!(
            " The change request {} of {environment} could not be closed: if it is there, close it at Pulumi Cloud.",
            one.id
        ));
    }
    outcome
}
