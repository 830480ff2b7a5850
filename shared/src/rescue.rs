//! Runs that were refused: somebody started one without asking, and Pulumi Cloud did not let it into the gated environment. Where the gate says so, the
//! same is asked for in their name: it waits, is signed off, and runs again.
//!
//! Once for each run: the run's id is the request's idempotency key. Never in a loop: what signoff deploys is the principal's, and carries a mark.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::answer::{in_turn, may_look};
use crate::asking::{self, Permission};
use crate::branches;
use crate::cloud::{CloudError, DeploymentNow, DeploymentStatus, Listed, PulumiCloud};
use crate::doorbell::{Delivery, MAX_POINTERS, Pointers};
use crate::gate::{Asker, CommitRule, Gate, Gates};
use crate::host::Host;
use crate::ledger::{Idempotency, Ledger, LedgerError, ONCE_SKEW};
use crate::look::Gatekeeper;
use crate::names::{BadName, Commit, Login, Operation, RequestId, StackName};
use crate::request::{Ask, Requester};

/// How old a run may be, at most, to be asked for.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(2);
/// How many runs of a stack are looked at, at most, newest first.
const MAX_RUNS: usize = 5;
/// How many pages of a run's log are read; what comes after them is not.
const MAX_LOG_PAGES: u32 = 20;
/// What is said where there was not time for everything.
const LATE: &str =
    "answers came slowly, so runs were left out; the clock comes back to stacks that a gate names in full";
/// How long others leave a run alone that somebody looks at. Who dies meanwhile, or is told nothing, does not keep it from being asked for; and two that
/// look at once do no harm, since it is asked for once.
const LOOKING: SignedDuration = SignedDuration::from_secs(20);
/// How long a run that was looked at is not looked at again, if it was not asked for: its log may not have been complete. What is held for longer than
/// this would be taken for the work of a wrong clock.
const LEFT_ALONE: SignedDuration = ONCE_SKEW;
/// For how long it is remembered that a run was asked for: longer than one may be old.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How often it is tried to record a request while others are faster.
const ATTEMPTS: u32 = 5;
/// The kind of a delivery of the clock's. No header of Pulumi Cloud's can say so: it has spaces.
pub(crate) const POLL: &str = "rescue (the clock)";
/// What the kinds of Pulumi Cloud's deliveries about deployments begin with.
const DEPLOYMENT: &str = "deployment";

/// Why a run is not asked for now.
enum Trouble {
    Ledger(LedgerError),
    Cloud(CloudError),
    /// There is no time left for another call.
    Late,
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<CloudError> for Trouble {
    fn from(error: CloudError) -> Self {
        Self::Cloud(error)
    }
}

impl<L: Ledger, P: PulumiCloud, H: Host> Gatekeeper<L, P, H> {
    /// Asks for what was refused on the stacks that a delivery about deployments points to, in the time that is left to its answer. Troubles with Pulumi
    /// Cloud are logged.
    ///
    /// # Errors
    /// If the ledger fails; the delivery has to be answered again.
    pub(crate) async fn rescue(&self, delivery: &Delivery, began: Duration) -> Result<(), LedgerError> {
        if !delivery.kind.starts_with(DEPLOYMENT) && delivery.kind != POLL {
            return Ok(());
        }
        let gates = self.ledger.gates().await?;
        let turn = if delivery.kind == POLL { branches::turn(delivery.at, self.timing.sweep) } else { 0 };
        for stack in in_turn(&delivery.pointers.stacks, turn) {
            let Some(gate) = gates.gate_of(stack).filter(|gate| gate.rescue) else { continue };
            if !self.has_time(began) {
                tracing::warn!(%stack, "{LATE}");
                break;
            }
            if delivery.kind != POLL && !may_look(&self.ledger, &stack.to_string(), self.host.now()).await? {
                tracing::info!(%stack, "there were too many webhooks about the stack for another look at its runs");
                continue;
            }
            match self.rescue_runs(gate, stack, began).await {
                Ok(()) => {}
                Err(Trouble::Ledger(error)) => return Err(error),
                Err(Trouble::Late) => {
                    tracing::warn!(%stack, "{LATE}");
                    break;
                }
                Err(Trouble::Cloud(error)) => {
                    tracing::warn!(%stack, %error, "whether a run was refused could not be looked up");
                }
            }
        }
        Ok(())
    }

    fn in_time(&self, began: Duration) -> Result<(), Trouble> {
        if self.has_time(began) { Ok(()) } else { Err(Trouble::Late) }
    }

