//! What one look has seen so far. Nothing in here outlives the look: the next one sees for itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::cloud::{ChangeRequestNow, DeploymentNow, DeploymentStatus, Listed, NewChangeRequest, Ruleset, Settings};
use crate::gate::Gates;
use crate::ledger::{Creation, InLine};
use crate::names::{Login, RequestId};
use crate::request::{Deployment, State};

/// What was seen; what was not looked at yet is `None` or absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The gates, as configured now.
    pub gates: Gates,
    /// Whose the principal's token is now.
    pub identity: Option<Login>,
    /// The name of that token, if it is a machine token.
    pub machine: Option<String>,
    /// The stack's deployment settings, or why there are none.
    pub settings: Option<Result<Settings, String>>,
    /// The rulesets of the gate's environment, or why they can't be had.
    pub rulesets: Option<Result<Vec<Ruleset>, String>>,
    /// The change requests that were looked at since they were last acted on; `None`: there is no such one.
    pub change_requests: BTreeMap<String, Option<ChangeRequestNow>>,
    /// The durations that open requests ask for, in seconds: access, then grant expiration; or why they can't be had just now.
    pub durations: BTreeMap<String, Result<(i64, i64), String>>,
    /// Who closed change requests, and with what words.
    pub closed_by: BTreeMap<String, Option<(Login, Option<String>)>>,
    /// Who withdrew their approvals of change requests.
    pub withdrawn: BTreeMap<String, Vec<Login>>,
    /// When change requests were applied, at the earliest that can be known.
    pub applied_at: BTreeMap<String, Timestamp>,
    /// Who applied them, where somebody else than the principal did.
    pub applied_by: BTreeMap<String, Login>,
    /// Open requests that an earlier attempt left: the principal's drafts since a creation began, and whatever carries the request's mark.
    pub drafts: Option<Vec<String>>,
    /// The other open requests of the stack.
    pub line: Option<Vec<Other>>,
    /// Requests that it may have to wait for and that can't be read: nobody knows how far they are.
    pub unreadable: BTreeSet<RequestId>,
    /// How it stands to what was asked for later.
    pub newer: Option<Newer>,
    /// What goes on at the stack.
    pub activity: Option<Activity>,
    /// The request's own deployment; `Some(None)`: there is no such one.
    pub deployment: Option<Option<DeploymentStatus>>,
    /// Whether this request has the lock under which open requests are created.
    pub creation: Option<Creation>,
    /// Whether this request has the stack's turn.
    pub turn: Option<bool>,
    /// Which other request had it when the line was read.
    pub holder: Option<RequestId>,
    /// What the open request created.
    pub opened: Option<Vec<NewChangeRequest>>,
    /// The deployment that was created.
    pub deployed: Option<Deployment>,
    /// What was tried in this look, so that it is not tried twice.
    pub tried: BTreeSet<Act>,
    /// What Pulumi Cloud refused for good, with its reason.
    pub refused: BTreeMap<Act, String>,
    /// What Pulumi Cloud did not do because it conflicts with something, with its reason.
    pub conflicts: BTreeMap<Act, String>,
}

/// Another open request of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its place in the line.
    pub place: InLine,
    /// Its state.
    pub state: State,
    /// Whether it waits for a time of its own.
    pub held: bool,
}

/// What was asked for later on the same stack, as far as it matters to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Newer {
    /// The last push that is in line behind it.
    pub push: Option<RequestId>,
    /// Whether an update that was asked for later has been deployed.
    pub deployed: bool,
}

/// A stack's deployments, as far as they matter to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// Whether deployments of the stack are paused.
    pub paused: bool,
    /// Those that are not over.
    pub busy: Vec<Listed>,
    /// Those of the principal, with this operation and made since the request was, that carry its mark.
    pub marked: Vec<DeploymentNow>,
    /// The request's own one, if the list names it.
    pub own: Option<DeploymentStatus>,
    /// The highest version of them all.
    pub latest: i64,
    /// The stack's deployments can't be seen: it is gone, or the principal lost the right to see it.
    pub unseen: bool,
}

/// Something to look at. All of them are calls that change nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Whose the principal's token is.
    Identity,
    /// The stack's deployment settings.
    Settings,
    /// The rulesets of the gate's environment.
    Rulesets,
    /// A change request.
    ChangeRequest(String),
    /// The durations that an open request asks for.
    Durations(String),
    /// Who closed a change request.
    WhoClosed(String),
    /// Who withdrew their approval of a change request.
    WhoWithdrew(String),
    /// When a change request was applied by somebody else.
    WhenApplied(String),
    /// What a creation left behind that nobody recorded.
    Drafts,
    /// The other open requests of the stack (in the ledger).
    Line,
    /// What was asked for later on the same stack (in the ledger).
    Newer,
    /// The stack's deployments, and those among them that carry the mark.
    Activity,
    /// The request's own deployment.
    Deployment,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Take the lock under which open requests are created (in the ledger).
    LockCreation,
    /// Create the open requests.
    RequestOpen,
    /// Forget a creation of which nothing is left (in the ledger).
    ForgetOpening,
    /// Submit a change request.
    Submit(String),
    /// Close a change request.
    Close(String),
    /// Take the stack's turn (in the ledger).
    ClaimTurn,
    /// Apply a change request.
    Apply(String),
    /// Create the deployment.
    Deploy,
    /// Cancel the request's own deployment, or a second one of this id.
    CancelDeployment(String),
}

impl Act {
    /// What it does to something at Pulumi Cloud, in words that follow "does not".
    pub fn verb(&self) -> &'static str {
        match self {
            Self::RequestOpen => "create the open request",
            Self::Submit(_) => "submit the change request",
            Self::Close(_) => "close the change request",
            Self::Apply(_) => "apply the change request",
            Self::Deploy => "create the deployment",
            Self::CancelDeployment(_) => "cancel the deployment",
            Self::LockCreation | Self::ForgetOpening | Self::ClaimTurn => "do it",
        }
    }
}

impl Facts {
    /// Whether the look has tried this.
    pub fn has_tried(&self, act: &Act) -> bool {
        self.tried.contains(act)
    }
}
