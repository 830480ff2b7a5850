//! `signoff events`: what happened to a request.

use signoff_core::names::RequestId;

use crate::app::App;
use crate::failure::{Exit, Failure};
use crate::render;

/// The options of `signoff events`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signoff events req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3
  signoff events req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --json | jq '.events[].data.evidence'

To check that nothing of it was changed: signoff audit verify --request ID")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
}

/// Shows them.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let json = app.signoff()?.events(args.id).await?;
    if app.output.json {
        app.output.document(&json)?;
    } else {
        let events = json["events"].as_array().map(Vec::as_slice);
        let events = events.ok_or_else(|| Failure::Failed("the server's answer holds no events".to_owned()))?;
        app.output.text(&render::event::table(events, app.output.screen()))?;
    }
    Ok(Exit::Done)
}
