use std::collections::BTreeSet;

use super::*;
use crate::request::{Deployment, State};
use crate::testing::pulumi::Fault;
use crate::testing::world::{GATES, SWEEP, World, block_on};

/// A gate with these keys, and runs of a stack, newest last: who started each, how it stands, and whether it was refused.
fn world(keys: &str, runs: &[(&str, DeploymentStatus, bool)]) -> World {
    let world = World::new();
    world.cancel().unwrap();
    world.work();
    world.book.inside().gates = Gates::from_toml(&format!("{GATES}{keys}\n")).unwrap();
    let mut inside = world.cloud.inside();
    inside.members = BTreeSet::from(["carol".parse().unwrap(), "mallory".parse().unwrap()]);
    for (version, (who, status, was_refused)) in (1..).zip(runs) {
        let (id, url) =
            (format!("run-{version}"), format!("https://app.pulumi.com/acme/web/prod/deployments/{version}"));
        let run = DeploymentNow {
            deployment: Deployment { id: id.clone(), version, url },
            status: status.clone(),
            requested_by: who.parse().unwrap(),
            operation: Some("update".to_owned()),
            mark: None,
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            branch: None,
        };
        inside.deployments.push((run, world.clock.now()));
        if *was_refused {
            inside.refused.insert(id);
        }
    }
    drop(inside);
    world
}

fn ring(world: &World, kind: &str) {
    let pointers = Pointers { stacks: vec!["acme/web/prod".parse().unwrap()], ..Pointers::default() };
    let delivery =
        Delivery { id: "d".to_owned(), kind: kind.to_owned(), body: String::new(), pointers, at: world.clock.now() };
    block_on(world.keeper.answer(&delivery)).unwrap();
    world.work();
}

/// The versions of the runs that were asked for, and by whom.
fn rescued(world: &World) -> Vec<(i64, String)> {
    let inside = world.book.inside();
    let asks = inside.rows.values().map(|row| &row.request.ask);
    let mut asks: Vec<_> = asks.filter(|ask| ask.rescues.is_some()).collect();
    asks.sort_by_key(|ask| ask.position);
    asks.into_iter().filter_map(|ask| Some((ask.rescues.as_ref()?.version, ask.requester.login.to_string()))).collect()
}

const ON: &str = "rescue = true";

#[test]
fn a_run_that_was_refused_waits_is_signed_off_and_runs_again() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, true)]);
    ring(&world, "deployment");
    assert_eq!(rescued(&world), [(1, "carol".to_owned())]);
    let id = world.book.inside().rows.values().find(|row| row.request.ask.rescues.is_some()).unwrap().request.ask.id;
    let request = |world: &World| world.book.inside().rows[&id].request.clone();
    let ask = request(&world).ask;
    assert_eq!(ask.commit.unwrap().as_str(), "0123456789abcdef0123456789abcdef01234567");
    assert!(ask.reason.as_str().starts_with("Run 1 was started without asking"), "{}", ask.reason.as_str());
    assert_eq!(request(&world).status.state, State::PendingApproval);
    for one in world.cloud.inside().change_requests.iter_mut() {
        one.rulesets[0].approval.as_mut().unwrap().approvers.push("bob".parse().unwrap());
        (one.status, one.satisfied) = (crate::request::ChangeRequestStatus::Ready, true);
    }
    world.pass(2);
    assert_eq!(request(&world).status.state, State::Deploying);
    // Its own run fails as well: that is no reason to ask again.
    let last = world.cloud.inside().deployments.len() - 1;
    let failed = world.cloud.inside().deployments[last].0.deployment.id.clone();
    world.cloud.inside().refused.insert(failed);
    world.cloud.run(last, DeploymentStatus::Failed);
    world.pass(60);
    ring(&world, "deployment");
    assert_eq!(rescued(&world).len(), 1);
}

#[test]
fn it_is_asked_for_once_however_often_it_rings() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, true)]);
    for _ in 0..5 {
        ring(&world, "deployment");
        ring(&world, POLL);
        world.clock.pass(SignedDuration::from_mins(15));
    }
    assert_eq!(rescued(&world).len(), 1);
}

