//! `make load`: what signoff does under load, and that nothing grows with its history. The real binary runs on stores that were filled beforehand, one with a
//! tenth of the history of the other; the same is measured on both and printed side by side. `make soak` lets requests come and go for as long as
//! wanted, and watches the memory.
//!
//! It fails where something is answered wrongly or takes long, where a flood costs more calls at Pulumi Cloud than it may, or where more history makes a call
//! slower or takes memory.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod calls;
mod fill;
mod flood;
mod soak;
mod sweep;
mod world;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use world::{Size, World};

/// Whatever keeps a measurement from being taken.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What was measured, in the order of measuring: the name, the figure as it is shown, and what has to hold of it.
pub(crate) type Figures = Vec<Figure>;

/// One figure.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) shown: String,
    pub(crate) holds: Holds,
}

/// What has to hold of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holds {
    /// Nothing: it is to be known.
    Anything,
    /// This is true.
    True(bool),
    /// With ten times the history it is no more than twice as much, or this much more.
    Flat {
        /// What was measured.
        value: f64,
        /// By how much it may differ, whatever it is.
        slack: f64,
    },
    /// With ten times the history it is no more than this much more.
    Same {
        /// What was measured.
        value: f64,
        /// By how much it may differ.
        slack: f64,
    },
    /// The median is flat in that way, and the 99th percentile is below [`P99`], whatever the history.
    Quick {
        /// The median, in milliseconds.
        median: f64,
        /// By how much it may differ, whatever it is.
        slack: f64,
        /// The 99th percentile, in milliseconds.
        p99: f64,
    },
}

/// The longest that the 99th percentile of any call may be, in milliseconds. Generous: whoever measures may have to share the machine.
const P99: f64 = 500.0;

impl Figure {
    pub(crate) fn new(what: impl Into<String>, shown: impl Into<String>, holds: Holds) -> Self {
        Self { what: what.into(), shown: shown.into(), holds }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("soak") {
        return soak::soak(Duration::from_secs(number("SECONDS", 3600)?)).await;
    }
    let seconds = number("SECONDS", 20)?;
    let large = Size { finished: number("FINISHED", 6_000)?, open: number("OPEN", 200)? };
    let small = Size { finished: large.finished / 10, open: large.open };
    let mut columns = Vec::new();
    for size in [small, large] {
        progress(&format!("{} finished and {} open requests", size.finished, size.open));
        columns.push(measure(size, Duration::from_secs(seconds), number("REPLAYS", 2_000)?).await?);
    }
    let failed = print([small, large], &columns);
    if failed.is_empty() { Ok(()) } else { Err(format!("does not hold: {}", failed.join("; ")).into()) }
}

async fn measure(size: Size, time: Duration, replays: usize) -> Result<Figures> {
    let (world, mut figures) = World::start(size).await?;
    figures.extend(sweep::measure(&world).await?);
    figures.extend(calls::measure(&world).await?);
    figures.extend(calls::writes(&world).await?);
    figures.extend(flood::steady(&world, time).await?);
    figures.extend(flood::bad_tokens(&world, time / 4).await?);
    figures.extend(flood::replays(&world, replays).await?);
    figures.push(world.memory("VmRSS", "memory at the end")?);
    figures.push(world.memory("VmHWM", "memory at its peak")?);
    world.stop().await?;
    Ok(figures)
}

/// Prints both columns; gives what does not hold.
fn print(sizes: [Size; 2], columns: &[Figures]) -> Vec<String> {
    let heads = sizes.map(|size| format!("{} finished, {} open", size.finished, size.open));
    let mut rows = vec![["what".to_owned(), heads[0].clone(), heads[1].clone(), "holds".to_owned()]];
    let mut failed = Vec::new();
    let second: BTreeMap<&str, &Figure> = columns[1].iter().map(|figure| (figure.what.as_str(), figure)).collect();
    for one in &columns[0] {
        let Some(other) = second.get(one.what.as_str()) else { continue };
        let verdict = match (one.holds, other.holds) {
            (Holds::True(one), Holds::True(other)) => Some(one && other),
            (Holds::Flat { value, slack }, Holds::Flat { value: more, .. }) => Some(more <= value * 2.0 + slack),
            (Holds::Same { value, slack }, Holds::Same { value: more, .. }) => Some(more <= value + slack),
            (Holds::Quick { median, slack, p99: one }, Holds::Quick { median: more, p99: other, .. }) => {
                Some(more <= median * 2.0 + slack && one.max(other) <= P99)
            }
            _ => None,
        };
        if verdict == Some(false) {
            failed.push(one.what.clone());
        }
        let word = verdict.map_or("", |holds| if holds { "yes" } else { "NO" });
        rows.push([one.what.clone(), one.shown.clone(), other.shown.clone(), word.to_owned()]);
    }
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    rows.insert(1, widths.map(|width| "-".repeat(width)));
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    failed
}

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "the entry point, where sizes are read once")]
fn number<T: FromStr>(variable: &str, usual: T) -> Result<T> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| format!("{variable} is no number: {text:?}").into()),
        _ => Ok(usual),
    }
}

/// Says how far it is, on standard error.
pub(crate) fn progress(what: &str) {
    let _unseen = writeln!(std::io::stderr(), "load: {what}");
}

/// Median, 99th percentile and worst of times in milliseconds, and how they are shown.
pub(crate) fn summary(mut millis: Vec<f64>) -> (f64, f64, String) {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = millis.len().saturating_sub(1);
        millis.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    };
    (at(0.5), at(0.99), format!("p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms", at(0.5), at(0.99), at(1.0)))
}
