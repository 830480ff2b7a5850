//! Seeded chaos: people do what they like, calls fail in every way, webhooks come twice, late, out of order or never, and the real process is
//! killed at random moments. Then it calms down, everything has to end, and what always holds is judged by what the cloud saw.
//!
//! `SIGNOFF_CHAOS_SEED` names a seed; the same seed makes the same plan, though not the same interleaving.

mod judge;
mod people;

use std::time::Duration;

use pulumi_sim::{Fault, Pattern, Permission, StackSetup, Status, Timing, WebhookFaults};
use reqwest::Method;
use serde_json::Value;
use signoff_tests::{Gate, Setup, until};
use tokio::time::Instant;

use people::{Chance, Crowd};

/// The seeds, where none is named.
const SEEDS: [u64; 2] = [20_261_123, 8_675_309];
/// How long people, faults and kills go on.
const CHAOS: Duration = Duration::from_secs(45);
/// How often the process is killed meanwhile, each time twice in a row: once in its work, once while it takes up again what it left.
const KILLS: u32 = 3;
/// How many requests are made.
const REQUESTS: usize = 12;
/// How long it may take until all is over once it is calm. A lost answer takes ten seconds to settle; a silent one ten more until it is given up.
const CALM: Duration = Duration::from_secs(120);
/// The stacks; `shop` is added to those of the seed.
const STACKS: [&str; 4] = ["acme/web/prod", "acme/api/prod", "acme/platform/prod", "acme/shop/prod"];

#[tokio::test]
async fn what_always_holds_does_so_in_chaos() {
    match named_seed() {
        Some(seed) => chaos(seed).await,
        None => signoff_tests::together(SEEDS.map(|seed| Box::pin(chaos(seed)) as _).into()).await,
    }
}

async fn chaos(seed: u64) {
    say(&format!("chaos with SIGNOFF_CHAOS_SEED={seed}"));
    let mut chance = Chance::new(seed);
    let mut gate = start(seed).await;
    let mut crowd = Crowd::new(&gate, REQUESTS);
    let began = Instant::now();
    let mut kills = kills(&mut chance);
    while began.elapsed() < CHAOS {
        if kills.last().is_some_and(|at| *at <= began.elapsed()) {
            kills.pop();
            gate.kill().await;
            tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
            gate.restart().await;
            crowd.moved(gate.url());
        }
        crowd.does_something(&gate, &mut chance);
        tokio::time::sleep(Duration::from_millis(20 + chance.below(200))).await;
    }
    let deployed = calm(&gate);
    // Whoever got no answer while the process was down keeps asking until there is one.
    let asked = crowd.asked().await;
    let requests = drain(&gate, seed).await;
    assert_eq!(requests.len(), REQUESTS, "seed {seed}: asked for {asked:?}, but recorded is {requests:#?}");
    let ends: Vec<_> = requests.iter().filter_map(|one| one["outcome"]["code"].as_str()).collect();
    say(&format!("seed {seed}: {deployed} deployments in the midst of it, in the end {ends:?}"));
    for id in &asked {
        assert!(requests.iter().any(|one| one["id"] == **id), "seed {seed}: {id} was promised and is not there");
    }
    judge::deployments(&gate, &requests);
    judge::one_at_a_time(&gate);
    judge::transitions(&gate, &requests).await;
    gate.finish().await;
}

/// When the process is killed, the last first. What was intended settles for ten seconds after each start, so that between two kills there is more
/// time than that: otherwise nothing would ever get far enough to be interrupted there.
fn kills(chance: &mut Chance) -> Vec<Duration> {
    let share = CHAOS / KILLS;
    let times = (0..KILLS).flat_map(|n| {
        let first = share * n + share.mul_f64(0.4 + 0.5 * chance.share());
        [first, first + Duration::from_millis(chance.below(1500))]
    });
    let mut times: Vec<Duration> = times.collect();
    times.reverse();
    times
}

/// A gate before which two reviewers have to approve, with everything going wrong now and then.
async fn start(seed: u64) -> Gate {
    let webhooks = WebhookFaults { lost: 0.25, doubled: 0.3, delayed: 0.3, delay_ms: 1500, reordered: 0.3 };
    let setup = Setup::seeded(seed).webhook_faults(webhooks).cloud(|cloud| {
        cloud.timing = Timing { accept_ms: 150, run_ms: 600 };
        cloud.change_ruleset(jiff::Timestamp::UNIX_EPOCH, "acme/credentials/prod", "prod-signoff", |rules| {
            rules.required = 2;
        });
        let shop = StackSetup::git("https://github.com/acme/shop.git", "refs/heads/main").opens("credentials/prod");
        cloud.stack("acme/shop/prod", shop);
        for login in ["alice", "signoff-deployer"] {
            cloud.allow(login, "acme/shop/prod", Permission::Write);
        }
        for (probability, fault) in faults() {
            cloud.faults.rate(Pattern::any(), probability, fault);
        }
    });
    setup.start().await
}

/// What goes wrong with calls, and how often. One call in ten fails; more would leave hardly a deployment before it calms down.
fn faults() -> [(f64, Fault); 10] {
    [
        (0.02, Fault::TooManyRequests { retry_after: Some(1) }),
        (0.01, Fault::Error { status: 503, html: false }),
        (0.01, Fault::Error { status: 502, html: true }),
        (0.015, Fault::BreakBefore),
        (0.02, Fault::BreakAfter),
        (0.015, Fault::ErrorAfterEffect { status: 500 }),
        (0.01, Fault::LateEffect { status: 504, after_ms: 3000 }),
        (0.001, Fault::Silence),
        (0.002, Fault::SilenceAfterEffect),
        (0.05, Fault::Slow { ms: 300 }),
    ]
}

/// Takes the faults away; gives how many deployments there were by then.
fn calm(gate: &Gate) -> usize {
    let mut cloud = gate.sim.cloud();
    cloud.clear_faults();
    cloud.set_webhook_faults(WebhookFaults::default());
    cloud.deployments().len()
}

/// Reviewers approve what still waits, until nothing is open any more; gives all requests.
async fn drain(gate: &Gate, seed: u64) -> Vec<Value> {
    let mut open = Value::Null;
    let drained = until(CALM, async || {
        let waiting: Vec<String> = gate
            .open_change_requests()
            .into_iter()
            .filter(|one| one.status == Status::Pending)
            .map(|one| one.id)
            .collect();
        for id in &waiting {
            for login in ["bob", "carol", "alice"] {
                // Who may not, or is late, is refused.
                let _ = gate.click(|cloud, now| cloud.approve(now, login, id));
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let reply = gate.call("dave", Method::GET, "/v1/requests?state=open&limit=100", None).await;
        open = reply.body["requests"].clone();
        open.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let drained = drained.await;
    assert!(drained.is_some(), "seed {seed}: after {CALM:?} still open: {open:#}\n{}", gate.tail());
    gate.requests().await
}

#[expect(clippy::disallowed_methods, reason = "whoever looks into a failure names its seed")]
fn named_seed() -> Option<u64> {
    std::env::var("SIGNOFF_CHAOS_SEED").ok()?.trim().parse().ok()
}

#[expect(clippy::print_stderr, reason = "whoever looks into a failure has to know the seed")]
fn say(what: &str) {
    eprintln!("{what}");
}
