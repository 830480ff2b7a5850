//! How long things take, and how much memory.

use std::sync::Arc;
use std::time::Duration;

use pulumi_sim::{Timing, WebhookFaults};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gate::{Directory, Gate, free_port, progress};
use crate::world::{World, about_change_request, stack};
use crate::{Line, Result};

/// How many stacks there are.
const STACKS: usize = 100;
/// How many requests there are before the memory is read, and how many people make them.
const REQUESTS: usize = 1000;
const AT_ONCE: usize = 8;
/// How often a start is timed.
const STARTS: usize = 9;
/// How many approvals are timed.
const APPROVALS: usize = 20;
/// Webhooks each second, and for how long.
const RATE: u32 = 200;
const SECONDS: u32 = 10;
/// The time between two sweeps: what `signoff local` has by itself.
const SWEEP: &str = "5s";
/// What `signoff local` logs by itself.
const LOG: &str = "info,dynoxide=error";

/// Measures all of it, on one store that fills up meanwhile.
pub(crate) async fn measure() -> Result<Vec<Line>> {
    let world = Arc::new(World::start(STACKS, Timing { accept_ms: 0, run_ms: 0 }).await?);
    let directory = Directory::new("speed")?;
    let port = free_port()?;
    world.announce_to(port);
    let cloud = world.sim.url();
    let (gate, _) = Gate::start(&directory, port, &cloud, SWEEP, LOG).await?;
    let gate = Arc::new(gate);
    progress("a thousand requests");
    let mut lines = vec![memory(&world, &gate).await?];
    Arc::into_inner(gate).ok_or("somebody still has the gate")?.stop().await?;

    progress("starts");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (gate, took) = Gate::start(&directory, port, &cloud, SWEEP, LOG).await?;
        starts.push(millis(took));
        gate.stop().await?;
    }
    lines.insert(0, Line::new(format!("start to ready, a store of {} requests", REQUESTS), summary(starts), "< 1 s"));

    let (gate, _) = Gate::start(&directory, port, &cloud, SWEEP, LOG).await?;
    let gate = Arc::new(gate);
    progress("approvals with webhooks");
    let took = approvals(&world, &gate, Duration::from_millis(250)).await?;
    lines.push(Line::new("approval → deployment created, webhook", summary(took), "< 300 ms"));
    lines.insert(1, webhooks(&world, &gate).await?);
    progress("approvals without webhooks");
    world.sim.cloud().set_webhook_faults(WebhookFaults { lost: 1.0, ..WebhookFaults::default() });
    // An odd pause, so that approvals fall on all moments between two sweeps.
    let took = approvals(&world, &gate, Duration::from_millis(730)).await?;
    lines.push(Line::new(
        format!("approval → deployment created, none (sweeps every {SWEEP})"),
        summary(took),
        "< 5.3 s",
    ));
    Arc::into_inner(gate).ok_or("somebody still has the gate")?.stop().await?;
    Ok(lines)
}

/// A thousand requests from asking to the end.
async fn memory(world: &Arc<World>, gate: &Arc<Gate>) -> Result<Line> {
    let fresh = gate.memory("VmRSS")?;
    let began = Instant::now();
    let mut work = JoinSet::new();
    for n in 0..AT_ONCE {
        let (world, gate) = (Arc::clone(world), Arc::clone(gate));
        work.spawn(async move {
            for m in (n..REQUESTS).step_by(AT_ONCE) {
                let request = gate.ask(&stack(m % STACKS)).await?;
                let ids = world.submitted(&request, 1).await?;
                world.approve(&ids)?;
                world.done(&request).await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(one) = work.join_next().await {
        one??;
    }
    world.quiet().await;
    let took = began.elapsed().as_secs_f64();
    let (now, peak) = (gate.memory("VmRSS")?, gate.memory("VmHWM")?);
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    let what = format!("resident memory after {} requests ({took:.0} s)", REQUESTS);
    Ok(Line::new(what, format!("{} (peak {}, at start {})", mib(now), mib(peak), mib(fresh)), "< 100 MiB"))
}

/// Asks on several stacks, waits until all is submitted, then approves one after the other, with a pause between; gives how long each took
/// from the approval to the deployment, in milliseconds.
async fn approvals(world: &Arc<World>, gate: &Arc<Gate>, pause: Duration) -> Result<Vec<f64>> {
    let mut waiting = Vec::new();
    for n in 0..APPROVALS {
        let request = gate.ask(&stack(n)).await?;
        waiting.push(request);
    }
    let mut submitted = Vec::new();
    for request in waiting {
        let ids = world.submitted(&request, 1).await?;
        submitted.push((request, ids));
    }
    // What announced the submissions is worked off first.
    world.quiet().await;
    let mut work = JoinSet::new();
    for (request, ids) in submitted {
        tokio::time::sleep(pause).await;
        let world = Arc::clone(world);
        work.spawn(async move {
            let approved = world.approve(&ids)?;
            let created = world.deployed(&request).await?;
            Ok::<f64, Box<dyn std::error::Error + Send + Sync>>(created.duration_since(approved).as_secs_f64() * 1000.0)
        });
    }
    let mut took = Vec::new();
    while let Some(one) = work.join_next().await {
        took.push(one??);
    }
    Ok(took)
}

/// Webhooks at a steady rate, about requests that wait; each is timed from the moment at which it was to be sent.
async fn webhooks(world: &Arc<World>, gate: &Arc<Gate>) -> Result<Line> {
    progress("webhooks");
    let mut ids = Vec::new();
    for n in 0..APPROVALS {
        let request = gate.ask(&stack(n + APPROVALS)).await?;
        ids.extend(world.submitted(&request, 1).await?);
    }
    let mut work = JoinSet::new();
    let began = Instant::now();
    for n in 0..RATE * SECONDS {
        let due = began + Duration::from_secs(1) / RATE * n;
        tokio::time::sleep_until(due).await;
        let (gate, payload) = (Arc::clone(gate), about_change_request(&ids[n as usize % ids.len()]));
        work.spawn(async move {
            gate.ring(&format!("bench-{n}"), "change_request", &payload).await.map(|()| millis(due.elapsed()))
        });
    }
    let mut took = Vec::new();
    while let Some(one) = work.join_next().await {
        took.push(one??);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    let measured = format!("p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms", at(0.5), at(0.99), at(1.0));
    Ok(Line::new(format!("webhook answered, {RATE}/s for {SECONDS} s"), measured, "p99 < 20 ms"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Median and worst.
fn summary(mut millis: Vec<f64>) -> String {
    millis.sort_by(f64::total_cmp);
    let median = millis[millis.len() / 2];
    format!("median {median:.0} ms, worst {:.0} ms ({} runs)", millis.last().copied().unwrap_or(0.0), millis.len())
}
