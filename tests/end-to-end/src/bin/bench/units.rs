//! DynamoDB write units, counted from the operations and the items' sizes by AWS's published rules.
//!
//! An item weighs the bytes of its attributes' names and values. A write costs a unit for each KB, begun or full, of the larger of the item before and after
//! it, and twice that in a transaction. An index entry that appears or goes costs a unit for each KB of its own, one that moves to another key
//! costs going and appearing, one that stays as it is costs nothing; a transaction doubles none of these. A write whose condition does not hold costs as much as
//! the item would.

use serde_json::{Map, Value};
use signoff_functions::dynamo::keys;

use crate::Result;

/// An item, its values typed as DynamoDB types them: `{"v": {"N": "3"}}`.
pub(crate) type Image = Map<String, Value>;

/// The bytes of a unit.
const UNIT: usize = 1024;
/// What a list or a map weighs beside its elements, and what each element adds.
const OVERHEAD: usize = 3;
const ELEMENT: usize = 1;
/// Partition and sort key of each index. All have keys only: what is in an entry is its own key and the item's.
const INDEXES: [[&str; 2]; 3] = [[keys::ORGANIZATION, keys::ID], [keys::DAY, keys::AT], [keys::SHARD, keys::DUE]];

/// What a write makes of one item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) before: Option<Image>,
    pub(crate) after: Option<Image>,
}

impl Change {
    /// The write units that it costs.
    pub(crate) fn units(&self, transaction: bool) -> Result<usize> {
        let weigh = |image: &Option<Image>| image.as_ref().map_or(Ok(0), size);
        let table = in_units(weigh(&self.before)?.max(weigh(&self.after)?));
        let mut units = if transaction { 2 * table } else { table };
        for index in INDEXES {
            let entry = |image: &Option<Image>| image.as_ref().and_then(|image| entry(image, index));
            let (before, after) = (entry(&self.before), entry(&self.after));
            if before != after {
                for entry in [before, after].iter().flatten() {
                    units += in_units(size(entry)?);
                }
            }
        }
        Ok(units)
    }
}

/// What so many bytes cost; even nothing costs one.
pub(crate) fn in_units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).max(1)
}

/// What an item weighs, in bytes.
pub(crate) fn size(image: &Image) -> Result<usize> {
    image.iter().map(|(name, value)| Ok(name.len() + weight(value)?)).sum()
}

/// An item's entry in an index, if it has one.
fn entry(image: &Image, [partition, sort]: [&str; 2]) -> Option<Image> {
    let part = |name: &str| Some((name.to_owned(), image.get(name)?.clone()));
    Some(Image::from_iter([part(keys::PK)?, part(keys::SK)?, part(partition)?, part(sort)?]))
}

fn weight(value: &Value) -> Result<usize> {
    let unknown = || format!("a value of a type that is not weighed: {value}");
    let mut typed = value.as_object().ok_or_else(unknown)?.iter();
    let (Some((kind, value)), None) = (typed.next(), typed.next()) else { return Err(unknown().into()) };
    let text = || value.as_str().ok_or_else(unknown);
    let list = || value.as_array().ok_or_else(unknown);
    Ok(match kind.as_str() {
        "S" => text()?.len(),
        "N" => number(text()?),
        "BOOL" | "NULL" => 1,
        "SS" => list()?.iter().filter_map(Value::as_str).map(str::len).sum(),
        "NS" => list()?.iter().filter_map(Value::as_str).map(number).sum(),
        "L" => OVERHEAD + list()?.iter().map(|one| Ok(ELEMENT + weight(one)?)).sum::<Result<usize>>()?,
        "M" => {
            let map = value.as_object().ok_or_else(unknown)?;
            OVERHEAD + size(map)? + ELEMENT * map.len()
        }
        _ => return Err(unknown().into()),
    })
}