#[test]
fn what_failed_otherwise_is_left_alone() {
    use DeploymentStatus::{Failed, Running, Skipped, Succeeded};
    let asked = |keys: &str, runs: &[(&str, DeploymentStatus, bool)]| {
        let world = world(keys, runs);
        ring(&world, "deployment");
        rescued(&world).into_iter().map(|(version, _)| version).collect::<Vec<_>>()
    };
    assert_eq!(asked("", &[("carol", Failed, true)]), [0; 0], "the gate does not say so");
    assert_eq!(asked(ON, &[("carol", Failed, false)]), [0; 0], "it failed for another reason");
    assert_eq!(asked(ON, &[("carol", Running, true), ("carol", Skipped, true)]), [0; 0], "it did not fail");
    assert_eq!(asked(ON, &[("signoff-deployer", Failed, true)]), [0; 0], "it is the principal's own");
    assert_eq!(asked(ON, &[("stranger", Failed, true)]), [0; 0], "whoever started it may not");
    assert_eq!(asked(ON, &[("carol", Failed, true), ("carol", Succeeded, false)]), [0; 0], "it is overtaken");
    assert_eq!(asked(ON, &[("carol", Succeeded, false), ("carol", Failed, true), ("mallory", Failed, true)]), [2, 3]);
    let named = format!("{ON}\nrequesters = [\"carol\"]");
    assert_eq!(asked(&named, &[("carol", Failed, true), ("mallory", Failed, true)]), [1]);
    assert_eq!(asked(&format!("{ON}\noperations = [\"preview\"]"), &[("carol", Failed, true)]), [0; 0]);
}

#[test]
fn what_is_marked_or_old_is_left_alone() {
    let old = world(ON, &[("carol", DeploymentStatus::Failed, true)]);
    old.clock.pass(MAX_AGE + SWEEP);
    ring(&old, "deployment");
    assert_eq!(rescued(&old), []);
    let marked = world(ON, &[("carol", DeploymentStatus::Failed, true)]);
    marked.cloud.inside().deployments[0].0.mark = Some("req_01KAT5AAAAAAAAAAAAAAAAAAAA".to_owned());
    ring(&marked, "deployment");
    assert_eq!(rescued(&marked), []);
}

/// The versions of the runs that are asked for if the first of two is not what it should be.
fn with_an_odd_one(keys: &str, odd: impl FnOnce(&mut DeploymentNow)) -> Vec<i64> {
    let world = world(
        &format!("{ON}\n{keys}"),
        &[("carol", DeploymentStatus::Failed, true), ("mallory", DeploymentStatus::Failed, true)],
    );
    odd(&mut world.cloud.inside().deployments[0].0);
    ring(&world, "deployment");
    rescued(&world).into_iter().map(|(version, _)| version).collect()
}

#[test]
fn what_a_request_would_do_otherwise_is_not_asked_for_and_holds_up_nothing_else() {
    let from = |branch: &'static str| {
        move |run: &mut DeploymentNow| (run.commit, run.branch) = (None, Some(branch.to_owned()))
    };
    assert_eq!(with_an_odd_one("", |run| run.commit = Some("v2.4".to_owned())), [2], "that is no commit id");
    assert_eq!(with_an_odd_one("", from("feature")), [2], "the settings say main");
    assert_eq!(with_an_odd_one("", from("main")), [1, 2]);
    assert_eq!(with_an_odd_one("", from("refs/heads/main")), [1, 2]);
    assert_eq!(with_an_odd_one("commit = \"required\"", from("main")), [2]);
    assert_eq!(with_an_odd_one("", |run| run.operation = Some("remediate-drift".to_owned())), [2]);
}

#[test]
fn where_the_principal_may_not_see_what_others_may_do_the_run_itself_tells() {
    for (operation, asked) in [("update", 1), ("preview", 1), ("destroy", 0)] {
        let world = world(ON, &[("stranger", DeploymentStatus::Failed, true)]);
        world.cloud.inside().deployments[0].0.operation = Some(operation.to_owned());
        let refused = CloudError::Refused { status: 403, message: "only administrators may see that".to_owned() };
        world.cloud.fail("permission", Fault::Answer(refused));
        ring(&world, "deployment");
        assert_eq!(rescued(&world).len(), asked, "{operation}");
    }
}

#[test]
fn who_dies_between_the_look_and_the_request_does_not_keep_it_from_being_asked_for() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, true)]);
    let book = world.book.clone();
    world.cloud.inside().meanwhile = Some(("was_refused", Box::new(move || book.inside().dead_from = Some(0))));
    let pointers = Pointers { stacks: vec!["acme/web/prod".parse().unwrap()], ..Pointers::default() };
    let at = world.clock.now();
    let delivery = Delivery { id: "d".to_owned(), kind: DEPLOYMENT.to_owned(), body: String::new(), pointers, at };
    assert!(block_on(world.keeper.answer(&delivery)).is_err());
    world.book.inside().dead_from = None;
    world.clock.pass(LOOKING);
    ring(&world, POLL);
    assert_eq!(rescued(&world).len(), 1);
}

