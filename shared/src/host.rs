//! What the domain asks of the machine that it runs on.

use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

/// The time and fresh ids. An argument, so that a test can run a year in a second and any run can be repeated.
pub trait Host: Send + Sync {
    /// The wall clock, to whole milliseconds.
    fn now(&self) -> Timestamp;
    /// A clock that only goes forward, from an arbitrary beginning. Deadlines are measured on it.
    fn uptime(&self) -> Duration;
    /// An id that nobody else has, of the present time.
    fn ulid(&self) -> Ulid;
}
