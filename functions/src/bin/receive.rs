//! The function `receive`: Pulumi Cloud's webhooks, through API Gateway.

use lambda_http::Error;
use signoff_functions::receive::router;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await?;
    lambda_http::run(router(function.receive().await?)).await
}
