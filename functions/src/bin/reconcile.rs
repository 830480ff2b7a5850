//! The function `reconcile`: the clock. Woken by a schedule; rings those whose next look is due.
//!
//! A sweep that fails is not tried again: the next one comes anyway.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use signoff_core::sweep::sweep;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await?;
    let every = function.sweep_every()?;
    let work = async |_tick: LambdaEvent<Value>| {
        let rung = sweep(function.ledger(), function.machine(), every).await?;
        tracing::info!(rung, "swept");
        Ok::<_, Error>(())
    };
    lambda_runtime::run(service_fn(work)).await
}
