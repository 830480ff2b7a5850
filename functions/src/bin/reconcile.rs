//! The function `reconcile`: the clock. Woken by a schedule; rings those whose next look is due, measures, and writes checkpoints of the audit trail where
//! that is configured.
//!
//! Policy for ticks that fail: none is tried again, neither by the scheduler nor by Lambda, and one that is older than a minute is not carried out: the next one comes
//! anyway, and finds due what this one did not ring. A tick that was given up on goes to the queue of dead letters; `reconcile-errors` tells of it, and `no-sweep` of
//! none at all. Requests come first: a checkpoint that can't be written fails the tick when everybody is rung, so that somebody hears of it, and the next tick makes up for it.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use signoff_core::host::Host as _;
use signoff_core::sweep::sweep;
use signoff_functions::metrics;
use signoff_functions::setup::{Function, checkpoint_time};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start()?;
    let every = function.sweep_every()?;
    let checkpoints = function.checkpoints()?;
    let work = async |tick: LambdaEvent<Value>| {
        let rung = sweep(function.ledger(), function.machine(), every).await?;
        tracing::info!(rung, "swept");
        metrics::swept(function.ledger(), function.machine(), rung).await?;
        if let Some(checkpoints) = &checkpoints {
            let written = checkpoints.sweep(function.ledger(), function.machine());
            let left = checkpoint_time(tick.context.deadline, function.machine().now());
            let kept = tokio::time::timeout(left, written).await.map_err(|_| "checkpoints took too long")??;
            tracing::debug!(kept, "checkpoints are written");
        }
        Ok::<_, Error>(())
    };
    lambda_runtime::run(service_fn(work)).await
}
