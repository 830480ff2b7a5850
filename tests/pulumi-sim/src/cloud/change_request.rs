//! What a change request is.

use jiff::Timestamp;
use serde_json::Value;

/// Where a change request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Created; nobody else sees it.
    Draft,
    /// Submitted; waits for approvals.
    Pending,
    /// All rulesets in force are satisfied.
    Ready,
    /// Applied: there is a grant.
    Applied,
    /// Closed without being applied.
    Closed,
}

impl Status {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Applied => "applied",
            Self::Closed => "closed",
        }
    }

    /// Whether it can still be applied or closed.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Pending | Self::Ready)
    }
}

/// One person's approval.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Who.
    pub login: String,
    /// Of which revision.
    pub revision: i64,
}

/// What a change request asks for; each change makes another revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Seconds from apply until the first open must have come.
    pub grant_seconds: i64,
    /// Seconds from the first open on.
    pub access_seconds: i64,
}

/// An open request for one environment.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// Its id.
    pub id: String,
    /// `organization/project/environment`.
    pub environment: String,
    /// Who asked, and gets the grant.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// What it says; empty in a draft.
    pub description: String,
    /// Where it stands.
    pub status: Status,
    /// For tests of robustness: answers name this status instead.
    pub strange_status: Option<String>,
    /// Its revisions; the first has the number 1.
    pub revisions: Vec<Revision>,
    /// One approval for each person.
    pub approvals: Vec<Approval>,
    /// What happened to it, in the shape of the API.
    pub(crate) events: Vec<Value>,
}

impl ChangeRequest {
    /// The number of the revision in force.
    pub fn latest_revision(&self) -> i64 {
        self.revisions.len() as i64
    }

    /// The organization.
    pub fn organization(&self) -> &str {
        self.environment.split('/').next().unwrap_or_default()
    }

    /// `project/environment`.
    pub fn qualified_name(&self) -> &str {
        self.environment.split_once('/').map_or("", |(_, name)| name)
    }
}