    async fn rescue_runs(&self, gate: &Gate, stack: &StackName, began: Duration) -> Result<(), Trouble> {
        let now = self.host.now();
        let page = self.cloud.deployments(&gate.principal, stack, 1).await?;
        // What is older than a run that succeeded is not what anybody wants now.
        let latest = page.deployments.into_iter().take_while(|run| run.status != DeploymentStatus::Succeeded);
        let is_young = |run: &Listed| run.created.is_none_or(|created| now.duration_since(created) <= MAX_AGE);
        let mut runs: Vec<Listed> =
            latest.filter(|run| run.status == DeploymentStatus::Failed && is_young(run)).collect();
        if runs.is_empty() {
            return Ok(());
        }
        self.in_time(began)?;
        let principal = self.cloud.identity(&gate.principal).await?.login;
        runs.retain(|run| run.requested_by != principal);
        for run in runs.into_iter().take(MAX_RUNS).rev() {
            if self.ledger.idempotency(&caller()?, &run.id, now).await?.is_some() {
                continue;
            }
            self.in_time(began)?;
            let (place, looking) = (format!("rescue-{}", run.id), later(now, LOOKING));
            if !self.ledger.once(&place, now, looking).await? {
                continue;
            }
            if !self.rescue_run(gate, stack, &run, began).await? {
                // Until then it is ours, so that nobody else can have moved the time.
                self.ledger.once(&place, looking, later(now, LEFT_ALONE)).await?;
            }
        }
        Ok(())
    }

    /// Asks for a run, if it was refused and may be asked for. Whether it is asked for now.
    async fn rescue_run(&self, gate: &Gate, stack: &StackName, run: &Listed, began: Duration) -> Result<bool, Trouble> {
        let found = self.cloud.deployment(&gate.principal, stack, &run.id).await?;
        if found.mark.is_some() || !self.was_refused(gate, stack, &run.id, began).await? {
            return Ok(false);
        }
        let what = match self.may_rescue(gate, stack, &found, began).await? {
            Ok(what) => what,
            Err(why) => {
                tracing::warn!(%stack, run = found.deployment.version, why, "a run that was refused is not asked for");
                return Ok(false);
            }
        };
        let asked = self.ask_again(gate, stack, what, &found).await?;
        if let Some(id) = asked {
            tracing::info!(request = %id, %stack, run = found.deployment.version, "a run that was refused is asked for");
        }
        Ok(asked.is_some())
    }

    /// Whether the run's log says that it was refused.
    async fn was_refused(&self, gate: &Gate, stack: &StackName, run: &str, began: Duration) -> Result<bool, Trouble> {
        let mut after: Option<String> = None;
        for _ in 0..MAX_LOG_PAGES {
            self.in_time(began)?;
            let page = self.cloud.was_refused(&gate.principal, stack, run, after.as_deref()).await?;
            if page.refused || page.next.is_none() {
                return Ok(page.refused);
            }
            after = page.next;
        }
        Ok(false)
    }

    /// What to ask for, if whoever started the run may ask for it, and the request would do what the run would have done; else why not.
    async fn may_rescue(
        &self,
        gate: &Gate,
        stack: &StackName,
        run: &DeploymentNow,
        began: Duration,
    ) -> Result<Result<(Operation, Option<Commit>), String>, Trouble> {
        let who = &run.requested_by;
        let operation = run.operation.as_deref().and_then(|operation| operation.parse::<Operation>().ok());
        let Some(operation) = operation.filter(|operation| gate.operations.contains(operation)) else {
            return Ok(Err("the gate does not let its operation be asked for".to_owned()));
        };
        let Ok(commit) = run.commit.as_deref().map(str::parse::<Commit>).transpose() else {
            return Ok(Err("it was pinned to something else than a whole commit id".to_owned()));
        };
        if commit.is_none() && gate.commit == CommitRule::Required {
            return Ok(Err("it was not pinned to a commit, which the gate asks for".to_owned()));
        }
        if let (None, Some(branch)) = (&commit, &run.branch) {
            self.in_time(began)?;
            let settings = self.cloud.settings(&gate.principal, stack).await?;
            if settings.branch.as_deref().map(short) != Some(short(branch)) {
                return Ok(Err("it ran from another branch than the one in the stack's settings".to_owned()));
            }
        }
        let what = (operation, commit);
        if let Some(named) = &gate.requesters {
            let is_named = named.contains(&Asker::Person(who.clone()));
            return Ok(if is_named { Ok(what) } else { Err(format!("the gate's requesters do not name {who}")) });
        }
        self.in_time(began)?;
        let has = match self.cloud.permission(&gate.principal, stack, who).await {
            Ok(has) => has.unwrap_or(Permission::None),
            // A principal that is no admin may not see what others may do. But Pulumi Cloud let them start the run, which takes write.
            Err(CloudError::Refused { .. }) => Permission::Write,
            Err(error) => return Err(error.into()),
        };
        let needed = Permission::for_operation(operation);
        Ok(if has >= needed {
            Ok(what)
        } else {
            Err(format!(
                "to ask for {operation} takes {} permission on the stack, and as far as the principal may see, {who} has {}; the gate's requesters may name them",
                needed.as_str(),
                has.as_str()
            ))
        })
    }

