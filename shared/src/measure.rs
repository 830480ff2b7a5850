//! What the domain measures, as events of `tracing` under [`TARGET`]: whoever collects metrics listens there, and nobody else hears them. Names, dimensions and
//! units are those of `functions/src/metrics.rs`.

use crate::event::{Entry, Event};
use crate::request::{Request, State, Status, Worker};

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
        Some(Worker::Apply) => {
            tracing::trace!(target: TARGET, ApplyOutcomes = 1_u64, Outcome = apply_outcome(&request.status))
        }
        Some(Worker::Deploy) => tracing::trace!(target: TARGET, DeployOutcomes = 1_u64, Outcome = now.as_str()),
        None => {}
    }
}

/// What became of a request that was to be applied. One that ended with a grant that may be live, and nothing to show for it, is somebody's business, which
/// its state alone does not say: most that expire were never approved.
fn apply_outcome(status: &Status) -> &'static str {
    let is_settled = matches!(status.state, State::Granted | State::Error);
    if status.is_any_applied() && !is_settled { "applied-in-part" } else { status.state.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::life::Life;

    #[test]
    fn what_ended_with_a_grant_and_no_deployment_is_told_from_what_was_never_approved() {
        let of = |state, is_applied: bool| {
            let Life { mut request, .. } =
                if is_applied { Life::granted(&["cr-1"]) } else { Life::approved(&["cr-1"]) };
            request.status.state = state;
            apply_outcome(&request.status)
        };
        assert_eq!((of(State::Expired, false), of(State::Rejected, false)), ("expired", "rejected"));
        for state in [State::Expired, State::Rejected, State::Cancelled] {
            assert_eq!(of(state, true), "applied-in-part");
        }
        assert_eq!((of(State::Granted, true), of(State::Error, true)), ("granted", "error"));
    }
}
