//! The looks of a look: each reads one thing, at Pulumi Cloud or in the ledger, into the facts.

use jiff::{SignedDuration, Timestamp};

use crate::cloud::{ChangeRequestNow, CloudError, DEPLOYMENTS_PER_PAGE, Listed, PulumiCloud, StatusChanges};
use crate::facts::{Act, Activity, Facts, Look, Newer, Other};
use crate::host::Host;
use crate::ledger::{Ledger, LedgerError, Line, Loaded};
use crate::look::Gatekeeper;
use crate::mark;
use crate::request::{Ask, ChangeRequestStatus, Request};

/// How many pages of a stack's deployments are searched for the mark. What lies beyond was made before any request that is still open, unless
/// a stack has a thousand deployments in the life of one; then it is not decided rather than overlooked.
const MAX_PAGES: u32 = 10;
/// By how much Pulumi Cloud's clock and ours may differ, in minutes: so much more is searched.
const SKEW_MINUTES: i64 = 5;
/// The same for drafts, in minutes. Less, since a draft carries no mark that could be relied on: another installation with the same principal may
/// have one.
const DRAFT_SKEW_MINUTES: i64 = 1;

/// Takes one look. The inner error is Pulumi Cloud's, for the caller to wait on.
pub(crate) async fn look<L: Ledger, P: PulumiCloud, H: Host>(
    keeper: &Gatekeeper<L, P, H>,
    loaded: &Loaded,
    facts: &mut Facts,
    look: &Look,
) -> Result<Result<(), CloudError>, LedgerError> {
    if *look == Look::Line {
        line(keeper, loaded, facts).await?;
        return Ok(Ok(()));
    }
    if *look == Look::Newer {
        let ask = &loaded.request.ask;
        facts.newer = Some(newer(ask, &keeper.ledger.line(&ask.stack).await?));
        return Ok(Ok(()));
    }
    if *look == Look::Drafts {
        return Ok(drafts(keeper, loaded, facts).await?.map(|drafts| facts.drafts = Some(drafts)));
    }
    Ok(at_pulumi_cloud(keeper, loaded, facts, look).await)
}

