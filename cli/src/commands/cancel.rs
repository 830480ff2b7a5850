//! `signoff cancel`: take a request back.

use signoff_core::names::{Reason, RequestId};

use crate::app::App;
use crate::client::model::Request;
use crate::failure::{Exit, Failure};
use crate::render::text::line;

/// The options of `signoff cancel`.
#[derive(clap::Args)]
#[command(after_help = "\
The requester and admins of the organization may, until signoff is about to deploy.

Examples:
  signoff cancel req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --reason 'Wrong stack'")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
    /// Why, for those who read the trail (1 to 1,000 characters)
    #[arg(long)]
    reason: Reason,
}

/// Cancels it.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let json = app.signoff()?.cancel(args.id, args.reason.as_str()).await?.json().unwrap_or_default();
    if app.output.json {
        app.output.document(&json)?;
        return Ok(Exit::Done);
    }
    // What the answer says of the request is worth a word, but nothing depends on it.
    let text = match Request::from_json(&json) {
        Ok(request) if Exit::of(&request).is_some() => format!("{} is {}", args.id, line(&request.state)),
        _ => format!("{} will not be deployed; it ends when its change requests are closed", args.id),
    };
    app.output.text(&text)?;
    Ok(Exit::Done)
}
