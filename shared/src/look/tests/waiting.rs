use super::*;

#[test]
fn who_is_at_it_is_told_to_look_again() {
    let world = std::sync::Arc::new(World::to(State::PendingApproval));
    let other = std::sync::Arc::clone(&world);
    let before = world.cloud.count("change_request");
    let nested = move || {
        assert_eq!(other.look(Worker::Apply), Ok(()));
        other.cloud.approve("bob");
    };
    // The look that finds the lease taken sends nothing; the one that has it looks a second time and sees the approval.
    world.cloud.inside().meanwhile = Some(("change_request", Box::new(nested)));
    world.cloud.inside().paused = true;
    world.look(Worker::Apply).unwrap();
    assert!(world.cloud.count("change_request") <= before + 2);
    assert_eq!(world.state(), State::Approved);
    assert!(world.book.inside().rows[&world.id].lease.is_none());
}

#[test]
fn a_lease_that_ran_out_is_taken() {
    let world = World::to(State::PendingApproval);
    let (now, until) = (world.clock.now(), later(world.clock.now(), world.keeper.timing.lease()));
    let begun = block_on(world.book.begin(world.id, world.clock.ulid(), now, until, Cause::Due)).unwrap();
    let Begin::Held(loaded, lease) = begun else { panic!("the lease is free") };
    world.cloud.approve("bob");
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.state(), State::PendingApproval);
    world.pass(2);
    assert_eq!(world.state(), State::Deploying);
    assert_eq!(block_on(world.book.finish(&lease, &loaded.work)), Ok(Finish::Lost), "nothing is written over it");
    assert_eq!(block_on(world.book.note(&lease, &loaded.work.note)), Err(LedgerError::Conflict));
}

#[test]
fn nothing_is_sent_once_the_time_is_used_up() {
    let world = World::new();
    world.cloud.inside().takes = SignedDuration::from_secs(31);
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.cloud.inside().calls, ["identity"]);
    assert_eq!(world.due(), Some(world.clock.now()), "it goes on at once");
    assert_eq!(
        world.waits(),
        ["pulumi-cloud: a look took longer than 30 s, since answers came slowly; it is begun anew"]
    );
    world.cloud.inside().takes = SignedDuration::from_secs(3);
    world.cloud.approve("bob");
    for _ in 0..30 {
        let began = world.clock.uptime();
        let worker = world.request().status.state.worker().unwrap();
        world.look(worker).unwrap();
        let took = world.clock.uptime() - began;
        assert!(took <= world.keeper.timing.budget + world.keeper.timing.call, "{took:?}");
        world.cloud.approve("bob");
        world.check();
    }
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 1));
}

#[test]
fn drafts_of_a_creation_without_answer_are_closed_and_it_is_created_once_more() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    world.work();
    assert_eq!((world.state(), world.cloud.count("close")), (State::Requested, 0));
    assert!(world.waits()[0].starts_with("pulumi-cloud: "), "{:?}", world.waits());
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.cloud.count("request_open"), 1, "not before its effect would show");
    world.pass(3);
    assert_eq!(world.state(), State::PendingApproval);
    assert_eq!(world.cloud.statuses(), ["closed", "pending"]);
    assert_eq!(world.request().status.change_requests[0].id, "cr-2");
    assert_eq!(world.wrk().note.opening, None);
}

#[test]
fn drafts_of_somebody_else_are_left_alone() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    world.work();
    let mut theirs = world.cloud.inside().change_requests[0].clone();
    (theirs.id, theirs.created_by) = ("cr-x".to_owned(), "dave".parse().unwrap());
    let mut older = world.cloud.inside().change_requests[0].clone();
    (older.id, older.created_at) = ("cr-y".to_owned(), older.created_at - SignedDuration::from_mins(2));
    world.cloud.inside().change_requests.extend([theirs, older]);
    world.pass(3);
    assert_eq!(world.cloud.statuses(), ["closed", "draft", "draft", "pending"]);
}

