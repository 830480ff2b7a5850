//! The ledger on DynamoDB: one table, one transaction per step, a condition on every write that two could make at once.
//!
//! [`keys`] has all keys and attributes, `store` the few operations, [`create_table`] the table for stores that no Pulumi program sets up.
//! The other files answer the ledger's questions, each access pattern one function.

mod item;
pub mod keys;
mod line;
mod lock;
mod marks;
mod notices;
mod requests;
mod store;
mod table;
mod trail;
mod work;

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};
use signoff_core::chain::{Sealed, Step};
use signoff_core::doorbell::Delivery;
use signoff_core::gate::Gates;
use signoff_core::ledger::{
    Begin, Cause, Creation, Due, Finish, Idempotency, Intent, Lease, Ledger, LedgerError, Line, LineChange, Listing,
    Loaded, NewRequest, Note, NoticeDue, NoticeWork, Page, Work,
};
use signoff_core::names::{Login, Organization, PrincipalName, RequestId, StackName};
use signoff_core::request::Worker;
use tokio::sync::{Semaphore, SemaphorePermit};
use ulid::Ulid;

use crate::aws::LazyClient;

pub use marks::delivery;
pub use table::create_table;

/// The ledger in a DynamoDB table. Clones share the client.
#[derive(Debug, Clone)]
pub struct Dynamo {
    client: Arc<LazyClient<Client>>,
    table: String,
    lane: Option<Arc<Semaphore>>,
}

impl Dynamo {
    /// The ledger in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self::made_by(|| client, table)
    }

    /// The same, with the client that `make` makes when the table is first read or written.
    pub fn made_by(make: impl FnOnce() -> Client + Send + 'static, table: String) -> Self {
        Self { client: Arc::new(LazyClient::new(Box::new(make))), table, lane: None }
    }

    /// The same ledger, of whose calls no more than `at_once` are under way at a time; the others wait for one another. For a store in the same
    /// process, which carries out one call after the other: who has time leaves the way free for who waits for an answer.
    #[must_use]
    pub fn in_a_lane_of(mut self, at_once: usize) -> Self {
        self.lane = Some(Arc::new(Semaphore::new(at_once)));
        self
    }

    /// A place in the lane, for one call.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.lane.as_ref()?.acquire().await.ok()
    }

    /// Writes the gates down; from then on they hold.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] if the store does not answer.
    pub async fn put_gates(&self, gates: &Gates) -> Result<(), LedgerError> {
        marks::put_gates(self, gates).await
    }

    /// Takes the leases of all open requests away, and lets what was intended settle until `settle` from `now` on. For a store that belongs to
    /// one process, when that process starts: the one before is dead, and its calls have ended. Every open request is due at once, and so is every notice that was being
    /// sent.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] if the store does not answer, [`LedgerError::Broken`] for work that can't be read.
    pub async fn void_leases(&self, now: Timestamp, settle: SignedDuration) -> Result<(), LedgerError> {
        notices::void_claims(self, now).await?;
        work::void_leases(self, now, settle).await
    }
}

impl Ledger for Dynamo {
    async fn gates(&self) -> Result<Gates, LedgerError> {
        marks::gates(self).await
    }

    async fn load(&self, id: RequestId) -> Result<Option<Loaded>, LedgerError> {
        requests::load(self, id).await
    }

    async fn line(&self, stack: &StackName) -> Result<Line, LedgerError> {
        line::line(self, stack).await
    }

    async fn create(&self, new: &NewRequest) -> Result<(), LedgerError> {
        requests::create(self, new).await
    }

    async fn idempotency(&self, caller: &Login, key: &str, now: Timestamp) -> Result<Option<Idempotency>, LedgerError> {
        requests::idempotency(self, caller, key, now).await
    }

    async fn begin(
        &self,
        id: RequestId,
        holder: Ulid,
        now: Timestamp,
        until: Timestamp,
        cause: Cause,
    ) -> Result<Begin, LedgerError> {
        work::begin(self, id, holder, now, until, cause).await
    }

