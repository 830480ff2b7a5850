//! A request: what was asked (which never changes) and how far it has come (which the events change).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blocker::BlockerKind;
use crate::conditions::Lift;
use crate::event::Actor;
use crate::names::{Commit, EnvironmentName, Login, Operation, PrincipalName, Reason, RequestId, StackName};
use crate::period::Period;
use crate::push::Pushed;

/// What somebody asked for. It is the evidence of the first event and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// The request's id.
    pub id: RequestId,
    /// The stack to deploy.
    pub stack: StackName,
    /// What to do with it.
    pub operation: Operation,
    /// Why.
    pub reason: Reason,
    /// The commit that the request pins, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Who asks.
    pub requester: Requester,
    /// For whom a machine says that it asks; recorded as claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Login>,
    /// The push that asks, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Pushed>,
    /// The run that was refused, and that this one repeats, if it is asked for because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescues: Option<Deployment>,
    /// What the gate demanded when it was asked; kept for the life of the request.
    pub gate: Terms,
    /// How long the grant lets the deployment in, from its first open.
    pub access_duration: Period,
    /// Within which time of the apply the environment has to be opened first.
    pub grant_expiration: Period,
    /// How long it may wait for its apply.
    pub pending_timeout: Period,
    /// Before which moment it is not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// After which moment it is not applied any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Its place in the stack's line; a smaller one asked earlier.
    pub position: u64,
    /// When it was asked.
    pub created_at: Timestamp,
}

impl Ask {
    /// Until when the first change request has to be applied, unless that is pushed on.
    pub fn expires_at(&self) -> Timestamp {
        self.in_time(self.created_at.saturating_add(self.pending_timeout.duration()).unwrap_or(Timestamp::MAX))
    }

    /// This moment, or the one after which it is not applied any more, if that is sooner.
    pub fn in_time(&self, moment: Timestamp) -> Timestamp {
        self.not_after.map_or(moment, |last| last.min(moment))
    }

    /// Whether an approval of this person counts nothing because the deployment is their own.
    pub fn is_asked_by(&self, login: &Login) -> bool {
        *login == self.requester.login || self.on_behalf_of.as_ref() == Some(login)
    }
}

/// Who asks: a person, or a machine token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// The login that Pulumi Cloud gave for the token.
    pub login: Login,
    /// The display name.
    pub name: String,
    /// The machine token's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// What of the gate a request keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The environment that carries the Open ruleset.
    pub environment: EnvironmentName,
    /// Whose token asks, applies and deploys.
    pub principal: PrincipalName,
    /// Whether the requester's own approval counts.
    pub self_approval: bool,
    /// Whether the commit had to be pinned.
    pub commit_required: bool,
    /// How many different people have to approve this operation, whatever the rulesets ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
    /// How long after the last approval that was needed it is applied at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Period>,
}

/// The states of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Recorded; not every open request is submitted at Pulumi Cloud yet.
    Requested,
    /// Every open request is submitted.
    PendingApproval,
    /// Every open request has enough approvals that count; the apply waits for its moment.
    Approved,
    /// Every open request is applied; the grants' clocks run.
    Granted,
    /// The deployment exists.
    Deploying,
    /// The deployment succeeded.
    Succeeded,
    /// The deployment failed, was skipped, cancelled, or did not start in time.
    Failed,
    /// A reviewer closed a change request.
    Rejected,
    /// Not approved, or not deployed, in time.
    Expired,
    /// Taken back.
    Cancelled,
    /// Something that no retry mends.
    Error,
}

impl State {
    /// All of them, in the order of a request's life.
    pub const ALL: [Self; 11] = [
        Self::Requested,
        Self::PendingApproval,
        Self::Approved,
        Self::Granted,
        Self::Deploying,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Error,
    ];

