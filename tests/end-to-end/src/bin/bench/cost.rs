//! What one gated deployment costs: calls to Pulumi Cloud, and DynamoDB write units.
//!
//! The write units are those that the ledger counted for each of its writes. The embedded store computes them from the items' sizes by AWS's published
//! rules: a unit for each KB of the larger of the old and the new item, twice that in a transaction, and a unit for each index entry that
//! appears, goes or changes in place, two for one that moves.

use std::collections::BTreeMap;
use std::time::Duration;

use pulumi_sim::Timing;

use crate::gate::{Directory, Gate, free_port, progress};
use crate::world::{World, about_change_request, about_deployment};
use crate::{Line, Result, print};

/// Sweeps don't come into this.
const NEVER: &str = "1h";
/// Only the units.
const LOG: &str = "error,signoff::units=debug";
/// The kinds of write that a webhook costs at the door.
const DOOR: &str = "HOOK";

/// One way of measuring.
struct Case {
    what: &'static str,
    stack: &'static str,
    imports: u64,
    /// Every webhook that Pulumi Cloud sends, or only one after the approval and one at the end.
    all_webhooks: bool,
}

const CASES: [Case; 4] = [
    Case { what: "one environment", stack: "acme/web/prod", imports: 0, all_webhooks: false },
    Case { what: "one environment, every webhook", stack: "acme/web/prod", imports: 0, all_webhooks: true },
    Case { what: "one gated import", stack: "acme/platform/prod", imports: 1, all_webhooks: false },
    Case { what: "one gated import, every webhook", stack: "acme/platform/prod", imports: 1, all_webhooks: true },
];

/// What a deployment cost.
pub(crate) struct Cost {
    case: &'static Case,
    calls: Vec<(String, u64)>,
    units: BTreeMap<String, Units>,
}

#[derive(Default, Clone, Copy)]
struct Units {
    writes: u64,
    units: f64,
    refused: u64,
    refused_units: f64,
}

/// Measures each case on a store of its own.
pub(crate) async fn measure() -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for case in &CASES {
        progress(&format!("cost: {}", case.what));
        let idle = run(case, false).await?;
        let mut cost = run(case, true).await?;
        // What a start costs by itself is not the deployment's.
        for (kind, before) in idle.units {
            if let Some(units) = cost.units.get_mut(&kind) {
                units.writes = units.writes.saturating_sub(before.writes);
                units.units -= before.units;
                units.refused = units.refused.saturating_sub(before.refused);
                units.refused_units -= before.refused_units;
            }
        }
        cost.units.retain(|_, units| units.writes + units.refused > 0);
        costs.push(cost);
    }
    Ok(costs)
}

async fn run(case: &'static Case, deploy: bool) -> Result<Cost> {
    let world = World::start(0, Timing { accept_ms: 100, run_ms: 300 }).await?;
    let directory = Directory::new("cost")?;
    let port = free_port()?;
    if case.all_webhooks {
        world.announce_to(port);
    }
    let (gate, _) = Gate::start(&directory, port, &world.sim.url(), NEVER, LOG).await?;
    if deploy {
        let request = gate.ask(case.stack).await?;
        let ids = world.submitted(&request, case.imports as usize + 1).await?;
        world.quiet().await;
        world.approve(&ids)?;
        if !case.all_webhooks {
            gate.ring("approved", "change_request", &about_change_request(&ids[0])).await?;
        }
        world.done(&request).await?;
        world.quiet().await;
        if !case.all_webhooks {
            gate.ring("deployed", "deployment", &about_deployment(case.stack)).await?;
            world.quiet().await;
        }
        let calls = world.calls();
        let state = gate.state(&request).await?;
        if state != "succeeded" {
            return Err(format!("{request} is {state}").into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        gate.stop().await?;
        return Ok(Cost { case, calls, units: units(&directory)? });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.stop().await?;
    Ok(Cost { case, calls: Vec::new(), units: units(&directory)? })
}

/// What the process said at its end.
fn units(directory: &Directory) -> Result<BTreeMap<String, Units>> {
    let log = std::fs::read_to_string(directory.log())?;
    let mut all = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("signoff::units")) {
        let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str| -> Result<f64> { Ok(field(name).ok_or("a line without its figures")?.parse()?) };
        let units = Units {
            writes: number("writes")? as u64,
            units: number("units")?,
            refused: number("refused")? as u64,
            refused_units: number("refused_units")?,
        };
        all.insert(field("kind").ok_or("a line without its kind")?.to_owned(), units);
    }
    if all.is_empty() {
        return Err("signoff did not say what it wrote".into());
    }
    Ok(all)
}

impl Cost {
    /// For the table of all figures.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let what = self.case.what;
        let goal = |text: String| if self.case.all_webhooks { String::new() } else { text };
        let calls: u64 = self.calls.iter().map(|(_, count)| count).sum();
        let sum = |door: bool| -> f64 {
            let theirs = self.units.iter().filter(|(kind, _)| (*kind == DOOR) == door);
            theirs.map(|(_, units)| units.units + units.refused_units).sum()
        };
        let units = format!("{} (and {} for deliveries)", sum(false), sum(true));
        vec![
            Line::new(
                format!("calls to Pulumi Cloud: {what}"),
                calls.to_string(),
                goal(format!("≤ {}", 22 + 6 * self.case.imports)),
            ),
            Line::new(format!("write units: {what}"), units, goal("≤ 60".to_owned())),
        ]
    }

    /// Item by item.
    pub(crate) fn print(&self) {
        let calls =
            self.calls.iter().map(|(call, count)| vec![call.clone(), count.to_string(), purpose(call).to_owned()]);
        print(&[&format!("calls: {}", self.case.what), "count", "what for"], calls);
        let rows = self.units.iter().map(|(kind, units)| {
            let numbers = [units.writes.to_string(), units.units.to_string()];
            let refused = [units.refused.to_string(), units.refused_units.to_string()];
            [vec![kind.clone()], numbers.to_vec(), refused.to_vec()].concat()
        });
        print(&[&format!("writes: {}", self.case.what), "writes", "units", "refused", "units at least"], rows);
    }
}

/// What a call is for.
fn purpose(_call: &str) -> &'static str {
    ""
}
