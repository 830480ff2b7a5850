//! What signoff remembers, as the questions and steps that the gate needs. One adapter implements it on DynamoDB.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::blocker::{Blocker, BlockerKind};
use crate::chain::{Sealed, Step};
use crate::doorbell::Delivery;
use crate::gate::Gates;
use crate::names::{Commit, Login, Organization, PrincipalName, RequestId, StackName};
use crate::request::{Ask, ChangeRequest, Request, State, Worker};
use crate::verdict;

/// Why the ledger did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else was first. Nothing was written: load again, and decide anew.
    #[error("somebody else was first")]
    Conflict,
    /// The store can't be reached, throttles or fails. Whether it was written is unknown: load again, later.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// An item that makes no sense: nobody but a person can mend it.
    #[error("the store holds an item that makes no sense: {0}")]
    Broken(String),
    /// A page's end that no page of this listing had: whoever sent it made it up.
    #[error("no page ends there")]
    BadCursor,
}

/// What was found of a request, where one that makes no sense counts as none: it waits for a person, and must keep nobody else from their turn.
///
/// # Errors
/// If the store fails.
pub fn sound<T>(found: Result<Option<T>, LedgerError>, id: RequestId) -> Result<Option<T>, LedgerError> {
    match found {
        Err(LedgerError::Broken(why)) => {
            tracing::error!(request = %id, why, "an item makes no sense; it waits for a person");
            Ok(None)
        }
        answer => answer,
    }
}

/// The right to work on one request, for a time. Made by [`Ledger::begin`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The request.
    pub id: RequestId,
    /// Whose it is: an id that each look draws anew.
    pub holder: Ulid,
    /// Until when.
    pub until: Timestamp,
}

/// The bookkeeping of work on a request; a write of it alone wakes nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// When the next look is due; `None` once the request is over.
    pub due: Option<Timestamp>,
    /// A deployment that was about to be created, and of which no outcome is recorded.
    pub intent: Option<Intent>,
    /// The rest.
    pub note: Note,
}

/// What was about to be done when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// When it was written.
    pub at: Timestamp,
    /// From when on its effect shows if it had one; until then nobody tries again.
    pub settles_at: Timestamp,
}

/// What the last look left for the next one, and for people to see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Note {
    /// The version of the status that `waiting` belongs to.
    pub version: u64,
    /// What the request waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Blocker>,
    /// Looks in a row that Pulumi Cloud did not answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Before which Pulumi Cloud is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Since when the principal's token is refused, with no other trouble in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_refused_since: Option<Timestamp>,
    /// Since when no look came to rest: Pulumi Cloud gave no usable answer, or refused the principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub troubled_since: Option<Timestamp>,
    /// Since when a change request, or the deployment, can't be found, and how often it was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// Since when it has had the stack's turn without applying anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
    /// The deployment had not started when its grant ran out, and was told to stop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// The deployment's status when it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_status: Option<String>,
    /// The stack's deployments up to this version were read, and none but the recorded one carries the mark.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub searched: i64,
    /// Since when open requests were being created, of which no outcome is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<Intent>,
    /// Whose token created them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening_as: Option<Login>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

/// A deployment that can't be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Since when.
    pub since: Timestamp,
    /// How many looks did not find it.
    pub looks: u32,
}

/// A request with the bookkeeping of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The request.
    pub request: Request,
    /// The bookkeeping.
    pub work: Work,
}

/// A request in a listing: what is known of it, or which one it is that can't be read.
pub type Listing = Result<Loaded, RequestId>;