async fn line<L: Ledger, P, H: Host>(
    keeper: &Gatekeeper<L, P, H>,
    loaded: &Loaded,
    facts: &mut Facts,
) -> Result<(), LedgerError> {
    let ask = &loaded.request.ask;
    let line = keeper.ledger.line(&ask.stack).await?;
    if line.turn == Some(ask.id) {
        facts.turn = Some(true);
    }
    facts.holder = line.turn.filter(|id| *id != ask.id);
    facts.newer = Some(newer(ask, &line));
    let mut others = Vec::new();
    for other in line.waiting.iter().filter(|other| other.id != ask.id) {
        let found = match keeper.ledger.load(other.id).await {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            // It may be about to deploy, so it is not passed over; but whoever waits for it has to be told so.
            Err(LedgerError::Broken(why)) => {
                tracing::error!(request = %other.id, why, "an item makes no sense; it waits for a person");
                facts.unreadable.insert(other.id);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Request { ask: other_ask, status, .. } = found.request;
        // One that ends without having applied anything stands in nobody's way.
        if status.ending.is_none() || status.is_any_applied() {
            let overtaken = line.has_overtaken(&other_ask)
                && facts.gates.gate_of(&ask.stack).is_some_and(|gate| gate.minds_newer(&other_ask));
            let waits = status.held_until(keeper.host.now()).is_some() || overtaken;
            let held = !status.is_any_applied() && waits;
            others.push(Other { place: other.clone(), state: status.state, held });
        }
    }
    facts.line = Some(others);
    Ok(())
}

fn newer(ask: &Ask, line: &Line) -> Newer {
    let later = line.waiting.iter().filter(|other| other.push && other.position > ask.position);
    Newer { push: later.max_by_key(|other| other.position).map(|other| other.id), deployed: line.has_overtaken(ask) }
}

async fn at_pulumi_cloud<L, P: PulumiCloud, H: Host>(
    keeper: &Gatekeeper<L, P, H>,
    loaded: &Loaded,
    facts: &mut Facts,
    look: &Look,
) -> Result<(), CloudError> {
    let cloud = &keeper.cloud;
    let (ask, status) = (&loaded.request.ask, &loaded.request.status);
    let (principal, organization) = (&ask.gate.principal, &ask.stack.organization);
    match look {
        Look::Line | Look::Newer | Look::Drafts => {}
        Look::Identity => {
            let identity = cloud.identity(principal).await?;
            (facts.identity, facts.machine) = (Some(identity.login), identity.machine.map(|machine| machine.name));
        }
        Look::Settings => facts.settings = Some(refusable(cloud.settings(principal, &ask.stack).await)?),
        Look::Rulesets => facts.rulesets = Some(refusable(cloud.rulesets(principal, &ask.gate.environment).await)?),
        Look::ChangeRequest(id) => {
            let found = findable(cloud.change_request(principal, organization, id).await)?;
            facts.change_requests.insert(id.clone(), found);
        }
        Look::Durations(id) => {
            let environment = status.change_request(id).map_or(&ask.gate.environment, |one| &one.environment);
            // It conflicts with a change of the environment that was just made, which passes. Once something is applied it has to pass soon.
            let is_applied = status.is_any_applied() || facts.tried.iter().any(|act| matches!(act, Act::Apply(_)));
            let durations = match cloud.durations(principal, environment, id).await {
                Err(CloudError::Conflict(why)) if !is_applied => Err(why),
                answer => Ok(answer?),
            };
            facts.durations.insert(id.clone(), durations);
        }
        Look::WhoClosed(id) => {
            // Who it was is good to know, but nothing waits for it: a history that is refused names nobody.
            let history = refusable(cloud.status_changes(principal, organization, id).await)?.unwrap_or_default();
            let closed = history.changes.into_iter().rev().find(|change| change.to == ChangeRequestStatus::Closed);
            facts.closed_by.insert(id.clone(), closed.map(|change| (change.by, change.comment)));
        }
        Look::WhoWithdrew(id) => {
            // As for who closed it: nothing waits for it.
            let withdrawn = refusable(cloud.withdrawn(principal, organization, id).await)?.unwrap_or_default();
            facts.withdrawn.insert(id.clone(), withdrawn);
        }
        Look::WhenApplied(id) => {
            // Who applied it stands in the trail: a history that can't be had now is waited for, and nobody is named in their place.
            let StatusChanges { changes, is_whole } = cloud.status_changes(principal, organization, id).await?;
            let applied = changes.into_iter().find(|change| change.to == ChangeRequestStatus::Applied);
            if applied.is_none() && !is_whole {
                let why = format!("the history of the change request {id} is too long to find out who applied it");
                return Err(CloudError::Unclear(why));
            }
            let now = keeper.host.now();
            facts.applied_at.insert(id.clone(), applied.as_ref().map_or(now, |change| change.at.min(now)));
            let other = applied.map(|change| change.by).filter(|by| status.principal.as_ref() != Some(by));
            facts.applied_by.extend(other.map(|by| (id.clone(), by)));
        }
        Look::Activity => facts.activity = Some(activity(keeper, loaded, facts).await?),
        Look::Deployment => {
            let Some(deployment) = &status.deployment else { return Ok(()) };
            let found = findable(cloud.deployment(principal, &ask.stack, &deployment.id).await)?;
            facts.deployment = Some(found.map(|found| found.status));
        }
    }
    Ok(())
}

/// An answer, or the reason why there is none for this principal; that is something to decide on, and not to wait for.
fn refusable<T>(answer: Result<T, CloudError>) -> Result<Result<T, String>, CloudError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(CloudError::NotFound(why) | CloudError::Refused { message: why, .. }) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}

/// What was found, or that it is not there.
fn findable<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CloudError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an earlier attempt left behind, apart from what is on record. What the principal has made since a creation began is ours, since one request at a
/// time creates open requests as a principal: whatever its description says, and even if somebody has submitted it meanwhile; unless it is known to be
/// another one's. And what carries the request's mark is ours whenever it was made: a ledger that was restored from a backup may not know of it.
async fn drafts<L: Ledger, P: PulumiCloud, H>(
    keeper: &Gatekeeper<L, P, H>,
    loaded: &Loaded,
    facts: &Facts,
) -> Result<Result<Vec<String>, CloudError>, LedgerError> {
    let (ask, status) = (&loaded.request.ask, &loaded.request.status);
    let Some(login) = &facts.identity else { return Ok(Ok(Vec::new())) };
    let opening = loaded.work.note.opening.as_ref();
    let before = |at: Timestamp, minutes| at.saturating_sub(SignedDuration::from_mins(minutes)).unwrap_or(at);
    let since = before(ask.created_at, SKEW_MINUTES);
    let drafts_since = opening.map(|opening| before(opening.at, DRAFT_SKEW_MINUTES));
    let found = match keeper.cloud.open_requests_since(&ask.gate.principal, &ask.stack.organization, since).await {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let mut ours = Vec::new();
    for one in found {
        let can_be = one.is_open && one.created_by == *login && status.change_request(&one.id).is_none();
        let is_over = matches!(one.status, ChangeRequestStatus::Applied | ChangeRequestStatus::Closed);
        if !can_be || is_over {
            continue;
        }
        let is_fresh = drafts_since.is_some_and(|since| one.created_at >= since);
        let is_ours = mark::carries(&one.description, &keeper.installation, ask.id);
        if is_ours || is_fresh && !is_of_another(keeper, ask, &one).await? {
            ours.push(one.id);
        }
    }
    Ok(Ok(ours))
}

/// Whether another request has the change request on record. What another installation has is not known here: there the mark has to do, which a
/// draft does not have yet.
async fn is_of_another<L: Ledger, P, H>(
    keeper: &Gatekeeper<L, P, H>,
    ask: &Ask,
    one: &ChangeRequestNow,
) -> Result<bool, LedgerError> {
    if keeper.ledger.pointed(&ask.stack.organization, &one.id).await?.is_some_and(|id| id != ask.id) {
        return Ok(true);
    }
    match mark::of(&one.description) {
        None => Ok(false),
        Some(_) if one.status == ChangeRequestStatus::Draft => Ok(false),
        Some((installation, id)) if installation == keeper.installation => {
            match keeper.ledger.load(id).await {
                Ok(found) => Ok(found.is_some_and(|found| found.request.status.change_request(&one.id).is_some())),
                // What can't be read may have it on record: then it is not ours to close.
                Err(LedgerError::Broken(why)) => {
                    tracing::error!(request = %id, why, "an item makes no sense; it waits for a person");
                    Ok(true)
                }
                Err(error) => Err(error),
            }
        }
        Some(_) => Ok(true),
    }
}

/// What goes on at the stack, and which of its deployments carry the mark. Only the single deployment shows its variables, so those that the
/// principal requested with this operation since the request was made are read one by one, each once.
async fn activity<L, P: PulumiCloud, H>(
    keeper: &Gatekeeper<L, P, H>,
    loaded: &Loaded,
    facts: &Facts,
) -> Result<Activity, CloudError> {
    let (ask, status) = (&loaded.request.ask, &loaded.request.status);
    let principal = &ask.gate.principal;
    let login = status.principal.as_ref().or(facts.identity.as_ref());
    let since = ask.created_at.saturating_sub(SignedDuration::from_mins(SKEW_MINUTES)).unwrap_or(ask.created_at);
    let own = status.deployment.as_ref().map(|own| own.id.as_str());
    // A deployment's variables never change: what was read once is not read again.
    let mut searched = loaded.work.note.searched;
    let mut seen = Activity::default();
    for number in 1.. {
        let Some(page) = findable(keeper.cloud.deployments(principal, &ask.stack, number).await)? else {
            // A stack that is gone has no deployments; or the principal has lost the right to see it.
            seen.unseen = true;
            break;
        };
        // A stack that was made anew under the same name counts from one again.
        if number == 1 && page.deployments.iter().all(|one| one.version < searched) {
            searched = 0;
        }
        seen.paused |= page.paused;
        let is_old = |one: &Listed| one.created.is_some_and(|created| created < since);
        for one in &page.deployments {
            seen.latest = seen.latest.max(one.version);
            if own == Some(one.id.as_str()) {
                seen.own = Some(one.status.clone());
                continue;
            }
            if !one.status.is_over() {
                seen.busy.push(one.clone());
            }
            let candidate = one.version > searched
                && !status.duplicates.contains(&one.version)
                && !is_old(one)
                && login == Some(&one.requested_by)
                && one.operation == ask.operation.as_str();
            if candidate {
                let found = keeper.cloud.deployment(principal, &ask.stack, &one.id).await?;
                if found.mark.as_deref() == Some(ask.id.to_string().as_str()) && Some(&found.requested_by) == login {
                    seen.marked.push(found);
                }
            }
        }
        let last = page.deployments.len() < DEPLOYMENTS_PER_PAGE as usize;
        if last || page.deployments.iter().any(|one| is_old(one) || one.version <= searched) {
            break;
        }
        if number >= MAX_PAGES {
            return Err(CloudError::Unclear(format!(
                "more than {MAX_PAGES} pages of deployments since the request was made"
            )));
        }
    }
    tracing::trace!(mark = mark::VARIABLE, found = seen.marked.len(), "searched the stack's deployments");
    Ok(seen)
}
