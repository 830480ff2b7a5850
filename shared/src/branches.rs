//! Push gates: what is on a branch is asked for. A webhook, like the clock, only says *look at this branch*; what is there, who pushed it and what it
//! changes is read from GitHub. So forged, late and reordered pushes ask for nothing but what the branch holds.
//!
//! The stack's line remembers the commit that was asked for last. It is read before the branch is, and the request is recorded only if it has not moved
//! since: of two that look at once, the one with the older answer has to look again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::answer::{in_turn, may_look};
use crate::asking::{self, Permission};
use crate::cloud::{CloudError, PulumiCloud};
use crate::doorbell::{BranchPointer, Delivery, MAX_POINTERS, Pointers};
use crate::gate::{Gate, Gates};
use crate::github::{Branch, Changed, GitHub, GitHubError, Head, Repository};
use crate::host::Host;
use crate::ledger::{Cause, Ledger, LedgerError, Line};
use crate::names::{Commit, Login, Reason, RequestId};
use crate::push::{GitHubLogin, PushRule, Pushed};
use crate::request::{Ask, Requester, Worker};
use crate::rescue;

/// How often a branch is looked at anew because the stack's line moved meanwhile.
const ATTEMPTS: u32 = 5;
/// After how many sweeps every branch is looked at without a webhook: a push whose webhook was lost costs time and nothing else.
pub const POLL_SWEEPS: i64 = 5;
/// For how long an answer takes up rules. The last one takes four calls of ten seconds at most, and as many again if somebody else was faster: with
/// them it stays within the function's two minutes.
const BUDGET: Duration = Duration::from_secs(40);
/// What is said where there was not time for every rule.
const LATE: &str = "answers came slowly, so there was not time for every push rule; the clock comes back to the rest";
/// What the kinds of deliveries begin with that are about branches. No header of Pulumi Cloud's can say so: it has no spaces.
pub const FROM_GITHUB: &str = "github ";
/// What the logins of GitHub's apps end with.
const BOT: &str = "[bot]";
/// The kind of a delivery that the clock made.
const POLL: &str = "github (clock)";
/// For how many days it is remembered that a push was not listed.
const UNLISTED_DAYS: i64 = 30;
/// For how long a delivery of the clock's is remembered.
const POLL_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What asks for what is on a branch.
#[derive(Debug)]
pub struct Branches<L, G, P, H> {
    /// What is remembered.
    pub ledger: L,
    /// Where branches are read.
    pub github: G,
    /// Who knows the members of organizations.
    pub cloud: P,
    /// The clock and fresh ids.
    pub host: H,
    /// The time between two sweeps.
    pub sweep: SignedDuration,
}

