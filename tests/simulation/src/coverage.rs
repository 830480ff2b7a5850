//! What was tried, and how often.

use std::collections::BTreeMap;

/// Counts by kind and place.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<(&'static str, String), u64>);

impl Coverage {
    /// Counts one more.
    pub fn add(&mut self, kind: &'static str, what: impl Into<String>) {
        *self.0.entry((kind, what.into())).or_default() += 1;
    }

    /// Adds how often each rule was checked.
    pub fn checked(&mut self, rules: &[(&'static str, u64)]) {
        for (rule, count) in rules {
            *self.0.entry(("rule", (*rule).to_owned())).or_default() += count;
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: Self) {
        for (key, count) in other.0 {
            *self.0.entry(key).or_default() += count;
        }
    }

    /// How often something of this kind and name was seen.
    pub fn count(&self, kind: &str, what: &str) -> u64 {
        self.0.iter().filter(|((of, name), _)| *of == kind && name == what).map(|(_, count)| count).sum()
    }

    /// How often something of this kind was seen.
    pub fn of_kind(&self, kind: &str) -> u64 {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum()
    }

    /// All of it as lines, kind by kind.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = "";
        for ((kind, what), count) in &self.0 {
            if *kind != last {
                lines.push(format!("{kind}:"));
                last = kind;
            }
            lines.push(format!("  {count:>10}  {what}"));
        }
        lines
    }
}