impl Loaded {
    /// What it waits for: what the last look left, or what can be told without one if the request has changed since.
    pub fn waits_for(&self) -> Vec<Blocker> {
        let (status, note) = (&self.request.status, &self.work.note);
        if status.state.is_terminal() {
            return Vec::new();
        }
        let mut waiting = if note.version == status.sequence {
            note.waiting.clone()
        } else if status.state == State::PendingApproval && status.ending.is_none() {
            let lacking = |known: &ChangeRequest| verdict::lacking(&known.environment.qualified(), &known.approvals);
            status.change_requests.iter().filter_map(lacking).collect()
        } else {
            Vec::new()
        };
        if let Some(ending) = &status.ending
            && waiting.iter().all(|blocker| blocker.kind != BlockerKind::Closing)
        {
            let detail = format!("it will be {}; what is open at Pulumi Cloud is being closed", ending.to);
            waiting.insert(0, Blocker::new(BlockerKind::Closing, detail));
        }
        waiting
    }
}

/// Why a worker looks at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its state was written for this worker, or its time has come.
    Due,
    /// A webhook rang: the delivery of this id. Bounded by [`MAX_RINGS`].
    Ring(String),
}

impl Cause {
    /// The word for it in the ledger.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Ring(_) => "ring",
        }
    }

    /// The delivery that rang, if one did.
    pub fn delivery(&self) -> Option<&str> {
        match self {
            Self::Due => None,
            Self::Ring(delivery) => Some(delivery),
        }
    }
}

/// By how much the clocks of two machines may differ where something is held until a time.
pub const ONCE_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How many rings make a worker look at a request within [`RING_WINDOW_SECONDS`]; what comes beyond that is left to the sweep.
pub const MAX_RINGS: u32 = 10;
/// The time in which rings are counted, in seconds.
pub const RING_WINDOW_SECONDS: i64 = 20;

/// A notice that is due: of an event of a request, to whoever hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoticeDue {
    /// The request.
    pub id: RequestId,
    /// The number of the event.
    pub event: u64,
    /// Since when it is due; for one that was claimed, until when that holds.
    pub due: Timestamp,
}

/// How far a notice has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NoticeWork {
    /// Which reminder of it is to be sent; 0: the notice itself.
    pub reminder: u32,
    /// How often that was tried in vain.
    pub tries: u32,
    /// Who has been told already.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub told: BTreeSet<String>,
}

/// What came of an attempt to work on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It is ours for the lease.
    Held(Box<Loaded>, Lease),
    /// Somebody is at it, and was told to look again.
    Busy,
    /// It was rung for too often; the sweep will look.
    Quiet,
    /// There is no such request.
    Gone,
}

/// What came of the end of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The lease is given back.
    Released,
    /// Somebody asked for another look meanwhile: the lease is still ours, and so is that look.
    Again,
    /// The lease had run out and somebody else has the request: nothing was written.
    Lost,
}

/// What a step does to the stack's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineChange {
    /// Nothing.
    Keep,
    /// The request gives the turn back, if it has it.
    ReleaseTurn,
    /// The request leaves the line, and gives the turn back if it has it.
    Leave,
    /// The request, an update, is the last one that was deployed.
    Deployed,
}

/// The open requests of one stack in the order in which they were asked for, and who has the turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// The place that the next request gets. Grows by one with each request; also tells whether the line moved.
    pub next: u64,
    /// The open requests.
    pub waiting: Vec<InLine>,
    /// The one that may apply and deploy.
    pub turn: Option<RequestId>,
    /// The commit that the last push asked for.
    pub pushed: Option<Commit>,
    /// Whether a push was heard of before any asked for something: then the clock looks at its branch, too.
    pub heard: bool,
    /// The place of the last update that was deployed, where the gate keeps to the order.
    pub deployed: Option<u64>,
}

impl Line {
    /// Whether an update that was asked for later has been deployed.
    pub fn has_overtaken(&self, ask: &Ask) -> bool {
        self.deployed.is_some_and(|last| last > ask.position)
    }
}

/// An open request in a stack's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLine {
    /// Its place.
    pub position: u64,
    /// The request.
    pub id: RequestId,
    /// Who asked.
    pub requester: Login,
    /// Whether a push made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub push: bool,
}

