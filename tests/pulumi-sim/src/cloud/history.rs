//! What the cloud saw: every effect, in order, for checkers to judge by.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// One effect: when, who, by which call, what.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it took effect.
    pub at: Timestamp,
    /// Whose doing it was; none for the cloud's own (a queue that moves on).
    pub by: Option<String>,
    /// `METHOD /path` of the API call that did it; none for people's clicks and the cloud's own.
    pub call: Option<String>,
    /// What happened.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Happened {
    /// An open request was created: one draft for each gated environment.
    OpenRequestCreated {
        /// `organization/project/environment` that was asked for.
        environment: String,
        /// The drafts, the environment's own first.
        change_requests: Vec<String>,
    },
    /// A draft was submitted.
    ChangeRequestSubmitted {
        /// The change request.
        id: String,
        /// What it says.
        description: String,
    },
    /// Somebody approved.
    ChangeRequestApproved {
        /// The change request.
        id: String,
        /// Which revision.
        revision: i64,
    },
    /// Somebody took an approval back.
    ChangeRequestUnapproved {
        /// The change request.
        id: String,
    },
    /// Somebody commented.
    ChangeRequestCommented {
        /// The change request.
        id: String,
    },
    /// The durations of a change request were changed.
    RevisionAdded {
        /// The change request.
        id: String,
        /// The new revision.
        revision: i64,
    },
    /// The description of a change request was changed.
    DescriptionChanged {
        /// The change request.
        id: String,
        /// The new one.
        description: String,
    },
    /// The status of a change request changed, for whatever reason.
    ChangeRequestMoved {
        /// The change request.
        id: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// A change request was applied; the creator has a grant now.
    ChangeRequestApplied {
        /// The change request.
        id: String,
        /// `organization/project/environment`.
        environment: String,
        /// Who holds the grant.
        grantee: String,
        /// Whose approvals were in force, over all rulesets.
        approvers: Vec<String>,
        /// Until when the environment has to be opened for the first time.
        expires_at: Timestamp,
    },
    /// A change request was closed without being applied.
    ChangeRequestClosed {
        /// The change request.
        id: String,
        /// What it was before.
        from: String,
    },
    /// A gate was created, changed or deleted.
    GateChanged {
        /// The environment as `organization/project/environment`.
        environment: String,
        /// The name of the ruleset.
        name: String,
    },
    /// An environment was opened.
    EnvironmentOpened {
        /// `organization/project/environment`.
        environment: String,
        /// As whom.
        identity: String,
        /// Whether a grant was needed.
        gated: bool,
    },
    /// An open was refused for lack of a grant.
    OpenRefused {
        /// `organization/project/environment`.
        environment: String,
        /// As whom.
        identity: String,
    },
    /// A deployment was created.
    DeploymentCreated {
        /// Its id.
        id: String,
        /// `organization/project/stack`.
        stack: String,
        /// Its number on the stack.
        version: i64,
        /// What it does.
        operation: String,
        /// The commit that it is pinned to.
        commit: Option<String>,
        /// Its environment variables that are plain.
        variables: BTreeMap<String, String>,
        /// The version of the settings that it inherited.
        settings_version: Option<i64>,
    },
    /// The status of a deployment changed.
    DeploymentMoved {
        /// Its id.
        id: String,
        /// `organization/project/stack`.
        stack: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// Somebody asked to cancel a deployment, and it was.
    DeploymentCancelled {
        /// Its id.
        id: String,
    },
    /// The deployment settings of a stack changed.
    SettingsChanged {
        /// `organization/project/stack`.
        stack: String,
        /// The version they have now; none if they were deleted.
        version: Option<i64>,
    },
    /// A stack or all of an organization was paused or resumed.
    Paused {
        /// The organization or `organization/project/stack`.
        what: String,
        /// Whether it is paused now.
        paused: bool,
    },
    /// A stack or an environment was deleted.
    Deleted {
        /// Which.
        what: String,
    },
    /// A webhook delivery was made up, and is on its way unless it was chosen to be lost.
    WebhookMade {
        /// The delivery's id.
        id: String,
        /// The kind.
        kind: String,
        /// Whether it was lost on purpose.
        lost: bool,
    },
}