    /// Whether nothing comes after it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Requested | Self::PendingApproval | Self::Approved | Self::Granted | Self::Deploying)
    }

    /// The word for it, as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::PendingApproval => "pending_approval",
            Self::Approved => "approved",
            Self::Granted => "granted",
            Self::Deploying => "deploying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }

    /// The worker that takes a request onward from here; none once it is over.
    pub fn worker(self) -> Option<Worker> {
        match self {
            Self::Requested | Self::PendingApproval | Self::Approved => Some(Worker::Apply),
            Self::Granted | Self::Deploying => Some(Worker::Deploy),
            _ => None,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for State {
    type Err = crate::names::BadName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            crate::names::BadName(format!("a state is one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

/// The two that act on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worker {
    /// Takes requests from `requested` to `granted`, and closes what has to be closed.
    Apply,
    /// Takes them from `granted` to the end.
    Deploy,
}

impl Worker {
    /// The word for it in the ledger (`wake`, `for`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Deploy => "deploy",
        }
    }
}

/// How far a request has come. Made by its events and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// How many events made it; also its version.
    pub sequence: u64,
    /// When the last event was.
    pub updated_at: Timestamp,
    /// The principal's login when the request was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Login>,
    /// The name of the principal's machine token then, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The fingerprint of the deployment settings that it was taken up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Before which moment it is not applied, as it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// How long after the last approval that was needed it is applied at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Period>,
    /// When that time is over, once it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<Timestamp>,
    /// Until when it has to be applied, where that was pushed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_until: Option<Timestamp>,
    /// What was lifted from it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lifted: BTreeSet<Lift>,
    /// One for each gated environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub change_requests: Vec<ChangeRequest>,
    /// The grant, once every change request is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// The deployment, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    /// Further deployments that carried this request's mark, by their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<i64>,
    /// An end that is decided but not carried out yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What came of it, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl Status {
    /// What it waits for of itself, once it is approved, and until when: its own time, or the time after the last approval.
    pub fn held_until(&self, now: Timestamp) -> Option<(BlockerKind, Timestamp)> {
        let wait = self.wait_until.filter(|_| !self.lifted.contains(&Lift::Wait));
        let times = [(BlockerKind::NotBefore, self.not_before), (BlockerKind::Wait, wait)];
        times
            .into_iter()
            .filter_map(|(kind, until)| Some((kind, until?)))
            .filter(|(_, until)| now < *until)
            .max_by_key(|(_, until)| *until)
    }

    /// The change request of this id.
    pub fn change_request(&self, id: &str) -> Option<&ChangeRequest> {
        self.change_requests.iter().find(|known| known.id == id)
    }

    /// Whether a change request was applied: from then on there is no way back.
    pub fn is_any_applied(&self) -> bool {
        self.change_requests.iter().any(|known| known.applied_at.is_some())
    }

    /// When the first of the applies was, in the order of time.
    pub fn first_applied_at(&self) -> Option<Timestamp> {
        self.change_requests.iter().filter_map(|known| known.applied_at).min()
    }
}

/// What is known of a change request at Pulumi Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRequest {
    /// Its id there.
    pub id: String,
    /// The environment whose open it asks for.
    pub environment: EnvironmentName,
    /// The revision that was submitted; what is approved and applied has to be this one.
    pub revision: i64,
    /// Its status when it was last recorded.
    pub status: ChangeRequestStatus,
    /// How many approvals each ruleset asked for when it was submitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// The fingerprint of the description that it was submitted with. `None`: it is not submitted, is deployed
    /// already, or was submitted by an older version, where the first line has to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_hash: Option<String>,
    /// The approvals as last recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approvals>,
    /// When it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
}

/// What a ruleset asked for when a change request was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The ruleset's id.
    pub id: String,
    /// Its name.
    pub ruleset: String,
    /// How many approvals.
    pub required: i64,
}

/// The approvals that one ruleset has, and which of them count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// The ruleset's name.
    pub ruleset: String,
    /// How many that count it takes.
    pub required: i64,
    /// Who approved.
    pub approvers: Vec<Login>,
    /// Who of them counts.
    pub counted: Vec<Login>,
}

/// A change request's status, in Pulumi Cloud's words; a word never seen before is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ChangeRequestStatus {
    /// Created, seen by no reviewer.
    Draft,
    /// Submitted, not enough approvals.
    Pending,
    /// Enough approvals by Pulumi Cloud's own count.
    Ready,
    /// Applied: the grant is live.
    Applied,
    /// Closed.
    Closed,
    /// A status that this version of signoff does not know.
    Unknown(String),
}

impl ChangeRequestStatus {
    /// Pulumi Cloud's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Applied => "applied",
            Self::Closed => "closed",
            Self::Unknown(word) => word,
        }
    }
}

impl From<String> for ChangeRequestStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "draft" => Self::Draft,
            "pending" => Self::Pending,
            "ready" => Self::Ready,
            "applied" => Self::Applied,
            "closed" => Self::Closed,
            _ => Self::Unknown(word),
        }
    }
}

impl From<ChangeRequestStatus> for String {
    fn from(status: ChangeRequestStatus) -> String {
        status.as_str().to_owned()
    }
}

/// The time in which the deployment can open its environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// When the first change request was applied.
    pub applied_at: Timestamp,
    /// When the earliest grant runs out, unless its environment was opened before.
    pub expires_at: Timestamp,
}

/// The deployment that a request led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id at Pulumi Cloud.
    pub id: String,
    /// Its number on the stack.
    pub version: i64,
    /// Its page in the console.
    pub url: String,
}

/// An end that is decided; it is carried out when nothing is left open at Pulumi Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The state that it comes to.
    pub to: State,
    /// What will be said of it.
    pub outcome: Outcome,
    /// Who caused it.
    pub actor: Actor,
    /// Since when.
    pub since: Timestamp,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// A stable word for programs.
    pub code: String,
    /// A sentence for people: what happened, and what to do next.
    pub message: String,
}

impl Outcome {
    /// An outcome of this code and sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// A request as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub ask: Ask,
    /// How far it has come.
    pub status: Status,
    /// The hash of its last event.
    pub head: String,
}

impl Request {
    /// Until when the first change request has to be applied; after that the request expires.
    pub fn expires_at(&self) -> Timestamp {
        self.status.extended_until.unwrap_or_else(|| self.ask.expires_at())
    }
}
