//! What does not go away by itself: a ledger restored from a backup, answers that never come, conflicts that stay, clocks that were wrong.

use super::*;
use crate::event::Actor;

#[test]
fn a_restored_ledger_finds_its_deployment_again_even_after_the_grant() {
    for minutes in [1, 90] {
        let world = World::to(State::PendingApproval);
        let backup = world.backup();
        world.cloud.approve("bob");
        world.pass(1);
        assert_eq!(world.state(), State::Deploying);
        world.cloud.run(0, DeploymentStatus::Running);
        world.clock.pass(SWEEP * minutes);
        world.restore(backup);
        world.pass(3);
        assert_eq!((world.state(), world.cloud.count("deploy")), (State::Deploying, 1), "after {minutes} minutes");
        world.cloud.run(0, DeploymentStatus::Succeeded);
        world.pass(5);
        assert_eq!(world.state(), State::Succeeded);
    }
}

#[test]
fn what_a_restored_ledger_can_not_adopt_it_names() {
    let world = World::to(State::PendingApproval);
    let backup = world.backup();
    world.cloud.approve("bob");
    world.pass(1);
    world.restore(backup);
    world.book.inside().gates.gates.clear();
    world.pass(1);
    let outcome = world.outcome();
    assert!(outcome.starts_with("gate-gone: "), "{outcome}");
    assert!(outcome.contains("deployment 1 carries this request's mark"), "{outcome}");
}

#[test]
fn a_restored_ledger_closes_what_it_does_not_know_that_it_submitted() {
    let world = World::new();
    let backup = world.backup();
    world.work();
    assert_eq!(world.cloud.statuses(), ["pending"]);
    world.clock.pass(SWEEP * 30);
    world.restore(backup);
    world.pass(1);
    assert_eq!(
        (world.state(), world.cloud.statuses()),
        (State::PendingApproval, vec!["closed".to_owned(), "pending".to_owned()])
    );
}

#[test]
fn one_that_can_never_be_read_ends_a_day_after_its_time() {
    let world = World::to(State::PendingApproval);
    world.cloud.inside().down = Some("change_request");
    world.pass(72 * 60 + 23 * 60);
    assert_eq!(world.state(), State::PendingApproval);
    world.pass(2 * 60);
    assert_eq!(world.state(), State::Error);
    let outcome = world.outcome();
    assert!(outcome.starts_with("no-answer: "), "{outcome}");
    assert!(outcome.contains("close them at Pulumi Cloud: cr-1"), "{outcome}");
    world.nobody_is_in_line();
}

#[test]
fn a_deployment_whose_stack_can_never_be_read_frees_the_line() {
    let world = World::to(State::Deploying);
    world.cloud.inside().down = Some("deployments");
    world.pass(9 * 24 * 60 + 90);
    assert!(world.outcome().starts_with("no-answer: "), "{}", world.outcome());
    world.nobody_is_in_line();
}

#[test]
fn an_outage_does_not_count_as_a_refusal() {
    let world = World::to(State::PendingApproval);
    let refused = || Fault::Answer(CloudError::Unauthorized("401".to_owned()));
    world.cloud.fail("change_request", refused());
    world.pass(1);
    world.cloud.inside().down = Some("change_request");
    world.pass(25 * 60);
    world.cloud.inside().down = None;
    world.cloud.fail("change_request", refused());
    world.pass(6);
    assert_eq!(world.state(), State::PendingApproval, "refused for a minute, not for a day");
}

#[test]
fn a_deployment_that_started_as_it_was_cancelled_is_reported_as_what_it_was() {
    let world = std::sync::Arc::new(World::to(State::Deploying));
    let other = std::sync::Arc::clone(&world);
    world.cloud.fail("cancel_deployment", Fault::Answer(CloudError::Conflict("it is starting".to_owned())));
    let starts = move || other.cloud.run(0, DeploymentStatus::Running);
    world.cloud.inside().meanwhile = Some(("cancel_deployment", Box::new(starts)));
    world.pass(65);
    assert_eq!(world.cloud.count("cancel_deployment"), 1);
    world.cloud.run(0, DeploymentStatus::Failed);
    // After its first hour it is looked at every fifth sweep.
    world.pass(5);
    assert!(world.outcome().starts_with("deployment-failed: "), "{}", world.outcome());
}

