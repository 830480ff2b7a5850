use super::*;
use crate::cloud::DeploymentNow;
use crate::conditions::Lift;
use crate::names::RequestId;

fn state_of(world: &World, id: RequestId) -> State {
    world.book.inside().rows[&id].request.status.state
}

#[test]
fn requests_of_a_stack_go_in_the_order_in_which_they_were_asked_for() {
    let world = World::new();
    let second = world.ask_again(2);
    world.work();
    world.cloud.approve("bob");
    world.pass(3);
    assert_eq!((world.state(), state_of(&world, second)), (State::Deploying, State::Approved));
    let waits = world.book.inside().rows[&second].work.note.waiting[0].detail.clone();
    assert_eq!(waits, format!("{} goes first on acme/web/prod: it is deploying", world.id));
    assert_eq!(world.cloud.count("apply"), 1, "the second is not applied before its moment");
    world.cloud.run(0, DeploymentStatus::Succeeded);
    world.pass(1);
    assert_eq!(
        (world.state(), state_of(&world, second)),
        (State::Succeeded, State::Deploying),
        "it is rung for at once"
    );
    world.cloud.run(1, DeploymentStatus::Failed);
    world.pass(1);
    assert_eq!(state_of(&world, second), State::Failed);
}

#[test]
fn one_that_waits_for_approval_holds_nobody_up() {
    let world = World::new();
    world.work();
    let second = world.ask_again(2);
    world.work();
    approve_one(&world, "cr-2");
    world.pass(1);
    assert_eq!((world.state(), state_of(&world, second)), (State::PendingApproval, State::Deploying));
}

/// Two requests, the first of them approved with the turn and nothing applied, the second approved with the line lifted.
fn one_that_has_the_turn() -> (World, RequestId) {
    let world = World::to(State::Approved);
    world.book.inside().line.turn = Some(world.id);
    let second = world.ask_again(2);
    world.work();
    world.book.inside().rows.get_mut(&second).unwrap().request.status.lifted.insert(Lift::Line);
    approve_one(&world, "cr-2");
    block_on(world.keeper.look(Worker::Apply, second, Cause::Due)).unwrap();
    assert_eq!(waits(&world, second), format!("{} has the turn on acme/web/prod", world.id));
    (world, second)
}

#[test]
fn one_that_has_the_turn_and_cant_use_it_gives_it_back() {
    for no in [
        CloudError::Refused { status: 403, message: "not now".to_owned() },
        CloudError::Conflict("the conditions are not met".to_owned()),
    ] {
        let (world, second) = one_that_has_the_turn();
        for _ in 0..100 {
            world.cloud.fail("apply", Fault::Answer(no.clone()));
        }
        world.look(Worker::Apply).unwrap();
        assert_eq!(world.book.inside().line.turn, Some(world.id), "what an earlier look may have sent has to show");
        for _ in 0..2 {
            world.clock.pass(SWEEP);
            world.look(Worker::Apply).unwrap();
        }
        assert_eq!(world.book.inside().line.turn, None, "{no}");
        let bells = world.book.inside().bells.clone();
        assert!(bells.iter().any(|(id, ..)| *id == second), "the next one is rung for: {bells:?}");
    }
}

#[test]
fn one_that_has_the_turn_while_its_window_closes_gives_it_back() {
    let (world, second) = one_that_has_the_turn();
    world.book.inside().line.turn = Some(world.id);
    world.book.inside().gates.gates[0].windows = vec!["wed 10:00-11:00".to_owned().try_into().unwrap()];
    world.book.inside().rows.get_mut(&second).unwrap().request.status.lifted.insert(Lift::Window);
    world.pass(4);
    assert_eq!((world.state(), state_of(&world, second)), (State::Approved, State::Deploying));
}

