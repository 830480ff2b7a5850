//! The function `api`: the HTTP API, through API Gateway.

use lambda_http::Error;
use signoff_functions::api::router;
use signoff_functions::setup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await?;
    lambda_http::run(router(function.api()?)).await
}