/// Why a branch was not asked for.
enum Trouble {
    Ledger(LedgerError),
    GitHub(GitHubError),
    Cloud(CloudError),
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<GitHubError> for Trouble {
    fn from(error: GitHubError) -> Self {
        Self::GitHub(error)
    }
}

impl<L: Ledger, G: GitHub, P: PulumiCloud, H: Host> Branches<L, G, P, H> {
    /// Looks at the branches that a delivery points to, for every gate that names them. Troubles with GitHub and Pulumi Cloud are logged: the clock
    /// comes back to each branch.
    ///
    /// # Errors
    /// If the ledger fails; the delivery has to be answered again.
    pub async fn answer(&self, delivery: &Delivery) -> Result<(), LedgerError> {
        let began = self.host.uptime();
        let has_time = || self.host.uptime().saturating_sub(began) < BUDGET;
        let gates = self.ledger.gates().await?;
        let was_pushed = delivery.kind != POLL;
        let turn = if was_pushed { 0 } else { turn(delivery.at, self.sweep) };
        for pointer in in_turn(&delivery.pointers.branches, turn) {
            let is_meant = |rule: &PushRule| rule.repository == pointer.repository && rule.branch == pointer.branch;
            let rules: Vec<_> = gates.pushes().filter(|(_, rule)| is_meant(rule)).collect();
            if rules.is_empty() {
                continue;
            }
            if was_pushed {
                self.hear(&rules).await?;
            }
            if !has_time() {
                tracing::warn!(repository = %pointer.repository, branch = %pointer.branch, "{LATE}");
                break;
            }
            let branch = format!("{} {}", pointer.repository.as_str().to_ascii_lowercase(), pointer.branch);
            if was_pushed && !may_look(&self.ledger, &branch, self.host.now()).await? {
                tracing::info!(
                    branch,
                    "there were too many webhooks about the branch for another look; the clock comes to it"
                );
                continue;
            }
            for (gate, rule) in in_turn(&rules, turn) {
                let stack = &rule.stack;
                if !has_time() {
                    tracing::warn!(repository = %rule.repository, branch = %rule.branch, %stack, "{LATE}");
                    return Ok(());
                }
                match self.look(&gates, gate, rule, was_pushed).await {
                    Ok(Some(id)) => tracing::info!(request = %id, %stack, "a push asks for a deployment"),
                    Ok(None) => {}
                    Err(Trouble::Ledger(error)) => return Err(error),
                    Err(Trouble::GitHub(error @ (GitHubError::Refused { .. } | GitHubError::NotFound(_)))) => {
                        tracing::error!(repository = %rule.repository, branch = %rule.branch, %error, "a branch can't be read: its pushes are not asked for");
                    }
                    Err(Trouble::GitHub(error)) => {
                        tracing::warn!(repository = %rule.repository, branch = %rule.branch, %error, "a branch could not be read; the clock comes back to it");
                    }
                    Err(Trouble::Cloud(error)) => {
                        tracing::warn!(%stack, %error, "who pushed could not be looked up; the clock comes back to it");
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes that a push of these stacks was heard of, before anything else can fail or takes its time: the clock comes back to those alone.
    async fn hear(&self, rules: &[(&Gate, &PushRule)]) -> Result<(), LedgerError> {
        for (_, rule) in rules {
            let line = self.ledger.line(&rule.stack).await?;
            if line.pushed.is_none() && !line.heard {
                self.ledger.hear(&rule.stack).await?;
            }
        }
        Ok(())
    }

    /// Asks for what is on the branch, if that was not asked for. Gives the request, if it makes one.
    async fn look(
        &self,
        gates: &Gates,
        gate: &Gate,
        rule: &PushRule,
        was_pushed: bool,
    ) -> Result<Option<RequestId>, Trouble> {
        for _ in 0..ATTEMPTS {
            let line = self.ledger.line(&rule.stack).await?;
            // Without a push that was heard of, what has been there all along is nobody's wish.
            if line.pushed.is_none() && !line.heard && !was_pushed {
                return Ok(None);
            }
            let Some(head) = self.github.head(&rule.repository, &rule.branch).await? else {
                tracing::warn!(repository = %rule.repository, branch = %rule.branch, "there is no such branch, or the token can't see it");
                return Ok(None);
            };
            if line.pushed.as_ref() == Some(&head.commit) || !self.touches(rule, &line, &head).await? {
                return Ok(None);
            }
            let push = self.github.push(&rule.repository, &rule.branch, &head.commit).await?;
            if push.is_none() && self.may_be_listed_yet(rule, &head.commit, was_pushed).await? {
                tracing::warn!(stack = %rule.stack, "GitHub does not say yet who pushed; the clock comes back to it");
                return Ok(None);
            }
            let ask = self.ask(gates, gate, rule, &line, head, push.and_then(|push| push.pusher)).await?;
            if let Err(full) = asking::room(&line, &ask.requester.login) {
                tracing::warn!(stack = %rule.stack, %full, "a push is not asked for yet");
                return Ok(None);
            }
            let id = ask.id;
            let new = asking::new_request(ask, &self.host, self.sweep, None)
                .map_err(|error| LedgerError::Broken(error.to_string()))?;
            match self.ledger.create(&new).await {
                Ok(()) => {
                    self.tell_older(&line).await;
                    return Ok(Some(id));
                }
                Err(LedgerError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Unavailable(format!("the line of {} moves all the time", rule.stack)).into())
    }

    /// GitHub may list a push a moment after it tells of it. Who pushed must not count as an approver, so that is waited for: until the clock has come to
    /// it for the second time.
    async fn may_be_listed_yet(&self, rule: &PushRule, commit: &Commit, was_pushed: bool) -> Result<bool, LedgerError> {
        let now = self.host.now();
        let until = now.saturating_add(SignedDuration::from_hours(24 * UNLISTED_DAYS)).unwrap_or(Timestamp::MAX);
        Ok(was_pushed || self.ledger.once(&format!("unlisted-{}-{commit}", rule.stack), now, until).await?)
    }

    /// Whether the push changes what the rule is about. What can't be told is asked for: people decide.
    async fn touches(&self, rule: &PushRule, line: &Line, head: &Head) -> Result<bool, GitHubError> {
        let (Some(base), false) = (&line.pushed, rule.paths.is_empty()) else { return Ok(true) };
        Ok(match self.github.changed(&rule.repository, base, &head.commit).await? {
            Changed::Files(files) => rule.wants(&files),
            Changed::Unknown => true,
        })
    }

    async fn ask(
        &self,
        gates: &Gates,
        gate: &Gate,
        rule: &PushRule,
        line: &Line,
        head: Head,
        pusher: Option<String>,
    ) -> Result<Ask, Trouble> {
        let people = (pusher.as_deref(), head.author.as_deref());
        let (requester, on_behalf_of) = self.requester(gates, gate, rule, people).await?;
        let (repository, branch) = (rule.repository.clone(), rule.branch.clone());
        Ok(Ask {
            id: RequestId::new(self.host.ulid()),
            stack: rule.stack.clone(),
            operation: rule.operation,
            reason: reason(&branch, &head)?,
            commit: Some(head.commit),
            requester,
            on_behalf_of,
            rescues: None,
            push: Some(Pushed { repository, branch, pusher, author: head.author }),
            gate: asking::terms(gate, rule.operation),
            access_duration: gate.access_duration.clone(),
            grant_expiration: gate.grant_expiration.clone(),
            pending_timeout: gate.pending_timeout.clone(),
            not_before: None,
            not_after: None,
            position: line.next,
            created_at: self.host.now(),
        })
    }

    /// Who asks: the person at Pulumi Cloud who pushed, by the table or by the same login; else a machine, on behalf of whoever GitHub names: who pushed,
    /// or, where that is not known or nobody's person, who wrote the commit.
    async fn requester(
        &self,
        gates: &Gates,
        gate: &Gate,
        rule: &PushRule,
        (pusher, author): (Option<&str>, Option<&str>),
    ) -> Result<(Requester, Option<Login>), Trouble> {
        let by_table = |login: &str| gates.github_logins.get(&GitHubLogin::of(login)?).cloned();
        let person = |login: Login| (Requester { name: login.to_string(), login, machine: None }, None);
        if let Some(login) = pusher.and_then(by_table) {
            return Ok(person(login));
        }
        // Whom the table knows by another login at GitHub is somebody else than who has theirs there.
        let same = pusher.and_then(|pusher| pusher.parse::<Login>().ok());
        if let Some(login) = same.filter(|login| gates.github_logins.values().all(|known| known != login)) {
            match self.cloud.permission(&gate.principal, &rule.stack, &login).await {
                Ok(Some(permission)) if permission > Permission::None => return Ok(person(login)),
                // A principal that is no admin may not see what others may do: then that they pushed is only claimed.
                Ok(_) | Err(CloudError::Refused { .. }) => {}
                Err(error) => return Err(Trouble::Cloud(error)),
            }
        }
        let is_person = |login: &&str| !login.ends_with(BOT);
        let named = pusher.filter(is_person).or(author.filter(is_person)).or(pusher);
        let on_behalf_of = named.and_then(|login| by_table(login).or_else(|| login.parse().ok()));
        let machine = format!("github:{}", rule.repository).parse();
        let machine = machine.map_err(|why| LedgerError::Broken(format!("{}: {why}", rule.repository)))?;
        let requester = Requester { login: machine, name: "GitHub".to_owned(), machine: Some("github".to_owned()) };
        Ok((requester, on_behalf_of))
    }

    /// Older pushes that wait are told, so that they end at once and not at their next look. That they can't be is nothing to worry about.
    async fn tell_older(&self, line: &Line) {
        for older in line.waiting.iter().filter(|older| older.push) {
            if let Err(error) = self.ledger.ring(older.id, Worker::Apply, Cause::Due, self.host.ulid()).await {
                tracing::warn!(request = %older.id, %error, "an older push is not told; it is looked at later");
            }
        }
    }
}

/// What a reviewer reads: the first line of the commit's message, and where it is.
fn reason(branch: &Branch, head: &Head) -> Result<Reason, LedgerError> {
    let pushed = || format!("Push to {branch}");
    let title = if head.title.trim().is_empty() { pushed() } else { head.title.trim().to_owned() };
    let whole = if head.url.is_empty() { title } else { format!("{title}\n{}", head.url) };
    let reason = whole.parse().or_else(|_| pushed().parse::<Reason>());
    reason.map_err(|why| LedgerError::Broken(why.to_string()))
}

/// Which time it is that the clock has branches and runs looked at, counted from anywhere.
pub(crate) fn turn(at: Timestamp, sweep: SignedDuration) -> usize {
    usize::try_from(at.as_second() / sweep.as_secs().saturating_mul(POLL_SWEEPS).max(1)).unwrap_or(0)
}

/// Has every branch that a gate names looked at, and every stack whose refused runs are asked for, every [`POLL_SWEEPS`] sweeps. Called by each sweep.
///
/// # Errors
/// If the ledger fails; the next sweeps come to it.
pub async fn poll<L: Ledger, H: Host>(ledger: &L, host: &H, every: SignedDuration) -> Result<(), LedgerError> {
    let now = host.now();
    let span = i64::try_from((every * i32::try_from(POLL_SWEEPS).unwrap_or(1)).as_millis()).unwrap_or(0).max(1);
    let slot = |at: Timestamp| at.as_millisecond().div_euclid(span);
    // A sweep that is late must not miss it; that two of them come to it is told by the delivery's id.
    if slot(now) == slot(now.saturating_sub(every * 2).unwrap_or(Timestamp::MIN)) {
        return Ok(());
    }
    let gates = ledger.gates().await?;
    rescue::poll(ledger, host, &gates, slot(now)).await?;
    let mut branches: Vec<BranchPointer> = Vec::new();
    for (_, rule) in gates.pushes() {
        let pointer = BranchPointer { repository: rule.repository.clone(), branch: rule.branch.clone() };
        if !branches.contains(&pointer) {
            branches.push(pointer);
        }
    }
    for (number, some) in branches.chunks(MAX_POINTERS).enumerate() {
        let delivery = Delivery {
            // No webhook can have this id, and keep the clock's from being recorded: no header's has a space.
            id: format!("the clock {}/{number}", slot(now)),
            kind: POLL.to_owned(),
            body: String::new(),
            pointers: Pointers { branches: some.to_vec(), ..Pointers::default() },
            at: now,
        };
        ledger.record_delivery(&delivery, now.saturating_add(POLL_KEPT).unwrap_or(Timestamp::MAX)).await?;
    }
    Ok(())
}

/// The branch that a payload of GitHub's points to; none: it is about nothing that asks for a deployment.
pub fn pointer(event: &str, body: &serde_json::Value) -> Option<BranchPointer> {
    let text = |path: &str| body.pointer(path).and_then(serde_json::Value::as_str);
    let is = |path: &str, value: bool| body.pointer(path).and_then(serde_json::Value::as_bool) == Some(value);
    let branch = match event {
        "push" if !is("/deleted", true) => text("/ref")?.strip_prefix("refs/heads/")?,
        "pull_request" if text("/action") == Some("closed") && is("/pull_request/merged", true) => {
            text("/pull_request/base/ref")?
        }
        _ => return None,
    };
    let repository: Repository = text("/repository/full_name")?.parse().ok()?;
    Some(BranchPointer { repository, branch: branch.parse().ok()? })
}

#[cfg(test)]
mod tests;
