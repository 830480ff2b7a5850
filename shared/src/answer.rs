//! Answering the doorbell: whom does a delivery concern?

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::cloud::PulumiCloud;
use crate::doorbell::{Delivery, Pointers};
use crate::host::Host;
use crate::ledger::{Cause, Ledger, LedgerError, Loaded, MAX_RINGS, RING_WINDOW_SECONDS};
use crate::look::Gatekeeper;
use crate::names::RequestId;
use crate::request::Worker;
use crate::rescue;

/// The most open requests that a delivery which points nowhere rings; the sweep comes to the others.
pub const MAX_RUNG: usize = 200;
/// How often such a delivery rings what is open in an organization, at most, in seconds.
pub const VAGUE_EVERY_SECONDS: i64 = 10;

/// Whether a delivery may make signoff look at `what` once more. It is looked at as often as a request is rung for, however many deliveries ring, since
/// their ids are not signed: what comes beyond that is left to the clock.
pub(crate) async fn may_look<L: Ledger>(ledger: &L, what: &str, now: Timestamp) -> Result<bool, LedgerError> {
    let until = now.saturating_add(SignedDuration::from_secs(RING_WINDOW_SECONDS)).unwrap_or(now);
    for place in 0..MAX_RINGS {
        if ledger.once(&format!("look-{what}-{place}"), now, until).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl<L: Ledger, P: PulumiCloud, H: Host> Gatekeeper<L, P, H> {
    /// Asks for what was refused, and looks at the requests that a delivery points to; where that can't be told, rings what is open in the organization.
    ///
    /// # Errors
    /// If the ledger fails; the delivery has to be answered again.
    pub async fn answer(&self, delivery: &Delivery) -> Result<(), LedgerError> {
        self.rescue(delivery).await?;
        if delivery.kind == rescue::POLL {
            return Ok(());
        }
        let pointers = &delivery.pointers;
        let mut found = BTreeSet::new();
        if let Some(organization) = &pointers.organization {
            for id in &pointers.change_requests {
                found.extend(self.ledger.pointed(organization, id).await?);
            }
        }
        for stack in &pointers.stacks {
            found.extend(self.ledger.line(stack).await?.waiting.into_iter().map(|other| other.id));
        }
        // A change request that no pointer leads from is somebody else's, or its pointer was lost: then a request has it on record. Whoever is creating
        // one just now reads it without being rung for.
        if found.is_empty() && !pointers.change_requests.is_empty() {
            let has_it = |loaded: &Loaded| {
                loaded.request.status.change_requests.iter().any(|one| pointers.change_requests.contains(&one.id))
            };
            return self.ring_whoever(delivery, "stray", has_it).await;
        }
        // Environments are what approvals are about; where a change request told already, they tell nothing more.
        if found.is_empty() && !pointers.environments.is_empty() {
            let concerned = |loaded: &Loaded| {
                let status = &loaded.request.status;
                pointers.environments.contains(&loaded.request.ask.gate.environment)
                    || status.change_requests.iter().any(|one| pointers.environments.contains(&one.environment))
            };
            for loaded in self.open_requests().await?.into_iter().filter(concerned) {
                found.insert(loaded.request.ask.id);
            }
        }
        if found.is_empty() && !pointers.names_all() {
            return self.ring_whoever(delivery, "vague", |_| true).await;
        }
        // One is looked at at once; several each get a record, and so a share of the time, of their own.
        let alone = found.len() == 1;
        for id in found {
            self.ring_one(id, alone, &delivery.id).await?;
        }
        Ok(())
    }

    async fn ring_one(&self, id: RequestId, alone: bool, delivery: &str) -> Result<(), LedgerError> {
        let Some(loaded) = self.ledger.load(id).await? else { return Ok(()) };
        let cause = Cause::Ring(delivery.to_owned());
        match loaded.request.status.state.worker() {
            Some(Worker::Apply) if alone => self.look(Worker::Apply, id, cause).await,
            Some(worker) => self.ledger.ring(id, worker, cause, self.host.ulid()).await,
            None => Ok(()),
        }
    }

    /// Rings the open requests of the organization that `is_concerned` picks, once in a while.
    async fn ring_whoever(
        &self,
        delivery: &Delivery,
        kind: &str,
        is_concerned: impl Fn(&Loaded) -> bool,
    ) -> Result<(), LedgerError> {
        let pointers: &Pointers = &delivery.pointers;
        let now = self.host.now();
        let until = now.saturating_add(SignedDuration::from_secs(VAGUE_EVERY_SECONDS)).unwrap_or(now);
        let whose = pointers.organization.as_ref().map_or("all", |organization| organization.as_str());
        if !self.ledger.once(&format!("{kind}-{whose}"), now, until).await? {
            return Ok(());
        }
        for loaded in self.open_requests().await? {
            let (ask, status) = (&loaded.request.ask, &loaded.request.status);
            let theirs = pointers
                .organization
                .as_ref()
                .is_none_or(|organization| organization.as_str().eq_ignore_ascii_case(ask.stack.organization.as_str()));
            if let (true, Some(worker)) = (theirs && is_concerned(&loaded), status.state.worker()) {
                self.ledger.ring(ask.id, worker, Cause::Ring(delivery.id.clone()), self.host.ulid()).await?;
            }
        }
        Ok(())
    }

    async fn open_requests(&self) -> Result<Vec<Loaded>, LedgerError> {
        let mut open = Vec::new();
        for id in self.ledger.open(MAX_RUNG).await? {
            match self.ledger.load(id).await {
                Ok(loaded) => open.extend(loaded),
                Err(LedgerError::Broken(why)) => {
                    tracing::error!(request = %id, why, "an item makes no sense; it waits for a person")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests;
