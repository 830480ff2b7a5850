//! signoff on the command line: ask for a deployment, watch it wait, approve it, and check what was written down.
//!
//! Every command is a module of [`commands`]; [`client`] speaks to signoff and to Pulumi Cloud, [`render`] to people.

mod app;
mod args;
mod client;
mod commands;
mod credentials;
mod environment;
mod failure;
mod local;
mod output;
mod render;

use std::process::ExitCode;

use clap::Parser;

use crate::app::App;
use crate::args::Cli;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::read();
    let output = Output::new(cli.global.json, environment.no_color);
    let app = App::new(cli.global, environment, output);
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime does not start: {error}")))
        .and_then(|runtime| runtime.block_on(commands::run(&app, cli.command)));
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            app.output.failure(&failure);
            failure.exit().into()
        }
    }
}
