//! What the domain measures, as events of `tracing` under [`TARGET`]: whoever collects metrics listens there, and nobody else hears them. Names, dimensions and
//! units are those of `functions/src/metrics.rs`.

use crate::event::{Entry, Event};
use crate::request::{Request, State, Worker};

/// The target of all measurements.
pub const TARGET: &str = "signoff::metric";

/// A notice was sent to somebody, or that failed.
pub(crate) fn noticed(outcome: &'static str) {
    tracing::trace!(target: TARGET, Notices = 1_u64, Outcome = outcome);
}

/// A notice was given up.
pub(crate) fn notice_given_up() {
    tracing::trace!(target: TARGET, NoticesGivenUp = 1_u64);
}

/// An event was recorded, which took the request out of the state `before`.
pub(crate) fn recorded(before: State, entry: &Entry, request: &Request) {
    if matches!(entry.event, Event::Approved { .. }) {
        let seconds = entry.at.duration_since(request.ask.created_at).as_secs().max(0);
        tracing::trace!(target: TARGET, ApprovalLatency = seconds);
    }
    let now = request.status.state;
    if now == before || !(now.is_terminal() || now == State::Granted) {
        return;
    }
    match before.worker() {
        Some(Worker::Apply) => tracing::trace!(target: TARGET, ApplyOutcomes = 1_u64, Outcome = now.as_str()),
        Some(Worker::Deploy) => tracing::trace!(target: TARGET, DeployOutcomes = 1_u64, Outcome = now.as_str()),
        None => {}
    }
}
