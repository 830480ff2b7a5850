//! What is done to the process: killed, and held still for shorter and longer than a call may take.

use std::process::Command;
use std::time::Duration;

use pulumi_sim::DeploymentStatus;
use signoff_tests::Gate;
use tokio::time::Instant;

use super::people::Chance;

/// How long a kill waits for the process to be at work.
const PATIENCE: Duration = Duration::from_secs(8);

/// What happens to the process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blow {
    /// Killed twice in a row: once in its work, once while it takes up again what it left.
    Killed(Duration),
    /// Held still for so long.
    Held(Duration),
}

/// What happened to the process.
#[derive(Debug, Default)]
pub(super) struct Blows {
    planned: Vec<(Duration, Blow)>,
    held: Option<Instant>,
    /// How often it was killed.
    pub(super) kills: u32,
    /// How often that was while requests were open at Pulumi Cloud or deployments were under way.
    pub(super) hits: u32,
    /// How often it was held still for longer than a call may take, and for shorter.
    pub(super) holds: [u32; 2],
}

impl Blows {
    /// Blows for so long: each kind once, then as it comes. What was intended settles for ten seconds after each start; with less time than that between
    /// kills nothing would get far enough to be interrupted.
    pub(super) fn plan(chance: &mut Chance, during: Duration) -> Self {
        let mut planned = Vec::new();
        let mut at = Duration::ZERO;
        for n in 0.. {
            at += Duration::from_millis(2_000 + chance.below(3_000));
            if at >= during {
                break;
            }
            let kind = if n < 4 { [0, 1, 2, 1][n] } else { chance.below(3) };
            let blow = match kind {
                0 => Blow::Held(Duration::from_millis(200 + chance.below(2_800))),
                1 => Blow::Killed(Duration::from_millis(chance.below(1_500))),
                _ => Blow::Held(Duration::from_millis(10_500 + chance.below(2_000))),
            };
            planned.push((at, blow));
            at += match blow {
                Blow::Held(time) => time,
                Blow::Killed(_) => Duration::from_secs(5),
            };
        }
        planned.reverse();
        Self { planned, ..Self::default() }
    }

    /// Does what is due; true if the gate is somewhere else now.
    pub(super) async fn strike(&mut self, gate: &mut Gate, chance: &mut Chance, elapsed: Duration) -> bool {
        if self.held.is_some_and(|until| until <= Instant::now()) {
            self.let_go(gate).await;
        }
        if self.planned.last().is_none_or(|(at, _)| *at > elapsed) || self.held.is_some() {
            return false;
        }
        // A machine with other things to do gets to its work later than planned, and killing what idles shows little.
        if let Some((at, Blow::Killed(_))) = self.planned.last()
            && elapsed < *at + PATIENCE
            && !is_at_work(gate)
        {
            return false;
        }
        match self.planned.pop() {
            Some((_, Blow::Held(time))) => {
                self.holds[usize::from(time < Duration::from_secs(10))] += 1;
                signal(gate, "-STOP");
                self.held = Some(Instant::now() + time);
                false
            }
            Some((at, Blow::Killed(again))) => {
                self.kills += 1;
                self.hits += u32::from(is_at_work(gate));
                gate.kill().await;
                tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
                gate.restart().await;
                // Zero says that this was the second time.
                if again > Duration::ZERO {
                    self.planned.push((at + again, Blow::Killed(Duration::ZERO)));
                }
                true
            }
            None => false,
        }
    }

    /// Waits until it may go on.
    pub(super) async fn let_go(&mut self, gate: &Gate) {
        if let Some(until) = self.held.take() {
            tokio::time::sleep_until(until).await;
            signal(gate, "-CONT");
        }
    }
}

fn is_at_work(gate: &Gate) -> bool {
    let is_deploying = |status: DeploymentStatus| !status.is_over();
    !gate.open_change_requests().is_empty()
        || gate.sim.cloud().deployments().iter().any(|deployment| is_deploying(deployment.status))
}

fn signal(gate: &Gate, which: &str) {
    let id = gate.pid().unwrap_or_else(|| panic!("the gate does not run"));
    let sent = Command::new("kill").args([which, &id.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the process can't be sent {which}");
}
