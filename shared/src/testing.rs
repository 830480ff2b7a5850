//! Examples that the tests of this crate share.

use crate::cloud::{ApprovalNow, ChangeRequestNow, RulesetNow};
use crate::mark;
use crate::names::RequestId;
use crate::request::{Ask, ChangeRequest, ChangeRequestStatus, Requester, Terms};

/// The installation in the examples' marks.
pub(crate) const INSTALLATION: &str = "test";

/// alice asks for an update of acme/web/prod.
pub(crate) fn ask() -> Ask {
    Ask {
        id: RequestId::new(ulid::Ulid::from_parts(1_795_000_000_000, 7)),
        stack: "acme/web/prod".parse().unwrap(),
        operation: "update".parse().unwrap(),
        reason: "Ship 2.4".parse().unwrap(),
        commit: None,
        requester: Requester { login: "alice".parse().unwrap(), name: "Alice".to_owned(), machine: None },
        on_behalf_of: None,
        push: None,
        rescues: None,
        gate: Terms {
            environment: "acme/credentials/prod".parse().unwrap(),
            principal: "default".parse().unwrap(),
            self_approval: false,
            commit_required: false,
            approvals: None,
            wait: None,
        },
        access_duration: "1h".parse().unwrap(),
        grant_expiration: "1h".parse().unwrap(),
        pending_timeout: "72h".parse().unwrap(),
        not_before: None,
        not_after: None,
        position: 1,
        created_at: "2026-11-23T10:00:00Z".parse().unwrap(),
    }
}

/// What is known of its change request.
pub(crate) fn change_request(id: &str) -> ChangeRequest {
    ChangeRequest {
        id: id.to_owned(),
        environment: "acme/credentials/prod".parse().unwrap(),
        revision: 1,
        status: ChangeRequestStatus::Pending,
        asked: Vec::new(),
        description_hash: None,
        approvals: Vec::new(),
        applied_at: None,
    }
}

/// The change request at Pulumi Cloud, ready, approved by bob.
pub(crate) fn change_request_now(ask: &Ask, id: &str) -> ChangeRequestNow {
    ChangeRequestNow {
        id: id.to_owned(),
        status: ChangeRequestStatus::Ready,
        revision: 1,
        created_by: "signoff-deployer".parse().unwrap(),
        created_at: ask.created_at,
        description: mark::description(INSTALLATION, ask, Some("main"), None),
        is_open: true,
        environment: Some(ask.gate.environment.clone()),
        satisfied: true,
        rulesets: vec![RulesetNow {
            id: "gate-1".to_owned(),
            name: "prod-signoff".to_owned(),
            approval: Some(ApprovalNow { required: 1, approvers: vec!["bob".parse().unwrap()] }),
        }],
    }
}

pub(crate) mod book;
pub(crate) mod clock;
pub(crate) mod life;
pub(crate) mod pulumi;
pub(crate) mod world;
