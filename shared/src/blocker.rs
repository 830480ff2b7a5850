//! What a request waits for, in words that a person and a program understand.

use serde::{Deserialize, Serialize};

/// The kinds of things that a request can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockerKind {
    /// Approvals that count.
    Approvals,
    /// Approvals there are, but too few from others than the requester.
    SelfApproval,
    /// The stack has a deployment running or queued.
    StackBusy,
    /// Deployments of the stack are paused.
    StackPaused,
    /// A request that was asked for earlier goes first.
    EarlierRequest,
    /// An update that was asked for later has been deployed.
    Overtaken,
    /// The gate's windows are closed.
    Window,
    /// There is a freeze.
    Freeze,
    /// Not enough time has passed since the last approval.
    Wait,
    /// It was asked for a later time.
    NotBefore,
    /// The operator holds all gates.
    Hold,
    /// The end is decided; what is open at Pulumi Cloud is being closed.
    Closing,
    /// Pulumi Cloud refuses the principal's token.
    PrincipalToken,
    /// Pulumi Cloud is rate-limiting or down.
    PulumiCloud,
}

impl BlockerKind {
    /// The word for it, as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approvals => "approvals",
            Self::SelfApproval => "self-approval",
            Self::StackBusy => "stack-busy",
            Self::StackPaused => "stack-paused",
            Self::EarlierRequest => "earlier-request",
            Self::Overtaken => "overtaken",
            Self::Window => "window",
            Self::Freeze => "freeze",
            Self::Wait => "wait",
            Self::NotBefore => "not-before",
            Self::Hold => "hold",
            Self::Closing => "closing",
            Self::PrincipalToken => "principal-token",
            Self::PulumiCloud => "pulumi-cloud",
        }
    }
}

/// One thing that a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// What kind of thing.
    pub kind: BlockerKind,
    /// A sentence about it.
    pub detail: String,
}

impl Blocker {
    /// A blocker of this kind.
    pub fn new(kind: BlockerKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