    async fn record(&self, step: &Step, wake: Option<Worker>, line: LineChange) -> Result<(), LedgerError> {
        requests::record(self, step, wake, line).await
    }

    async fn record_cancel(&self, step: &Step, wake: Worker) -> Result<(), LedgerError> {
        requests::record_cancel(self, step, wake).await
    }

    async fn intend(&self, lease: &Lease, intent: &Intent) -> Result<(), LedgerError> {
        work::intend(self, lease, intent).await
    }

    async fn confirm(&self, lease: &Lease, now: Timestamp) -> Result<(), LedgerError> {
        work::confirm(self, lease, now).await
    }

    async fn note(&self, lease: &Lease, note: &Note) -> Result<(), LedgerError> {
        work::note(self, lease, note).await
    }

    async fn finish(&self, lease: &Lease, work: &Work) -> Result<Finish, LedgerError> {
        work::finish(self, lease, work).await
    }

    async fn hear(&self, stack: &StackName) -> Result<(), LedgerError> {
        line::hear(self, stack).await
    }

    async fn claim_turn(&self, stack: &StackName, id: RequestId) -> Result<bool, LedgerError> {
        line::claim_turn(self, stack, id).await
    }

    async fn release_turn(&self, stack: &StackName, id: RequestId) -> Result<(), LedgerError> {
        line::release_turn(self, stack, id).await
    }

    async fn lock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> Result<Creation, LedgerError> {
        lock::lock(self, organization, principal, id).await
    }

    async fn unlock_creation(
        &self,
        organization: &Organization,
        principal: &PrincipalName,
        id: RequestId,
    ) -> Result<Option<RequestId>, LedgerError> {
        lock::unlock(self, organization, principal, id).await
    }

    async fn ring(&self, id: RequestId, worker: Worker, cause: Cause, ulid: Ulid) -> Result<(), LedgerError> {
        marks::ring(self, id, worker, cause, ulid).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, LedgerError> {
        work::due(self, now, limit).await
    }

    async fn claim_due(&self, due: &Due, next: Timestamp) -> Result<bool, LedgerError> {
        work::claim_due(self, due, next).await
    }

    async fn notices_due(&self, now: Timestamp, limit: usize) -> Result<Vec<NoticeDue>, LedgerError> {
        notices::due(self, now, limit).await
    }

    async fn claim_notice(&self, notice: NoticeDue, until: Timestamp) -> Result<Option<NoticeWork>, LedgerError> {
        notices::claim(self, notice, until).await
    }

    async fn finish_notice(
        &self,
        claimed: NoticeDue,
        left: Option<(Timestamp, NoticeWork)>,
    ) -> Result<(), LedgerError> {
        notices::finish(self, claimed, left).await
    }

    async fn open(&self, limit: usize) -> Result<Vec<RequestId>, LedgerError> {
        work::open(self, limit).await
    }

    async fn once(&self, what: &str, now: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
        marks::once(self, what, now, until).await
    }

    async fn record_delivery(&self, delivery: &Delivery, expires: Timestamp) -> Result<bool, LedgerError> {
        marks::record_delivery(self, delivery, expires).await
    }

    async fn point(
        &self,
        organization: &Organization,
        change_request: &str,
        id: RequestId,
        expires: Timestamp,
    ) -> Result<(), LedgerError> {
        marks::point(self, organization, change_request, id, expires).await
    }

    async fn pointed(
        &self,
        organization: &Organization,
        change_request: &str,
    ) -> Result<Option<RequestId>, LedgerError> {
        marks::pointed(self, organization, change_request).await
    }

    async fn list(
        &self,
        organization: &Organization,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<Listing>, LedgerError> {
        requests::list(self, organization, before, limit).await
    }

    async fn events(&self, id: RequestId) -> Result<Vec<Sealed>, LedgerError> {
        trail::events(self, id).await
    }

    async fn events_of_day(
        &self,
        organization: &Organization,
        day: &str,
        span: &Range<Timestamp>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Sealed>, LedgerError> {
        trail::events_of_day(self, organization, day, span, after, limit).await
    }
}
