//! The function `apply`: takes requests from `requested` to `granted`; also finds out whom a webhook concerns. Woken by the table's stream.

use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use signoff_core::request::Worker;
use signoff_functions::setup::Function;
use signoff_functions::stream::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let keeper = Function::start().await?.keeper()?;
    let work = async |batch: LambdaEvent<Event>| Ok::<_, Error>(handle(&keeper, Worker::Apply, batch.payload).await);
    lambda_runtime::run(service_fn(work)).await
}
