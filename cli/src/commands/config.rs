//! `signoff config check`: is this configuration good?

use std::io::ErrorKind;
use std::path::PathBuf;

use serde_json::json;
use signoff_core::gate::{BadGates, Gates};

use super::gates;
use crate::app::App;
use crate::failure::{Exit, Failure};
use crate::render::text::line;

/// The options of `signoff config`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check a file of gates
    #[command(after_help = "\
What is wrong is said with file, line, key and reason; the exit code is then 1.

Examples:
  signoff config check
  signoff config check deploy/signoff.toml")]
    Check {
        /// The file
        #[arg(default_value = "signoff.toml")]
        file: PathBuf,
    },
}

/// Checks it.
///
/// # Errors
/// If the file can't be read.
pub(crate) fn run(app: &App, args: &Args) -> Result<Exit, Failure> {
    let Command::Check { file } = &args.command;
    let name = line(&file.display().to_string());
    let bytes = std::fs::read(file).map_err(|error| {
        Failure::Failed(match error.kind() {
            ErrorKind::NotFound => format!("there is no file {name}; name another: signoff config check FILE"),
            _ => format!("{name}: {error}"),
        })
    })?;
    let gates = parse(&bytes);
    if app.output.json {
        app.output.document(&match &gates {
            Ok(gates) => {
                json!({"file": name, "ok": true, "hold": gates.hold, "freezes": gates.freezes, "gate": gates.gates, "warnings": gates.never_reached()})
            }
            Err(bad) => {
                json!({"file": name, "ok": false, "error": {"line": bad.line, "key": bad.key, "reason": bad.reason}})
            }
        })?;
    }
    match gates {
        Err(bad) => {
            app.output.note(&format!("{name}: {}", line(&bad.to_string())));
            Ok(Exit::Failed)
        }
        Ok(gates) => {
            for warning in gates.never_reached() {
                app.output.note(&format!("{name}: warning: {}", line(&warning)));
            }
            if !app.output.json {
                let table = gates::render(&json!(gates), app.output.screen());
                let count = match gates.gates.len() {
                    0 => "OK, but without a gate: no stack is covered".to_owned(),
                    1 => "OK, 1 gate".to_owned(),
                    count => format!("OK, {count} gates"),
                };
                app.output.text(&format!("{name}: {count}\n{}", if gates.gates.is_empty() { "" } else { &table }))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Gates, BadGates> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        BadGates { line: Some(line), key: None, reason: "is not UTF-8".to_owned() }
    })?;
    Gates::from_toml(text)
}
