//! Answering the doorbell: whom does a delivery concern?

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::cloud::PulumiCloud;
use crate::doorbell::{Delivery, Pointers};
use crate::host::Host;
use crate::ledger::{Cause, Ledger, LedgerError, Loaded, MAX_RINGS, RING_WINDOW_SECONDS, sound};
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

/// What a delivery points to, from another place on each time: where there is not time for all, it is not always the same that are left out.
pub(crate) fn in_turn<T>(all: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let (first, rest) = all.split_at(turn.checked_rem(all.len()).unwrap_or(0));
    rest.iter().chain(first)
}

impl<L: Ledger, P: PulumiCloud, H: Host> Gatekeeper<L, P, H> {
    /// Looks at the requests that a delivery points to; where that can't be told, rings what is open in the organization. Then asks for what was refused,
    /// which may take many calls. All of it within the time of one look.
    ///
    /// # Errors
    /// If the ledger fails; the delivery has to be answered again.
    pub async fn answer(&self, delivery: &Delivery) -> Result<(), LedgerError> {
        let began = self.host.uptime();
        if delivery.kind != rescue::POLL {
            self.ring_for(delivery, began).await?;
        }
        self.rescue(delivery, began).await
    }

    async fn ring_for(&self, delivery: &Delivery, began: Duration) -> Result<(), LedgerError> {
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
            return self.ring_whoever(delivery, began, "stray", has_it).await;
        }
        // Environments are what approvals are about; where a change request told already, they tell nothing more.
        if found.is_empty() && !pointers.environments.is_empty() {
            let concerned = |loaded: &Loaded| {
                let status = &loaded.request.status;
                pointers.environments.contains(&loaded.request.ask.gate.environment)
                    || status.change_requests.iter().any(|one| pointers.environments.contains(&one.environment))
            };
            for loaded in self.open_requests(began).await?.into_iter().filter(concerned) {
                found.insert(loaded.request.ask.id);
            }
        }
        if found.is_empty() && !pointers.names_all() {
            return self.ring_whoever(delivery, began, "vague", |_| true).await;
        }
        // One is looked at at once; several each get a record, and so a share of the time, of their own.
        let alone = found.len() == 1;
        for id in found {
            if !self.can_ring(began) {
                break;
            }
            self.ring_one(id, alone, &delivery.id, began).await?;
        }
        Ok(())
    }

    /// Whether there is time left to ring for another one.
    fn can_ring(&self, began: Duration) -> bool {
        let can = self.has_time(began);
        if !can {
            tracing::warn!("there was no time to ring for all whom a delivery concerns; the clock comes to the rest");
        }
        can
    }

    async fn ring_one(&self, id: RequestId, alone: bool, delivery: &str, began: Duration) -> Result<(), LedgerError> {
        let Some(loaded) = sound(self.ledger.load(id).await, id)? else { return Ok(()) };
        let cause = Cause::Ring(delivery.to_owned());
        match loaded.request.status.state.worker() {
            Some(Worker::Apply) if alone => self.look_within(began, Worker::Apply, id, cause).await,
            Some(worker) => self.ledger.ring(id, worker, cause, self.host.ulid()).await,
            None => Ok(()),
        }
    }

    /// Rings the open requests of the organization that `is_concerned` picks, once in a while.
    async fn ring_whoever(
        &self,
        delivery: &Delivery,
        began: Duration,
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
        for loaded in self.open_requests(began).await? {
            let (ask, status) = (&loaded.request.ask, &loaded.request.status);
            let theirs = pointers
                .organization
                .as_ref()
                .is_none_or(|organization| organization.as_str().eq_ignore_ascii_case(ask.stack.organization.as_str()));
            if let (true, Some(worker)) = (theirs && is_concerned(&loaded), status.state.worker()) {
                if !self.can_ring(began) {
                    break;
                }
                self.ledger.ring(ask.id, worker, Cause::Ring(delivery.id.clone()), self.host.ulid()).await?;
            }
        }
        Ok(())
    }

    async fn open_requests(&self, began: Duration) -> Result<Vec<Loaded>, LedgerError> {
        let mut open = Vec::new();
        for id in self.ledger.open(MAX_RUNG).await? {
            if !self.can_ring(began) {
                break;
            }
            open.extend(sound(self.ledger.load(id).await, id)?);
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests;
