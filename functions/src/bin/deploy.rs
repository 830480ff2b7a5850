//! The function `deploy`: takes requests from `granted` to the end. Woken by the table's stream.
//!
//! Policy for records that fail: one that the ledger did not answer for is given back alone and comes again, five times or for a quarter of an hour, whichever ends
//! first; a batch that broke the function as a whole (a panic, a time-out) is halved until the record that does it is alone. What is given up on goes to the queue of dead
//! letters, `deploy-dead-letters` tells of it, and the request is due at a sweep: a record only says where to look, so nothing is lost with it. Troubles with
//! Pulumi Cloud are no failures: the request waits, and the clock comes back to it. (The bounds are in `infra/components/stream-worker.ts`, what counts as a failure in
//! `signoff_functions::stream`.)

use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use signoff_core::request::Worker;
use signoff_functions::setup::Function;
use signoff_functions::stream::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let keeper = Function::start()?.keeper()?;
    let work =
        async |batch: LambdaEvent<Event>| Ok::<_, Error>(handle(&keeper, None, Worker::Deploy, batch.payload).await);
    lambda_runtime::run(service_fn(work)).await
}
