//! The function `api`: the HTTP API, through API Gateway.
//!
//! Policy for events that fail: API Gateway calls it once and waits; nothing tries again, and there is no queue. The caller gets a problem that says whether and
//! when to try again; what asks for something carries an idempotency key, so that trying again is harmless. What was recorded was recorded whole, with
//! what wakes the worker, so that an answer that got lost loses nothing. `api-errors` and `server-errors` tell of failures.

use lambda_http::Error;
use signoff_functions::api::router;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start()?;
    lambda_http::run(router(function.api()?)).await
}
