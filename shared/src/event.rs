//! What happens to a request. Each event is one line of the audit trail; together they make the request's status.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::conditions::Lift;
use crate::names::{EnvironmentName, Login, Reason};
use crate::request::{Approvals, Ask, ChangeRequest, ChangeRequestStatus, Deployment, Grant, Outcome, State, Status};

/// The prefix of every event's type.
const TYPE_PREFIX: &str = "signoff.request.";

/// Something that happened, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "evidence", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// Somebody asked for a deployment.
    Requested(Box<Ask>),
    /// The open requests were created at Pulumi Cloud, one for each gated environment; no reviewer sees them yet.
    Opened {
        /// The login that created them.
        principal: Login,
        /// The name of the machine token that did, if it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
        /// The fingerprint of the deployment settings in force at that moment.
        settings: String,
        /// The change requests.
        change_requests: Vec<Opened>,
    },
    /// Every open request was submitted: reviewers see them from now on.
    Submitted {
        /// The change requests as they were right after.
        change_requests: Vec<Seen>,
    },
    /// A reviewer's approval was seen.
    ApprovalSeen {
        /// The change request with it.
        change_request: Seen,
    },
    /// An approval seen before is gone.
    ApprovalWithdrawn {
        /// The change request without it.
        change_request: Seen,
    },
    /// Every change request has enough approvals that count.
    Approved {
        /// The change requests with them.
        change_requests: Vec<Seen>,
    },
    /// Its time was pushed on, since only a window or a freeze holds it up.
    Extended {
        /// Until when it has to be applied now.
        expires_at: Timestamp,
        /// What holds it up.
        why: String,
    },
    /// Somebody whom the gate names for that lifted something from it. Approvals are never lifted.
    GlassBroken {
        /// What.
        lifted: BTreeSet<Lift>,
        /// Why.
        reason: Reason,
    },
    /// There are not enough approvals that count any more.
    Unapproved {
        /// The change requests as they are now.
        change_requests: Vec<Seen>,
    },
    /// One of several change requests was applied, after enough approvals that count.
    Applied {
        /// The change request as it was right after.
        change_request: Seen,
        /// When it was applied, at the earliest.
        applied_at: Timestamp,
    },
    /// The last change request was applied: the deployment may run.
    Granted {
        /// The change requests as they were right after.
        change_requests: Vec<Seen>,
        /// The time in which the deployment has to start.
        grant: Grant,
    },
    /// The deployment exists.
    Deploying {
        /// The deployment.
        deployment: Deployment,
        /// Its status when it was found, in Pulumi Cloud's words; absent if it was created just now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
    },
    /// A second deployment that carries this request's mark was found.
    DuplicateFound {
        /// The second deployment.
        deployment: Deployment,
        /// Whether it was still queued, and so was cancelled before it did anything.
        cancelled: bool,
    },
    /// The request will end; what is open at Pulumi Cloud is closed first.
    EndDecided {
        /// The state that it will come to.
        to: State,
        /// What will be said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// A change request was closed, or found to be closed or gone.
    ChangeRequestClosed {
        /// Its id.
        change_request: String,
    },
    /// The deployment succeeded.
    Succeeded {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// The deployment failed, was skipped or cancelled, or did not start in time.
    Failed {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// A reviewer closed a change request.
    Rejected {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// Not approved in time, or not deployed in time.
    Expired {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// Taken back.
    Cancelled {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
    /// Something happened that no retry mends.
    Errored {
        /// What is said of it.
        outcome: Outcome,
        /// What was seen.
        #[serde(flatten)]
        rests_on: RestsOn,
    },
}

impl Event {
    /// The event that ends a request in this state; `None` for a state that is no end.
    pub fn end(to: State, outcome: Outcome, rests_on: RestsOn) -> Option<Self> {
        match to {
            State::Succeeded => Some(Self::Succeeded { outcome, rests_on }),
            State::Failed => Some(Self::Failed { outcome, rests_on }),
            State::Rejected => Some(Self::Rejected { outcome, rests_on }),
            State::Expired => Some(Self::Expired { outcome, rests_on }),
            State::Cancelled => Some(Self::Cancelled { outcome, rests_on }),
            State::Error => Some(Self::Errored { outcome, rests_on }),
            State::Requested | State::PendingApproval | State::Approved | State::Granted | State::Deploying => None,
        }
    }

    /// Whether it ends a request that did not deploy, or decides that.
    pub fn ends_undeployed(&self) -> bool {
        matches!(
            self,
            Self::EndDecided { .. }
                | Self::Rejected { .. }
                | Self::Expired { .. }
                | Self::Cancelled { .. }
                | Self::Errored { .. }
        )
    }

    /// Its CloudEvents type: `signoff.request.` and the past-tense word.
    pub fn type_name(&self) -> String {
        format!("{TYPE_PREFIX}{}", self.word())
    }

    /// The past-tense word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Opened { .. } => "opened",
            Self::Submitted { .. } => "submitted",
            Self::ApprovalSeen { .. } => "approval_seen",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
            Self::Approved { .. } => "approved",
            Self::Unapproved { .. } => "unapproved",
            Self::Extended { .. } => "extended",
            Self::GlassBroken { .. } => "glass_broken",
            Self::Applied { .. } => "applied",
            Self::Granted { .. } => "granted",
            Self::Deploying { .. } => "deploying",
            Self::DuplicateFound { .. } => "duplicate_found",
            Self::EndDecided { .. } => "end_decided",
            Self::ChangeRequestClosed { .. } => "change_request_closed",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Cancelled { .. } => "cancelled",
            Self::Errored { .. } => "errored",
        }
    }

    /// What it rests on, as JSON.
    ///
    /// # Errors
    /// If the evidence can't be written as JSON, which no event of this crate does.
    pub fn evidence(&self) -> serde_json::Result<serde_json::Value> {
        Ok(serde_json::to_value(self)?.get_mut("evidence").map(serde_json::Value::take).unwrap_or_default())
    }

    /// The event of this CloudEvents type and evidence.
    ///
    /// # Errors
    /// If there is no such type, or the evidence is not that of one.
    pub fn parse(type_name: &str, evidence: serde_json::Value) -> serde_json::Result<Self> {
        let word = type_name.strip_prefix(TYPE_PREFIX).unwrap_or_default();
        serde_json::from_value(serde_json::json!({"type": word, "evidence": evidence}))
    }
}

/// What an end rests on: what was seen when it was decided, as far as anything was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestsOn {
    /// The change requests as they were last seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_requests: Vec<Standing>,
    /// The deployment, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Ended>,
}

impl RestsOn {
    /// What the status says, where nothing was looked at.
    pub fn recorded(status: &Status) -> Self {
        let standing =
            |one: &ChangeRequest| Standing { id: one.id.clone(), status: one.status.clone(), revision: one.revision };
        Self { change_requests: status.change_requests.iter().map(standing).collect(), deployment: None }
    }
}

/// A change request as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: ChangeRequestStatus,
    /// Its revision.
    pub revision: i64,
}

/// A deployment as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// Its number on the stack.
    pub version: i64,
    /// Its status, in Pulumi Cloud's words.
    pub status: String,
}

/// A change request as it was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// Its id at Pulumi Cloud.
    pub id: String,
    /// The environment whose open it asks for.
    pub environment: EnvironmentName,
    /// Its revision.
    pub revision: i64,
}

/// What a look at a change request showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: ChangeRequestStatus,
    /// Its revision.
    pub revision: i64,
    /// Its approvals, ruleset by ruleset.
    pub approvals: Vec<Approvals>,
    /// The rulesets' ids, in the order of `approvals`. Recorded when it is submitted: the numbers of that moment keep their force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rulesets: Vec<String>,
    /// The fingerprint of its description, recorded when it is submitted: what is approved has to say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_hash: Option<String>,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person or machine, as Pulumi Cloud names them.
    Login(Login),
    /// signoff itself.
    Service(Service),
}

impl Actor {
    /// signoff itself.
    pub const SIGNOFF: Self = Self::Service(Service::Signoff);
}

/// Services that cause events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// signoff itself.
    Signoff,
}

/// An event with who, when, and its id: all but its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's own id.
    pub id: Ulid,
    /// When signoff recorded it.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}
