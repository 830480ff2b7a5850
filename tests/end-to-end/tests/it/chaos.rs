//! Seeded chaos: people do what they like, calls fail in every way, webhooks come twice, late, out of order or never, and the real process is
//! killed and held still at random moments. Then it calms down, everything has to end, and what always holds is judged by what the cloud saw.
//!
//! `SIGNOFF_CHAOS_SEED` names a seed; the same seed makes the same plan, though not the same interleaving. `SIGNOFF_CHAOS_SECONDS`,
//! `SIGNOFF_CHAOS_REQUESTS` and `SIGNOFF_CHAOS_STACKS` make it longer and larger: `make chaos`.

mod blows;
mod judge;
mod people;
mod word;

use std::str::FromStr;
use std::time::Duration;

use pulumi_sim::{Fault, Happened, Pattern, Permission, StackSetup, Status, Timing, WebhookFaults};
use reqwest::Method;
use serde_json::Value;
use signoff_tests::{Gate, Setup, until};
use tokio::time::Instant;

use blows::Blows;
use people::{Chance, Crowd};
use word::Word;

/// The seeds, where none is named.
const SEEDS: [u64; 2] = [20_261_123, 8_675_309];
/// The stacks of the seed that are gated. The second opens an environment that imports another gated one.
const STACKS: [&str; 3] = ["acme/web/prod", "acme/platform/prod", "acme/api/prod"];

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// How long people, faults, kills and holds go on.
    chaos: Duration,
    /// How many requests are made.
    requests: usize,
    /// Over how many stacks.
    stacks: usize,
}

impl Size {
    fn named() -> Self {
        Self {
            chaos: Duration::from_secs(named("SIGNOFF_CHAOS_SECONDS").unwrap_or(60)),
            requests: named("SIGNOFF_CHAOS_REQUESTS").unwrap_or(20),
            stacks: named("SIGNOFF_CHAOS_STACKS").unwrap_or(5).max(1),
        }
    }

    /// How long it may take until all is over once it is calm. A lost answer takes ten seconds to settle; a silent one ten more until it is given up;
    /// and requests of one stack go one after the other. On a machine that is busy with other things that takes its time.
    fn calm(self) -> Duration {
        Duration::from_secs(480 + self.requests as u64)
    }

    /// How long it may take after that until everybody is told: whoever was away is left alone for ten minutes at the third time.
    fn told(self) -> Duration {
        Duration::from_secs(if self.chaos > Duration::from_secs(60) { 900 } else { 240 })
    }

    fn stacks(self) -> Vec<String> {
        let more = (0..).map(|n| format!("acme/svc-{n}/prod"));
        STACKS.iter().map(|stack| (*stack).to_owned()).chain(more).take(self.stacks).collect()
    }
}

#[tokio::test]
async fn what_always_holds_does_so_in_chaos() {
    let size = Size::named();
    match named("SIGNOFF_CHAOS_SEED") {
        Some(seed) => chaos(seed, size).await,
        None => signoff_tests::together(SEEDS.map(|seed| Box::pin(chaos(seed, size)) as _).into()).await,
    }
}

async fn chaos(seed: u64, size: Size) {
    say(&format!("chaos with SIGNOFF_CHAOS_SEED={seed}: {size:?}"));
    let mut chance = Chance::new(seed);
    let mut word = Word::start().await;
    let mut gate = start(seed, size, &word).await;
    let mut crowd = Crowd::new(&gate, size.requests, size.stacks());
    let began = Instant::now();
    let mut blows = Blows::plan(&mut chance, size.chaos);
    while began.elapsed() < size.chaos {
        if blows.strike(&mut gate, &mut chance, began.elapsed()).await {
            crowd.moved(gate.url());
        }
        let time = began.elapsed().div_duration_f64(size.chaos);
        crowd.does_something(&gate, &mut chance, time);
        word.does_something(&gate, &mut chance, &size.stacks(), time);
        tokio::time::sleep(Duration::from_millis(20 + chance.below(200))).await;
    }
    blows.let_go(&gate).await;
    crowd.settles(&gate);
    let amid = calm(&gate);
    // Whoever got no answer while the process was down keeps asking until there is one.
    let asked = crowd.asked().await;
    word.calms(&gate).await;
    word.settles(&gate, size.calm()).await;
    Word::ends(&mut gate).await;
    let requests = drain(&gate, seed, size).await;
    assert_eq!(
        requests.iter().filter(|one| !Word::is_made(one)).count(),
        size.requests,
        "seed {seed}: asked for {asked:?}, but recorded is {requests:#?}"
    );
    for id in &asked {
        assert!(requests.iter().any(|one| one["id"] == **id), "seed {seed}: {id} was promised and is not there");
    }
    judge::deployments(&gate, &requests);
    judge::one_at_a_time(&gate);
    judge::errors(&gate, &requests);
    judge::transitions(&gate, &requests).await;
    let said = word.judge(&gate, &requests, size.told()).await;
    summary(seed, &gate, &requests, amid, &blows, &said);
    gate.finish().await;
}

