//! A request as the API shows it, read with tolerance: the server may be older or newer, and nothing here decides anything.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::failure::Failure;

/// A request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    #[serde(deserialize_with = "or_default")]
    pub(crate) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) state: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) stack: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) operation: String,
    pub(crate) commit: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) requester: Requester,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) push: Option<Push>,
    pub(crate) rescues: Option<Deployment>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) gate: Gate,
    #[serde(deserialize_with = "or_default")]
    pub(crate) access_duration: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) grant_expiration: String,
    pub(crate) pending_timeout: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) not_after: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) lifted: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) change_requests: Vec<ChangeRequest>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) blockers: Vec<Blocker>,
    pub(crate) grant: Option<Grant>,
    pub(crate) deployment: Option<Deployment>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) created_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) updated_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) ending: Option<Ending>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) audit: Option<Audit>,
}

/// The push that a request came from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Push {
    #[serde(deserialize_with = "or_default")]
    pub(crate) repository: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) branch: String,
    pub(crate) pusher: Option<String>,
    pub(crate) author: Option<String>,
}

/// Where a request's trail ends, by the server's word.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Audit {
    pub(crate) sequence: u64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) head: String,
}

/// Who asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requester {
    #[serde(deserialize_with = "or_default")]
    pub(crate) login: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
}

/// The gate that a request was asked for under.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Gate {
    #[serde(deserialize_with = "or_default")]
    pub(crate) environment: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) principal: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) self_approval: bool,
    pub(crate) approvals: Option<usize>,
    pub(crate) wait: Option<String>,
}

/// A change request at Pulumi Cloud.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangeRequest {
    #[serde(deserialize_with = "or_default")]
    pub(crate) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) environment: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: String,
    pub(crate) revision: Option<i64>,
    pub(crate) review_url: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) approvals: Vec<Approvals>,
}

/// The approvals that one ruleset has.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Approvals {
    #[serde(deserialize_with = "or_default")]
    pub(crate) ruleset: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) required: i64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) approvers: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) counted: Vec<String>,
}

/// What a request waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Blocker {
    #[serde(deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) detail: String,
}

/// The grant, the earliest of all.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Grant {
    #[serde(deserialize_with = "or_default")]
    pub(crate) applied_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) expires_at: String,
}

/// The deployment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Deployment {
    #[serde(deserialize_with = "or_default")]
    pub(crate) version: i64,
    pub(crate) status: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) url: String,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    #[serde(deserialize_with = "or_default")]
    pub(crate) code: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) message: String,
}

/// An end that is decided, while what is open is being closed.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Ending {
    #[serde(deserialize_with = "or_default")]
    pub(crate) state: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) outcome: Outcome,
}

impl Request {
    /// The request that this JSON shows.
    ///
    /// # Errors
    /// If it shows none.
    pub(crate) fn from_json(json: &Value) -> Result<Self, Failure> {
        Self::deserialize(json).ok().filter(|request| !request.id.is_empty() && !request.state.is_empty()).ok_or_else(
            || Failure::Failed("the server's answer is not a request: is this the right address?".to_owned()),
        )
    }

    /// The organization that it belongs to.
    pub(crate) fn organization(&self) -> &str {
        self.stack.split('/').next().unwrap_or_default()
    }
}

/// What is null is as what is missing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_and_newer_servers_are_understood() {
        let json = serde_json::json!({"id": "req_1", "state": "held_by_magic", "stack": "acme/web/prod", "new": {"x": 1},
            "changeRequests": null, "blockers": [{"kind": "moon", "detail": null, "phase": 3}], "commit": null});
        let request = Request::from_json(&json).unwrap();
        assert_eq!((request.organization(), request.blockers[0].kind.as_str()), ("acme", "moon"));
        assert!(Request::from_json(&serde_json::json!({"status": "ok"})).is_err());
        assert!(Request::from_json(&serde_json::json!([])).is_err());
    }
}
