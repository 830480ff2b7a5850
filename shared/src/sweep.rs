//! The clock: every sweep rings those whose next look is due. It acts on nothing itself, so that there is one path.

use jiff::SignedDuration;

use crate::branches;
use crate::host::Host;
use crate::ledger::{Cause, Ledger, LedgerError, sound};
use crate::request::Worker;

/// The most requests that one sweep rings; the rest is due at the next.
pub const MAX_DUE: usize = 1_000;
/// The least time, in seconds, until a request that was rung for is rung for again, if nobody answers.
const MIN_PATIENCE_SECONDS: i64 = 30;

/// Rings whoever is due, and has branches looked at now and then. Gives how many were rung for; 0 if another sweep is at it.
///
/// # Errors
/// If the ledger fails; what was not rung for is still due.
pub async fn sweep<L: Ledger, H: Host>(ledger: &L, host: &H, every: SignedDuration) -> Result<usize, LedgerError> {
    let now = host.now();
    let alone = now.saturating_add(every / 2).unwrap_or(now);
    if !ledger.once("sweep", now, alone).await? {
        return Ok(0);
    }
    let patience = every.max(SignedDuration::from_secs(MIN_PATIENCE_SECONDS));
    let next = now.saturating_add(patience).unwrap_or(now);
    let mut rung = 0;
    for due in ledger.due(now, MAX_DUE).await? {
        // Moving the time forward is the claim to ring.
        if !ledger.claim_due(&due, next).await? {
            continue;
        }
        let Some(loaded) = sound(ledger.load(due.id).await, due.id)? else { continue };
        // One that is over still has a due time if its last look died; any worker takes it off the list.
        let worker = loaded.request.status.state.worker().unwrap_or(Worker::Apply);
        ledger.ring(due.id, worker, Cause::Due, host.ulid()).await?;
        rung += 1;
    }
    branches::poll(ledger, host, every).await?;
    Ok(rung)
}

#[cfg(test)]
mod tests;