/// Says what there was, and fails if it was too little to have shown anything.
fn summary(seed: u64, gate: &Gate, requests: &[Value], amid: usize, blows: &Blows, said: &str) {
    let mut ends: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for request in requests {
        *ends.entry(request["outcome"]["code"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let (deployed, webhooks) = {
        let cloud = gate.sim.cloud();
        let made = cloud.history().iter().filter(|record| matches!(record.what, Happened::WebhookMade { .. }));
        (cloud.deployments().len(), made.count())
    };
    let succeeded = ends.get("succeeded").copied().unwrap_or_default();
    let Blows { kills, hits, holds: [long, short], .. } = blows;
    say(&format!(
        "seed {seed}: {deployed} deployments, {amid} of them amid the chaos; {webhooks} webhooks; {kills} kills, {hits} of them at work; held still {long} times \
         for long and {short} times for short; {said}; ends {ends:?}"
    ));
    assert!(succeeded > 0 && deployed >= requests.len() / 8, "seed {seed}: only {deployed} deployments, {ends:?}");
    assert!(*hits * 2 >= *kills && *hits > 0, "seed {seed}: only {hits} of {kills} kills were at work");
    assert!(*long > 0 && *short > 0, "seed {seed}: it was not held still for long and for short");
}

/// A gate before which two reviewers have to approve, with everything going wrong now and then.
async fn start(seed: u64, size: Size, word: &Word) -> Gate {
    let webhooks = WebhookFaults { lost: 0.25, doubled: 0.3, delayed: 0.3, delay_ms: 1500, reordered: 0.3 };
    let setup = Setup::seeded(seed).webhook_faults(webhooks).cloud(|cloud| {
        cloud.timing = Timing { accept_ms: 150, run_ms: 600 };
        cloud.change_ruleset(jiff::Timestamp::UNIX_EPOCH, "acme/credentials/prod", "prod-signoff", |rules| {
            rules.required = 2;
        });
        for stack in size.stacks().iter().filter(|stack| !STACKS.contains(&stack.as_str())) {
            let setup = StackSetup::git("https://github.com/acme/svc.git", "refs/heads/main").opens("credentials/prod");
            cloud.stack(stack, setup);
            for login in ["alice", "signoff-deployer"] {
                cloud.allow(login, stack, Permission::Write);
            }
        }
        for (probability, fault) in faults() {
            cloud.faults.rate(Pattern::any(), probability, fault);
        }
    });
    // The embedded store carries out one call after the other: a hundred open requests looked at five times a second would be all that it does.
    let every = if size.requests > 50 { "2s" } else { "200ms" };
    word.prepare(setup).reconcile_every(every).start().await
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
async fn drain(gate: &Gate, seed: u64, size: Size) -> Vec<Value> {
    let mut open = Value::Null;
    let drained = until(size.calm(), async || {
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
        // What is overtaken waits for somebody to take it back.
        let overtaken =
            |one: &&Value| one["blockers"].as_array().into_iter().flatten().any(|why| why["kind"] == "overtaken");
        for one in open.as_array().into_iter().flatten().filter(overtaken) {
            gate.cancel("dave", one["id"].as_str().unwrap_or_default()).await;
        }
        open.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let drained = drained.await;
    assert!(drained.is_some(), "seed {seed}: after {:?} still open: {open:#}\n{}", size.calm(), gate.tail());
    gate.requests().await
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever looks into a failure names its seed, and whoever wants more says how much"
)]
fn named<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    let value = text.trim().parse().ok();
    assert!(value.is_some(), "{variable} is no number: {text:?}");
    value
}

#[expect(clippy::print_stderr, reason = "whoever looks into a failure has to know the seed")]
fn say(what: &str) {
    eprintln!("{what}");
}
