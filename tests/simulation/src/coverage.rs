//! What was tried, and how often.

use std::collections::BTreeMap;

/// What has to come up when many seeds are played: lines of a kind, a colon, and what.
const EXPECTED: &str = include_str!("expected.txt");
/// In how many seeds all of that comes up without fail: `expected.txt` has what came up in fifteen or more of 5,000.
pub const RELIABLE_SEEDS: u64 = 10_000;

/// Counts by kind and place.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<(&'static str, String), Count>);

/// How often something was tried.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    times: u64,
    /// In how many of the seeds that were added.
    seeds: u64,
}

impl Coverage {
    /// Counts one more.
    pub fn add(&mut self, kind: &'static str, what: impl Into<String>) {
        self.0.entry((kind, what.into())).or_default().times += 1;
    }

    /// Adds how often each rule was checked.
    pub fn checked(&mut self, rules: &[(&'static str, u64)]) {
        for (rule, count) in rules {
            self.0.entry(("rule", (*rule).to_owned())).or_default().times += count;
        }
    }

    /// Adds what a seed counted.
    pub fn merge(&mut self, seed: Self) {
        for (key, count) in seed.0 {
            let sum = self.0.entry(key).or_default();
            (sum.times, sum.seeds) = (sum.times + count.times, sum.seeds + 1);
        }
    }

    /// What is expected and never came up.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let expected = EXPECTED.lines().filter_map(|line| line.split_once(": "));
        expected.filter(|(kind, what)| self.count(kind, what) == 0).collect()
    }

    /// Counts what is expected and never came up as 0, so that it shows.
    pub fn name_missing(&mut self) {
        for (kind, what) in self.missing() {
            self.0.entry((kind, what.to_owned())).or_default();
        }
    }

    /// How often something of this kind and name was seen.
    pub fn count(&self, kind: &str, what: &str) -> u64 {
        self.0.iter().filter(|((of, name), _)| *of == kind && name == what).map(|(_, count)| count.times).sum()
    }

    /// How often something of this kind was seen.
    pub fn of_kind(&self, kind: &str) -> u64 {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count.times).sum()
    }

    /// All of it as lines, kind by kind: how often, and in how many seeds.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = "";
        for ((kind, what), count) in &self.0 {
            if *kind != last {
                lines.push(format!("{kind}:"));
                last = kind;
            }
            lines.push(format!("  {:>10} {:>8}  {what}", count.times, count.seeds));
        }
        lines
    }
}
