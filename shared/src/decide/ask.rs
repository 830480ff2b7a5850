//! From `requested` to `pending_approval`: the open requests are created and submitted, so that reviewers see them.

use super::{Known, Next, Rest, checks, closing, conflict, fail, mend, newer, stop};
use crate::blocker::{Blocker, BlockerKind};
use crate::event::{Actor, Event, Opened, Seen};
use crate::facts::{Act, Look};
use crate::gate::Gate;
use crate::ledger::Creation;
use crate::mark;
use crate::request::{ChangeRequest, ChangeRequestStatus, Outcome, State};
use crate::verdict;

/// Takes a request up.
pub(super) fn take_up(known: &Known<'_>) -> Next {
    // What was just created is recorded before anything else: an end that does not know of it would leave it open.
    if known.facts.opened.is_some() && known.request.status.change_requests.is_empty() {
        return open(known);
    }
    let gate = match checks::gate(known) {
        Ok(gate) => gate,
        Err(outcome) => return fail(known, outcome),
    };
    if known.now >= known.request.expires_at() {
        return stop(known, State::Expired, not_asked_in_time(known), Actor::SIGNOFF);
    }
    if let Some(next) = closing::leftovers_of_creation(known).or_else(|| newer::superseded(known, gate)) {
        return next;
    }
    if !known.request.status.change_requests.is_empty() {
        return submit(known, gate);
    }
    checks::unmet(known, gate).unwrap_or_else(|| open(known))
}

fn not_asked_in_time(known: &Known<'_>) -> Outcome {
    let message =
        format!("Its open requests could not be submitted within {}. Ask again.", known.request.ask.pending_timeout);
    Outcome::new("not-approved-in-time", message)
}

/// Creates the open requests, under the lock that tells whose a draft is.
fn open(known: &Known<'_>) -> Next {
    let environment = &known.request.ask.gate.environment;
    if let Some(created) = &known.facts.opened {
        let (Some(principal), Some(Ok(settings))) = (&known.facts.identity, &known.facts.settings) else {
            return Next::Look(Look::Identity);
        };
        let opened = created.iter().map(|one| Opened {
            id: one.id.clone(),
            environment: one.environment.clone(),
            revision: one.revision,
        });
        let event = Event::Opened {
            principal: principal.clone(),
            machine: known.facts.machine.clone(),
            settings: settings.fingerprint.clone(),
            change_requests: opened.collect(),
        };
        return Next::record(event, Actor::SIGNOFF);
    }
    if let Some(why) = known.facts.refused.get(&Act::RequestOpen) {
        return fail(
            known,
            Outcome::new(
                "open-refused",
                format!(
                    "Pulumi Cloud refused to open a request for {environment}: {why}. See that the environment exists, that its opens are gated, and that the principal may open it; then ask again."
                ),
            ),
        );
    }
    // After a clean-up the others get their chance before it is tried again.
    if known.facts.has_tried(&Act::ForgetOpening) {
        return Next::until(known.now);
    }
    match known.facts.creation {
        None => Next::Act(Act::LockCreation),
        Some(Creation::Theirs(other)) => {
            let principal = &known.request.ask.gate.principal;
            let detail = if known.facts.unreadable.contains(&other) {
                format!(
                    "{other} is being submitted as the principal {principal}, and can't be read, so that nobody knows how far it is: {}",
                    mend(other)
                )
            } else {
                format!("{other} is being submitted as the principal {principal}; this one comes after it")
            };
            Next::wait(Blocker::new(BlockerKind::EarlierRequest, detail))
        }
        Some(Creation::Ours) if known.facts.has_tried(&Act::RequestOpen) => conflict(known, &Act::RequestOpen),
        Some(Creation::Ours) => closing::leftovers_of_lost_ledger(known).unwrap_or(Next::Act(Act::RequestOpen)),
    }
}

/// Submits each draft, sees that it is what it should be, and records that all of them are.
fn submit(known: &Known<'_>, gate: &Gate) -> Next {
    let status = &known.request.status;
    let Some(principal) = &status.principal else { return Next::Rest(Rest::default()) };
    if !status.change_requests.iter().any(|one| one.environment == known.request.ask.gate.environment) {
        return fail(
            known,
            Outcome::new(
                "not-gated",
                format!(
                    "Opens of {} itself are not gated, only those of environments that it imports. Switch an Open ruleset on there, and ask again.",
                    known.request.ask.gate.environment
                ),
            ),
        );
    }
    // What they are submitted with says which branch the settings name.
    if let Some(next) = checks::settings(known, gate) {
        return next;
    }
    let description = known.description();
    let mut seen = Vec::new();
    for one in &status.change_requests {
        let act = Act::Submit(one.id.clone());
        match known.facts.change_requests.get(&one.id) {
            // Fresh from its creation: a draft for sure, and a look at it would tell nothing.
            None if known.facts.opened.is_some() && !known.facts.has_tried(&act) => return Next::Act(act),
            None => return Next::Look(Look::ChangeRequest(one.id.clone())),
            Some(None) => return gone(known, one),
            Some(Some(now)) if now.status == ChangeRequestStatus::Draft => {
                if let Some(what) = checks::foreign(known, one, now) {
                    return checks::fail_as_edited(known, one, &what);
                }
                if let Some(why) = known.facts.refused.get(&act) {
                    return fail(
                        known,
                        Outcome::new(
                            "submit-refused",
                            format!(
                                "Pulumi Cloud refused to submit the change request of {}: {why}. See what the principal may do there, and ask again.",
                                one.environment
                            ),
                        ),
                    );
                }
                return if known.facts.has_tried(&act) { conflict(known, &act) } else { Next::Act(act) };
            }
            Some(Some(now)) if now.status == ChangeRequestStatus::Closed => {
                return super::approval::rejected(known, one);
            }
            Some(Some(now)) => {
                // It may have been submitted by a look that died before it could record that.
                let same = mark::says_the_same(&now.description, &description);
                let said = mark::fingerprint(if same { &now.description } else { &description });
                let submitted = ChangeRequest { description_hash: Some(said), ..one.clone() };
                if let Some(what) = checks::edited(known, &submitted, now) {
                    return checks::fail_as_edited(known, one, &what);
                }
                let shown = verdict::judge(&known.request.ask, one, principal, now).seen;
                seen.push(Seen { description_hash: submitted.description_hash, ..shown });
            }
        }
    }
    Next::record(Event::Submitted { change_requests: seen }, Actor::SIGNOFF)
}

/// The end of a request whose change request is not there any more; until that is sure, it waits. What somebody may not see looks the same.
pub(super) fn gone(known: &Known<'_>, one: &ChangeRequest) -> Next {
    if !known.has_lost_it() {
        let detail = format!(
            "the change request {} of {} can't be found at Pulumi Cloud; it is looked for again. Should the principal {} have lost the right to see it, give that back",
            one.id, one.environment, known.request.ask.gate.principal
        );
        return Next::wait(Blocker::new(BlockerKind::PulumiCloud, detail));
    }
    let message = format!(
        "The change request {} of {} is gone, perhaps with its environment. Ask again.",
        one.id, one.environment
    );
    fail(known, Outcome::new("change-request-gone", message))
}