#[test]
fn what_conflicts_says_so_while_it_waits_and_when_it_ends() {
    let conflict = || Fault::Answer(CloudError::Conflict("somebody else is at it".to_owned()));
    for call in ["request_open", "submit"] {
        let world = World::new();
        world.cloud.fail(call, conflict());
        world.work();
        let waits = world.waits().join("; ");
        assert!(waits.contains("(somebody else is at it)"), "{call}: {waits}");
        world.pass(2);
        assert_eq!(world.state(), State::PendingApproval);
    }
    let world = World::to(State::Approved);
    for _ in 0..200 {
        world.cloud.fail("deploy", conflict());
    }
    world.pass(30);
    assert!(world.waits()[0].contains("(somebody else is at it)"), "{:?}", world.waits());
    world.pass(35);
    assert!(world.outcome().starts_with("not-deployed-in-time: "), "{}", world.outcome());
    assert!(world.outcome().contains("somebody else is at it"), "{}", world.outcome());
}

#[test]
fn whoever_pressed_apply_stands_in_the_trail() {
    for (approver, word) in [("bob", "granted"), ("alice", "end_decided")] {
        let world = World::to(State::PendingApproval);
        world.cloud.approve(approver);
        world.cloud.set("cr-1", ChangeRequestStatus::Applied, "dave", None);
        world.pass(1);
        let events = world.book.inside().rows[&world.id].events.clone();
        let daves = events.iter().find(|event| event.data.actor == Actor::Login("dave".parse().unwrap()));
        let words: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
        let kind = daves.unwrap_or_else(|| panic!("dave is in none of {words:?}")).kind.clone();
        let word =
            if word == "granted" { ["applied", "granted"].as_slice() } else { ["end_decided", "errored"].as_slice() };
        assert!(word.iter().any(|word| kind.ends_with(word)), "{kind}");
    }
}

#[test]
fn nobody_is_named_where_the_history_is_too_long_to_tell_who_applied() {
    let world = World::to(State::PendingApproval);
    world.cloud.approve("bob");
    world.cloud.set("cr-1", ChangeRequestStatus::Applied, "dave", None);
    let history = std::mem::take(&mut world.cloud.inside().history);
    world.cloud.inside().long_history = true;
    world.pass(2);
    assert_eq!((world.state(), world.waits().len()), (State::PendingApproval, 1), "{:?}", world.waits());
    let applied = |world: &World| {
        let events = world.book.inside().rows[&world.id].events.clone();
        let applied =
            events.into_iter().find(|event| event.kind.ends_with(".applied") || event.kind.ends_with(".granted"));
        applied.map(|event| event.data.actor)
    };
    assert_eq!(applied(&world), None);
    world.cloud.inside().history = history;
    world.pass(5);
    assert_eq!((world.state(), applied(&world)), (State::Deploying, Some(Actor::Login("dave".parse().unwrap()))));
}