#[test]
fn the_turn_stays_with_one_whose_apply_may_still_show() {
    let (world, second) = one_that_has_the_turn();
    // It has been idle for long, and then an apply has no answer.
    world.cloud.fail("apply", Fault::Answer(CloudError::Refused { status: 403, message: "not now".to_owned() }));
    world.look(Worker::Apply).unwrap();
    world.clock.pass(SWEEP * 2);
    world.cloud.fail("apply", unclear());
    world.look(Worker::Apply).unwrap();
    assert_eq!((world.book.inside().line.turn, world.cloud.count("apply")), (Some(world.id), 2));
    world.book.inside().gates.hold = true;
    world.pass(1);
    let turn = world.book.inside().line.turn;
    assert_eq!((turn, state_of(&world, second)), (Some(world.id), State::Approved));
    world.pass(3);
    assert_eq!(world.book.inside().line.turn, None, "once it would have shown");
}

#[test]
fn one_at_a_time_creates_open_requests() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    let second = world.ask_again(2);
    world.work();
    assert_eq!(state_of(&world, second), State::Requested, "whose a draft is could not be told");
    assert!(world.book.inside().rows[&second].work.due.is_some());
    world.pass(3);
    assert_eq!((world.state(), state_of(&world, second)), (State::PendingApproval, State::PendingApproval));
    let open =
        world.cloud.inside().change_requests.iter().filter(|one| one.status == ChangeRequestStatus::Pending).count();
    assert_eq!(open, 2);
}

/// A status that nobody knows may be a draft's, but what is on record for another request, or marked by another installation, is theirs.
#[test]
fn a_draft_is_found_whatever_word_its_status_has() {
    let world = World::new();
    world.work();
    world.cloud.fail("request_open", Fault::Lost);
    let second = world.ask_again(2);
    world.work();
    let mut elsewhere = world.cloud.inside().change_requests[0].clone();
    elsewhere.id = "cr-x".to_owned();
    elsewhere.description = crate::mark::first_line("another", world.id);
    world.cloud.inside().change_requests.push(elsewhere);
    for one in &mut world.cloud.inside().change_requests {
        one.status = ChangeRequestStatus::Unknown("proposed".to_owned());
    }
    world.cloud.inside().change_requests[0].description = "Looks good".to_owned();
    world.pass(3);
    assert_eq!(world.cloud.statuses(), ["closed", "closed", "proposed", "pending"]);
    let inside = world.cloud.inside();
    let comment = |id: &str| inside.history.iter().rev().find(|(of, _)| of == id)?.1.comment.clone();
    assert!(comment("cr-1").unwrap().contains(&world.id.to_string()), "its own request closes what was edited");
    assert!(comment("cr-2").unwrap().contains(&second.to_string()));
    drop(inside);
    assert_eq!(state_of(&world, second), State::PendingApproval);
}

fn waits(world: &World, id: RequestId) -> String {
    world.book.inside().rows[&id].work.note.waiting[0].detail.clone()
}

#[test]
fn one_that_cant_be_read_is_named_by_whoever_waits_for_it() {
    let world = World::new();
    let second = world.ask_again(2);
    world.work();
    world.book.inside().broken.insert(world.id);
    approve_one(&world, "cr-2");
    world.pass(2);
    assert_eq!((state_of(&world, second), world.cloud.count("apply")), (State::Approved, 0));
    let named = format!("{} is in line on acme/web/prod, and can't be read", world.id);
    assert!(waits(&world, second).starts_with(&named), "{}", waits(&world, second));
    world.book.inside().broken.clear();
    world.pass(2);
    assert_eq!(state_of(&world, second), State::Deploying, "what was mended holds nobody up");
}

#[test]
fn one_that_cant_be_read_keeps_nobody_from_their_end() {
    let world = World::to(State::Deploying);
    let [second, third] = [world.ask_again(2), world.ask_again(3)];
    world.work();
    world.book.inside().broken.insert(second);
    approve_one(&world, "cr-3");
    world.pass(1);
    assert_eq!(state_of(&world, third), State::Approved);
    world.cloud.run(0, DeploymentStatus::Succeeded);
    world.look(Worker::Deploy).unwrap();
    assert_eq!((world.state(), world.due()), (State::Succeeded, None));
    let rung = world.book.inside().bells.iter().any(|(id, ..)| *id == third);
    assert!(rung, "whoever is next is rung for all the same");
}

