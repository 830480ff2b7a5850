//! `make bench`: how fast and how big signoff is on this machine. It runs the real release binary against the simulated Pulumi Cloud, and prints
//! what it measured with the goal beside it; `bench cost`, `bench speed` and `bench lambda` measure a part of it. It takes some minutes, and a
//! quarter of an hour more when the archives have to be built first, and judges nothing: a busy machine is no bug.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod cost;
mod gate;
mod lambda;
mod runtime;
mod speed;
mod units;
mod world;
mod writes;

use std::error::Error;

/// Whatever keeps a measurement from being taken.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A line of the table.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) goal: String,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, measured: impl Into<String>, goal: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), goal: goal.into() }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut lines = Vec::new();
    if wanted("cost") {
        for cost in cost::measure().await? {
            cost.print();
            lines.extend(cost.lines());
        }
    }
    if wanted("speed") {
        lines.extend(speed::measure().await?);
    }
    if wanted("lambda") {
        lines.extend(lambda::measure().await?);
    }
    print(&["what", "measured", "goal"], lines.into_iter().map(|line| vec![line.what, line.measured, line.goal]));
    Ok(())
}

/// Prints a table as Markdown, its columns aligned.
pub(crate) fn print(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.insert(0, heads.iter().map(|head| (*head).to_owned()).collect());
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    rows.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    println!();
}
