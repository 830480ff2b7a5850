//! Where a task stands between two steps: the places at which others go on, time passes, and things go wrong.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::world::Shared;

/// Before or after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// It has not happened yet.
    Before,
    /// It has happened, and its answer is on the way.
    After,
}

/// A place between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The operation.
    pub operation: &'static str,
    /// Before or after it.
    pub phase: Phase,
    /// How long it takes from here, in milliseconds, where that is not left to chance.
    pub takes: Option<i64>,
}

/// Hands over to the scheduler once.
#[derive(Debug)]
pub struct Step {
    shared: Shared,
    point: Option<Point>,
}

impl Step {
    /// A step at this point.
    pub fn at(shared: &Shared, operation: &'static str, phase: Phase) -> Self {
        Self { shared: shared.clone(), point: Some(Point { operation, phase, takes: None }) }
    }

    /// A step that takes so many milliseconds.
    pub fn taking(shared: &Shared, operation: &'static str, phase: Phase, takes: i64) -> Self {
        Self { shared: shared.clone(), point: Some(Point { operation, phase, takes: Some(takes) }) }
    }
}

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.point.take() {
            Some(point) => {
                self.shared.world().reached = Some(point);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}
