//! `signoff audit export`: the trail as lines of JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;
use signoff_core::period::Period;

use crate::app::App;
use crate::client::signoff::Signoff;
use crate::failure::{Exit, Failure};
use crate::output::closed;
use crate::render::text;

/// The options of `signoff audit export`.
#[derive(clap::Args)]
#[command(after_help = "\
For admins of the organization.
A time is 2026-11-23T20:00:00Z, a day (its first moment, UTC), or how long ago, such as 7d.
With --output the file appears when it is complete, or not at all.

Examples:
  signoff audit export --since 2026-11-01 --until 2026-12-01 --output november.ndjson
  signoff audit export --since 24h | jq -r 'select(.data.to == \"granted\") | .subject'")]
pub(crate) struct Args {
    /// Only events from this time on (default: from the first)
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only events before this time (default: until now)
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// The file to write (default: standard output)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A moment, or how long ago one was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum When {
    At(Timestamp),
    Ago(Period),
}

impl FromStr for When {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(period) = text.parse() {
            return Ok(Self::Ago(period));
        }
        text.parse::<Date>()
            .and_then(|day| format!("{day}T00:00:00Z").parse())
            .map(Self::At)
            .map_err(|_| "a time is 2026-11-23T20:00:00Z, 2026-11-23, or how long ago, such as 7d")
    }
}

impl When {
    /// The moment, as seen from now.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => *at,
            Self::Ago(period) => now.saturating_sub(period.duration()).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Exports.
///
/// # Errors
/// As the server refuses, and if the output can't be written. What was written to standard output until then is not the whole.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let now = app.now();
    let text = |when: &Option<When>| when.as_ref().map(|when| when.at(now).to_string());
    let (since, until) = (text(&args.since), text(&args.until));
    let bounds = (since.as_deref(), until.as_deref());
    let Some(file) = &args.output else {
        let is_terminal = io::stdout().is_terminal();
        let mut is_begun = false;
        let show = |page: &str| {
            let page = if is_terminal { text::safe_json(page) } else { page.to_owned() };
            let mut stdout = io::stdout().lock();
            is_begun |= !page.is_empty();
            stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()).map_err(closed)
        };
        let done = copy(&signoff, bounds, show).await;
        if is_begun && !matches!(done, Ok(_) | Err(Failure::OutputClosed)) {
            app.output.note("What was printed is not the whole trail.");
        }
        return done.map(|_| Exit::Done);
    };
    let mut draft = Draft::create(file)?;
    let events = copy(&signoff, bounds, |page| draft.write(page)).await?;
    draft.finish()?;
    let name = text::line(&file.display().to_string());
    if app.output.json {
        app.output.document(&json!({"output": name, "events": events}))?;
    } else {
        let count = if events == 1 { "1 event".to_owned() } else { format!("{events} events") };
        app.output.text(&format!("{count} written to {name}"))?;
    }
    Ok(Exit::Done)
}

/// Copies the trail page by page; gives the number of events.
async fn copy(
    signoff: &Signoff,
    (since, until): (Option<&str>, Option<&str>),
    mut write: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut next = Some(signoff.audit(since, until));
    let mut events = 0;
    while let Some(url) = next {
        let page = signoff.audit_page(&url).await?;
        let mut lines = String::with_capacity(page.text.len() + 1);
        for line in page.text.lines().filter(|line| !line.trim().is_empty()) {
            serde_json::from_str::<serde::de::IgnoredAny>(line)
                .map_err(|_| Failure::Failed(format!("event {} of the server's answer is not JSON", events + 1)))?;
            lines += line;
            lines.push('\n');
            events += 1;
        }
        write(&lines)?;
        next = page.next;
    }
    Ok(events)
}

/// A file that is being written beside the place where it will be.
struct Draft {
    file: Option<File>,
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    fn create(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().ok_or_else(|| Failure::Usage("--output is the name of a file".to_owned()))?;
        let path = target.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| failed(target, &error))?;
        Ok(Self { file: Some(file), path, target: target.to_owned() })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(&self.target, &error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let synced = self.file.take().map_or(Ok(()), |file| file.sync_all());
        let moved = synced.and_then(|()| std::fs::rename(&self.path, &self.target));
        moved.map_err(|error| {
            let _ = std::fs::remove_file(&self.path);
            failed(&self.target, &error)
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_days_or_ago() {
        let now: Timestamp = "2026-11-23T20:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<When>().map(|when| when.at(now).to_string());
        assert_eq!(at("2026-11-23T20:00:00+01:00").unwrap(), "2026-11-23T19:00:00Z");
        assert_eq!(at("2026-11-23").unwrap(), "2026-11-23T00:00:00Z");
        assert_eq!(at("7d").unwrap(), "2026-11-16T20:00:00Z");
        assert!(at("yesterday").is_err() && at("").is_err());
    }
}
