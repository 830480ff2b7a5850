//! The machine that a function runs on: the only place that asks for the time and for randomness.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use signoff_core::host::Host;
use ulid::Ulid;

/// The real machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    began: Instant,
}

impl Machine {
    /// This machine, from now on.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else takes the time from")]
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for Machine {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else takes the time from")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    fn ulid(&self) -> Ulid {
        Ulid::generate()
    }
}
