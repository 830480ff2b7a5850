//! The function `receive`: the webhooks of Pulumi Cloud and, where a gate names pushes, of GitHub, through API Gateway.
//!
//! Policy for events that fail: API Gateway calls it once and waits; nothing tries again, and there is no queue. A delivery that could not be checked or recorded is
//! answered 503, which Pulumi Cloud shows with the delivery and a person may redeliver; one that is late or never comes costs time only, since
//! every open request is looked at by the clock as well. A panic or a time-out is a 5xx too, and `receive-errors` and `server-errors` tell of it.

use lambda_http::Error;
use signoff_functions::receive::router;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start()?;
    lambda_http::run(router(function.receive()?)).await
}
