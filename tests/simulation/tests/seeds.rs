//! Some seeds in each test run (`make simulate` plays thousands), and that a seed plays the same way each time.

use signoff_simulation::coverage::Coverage;
use signoff_simulation::plan::Plan;
use signoff_simulation::run::run;

/// How many seeds each test plays; without optimisation each takes a while.
const SEEDS: usize = 30;

/// Whether a seed is short: its requests wait for minutes, and are looked at once in a minute.
fn is_short(seed: &u64) -> bool {
    let plan = Plan::of(*seed);
    plan.periods[0].ends_with('m') && plan.timing.sweep.as_secs() == 60
}

/// Plays the first short seeds from here on.
fn play(from: u64) -> Coverage {
    play_those(from, |_| true)
}

/// Plays the first short seeds from here on that have something in store.
fn play_those(from: u64, has: impl Fn(&Plan) -> bool) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in (from..).filter(is_short).filter(|seed| has(&Plan::of(*seed))).take(SEEDS) {
        let outcome = run(seed, false);
        let first = outcome.violations.first();
        assert!(first.is_none(), "{first:?}; see it step by step: make simulate SEED={seed}");
        coverage.merge(outcome.coverage);
    }
    coverage
}

#[test]
fn what_always_holds_holds_and_is_tried() {
    let coverage = play(1_000_000);
    for (kind, what) in [
        ("rule", "1 applied"),
        ("rule", "2 once"),
        ("rule", "3 ends"),
        ("rule", "4 closed"),
        ("rule", "5 replay"),
        ("rule", "6 approved"),
        ("rule", "7 no secret"),
        ("rule", "8 settings"),
        ("transition", "granted --deploying"),
        ("transition", "deploying --succeeded"),
    ] {
        assert!(coverage.count(kind, what) > 0, "{kind} {what} was never tried");
    }
    let faults = ["crash", "call fault", "ledger fault", "stream fault", "webhook fault", "clock fault", "index fault"];
    for kind in faults.into_iter().chain(["batch", "stands still, longer than its lease"]) {
        assert!(coverage.of_kind(kind) > 0, "{kind} never happened");
    }
}

#[test]
fn what_always_holds_holds_in_other_seeds() {
    play(2_000_000);
}

#[test]
fn what_is_pushed_and_what_was_refused_is_asked_for() {
    let mut coverage = play_those(4_000_000, |plan| plan.pushes.any);
    coverage.merge(play_those(4_000_000, |plan| plan.pushes.rescue && !plan.pushes.any));
    for (kind, what) in [
        ("rule", "10 asked for"),
        ("rule", "10 commit"),
        ("rule", "10 its head"),
        ("rule", "10 once"),
        ("rule", "10 overtaken"),
        ("rule", "10 superseded"),
        ("rule", "10 supersedes"),
        ("rule", "11 once"),
        ("rule", "11 refused"),
        ("end", "cancelled superseded"),
    ] {
        assert!(coverage.count(kind, what) > 0, "{kind} {what} was never tried");
    }
    assert!(coverage.of_kind("GitHub fault") > 0, "GitHub always answered");
}

#[test]
fn what_always_holds_holds_in_more_seeds() {
    play(3_000_000);
}

#[test]
fn what_is_expected_and_never_came_up_is_named() {
    let mut coverage = Coverage::default();
    coverage.add("webhook fault", "lost");
    let missing = coverage.missing();
    assert!(missing.contains(&("webhook fault", "twice")) && !missing.contains(&("webhook fault", "lost")));
    coverage.name_missing();
    let line = coverage.lines().into_iter().find(|line| line.ends_with("  twice"));
    assert_eq!(line.map(|line| line.split_whitespace().take(2).collect::<String>()), Some("00".to_owned()));
}

#[test]
fn a_seed_plays_the_same_way_each_time() {
    for seed in (1..).filter(is_short).take(3) {
        let (one, other) = (run(seed, false), run(seed, false));
        assert_eq!(one.steps, other.steps, "seed {seed}");
        assert_eq!(one.coverage.lines(), other.coverage.lines(), "seed {seed}");
    }
}
