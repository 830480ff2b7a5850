//! A machine whose time is moved by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use crate::host::Host;

/// The time, and ids that count.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<(Timestamp, Duration, u128)>>);

impl Clock {
    /// A clock that stands at this time.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new((now, Duration::ZERO, 0))))
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, by: SignedDuration) {
        let mut state = self.0.lock().unwrap();
        state.0 += by;
        state.1 += Duration::try_from(by).unwrap();
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn uptime(&self) -> Duration {
        self.0.lock().unwrap().1
    }

    fn ulid(&self) -> Ulid {
        let mut state = self.0.lock().unwrap();
        state.2 += 1;
        Ulid::from_parts(u64::try_from(state.0.as_millisecond()).unwrap(), state.2)
    }
}
