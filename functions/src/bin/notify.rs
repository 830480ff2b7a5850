//! The function `notify`: sends the notices that are due, to the gates' channels and beside commits at GitHub. Woken by a schedule.
//!
//! It is one by itself so that a receiver that is slow or gone holds up neither a request nor the sweep, and so that no other function can read the
//! channels' secrets.
//!
//! Policy for ticks that fail: none is tried again, and one that is older than a minute is not carried out: the next one comes anyway, and finds due what this
//! one did not send. A message that could not be sent is tried for some 16 hours and then given up; `notices-given-up` tells of it.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use signoff_functions::notices::send_due;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let notifier = Function::start()?.notifier()?;
    let work = async |_tick: LambdaEvent<Value>| {
        let sent = send_due(&notifier).await?;
        tracing::info!(sent, "notices were sent");
        Ok::<_, Error>(())
    };
    lambda_runtime::run(service_fn(work)).await
}
