//! The few operations of DynamoDB that the adapter uses, with its errors in the ledger's words.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use serde_json::json;
use signoff_core::ledger::LedgerError;

use super::Dynamo;
use super::item::{Item, s};
use super::keys::{self, Key};

/// How long to wait before trying again when an item is in somebody's transaction, or the store left something out. Handlers have no time to
/// wait, so that the sum is small; the length is the number of attempts after the first.
const PAUSES: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(10), Duration::from_millis(25)];
/// The most keys that one batch may ask for (DynamoDB's limit).
const MAX_BATCH: usize = 100;

/// A write of one item, alone or in a transaction. In expressions, attributes are `#name` and values `:name`.
#[derive(Debug, Clone)]
pub(super) struct Write {
    key: Key,
    kind: Kind,
    condition: Option<String>,
    values: Item,
}

#[derive(Debug, Clone)]
enum Kind {
    Put(Item),
    Update(String),
}

/// What came of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// Done. For an update: the item as it is now.
    Done(Item),
    /// The condition did not hold. The item as it was, if there was one.
    Refused(Option<Item>),
}

/// What came of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// Done.
    Done,
    /// Nothing was written. For each write, whether its condition held not.
    Refused(Vec<bool>),
    /// Nothing was written: items were in other transactions, again and again.
    Contended,
}

impl Write {
    /// Writes the whole item.
    pub(super) fn put<'a>(key: Key, attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> Self {
        let mut item: Item = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        item.extend(key_of(&key));
        Self { key, kind: Kind::Put(item), condition: None, values: Item::new() }
    }

    /// Changes the item, and makes it if it is not there.
    pub(super) fn update(key: Key, expression: impl Into<String>) -> Self {
        Self { key, kind: Kind::Update(expression.into()), condition: None, values: Item::new() }
    }

    /// Only if this holds.
    pub(super) fn when(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// What `:name` stands for.
    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        let update = if let Kind::Update(expression) = &self.kind { expression } else { "" };
        names(&[update, self.condition.as_deref().unwrap_or_default()])
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    fn in_transaction(&self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match &self.kind {
            Kind::Put(whole) => item.put(
                Put::builder()
                    .table_name(table)
                    .set_item(Some(whole.clone()))
                    .set_condition_expression(self.condition.clone())
                    .set_expression_attribute_names(self.names())
                    .set_expression_attribute_values(self.values())
                    .build()?,
            ),
            Kind::Update(expression) => item.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key_of(&self.key)))
                    .update_expression(expression)
                    .set_condition_expression(self.condition.clone())
                    .set_expression_attribute_names(self.names())
                    .set_expression_attribute_values(self.values())
                    .build()?,
            ),
        }
        .build())
    }
}

/// A question to the table or one of its indexes.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// The index; without one the table itself is asked, consistently.
    pub(super) index: Option<&'static str>,
    /// The condition on the keys.
    pub(super) condition: &'static str,
    /// What its `:name`s stand for.
    pub(super) values: Vec<(&'static str, AttributeValue)>,
    /// From the end to the beginning.
    pub(super) backward: bool,
    /// The most items that are wanted.
    pub(super) limit: Option<usize>,
    /// The item after which to begin.
    pub(super) after: Option<Item>,
}