#[test]
fn a_draft_is_found_whatever_somebody_wrote_into_it() {
    let another = "signoff first req_01KAT5AAAAAAAAAAAAAAAAAAAA\nLooks good";
    for status in [ChangeRequestStatus::Draft, ChangeRequestStatus::Pending, ChangeRequestStatus::Ready] {
        for text in ["Looks good", another] {
            let world = World::new();
            world.cloud.fail("request_open", Fault::Lost);
            world.work();
            text.clone_into(&mut world.cloud.inside().change_requests[0].description);
            // Whoever may edit it may submit it, too.
            world.cloud.inside().change_requests[0].status.clone_from(&status);
            world.pass(3);
            let left = (status != ChangeRequestStatus::Draft && text == another).then_some(status.as_str());
            assert_eq!(world.cloud.statuses(), [left.unwrap_or("closed"), "pending"], "{text}, {status:?}");
        }
    }
}

#[test]
fn a_deployment_without_answer_is_found_by_its_mark() {
    let world = World::to(State::Approved);
    world.cloud.fail("deploy", Fault::Lost);
    world.pass(1);
    assert_eq!(world.state(), State::Granted);
    assert!(world.wrk().intent.is_some());
    world.look(Worker::Deploy).unwrap();
    assert_eq!(world.state(), State::Granted, "not before it would show");
    world.pass(3);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 1));
    assert_eq!(world.request().status.deployment.unwrap().version, 1);
    assert_eq!(world.wrk().intent, None);
}

#[test]
fn a_deployment_that_never_came_about_is_created_once_it_is_settled() {
    let world = World::to(State::Approved);
    world.cloud.fail("deploy", unclear());
    world.pass(1);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Granted, 1));
    world.pass(3);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 2));
}

#[test]
fn a_deployment_without_answer_is_adopted_even_when_its_grant_ran_out() {
    let world = World::to(State::Approved);
    world.cloud.fail("deploy", Fault::Lost);
    world.pass(1);
    world.clock.pass(SignedDuration::from_hours(2));
    world.cloud.run(0, DeploymentStatus::Running);
    world.pass(1);
    assert_eq!(world.state(), State::Deploying);
}

#[test]
fn a_rate_limit_is_waited_for() {
    for (retry_after, pause) in [(Some(Duration::from_secs(600)), 600), (None, 120)] {
        let world = World::to(State::PendingApproval);
        let made = world.cloud.inside().calls.len();
        world.cloud.fail("change_request", Fault::Answer(CloudError::Later { retry_after }));
        world.look(Worker::Apply).unwrap();
        let until = world.clock.now() + SignedDuration::from_secs(pause);
        let sentence = format!("pulumi-cloud: Pulumi Cloud is rate-limiting; the next try is at {until}");
        assert_eq!((world.wrk().note.retry_at, world.waits()), (Some(until), vec![sentence.clone()]));
        world.look(Worker::Apply).unwrap();
        assert_eq!((world.cloud.inside().calls.len(), world.waits()), (made + 1, vec![sentence]), "nothing is sent");
        world.cloud.approve("bob");
        world.pass(pause / 60);
        assert_eq!((world.state(), world.wrk().note.retry_at), (State::Deploying, None));
    }
}

#[test]
fn answers_that_say_nothing_are_tried_again_at_longer_and_longer_intervals() {
    let world = World::to(State::PendingApproval);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        world.cloud.fail("change_request", unclear());
        world.look(Worker::Apply).unwrap();
        let due = world.due().unwrap();
        pauses.push(due.duration_since(world.clock.now()).as_secs());
        world.clock.pass(due.duration_since(world.clock.now()));
    }
    assert!(pauses.is_sorted() && pauses.iter().all(|pause| (1..=300).contains(pause)), "{pauses:?}");
    world.look(Worker::Apply).unwrap();
    assert_eq!((world.wrk().note.failures, world.waits().len()), (0, 1));
}

#[test]
fn a_refused_token_is_waited_for_and_the_request_goes_on_when_it_is_mended() {
    let refused = || Fault::Answer(CloudError::Unauthorized("401".to_owned()));
    let world = World::to(State::PendingApproval);
    for _ in 0..3 {
        world.cloud.fail("change_request", refused());
        world.pass(1);
        assert!(world.waits()[0].starts_with("principal-token: Pulumi Cloud refuses the principal default since "));
    }
    world.cloud.approve("bob");
    world.pass(5);
    assert_eq!((world.state(), world.wrk().note.token_refused_since), (State::Deploying, None));
}

