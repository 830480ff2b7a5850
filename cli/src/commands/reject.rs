//! `signoff reject`: say no to a request, directly at Pulumi Cloud, with the reviewer's own token.
//!
//! Pulumi Cloud has no rejection: who refuses closes the change request. One that is closed ends the request, and signoff closes the others.

use std::io;

use serde_json::json;
use signoff_core::names::{Reason, RequestId};

use super::approve::{confirmed, describe, is_ending, reviewable, stranger, whats_left};
use crate::app::App;
use crate::client::base::BaseUrl;
use crate::failure::{Exit, Failure};
use crate::render::text::line;

/// The options of `signoff reject`.
#[derive(clap::Args)]
#[command(after_help = "\
The change request is closed from here at Pulumi Cloud, which decides whether you may; it does not pass through signoff.
That ends the request for good: nothing that was closed can be opened again.

Examples:
  signoff reject req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --reason 'Not before the migration'")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
    /// Why, for the requester and those who read the trail (1 to 1,000 characters)
    #[arg(long)]
    reason: Reason,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
    /// The Pulumi Cloud to close it at: https, or http on this machine [env: SIGNOFF_PULUMI_URL] [default: where `pulumi login` left you, or Pulumi Cloud]
    #[arg(long, value_name = "URL")]
    pulumi_url: Option<BaseUrl>,
}

/// Closes the first of its change requests that this reviewer may close.
///
/// # Errors
/// If there is nothing to reject, it can't be asked whether to, or nothing could be closed.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let pulumi = app.pulumi(args.pulumi_url.clone())?;
    let (request, organization) = reviewable(&signoff, args.id, "reject", args.yes).await?;
    let mut open = Vec::new();
    let mut failures = Vec::new();
    for change_request in &request.change_requests {
        let named = format!("{} ({})", line(&change_request.environment), line(&change_request.id));
        match pulumi.proposal(&organization, &change_request.id).await {
            Err(failure) => failures.push(format!("{named}: {}", line(&failure.to_string()))),
            Ok(proposal) => {
                describe(app, change_request, &proposal);
                match stranger(args.id, change_request, &proposal) {
                    Some(why) => failures.push(format!("{named}: {}", line(&why))),
                    None if matches!(proposal.status.as_str(), "pending" | "ready") => {
                        open.push((change_request, named))
                    }
                    None => failures.push(format!("{named}: it is {}", line(&proposal.status))),
                }
            }
        }
    }
    if !open.is_empty() && !args.yes && !confirmed("Reject", pulumi.base(), &mut io::stderr(), &mut io::stdin().lock())?
    {
        app.output.note("Nothing was rejected.");
        return Ok(Exit::Failed);
    }
    for (change_request, named) in open {
        let closed = match pulumi.close(&organization, &change_request.id, args.reason.as_str()).await {
            // The answer may have been lost, and not the call.
            Err(failure) => match pulumi.proposal(&organization, &change_request.id).await {
                Ok(now) if now.status == "closed" => Ok(()),
                _ => Err(failure),
            },
            done => done,
        };
        match closed {
            Err(failure) => failures.push(format!("{named}: {}", line(&failure.to_string()))),
            Ok(()) if app.output.json => {
                app.output.document(&json!({"id": request.id, "closed": change_request.id}))?;
                return Ok(Exit::Done);
            }
            Ok(()) => {
                app.output.text(&format!("{}  {named}", app.output.paint.bad("closed")))?;
                app.output.text(&whats_left(&signoff, args.id, is_ending).await)?;
                return Ok(Exit::Done);
            }
        }
    }
    let instead =
        format!("Whoever asked for it, and admins, can take it back: signoff cancel {} --reason '…'", args.id);
    Err(Failure::Failed(format!("nothing could be closed: {}. {instead}", failures.join("; "))))
}
