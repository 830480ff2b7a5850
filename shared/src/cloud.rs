//! Pulumi Cloud in signoff's own verbs, and what it answers. The REST client and the tests' simulation are behind this trait.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use crate::asking::Permission;
use crate::names::{Commit, EnvironmentName, Login, Operation, Organization, PrincipalName, RequestId, StackName};
use crate::request::{ChangeRequestStatus, Deployment};

/// What a caller does next about a call that did not give what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// There is no such thing, or it is not visible to this principal. The call had no effect.
    #[error("Pulumi Cloud does not know it: {0}")]
    NotFound(String),
    /// It is not in a state for this now; read it again. The call had no effect.
    #[error("Pulumi Cloud answered with a conflict: {0}")]
    Conflict(String),
    /// Refused for good (400, 402, 403 and other 4xx); a retry of the same call is refused again. The call had no effect.
    #[error("Pulumi Cloud refused ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said, bounded and without control characters.
        message: String,
    },
    /// The principal's token was refused (401), or there is none to be had. The call had no effect.
    #[error("the principal's token was refused: {0}")]
    Unauthorized(String),
    /// Rate-limited (429); not before this time has passed, where it was said. The call had no effect.
    #[error("Pulumi Cloud is rate-limiting")]
    Later {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer that can be relied on: 5xx, a broken connection, a time-out, an answer that can't be read, or the worker ran out of its time before
    /// it had one. Whether the call took effect is unknown.
    #[error("Pulumi Cloud gave no usable answer: {0}")]
    Unclear(String),
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The login.
    pub login: Login,
    /// The display name.
    pub name: String,
    /// The machine token's name and organization, if it is one.
    pub machine: Option<Machine>,
    /// The organizations that it belongs to, with its role in each.
    pub organizations: Vec<(Organization, Role)>,
}

/// What a machine token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The organization that it belongs to; empty if Pulumi Cloud named none.
    pub organization: String,
    /// The team that it belongs to; empty for an organization's own token.
    pub team: String,
    /// The token's name.
    pub name: String,
}

/// A role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An admin.
    Admin,
    /// A member.
    Member,
    /// Sees the stacks that were shared with it, and nothing else.
    StackCollaborator,
    /// Anything else, roles never seen before included: may do nothing here.
    Other,
}

/// A ruleset on an environment (Pulumi's REST API calls it a change gate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it gates opens.
    pub gates_open: bool,
    /// Whether it asks for approvals; `false` for kinds of rule never seen before.
    pub asks_for_approval: bool,
}

/// A stack's deployment settings, as far as they matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What tells whether they changed: the version where there is one, else a hash of the whole answer. Holds no secret.
    pub fingerprint: String,
    /// Names of the environment variables that they set.
    pub variables: Vec<String>,
    /// Whether they set a role for the deployment to assume.
    pub has_role: bool,
    /// The branch that they name.
    pub branch: Option<String>,
}

/// A change request that an open request created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChangeRequest {
    /// Its id.
    pub id: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its revision.
    pub revision: i64,
}

/// A change request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRequestNow {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: ChangeRequestStatus,
    /// Its latest revision.
    pub revision: i64,
    /// Who created it.
    pub created_by: Login,
    /// When.
    pub created_at: Timestamp,
    /// Its description.
    pub description: String,
    /// Whether it asks for an open (and not for an update).
    pub is_open: bool,
    /// The environment that it is about; `None` if it is about something else.
    pub environment: Option<EnvironmentName>,
    /// Whether all rulesets are satisfied by Pulumi Cloud's own count. Always `false` in what a list shows.
    pub satisfied: bool,
    /// The rulesets that apply to it. Empty in what a list shows.
    pub rulesets: Vec<RulesetNow>,
}

/// How a ruleset stands for one change request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesetNow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it asks for; `None` for a kind of rule never seen before.
    pub approval: Option<ApprovalNow>,
}

/// An approval rule's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalNow {
    /// How many approvals it asks for.
    pub required: i64,
    /// Who approved.
    pub approvers: Vec<Login>,
}

/// A line of a change request's history in which its status changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The status that it changed to.
    pub to: ChangeRequestStatus,
    /// Who changed it.
    pub by: Login,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub comment: Option<String>,
}

/// What a change request's history says of its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusChanges {
    /// The changes, oldest first.
    pub changes: Vec<StatusChange>,
    /// Whether that is all: a history can be longer than what is read of it.
    pub is_whole: bool,
}

/// A deployment's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// Queued.
    NotStarted,
    /// Taken by an agent, not running yet.
    Accepted,
    /// Running.
    Running,
    /// Over, and good.
    Succeeded,
    /// Over, and not.
    Failed,
    /// Never ran.
    Skipped,
    /// A status that this version of signoff does not know.
    Unknown(String),
}

impl DeploymentStatus {
    /// Pulumi Cloud's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "not-started",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown(word) => word,
        }
    }

    /// Of Pulumi Cloud's word.
    pub fn of(word: &str) -> Self {
        match word {
            "not-started" => Self::NotStarted,
            "accepted" => Self::Accepted,
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }
}

/// A deployment as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its number on the stack.
    pub version: i64,
    /// Its status.
    pub status: DeploymentStatus,
    /// Who created it.
    pub requested_by: Login,
    /// Pulumi Cloud's word for its operation.
    pub operation: String,
    /// When it was created; `None` where the answer's text for it can't be read (its format is not specified).
    pub created: Option<Timestamp>,
}

