//! The scheduler: who goes on, when time passes, and where processes die.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::task::{Context, Poll, Waker};

use signoff_core::request::Worker;

use crate::roles::{Done, Running};
use crate::step::{Phase, Point};
use crate::world::{Current, Shared, World};

/// Things in the order of their times; those of one time in an order that the seed draws.
#[derive(Debug)]
pub struct Queue<T> {
    order: BinaryHeap<Reverse<(i64, u64, u64)>>,
    things: BTreeMap<u64, T>,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), things: BTreeMap::new(), next: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds something for a time, in milliseconds; `tie` orders it among those of the same time.
    pub fn add(&mut self, at: i64, tie: u64, thing: T) {
        self.next += 1;
        self.things.insert(self.next, thing);
        self.order.push(Reverse((at, tie, self.next)));
    }

    /// When the first is.
    pub fn first(&self) -> Option<i64> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the first.
    pub fn take(&mut self) -> Option<T> {
        let Reverse((_, _, number)) = self.order.pop()?;
        self.things.remove(&number)
    }

    /// Keeps only some.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.things.retain(|_, thing| keep(thing));
        let things = &self.things;
        self.order.retain(|Reverse((_, _, number))| things.contains_key(number));
    }
}

/// A task and what it is for.
pub struct Task<W> {
    /// What it does.
    pub running: Running,
    /// The worker that it is part of, if it is one's.
    pub worker: Option<Worker>,
    /// The machine that it runs on.
    pub machine: usize,
    /// What it was made of, to be made again.
    pub why: W,
}

/// What came of letting a task go on.
pub enum Went {
    /// It is at another point, and goes on after so many milliseconds.
    On(i64),
    /// It died.
    Died,
    /// Its whole machine died.
    MachineDied,
    /// It is done.
    Done(Done),
    /// It waits for something that nobody does.
    Stuck,
}

/// Lets a task go on to its next point.
pub fn go_on<W>(shared: &Shared, number: u64, task: &mut Task<W>) -> Went {
    {
        let mut world = shared.world();
        world.current = Current { task: number, worker: task.worker };
        world.reached = None;
        world.steps += 1;
    }
    let polled = task.running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let mut world = shared.world();
    match polled {
        Poll::Ready(done) => {
            world.judge.looks.remove(&number);
            Went::Done(done)
        }
        Poll::Pending => match world.reached.take() {
            None => Went::Stuck,
            Some(point) => at(&mut world, number, point),
        },
    }
}

fn at(world: &mut World, number: u64, point: Point) -> Went {
    let before = point.phase == Phase::Before;
    let place = || format!("{} {}", if before { "before" } else { "after" }, point.operation);
    if world.chance_of(|plan| plan.process.crash) {
        world.coverage.add("crash", place());
        world.judge.mishaps += 1;
        world.say(|| format!("dies {}", place()));
        world.judge.looks.remove(&number);
        return if world.chance.happens(0.15) { Went::MachineDied } else { Went::Died };
    }
    let mut wait = point.takes.unwrap_or_else(|| world.chance.wait());
    let lease = world.plan.lease();
    if world.chance_of(|plan| plan.process.pause) {
        world.coverage.add("stands still, shorter than its lease", place());
        wait += world.chance.within(1_000, lease * 3 / 4);
        world.judge.mishaps += 1;
    } else if world.chance_of(|plan| plan.process.stall) {
        world.coverage.add("stands still, longer than its lease", place());
        wait += world.chance.within(lease, lease * 4);
        world.judge.mishaps += 1;
    }
    if wait > 5_000 {
        world.say(|| format!("stands still for {} s {}", wait / 1_000, place()));
    }
    Went::On(wait.max(1))
}