#[test]
fn one_that_cant_be_read_keeps_the_lock_that_it_had() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    let second = world.ask_again(2);
    world.work();
    world.book.inside().broken.insert(world.id);
    world.pass(3);
    assert_eq!((state_of(&world, second), world.cloud.count("request_open")), (State::Requested, 1));
    let named = format!("{} is being submitted as the principal default, and can't be read", world.id);
    assert!(waits(&world, second).starts_with(&named), "{}", waits(&world, second));
}

/// bob approves one change request and no other.
fn approve_one(world: &World, id: &str) {
    world.cloud.set(id, ChangeRequestStatus::Ready, "bob", None);
    for one in world.cloud.inside().change_requests.iter_mut().filter(|one| one.id == id) {
        one.satisfied = true;
        one.rulesets[0].approval.as_mut().unwrap().approvers.push("bob".parse().unwrap());
    }
}

fn two_environments() -> World {
    let world = World::new();
    world.cloud.inside().gated.push("acme/credentials/import".parse().unwrap());
    world.work();
    world
}

#[test]
fn all_change_requests_are_applied_or_none() {
    let world = two_environments();
    approve_one(&world, "cr-1");
    world.pass(10);
    assert_eq!((world.state(), world.cloud.count("apply")), (State::PendingApproval, 0));
    world.cloud.approve("bob");
    world.pass(1);
    assert_eq!((world.state(), world.cloud.count("apply")), (State::Deploying, 2));
}

#[test]
fn what_is_live_is_named_when_the_rest_cant_be_applied() {
    let world = two_environments();
    world.cloud.approve("bob");
    // While the first is about to be applied, the second loses its approval.
    let cloud = world.cloud.clone();
    world.cloud.inside().meanwhile = Some((
        "durations",
        Box::new(move || {
            cloud.inside().change_requests[1].rulesets[0].approval.as_mut().unwrap().approvers.clear();
            cloud.set("cr-2", ChangeRequestStatus::Pending, "bob", None);
        }),
    ));
    world.pass(1);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Approved, 0));
    assert_eq!(world.trail().iter().filter(|word| *word == "applied").count(), 1);
    let first = world.request().status.first_applied_at().unwrap();
    world.pass(70);
    assert_eq!(world.state(), State::Expired);
    assert!(world.outcome().starts_with("not-applied-in-time: It was applied in part"), "{}", world.outcome());
    assert_eq!(world.cloud.count("deploy"), 0);
    world.nothing_is_open();
    assert!(world.clock.now() >= first + SignedDuration::from_hours(1));
}

#[test]
fn an_apply_by_somebody_else_is_taken_over() {
    let world = World::to(State::Approved);
    world.cloud.set("cr-1", ChangeRequestStatus::Applied, "carol", None);
    let applied_at = world.clock.now();
    world.clock.pass(SignedDuration::from_mins(5));
    world.pass(2);
    assert_eq!((world.state(), world.cloud.count("apply")), (State::Deploying, 0));
    assert_eq!(world.request().status.grant.unwrap().applied_at, applied_at, "the clock runs since then");
}

#[test]
fn an_apply_by_somebody_else_right_before_ours_is_told_as_theirs() {
    let world = World::to(State::Approved);
    let (cloud, clock, applied_at) = (world.cloud.clone(), world.clock.clone(), world.clock.now() + SWEEP);
    // After the last look at it, and long before the call arrives.
    world.cloud.inside().meanwhile = Some((
        "durations",
        Box::new(move || {
            cloud.set("cr-1", ChangeRequestStatus::Applied, "carol", None);
            clock.pass(SignedDuration::from_secs(20));
        }),
    ));
    world.pass(2);
    assert_eq!((world.state(), world.cloud.count("apply")), (State::Deploying, 1), "ours was refused");
    assert_eq!(world.request().status.grant.unwrap().applied_at, applied_at, "the clock runs since theirs");
    let inside = world.book.inside();
    let granted = inside.rows[&world.id].events.iter().find(|event| event.kind.ends_with(".granted")).unwrap();
    assert_eq!(granted.data.actor, Actor::Login("carol".parse().unwrap()));
}

