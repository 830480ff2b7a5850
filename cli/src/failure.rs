//! What can go wrong, by the exit code that it leads to.

use std::process::ExitCode;
use std::time::Duration;

use crate::client::model::Request;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; with `--wait`: the deployment succeeded.
    Done,
    /// Something failed.
    Failed,
    /// Wrong usage.
    Usage,
    /// Rejected, expired or cancelled.
    Ended,
    /// The deployment failed.
    DeploymentFailed,
    /// Interrupted while waiting: 128 and the signal's number, as shells count.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Ended => 3,
            Self::DeploymentFailed => 4,
            Self::Interrupted => 130,
        }
    }

    /// How waiting for this request ends; `None` while it is not over. A state that this version does not know is over when
    /// there is an outcome, and then nothing good is assumed of it.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        match request.state.as_str() {
            "succeeded" => Some(Self::Done),
            "failed" => Some(Self::DeploymentFailed),
            "rejected" | "expired" | "cancelled" => Some(Self::Ended),
            "error" => Some(Self::Failed),
            "requested" | "pending_approval" | "approved" | "granted" | "deploying" => None,
            _ => request.outcome.as_ref().map(|_| Self::Failed),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line, or what it relies on in the environment, is wrong. Correct it.
    #[error("{0}")]
    Usage(String),
    /// A server answered, and said no.
    #[error("{0}")]
    Refused(Refusal),
    /// No server answered. Trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// Interrupted while waiting; what there is to say was said.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the output went away, which is no failure. A command that waits goes on all the same: its exit code is what counts.
    #[error("the output was closed")]
    OutputClosed,
}

impl Failure {
    /// How the program ends with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Refused(_) | Self::Unreachable(_) | Self::Failed(_) => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
            Self::OutputClosed => Exit::Done,
        }
    }

    /// Whether the same call may well succeed later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => !refusal.is_limit && matches!(refusal.status, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// When the server would like to be asked again, if it said.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// A server's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title}{}{}", .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default(), .errors.iter().map(|line| format!("\n  {line}")).collect::<String>())]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What kind of refusal.
    pub(crate) title: String,
    /// What about.
    pub(crate) detail: Option<String>,
    /// What is wrong with the input, place by place.
    pub(crate) errors: Vec<String>,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
    /// There are too many open requests: only the end of one of them helps.
    pub(crate) is_limit: bool,
}