#[test]
fn a_token_that_is_refused_for_a_day_is_the_end() {
    let world = World::to(State::PendingApproval);
    for _ in 0..3_000 {
        world.cloud.fail("change_request", Fault::Answer(CloudError::Unauthorized("401".to_owned())));
    }
    world.pass(23 * 60);
    assert_eq!(world.state(), State::PendingApproval);
    world.pass(80);
    assert_eq!(
        world.outcome(),
        "principal-token: Pulumi Cloud refused the principal default for 24 hours. Give it a good token, and its rights, and ask again. These change requests could not be closed, close them at Pulumi Cloud: cr-1."
    );
    assert_eq!((world.state(), world.due()), (State::Error, None));
}

#[test]
fn drafts_that_may_be_left_are_named_when_the_token_is_refused_for_a_day() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    world.work();
    for _ in 0..3_000 {
        world.cloud.fail("identity", Fault::Answer(CloudError::Unauthorized("401".to_owned())));
    }
    world.pass(25 * 60);
    assert_eq!((world.state(), world.due()), (State::Error, None));
    let said = world.outcome();
    assert!(
        said.contains("It is not known whether drafts of open requests for acme/credentials/prod were left"),
        "{said}"
    );
}

#[test]
fn drafts_that_another_login_created_are_waited_for_and_named() {
    let world = World::new();
    world.cloud.fail("request_open", Fault::Lost);
    world.work();
    world.cloud.inside().login = "somebody-else".parse().unwrap();
    world.pass(25 * 60);
    assert_eq!(world.cloud.count("request_open"), 1, "what the other one left has to go first");
    let said = world.outcome();
    assert!(said.starts_with("principal-changed: ") && said.contains("whether drafts of open requests"), "{said}");
}

#[test]
fn a_change_request_that_cant_be_found_with_another_token_is_named_and_not_said_to_be_closed() {
    let world = World::to(State::PendingApproval);
    world.cancel().unwrap();
    world.cloud.inside().login = "somebody-else".parse().unwrap();
    for _ in 0..3_000 {
        world.cloud.fail("change_request", Fault::Answer(CloudError::NotFound("404".to_owned())));
    }
    world.pass(25 * 60);
    assert!(world.outcome().contains("The change request cr-1 of"), "{}", world.outcome());
    assert!(!world.trail().iter().any(|event| event == "change_request_closed"), "{:?}", world.trail());
}

#[test]
fn what_cant_be_found_for_a_moment_is_waited_for() {
    let world = World::to(State::PendingApproval);
    let not_found = || Fault::Answer(CloudError::NotFound("404".to_owned()));
    world.cloud.fail("change_request", not_found());
    world.pass(1);
    assert!(world.waits()[0].starts_with("pulumi-cloud: the change request cr-1 "), "{:?}", world.waits());
    world.pass(1);
    assert_eq!(world.waits(), ["approvals: credentials/prod: 0 of 1 approvals that count"]);
    assert_eq!(world.wrk().note.lost, None);
    // For good, it is the end; and nobody says that it was closed.
    for _ in 0..30 {
        world.cloud.fail("change_request", not_found());
    }
    world.pass(9);
    assert_eq!(world.state(), State::PendingApproval);
    world.pass(5);
    assert!(world.outcome().starts_with("change-request-gone: "), "{}", world.outcome());
    assert!(world.outcome().contains("The change request cr-1 of"), "{}", world.outcome());
    assert!(!world.trail().iter().any(|event| event == "change_request_closed"), "{:?}", world.trail());
}

#[test]
fn a_stack_that_cant_be_seen_may_have_the_deployment_without_answer() {
    let world = World::to(State::Approved);
    world.cloud.fail("deploy", Fault::Lost);
    world.pass(1);
    for _ in 0..30 {
        let not_found = || Fault::Answer(CloudError::NotFound("404".to_owned()));
        world.cloud.fail("deployments", not_found());
        world.cloud.fail("settings", not_found());
    }
    world.pass(5);
    assert_eq!(world.state(), State::Error);
    assert!(world.outcome().contains("It is not known whether a deployment was created"), "{}", world.outcome());
}

