//! What a function writes: its log and its metrics.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it has to be")]

mod flows;
mod logs;
mod metrics;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use signoff_core::host::Host;
use signoff_functions::logs::{Lines, subscriber};
use signoff_functions::metrics::Namespace;

/// A clock that stands still.
struct Still;

impl Host for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(1_795_435_200_123).unwrap()
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn ulid(&self) -> ulid::Ulid {
        ulid::Ulid::nil()
    }
}

/// Lines that are kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Lines for Kept {
    fn write(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Kept {
    /// The documents, each on one line.
    fn documents(&self) -> Vec<Value> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .map(|line| {
                assert!(!line.contains('\n'), "{line}");
                serde_json::from_str(line).unwrap()
            })
            .collect()
    }
}

/// What is written under this filter while `work` is done.
fn written(filter: &str, work: impl FnOnce()) -> Kept {
    let kept = Kept::default();
    let subscriber = subscriber(filter, Namespace::default(), Arc::new(Still), kept.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    kept
}