#[test]
fn a_log_that_can_not_be_read_is_read_again_soon_and_one_that_says_nothing_later() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, false)]);
    world.cloud.fail("was_refused", Fault::Answer(CloudError::Unclear("500".to_owned())));
    let logs = |world: &World| world.cloud.count("was_refused");
    for (passed, read) in [(SignedDuration::ZERO, 1), (LOOKING, 2), (LOOKING, 2), (LEFT_ALONE, 3)] {
        world.clock.pass(passed);
        ring(&world, "deployment");
        ring(&world, "deployment");
        assert_eq!(logs(&world), read);
    }
    // What was not in the log at first is found then.
    world.cloud.inside().refused.insert("run-1".to_owned());
    world.clock.pass(LEFT_ALONE);
    ring(&world, "deployment");
    assert_eq!(rescued(&world).len(), 1);
}

#[test]
fn a_flood_of_deliveries_looks_no_more_often_than_is_useful() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, false)]);
    (0..100).for_each(|_| ring(&world, "deployment"));
    assert_eq!(world.cloud.count("was_refused"), 1);
    assert_eq!(world.cloud.count("identity"), usize::try_from(crate::ledger::MAX_RINGS).unwrap());
    // The clock comes all the same.
    world.cloud.inside().refused.insert("run-1".to_owned());
    world.clock.pass(LEFT_ALONE);
    (0..100).for_each(|_| ring(&world, "stack_update"));
    assert_eq!(rescued(&world), [], "that is not about runs");
    ring(&world, POLL);
    assert_eq!(rescued(&world).len(), 1);
}

#[test]
fn whoever_is_rung_for_comes_first_and_no_call_begins_when_the_time_is_up() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, true), ("mallory", DeploymentStatus::Failed, true)]);
    let waiting = world.ask_again(2);
    world.work();
    assert_eq!(world.book.inside().rows[&waiting].request.status.state, State::PendingApproval);
    for (takes, made) in [
        (31, vec!["change_request"]),
        (13, vec!["change_request", "deployments", "identity"]),
        (9, vec!["change_request", "deployments", "identity", "deployment"]),
        (7, vec!["change_request", "deployments", "identity", "deployment", "was_refused"]),
    ] {
        world.clock.pass(LEFT_ALONE);
        world.cloud.inside().calls.clear();
        world.cloud.inside().takes = SignedDuration::from_secs(takes);
        ring(&world, "deployment");
        assert_eq!(world.cloud.inside().calls, made, "{takes} s each");
        assert_eq!(rescued(&world), []);
    }
    world.cloud.inside().takes = SignedDuration::from_secs(1);
    world.clock.pass(LEFT_ALONE);
    ring(&world, POLL);
    assert_eq!(rescued(&world).len(), 2, "the clock comes back to the rest");
}

#[test]
fn a_log_that_never_ends_is_not_read_for_ever() {
    let world = world(ON, &[("carol", DeploymentStatus::Failed, false)]);
    world.cloud.inside().endless_logs = true;
    ring(&world, POLL);
    assert_eq!(world.cloud.count("was_refused"), usize::try_from(MAX_LOG_PAGES).unwrap());
    world.clock.pass(LEFT_ALONE);
    world.cloud.inside().calls.clear();
    world.cloud.inside().takes = SignedDuration::from_secs(5);
    ring(&world, POLL);
    assert_eq!(world.cloud.inside().calls.len(), 6, "its pages take time as well");
}

#[test]
fn the_clock_comes_to_stacks_that_are_named_in_full() {
    let world = world("", &[]);
    let text = "[[gate]]\nstacks = [\"acme/web/prod\", \"acme/api/*\"]\nenvironment = \"acme/credentials/prod\"\nrescue = true\n";
    world.book.inside().gates = Gates::from_toml(text).unwrap();
    world.book.inside().deliveries.clear();
    block_on(crate::branches::poll(&world.book, &world.clock, SWEEP)).unwrap();
    let deliveries = world.book.inside().deliveries.clone();
    let [delivery] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert_eq!((delivery.kind.as_str(), delivery.pointers.stacks.len()), (POLL, 1));
    assert!(delivery.id.contains(' '), "a webhook could have the id {}", delivery.id);
}