#[test]
fn whose_approval_it_was_that_was_needed_stands_in_the_trail() {
    let world = World::to(State::Approved);
    // Both go between two looks; carol's counts as well, though bob's was enough.
    for who in ["carol", "alice"] {
        world.cloud.inside().change_requests[0].rulesets[0]
            .approval
            .as_mut()
            .unwrap()
            .approvers
            .push(who.parse().unwrap());
    }
    world.cloud.inside().paused = true;
    world.look(Worker::Apply).unwrap();
    {
        let mut inside = world.cloud.inside();
        inside.withdrawn = ["alice", "bob", "carol"].map(|who| ("cr-1".to_owned(), who.parse().unwrap())).to_vec();
        inside.change_requests[0].rulesets[0].approval.as_mut().unwrap().approvers.clear();
        (inside.change_requests[0].status, inside.change_requests[0].satisfied) = (ChangeRequestStatus::Pending, false);
    }
    world.look(Worker::Apply).unwrap();
    let events = world.book.inside().rows[&world.id].events.clone();
    let last: Vec<_> =
        events.iter().rev().take(3).map(|event| (event.kind.clone(), event.data.actor.clone())).collect();
    let by = |login: &str| Actor::Login(login.parse().unwrap());
    assert_eq!(
        last,
        [
            ("signoff.request.unapproved".to_owned(), by("carol")),
            ("signoff.request.approval_withdrawn".to_owned(), by("bob")),
            ("signoff.request.approval_withdrawn".to_owned(), by("alice")),
        ]
    );
}

#[test]
fn what_conflicts_is_no_refused_token() {
    let world = World::to(State::Approved);
    for call in ["durations", "settings"] {
        for _ in 0..3 {
            world.cloud.fail(call, Fault::Answer(CloudError::Conflict("the environment has changed".to_owned())));
        }
        world.look(Worker::Apply).unwrap();
        let waits = world.waits().join("; ");
        assert!(waits.starts_with("pulumi-cloud: ") && waits.contains("(the environment has changed)"), "{waits}");
        assert_eq!(world.wrk().note.token_refused_since, None);
        world.cloud.inside().faults.clear();
    }
    world.pass(3);
    assert_eq!(world.state(), State::Deploying);
}

#[test]
fn a_look_that_the_ledger_cut_short_leaves_no_lease() {
    let world = World::to(State::Approved);
    let calls = world.book.inside().calls;
    world.look(Worker::Apply).unwrap();
    let took = world.book.inside().calls - calls;
    for at in 2..took {
        let world = World::to(State::Approved);
        let now = world.book.inside().calls;
        world.book.inside().fault_at = Some((now + at, false));
        if world.look(Worker::Apply).is_err() {
            assert!(world.book.inside().rows[&world.id].lease.is_none(), "call {at}");
        }
        world.look(Worker::Apply).unwrap();
        assert!(matches!(world.state(), State::Granted), "call {at}: {}", world.state());
    }
}

#[test]
fn another_machine_token_of_the_same_login_is_somebody_else() {
    let world = World::to(State::Approved);
    world.cloud.inside().machine = Some("other".to_owned());
    world.pass(1);
    assert!(world.outcome().starts_with("principal-changed: "), "{}", world.outcome());
    assert_eq!(world.cloud.count("apply"), 0);
}

#[test]
fn other_durations_than_were_submitted_are_seen_after_the_apply_too() {
    let world = std::sync::Arc::new(World::to(State::Approved));
    let other = std::sync::Arc::clone(&world);
    world.cloud.inside().meanwhile =
        Some(("apply", Box::new(move || other.cloud.inside().durations = (86_400, 86_400))));
    world.pass(1);
    assert!(world.outcome().starts_with("change-request-edited: "), "{}", world.outcome());
    assert_eq!(world.cloud.count("deploy"), 0);
}

#[test]
fn who_cancels_gives_the_turn_back_at_once() {
    let world = World::to(State::Approved);
    world.book.inside().line.turn = Some(world.id);
    world.cancel().unwrap();
    assert_eq!(world.book.inside().line.turn, None);
}

#[test]
fn a_creation_that_was_refused_leaves_nothing_for_others_to_clean_up() {
    // Whatever write dies after the refusal, the lock is not free while the note says that something may have been created.
    for at in 0..12 {
        let world = World::new();
        world.cloud.fail("request_open", Fault::Answer(CloudError::Later { retry_after: None }));
        let before = world.book.inside().calls;
        world.book.inside().dead_from = Some(before + at);
        let _died = world.look(Worker::Apply);
        let free = world.book.inside().is_lock_free();
        assert!(!free || world.wrk().note.opening.is_none(), "call {at}");
    }
}

