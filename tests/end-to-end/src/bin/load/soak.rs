//! Requests come and go for a long time; the memory has to stay as it is.

use std::time::Duration;

use pulumi_sim::Status;
use reqwest::Method;
use serde_json::json;
use signoff_tests::send;
use tokio::time::Instant;

use crate::world::{Size, World, stack};
use crate::{Result, progress};

/// How often the memory is read.
const SAMPLES: u32 = 20;
/// By how much it may be more at the end than after the first quarter, in MiB: pages of the store that are kept, and fragments.
const SLACK: f64 = 24.0;

/// Asks, approves and lets deploy for so long, and prints the memory meanwhile.
pub(crate) async fn soak(time: Duration) -> Result<()> {
    let (world, _) = World::start(Size { finished: 100, open: 50 }).await?;
    let began = Instant::now();
    let (mut asked, mut samples) = (0_u32, Vec::new());
    println!("| after | asked for | deployed | resident |\n| ----- | --------- | -------- | -------- |");
    while began.elapsed() < time {
        if began.elapsed() >= time / SAMPLES * samples.len() as u32 {
            let memory = world.mebibytes("VmRSS")?;
            let deployed = world.sim.cloud().deployments().len();
            println!("| {:.0} s | {asked} | {deployed} | {memory:.1} MiB |", began.elapsed().as_secs_f64());
            samples.push(memory);
        }
        let body = json!({"stack": stack(asked as usize % 5), "operation": "update", "reason": "Ship 2.4"}).to_string();
        let headers = [("authorization", "token pul-alice"), ("content-type", "application/json")];
        let url = format!("{}/v1/requests", world.url);
        let status = send(&world.client, Method::POST, &url, &headers, Some(body)).await?.status;
        match status {
            202 => asked += 1,
            // Ten of hers are open on this stack.
            429 | 503 => tokio::time::sleep(Duration::from_millis(100)).await,
            other => return Err(format!("asking was answered {other}").into()),
        }
        approve(&world);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.stop().await?;
    progress("stopped");
    let quarter = samples.get(samples.len() / 4).copied().unwrap_or_default();
    let last = samples.last().copied().unwrap_or_default();
    if last > quarter * 1.1 + SLACK {
        return Err(format!("the memory grew from {quarter:.1} to {last:.1} MiB").into());
    }
    Ok(())
}

/// Somebody approves everything that waits.
fn approve(world: &World) {
    let now = world.sim.now();
    let mut cloud = world.sim.cloud();
    let waiting: Vec<String> = cloud
        .change_requests()
        .iter()
        .rev()
        .take(200)
        .filter(|one| one.status == Status::Pending)
        .map(|one| one.id.clone())
        .collect();
    for id in waiting {
        // One that was closed meanwhile is refused.
        let _ = cloud.approve(now, "carol", &id);
    }
}
