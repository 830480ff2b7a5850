//! The filters of the stream mappings: which records wake which worker. One file holds them, `functions/stream-filters.json`; the Pulumi program
//! gives it to AWS, and `signoff local` applies it here.

use serde_json::Value;
use signoff_core::request::Worker;

/// The filters, in the language of Lambda's event filtering.
const FILTERS: &str = include_str!("../../stream-filters.json");

/// The filters of one worker.
#[derive(Debug, Clone)]
pub struct Filters {
    patterns: Vec<Value>,
}

impl Filters {
    /// The filters of this worker.
    ///
    /// # Errors
    /// If the file does not hold them.
    pub fn of(worker: Worker) -> serde_json::Result<Self> {
        let all: Value = serde_json::from_str(FILTERS)?;
        let patterns = all.get(worker.as_str()).cloned().unwrap_or_default();
        Ok(Self { patterns: serde_json::from_value(patterns)? })
    }

    /// Whether a stream record, as Lambda would hand it over, passes one of the patterns.
    pub fn pass(&self, record: &Value) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, Some(record)))
    }
}

/// The part of the filter language that is used: objects of which every key has to match, and lists of which one item has to: a value that is the
/// same, or `{"exists": …}`.
fn matches(pattern: &Value, value: Option<&Value>) -> bool {
    match pattern {
        Value::Object(keys) => {
            keys.iter().all(|(key, pattern)| matches(pattern, value.and_then(|value| value.get(key))))
        }
        Value::Array(any) => any.iter().any(|one| match one.get("exists").and_then(Value::as_bool) {
            Some(exists) => value.is_some() == exists,
            None => value == Some(one),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_woken_by_what() {
        let (apply, deploy) = (Filters::of(Worker::Apply).unwrap(), Filters::of(Worker::Deploy).unwrap());
        let woken = |image: Value| {
            let record = json!({"eventName": "MODIFY", "dynamodb": {"NewImage": image}});
            (apply.pass(&record), deploy.pass(&record))
        };
        assert_eq!(woken(json!({"pk": {"S": "REQ#1"}, "wake": {"S": "apply"}})), (true, false));
        assert_eq!(woken(json!({"pk": {"S": "REQ#1"}, "wake": {"S": "deploy"}})), (false, true));
        assert_eq!(woken(json!({"for": {"S": "deploy"}, "ring": {"S": "x"}})), (false, true));
        assert_eq!(woken(json!({"delivery": {"S": "{}"}})), (true, false));
        assert_eq!(
            woken(json!({"pk": {"S": "REQ#1"}, "sk": {"S": "WORK"}})),
            (false, false),
            "bookkeeping wakes nobody"
        );
        let expired = json!({"eventName": "REMOVE", "dynamodb": {"OldImage": {"delivery": {"S": "{}"}}}});
        assert!(!apply.pass(&expired) && !deploy.pass(&expired), "an expiry wakes nobody");
    }
}
