//! The stream, pumped from the store to the workers as Lambda's mappings do it: through the same filters, in batches, with partial failures.
//!
//! Records are trimmed when they are handed over, not when they are worked on: what a crash leaves undone is due at the next start, since then every
//! open request is.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use dynoxide::Database;
use dynoxide::actions::get_records::{GetRecordsRequest, GetRecordsResponse};
use serde_json::{Value, json};
use signoff_core::request::Worker;
use signoff_functions::stream::filter::Filters;
use signoff_functions::stream::{Pushes, handle};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::store::{Store, TABLE};
use super::{Keeper, failed};
use crate::failure::Failure;

/// The most records that are read at once.
const READ: usize = 200;
/// The most records of a batch. Small, so that a slow one holds few others up.
const BATCH: usize = 4;
/// How many batches are worked on at once.
const AT_ONCE: usize = 32;
/// How often a failing record is tried.
const TRIES: u32 = 8;
/// How long the stream is left alone while nobody says that something was written. Only a write from outside this process takes so long to be seen.
const IDLE: Duration = Duration::from_millis(250);
/// After how many records they are trimmed, at the latest: the store scans them on every write.
const TRIM_EVERY: usize = 100;

/// The stream and its two consumers.
pub(super) struct Pump {
    store: Store,
    database: Database,
    iterator: String,
    keeper: Arc<Keeper>,
    pushes: Option<Arc<dyn Pushes>>,
    written: Arc<Notify>,
    filters: [(Worker, Filters); 2],
    at_once: Arc<Semaphore>,
    untrimmed: usize,
}

impl Pump {
    /// Begins with the oldest record that is there.
    pub(super) fn new(
        store: &Store,
        keeper: Arc<Keeper>,
        pushes: Option<Arc<dyn Pushes>>,
        written: Arc<Notify>,
    ) -> Result<Self, Failure> {
        let database = store.database();
        let iterator =
            oldest(&database).map_err(|error| failed(format!("the store's stream can't be read: {error}")))?;
        let filters = |worker| Filters::of(worker).map_err(|error| failed(format!("the stream's filters: {error}")));
        let filters = [(Worker::Apply, filters(Worker::Apply)?), (Worker::Deploy, filters(Worker::Deploy)?)];
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { store: store.clone(), database, iterator, keeper, pushes, written, filters, at_once, untrimmed: 0 })
    }

    /// Hands records over until it is stopped; then finishes what is in hand.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut work = JoinSet::new();
        while !*stopped.borrow() {
            while work.try_join_next().is_some() {}
            match self.read().await {
                Ok(records) if records.is_empty() => {
                    tokio::select! {
                        () = self.written.notified() => {}
                        () = tokio::time::sleep(IDLE) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => {}
                    }
                }
                Ok(records) => self.hand_over(&records, &mut work),
                Err(error) => {
                    tracing::error!(error, "the store's stream can't be read");
                    tokio::time::sleep(IDLE).await;
                }
            }
        }
        while work.join_next().await.is_some() {}
    }

    async fn read(&mut self) -> Result<Vec<Value>, String> {
        let database = self.database.clone();
        let request: GetRecordsRequest = serde_json::from_value(json!({"ShardIterator": self.iterator, "Limit": READ}))
            .map_err(|error| error.to_string())?;
        let read = tokio::task::spawn_blocking(move || database.get_records(request));
        let GetRecordsResponse { records, next_shard_iterator } =
            read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if let Some(next) = next_shard_iterator {
            self.iterator = next;
        }
        let records: Vec<Value> =
            records.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        if tracing::enabled!(target: "signoff::stream", tracing::Level::TRACE) {
            records.iter().for_each(|record| tracing::trace!(target: "signoff::stream", "{record}"));
        }
        self.untrimmed += records.len();
        if let (Some(last), true) = (records.last(), self.untrimmed >= TRIM_EVERY) {
            let (event, store) = (last["eventID"].as_str().unwrap_or_default().to_owned(), self.store.clone());
            match tokio::task::spawn_blocking(move || store.trim(&event)).await {
                Ok(Ok(1..)) => {}
                // All but one of those that were read should be gone.
                Ok(Ok(0)) => tracing::warn!("the stream was not trimmed; it gets slower and slower"),
                Ok(Err(error)) => tracing::warn!(%error, "the stream was not trimmed"),
                Err(error) => tracing::warn!(%error, "the stream was not trimmed"),
            }
            self.untrimmed = 0;
        }
        Ok(records)
    }

    fn hand_over(&self, records: &[Value], work: &mut JoinSet<()>) {
        for (worker, filters) in &self.filters {
            let theirs: Vec<&Value> = records.iter().filter(|record| filters.pass(record)).collect();
            for batch in theirs.chunks(BATCH) {
                let batch: Vec<Value> = batch.iter().map(|record| (*record).clone()).collect();
                let (keeper, pushes) = (Arc::clone(&self.keeper), self.pushes.clone());
                let written = Arc::clone(&self.written);
                let at_once = Arc::clone(&self.at_once);
                let worker = *worker;
                work.spawn(async move {
                    let Ok(_permit) = at_once.acquire_owned().await else { return };
                    deliver(&keeper, pushes.as_ref(), worker, batch).await;
                    written.notify_one();
                });
            }
        }
    }
}

/// Hands a batch to a worker, and those of its records that failed again, a bounded number of times.
async fn deliver(keeper: &Arc<Keeper>, pushes: Option<&Arc<dyn Pushes>>, worker: Worker, mut records: Vec<Value>) {
    for attempt in 1..=TRIES {
        let event = match serde_json::from_value::<Event>(json!({"Records": records})) {
            Ok(event) => event,
            Err(error) => return tracing::error!(%error, "a stream record makes no sense"),
        };
        let response = handle(keeper, pushes, worker, event).await;
        let failed: Vec<_> =
            response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect();
        records.retain(|record| {
            record["dynamodb"]["SequenceNumber"]
                .as_str()
                .is_some_and(|sequence| failed.iter().any(|one| one == sequence))
        });
        if records.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100) * attempt).await;
    }
    tracing::error!(records = records.len(), "stream records failed for good; what they are about is due at a sweep");
}

/// An iterator at the oldest record of the table's stream.
pub(super) fn oldest(database: &Database) -> Result<String, Box<dyn std::error::Error>> {
    let streams = serde_json::to_value(database.list_streams(serde_json::from_value(json!({"TableName": TABLE}))?)?)?;
    let stream = &streams["Streams"][0]["StreamArn"];
    let described =
        serde_json::to_value(database.describe_stream(serde_json::from_value(json!({"StreamArn": stream}))?)?)?;
    let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
    let request = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = serde_json::to_value(database.get_shard_iterator(serde_json::from_value(request)?)?)?;
    Ok(iterator["ShardIterator"].as_str().ok_or("it has no shard")?.to_owned())
}
