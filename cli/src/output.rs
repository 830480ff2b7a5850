//! Where everything is written: results to standard output, what is said besides to standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::render::paint::Paint;
use crate::render::screen::Screen;
use crate::render::text;

/// The two streams, and how to write to them.
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Colours, where standard output is a terminal.
    pub(crate) paint: Paint,
}

impl Output {
    /// Writes JSON if `json`; in colours if standard output is a terminal, unless `no_color`.
    pub(crate) fn new(json: bool, no_color: bool) -> Self {
        Self { json, paint: Paint { on: !json && !no_color && io::stdout().is_terminal() } }
    }

    /// Standard output, as people see it now: a terminal has a width, which may change.
    pub(crate) fn screen(&self) -> Screen {
        let size = terminal_size::terminal_size_of(io::stdout());
        // A terminal that does not know its size says 0.
        let width = size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
        Screen { paint: self.paint, width }
    }

    /// Writes a text, which ends with a line break if it is not empty.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write(&format!("{text}{end}"))
    }

    /// Writes a JSON document over several lines.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
        write(&format!("{}\n", text::safe_json(&json)))
    }

    /// Writes a JSON document on one line.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
        write(&format!("{}\n", text::safe_json(&json)))
    }

    /// Says something besides, on standard error. What others wrote has to be cleaned before.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Says what failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        match failure {
            Failure::Interrupted | Failure::OutputClosed => {}
            other => self.note(&format!("signoff: {}", text::block(&other.to_string()))),
        }
    }
}

fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(closed)
}

/// A reader that went away ends the program quietly.
pub(crate) fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Failed(format!("the output can't be written: {error}")),
    }
}
