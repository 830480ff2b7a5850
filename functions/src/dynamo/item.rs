//! Attributes in and out of items. What is not as it should be is [`LedgerError::Broken`], which names the item and the attribute, not its content.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use signoff_core::ledger::LedgerError;

use super::keys;

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// A text.
pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number.
pub(super) fn n(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A time, in milliseconds.
pub(super) fn ms(at: Timestamp) -> AttributeValue {
    n(at.as_millisecond())
}

/// A time, in seconds, as the table's TTL wants it.
pub(super) fn seconds(at: Timestamp) -> AttributeValue {
    n(at.as_second())
}

/// A set of one text.
pub(super) fn one(text: impl Into<String>) -> AttributeValue {
    AttributeValue::Ss(vec![text.into()])
}

/// Something as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<AttributeValue, LedgerError> {
    serde_json::to_string(value)
        .map(AttributeValue::S)
        .map_err(|_| LedgerError::Broken("something that can't be written as JSON".to_owned()))
}

/// That an attribute of this item is not what it should be.
pub(super) fn broken(item: &Item, what: impl std::fmt::Display) -> LedgerError {
    let part = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    LedgerError::Broken(format!("{} {}: {what}", part(keys::PK), part(keys::SK)))
}

/// A text that may be absent.
pub(super) fn maybe_text<'a>(item: &'a Item, name: &str) -> Result<Option<&'a str>, LedgerError> {
    match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text)),
        Some(_) => Err(broken(item, format_args!("{name} is no text"))),
    }
}

/// A text that has to be there.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str, LedgerError> {
    maybe_text(item, name)?.ok_or_else(|| broken(item, format_args!("{name} is missing")))
}

/// A text that parses, if it is there.
pub(super) fn maybe_parsed<T: std::str::FromStr>(item: &Item, name: &str) -> Result<Option<T>, LedgerError> {
    let parse = |text: &str| text.parse().map_err(|_| broken(item, format_args!("{name} is not what it should be")));
    maybe_text(item, name)?.map(parse).transpose()
}

/// A text that has to be there, and to parse.
pub(super) fn parsed<T: std::str::FromStr>(item: &Item, name: &str) -> Result<T, LedgerError> {
    maybe_parsed(item, name)?.ok_or_else(|| broken(item, format_args!("{name} is missing")))
}

/// A number that may be absent.
pub(super) fn maybe_number<T: std::str::FromStr>(item: &Item, name: &str) -> Result<Option<T>, LedgerError> {
    let wrong = || broken(item, format_args!("{name} is no number that can stand there"));
    match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}

/// A number that has to be there.
pub(super) fn number<T: std::str::FromStr>(item: &Item, name: &str) -> Result<T, LedgerError> {
    maybe_number(item, name)?.ok_or_else(|| broken(item, format_args!("{name} is missing")))
}

/// A time in milliseconds that may be absent.
pub(super) fn maybe_time(item: &Item, name: &str) -> Result<Option<Timestamp>, LedgerError> {
    let time = |at| Timestamp::from_millisecond(at).map_err(|_| broken(item, format_args!("{name} is no time")));
    maybe_number(item, name)?.map(time).transpose()
}

/// What a JSON text says, if it is there.
pub(super) fn maybe_json<T: DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>, LedgerError> {
    maybe_text(item, name)?.map(|text| read(item, name, text)).transpose()
}

/// What a JSON text says that has to be there.
pub(super) fn from_json<T: DeserializeOwned>(item: &Item, name: &str) -> Result<T, LedgerError> {
    read(item, name, text(item, name)?)
}

/// What this text of the item says.
pub(super) fn read<T: DeserializeOwned>(item: &Item, name: &str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        broken(item, format_args!("{name} is not what it should be (line {line}, column {column})"))
    })
}