impl Dynamo {
    /// Writes one item.
    pub(super) async fn write(&self, write: &Write) -> Result<Written, LedgerError> {
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            if let Some(written) = self.try_to_write(write).await? {
                return Ok(written);
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        Err(LedgerError::Unavailable("an item is in one transaction after the other".to_owned()))
    }

    /// `None`: the item is in somebody's transaction.
    async fn try_to_write(&self, write: &Write) -> Result<Option<Written>, LedgerError> {
        let _place = self.place().await;
        let done = |item| {
            told("write", &[write], true);
            Ok(Some(Written::Done(item)))
        };
        let refused = |item| {
            told("write", &[write], false);
            Ok(Some(Written::Refused(item)))
        };
        let request = match &write.kind {
            Kind::Put(item) => {
                let request = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
                let sent = request
                    .set_condition_expression(write.condition.clone())
                    .set_expression_attribute_names(write.names())
                    .set_expression_attribute_values(write.values())
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                    .send()
                    .await;
                return match sent {
                    Ok(_) => done(item.clone()),
                    Err(error) => match error.as_service_error() {
                        Some(PutItemError::ConditionalCheckFailedException(why)) => refused(why.item().cloned()),
                        Some(PutItemError::TransactionConflictException(_)) => Ok(None),
                        _ => Err(failed(&error)),
                    },
                };
            }
            Kind::Update(expression) => self.client.update_item().update_expression(expression),
        };
        let sent = request
            .table_name(&self.table)
            .set_key(Some(key_of(&write.key)))
            .set_condition_expression(write.condition.clone())
            .set_expression_attribute_names(write.names())
            .set_expression_attribute_values(write.values())
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(answer) => done(answer.attributes.unwrap_or_default()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(why)) => refused(why.item().cloned()),
                Some(UpdateItemError::TransactionConflictException(_)) => Ok(None),
                _ => Err(failed(&error)),
            },
        }
    }

    /// Writes all of these or none.
    pub(super) async fn transact(&self, writes: &[Write]) -> Result<Transacted, LedgerError> {
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            match self.try_to_transact(writes).await? {
                Transacted::Contended => {}
                other => return Ok(other),
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(Transacted::Contended)
    }

    async fn try_to_transact(&self, writes: &[Write]) -> Result<Transacted, LedgerError> {
        let items: Result<Vec<_>, _> = writes.iter().map(|write| write.in_transaction(&self.table)).collect();
        let all: Vec<&Write> = writes.iter().collect();
        let request = self.client.transact_write_items().set_transact_items(Some(items.map_err(unbuilt)?));
        let _place = self.place().await;
        let error = match request.send().await {
            Ok(_) => {
                told("transaction", &all, true);
                return Ok(Transacted::Done);
            }
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(why)) = error.as_service_error() else {
            return Err(failed(&error));
        };
        let codes: Vec<&str> =
            why.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
        told("transaction", &all, false);
        if codes.contains(&"ConditionalCheckFailed") {
            return Ok(Transacted::Refused(codes.iter().map(|code| *code == "ConditionalCheckFailed").collect()));
        }
        match codes.iter().find(|code| !matches!(**code, "None" | "TransactionConflict")) {
            Some(code) => Err(LedgerError::Unavailable(format!("a transaction was cancelled: {code}"))),
            None => Ok(Transacted::Contended),
        }
    }

    /// Reads one item, consistently.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Item>, LedgerError> {
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key_of(key))).consistent_read(true);
        let _place = self.place().await;
        Ok(request.send().await.map_err(|error| failed(&error))?.item)
    }

    /// Reads many items, each consistently. Those that are not there are left out.
    pub(super) async fn get_all(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, LedgerError> {
        let mut found = HashMap::new();
        for batch in keys.chunks(MAX_BATCH) {
            let mut wanted = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_keys(Some(batch.iter().map(key_of).collect()))
                .build()
                .map_err(unbuilt)?;
            let mut pauses = PAUSES.into_iter();
            loop {
                let request = self.client.batch_get_item().request_items(&self.table, wanted);
                let place = self.place().await;
                let answer = request.send().await.map_err(|error| failed(&error))?;
                drop(place);
                for item in answer.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                    found.insert(key_in(&item)?, item);
                }
                let left = answer.unprocessed_keys.into_iter().flat_map(HashMap::into_values).next();
                let Some(left) = left.filter(|left| !left.keys().is_empty()) else { break };
                let Some(pause) = pauses.next() else {
                    return Err(LedgerError::Unavailable("the store leaves out items of a batch".to_owned()));
                };
                tokio::time::sleep(pause).await;
                wanted = left;
            }
        }
        Ok(found)
    }

    /// Reads what a question finds: page after page, until the limit or the end.
    pub(super) async fn query(&self, question: Question) -> Result<Vec<Item>, LedgerError> {
        let mut found = Vec::new();
        let mut after = question.after;
        let values: Item = question.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        loop {
            let left = question.limit.map(|limit| limit.saturating_sub(found.len()));
            if left == Some(0) {
                return Ok(found);
            }
            let _place = self.place().await;
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .set_index_name(question.index.map(str::to_owned))
                .consistent_read(question.index.is_none())
                .key_condition_expression(question.condition)
                .set_expression_attribute_names(names(&[question.condition]))
                .set_expression_attribute_values(Some(values.clone()))
                .scan_index_forward(!question.backward)
                .set_limit(left.map(|left| i32::try_from(left).unwrap_or(i32::MAX)))
                .set_exclusive_start_key(after.take())
                .send()
                .await
                .map_err(|error| failed(&error))?;
            found.extend(answer.items.unwrap_or_default());
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Says in the log which items were written, or were to be, at the target `signoff::writes`: with the stream's records, which have the items as they were
/// before and after, that is all that it takes to count what writing costs.
fn told(what: &str, writes: &[&Write], done: bool) {
    if tracing::enabled!(target: "signoff::writes", tracing::Level::TRACE) {
        let keys: Vec<_> = writes.iter().map(|write| [&write.key.pk, &write.key.sk]).collect();
        tracing::trace!(target: "signoff::writes", "{}", json!({"what": what, "keys": keys, "done": done}));
    }
}

/// The key as attributes.
pub(super) fn key_of(key: &Key) -> Item {
    Item::from([(keys::PK.to_owned(), s(&key.pk)), (keys::SK.to_owned(), s(&key.sk))])
}

/// The key of an item that was read.
pub(super) fn key_in(item: &Item) -> Result<Key, LedgerError> {
    let part = |name| super::item::text(item, name).map(str::to_owned);
    Ok(Key { pk: part(keys::PK)?, sk: part(keys::SK)? })
}

/// What each `#name` in the expressions stands for: itself. (Many plain names are reserved words.)
fn names(expressions: &[&str]) -> Option<HashMap<String, String>> {
    let mut names = HashMap::new();
    for expression in expressions {
        for piece in expression.split('#').skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
            names.insert(format!("#{}", &piece[..end]), piece[..end].to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}

/// A request that can't be put together.
pub(super) fn unbuilt(_: BuildError) -> LedgerError {
    LedgerError::Unavailable("a request to the store could not be put together".to_owned())
}

/// An error of the SDK in the ledger's words: the code that the store gave, never its message, which can quote what was written.
pub(super) fn failed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> LedgerError {
    LedgerError::Unavailable(match error {
        SdkError::ConstructionFailure(_) => "a request could not be put together".to_owned(),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ResponseError(_) => "an answer that can't be read".to_owned(),
        SdkError::ServiceError(said) => said.err().code().unwrap_or("an error without a code").to_owned(),
        _ => "an unknown failure".to_owned(),
    })
}
