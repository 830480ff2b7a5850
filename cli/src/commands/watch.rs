//! `signoff watch`: follow a request until it is over.

use std::time::Duration;

use serde_json::Value;
use signoff_core::names::RequestId;

use crate::app::App;
use crate::client::model::{Blocker, Request};
use crate::client::signoff::Signoff;
use crate::failure::{Exit, Failure};
use crate::render::request::{asks_for_approval, awaited, how_to_approve, how_to_review, is_unapproved};
use crate::render::text::{line, wrap};
use crate::render::time;

/// How soon to look again after a change.
const FASTEST: Duration = Duration::from_secs(1);
/// How soon to look again when nothing changes.
const SLOWEST: Duration = Duration::from_secs(5);
/// The same while approvals are awaited: that takes hours, and each look costs whoever runs signoff.
const AWAITING: Duration = Duration::from_secs(30);
/// How soon to try again when the server is away for long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where what belongs to a change begins, in characters from the left: behind the clock.
const INDENT: usize = 11;

/// The options of `signoff watch`.
#[derive(clap::Args)]
#[command(after_help = "\
The exit code says how the request ended: 0 deployed, 1 error, 3 rejected, expired or cancelled, 4 the deployment failed.
Where the output is closed before the end, the watching goes on, silently, for the exit code.
With --json each change is a line with the whole request.

Examples:
  signoff watch req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3
  signoff watch req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --json | jq -r .state")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
}

/// Watches.
///
/// # Errors
/// As [`follow`].
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    follow(app, &app.signoff()?, args.id, None).await
}

