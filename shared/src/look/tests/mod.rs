//! The loop with everything around it in memory: what it does when calls fail, answers are lost and others are faster.

mod crashing;
mod enduring;
mod several;
mod waiting;

use super::*;
use crate::cloud::DeploymentStatus;
use crate::testing::pulumi::Fault;
use crate::testing::world::{SWEEP, World, block_on};

fn unclear() -> Fault {
    Fault::Answer(CloudError::Unclear("502".to_owned()))
}

#[test]
fn the_usual_way() {
    let world = World::new();
    world.work();
    assert_eq!(world.state(), State::PendingApproval);
    assert_eq!(world.waits(), ["approvals: credentials/prod: 0 of 1 approvals that count"]);
    world.cloud.approve("bob");
    world.pass(1);
    assert_eq!(world.state(), State::Deploying);
    world.cloud.run(0, DeploymentStatus::Running);
    world.pass(5);
    assert_eq!(world.state(), State::Deploying);
    world.cloud.run(0, DeploymentStatus::Succeeded);
    world.pass(1);
    assert_eq!(world.outcome(), "succeeded: Deployment 1 of acme/web/prod succeeded.");
    assert_eq!(world.trail(), ["requested", "opened", "submitted", "approved", "granted", "deploying", "succeeded"]);
    assert_eq!(world.due(), None);
    assert_eq!(world.book.inside().woken, [Worker::Deploy], "nobody wakes himself");
    world.nobody_is_in_line();
    for call in ["request_open", "submit", "apply", "deploy"] {
        assert_eq!(world.cloud.count(call), 1, "{call}");
    }
    let made = world.cloud.inside().calls.len();
    world.pass(60);
    assert_eq!(world.cloud.inside().calls.len(), made, "what is over is left alone");
}

#[test]
fn approvals_of_the_wrong_people_deploy_nothing() {
    let world = World::to(State::PendingApproval);
    world.cloud.approve("Alice");
    world.pass(1);
    assert_eq!(world.trail().last().unwrap(), "approval_seen");
    assert!(world.waits()[0].starts_with("self-approval: "), "{:?}", world.waits());
    world.pass(72 * 60);
    assert!(world.outcome().starts_with("not-approved-in-time: "), "{}", world.outcome());
    assert_eq!((world.cloud.count("apply"), world.cloud.count("deploy")), (0, 0));
    world.nothing_is_open();
}

#[test]
fn a_reviewer_who_closes_rejects() {
    let world = World::to(State::Approved);
    world.cloud.set("cr-1", ChangeRequestStatus::Closed, "bob", Some("Not now"));
    world.pass(1);
    assert_eq!(
        world.outcome(),
        "rejected: bob closed the change request of credentials/prod: Not now. Settle it with them, and ask again."
    );
    assert_eq!(world.state(), State::Rejected);
    assert_eq!(world.cloud.count("apply"), 0);
}

/// Somebody records something between what was read and what was decided on it.
#[test]
fn a_decision_on_what_is_stale_is_not_acted_on() {
    let world = std::sync::Arc::new(World::to(State::Approved));
    let other = std::sync::Arc::clone(&world);
    world.cloud.inside().meanwhile = Some(("rulesets", Box::new(move || other.cancel().unwrap())));
    world.pass(1);
    assert_eq!(world.state(), State::Cancelled);
    assert_eq!(world.cloud.count("deploy"), 0);
    world.cloud.inside().meanwhile = None;
}

#[test]
fn a_conflict_looks_again_at_once() {
    let world = std::sync::Arc::new(World::to(State::PendingApproval));
    let other = std::sync::Arc::clone(&world);
    world.cloud.approve("bob");
    world.book.inside().bells.clear();
    world.cloud.inside().meanwhile = Some(("change_request", Box::new(move || other.cancel().unwrap())));
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.trail().last().unwrap(), "end_decided", "the approval was not recorded on top");
    assert_eq!((world.due(), world.cloud.count("apply")), (Some(world.clock.now()), 0));
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.state(), State::Cancelled);
    world.nothing_is_open();
}

/// A cancellation that comes after the last look and before the intent is in time.
#[test]
fn what_is_cancelled_is_not_deployed() {
    for call in ["identity", "change_request", "deployments"] {
        let world = World::to(State::Approved);
        world.look(Worker::Apply).unwrap();
        assert_eq!(world.state(), State::Granted);
        let world = std::sync::Arc::new(world);
        let other = std::sync::Arc::clone(&world);
        world.cloud.inside().meanwhile = Some((call, Box::new(move || other.cancel().unwrap())));
        world.pass(5);
        assert_eq!((world.state(), world.cloud.count("deploy")), (State::Cancelled, 0), "during {call}");
        assert!(
            world.outcome().contains(" The grant on credentials/prod can't be revoked: until "),
            "{}",
            world.outcome()
        );
    }
}

#[test]
fn an_intent_is_too_late_to_cancel() {
    let world = World::to(State::Approved);
    world.cloud.fail("deploy", unclear());
    world.pass(1);
    assert!(world.wrk().intent.is_some());
    assert_eq!(world.cancel(), Err(LedgerError::Conflict));
}

#[test]
fn a_deployment_that_does_not_start_in_time_is_cancelled() {
    let world = World::to(State::Deploying);
    world.pass(59);
    assert_eq!((world.state(), world.cloud.count("cancel_deployment")), (State::Deploying, 0));
    world.pass(10);
    assert!(world.outcome().starts_with("deployment-not-started: "), "{}", world.outcome());
    assert_eq!((world.state(), world.cloud.count("cancel_deployment")), (State::Failed, 1));
}

#[test]
fn a_deployment_that_is_lost_sight_of_ends_in_error() {
    let world = World::to(State::Deploying);
    world.cloud.inside().lost = true;
    world.pass(9);
    assert_eq!(world.state(), State::Deploying);
    world.pass(5);
    assert!(world.outcome().starts_with("deployment-lost: "), "{}", world.outcome());
}

#[test]
fn a_deployment_that_comes_back_into_sight_is_followed() {
    let world = World::to(State::Deploying);
    world.cloud.inside().lost = true;
    world.pass(9);
    world.cloud.inside().lost = false;
    world.cloud.run(0, DeploymentStatus::Running);
    world.pass(5);
    world.cloud.inside().lost = true;
    world.pass(9);
    assert_eq!(world.state(), State::Deploying, "the looks are counted anew");
}

#[test]
fn nothing_is_applied_or_deployed_on_hold() {
    let world = World::to(State::Approved);
    world.book.inside().gates.hold = true;
    world.pass(10);
    assert_eq!((world.state(), world.cloud.count("apply")), (State::Approved, 0));
    assert!(world.waits()[0].starts_with("hold: "));
    world.book.inside().gates.hold = false;
    world.look(Worker::Apply).unwrap();
    world.book.inside().gates.hold = true;
    world.pass(10);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Granted, 0));
    world.book.inside().gates.hold = false;
    world.pass(1);
    assert_eq!(world.state(), State::Deploying);
}
