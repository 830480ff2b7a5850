//! `signoff request`: ask for a deployment.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Value, json};
use signoff_core::names::{BadName, Commit, Login, Operation, Reason, StackName};
use signoff_core::period::Period;

use super::{git, watch};
use crate::app::App;
use crate::args::moment;
use crate::client::model::Request;
use crate::failure::{Exit, Failure};
use crate::render;

/// The options of `signoff request`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signoff request acme/web/prod update --reason 'Ship 2.4'
  signoff request acme/web/prod update --reason 'Ship 2.4' --commit HEAD --wait
  signoff request acme/web/prod update --reason 'Ship 2.4' --not-before 2026-12-01T18:00:00Z
  signoff request acme/web/prod destroy --reason 'Moved to eu-west-1' --pending-timeout 4h
  signoff request acme/web/prod update --reason \"Build $BUILD\" --on-behalf-of alice --idempotency-key \"build-$BUILD\" --wait --json

With --wait and --json each change is a line with the whole request; the last one shows how it ended.")]
pub(crate) struct Args {
    /// The stack to deploy: organization/project/stack
    stack: StackName,
    /// What to do: update, preview, refresh or destroy
    operation: Operation,
    /// Why, for those who approve (1 to 1,000 characters)
    #[arg(long)]
    reason: Reason,
    /// Deploy this commit: 40 hex digits, or HEAD for the one that is checked out here
    #[arg(long, value_name = "SHA|HEAD")]
    commit: Option<Pin>,
    /// How long the deployment is let into the environment, such as 30m; at most the gate's
    #[arg(long, value_name = "DURATION")]
    access_duration: Option<Period>,
    /// Within which time of the apply the environment has to be opened; at most the gate's
    #[arg(long, value_name = "DURATION")]
    grant_expiration: Option<Period>,
    /// How long to wait for approval; at most the gate's
    #[arg(long, value_name = "DURATION")]
    pending_timeout: Option<Period>,
    /// Do not apply it before this time, such as 2026-12-01T18:00:00Z; approvals are asked for at once
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<Timestamp>,
    /// Do not apply it after this time: it expires
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_after: Option<Timestamp>,
    /// For whom a machine asks (their approval does not count either)
    #[arg(long, value_name = "LOGIN")]
    on_behalf_of: Option<Login>,
    /// The same key and request within 24 hours ask once
    #[arg(long, value_name = "KEY", value_parser = key)]
    idempotency_key: Option<String>,
    /// Wait until it is over; the exit code says how it ended
    #[arg(long)]
    wait: bool,
}

/// A commit, or the one that is checked out.
#[derive(Clone)]
enum Pin {
    Head,
    Commit(Commit),
}

impl FromStr for Pin {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == "HEAD" {
            return Ok(Self::Head);
        }
        let other =
            |BadName(why)| BadName(format!("{why}; or HEAD. `git rev-parse NAME` prints that of a branch or a tag"));
        text.parse().map(Self::Commit).map_err(other)
    }
}

fn key(text: &str) -> Result<String, &'static str> {
    let is_key = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_key.then(|| text.to_owned()).ok_or("a key is 1 to 255 letters, digits and signs")
}

/// Asks, and waits if that is wished.
///
/// # Errors
/// As the server refuses; with `--wait`, as [`watch::follow`].
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let key = args.idempotency_key.clone().unwrap_or_else(|| format!("cli-{}", ulid::Ulid::generate()));
    let json = signoff.ask(&body(app, &args)?, &key).await.inspect_err(|failure| {
        if failure.passes() {
            app.output.note(&format!(
                "Whether it was recorded is not known. To ask again without asking twice: --idempotency-key {key}"
            ));
        }
    })?;
    let request = Request::from_json(&json)?;
    if args.wait {
        let id =
            request.id.parse().map_err(|error: BadName| Failure::Failed(format!("the server's answer: {error}")))?;
        return watch::follow(app, &signoff, id, Some(json)).await;
    }
    if app.output.json {
        app.output.document(&json)?;
    } else {
        app.output.text(&render::request::block(&request, app.output.screen(), app.now()))?;
        if Exit::of(&request).is_some() {
            app.output.note("Nothing new was asked for: the idempotency key is that of this one, which is over. Ask with another key.");
        } else {
            app.output.note(&format!("To follow it: signoff watch {}", render::text::line(&request.id)));
        }
    }
    Ok(Exit::Done)
}

fn body(app: &App, args: &Args) -> Result<Value, Failure> {
    let mut body = json!({"stack": args.stack, "operation": args.operation, "reason": args.reason});
    let commit = match &args.commit {
        Some(Pin::Commit(commit)) => Some(commit.clone()),
        Some(Pin::Head) => {
            let head = git::head()?;
            for warning in &head.warnings {
                app.output.note(&format!("warning: {warning}"));
            }
            Some(head.commit)
        }
        None => None,
    };
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            body[key] = value.into();
        }
    };
    add("commit", commit.map(|commit| commit.to_string()));
    add("accessDuration", args.access_duration.as_ref().map(Period::to_string));
    add("grantExpiration", args.grant_expiration.as_ref().map(Period::to_string));
    add("pendingTimeout", args.pending_timeout.as_ref().map(Period::to_string));
    add("notBefore", args.not_before.as_ref().map(Timestamp::to_string));
    add("notAfter", args.not_after.as_ref().map(Timestamp::to_string));
    add("onBehalfOf", args.on_behalf_of.as_ref().map(Login::to_string));
    Ok(body)
}
