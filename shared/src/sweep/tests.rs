use super::*;
use crate::request::State;
use crate::testing::world::{SWEEP, World, block_on};

fn sweep_now(world: &World) -> usize {
    world.book.inside().bells.clear();
    let rung = block_on(sweep(&world.book, &world.clock, SWEEP)).unwrap();
    assert_eq!(rung, world.book.inside().bells.len());
    rung
}

#[test]
fn who_is_due_is_rung_for_and_nobody_else() {
    let world = World::to(State::PendingApproval);
    assert_eq!(sweep_now(&world), 0);
    world.clock.pass(SWEEP);
    assert_eq!(sweep_now(&world), 1);
    let bell = world.book.inside().bells[0].clone();
    assert_eq!(bell, (world.id, Worker::Apply, Cause::Due));
    assert_eq!(world.due(), Some(world.clock.now() + SWEEP), "and again, should nobody answer");
}

#[test]
fn two_sweeps_at_once_ring_once() {
    let world = World::to(State::PendingApproval);
    world.clock.pass(SWEEP);
    assert_eq!((sweep_now(&world), sweep_now(&world)), (1, 0));
    world.clock.pass(SWEEP / 2);
    assert_eq!(sweep_now(&world), 0, "its next time has not come");
}

#[test]
fn whoever_is_granted_is_rung_for_at_the_other_worker() {
    let world = World::to(State::Deploying);
    world.clock.pass(SWEEP);
    sweep_now(&world);
    assert_eq!(world.book.inside().bells[0].1, Worker::Deploy);
}

#[test]
fn no_more_than_a_sweep_can_bear_and_the_rest_at_the_next() {
    let world = World::new();
    for position in 2..=u64::try_from(MAX_DUE).unwrap() + 10 {
        world.ask_again(position);
    }
    world.clock.pass(SWEEP);
    assert_eq!(sweep_now(&world), MAX_DUE);
    world.clock.pass(SWEEP / 2);
    assert_eq!(sweep_now(&world), 10);
}

#[test]
fn one_that_is_over_and_still_due_is_taken_off_the_list() {
    let world = World::to(State::PendingApproval);
    world.cancel().unwrap();
    world.work();
    let now = world.clock.now();
    world.book.inside().rows.get_mut(&world.id).unwrap().work.due = Some(now);
    world.clock.pass(SWEEP);
    assert_eq!(sweep_now(&world), 1);
    world.work();
    assert_eq!(world.due(), None);
}

#[test]
fn what_a_sweep_could_not_ring_is_still_due() {
    let world = World::to(State::PendingApproval);
    world.clock.pass(SWEEP);
    let calls = world.book.inside().calls;
    world.book.inside().fault_at = Some((calls + 1, false));
    assert!(block_on(sweep(&world.book, &world.clock, SWEEP)).is_err());
    assert!(world.due().unwrap() <= world.clock.now());
}

#[test]
fn a_sweep_by_a_clock_that_was_ahead_keeps_nobody_from_sweeping() {
    let world = World::new();
    let ahead = world.clock.now() + jiff::SignedDuration::from_hours(24 * 30);
    assert!(block_on(world.book.once("sweep", ahead, ahead + SWEEP / 2)).unwrap());
    world.clock.pass(SWEEP);
    assert_eq!(block_on(sweep(&world.book, &world.clock, SWEEP)), Ok(1));
}
