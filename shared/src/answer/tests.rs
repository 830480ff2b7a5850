use super::*;
use crate::cloud::DeploymentStatus;
use crate::host::Host;
use crate::names::EnvironmentName;
use crate::request::State;
use crate::testing::world::{World, block_on};

/// A delivery that points nowhere but to the organization.
fn vague() -> Pointers {
    Pointers { organization: Some("acme".parse().unwrap()), ..Pointers::default() }
}

fn to_change_request(id: &str) -> Pointers {
    Pointers { change_requests: vec![id.to_owned()], ..vague() }
}

fn to_environment(name: &str) -> Pointers {
    Pointers { environments: vec![name.parse::<EnvironmentName>().unwrap()], ..vague() }
}

/// Answers a delivery, and says how many calls to Pulumi Cloud that cost at once and whom it rang for.
fn answer(world: &World, pointers: &Pointers) -> (usize, Vec<(RequestId, Worker)>) {
    world.book.inside().bells.clear();
    let before = world.cloud.inside().calls.len();
    let delivery = Delivery {
        id: "delivery-1".to_owned(),
        kind: "change_request".to_owned(),
        body: String::new(),
        pointers: pointers.clone(),
        at: world.clock.now(),
    };
    block_on(world.keeper.answer(&delivery)).unwrap();
    let bells: Vec<_> = world.book.inside().bells.iter().map(|(id, worker, _)| (*id, *worker)).collect();
    (world.cloud.inside().calls.len() - before, bells)
}

#[test]
fn one_request_that_a_delivery_points_to_is_looked_at_at_once() {
    let stack = Pointers { stacks: vec!["acme/web/prod".parse().unwrap()], ..vague() };
    for pointers in [to_change_request("cr-1"), stack, to_environment("acme/credentials/prod")] {
        let world = World::to(State::PendingApproval);
        world.cloud.approve("bob");
        world.cloud.inside().paused = true;
        answer(&world, &pointers);
        assert_eq!(world.state(), State::Approved, "{pointers:?}");
        let approved = world.book.inside().rows[&world.id].events.last().unwrap().clone();
        assert_eq!(approved.data.evidence["webhookDelivery"], "delivery-1");
    }
}

#[test]
fn several_are_rung_for_one_by_one() {
    let world = World::new();
    let second = world.ask_again(2);
    world.work();
    let (calls, bells) = answer(&world, &to_environment("acme/credentials/prod"));
    assert_eq!((calls, bells), (0, vec![(world.id, Worker::Apply), (second, Worker::Apply)]));
}

#[test]
fn what_is_granted_is_the_other_workers() {
    let world = World::to(State::Deploying);
    world.cloud.run(0, DeploymentStatus::Succeeded);
    let (calls, bells) = answer(&world, &to_change_request("cr-1"));
    assert_eq!((calls, bells), (0, vec![(world.id, Worker::Deploy)]));
    world.work();
    assert_eq!(world.state(), State::Succeeded);
}

#[test]
fn what_points_nowhere_rings_what_is_open_and_a_flood_of_it_once_in_a_while() {
    let world = World::to(State::PendingApproval);
    let everybody = vec![(world.id, Worker::Apply)];
    let mut guessed = to_environment("acme/web/rule-1");
    guessed.unsure = true;
    for pointers in [vague(), guessed, Pointers::default()] {
        world.clock.pass(SignedDuration::from_secs(VAGUE_EVERY_SECONDS));
        assert_eq!(answer(&world, &pointers), (0, everybody.clone()), "{pointers:?}");
        for _ in 0..100 {
            assert_eq!(answer(&world, &pointers), (0, Vec::new()));
        }
    }
}

#[test]
fn what_is_none_of_our_business_rings_for_nobody() {
    let world = World::to(State::PendingApproval);
    let mut elsewhere = vague();
    elsewhere.organization = Some("other".parse().unwrap());
    for pointers in [elsewhere, to_environment("acme/credentials/staging"), to_change_request("cr-of-somebody-else")] {
        assert_eq!(answer(&world, &pointers), (0, Vec::new()), "{pointers:?}");
    }
}

#[test]
fn a_flood_of_deliveries_looks_no_more_often_than_is_useful() {
    let world = World::to(State::PendingApproval);
    let calls: usize = (0..100).map(|_| answer(&world, &to_change_request("cr-1")).0).sum();
    assert_eq!(calls, usize::try_from(crate::ledger::MAX_RINGS).unwrap());
    world.cloud.approve("bob");
    world.pass(1);
    assert_eq!(world.state(), State::Deploying, "the sweep sees what the rings did not");
}

#[test]
fn what_is_over_is_left_alone() {
    let world = World::to(State::PendingApproval);
    world.cancel().unwrap();
    world.work();
    assert_eq!(world.state(), State::Cancelled);
    assert_eq!(answer(&world, &to_change_request("cr-1")), (0, Vec::new()));
}

#[test]
fn one_whose_pointer_was_lost_is_found_by_what_is_on_record() {
    let world = World::to(State::PendingApproval);
    world.book.inside().forget_pointers();
    let both =
        Pointers { environments: to_environment("acme/credentials/prod").environments, ..to_change_request("cr-1") };
    assert_eq!(answer(&world, &both), (0, vec![(world.id, Worker::Apply)]));
    world.clock.pass(SignedDuration::from_secs(VAGUE_EVERY_SECONDS));
    let stray = Pointers { change_requests: vec!["cr-x".to_owned()], ..both };
    assert_eq!(answer(&world, &stray), (0, Vec::new()), "it is about another change request of the same environment");
}

#[test]
fn one_that_cant_be_read_keeps_nobody_from_being_rung_for() {
    let world = World::new();
    let second = world.ask_again(2);
    world.work();
    world.book.inside().broken.insert(world.id);
    let stack = Pointers { stacks: vec!["acme/web/prod".parse().unwrap()], ..vague() };
    assert_eq!(answer(&world, &stack), (0, vec![(second, Worker::Apply)]));
    let (calls, bells) = answer(&world, &to_environment("acme/credentials/prod"));
    assert!(calls > 0 && bells.is_empty(), "it is the only one, so that it is looked at at once");
}

#[test]
fn a_look_is_part_of_the_answers_time() {
    let world = World::to(State::PendingApproval);
    world.cloud.inside().takes = SignedDuration::from_secs(31);
    let began = world.clock.uptime();
    let (calls, _) = answer(&world, &to_change_request("cr-1"));
    assert_eq!(calls, 1, "no other call begins when the time is up");
    assert_eq!(world.clock.uptime() - began, Duration::from_secs(31));
}

#[test]
fn where_there_is_not_time_for_all_others_come_first_the_next_time() {
    let order = |turn| in_turn(&["a", "b", "c"], turn).copied().collect::<String>();
    assert_eq!([order(0), order(1), order(2), order(3)], ["abc", "bca", "cab", "abc"]);
    assert_eq!(in_turn::<u8>(&[], 7).count(), 0);
}
