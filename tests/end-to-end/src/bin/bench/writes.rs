//! What signoff wrote, put together from its log: the adapter names each write with its keys, the pump shows each record of the store's stream, which has the
//! item before and after.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::Result;
use crate::units::{Change, Image, in_units, size};

/// What a process has to log for it.
pub(crate) const LOG: &str = "error,signoff::writes=trace,signoff::stream=trace";
const WRITES: &str = "signoff::writes: ";
const STREAM: &str = "signoff::stream: ";

/// A write: one item, or those of a transaction.
#[derive(Debug)]
pub(crate) struct Write {
    /// The kinds of its items (`STATE+EVT`) and what it is, in a few words.
    pub(crate) what: String,
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// Whether it is what a webhook costs at the door, which is up to who sends them.
    pub(crate) door: bool,
    /// What it costs.
    pub(crate) units: usize,
}

/// Where an item is: partition and place there.
type Key = (String, String);

/// The writes of a process that began with an empty store, but only those that it logged from this byte of its log on.
pub(crate) fn read(log: &str, from: usize) -> Result<Vec<Write>> {
    let mut records: BTreeMap<Key, VecDeque<Change>> = BTreeMap::new();
    let mut largest: BTreeMap<Key, usize> = BTreeMap::new();
    let mut told = Vec::new();
    let mut at = 0;
    for line in log.split_inclusive('\n') {
        if let Some((_, record)) = line.split_once(STREAM) {
            let record: Value = serde_json::from_str(record)?;
            let image = |name: &str| -> Option<Image> { record["dynamodb"][name].as_object().cloned() };
            let change = Change { before: image("OldImage"), after: image("NewImage") };
            let part = |name: &str| record["dynamodb"]["Keys"][name]["S"].as_str().unwrap_or_default().to_owned();
            let key = (part("pk"), part("sk"));
            for image in [&change.before, &change.after].into_iter().flatten() {
                let most = largest.entry(key.clone()).or_default();
                *most = size(image)?.max(*most);
            }
            records.entry(key).or_default().push_back(change);
        } else if let Some((_, write)) = line.split_once(WRITES) {
            told.push((at, serde_json::from_str::<Value>(write)?));
        }
        at += line.len();
    }
    let mut writes = Vec::new();
    for (at, write) in told {
        let keys: Vec<Key> = serde_json::from_value(write["keys"].clone())?;
        let kinds: Vec<&str> = keys.iter().map(|(_, sk)| sk.split('#').next().unwrap_or_default()).collect();
        let kinds = kinds.join("+");
        let transaction = write["what"] == "transaction";
        let (mut units, mut changes) = (0, Vec::new());
        for key in &keys {
            if write["done"] == true {
                let change = records.get_mut(key).and_then(VecDeque::pop_front);
                let change = change.ok_or_else(|| format!("the stream does not show the write of {key:?}"))?;
                units += change.units(transaction)?;
                changes.push(change);
            } else {
                // At most what the item ever weighed: it may have been lighter when the condition did not hold.
                let most = in_units(largest.get(key).copied().unwrap_or_default());
                units += if transaction { 2 * most } else { most };
            }
        }
        if at >= from {
            let (name, purpose) = purpose(&kinds, &changes)?;
            let door = kinds == "HOOK";
            writes.push(Write { what: format!("{kinds}: {name}"), purpose, door, units });
        }
    }
    match records.iter().find(|(_, left)| !left.is_empty()) {
        Some((key, _)) => Err(format!("the stream shows a write of {key:?} that nobody told of").into()),
        None => Ok(writes),
    }
}

