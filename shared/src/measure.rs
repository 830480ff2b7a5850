//! What the domain measures, as events of `tracing` under [`TARGET`]: whoever collects metrics listens there, and nobody else hears them. Names, dimensions and
//! units are those of `functions/src/metrics.rs`.

use crate::event::{Entry, Event};
use crate::request::{ChangeRequestStatus, Request, State, Status, Worker};

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
            tracing::trace!(target: TARGET, ApplyOutcomes = 1_u64, Outcome = apply_outcome(&entry.event, &request.status))
        }
        Some(Worker::Deploy) => tracing::trace!(target: TARGET, DeployOutcomes = 1_u64, Outcome = now.as_str()),
        None => {}
    }
}

/// What became of a request that was to be applied. One that ended with a grant that may be live, and nothing to show for it, is somebody's business, which
/// its state alone does not say: most that expire were never approved. What ended in error is looked into all the same.
fn apply_outcome(end: &Event, status: &Status) -> &'static str {
    let (Event::Rejected { rests_on, .. } | Event::Expired { rests_on, .. } | Event::Cancelled { rests_on, .. }) = end
    else {
        return status.state.as_str();
    };
    // What somebody applied at the very end is in no event of its own.
    let seen_applied = rests_on.change_requests.iter().any(|one| one.status == ChangeRequestStatus::Applied);
    if status.is_any_applied() || seen_applied { "applied-in-part" } else { status.state.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RestsOn, Standing};
    use crate::request::Outcome;
    use crate::testing::ask;
    use crate::testing::life::{Life, seen};

    #[test]
    fn what_ended_with_a_grant_and_no_deployment_is_told_from_what_was_never_approved() {
        let outcome = || Outcome::new("over", "It is over.");
        let of = |life: Life, seen: &str| {
            let standing = Standing { id: "cr-2".to_owned(), status: seen.to_owned().into(), revision: 1 };
            let rests_on = RestsOn { change_requests: vec![standing], deployment: None };
            let end = Event::end(State::Expired, outcome(), rests_on).unwrap();
            apply_outcome(&end, &life.then(end.clone()).request.status)
        };
        assert_eq!(of(Life::approved(&["cr-1", "cr-2"]), "pending"), "expired");
        assert_eq!(of(Life::approved(&["cr-1", "cr-2"]), "applied"), "applied-in-part", "by somebody, at the very end");
        let in_part = Life::approved(&["cr-1", "cr-2"])
            .then(Event::Applied { change_request: seen("cr-1", "applied", &["bob"]), applied_at: ask().created_at });
        assert_eq!(of(in_part, "closed"), "applied-in-part");
        let granted = Life::granted(&["cr-1"]);
        let errored = Event::end(State::Error, outcome(), RestsOn::recorded(&granted.request.status)).unwrap();
        assert_eq!(apply_outcome(&errored, &granted.then(errored.clone()).request.status), "error");
    }
}