/// Follows a request to its end, from `first` on if it was read before, and prints each change. A server that is away is waited for, once it was there.
///
/// # Errors
/// As the server refuses; [`Failure::Interrupted`] by Ctrl-C.
pub(crate) async fn follow(app: &App, signoff: &Signoff, id: RequestId, first: Option<Value>) -> Result<Exit, Failure> {
    let done = tokio::select! {
        done = poll(app, signoff, id, first) => done,
        // Without a way to hear of Ctrl-C it simply ends the program.
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    if matches!(done, Err(Failure::Interrupted)) {
        app.output.note(&format!("\nThe request goes on without you.\n  To look again:    signoff watch {id}\n  To take it back:  signoff cancel {id} --reason '…'"));
    }
    done
}

async fn poll(app: &App, signoff: &Signoff, id: RequestId, first: Option<Value>) -> Result<Exit, Failure> {
    let mut progress = Progress::default();
    let mut pause = FASTEST;
    let mut away: Option<Duration> = None;
    let mut next = first;
    let mut was_there = next.is_some();
    loop {
        let read = match next.take() {
            Some(json) => Ok(json),
            None => signoff.request(id).await,
        };
        match read {
            Ok(json) => {
                if away.take().is_some() {
                    app.output.note("signoff answers again");
                }
                was_there = true;
                let request = Request::from_json(&json)?;
                let has_changed = progress.show(app, &request, &json)?;
                if let Some(exit) = Exit::of(&request) {
                    return Ok(exit);
                }
                let slowest = if asks_for_approval(&request) { AWAITING } else { SLOWEST };
                pause = if has_changed { FASTEST } else { (pause * 5 / 4).min(slowest) };
                tokio::time::sleep(pause).await;
            }
            // An address where nobody ever answered is more likely a wrong one.
            Err(Failure::Unreachable(why)) if !was_there => return Err(Failure::Unreachable(why)),
            Err(failure) if failure.passes() => {
                was_there = true;
                let wait = away.map_or(FASTEST, |before| (before * 2).min(PATIENCE));
                if away.replace(wait).is_none() {
                    app.output.note(&format!("{}; trying again until it answers", line(&failure.to_string())));
                }
                tokio::time::sleep(failure.retry_after().map_or(wait, |asked| asked.clamp(FASTEST, PATIENCE))).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// What was shown last, so that only changes are.
#[derive(Default)]
struct Progress {
    state: String,
    blockers: Vec<Blocker>,
    invited: Vec<String>,
    is_invited: bool,
    is_ending: bool,
    deployment: String,
    lifted: usize,
}

impl Progress {
    /// Shows what is new; whether anything is.
    fn show(&mut self, app: &App, request: &Request, json: &Value) -> Result<bool, Failure> {
        let lines = self.news(app, request);
        if lines.is_empty() {
            return Ok(false);
        }
        let shown = if app.output.json { app.output.line(json) } else { app.output.text(&lines.join("\n")) };
        match shown {
            // Nobody looks any more, but the exit code still says how it ended.
            Ok(()) | Err(Failure::OutputClosed) => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    fn news(&mut self, app: &App, request: &Request) -> Vec<String> {
        let mut lines = Vec::new();
        let screen = app.output.screen();
        let paint = screen.paint;
        let indent = " ".repeat(INDENT);
        let sentence = |text: &str| {
            let pieces = wrap(text, screen.beside(INDENT + 2)).into_iter().enumerate();
            let lines = pieces.map(|(index, piece)| format!("{indent}{}{piece}", if index == 0 { "" } else { "  " }));
            lines.collect::<Vec<_>>()
        };
        if self.state.is_empty() {
            let (operation, stack) = (line(&request.operation), line(&request.stack));
            lines.push(format!("{}  {operation} {stack}", paint.bold(&line(&request.id))));
        }
        if self.state != request.state {
            // Since when it is in a state shows when it comes to it, and in the last: in others it may have had events since.
            let is_known = !self.state.is_empty() || Exit::of(request).is_some();
            let since = if is_known { time::short(&request.updated_at, app.now()) } else { " ".repeat(INDENT - 2) };
            self.state.clone_from(&request.state);
            lines.push(format!("{}  {}", paint.dim(&since), paint.state(&request.state, &line(&request.state))));
        }
        if asks_for_approval(request) {
            if !std::mem::replace(&mut self.is_invited, true) {
                lines.extend(how_to_approve(request).map(|command| format!("{indent}approve: {command}")));
            }
            for change_request in request.change_requests.iter().filter(|known| is_unapproved(request, known)) {
                if !self.invited.contains(&change_request.id) {
                    self.invited.push(change_request.id.clone());
                    lines.push(format!("{indent}{} asks for approval", line(&change_request.environment)));
                    let hints = how_to_review(request, change_request).into_iter();
                    lines.extend(hints.map(|hint| format!("{indent}  {hint}")));
                }
            }
        } else {
            // Should an approval be withdrawn, all of it is said again.
            self.is_invited = false;
            self.invited.clear();
        }
        if let Some(ending) = request.ending.as_ref().filter(|_| !std::mem::replace(&mut self.is_ending, true)) {
            let (state, why) = (line(&ending.state), line(&ending.outcome.message));
            lines.extend(sentence(&format!("will be {state}: {why}")));
        }
        if self.lifted < request.lifted.len() {
            self.lifted = request.lifted.len();
            lines.extend(sentence(&format!("THE GLASS WAS BROKEN, lifted: {}", line(&request.lifted.join(", ")))));
        }
        if self.blockers != request.blockers {
            let is_new = |blocker: &&Blocker| !self.blockers.contains(blocker);
            for blocker in request.blockers.iter().filter(is_new) {
                lines.extend(sentence(&format!("waits for {}", awaited(blocker))));
            }
            self.blockers.clone_from(&request.blockers);
        }
        if let Some(deployment) = &request.deployment {
            let status = deployment.status.as_deref().unwrap_or_default();
            let shown = format!("deployment #{} {} {}", deployment.version, line(status), line(&deployment.url));
            if self.deployment != shown {
                lines.push(format!("{indent}{shown}"));
                self.deployment = shown;
            }
        }
        if let (Some(_), Some(outcome)) = (Exit::of(request), &request.outcome) {
            lines.extend(sentence(&line(&outcome.message)));
        }
        lines
    }
}
