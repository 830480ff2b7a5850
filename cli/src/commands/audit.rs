//! `signoff audit`: the trail of everything.

use super::{audit_export, audit_verify};
use crate::app::App;
use crate::failure::{Exit, Failure};

/// The options of `signoff audit`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Export the trail: one event in JSON on each line
    Export(audit_export::Args),
    /// Check that nothing in the trail was edited, dropped, inserted or reordered
    Verify(audit_verify::Args),
}

/// Exports or checks.
///
/// # Errors
/// As the two do.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Export(args) => audit_export::run(app, args).await,
        Command::Verify(args) => audit_verify::run(app, args).await,
    }
}
