//! The stream workers: what changed in the table wakes `apply` and `deploy`.
//!
//! Policy for records that can't be worked on: a record fails only when the ledger could not be read or written, and then it alone is given back to be
//! tried again (`ReportBatchItemFailures`); the mapping bounds the tries. A record that makes no sense is logged and passed over, since it would
//! make no sense the next time either; whatever it was about is due at a sweep. Order and repetition do not matter: a record only says where to look.

pub mod filter;

use std::pin::Pin;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use signoff_core::branches::{Branches, FROM_GITHUB};
use signoff_core::cloud::PulumiCloud;
use signoff_core::doorbell::Delivery;
use signoff_core::github::GitHub;
use signoff_core::host::Host;
use signoff_core::ledger::{Cause, Ledger, LedgerError};
use signoff_core::look::Gatekeeper;
use signoff_core::names::RequestId;
use signoff_core::request::Worker;
use tokio::task::JoinSet;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::dynamo::keys;
use crate::logs::WORK;

/// Answers deliveries that are about branches at GitHub.
pub trait Pushes: Send + Sync {
    /// Asks for what is on the branches that a delivery points to.
    fn answer<'a>(&'a self, delivery: &'a Delivery) -> Answered<'a>;
}

/// Whether the ledger could be read and written.
pub type Answered<'a> = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send + 'a>>;

impl<L: Ledger, G: GitHub, P: PulumiCloud, H: Host> Pushes for Branches<L, G, P, H> {
    fn answer<'a>(&'a self, delivery: &'a Delivery) -> Answered<'a> {
        Box::pin(Self::answer(self, delivery))
    }
}

/// What a record asks of a worker.
enum Bell {
    /// To look at a request.
    Look(RequestId, Cause),
    /// To find out whom a webhook concerns.
    Answer(Delivery),
}

/// Works on a batch, all its records at once, and says which of them have to come again. Without `pushes`, nothing is asked for by a push.
pub async fn handle<L, P, H>(
    keeper: &Arc<Gatekeeper<L, P, H>>,
    pushes: Option<&Arc<dyn Pushes>>,
    worker: Worker,
    batch: Event,
) -> DynamoDbEventResponse
where
    L: Ledger + 'static,
    P: PulumiCloud + 'static,
    H: Host + 'static,
{
    let mut work = JoinSet::new();
    for record in batch.records {
        let Some(sequence) = record.change.sequence_number.clone() else { continue };
        let Some(bell) = bell(worker, &record) else { continue };
        let (keeper, pushes) = (Arc::clone(keeper), pushes.cloned());
        // A task of its own would not know the invocation that it belongs to.
        work.spawn(async move { (sequence, ring(&keeper, pushes.as_deref(), worker, bell).await) }.in_current_span());
    }
    let mut response = DynamoDbEventResponse::default();
    while let Some(done) = work.join_next().await {
        match done {
            Ok((_, Ok(()) | Err(LedgerError::Conflict))) => {}
            Ok((sequence, Err(error @ (LedgerError::Broken(_) | LedgerError::BadCursor)))) => {
                tracing::error!(sequence, %error, "an item makes no sense; it waits for a person");
            }
            Ok((sequence, Err(error @ LedgerError::Unavailable(_)))) => {
                tracing::warn!(sequence, %error, "a record has to come again");
                let mut failure = DynamoDbBatchItemFailure::default();
                failure.item_identifier = Some(sequence);
                response.batch_item_failures.push(failure);
            }
            Err(error) => tracing::error!(%error, "a look broke off; the request is due at a sweep"),
        }
    }
    response
}

/// Works on one record, outside of a batch: for a simulation that hands records over one by one.
///
/// # Errors
/// As a look or an answer: if the ledger could not be read or written.
pub async fn work_on<L: Ledger, P: PulumiCloud, H: Host>(
    keeper: &Gatekeeper<L, P, H>,
    pushes: Option<&dyn Pushes>,
    worker: Worker,
    record: &EventRecord,
) -> Result<(), LedgerError> {
    match bell(worker, record) {
        Some(bell) => ring(keeper, pushes, worker, bell).await,
        None => Ok(()),
    }
}

async fn ring<L: Ledger, P: PulumiCloud, H: Host>(
    keeper: &Gatekeeper<L, P, H>,
    pushes: Option<&dyn Pushes>,
    worker: Worker,
    bell: Bell,
) -> Result<(), LedgerError> {
    // What every line names that is logged meanwhile.
    let span = tracing::trace_span!(target: WORK, "work", request = Empty, delivery = Empty, deployment = Empty);
    match bell {
        Bell::Look(id, cause) => {
            span.record("request", tracing::field::display(id));
            if let Some(delivery) = cause.delivery() {
                span.record("delivery", delivery);
            }
            keeper.look(worker, id, cause).instrument(span).await
        }
        Bell::Answer(delivery) => {
            span.record("delivery", delivery.id.as_str());
            match (delivery.kind.starts_with(FROM_GITHUB), pushes) {
                (false, _) => keeper.answer(&delivery).instrument(span).await,
                (true, Some(pushes)) => pushes.answer(&delivery).instrument(span).await,
                (true, None) => {
                    let _entered = span.enter();
                    tracing::warn!("there is no token for GitHub: no push asks for anything");
                    Ok(())
                }
            }
        }
    }
}

/// What the record says to this worker; nothing, if it is not for it.
fn bell(worker: Worker, record: &EventRecord) -> Option<Bell> {
    let image = serde_json::to_value(&record.change.new_image).ok()?;
    let text = |name: &str| image.get(name)?.get("S")?.as_str();
    if worker == Worker::Apply
        && let Some(delivery) = text(keys::DELIVERY)
    {
        return crate::dynamo::delivery(delivery).map(Bell::Answer);
    }
    let id = keys::request_of(text(keys::PK)?)?;
    if text(keys::FOR) == Some(worker.as_str()) {
        let cause = match text(keys::HOOK) {
            Some(delivery) => Cause::Ring(delivery.to_owned()),
            None => Cause::Due,
        };
        return Some(Bell::Look(id, cause));
    }
    (text(keys::WAKE) == Some(worker.as_str())).then_some(Bell::Look(id, Cause::Due))
}
