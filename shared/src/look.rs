//! One look at one request: load → observe → decide → record → act → record, until there is nothing more to do for now.
//!
//! A look never sleeps and never tries the same call twice: what has to wait becomes a `due` time. It works under a lease, and sends nothing when
//! its own time is up, so that no call outlives the lease.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

use crate::blocker::{Blocker, BlockerKind};
use crate::chain;
use crate::cloud::{CloudError, DeploymentStatus, NewDeployment, PulumiCloud};
use crate::conditions::Lift;
use crate::decide::{
    CLOSING_HOURS, DEPLOYMENT_MAY_EXIST, Known, LOST_AFTER_DAYS, Next, Record, Rest, decide, drafts_may_be_left,
    rests_on,
};
use crate::event::{Actor, Entry, Event};
use crate::facts::{Act, Facts, Look};
use crate::host::Host;
use crate::ledger::{
    Begin, Cause, Creation, Finish, Intent, Lease, Ledger, LedgerError, Line, LineChange, Loaded, Lost, Work, sound,
};
use crate::measure;
use crate::names::RequestId;
use crate::notice;
use crate::observe;
use crate::request::{ChangeRequest, ChangeRequestStatus, Outcome, Request, State, Worker};

/// The most steps of one look. More would be a loop that goes nowhere; a request with twenty change requests needs about a hundred and fifty.
const MAX_STEPS: u32 = 500;
/// How long Pulumi Cloud is left alone after a 429 without `Retry-After`, in seconds. Limits are said to be counted over about five minutes.
const RATE_LIMIT_PAUSE_SECONDS: i64 = 120;
/// The longest pause after answers that could not be used, in seconds.
const MAX_PAUSE_SECONDS: i64 = 300;
/// The longest pause that Pulumi Cloud may ask for, in seconds. A longer one would be a mistake, on one side or the other.
const MAX_RETRY_AFTER_SECONDS: i64 = 3_600;
/// For how long a refused token is waited for, in hours.
pub const TOKEN_HOURS: i64 = 24;

/// How long things take, on one machine or on Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The time between two sweeps.
    pub sweep: SignedDuration,
    /// How long after a call whose answer never came its effect may still show.
    pub settle: SignedDuration,
    /// How long one look, or the answer to one delivery, may send calls.
    pub budget: Duration,
    /// The longest that one call takes.
    pub call: Duration,
}

impl Timing {
    /// The lease of a look: it outlasts its last call.
    pub fn lease(&self) -> SignedDuration {
        // A call may be made twice, and each time the principal's token read before it.
        let seconds = (self.budget + self.call * 4).as_secs();
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(60) + 1)
    }
}

/// What the workers share.
#[derive(Debug, Clone)]
pub struct Gatekeeper<L, P, H> {
    /// The ledger.
    pub ledger: L,
    /// Pulumi Cloud.
    pub cloud: P,
    /// The machine.
    pub host: H,
    /// The installation's name, as it stands in marks.
    pub installation: String,
    /// Where people find a request: its URL without the id; in descriptions. `None`: nowhere.
    pub link: Option<String>,
    /// How long things take.
    pub timing: Timing,
}

/// One look in progress.
struct Looking<'a, L, P, H> {
    keeper: &'a Gatekeeper<L, P, H>,
    worker: Worker,
    lease: Lease,
    loaded: Loaded,
    facts: Facts,
    began: Duration,
    /// The webhook delivery that rang, for the trail.
    delivery: Option<String>,
    /// The change requests are known to be pointed to.
    is_pointed: bool,
}

