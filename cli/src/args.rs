//! The command line's grammar.

use clap::{Arg, ArgAction, Args, Parser, Subcommand, value_parser};
use jiff::Timestamp;

use crate::client::base::BaseUrl;
use crate::commands;

/// Ask for a deployment, it waits, someone signs off, it runs.
#[derive(Parser)]
#[command(
    name = "signoff",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Environment:
  SIGNOFF_URL          where signoff is, as --url
  PULUMI_ACCESS_TOKEN  who you are; without it, whom `pulumi login` left in its credentials file
  SIGNOFF_PULUMI_URL   the Pulumi Cloud that you are at (default: where you are logged in, or https://api.pulumi.com)
  NO_COLOR             no colours

Exit codes:
  0    done (with --wait and watch: the deployment succeeded)
  1    something failed (also a request in `error`)
  2    wrong usage
  3    rejected, expired or cancelled
  4    the deployment failed
  130  interrupted by Ctrl-C while waiting; the request goes on

Examples:
  signoff request acme/web/prod update --reason 'Ship 2.4' --wait
  signoff list --state open
  signoff approve req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of all commands.
#[derive(Args)]
pub(crate) struct Global {
    /// Where signoff is: https, or http on this machine [env: SIGNOFF_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "For all commands")]
    pub(crate) url: Option<BaseUrl>,
    /// The organization that is meant, for those in several
    #[arg(long, global = true, value_name = "NAME", help_heading = "For all commands")]
    pub(crate) organization: Option<String>,
    /// JSON, for programs
    #[arg(long, global = true, help_heading = "For all commands")]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Ask for a deployment
    Request(commands::request::Args),
    /// List requests, newest first
    List(commands::list::Args),
    /// Show a request
    Show(commands::show::Args),
    /// Watch a request until it is over
    Watch(commands::watch::Args),
    /// Show what happened to a request: its audit trail
    Events(commands::events::Args),
    /// Take a request back
    Cancel(commands::cancel::Args),
    /// Approve a request, at Pulumi Cloud, with your own token
    Approve(commands::approve::Args),
    /// Say no to a request, at Pulumi Cloud, with your own token
    Reject(commands::reject::Args),
    /// Lift a window, a freeze, the wait or the line from a request; never an approval
    BreakGlass(commands::break_glass::Args),
    /// List the gates
    Gates(commands::gates::Args),
    /// Explain what a gate says of a deployment, now or at another time
    Explain(commands::explain::Args),
    /// Export the audit trail, and check it
    Audit(commands::audit::Args),
    /// Check a configuration file
    #[command(arg = unsaid_url(), arg = unsaid_organization())]
    Config(commands::config::Args),
    /// Run the whole gate in one process, on one machine
    #[command(arg = unsaid_url(), arg = unsaid_organization(), arg = unsaid_json())]
    Local(crate::local::Args),
}

/// A moment, as options have it.
pub(crate) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "a time is 2026-12-01T18:00:00Z")
}

// Every command takes the options of all; where one of them means nothing, the command's help does not speak of it.

fn unsaid_url() -> Arg {
    Arg::new("url").long("url").value_parser(value_parser!(BaseUrl)).global(true).hide(true)
}

fn unsaid_organization() -> Arg {
    Arg::new("organization").long("organization").value_parser(value_parser!(String)).global(true).hide(true)
}

fn unsaid_json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).global(true).hide(true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_one() {
        Cli::command().debug_assert();
    }
}
