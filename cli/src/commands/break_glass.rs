//! `signoff break-glass`: lift a window, a freeze, the wait or the line from one request.

use signoff_core::conditions::Lift;
use signoff_core::names::{Reason, RequestId};

use super::approve;
use crate::app::App;
use crate::client::model::Request;
use crate::failure::{Exit, Failure};
use crate::render;

/// The options of `signoff break-glass`.
#[derive(clap::Args)]
#[command(after_help = "\
Whom the gate names under break-glass may. It stands in the trail with your name and the reason. Approvals are never lifted.

  window   the gate's windows
  freeze   the freezes
  wait     the time after the approval
  line     approved requests of the stack that were asked for earlier

Examples:
  signoff break-glass req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --lift freeze --reason 'The shop is down'
  signoff break-glass req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --lift window --lift line --reason 'The shop is down'")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
    /// What to lift: window, freeze, wait or line
    #[arg(long, required = true, value_name = "WHAT", value_delimiter = ',')]
    lift: Vec<Lift>,
    /// Why, for those who read the trail (1 to 1,000 characters)
    #[arg(long)]
    reason: Reason,
}

/// Lifts it.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let json = signoff.break_glass(args.id, &args.lift, args.reason.as_str()).await?;
    if app.output.json {
        app.output.document(&json)?;
    } else {
        let request = Request::from_json(&json)?;
        app.output.text(&render::request::block(&request, app.output.screen(), app.now()))?;
        app.output.text(&approve::whats_left(&signoff, args.id, |now| approve::has_moved(&request, now)).await)?;
    }
    Ok(Exit::Done)
}