#[test]
fn of_two_deployments_that_nobody_recorded_the_first_is_it_and_the_queued_one_is_cancelled() {
    let world = World::to(State::Granted);
    let marked = |version, status| {
        let one = DeploymentNow {
            deployment: crate::testing::life::deployment(version),
            status,
            requested_by: "signoff-deployer".parse().unwrap(),
            operation: Some("update".to_owned()),
            mark: Some(world.id.to_string()),
            commit: world.request().ask.commit.map(|commit| commit.to_string()),
            branch: None,
        };
        (one, world.clock.now())
    };
    world.cloud.inside().deployments =
        vec![marked(1, DeploymentStatus::Running), marked(2, DeploymentStatus::NotStarted)];
    world.look(Worker::Deploy).unwrap();
    assert_eq!(world.request().status.deployment.unwrap().version, 1);
    world.look(Worker::Deploy).unwrap();
    assert_eq!(world.cloud.inside().deployments[1].0.status, DeploymentStatus::Skipped);
    assert_eq!(world.cloud.count("deploy"), 0);
}

#[test]
fn a_second_deployment_that_cant_be_cancelled_any_more_is_not_said_to_be() {
    let world = World::to(State::Deploying);
    let mut second = world.cloud.inside().deployments[0].clone();
    second.0.deployment = crate::testing::life::deployment(2);
    world.cloud.inside().deployments.push(second);
    world.cloud.fail("cancel_deployment", Fault::Answer(CloudError::Conflict("it runs".to_owned())));
    world.look(Worker::Deploy).unwrap();
    let inside = world.book.inside();
    let last = inside.rows[&world.id].events.last().unwrap();
    assert!(last.kind.ends_with(".duplicate_found"), "{}", last.kind);
    assert_eq!(last.data.evidence["cancelled"], false);
}

#[test]
fn a_second_deployment_is_cancelled_and_reported() {
    let world = World::to(State::Deploying);
    let mut second = world.cloud.inside().deployments[0].clone();
    second.0.deployment = crate::testing::life::deployment(2);
    second.1 = world.clock.now();
    world.cloud.inside().deployments.push(second);
    world.cloud.run(0, DeploymentStatus::Running);
    world.clock.pass(SWEEP);
    world.look(Worker::Deploy).unwrap();
    assert_eq!(world.trail().last().unwrap(), "duplicate_found");
    assert_eq!(world.cloud.inside().deployments[1].0.status, DeploymentStatus::Skipped);
    world.cloud.run(0, DeploymentStatus::Succeeded);
    world.look(Worker::Deploy).unwrap();
    assert_eq!(
        world.outcome(),
        "succeeded: Deployment 1 of acme/web/prod succeeded. Another deployment with this request's mark was found: 2. See what it did."
    );
}

#[test]
fn what_another_worker_deployed_after_the_search_is_not_deployed_again() {
    let world = World::to(State::Granted);
    // Somebody who had stood still deploys and records it, after the stack's deployments were searched.
    let (cloud, book, clock, before) = (world.cloud.clone(), world.book.clone(), world.clock.clone(), world.request());
    world.cloud.inside().meanwhile = Some((
        "change_request",
        Box::new(move || {
            let ask = &before.ask;
            let new = NewDeployment {
                stack: ask.stack.clone(),
                operation: ask.operation,
                commit: ask.commit.clone(),
                mark: ask.id,
            };
            let deployment = block_on(cloud.deploy(&ask.gate.principal, &new)).unwrap();
            let event = Event::Deploying { deployment, status: None };
            let entry = Entry { id: clock.ulid(), at: clock.now(), actor: Actor::SIGNOFF, event };
            let step = chain::seal(Some(&before), &entry).unwrap();
            block_on(book.record(&step, None, LineChange::Keep)).unwrap();
        }),
    ));
    world.pass(3);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 1));
    assert_eq!(world.wrk().intent, None);
    world.cloud.run(0, DeploymentStatus::Succeeded);
    world.pass(1);
    assert_eq!(world.state(), State::Succeeded);
}
