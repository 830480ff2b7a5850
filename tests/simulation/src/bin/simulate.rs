//! `make simulate`: plays seeds, and says what did not hold and how to see it step by step.
//!
//! `simulate [--seeds N] [--seconds N] [--from N] [--threads N] [--fails N] [--seed N]`: each seed is played by one thread, whichever; with
//! `--fails` so many failures it stops; one seed (`--seed`) is told step by step.
#![expect(clippy::print_stdout, reason = "this is what people read")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use signoff_simulation::coverage::{Coverage, RELIABLE_SEEDS};
use signoff_simulation::run::run;

/// A third of the time would go into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was asked for.
struct Options {
    seeds: u64,
    seconds: u64,
    from: u64,
    threads: u64,
    fails: u64,
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        println!("usage: simulate [--seeds N] [--seconds N] [--from N] [--threads N] [--fails N] [--seed N]");
        return ExitCode::from(2);
    };
    match options.seed {
        Some(seed) => one(seed),
        None => many(&options),
    }
}

fn options() -> Option<Options> {
    let mut options = Options { seeds: 20_000, seconds: 300, from: 1, threads: 1, fails: 10, seed: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number: u64 = words.next()?.parse().ok()?;
        match word.as_str() {
            "--seeds" => options.seeds = number,
            "--seconds" => options.seconds = number,
            "--from" => options.from = number,
            "--threads" => options.threads = number.max(1),
            "--fails" => options.fails = number.max(1),
            "--seed" => options.seed = Some(number),
            _ => return None,
        }
    }
    Some(options)
}

fn one(seed: u64) -> ExitCode {
    let outcome = run(seed, true);
    for violation in &outcome.violations {
        println!("seed {seed} violates «{}» at {}: {}", violation.rule, violation.at, violation.what);
    }
    println!("seed {seed}: {} steps, {} violations", outcome.steps, outcome.violations.len());
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    steps: u64,
    played: u64,
    failed: u64,
}

#[expect(clippy::disallowed_methods, reason = "how fast it is, and when the time is up")]
fn many(options: &Options) -> ExitCode {
    let began = Instant::now();
    let sum = Mutex::new(Sum::default());
    let next = AtomicU64::new(options.from);
    let end = options.from.saturating_add(options.seeds);
    let play = || {
        let mut told = Instant::now();
        while began.elapsed() < Duration::from_secs(options.seconds) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run(seed, false);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.coverage.merge(outcome.coverage);
            (sum.steps, sum.played) = (sum.steps + outcome.steps, sum.played + 1);
            if let Some(violation) = outcome.violations.first() {
                sum.failed += 1;
                println!("seed {seed} violates «{}» at {}: {}", violation.rule, violation.at, violation.what);
                println!("  see it step by step: make simulate SEED={seed}");
            }
            if sum.failed >= options.fails {
                return;
            }
            if told.elapsed() >= Duration::from_secs(60) {
                told = Instant::now();
                println!("… {} seeds in {} s, {} failed", sum.played, began.elapsed().as_secs(), sum.failed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(play);
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = sum.coverage.missing();
    sum.coverage.name_missing();
    for line in sum.coverage.lines() {
        println!("{line}");
    }
    println!(
        "{} seeds in {seconds:.1} s: {:.1} seeds and {:.0} steps a second; {} failed",
        sum.played,
        sum.played as f64 / seconds,
        sum.steps as f64 / seconds,
        sum.failed
    );
    // Fewer seeds may leave something out by chance, and those that stop at a failure do.
    let is_left_out = sum.failed == 0 && sum.played >= RELIABLE_SEEDS && !missing.is_empty();
    if is_left_out {
        println!(
            "{} seeds were played, and these never came up; either nothing leads there any more, or expected.txt is wrong:",
            sum.played
        );
        for (kind, what) in &missing {
            println!("  {kind}: {what}");
        }
    }
    if sum.failed == 0 && !is_left_out { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
