//! The machine that a worker runs on: its clock is a little off.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use signoff_core::host::Host;
use ulid::Ulid;

use crate::world::{BEGINNING, Shared};

/// A machine.
#[derive(Debug, Clone)]
pub struct SimHost {
    shared: Shared,
    /// By how much its clock is ahead, in milliseconds.
    skew: i64,
}

impl SimHost {
    /// A machine whose clock is ahead by so many milliseconds.
    pub fn new(shared: &Shared, skew: i64) -> Self {
        Self { shared: shared.clone(), skew }
    }
}

impl Host for SimHost {
    fn now(&self) -> Timestamp {
        let now = self.shared.world().now;
        now.saturating_add(SignedDuration::from_millis(self.skew)).unwrap_or(now)
    }

    fn uptime(&self) -> Duration {
        let since = self.shared.world().now.as_millisecond() - BEGINNING;
        Duration::from_millis(u64::try_from(since).unwrap_or(0).saturating_add(1_000_000))
    }

    fn ulid(&self) -> Ulid {
        let now = self.now().as_millisecond();
        let mut world = self.shared.world();
        let (high, low) = (u128::from(world.chance.draw() & 0xFFFF), u128::from(world.chance.draw()));
        Ulid::from_parts(u64::try_from(now).unwrap_or(0), (high << 64) | low)
    }
}
