//! How much writing costs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// What writes of one kind cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Units {
    /// Writes that were carried out; a transaction counts once.
    pub writes: u64,
    /// The write units that the store reported for them, index writes included.
    pub units: f64,
    /// Writes that a condition refused. A store reports no units for these.
    pub refused: u64,
    /// The least that those cost at AWS: one unit, or two for each item of a transaction. Items of more than 1 KB cost more.
    pub refused_units: f64,
}

/// Counts write units by kind: the kind of a write is the item's sort key (`WORK`), that of a transaction those of its items (`STATE+EVT`).
///
/// The numbers are those that the store reports with each write (`ReturnConsumedCapacity`): at AWS what is billed; in the embedded store the
/// same rules (units of 1 KB of the larger of old and new item, twice that in a transaction; one more for each index entry that changes, two when
/// its key does), captured from AWS.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<Mutex<BTreeMap<String, Units>>>);

impl Counter {
    /// What was counted so far.
    pub(super) fn read(&self) -> BTreeMap<String, Units> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A write that was carried out.
    pub(super) fn done<'a>(&self, kind: String, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
        self.add(kind, |sum| {
            sum.writes += 1;
            sum.units += units;
        });
    }

    /// A write that was refused, and costs this at least.
    pub(super) fn refused(&self, kind: String, units: f64) {
        self.add(kind, |sum| {
            sum.refused += 1;
            sum.refused_units += units;
        });
    }

    fn add(&self, kind: String, change: impl FnOnce(&mut Units)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default());
    }
}