/// One page of a stack's deployments, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPage {
    /// The deployments.
    pub deployments: Vec<Listed>,
    /// Whether deployments of this stack are paused.
    pub paused: bool,
}

/// One page of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// Whether it says that the deployment was refused.
    pub refused: bool,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A single deployment, with its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentNow {
    /// Its id, number and page.
    pub deployment: Deployment,
    /// Its status.
    pub status: DeploymentStatus,
    /// Who created it.
    pub requested_by: Login,
    /// Pulumi Cloud's word for its operation.
    pub operation: Option<String>,
    /// The value of `SIGNOFF_REQUEST_ID` among its plain variables.
    pub mark: Option<String>,
    /// The commit that it was pinned to.
    pub commit: Option<String>,
    /// The branch that it ran from, where it was not pinned to a commit.
    pub branch: Option<String>,
}

/// What to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// The stack.
    pub stack: StackName,
    /// What to do.
    pub operation: Operation,
    /// The commit to pin; else what the settings say.
    pub commit: Option<Commit>,
    /// The request that it belongs to: the value of `SIGNOFF_REQUEST_ID`.
    pub mark: RequestId,
}

/// A number of deployments that one page of the list holds, at most (Pulumi Cloud allows 100).
pub const DEPLOYMENTS_PER_PAGE: u32 = 100;

/// A call's answer, later.
pub trait Answer<T>: Future<Output = Result<T, CloudError>> + Send {}
impl<T, F: Future<Output = Result<T, CloudError>> + Send> Answer<T> for F {}

/// The calls that signoff makes as one of its principals. Each is one HTTP call unless it says otherwise.
pub trait PulumiCloud: Send + Sync {
    /// Whose token the principal's is now.
    fn identity(&self, principal: &PrincipalName) -> impl Answer<Identity>;

    /// A stack's deployment settings. [`CloudError::NotFound`]: the stack has none, or there is no such stack.
    fn settings(&self, principal: &PrincipalName, stack: &StackName) -> impl Answer<Settings>;

    /// The rulesets of an environment, whatever they gate. One call for each page (two pages at most).
    fn rulesets(&self, principal: &PrincipalName, environment: &EnvironmentName) -> impl Answer<Vec<Ruleset>>;

    /// Creates open requests: drafts, one for the environment and one for each gated import. [`CloudError::Refused`]: opens are not gated.
    fn request_open(
        &self,
        principal: &PrincipalName,
        environment: &EnvironmentName,
        access_seconds: i64,
        expiration_seconds: i64,
    ) -> impl Answer<Vec<NewChangeRequest>>;

    /// The durations, in seconds, that an open request asks for: access, then grant expiration.
    fn durations(
        &self,
        principal: &PrincipalName,
        environment: &EnvironmentName,
        change_request: &str,
    ) -> impl Answer<(i64, i64)>;

    /// Submits a draft.
    fn submit(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
        description: &str,
    ) -> impl Answer<()>;

    /// Reads a change request.
    fn change_request(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> impl Answer<ChangeRequestNow>;

    /// When and by whom a change request's status changed, oldest first. One call for each page (twenty at most).
    fn status_changes(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> impl Answer<StatusChanges>;

    /// Who approved a change request and withdrew that, and has not approved again since. One call for each page (twenty at most).
    fn withdrawn(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> impl Answer<Vec<Login>>;

    /// The open requests of the organization's environments that were created since `since`, of whoever. One call for each page
    /// (a hundred at most; more is [`CloudError::Unclear`], since what is not seen can't be ruled out).
    fn open_requests_since(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        since: Timestamp,
    ) -> impl Answer<Vec<ChangeRequestNow>>;

    /// Applies a change request.
    fn apply(&self, principal: &PrincipalName, organization: &Organization, change_request: &str) -> impl Answer<()>;

    /// Closes a change request.
    fn close(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
        comment: &str,
    ) -> impl Answer<()>;

    /// A page of a stack's deployments, newest first; the first page is 1, of [`DEPLOYMENTS_PER_PAGE`].
    fn deployments(&self, principal: &PrincipalName, stack: &StackName, page: u32) -> impl Answer<DeploymentPage>;

    /// Reads one deployment.
    fn deployment(&self, principal: &PrincipalName, stack: &StackName, id: &str) -> impl Answer<DeploymentNow>;

    /// Creates a deployment.
    fn deploy(&self, principal: &PrincipalName, deployment: &NewDeployment) -> impl Answer<Deployment>;

    /// Whether a deployment that failed says in its log that it was not let into an environment for want of an approval. One page of it; `after` is
    /// where the one before ended.
    fn was_refused(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        id: &str,
        after: Option<&str>,
    ) -> impl Answer<LogPage>;

    /// What this person may do with a stack. `None`: they are no member of its organization, or there is no such stack for the principal.
    /// [`CloudError::Refused`]: the principal may not know; whether one that is no admin may, is specified nowhere.
    fn permission(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        login: &Login,
    ) -> impl Answer<Option<Permission>>;

    /// Cancels a deployment.
    fn cancel_deployment(&self, principal: &PrincipalName, stack: &StackName, id: &str) -> impl Answer<()>;
}