/// What a write is and what it is for; an error for one that is not known.
fn purpose(kinds: &str, changes: &[Change]) -> Result<(String, &'static str)> {
    let Some(first) = changes.first() else {
        return Ok(("refused".to_owned(), "a condition that did not hold: somebody else was first"));
    };
    let unknown = || format!("a write that the bench does not know: {kinds}");
    if let Some(event) = changes.iter().find_map(|change| change.after.as_ref()?.get("event")?["S"].as_str()) {
        let event: Value = serde_json::from_str(event)?;
        let word = event["type"].as_str().and_then(|kind| kind.strip_prefix("signoff.request.")).ok_or_else(unknown)?;
        return Ok((word.to_owned(), step(word).ok_or_else(|| format!("{} of {word}", unknown()))?));
    }
    let has = |image: &Option<Image>, name: &str| image.as_ref().is_some_and(|image| image.contains_key(name));
    let appears = |name: &str| !has(&first.before, name) && has(&first.after, name);
    let goes = |name: &str| has(&first.before, name) && !has(&first.after, name);
    let moves = |name: &str| {
        let get = |image: &Option<Image>| image.as_ref().and_then(|image| image.get(name).cloned());
        get(&first.before) != get(&first.after)
    };
    let (name, purpose) = match kinds {
        "WORK" if appears("holder") => ("lease taken", "one look at a request at a time"),
        "WORK" if goes("holder") => ("lease given back", "what the look leaves, and when the next one is due"),
        "WORK" if appears("again") => ("look again", "whoever finds the lease taken says that there is more to see"),
        "WORK" if goes("again") => ("looking again", "the mark is taken off, and the holder looks once more"),
        "WORK" if appears("intent") => {
            ("intent", "before the deployment is created, so that a crash does not lead to two")
        }
        "WORK" if moves("note") => ("note", "before an open request is created, so that a crash leaves none behind"),
        "WORK" if moves("due") => ("claimed", "a sweep claims the right to ring"),
        "WORK" => ("lease confirmed", "right before an apply: the lease still holds, and nobody cancelled"),
        "LOCK" if appears("holder") => {
            ("taken", "open requests are created by one request at a time, so that a stray draft has an owner")
        }
        "LOCK" if goes("holder") => ("given back", "the next one may create its open requests"),
        "LOCK" => ("waiting", "who waits for the lock, or no longer does"),
        "LINE" => ("turn taken", "requests of a stack are applied and deployed one at a time"),
        "RING" => ("rung", "wakes the worker that is to look"),
        "CR" => ("pointer", "a webhook about the change request finds the request"),
        "HOOK" => ("delivery", "each delivery once, and the ring that it is"),
        "ONCE" => ("first", "what is done by one at a time: a sweep, or the answer to a delivery that points nowhere"),
        _ => return Err(unknown().into()),
    };
    Ok((name.to_owned(), purpose))
}

/// What the transaction of a step is for, by its event.
fn step(word: &str) -> Option<&'static str> {
    Some(match word {
        "requested" => "the request: its state, its first event, its work, its place in the stack's line",
        "opened" => "which open requests were created, and under which settings, before anybody sees them",
        "submitted" => "all are submitted, and how many approvals each ruleset asks for at that moment",
        "approval_seen" => "who approved, and whether they count",
        "approved" => "enough approvals that count, and whose",
        "applied" => "one of several is applied, with the approvals that were found afterwards; the others follow",
        "granted" => "all are applied, with the approvals that were found afterwards, and until when",
        "deploying" => "the deployment that was created",
        "succeeded" => "the end; the request leaves its stack's line",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"T TRACE signoff::stream: {"eventName":"MODIFY","dynamodb":{"Keys":{"pk":{"S":"P"},"sk":{"S":"WORK"}},"OldImage":{"pk":{"S":"P"},"sk":{"S":"WORK"}},"NewImage":{"pk":{"S":"P"},"sk":{"S":"WORK"},"holder":{"S":"me"}}}}
"#;
    const DONE: &str = "T TRACE signoff::writes: {\"what\":\"write\",\"keys\":[[\"P\",\"WORK\"]],\"done\":true}\n";
    const REFUSED: &str =
        "T TRACE signoff::writes: {\"what\":\"transaction\",\"keys\":[[\"P\",\"WORK\"]],\"done\":false}\n";

    fn seen(log: &str, from: usize) -> Vec<(String, usize)> {
        read(log, from).expect("a log that is whole").into_iter().map(|write| (write.what, write.units)).collect()
    }

    #[test]
    fn writes_are_matched_with_the_records_of_their_items() {
        let log = [RECORD, DONE, "T INFO something else\n", REFUSED].concat();
        let all = [("WORK: lease taken".to_owned(), 1), ("WORK: refused".to_owned(), 2)];
        assert_eq!(seen(&log, 0), all);
        assert_eq!(seen(&log, RECORD.len() + DONE.len()), all[1..], "what was written before is not counted");
    }

    #[test]
    fn what_does_not_add_up_is_an_error() {
        assert!(read(DONE, 0).is_err(), "a write without a record");
        assert!(read(RECORD, 0).is_err(), "a record without a write");
        let strange = [RECORD, DONE].concat().replace("WORK", "CAKE");
        assert!(read(&strange, 0).is_err(), "a write whose purpose nobody knows");
    }
}
