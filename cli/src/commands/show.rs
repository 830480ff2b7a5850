//! `signoff show`: all that there is to say of a request.

use signoff_core::names::RequestId;

use crate::app::App;
use crate::client::model::Request;
use crate::failure::{Exit, Failure};
use crate::render;

/// The options of `signoff show`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signoff show req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3
  signoff show req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --json | jq -r '.changeRequests[].reviewUrl'")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
}

/// Shows it.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let json = app.signoff()?.request(args.id).await?;
    let request = Request::from_json(&json)?;
    if app.output.json {
        app.output.document(&json)?;
    } else {
        app.output.text(&render::request::block(&request, app.output.screen(), app.now()))?;
    }
    Ok(Exit::Done)
}