/// Why a look stops early.
enum Stop {
    Rest(Rest),
    Ledger(LedgerError),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl<L: Ledger, P: PulumiCloud, H: Host> Gatekeeper<L, P, H> {
    /// Looks at a request as one of the workers, and takes it as far as it goes for now.
    ///
    /// # Errors
    /// If the ledger could not be read or written; the caller has to come again. Troubles with Pulumi Cloud are no errors: the request waits.
    pub async fn look(&self, worker: Worker, id: RequestId, cause: Cause) -> Result<(), LedgerError> {
        self.look_within(self.host.uptime(), worker, id, cause).await
    }

    /// Looks at a request within the time of something that began earlier.
    pub(crate) async fn look_within(
        &self,
        began: Duration,
        worker: Worker,
        id: RequestId,
        cause: Cause,
    ) -> Result<(), LedgerError> {
        let now = self.host.now();
        let until = later(now, self.timing.lease());
        let (loaded, lease) = match self.ledger.begin(id, self.host.ulid(), now, until, cause.clone()).await? {
            Begin::Held(loaded, lease) => (*loaded, lease),
            Begin::Busy | Begin::Quiet | Begin::Gone => return Ok(()),
        };
        // Whoever handed the look on may keep a span for what is worked on, which every line of it then names.
        let deployment = loaded.request.status.deployment.as_ref().map(|deployment| deployment.id.as_str());
        tracing::Span::current().record("deployment", deployment);
        let delivery = cause.delivery().map(str::to_owned);
        let (facts, is_pointed) = (Facts::default(), false);
        let mut looking = Looking { keeper: self, worker, lease, loaded, facts, began, delivery, is_pointed };
        let mut again = false;
        loop {
            let rest = match looking.run().await {
                Ok(rest) | Err(Stop::Rest(rest)) => rest,
                // Somebody else was first: what is known here is stale. The lease goes back, and the next look comes soon.
                Err(Stop::Ledger(LedgerError::Conflict)) => {
                    Rest { waiting: Vec::new(), until: Some(self.host.now()), ..Rest::default() }
                }
                Err(Stop::Ledger(error)) => {
                    looking.leave().await;
                    return Err(error);
                }
            };
            match looking.rest(rest).await {
                Ok(false) => {}
                Ok(true) => {
                    again = true;
                    continue;
                }
                Err(error) => {
                    looking.leave().await;
                    return Err(error);
                }
            }
            // Whoever met the lease may have been the other worker, woken by what was recorded here: it went home, so it is rung now that the lease is free.
            let next = looking.request().status.state.worker().filter(|next| again && *next != worker);
            if let Some(next) = next {
                self.ledger.ring(id, next, Cause::Due, self.host.ulid()).await?;
            }
            return Ok(());
        }
    }

    /// Whether what began then has time left for another call; measured on the clock that only goes forward.
    pub(crate) fn has_time(&self, began: Duration) -> bool {
        self.host.uptime().saturating_sub(began) < self.timing.budget
    }
}

impl<L: Ledger, P: PulumiCloud, H: Host> Looking<'_, L, P, H> {
    fn now(&self) -> Timestamp {
        self.keeper.host.now()
    }

    fn request(&self) -> &Request {
        &self.loaded.request
    }

    async fn run(&mut self) -> Result<Rest, Stop> {
        if self.request().status.state.worker() != Some(self.worker) {
            // Woken by a record that was given out again: nothing was looked at, so what is noted stays.
            let Work { due, note, .. } = &self.loaded.work;
            let still = note.version == self.request().status.sequence;
            let waiting = if still { note.waiting.clone() } else { Vec::new() };
            return Ok(Rest { waiting, until: *due, ..Rest::default() });
        }
        let now = self.now();
        let longest = later(now, SignedDuration::from_secs(MAX_RETRY_AFTER_SECONDS));
        if let Some(retry_at) = self.loaded.work.note.retry_at.filter(|at| now < *at && *at <= longest) {
            return Ok(Rest {
                waiting: self.loaded.work.note.waiting.clone(),
                until: Some(retry_at),
                ..Rest::default()
            });
        }
        self.facts.gates = self.keeper.ledger.gates().await?;
        for _ in 0..MAX_STEPS {
            match decide(self.worker, &self.known()) {
                Next::Rest(rest) => {
                    // Only a look that nothing was refused to is one.
                    let note = &mut self.loaded.work.note;
                    (note.token_refused_since, note.troubled_since) = (None, None);
                    return Ok(self.give_turn_back(rest).await?);
                }
                Next::Record(record) => {
                    // An end without a deployment is decided by who knows all: one that stood still may not know what another has created since.
                    // Nor is what it created recorded: a later look may wait for what it created itself, and cleans up after both.
                    if record.event.ends_undeployed() || matches!(*record.event, Event::Opened { .. }) {
                        self.in_time()?;
                    }
                    self.record(record).await?;
                }
                Next::Look(look) => {
                    self.in_time()?;
                    if let Err(error) = observe::look(self.keeper, &self.loaded, &mut self.facts, &look).await? {
                        return self.trouble(&error).await;
                    }
                    self.answered(&look);
                }
                Next::Act(act) => {
                    self.in_time()?;
                    self.facts.tried.insert(act.clone());
                    if let Err(error) = self.act(act.clone()).await? {
                        match error {
                            CloudError::NotFound(why) | CloudError::Refused { message: why, .. } => {
                                self.facts.refused.insert(act, why);
                            }
                            // What it conflicts with is seen by reading it again.
                            CloudError::Conflict(why) => {
                                self.facts.conflicts.insert(act, why);
                            }
                            error => return self.trouble(&error).await,
                        }
                    }
                }
            }
        }
        tracing::error!(request = %self.request().ask.id, "a look did not come to rest");
        Ok(Rest::default())
    }