#[test]
fn a_creation_that_outlasted_the_look_is_closed_and_begun_anew() {
    // A later look may be waiting for the outcome of its own creation by then: recording this one would leave that one's drafts open.
    let world = World::new();
    let clock = world.clock.clone();
    let late = SignedDuration::from_secs(31);
    world.cloud.inside().meanwhile = Some(("request_open", Box::new(move || clock.pass(late))));
    world.look(Worker::Apply).unwrap();
    assert_eq!((world.state(), world.trail()), (State::Requested, vec!["requested".to_owned()]));
    for _ in 0..5 {
        world.pass(1);
    }
    assert_eq!(world.state(), State::PendingApproval);
    assert_eq!((world.cloud.count("request_open"), world.cloud.count("close")), (2, 1));
    let open = world.cloud.statuses().into_iter().filter(|status| status != "closed").collect::<Vec<_>>();
    assert_eq!(open, ["pending"], "one is left, and it is the one on record");
}

#[test]
fn a_creation_beside_the_one_on_record_is_closed() {
    // Somebody stood still between its creation and the record of it; a later look has created its own by then, and can't record that any more.
    let world = World::new();
    world.cloud.fail("submit", Fault::Answer(CloudError::Later { retry_after: None }));
    world.look(Worker::Apply).unwrap();
    assert_eq!(world.trail(), ["requested", "opened"]);
    let now = world.clock.now();
    let ask = world.request().ask;
    block_on(world.cloud.request_open(&ask.gate.principal, &ask.gate.environment, 3_600, 3_600)).unwrap();
    let intent = Intent { at: now, settles_at: now };
    let login = world.cloud.inside().login.clone();
    {
        let mut inside = world.book.inside();
        let note = &mut inside.rows.get_mut(&world.id).unwrap().work.note;
        (note.opening, note.opening_as) = (Some(intent), Some(login));
    }
    world.pass(3);
    assert_eq!(
        (world.state(), world.cloud.statuses()),
        (State::PendingApproval, vec!["pending".to_owned(), "closed".to_owned()])
    );
    assert_eq!(world.wrk().note.opening, None);
}

#[test]
fn what_is_submitted_has_nothing_more_to_clean_up() {
    // Whatever write dies after the submission: the creation lock may be somebody else's by then, and so is what they create.
    for at in 0..16 {
        let world = World::new();
        let before = world.book.inside().calls;
        world.book.inside().dead_from = Some(before + at);
        let _died = world.look(Worker::Apply);
        world.book.inside().dead_from = None;
        if world.state() != State::PendingApproval {
            continue;
        }
        let ask = world.request().ask;
        block_on(world.cloud.request_open(&ask.gate.principal, &ask.gate.environment, 3_600, 3_600)).unwrap();
        world.cancel().unwrap();
        world.pass(3);
        assert_eq!(
            (world.state(), world.cloud.statuses()),
            (State::Cancelled, vec!["closed".to_owned(), "draft".to_owned()]),
            "call {at}"
        );
    }
}

#[test]
fn what_stands_still_until_the_grant_ran_out_deploys_nothing() {
    let world = World::to(State::Granted);
    let expires_at = world.request().status.grant.unwrap().expires_at;
    world.clock.pass(expires_at.duration_since(world.clock.now()) - SignedDuration::from_secs(10));
    let clock = world.clock.clone();
    world.book.inside().intending = Some(Box::new(move || clock.pass(SignedDuration::from_secs(20))));
    world.look(Worker::Deploy).unwrap();
    assert_eq!(world.waits(), ["pulumi-cloud: its grant ran out before the deployment could be created"]);
    assert_eq!(world.wrk().intent, None, "nothing was sent, so there is nothing to wait for");
    world.pass(5);
    assert_eq!((world.state(), world.cloud.count("deploy")), (State::Expired, 0));
    assert!(world.outcome().starts_with("not-deployed-in-time: "), "{}", world.outcome());
}