/// One byte for two significant digits, and one; a sign takes another. Zeros at either end don't count.
fn number(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len().div_ceil(2) + 1 + usize::from(text.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(value: Value) -> Image {
        value.as_object().expect("an object").clone()
    }

    fn units(before: Option<&Image>, after: Option<&Image>, transaction: bool) -> usize {
        Change { before: before.cloned(), after: after.cloned() }.units(transaction).expect("countable")
    }

    /// pk 2 + 9, sk 2 + 4: 17 bytes of key; the rest is up to each test.
    fn item(rest: Value) -> Image {
        let mut all = image(json!({"pk": {"S": "REQ#req_1"}, "sk": {"S": "WORK"}}));
        all.extend(image(rest));
        all
    }

    #[test]
    fn an_item_weighs_its_names_and_values() {
        let weigh = |rest| size(&item(rest)).expect("weighable") - 17;
        assert_eq!(weigh(json!({})), 0);
        assert_eq!(weigh(json!({"note": {"S": "für"}})), 4 + 4, "bytes, not characters");
        assert_eq!(weigh(json!({"v": {"N": "7"}})), 1 + 2);
        assert_eq!(weigh(json!({"due": {"N": "1795470000000"}})), 3 + 4, "179547 is significant");
        assert_eq!(weigh(json!({"v": {"N": "-0.0250"}})), 1 + 3);
        assert_eq!(weigh(json!({"v": {"N": "0"}})), 1 + 1);
        assert_eq!(weigh(json!({"again": {"BOOL": true}})), 5 + 1);
        assert_eq!(weigh(json!({"waiting": {"SS": ["req_1", "req_22"]}})), 7 + 11);
        assert_eq!(weigh(json!({"waiting": {"L": [{"S": "abc"}, {"N": "12"}]}})), 7 + 3 + (1 + 3) + (1 + 2));
        assert_eq!(weigh(json!({"m": {"M": {"ab": {"S": "cd"}}}})), 1 + 3 + (1 + 2 + 2));
        assert!(size(&item(json!({"b": {"B": "AA=="}}))).is_err(), "what signoff never writes is not guessed");
    }

    #[test]
    fn a_write_costs_the_larger_of_before_and_after_and_twice_in_a_transaction() {
        let weighing = |bytes: usize| item(json!({"note": {"S": "x".repeat(bytes - 21)}}));
        let (one, two) = (weighing(1024), weighing(1025));
        assert_eq!((size(&one).unwrap_or(0), size(&two).unwrap_or(0)), (1024, 1025));
        assert_eq!(units(None, Some(&one), false), 1);
        assert_eq!(units(None, Some(&two), false), 2);
        assert_eq!(units(Some(&two), Some(&one), false), 2, "it was larger before");
        assert_eq!(units(Some(&one), Some(&one), false), 1, "what changes nothing is paid for too");
        assert_eq!(units(Some(&one), Some(&two), true), 4);
        assert_eq!(units(Some(&two), None, true), 4);
    }

    #[test]
    fn an_index_entry_costs_when_it_appears_goes_or_moves() {
        let free = item(json!({}));
        let due = item(json!({"shard": {"S": "1"}, "due": {"N": "5"}}));
        let noted = item(json!({"shard": {"S": "1"}, "due": {"N": "5"}, "note": {"S": "{}"}}));
        let later = item(json!({"shard": {"S": "1"}, "due": {"N": "6"}}));
        let half = item(json!({"shard": {"S": "1"}}));
        assert_eq!(units(None, Some(&free), false), 1);
        assert_eq!(units(None, Some(&half), false), 1, "half a key is no entry");
        assert_eq!(units(None, Some(&due), false), 1 + 1);
        assert_eq!(units(Some(&due), Some(&noted), false), 1, "the entry stays as it is");
        assert_eq!(units(Some(&due), Some(&later), false), 1 + 2, "one goes, one appears");
        assert_eq!(units(Some(&due), Some(&free), false), 1 + 1);
        assert_eq!(units(Some(&due), Some(&later), true), 2 + 2, "only the item itself is doubled");
    }

    /// What recording a request costs, by hand: four items below 1 KB but the event of 1.5 KB, in one transaction, with three entries.
    #[test]
    fn a_request_that_is_recorded_costs_thirteen() {
        let state =
            image(json!({"pk": {"S": "REQ#req_1"}, "sk": {"S": "STATE"}, "v": {"N": "1"}, "status": {"S": "{}"},
            "org": {"S": "acme"}, "id": {"S": "req_1"}}));
        let event =
            image(json!({"pk": {"S": "REQ#req_1"}, "sk": {"S": "EVT#0000000001"}, "event": {"S": "e".repeat(1500)},
            "day": {"S": "acme#2026-11-23"}, "at": {"S": "2026-11-23T20:36:49.000Z#01M8"}}));
        let work = item(json!({"shard": {"S": "1"}, "due": {"N": "5"}}));
        let line = image(json!({"pk": {"S": "STACK#acme/web/prod"}, "sk": {"S": "LINE"}, "next": {"N": "1"}}));
        let all = [state, event, work, line];
        let sum: usize = all.iter().map(|one| units(None, Some(one), true)).sum();
        assert_eq!(sum, (2 + 1) + (4 + 1) + (2 + 1) + 2);
    }
}