    /// What a decision is taken on.
    fn known(&self) -> Known<'_> {
        Known {
            request: &self.loaded.request,
            work: &self.loaded.work,
            facts: &self.facts,
            installation: &self.keeper.installation,
            link: self.keeper.link.as_deref(),
            now: self.now(),
        }
    }

    /// Gives the lease back after the ledger failed, so that whoever comes next need not wait for its end; nothing more can be done if that fails too.
    async fn leave(&mut self) {
        self.loaded.work.due = Some(self.now());
        // The second time in case that another look was asked for: it is due at once anyway.
        for _ in 0..2 {
            match self.keeper.ledger.finish(&self.lease, &self.loaded.work).await {
                Ok(Finish::Again) => {}
                Ok(Finish::Released | Finish::Lost) => return,
                Err(error) => return tracing::warn!(request = %self.lease.id, %error, "the lease ends by itself"),
            }
        }
    }

    /// Whether there is time left to send something.
    fn in_time(&self) -> Result<(), Stop> {
        if self.keeper.has_time(self.began) {
            return Ok(());
        }
        let detail = format!(
            "a look took longer than {} s, since answers came slowly; it is begun anew",
            self.keeper.timing.budget.as_secs()
        );
        Err(Stop::Rest(Rest {
            waiting: vec![Blocker::new(BlockerKind::PulumiCloud, detail)],
            until: Some(self.now()),
            ..Rest::default()
        }))
    }

    /// Whether the grant still lasts: Pulumi Cloud would fail a deployment that comes later.
    fn grant_lasts(&self) -> Result<(), Stop> {
        let now = self.now();
        if self.request().status.grant.as_ref().is_some_and(|grant| now < grant.expires_at) {
            return Ok(());
        }
        let blocker =
            Blocker::new(BlockerKind::PulumiCloud, "its grant ran out before the deployment could be created");
        Err(Stop::Rest(Rest { waiting: vec![blocker], until: Some(now), ..Rest::default() }))
    }

    /// Records a step in one transaction; the request is what it makes of it from then on.
    async fn record(&mut self, record: Record) -> Result<(), Stop> {
        let now = self.now().max(self.request().status.updated_at);
        let entry = Entry { id: self.keeper.host.ulid(), at: now, actor: record.actor, event: *record.event };
        let mut step = chain::seal_rung(Some(self.request()), &entry, self.delivery.as_deref())
            .map_err(|illegal| LedgerError::Broken(format!("{}: {illegal}", self.request().ask.id)))?;
        let ask = &self.request().ask;
        step.is_told = notice::is_told(self.facts.gates.gate_of(&ask.stack), ask, &entry.event);
        let next = step.request.status.state.worker();
        let wake = next.filter(|worker| *worker != self.worker);
        self.keeper.ledger.record(&step, wake, record.line).await?;
        let (id, state, event) = (self.request().ask.id, step.request.status.state, entry.event.word());
        let deployment = step.request.status.deployment.as_ref().map(|deployment| deployment.id.as_str());
        tracing::Span::current().record("deployment", deployment);
        tracing::info!(request = %id, state = %state, event, deployment, "recorded");
        measure::recorded(self.request().status.state, &entry, &step.request);
        self.loaded.request = step.request;
        if matches!(entry.event, Event::Opened { .. }) {
            self.loaded.work.note.opening = None;
        }
        if matches!(entry.event, Event::Opened { .. } | Event::Extended { .. })
            && let Err(error) = self.point().await
        {
            tracing::warn!(request = %self.request().ask.id, %error, "a change request is not pointed to");
        }
        if matches!(entry.event, Event::Submitted { .. }) {
            // From here on a look can find the approvals and apply: what has to hold then is looked at again, not taken from the submission.
            (self.facts.identity, self.facts.settings, self.facts.rulesets) = (None, None, None);
        }
        if matches!(entry.event, Event::Deploying { .. }) {
            self.loaded.work.intent = None;
            self.loaded.work.note.deployment_status = Some("not-started".to_owned());
        }
        Ok(())
    }

    /// Says whose the change requests are: to webhooks about them, and to whoever cleans up after a creation of its own.
    async fn point(&mut self) -> Result<(), LedgerError> {
        let ask = &self.request().ask;
        let expires = later(self.request().expires_at(), SignedDuration::from_hours(24 * 30));
        for one in &self.request().status.change_requests {
            self.keeper.ledger.point(&ask.stack.organization, &one.id, ask.id, expires).await?;
        }
        self.is_pointed = true;
        Ok(())
    }

    async fn act(&mut self, act: Act) -> Result<Result<(), CloudError>, Stop> {
        let (ledger, cloud) = (&self.keeper.ledger, &self.keeper.cloud);
        let ask = self.loaded.request.ask.clone();
        let (principal, organization) = (&ask.gate.principal, &ask.stack.organization);
        match act {
            Act::LockCreation => self.lock_creation().await.map(Ok),
            Act::RequestOpen => self.request_open().await,
            Act::ForgetOpening => {
                self.loaded.work.note.opening = None;
                self.facts.creation = Some(Creation::Ours);
                Ok(ledger.note(&self.lease, &self.loaded.work.note).await.map(Ok)?)
            }
            Act::Submit(id) => {
                // Once it is submitted others create under the lock, and only this tells them that it is not theirs to clean up.
                if !self.is_pointed {
                    self.point().await?;
                }
                let text = self.known().description();
                self.facts.change_requests.remove(&id);
                Ok(cloud.submit(principal, organization, &id, &text).await)
            }
            Act::Close(id) => {
                let ending = self.loaded.request.status.ending.as_ref().map(|ending| ending.outcome.message.as_str());
                let comment =
                    format!("signoff {}: {}", ask.id, ending.unwrap_or("left over by an attempt that did not finish"));
                self.facts.change_requests.remove(&id);
                Ok(cloud.close(principal, organization, &id, &comment).await)
            }
            Act::ClaimTurn => {
                self.facts.turn = Some(ledger.claim_turn(&ask.stack, ask.id).await?);
                Ok(Ok(()))
            }
            Act::Apply(id) => {
                // From here on it is not idle any more, not even for whoever comes after a crash.
                let idle_since = self.loaded.work.note.idle_since.take();
                if idle_since.is_some() {
                    ledger.note(&self.lease, &self.loaded.work.note).await?;
                }
                // A grant can't be taken back, so whoever took the request back meanwhile comes first.
                ledger.confirm(&self.lease, self.now()).await?;
                self.in_time()?;
                // Taken before the call: the grant's clock can't have started sooner.
                self.facts.applied_at.insert(id.clone(), self.now());
                self.facts.change_requests.remove(&id);
                self.facts.durations.remove(&id);
                let applied = cloud.apply(principal, organization, &id).await;
                // Somebody else may have applied it meanwhile: then the history says who, and since when the grant's clock runs.
                if applied.is_err() {
                    self.facts.applied_at.remove(&id);
                }
                // An answer that says no leaves nothing that could still show.
                if !matches!(applied, Ok(()) | Err(CloudError::Unclear(_))) {
                    self.loaded.work.note.idle_since = idle_since;
                }
                Ok(applied)
            }
            Act::Deploy => self.deploy().await,
            Act::CancelDeployment(id) => {
                let own = self.loaded.request.status.deployment.as_ref().is_some_and(|own| own.id == id);
                self.facts.activity = None;
                self.facts.deployment = None;
                let cancelled = cloud.cancel_deployment(principal, &ask.stack, &id).await;
                self.loaded.work.note.cancelled |= own && cancelled.is_ok();
                Ok(cancelled)
            }
        }
    }

    async fn lock_creation(&mut self) -> Result<(), Stop> {
        let ask = &self.loaded.request.ask;
        let (organization, principal) = (&ask.stack.organization, &ask.gate.principal);
        let ledger = &self.keeper.ledger;
        let mut creation = ledger.lock_creation(organization, principal, ask.id).await?;
        if let Creation::Theirs(other) = creation {
            // One that went on without giving the lock back died between the two.
            let gone_on = match ledger.load(other).await {
                Ok(Some(loaded)) => loaded.request.status.state != State::Requested,
                Ok(None) => true,
                // It may have drafts that nobody else can tell from their own, so the lock stays its.
                Err(LedgerError::Broken(why)) => {
                    tracing::error!(request = %other, why, "an item makes no sense; it waits for a person");
                    self.facts.unreadable.insert(other);
                    false
                }
                Err(error) => return Err(error.into()),
            };
            if gone_on {
                ledger.unlock_creation(organization, principal, other).await?;
                creation = ledger.lock_creation(organization, principal, ask.id).await?;
            }
        }
        self.facts.creation = Some(creation);
        Ok(())
    }

    /// From when on the effect of a call that is made now shows, if it is not known how the call ended.
    fn settles_at(&self) -> Timestamp {
        later(later(self.lease.until, seconds(self.keeper.timing.call)), self.keeper.timing.settle)
    }

    async fn request_open(&mut self) -> Result<Result<(), CloudError>, Stop> {
        let ask = self.loaded.request.ask.clone();
        let intent = Intent { at: self.now(), settles_at: self.settles_at() };
        self.loaded.work.note.opening = Some(intent.clone());
        self.loaded.work.note.opening_as = self.facts.identity.clone();
        self.keeper.ledger.note(&self.lease, &self.loaded.work.note).await?;
        // The write took its time; the lease must still cover the call.
        self.in_time()?;
        let (access, expiration) = (ask.access_duration.seconds(), ask.grant_expiration.seconds());
        let result =
            self.keeper.cloud.request_open(&ask.gate.principal, &ask.gate.environment, access, expiration).await;
        match result {
            Ok(created) => {
                // Should what was created not get recorded, because the request is cancelled just now, only its effect has to be waited for.
                let settled = later(self.now(), self.keeper.timing.settle);
                self.loaded.work.note.opening = Some(Intent { settles_at: settled, ..intent });
                self.facts.opened = Some(created);
                Ok(Ok(()))
            }
            Err(error) => {
                // Our own call has ended: what is left to wait for is its effect, and nothing if it was refused.
                let unclear = matches!(error, CloudError::Unclear(_));
                let settled = later(self.now(), self.keeper.timing.settle);
                self.loaded.work.note.opening = unclear.then_some(Intent { settles_at: settled, ..intent });
                if !unclear {
                    // Before the lock is given back: whoever comes after a crash would take the next one's drafts for what this creation left.
                    self.keeper.ledger.note(&self.lease, &self.loaded.work.note).await?;
                }
                Ok(Err(error))
            }
        }
    }

    async fn deploy(&mut self) -> Result<Result<(), CloudError>, Stop> {
        let ask = self.loaded.request.ask.clone();
        let intent = Intent { at: self.now(), settles_at: self.settles_at() };
        self.keeper.ledger.intend(&self.lease, &intent).await?;
        // The intent was written under the lease. Whoever had stood still for longer than a lease before may have deployed and recorded it since the
        // stack's deployments were searched.
        let recorded = self.keeper.ledger.load(ask.id).await?;
        if recorded.is_none_or(|now| now.request.status.sequence != self.request().status.sequence) {
            return Err(LedgerError::Conflict.into());
        }
        self.loaded.work.intent = Some(intent.clone());
        // The write took its time; the lease must still cover the call.
        if let Err(stop) = self.in_time().and_then(|()| self.grant_lasts()) {
            // Nothing was sent, so there is nothing to wait for.
            self.loaded.work.intent = None;
            return Err(stop);
        }
        let new = NewDeployment {
            stack: ask.stack.clone(),
            operation: ask.operation,
            commit: ask.commit.clone(),
            mark: ask.id,
        };
        match self.keeper.cloud.deploy(&ask.gate.principal, &new).await {
            Ok(deployment) => {
                // Should it not get recorded, because the request changed just now, only its effect has to be waited for.
                let settled = later(self.now(), self.keeper.timing.settle);
                self.loaded.work.intent = Some(Intent { settles_at: settled, ..intent });
                self.facts.deployed = Some(deployment);
                Ok(Ok(()))
            }
            Err(error) => {
                let unclear = matches!(error, CloudError::Unclear(_));
                let settled = later(self.now(), self.keeper.timing.settle);
                self.loaded.work.intent = unclear.then_some(Intent { settles_at: settled, ..intent });
                Ok(Err(error))
            }
        }
    }

    /// Keeps what a look leaves for the next one.
    fn answered(&mut self, look: &Look) {
        let now = self.now();
        let note = &mut self.loaded.work.note;
        (note.failures, note.retry_at) = (0, None);
        if let (Look::ChangeRequest(id), false) = (look, self.loaded.request.status.change_requests.is_empty()) {
            let seen = |id: &String| self.facts.change_requests.get(id).map(Option::is_some);
            let ours = &self.loaded.request.status.change_requests;
            if seen(id) == Some(false) {
                note.lost.get_or_insert(Lost { since: now, looks: 0 }).looks += 1;
            } else if ours.iter().all(|one| seen(&one.id) == Some(true)) {
                note.lost = None;
            }
        }
        if let (Look::Activity, Some(activity)) = (look, &self.facts.activity) {
            // One that carries the mark stays in sight until it is recorded.
            let marked = activity.marked.iter().map(|one| one.deployment.version - 1).min();
            let searched = marked.unwrap_or(activity.latest).min(activity.latest);
            // A stack that was made anew under the same name counts from one again.
            note.searched = if activity.latest < note.searched && !activity.unseen {
                searched
            } else {
                note.searched.max(searched)
            };
            if let Some(own) = &activity.own {
                (note.lost, note.deployment_status) = (None, Some(own.as_str().to_owned()));
                // What was told to stop and runs nevertheless has started.
                note.cancelled &= *own != DeploymentStatus::Running;
            }
        }
        match (look, &self.facts.deployment) {
            (Look::Deployment, Some(Some(own))) => {
                (note.lost, note.deployment_status) = (None, Some(own.as_str().to_owned()));
                note.cancelled &= *own != DeploymentStatus::Running;
            }
            (Look::Deployment, Some(None)) => {
                let lost = note.lost.get_or_insert(Lost { since: now, looks: 0 });
                lost.looks += 1;
            }
            _ => {}
        }
    }

    /// Pulumi Cloud did not do what it was asked: the request waits, and says for what.
    async fn trouble(&mut self, error: &CloudError) -> Result<Rest, Stop> {
        let now = self.now();
        let sweep = self.keeper.timing.sweep;
        let note = &mut self.loaded.work.note;
        tracing::warn!(request = %self.loaded.request.ask.id, %error, "Pulumi Cloud");
        note.failures = note.failures.saturating_add(1);
        note.troubled_since.get_or_insert(now);
        if matches!(error, CloudError::Later { .. } | CloudError::Conflict(_) | CloudError::Unclear(_)) {
            note.token_refused_since = None;
        }
        if self.is_hopeless() {
            let refused = format!(
                "Pulumi Cloud gave no usable answer ({error}) for {CLOSING_HOURS} hours after its time was up. Look there how it stands, and ask again."
            );
            return self.give_up("no-answer", refused).await;
        }
        let note = &mut self.loaded.work.note;
        let doubled = sweep.as_secs().saturating_mul(1 << note.failures.min(10)).clamp(1, MAX_PAUSE_SECONDS);
        match error {
            CloudError::Later { retry_after } => {
                let longest = SignedDuration::from_secs(MAX_RETRY_AFTER_SECONDS);
                let pause =
                    retry_after.map_or(SignedDuration::from_secs(RATE_LIMIT_PAUSE_SECONDS), seconds).min(longest);
                let until = later(now, pause);
                note.retry_at = Some(until);
                let detail = format!("Pulumi Cloud is rate-limiting; the next try is at {until}");
                Ok(Rest {
                    waiting: vec![Blocker::new(BlockerKind::PulumiCloud, detail)],
                    until: Some(until),
                    ..Rest::default()
                })
            }
            // Refused where no rule of the gate decides on it: the principal lost a right that it had, and may get it back.
            CloudError::Unauthorized(why) | CloudError::NotFound(why) | CloudError::Refused { message: why, .. } => {
                let since = *note.token_refused_since.get_or_insert(now);
                if later(since, SignedDuration::from_hours(TOKEN_HOURS)) <= now {
                    let principal = &self.request().ask.gate.principal;
                    let refused = format!(
                        "Pulumi Cloud refused the principal {principal} for {TOKEN_HOURS} hours. Give it a good token, and its rights, and ask again."
                    );
                    return self.give_up("principal-token", refused).await;
                }
                let principal = &self.loaded.request.ask.gate.principal;
                let detail = format!(
                    "Pulumi Cloud refuses the principal {principal} since {since} ({why}); give it a good token, and its rights, within {TOKEN_HOURS} hours"
                );
                Ok(Rest { waiting: vec![Blocker::new(BlockerKind::PrincipalToken, detail)], ..Rest::default() })
            }
            CloudError::Conflict(_) | CloudError::Unclear(_) => {
                let until = later(now, SignedDuration::from_secs(doubled));
                let settles = self
                    .loaded
                    .work
                    .intent
                    .as_ref()
                    .or(self.loaded.work.note.opening.as_ref())
                    .map(|intent| intent.settles_at);
                let until = settles.map_or(until, |at| at.max(now).min(until));
                let detail = match error {
                    CloudError::Conflict(why) => {
                        format!("Pulumi Cloud does not answer now ({why}); the next try is at {until}")
                    }
                    _ => format!("Pulumi Cloud gives no usable answer; the next try is at {until}"),
                };
                Ok(Rest {
                    waiting: vec![Blocker::new(BlockerKind::PulumiCloud, detail)],
                    until: Some(until),
                    ..Rest::default()
                })
            }
        }
    }

    /// Whether there was trouble for a day after the request's own time was up: waiting longer would be waiting for ever.
    fn is_hopeless(&self) -> bool {
        let (ask, status, now) = (&self.request().ask, &self.request().status, self.now());
        let bound = match (&status.grant, status.first_applied_at()) {
            (Some(grant), _) if status.state == State::Deploying => {
                later(grant.applied_at, SignedDuration::from_hours(24 * LOST_AFTER_DAYS))
            }
            (Some(grant), _) => grant.expires_at,
            (None, Some(applied)) => later(applied, ask.grant_expiration.duration()),
            (None, None) => self.request().expires_at(),
        };
        let bound = status.ending.as_ref().map_or(bound, |ending| ending.since);
        let since = self.loaded.work.note.troubled_since.unwrap_or(now).max(bound);
        later(since, SignedDuration::from_hours(CLOSING_HOURS)) <= now
    }

    /// Nothing more can be done, not even closing: it ends, and says what is left.
    async fn give_up(&mut self, code: &str, refused: String) -> Result<Rest, Stop> {
        let status = &self.request().status;
        let (to, actor, mut outcome) = match &status.ending {
            Some(ending) => {
                let outcome = Outcome::new(&ending.outcome.code, format!("{} {refused}", ending.outcome.message));
                (ending.to, ending.actor.clone(), outcome)
            }
            None => (State::Error, Actor::SIGNOFF, Outcome::new(code, refused)),
        };
        if let Some(deployment) = &status.deployment {
            outcome.message.push_str(&format!(
                " Deployment {} is not followed any longer: {}",
                deployment.version, deployment.url
            ));
        }
        if self.loaded.work.intent.is_some() {
            outcome.message.push_str(DEPLOYMENT_MAY_EXIST);
        }
        let is_open = |one: &&ChangeRequest| one.applied_at.is_none() && one.status != ChangeRequestStatus::Closed;
        let open: Vec<_> = status.change_requests.iter().filter(is_open).map(|one| one.id.as_str()).collect();
        if !open.is_empty() {
            outcome.message.push_str(&format!(
                " These change requests could not be closed, close them at Pulumi Cloud: {}.",
                open.join(", ")
            ));
        }
        if status.state == State::Requested && self.loaded.work.note.opening.is_some() {
            outcome.message.push_str(&drafts_may_be_left(&self.request().ask.gate.environment));
        }
        let rests_on = rests_on(&self.known());
        if let Some(event) = Event::end(to, outcome, rests_on) {
            self.record(Record { event: Box::new(event), actor, line: LineChange::Leave }).await?;
        }
        Ok(Rest::default())
    }

    /// Ends the look: rings whom it concerns, writes the work down, gives the lease back. `true`: another look was asked for meanwhile.
    async fn rest(&mut self, rest: Rest) -> Result<bool, LedgerError> {
        self.hand_on().await?;
        let now = self.now();
        let status = &self.loaded.request.status;
        let (state, sequence) = (status.state, status.sequence);
        let ending = status.ending.as_ref().map(|ending| ending.outcome.message.clone());
        let work = &mut self.loaded.work;
        work.note.version = sequence;
        work.note.waiting = rest.waiting;
        if state.is_terminal() {
            work.due = None;
            work.intent = None;
            work.note.waiting.clear();
        } else {
            if let (Some(why), true) = (ending, work.note.waiting.is_empty()) {
                work.note.waiting = vec![Blocker::new(
                    BlockerKind::Closing,
                    format!("what is open at Pulumi Cloud is being closed: {why}"),
                )];
            }
            let wanted = rest.until.unwrap_or_else(|| later(now, self.keeper.cadence(&self.loaded.request, now)));
            let wanted = rest.moment.map_or(wanted, |moment| wanted.min(moment.max(now)));
            let expires_at = self.loaded.request.expires_at();
            let wanted = if now < expires_at { wanted.min(expires_at) } else { wanted };
            // A due time that is a little sooner stays: an early look is harmless, and moving it costs two index writes. One that is a sweep sooner
            // does not: the sweep itself sets such a one when it rings, and an old request would be looked at as often as a new one.
            let sweep = self.keeper.timing.sweep;
            let near = |due: &Timestamp| *due > now && *due <= wanted && wanted.duration_since(*due) < sweep;
            let work = &mut self.loaded.work;
            work.due = Some(work.due.filter(near).unwrap_or(wanted));
        }
        match self.keeper.ledger.finish(&self.lease, &self.loaded.work).await? {
            Finish::Released | Finish::Lost => Ok(false),
            Finish::Again => {
                let Some(loaded) = self.keeper.ledger.load(self.loaded.request.ask.id).await? else { return Ok(false) };
                self.loaded = loaded;
                self.facts = Facts::default();
                // Whoever asked was turned away at the door; if it was the other worker, nobody else tells it.
                if let Some(other) = self.request().status.state.worker().filter(|worker| *worker != self.worker) {
                    self.keeper.ledger.ring(self.request().ask.id, other, Cause::Due, self.keeper.host.ulid()).await?;
                }
                Ok(true)
            }
        }
    }

    /// Whoever waited for what this request held is rung: the next in the stack's line, and the next to create open requests.
    async fn hand_on(&mut self) -> Result<(), LedgerError> {
        let (ledger, host) = (&self.keeper.ledger, &self.keeper.host);
        let (ask, status) = (&self.loaded.request.ask, &self.loaded.request.status);
        let creating = status.state == State::Requested
            && (self.loaded.work.note.opening.is_some() || !status.change_requests.is_empty());
        // Who has used up its time may have lost the lease to somebody who creates under this very lock by now.
        if self.facts.creation == Some(Creation::Ours) && !creating && self.in_time().is_ok() {
            if let Some(next) = ledger.unlock_creation(&ask.stack.organization, &ask.gate.principal, ask.id).await? {
                ledger.ring(next, Worker::Apply, Cause::Due, host.ulid()).await?;
            }
            self.facts.creation = None;
        }
        if status.state.is_terminal() {
            let line = ledger.line(&ask.stack).await?;
            self.ring_next(&line).await?;
        }
        Ok(())
    }

    /// Rings the next request of the stack's line that can go on.
    async fn ring_next(&self, line: &Line) -> Result<(), LedgerError> {
        let (ledger, now) = (&self.keeper.ledger, self.now());
        let mut is_next = true;
        for other in line.waiting.iter().filter(|other| other.id != self.request().ask.id) {
            let Some(loaded) = sound(ledger.load(other.id).await, other.id)? else { continue };
            let Request { ask, status, .. } = &loaded.request;
            let gate = self.facts.gates.gate_of(&ask.stack);
            let overtaken = line.has_overtaken(ask) && gate.is_some_and(|gate| gate.minds_newer(ask));
            let held = status.held_until(now).is_some() || overtaken;
            let goes = status.state == State::Approved && status.ending.is_none() && !held;
            // Whoever need not wait for those before it is rung as well.
            if goes && (is_next || status.lifted.contains(&Lift::Line)) {
                ledger.ring(other.id, Worker::Apply, Cause::Due, self.keeper.host.ulid()).await?;
                is_next = false;
            }
        }
        Ok(())
    }

    /// Whoever has the stack's turn and rests without having applied anything gives it back: its window may have closed since, or Pulumi Cloud does not
    /// apply. It waits until whatever an earlier look may have sent has shown, since no two requests of a stack are to be applied at once.
    async fn give_turn_back(&mut self, rest: Rest) -> Result<Rest, LedgerError> {
        let now = self.now();
        let Request { ask, status, .. } = self.request();
        let Facts { tried, refused, conflicts, .. } = &self.facts;
        let may_show =
            |act: &Act| matches!(act, Act::Apply(_)) && !refused.contains_key(act) && !conflicts.contains_key(act);
        let may_idle = status.state == State::Approved && status.ending.is_none() && !status.is_any_applied();
        let line = if may_idle && !tried.iter().any(may_show) {
            Some(self.keeper.ledger.line(&ask.stack).await?).filter(|line| line.turn == Some(ask.id))
        } else {
            None
        };
        let Some(line) = line else {
            self.loaded.work.note.idle_since = None;
            return Ok(rest);
        };
        let since = self.loaded.work.note.idle_since.unwrap_or(now);
        let settled = later(later(since, seconds(self.keeper.timing.call)), self.keeper.timing.settle);
        if now < settled {
            self.loaded.work.note.idle_since = Some(since);
            let moment = rest.moment.map_or(settled, |moment| moment.min(settled));
            return Ok(Rest { moment: Some(moment), ..rest });
        }
        // Whoever has lost the lease may not take the turn from the one that has it now.
        self.keeper.ledger.confirm(&self.lease, self.now()).await?;
        self.keeper.ledger.release_turn(&ask.stack, ask.id).await?;
        self.loaded.work.note.idle_since = None;
        self.ring_next(&line).await?;
        Ok(rest)
    }
}

impl<L, P, H> Gatekeeper<L, P, H> {
    /// How long until an open request is looked at again by itself: every sweep in its first hour, every fifth in its first day, then every fifteenth.
    fn cadence(&self, request: &Request, now: Timestamp) -> SignedDuration {
        let age = now.duration_since(request.ask.created_at);
        let sweeps = match age.as_hours() {
            ..1 => 1,
            1..24 => 5,
            _ => 15,
        };
        // Half a sweep less, so that it is due when that sweep comes and not just after it.
        self.timing.sweep * sweeps - self.timing.sweep / 2
    }
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(from)
}

fn seconds(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