    async fn ask_again(
        &self,
        gate: &Gate,
        stack: &StackName,
        (operation, commit): (Operation, Option<Commit>),
        run: &DeploymentNow,
    ) -> Result<Option<RequestId>, LedgerError> {
        let login = run.requested_by.clone();
        let wrong = |why: BadName| LedgerError::Broken(format!("run {}: {why}", run.deployment.version));
        let reason = format!(
            "Run {} was started without asking, and was refused for want of an approval.\n{}",
            run.deployment.version, run.deployment.url
        );
        for _ in 0..ATTEMPTS {
            let line = self.ledger.line(stack).await?;
            if let Err(full) = asking::room(&line, &login) {
                tracing::warn!(%stack, %full, "a run that was refused is not asked for yet");
                return Ok(None);
            }
            let now = self.host.now();
            let id = RequestId::new(self.host.ulid());
            let ask = Ask {
                id,
                stack: stack.clone(),
                operation,
                reason: reason.parse().map_err(wrong)?,
                commit: commit.clone(),
                requester: Requester { name: login.to_string(), login: login.clone(), machine: None },
                on_behalf_of: None,
                push: None,
                rescues: Some(run.deployment.clone()),
                gate: asking::terms(gate, operation),
                access_duration: gate.access_duration.clone(),
                grant_expiration: gate.grant_expiration.clone(),
                pending_timeout: gate.pending_timeout.clone(),
                not_before: None,
                not_after: None,
                position: line.next,
                created_at: now,
            };
            let (caller, key) = (caller()?, run.deployment.id.clone());
            let once = Idempotency { caller, key, body: String::new(), request: id, until: later(now, REMEMBERED) };
            let new = asking::new_request(ask, &self.host, self.timing.sweep, Some(once.clone()))
                .map_err(|error| LedgerError::Broken(error.to_string()))?;
            match self.ledger.create(&new).await {
                Ok(()) => return Ok(Some(id)),
                Err(LedgerError::Conflict) => {}
                Err(error) => return Err(error),
            }
            if self.ledger.idempotency(&once.caller, &once.key, now).await?.is_some() {
                return Ok(None);
            }
        }
        Err(LedgerError::Unavailable(format!("the line of {stack} moves all the time")))
    }
}

/// A branch's name, without the part that all branches have.
fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// Whose idempotency keys the runs are: nobody's at Pulumi Cloud, whose logins have no colon.
fn caller() -> Result<Login, LedgerError> {
    "signoff:rescue".parse().map_err(|why: BadName| LedgerError::Broken(why.to_string()))
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Has the stacks looked at that gates with `rescue` name in full: a webhook that was lost costs time. `slot` tells one time of it from the next.
pub(crate) async fn poll<L: Ledger, H: Host>(
    ledger: &L,
    host: &H,
    gates: &Gates,
    slot: i64,
) -> Result<(), LedgerError> {
    let named = gates.gates.iter().filter(|gate| gate.rescue).flat_map(|gate| &gate.stacks);
    let stacks: Vec<StackName> = named.filter_map(|pattern| String::from(pattern.clone()).parse().ok()).collect();
    for (number, some) in stacks.chunks(MAX_POINTERS).enumerate() {
        let delivery = Delivery {
            // As with the clock's other deliveries: no webhook's can have a space.
            id: format!("the clock, for runs {slot}/{number}"),
            kind: POLL.to_owned(),
            body: String::new(),
            pointers: Pointers { stacks: some.to_vec(), ..Pointers::default() },
            at: host.now(),
        };
        ledger.record_delivery(&delivery, later(delivery.at, SignedDuration::from_hours(24))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
