//! What one gated deployment costs: calls to Pulumi Cloud, and DynamoDB write units.

use std::collections::BTreeMap;

use pulumi_sim::Timing;

use crate::gate::{Directory, Gate, free_port, progress};
use crate::world::{World, about_change_request, about_deployment};
use crate::writes::{self, Write};
use crate::{Line, Result, print};

/// Sweeps don't come into this.
const NEVER: &str = "1h";
/// What the goals are.
const UNITS: usize = 60;
const CALLS: u64 = 22;
const CALLS_PER_IMPORT: u64 = 6;

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

impl Case {
    /// How many of so many calls are polling: looks at the change requests while approvals are awaited, at the deployment while its end is. Each
    /// change request is read three times besides (after the submission, after the apply, before the deployment), the stack's deployments twice (before the
    /// apply and before the deployment).
    fn polling(&self, call: &str, count: u64) -> u64 {
        let needed = match call {
            "GET /api/change-requests/*/*" => 3 * (1 + self.imports),
            "GET /api/stacks/*/*/*/deployments" => 2,
            "GET /api/stacks/*/*/*/deployments/*" => 0,
            _ => count,
        };
        count.saturating_sub(needed)
    }
}

/// What a deployment cost.
pub(crate) struct Cost {
    case: &'static Case,
    calls: Vec<(String, u64)>,
    writes: Vec<Write>,
}

/// Measures each case on a store of its own.
pub(crate) async fn measure() -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for case in &CASES {
        progress(&format!("cost: {}", case.what));
        costs.push(run(case).await?);
    }
    Ok(costs)
}

async fn run(case: &'static Case) -> Result<Cost> {
    let world = World::start(0, Timing { accept_ms: 100, run_ms: 300 }).await?;
    let directory = Directory::new("cost")?;
    let port = free_port()?;
    if case.all_webhooks {
        world.announce_to(port);
    }
    let (gate, _) = Gate::start(&directory, port, &world.sim.url(), NEVER, writes::LOG).await?;
    // What a start costs by itself is not the deployment's.
    world.quiet().await;
    let from = std::fs::read_to_string(directory.log())?.len();
    let before: BTreeMap<String, u64> = world.calls().into_iter().collect();
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
    let mut calls = world.calls();
    calls.iter_mut().for_each(|(call, count)| *count -= before.get(call).copied().unwrap_or(0));
    let state = gate.state(&request).await?;
    if state != "succeeded" {
        return Err(format!("{request} is {state}").into());
    }
    gate.stop().await?;
    let log = std::fs::read_to_string(directory.log())?;
    for (call, _) in &calls {
        purpose(call)?;
    }
    Ok(Cost { case, calls, writes: writes::read(&log, from)? })
}

impl Cost {
    /// For the table of all figures.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let what = self.case.what;
        let goal = |text: String| if self.case.all_webhooks { String::new() } else { text };
        let calls: u64 = self.calls.iter().map(|(_, count)| count).sum();
        let polling: u64 = self.calls.iter().map(|(call, count)| self.case.polling(call, *count)).sum();
        let sum = |writes: &[&Write]| -> usize { writes.iter().map(|write| write.units).sum() };
        let (door, rest): (Vec<_>, Vec<_>) = self.writes.iter().partition(|write| write.door);
        let most = CALLS + CALLS_PER_IMPORT * self.case.imports;
        vec![
            Line::new(
                format!("calls to Pulumi Cloud: {what}"),
                format!("{}, and {polling} of polling", calls - polling),
                goal(format!("≤ {most}, polling apart")),
            ),
            Line::new(
                format!("write units: {what}"),
                format!("{}, and {} for its webhooks' deliveries", sum(&rest), sum(&door)),
                goal(format!("≤ {UNITS}")),
            ),
        ]
    }

    /// Item by item.
    pub(crate) fn print(&self) {
        let calls = self
            .calls
            .iter()
            .map(|(call, count)| vec![call.clone(), count.to_string(), purpose(call).unwrap_or_default().to_owned()]);
        print(&[&format!("calls: {}", self.case.what), "times", "what for"], calls);
        let mut kinds: BTreeMap<&str, (usize, usize, &str)> = BTreeMap::new();
        for write in &self.writes {
            let (times, units, _) = kinds.entry(&write.what).or_insert((0, 0, write.purpose));
            (*times, *units) = (*times + 1, *units + write.units);
        }
        let rows = kinds.into_iter().map(|(what, (times, units, purpose))| {
            vec![what.to_owned(), times.to_string(), units.to_string(), purpose.to_owned()]
        });
        print(&[&format!("writes: {}", self.case.what), "times", "units", "what for"], rows);
    }
}

/// What a call is for; an error for one that is not known.
fn purpose(call: &str) -> Result<&'static str> {
    Ok(match call {
        "GET /api/user" => {
            "who asks (once a minute); that the principal's token still is the principal's: before the open request, the apply and the deployment"
        }
        "GET /api/console/orgs/*/members/*/stacks/*/*" => "that who asks may do this on the stack",
        "GET /api/stacks/*/*/*/deployments/settings" => {
            "that the run would be the principal's, under the settings that it was asked for with: before the open request, the apply and the deployment"
        }
        "GET /api/change-gates/*" => {
            "that an Open ruleset is in force on the environment: before the open request, the apply and the deployment"
        }
        "POST /api/esc/environments/*/*/*/open/request" => "the open request, and those of gated imports with it",
        "POST /api/change-requests/*/*/submit" => "submitted: from here on reviewers see it",
        "GET /api/change-requests/*/*" => {
            "status, revision, description and approvals: after the submission, when it rings, after the apply, and before the deployment"
        }
        "GET /api/esc/environments/*/*/*/open/request/*" => "how long the open request lets in, right before the apply",
        "POST /api/change-requests/*/*/apply" => "the apply",
        "GET /api/stacks/*/*/*/deployments" => {
            "whether the stack is busy, before the apply; whether a deployment carries the mark, before one is created; how ours fares"
        }
        "POST /api/stacks/*/*/*/deployments" => "the deployment",
        "GET /api/stacks/*/*/*/deployments/*" => {
            "the deployment's end, and the variables of one that may carry the mark"
        }
        _ => return Err(format!("a call that the bench does not know: {call}").into()),
    })
}

#[cfg(test)]
mod tests {
    use super::purpose;

    #[test]
    fn a_call_without_a_purpose_is_an_error() {
        assert!(purpose("POST /api/change-requests/*/*/apply").is_ok());
        assert!(purpose("POST /api/change-requests/*/*/close").is_err(), "nothing is closed where all goes well");
    }
}
