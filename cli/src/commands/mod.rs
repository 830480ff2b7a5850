//! The commands, each a module: its options and what it does.

pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod audit_checkpoints;
pub(crate) mod audit_export;
pub(crate) mod audit_verify;
pub(crate) mod break_glass;
pub(crate) mod cancel;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod gates;
pub(crate) mod git;
pub(crate) mod list;
pub(crate) mod reject;
pub(crate) mod request;
pub(crate) mod show;
pub(crate) mod trail;
pub(crate) mod watch;

use crate::app::App;
use crate::args::Command;
use crate::failure::{Exit, Failure};

/// Runs a command to its end.
///
/// # Errors
/// Why it did not do what it was asked.
pub(crate) async fn run(app: &App, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Request(args) => request::run(app, args).await,
        Command::List(args) => list::run(app, args).await,
        Command::Show(args) => show::run(app, args).await,
        Command::Watch(args) => watch::run(app, args).await,
        Command::Events(args) => events::run(app, args).await,
        Command::Cancel(args) => cancel::run(app, args).await,
        Command::Approve(args) => approve::run(app, args).await,
        Command::Reject(args) => reject::run(app, args).await,
        Command::BreakGlass(args) => break_glass::run(app, args).await,
        Command::Gates(args) => gates::run(app, args).await,
        Command::Explain(args) => explain::run(app, args).await,
        Command::Audit(args) => audit::run(app, args).await,
        Command::Config(args) => config::run(app, &args),
        Command::Local(args) => crate::local::run(args).await,
    }
}