#[test]
fn on_a_stack_that_was_made_anew_the_deployment_without_answer_is_found() {
    let world = World::to(State::Approved);
    world.book.inside().rows.get_mut(&world.id).unwrap().work.note.searched = 40;
    world.cloud.fail("deploy", Fault::Lost);
    world.pass(5);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 1));
}

#[test]
fn a_change_request_that_cant_be_closed_is_named_after_a_day() {
    let world = World::to(State::PendingApproval);
    for _ in 0..3_000 {
        world.cloud.fail("close", Fault::Answer(CloudError::Refused { status: 403, message: "not yours".to_owned() }));
    }
    world.cancel().unwrap();
    world.pass(1);
    assert!(world.waits()[0].starts_with("closing: "), "{:?}", world.waits());
    world.pass(23 * 60);
    assert_eq!(world.state(), State::PendingApproval);
    world.pass(75);
    assert_eq!(
        world.outcome(),
        "cancelled: Cancelled by alice. The change request cr-1 of credentials/prod could not be closed: if it is there, close it at Pulumi Cloud."
    );
}

#[test]
fn a_look_of_the_wrong_worker_changes_nothing() {
    let world = World::to(State::PendingApproval);
    let (made, trail) = (world.cloud.inside().calls.len(), world.trail());
    world.look(Worker::Deploy).unwrap();
    assert_eq!((world.cloud.inside().calls.len(), world.trail()), (made, trail));
    assert!(world.due().is_some());
    // What is noted stays, and so does when it is due: the record that woke it may have been given out again.
    let world = World::to(State::Granted);
    world.book.inside().gates.hold = true;
    world.look(Worker::Deploy).unwrap();
    let (waits, due) = (world.waits(), world.due());
    assert!(!waits.is_empty());
    world.clock.pass(SignedDuration::from_secs(10));
    world.look(Worker::Apply).unwrap();
    assert_eq!((world.waits(), world.due()), (waits, due));
}

#[test]
fn it_is_looked_at_less_often_as_it_grows_old_and_never_after_its_end() {
    let world = World::to(State::PendingApproval);
    let pause = |world: &World| {
        world.clock.pass(world.due().unwrap().duration_since(world.clock.now()));
        world.look(Worker::Apply).unwrap();
        world.due().unwrap().duration_since(world.clock.now())
    };
    assert_eq!(pause(&world), SWEEP / 2);
    world.clock.pass(SignedDuration::from_hours(2));
    world.look(Worker::Apply).unwrap();
    assert_eq!(pause(&world), SWEEP * 5 - SWEEP / 2);
    world.clock.pass(SignedDuration::from_hours(24));
    world.look(Worker::Apply).unwrap();
    assert_eq!(pause(&world), SWEEP * 15 - SWEEP / 2);
    let before = world.request().ask.expires_at() - SignedDuration::from_mins(3);
    world.clock.pass(before.duration_since(world.clock.now()));
    world.look(Worker::Apply).unwrap();
    assert!(world.due().unwrap() <= world.request().ask.expires_at());
}

#[test]
fn the_sweeps_own_patience_does_not_make_it_look_more_often() {
    let world = World::to(State::PendingApproval);
    world.pass(24 * 60);
    let before = world.cloud.inside().calls.len();
    world.pass(60);
    let looks = world.cloud.inside().calls.len() - before;
    assert!(looks <= 4 + 1, "every fifteenth sweep is a look with one call: {looks}");
}

#[test]
fn who_stood_still_ends_nothing() {
    let world = World::to(State::PendingApproval);
    world.clock.pass(SignedDuration::from_hours(73));
    world.cloud.inside().takes = SignedDuration::from_secs(31);
    world.look(Worker::Apply).unwrap();
    assert_eq!((world.state(), world.request().status.ending), (State::PendingApproval, None));
    world.cloud.inside().takes = SignedDuration::from_secs(1);
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.state(), State::Expired);
}
