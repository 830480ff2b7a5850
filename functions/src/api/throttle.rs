//! What keeps callers from wearing out Pulumi Cloud: answers kept for a while, and a budget for the unknown.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many answers a cache keeps.
const MAX_ENTRIES: usize = 10_000;

/// Answers that are kept for a while. The oldest goes when there is no room.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    keep: Duration,
    inner: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    known: HashMap<K, (Duration, V)>,
    order: VecDeque<(Duration, K)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache that keeps an answer this long.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, inner: Mutex::new(Entries { known: HashMap::new(), order: VecDeque::new() }) }
    }

    /// The answer, and how old it is at `now`.
    pub(super) fn get(&self, key: &K, now: Duration) -> Option<(Duration, V)> {
        let entries = lock(&self.inner);
        let (since, value) = entries.known.get(key)?;
        let age = now.saturating_sub(*since);
        (age < self.keep).then(|| (age, value.clone()))
    }

    /// Keeps an answer that was given at `now`.
    pub(super) fn put(&self, key: K, value: V, now: Duration) {
        let mut entries = lock(&self.inner);
        entries.known.insert(key.clone(), (now, value));
        entries.order.push_back((now, key));
        while let Some((since, _)) = entries.order.front() {
            let is_old = now.saturating_sub(*since) >= self.keep;
            if !is_old && entries.order.len() <= MAX_ENTRIES {
                break;
            }
            // Every `put` queued its own line, so an answer that was renewed has a later one: only the latest takes it away.
            if let Some((since, key)) = entries.order.pop_front()
                && entries.known.get(&key).is_some_and(|(latest, _)| *latest == since)
            {
                entries.known.remove(&key);
            }
        }
    }
}

/// A number of things that may be done at once, which fills up again at a steady rate.
#[derive(Debug)]
pub(super) struct Budget {
    burst: f64,
    per_second: f64,
    inner: Mutex<(f64, Duration)>,
}

impl Budget {
    /// A full budget.
    pub(super) fn new(burst: u32, per_second: u32, now: Duration) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_second: f64::from(per_second), inner: Mutex::new((burst, now)) }
    }

    /// Takes one of it, if there is one.
    pub(super) fn take(&self, now: Duration) -> bool {
        let mut inner = lock(&self.inner);
        let (left, since) = *inner;
        let left = (left + now.saturating_sub(since).as_secs_f64() * self.per_second).min(self.burst);
        let taken = left >= 1.0;
        *inner = (if taken { left - 1.0 } else { left }, now.max(since));
        taken
    }
}

/// What is kept here is whole after every statement, so that a panic elsewhere leaves nothing to fear.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_their_time_and_renewed() {
        let cache = Cache::new(Duration::from_secs(60));
        cache.put("a", 1, Duration::ZERO);
        assert_eq!(cache.get(&"a", Duration::from_secs(59)), Some((Duration::from_secs(59), 1)));
        assert_eq!(cache.get(&"a", Duration::from_secs(60)), None);
        cache.put("a", 2, Duration::from_secs(30));
        cache.put("b", 3, Duration::from_secs(61));
        assert_eq!(cache.get(&"a", Duration::from_secs(61)), Some((Duration::from_secs(31), 2)));
    }

    #[test]
    fn the_oldest_answer_makes_room() {
        let cache = Cache::new(Duration::from_secs(60));
        for n in 0..=MAX_ENTRIES {
            cache.put(n, (), Duration::ZERO);
        }
        assert!(cache.get(&0, Duration::ZERO).is_none() && cache.get(&1, Duration::ZERO).is_some());
        assert_eq!(lock(&cache.inner).known.len(), MAX_ENTRIES);
    }

    #[test]
    fn a_budget_fills_up_again() {
        let budget = Budget::new(2, 4, Duration::ZERO);
        let at = Duration::from_millis;
        assert!(budget.take(at(0)) && budget.take(at(0)) && !budget.take(at(0)));
        assert!(!budget.take(at(200)) && budget.take(at(250)) && !budget.take(at(250)));
        assert!(budget.take(at(9_000)) && budget.take(at(9_000)) && !budget.take(at(9_000)), "no more than the burst");
    }
}
