//! Checking trails against signed checkpoints: what a hash chain by itself can't show.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signoff_core::checkpoint::{Comparison, Disagreement, Inspection, Span, Witness, inspect};
use signoff_functions::checkpoint::VerifyingKey;

use super::trail::{Finding, Trails, Verdict};
use crate::app::App;
use crate::failure::Failure;
use crate::render::text::line;

/// Where checkpoints are, and whose.
#[derive(clap::Args)]
pub(crate) struct Against {
    /// Signed checkpoints to compare it with
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "request")]
    checkpoints: Option<PathBuf>,
    /// The key that signed them, its public half or the whole, in PEM
    #[arg(long, value_name = "FILE", requires = "checkpoints")]
    key: Option<PathBuf>,
}

/// Checkpoints that were read, and whether they are whole.
pub(super) struct Checkpoints {
    inspection: Inspection,
}

/// What they say of a trail.
pub(super) struct Said {
    inspection: Inspection,
    comparison: Comparison,
    /// Something is not there that checkpoints saw, and nothing says that it need not be.
    is_shorter: bool,
}

impl Against {
    /// Reads them, if they are asked for. They have to be read before the trail: what is in them is then in the trail too.
    pub(super) fn read(&self) -> Result<Option<Checkpoints>, Failure> {
        let (Some(file), Some(key)) = (&self.checkpoints, &self.key) else { return Ok(None) };
        let key = VerifyingKey::read(key).map_err(|error| Failure::Failed(error.to_string()))?;
        let inspection = inspect(&text(file)?, key.name(), |message, signature| key.is_signed(message, signature));
        if inspection.checkpoints.is_empty() && inspection.faults.is_empty() {
            return Err(Failure::Failed(format!("{}: there are no checkpoints in it", file.display())));
        }
        Ok(Some(Checkpoints { inspection }))
    }
}

fn text(file: &Path) -> Result<String, Failure> {
    // A write that was cut short may have left half a character.
    let bytes = std::fs::read(file).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Checkpoints {
    /// Compares trails with them, which are meant to be all events of the span.
    pub(super) fn compare(self, trails: &Trails, span: Span) -> Said {
        let comparison = Witness::new(&self.inspection.checkpoints).compare(trails.events(), span);
        let is_missing = |one: &Disagreement| matches!(one, Disagreement::Missing { .. } | Disagreement::Gone { .. });
        let is_shorter = comparison.disagreements.values().any(is_missing);
        Said { inspection: self.inspection, comparison, is_shorter }
    }
}

impl Said {
    /// Adds to the verdicts what the chains by themselves do not show.
    pub(super) fn add_to(&self, verdicts: &mut Vec<Verdict>) {
        for (request, disagreement) in &self.comparison.disagreements {
            let (subject, why) = (request.to_string(), disagreement.to_string());
            match verdicts.iter_mut().find(|verdict| verdict.subject == subject) {
                Some(Verdict { finding: Finding::Broken(_), .. }) => {}
                Some(verdict) => verdict.finding = Finding::Broken(why),
                None => verdicts.push(Verdict { subject, events: 0, finding: Finding::Broken(why) }),
            }
        }
    }

    /// How much is wrong with the checkpoints themselves.
    pub(super) fn faults(&self) -> usize {
        self.inspection.faults.len()
    }

    /// A line for each fault, and one for the whole.
    pub(super) fn text(&self, app: &App) -> String {
        let mut text = String::new();
        for fault in &self.inspection.faults {
            let why = line(&fault.flaw.to_string());
            text += &format!("{}  checkpoints, line {}  {why}\n", app.output.paint.bad("BROKEN"), fault.line);
        }
        if let Some(last) = self.inspection.checkpoints.last() {
            let Comparison { vouched, newer, .. } = &self.comparison;
            let count = self.inspection.checkpoints.len();
            let word = if self.faults() == 0 { app.output.paint.good("ok") } else { "  ".to_owned() };
            text += &format!(
                "{word}      {count} {}, the last is {} of {}; {vouched} of the events are up to what they saw, {newer} newer\n",
                if count == 1 { "checkpoint" } else { "checkpoints" },
                last.number,
                last.time,
            );
        }
        text
    }

    /// What is to be known besides.
    pub(super) fn notes(&self, is_bounded: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_shorter && !is_bounded {
            notes.push(
                "What is missing need not be tampering if the file was exported of a shorter time, or before the last checkpoint: say so with --since and --until."
                    .to_owned(),
            );
        }
        if !self.inspection.torn.is_empty() {
            let lines: Vec<String> = self.inspection.torn.iter().map(usize::to_string).collect();
            notes.push(format!(
                "Not a checkpoint, but one whose writing was cut short: line {} of the checkpoints.",
                lines.join(", ")
            ));
        }
        if !self.comparison.elsewhere.is_empty() {
            let names: Vec<&str> = self.comparison.elsewhere.iter().map(|one| one.as_str()).collect();
            notes.push(format!("The checkpoints also speak of {}, of which nothing is in here.", names.join(", ")));
        }
        notes
    }

    /// All of it, for programs.
    pub(super) fn json(&self) -> Value {
        let last = self.inspection.checkpoints.last();
        let fault = |fault: &signoff_core::checkpoint::Fault| format!("line {}: {}", fault.line, fault.flaw);
        json!({
            "count": self.inspection.checkpoints.len(),
            "last": last.map(|last| json!({"number": last.number, "time": last.time, "through": last.through})),
            "faults": self.inspection.faults.iter().map(fault).collect::<Vec<String>>(),
            "cutShort": self.inspection.torn,
            "vouched": self.comparison.vouched,
            "newer": self.comparison.newer,
            "elsewhere": self.comparison.elsewhere,
        })
    }
}