impl InLine {
    /// The place of what is asked for.
    pub fn of(ask: &Ask) -> Self {
        Self { position: ask.position, id: ask.id, requester: ask.requester.login.clone(), push: ask.push.is_some() }
    }
}

/// A request to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The first event and the request that it makes; its position is the `next` of the line that was read.
    pub step: Step,
    /// When it is looked at at the latest.
    pub due: Timestamp,
    /// The caller's idempotency key, if one was given.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Who gave it.
    pub caller: Login,
    /// The key.
    pub key: String,
    /// The SHA-256 of the body that came with it, in hexadecimal.
    pub body: String,
    /// The request that it led to.
    pub request: RequestId,
    /// Until when it holds.
    pub until: Timestamp,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` on the last.
    pub next: Option<String>,
}

/// A request whose next look is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The request.
    pub id: RequestId,
    /// Since when.
    pub due: Timestamp,
}

/// Who may create open requests as a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// This request may, until it gives the lock back.
    Ours,
    /// Another one does; this one waits in line and is rung when it is its turn.
    Theirs(RequestId),
}

/// What the ledger answers, later.
pub trait Reply<T>: Future<Output = Result<T, LedgerError>> + Send {}
impl<T, F: Future<Output = Result<T, LedgerError>> + Send> Reply<T> for F {}

/// The ledger. All reads that a decision rests on are strongly consistent unless they say otherwise.
pub trait Ledger: Send + Sync {
    /// Which gates are there? None configured: an empty list, so nothing may be asked for.
    fn gates(&self) -> impl Reply<Gates>;

    /// What is known of this request?
    fn load(&self, id: RequestId) -> impl Reply<Option<Loaded>>;

    /// Who stands in line for this stack?
    fn line(&self, stack: &StackName) -> impl Reply<Line>;

    /// Records a new request: state, first event, work, its place in the line (with its commit, if a push made it) and its idempotency key, in one transaction.
    /// [`LedgerError::Conflict`]: the line moved since it was read, or the idempotency key was taken meanwhile.
    fn create(&self, new: &NewRequest) -> impl Reply<()>;

    /// What does this caller's idempotency key stand for? Expired ones stand for nothing.
    fn idempotency(&self, caller: &Login, key: &str, now: Timestamp) -> impl Reply<Option<Idempotency>>;

    /// Takes the request's lease, or tells its holder to look again.
    fn begin(&self, id: RequestId, holder: Ulid, now: Timestamp, until: Timestamp, cause: Cause) -> impl Reply<Begin>;

    /// Records a step: state at its version, event once, and the line, in one transaction. `wake` names the worker that has to act next, if it is
    /// another. [`LedgerError::Conflict`]: the request has moved on. A step that turns out to be recorded already is a success.
    fn record(&self, step: &Step, wake: Option<Worker>, line: LineChange) -> impl Reply<()>;

    /// Records a cancellation (an [`crate::event::Event::EndDecided`]): as [`Ledger::record`], but only if no intent to deploy is recorded; and no intent is from
    /// then on. [`LedgerError::Conflict`] in either case.
    fn record_cancel(&self, step: &Step, wake: Worker) -> impl Reply<()>;

    /// Writes down that a deployment is about to be created. [`LedgerError::Conflict`]: the lease is lost, or the request was cancelled.
    fn intend(&self, lease: &Lease, intent: &Intent) -> impl Reply<()>;

    /// Is the lease still ours, and has nobody taken the request back? Asked by a write, right before something that can't be undone.
    /// [`LedgerError::Conflict`]: no.
    fn confirm(&self, lease: &Lease, now: Timestamp) -> impl Reply<()>;

    /// Writes the note alone, under the lease, and keeps it. [`LedgerError::Conflict`]: the lease is lost.
    fn note(&self, lease: &Lease, note: &Note) -> impl Reply<()>;

    /// Writes the work down and gives the lease back; unless another look was asked for meanwhile.
    fn finish(&self, lease: &Lease, work: &Work) -> impl Reply<Finish>;

    /// Notes in the stack's line that a push was heard of.
    fn hear(&self, stack: &StackName) -> impl Reply<()>;

    /// Takes the stack's turn for this request. `false`: another one has it.
    fn claim_turn(&self, stack: &StackName, id: RequestId) -> impl Reply<bool>;

    /// Gives the stack's turn back, if this request has it.
    fn release_turn(&self, stack: &StackName, id: RequestId) -> impl Reply<()>;

    /// Takes the lock under which open requests are created as a principal, or waits in line for it.
    fn lock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> impl Reply<Creation>;

    /// Gives that lock back if it is this request's (and its place in line for it otherwise), and says who of those that are open waited longest.
    fn unlock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> impl Reply<Option<RequestId>>;

    /// Says to a worker: look at this one, and why. The ULID is a fresh one, since a write that changes nothing wakes nobody.
    fn ring(&self, id: RequestId, worker: Worker, cause: Cause, ulid: Ulid) -> impl Reply<()>;

    /// Which requests are due? Oldest first, from the index: eventually consistent.
    fn due(&self, now: Timestamp, limit: usize) -> impl Reply<Vec<Due>>;

    /// Moves a request's next look forward: whoever does it may ring. `false`: it was moved by somebody else.
    fn claim_due(&self, due: &Due, next: Timestamp) -> impl Reply<bool>;

    /// Which notices are due? Oldest first, from the index: eventually consistent.
    fn notices_due(&self, now: Timestamp, limit: usize) -> impl Reply<Vec<NoticeDue>>;

    /// Takes a notice that is due, until then: whoever does it may send. `None`: somebody else has it, or it was sent.
    fn claim_notice(&self, notice: NoticeDue, until: Timestamp) -> impl Reply<Option<NoticeWork>>;

    /// Says what is left to do of a notice that was claimed (`due` is until when), and when; `None`: nothing. Of a claim that is over nothing is written.
    fn finish_notice(&self, claimed: NoticeDue, left: Option<(Timestamp, NoticeWork)>) -> impl Reply<()>;

    /// Which requests are open? From the index: eventually consistent, in no order.
    fn open(&self, limit: usize) -> impl Reply<Vec<RequestId>>;

    /// Takes something that is done by one at a time, and once in a while: `true` if nobody has it until after `now`. It is held until `until`. Who holds it
    /// for [`ONCE_SKEW`] longer than that had a wrong clock, and does not count.
    fn once(&self, what: &str, now: Timestamp, until: Timestamp) -> impl Reply<bool>;

    /// Records a webhook delivery. `false`: it was recorded before.
    fn record_delivery(&self, delivery: &Delivery, expires: Timestamp) -> impl Reply<bool>;

    /// Remembers which request a change request belongs to, so that a webhook finds it.
    fn point(
        &self,
        organization: &Organization,
        change_request: &str,
        id: RequestId,
        expires: Timestamp,
    ) -> impl Reply<()>;

    /// Which request does this change request belong to?
    fn pointed(&self, organization: &Organization, change_request: &str) -> impl Reply<Option<RequestId>>;

    /// The organization's requests, newest first: those before `before`, `limit` at most. From the index: eventually consistent. One that can't be read
    /// must not hide the others, nor be missing among them.
    fn list(&self, organization: &Organization, before: Option<RequestId>, limit: usize) -> impl Reply<Vec<Listing>>;

    /// The whole trail of a request, oldest first.
    fn events(&self, id: RequestId) -> impl Reply<Vec<Sealed>>;

    /// The organization's events of one UTC day (`2026-11-23`) within a span of time, in the order of their times, from a page's end on. Times
    /// are kept in milliseconds: some just outside of the span may be there. Eventually consistent.
    fn events_of_day(
        &self,
        organization: &Organization,
        day: &str,
        span: &Range<Timestamp>,
        after: Option<&str>,
        limit: usize,
    ) -> impl Reply<Page<Sealed>>;
}
