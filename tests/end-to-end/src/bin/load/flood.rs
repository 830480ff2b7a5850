//! Many calls at once: those that are meant to be, and floods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulumi_sim::signature;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use signoff_tests::send;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::sweep::EVERY;
use crate::world::{SECRET, World, token};
use crate::{Figure, Figures, Holds, Result, progress, summary};

/// Calls each second.
const RATE: u32 = 500;
/// Bad tokens each second.
const BAD_TOKENS: u32 = 200;
/// The most calls that one look takes at a request that waits for its approval: it reads the change request.
const PER_LOOK: u64 = 1;
/// How often a request may be rung for, in which time.
const RINGS: (u64, u64) = (10, 20);
/// How often a delivery that points nowhere rings for what is open: once in so many seconds.
const VAGUE: u64 = 10;

/// An answer: what for, the status (0: none came), and after how many milliseconds.
type Answered = (&'static str, u16, f64);

/// Half webhooks, of which one in a hundred has a bad signature, and half reads, at a steady rate. Each is timed from the moment at which it was to be
/// sent.
pub(crate) async fn steady(world: &World, time: Duration) -> Result<Figures> {
    progress("500 calls a second");
    let ids: Arc<Vec<String>> =
        Arc::new(world.sim.cloud().change_requests().iter().map(|one| one.id.clone()).collect());
    let (samples, url, client) = (world.samples.clone(), world.url.clone(), world.client.clone());
    let answered = at_rate(RATE, time, move |n| {
        let (url, client, samples, ids) = (url.clone(), client.clone(), samples.clone(), Arc::clone(&ids));
        async move {
            if n % 2 == 0 {
                let id = &ids[n / 2 % ids.len().max(1)];
                let bad = n % 200 == 0;
                let status = ring(&client, &url, &format!("load-{n}"), &about(id), bad).await;
                return (if bad { "bad signature" } else { "webhook" }, status);
            }
            let path = match n % 3 {
                0 => format!("/v1/requests/{}", samples[0]),
                1 => format!("/v1/requests/{}", samples[1]),
                _ => "/v1/requests?limit=10".to_owned(),
            };
            let authorization = format!("token {}", token(n));
            ("read", get(&client, &format!("{url}{path}"), &authorization).await)
        }
    })
    .await?;
    let mut figures = Vec::new();
    for (kind, wanted) in [("webhook", 202), ("bad signature", 401), ("read", 200)] {
        let of: Vec<&Answered> = answered.iter().filter(|(what, ..)| *what == kind).collect();
        let right = of.iter().filter(|(_, status, _)| *status == wanted).count();
        let (median, p99, shown) = summary(of.iter().map(|(.., millis)| *millis).collect());
        figures.push(Figure::new(
            format!("500/s for {} s: {kind}", time.as_secs()),
            shown,
            Holds::Quick { median, slack: 10.0, p99 },
        ));
        let shown = format!("{right} of {}", of.len());
        figures.push(Figure::new(format!("500/s: {kind} answered {wanted}"), shown, Holds::True(right == of.len())));
    }
    Ok(figures)
}

/// A flood of tokens that nobody has, while somebody who is known reads.
pub(crate) async fn bad_tokens(world: &World, time: Duration) -> Result<Figures> {
    progress("bad tokens");
    let path = format!("/v1/requests/{}", world.samples[1]);
    world.call(&token(0), &path).await?;
    let before = world.calls_of("/api/user");
    let (url, client) = (world.url.clone(), world.client.clone());
    let answered = at_rate(BAD_TOKENS, time, move |n| {
        let (url, client, path) = (url.clone(), client.clone(), path.clone());
        async move {
            let (kind, secret) = if n % 10 == 0 { ("known", token(0)) } else { ("bad", format!("pul-{n:040}")) };
            let authorization = format!("token {secret}");
            (kind, get(&client, &format!("{url}{path}"), &authorization).await)
        }
    })
    .await?;
    let asked = world.calls_of("/api/user") - before;
    let statuses = |kind: &str| {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        answered
            .iter()
            .filter(|(what, ..)| *what == kind)
            .for_each(|(_, status, _)| *counts.entry(*status).or_default() += 1);
        counts
    };
    let (bad, known) = (statuses("bad"), statuses("known"));
    let (_, _, shown) =
        summary(answered.iter().filter(|(what, ..)| *what == "known").map(|(.., millis)| *millis).collect());
    let refused = bad.keys().all(|status| matches!(status, 401 | 429 | 503));
    let sent = bad.values().sum::<usize>();
    Ok(vec![
        Figure::new(format!("{sent} bad tokens: answers"), format!("{bad:?}"), Holds::True(refused)),
        Figure::new(
            format!("{sent} bad tokens: Pulumi Cloud was asked"),
            asked.to_string(),
            Holds::True(asked < sent as u64 / 2),
        ),
        Figure::new(
            "somebody known meanwhile",
            format!("{shown}, {known:?}"),
            Holds::True(known.keys().all(|s| *s == 200)),
        ),
    ])
}

/// Captured webhooks, signed, again and again under fresh ids: one that names a change request, and one that points nowhere.
pub(crate) async fn replays(world: &World, times: usize) -> Result<Figures> {
    let mut figures = Vec::new();
    let id = world.sim.cloud().change_requests().first().map(|one| one.id.clone()).ok_or("nothing is open")?;
    for (what, body) in [("names a request", about(&id)), ("points nowhere", json!({"organization": "acme"}))] {
        progress(&format!("{times} replays of a webhook that {what}"));
        world.quiet().await;
        // What sweeps alone cost in that time is not the flood's.
        let (idle_began, idle) = (Instant::now(), world.calls());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let idle_rate = (world.calls() - idle) as f64 / idle_began.elapsed().as_secs_f64();

        let (began, before) = (Instant::now(), world.calls());
        let (url, client) = (world.url.clone(), world.client.clone());
        let seconds = times as f64 / f64::from(RATE);
        let answered = at_rate(RATE, Duration::from_secs_f64(seconds), move |n| {
            let (url, client, body) = (url.clone(), client.clone(), body.clone());
            async move { ("replay", ring(&client, &url, &format!("{what}-{n}"), &body, false).await) }
        })
        .await?;
        world.quiet().await;
        let took = began.elapsed().as_secs_f64();
        let cost = ((world.calls() - before) as f64 - idle_rate * took).max(0.0);
        let seconds = took.ceil() as u64;
        // How many looks the rings are that get through in that time; and what sweeps cost may be one sweep's more than it was before.
        let looks = match what {
            "names a request" => (seconds / RINGS.1 + 1) * RINGS.0,
            _ => (seconds / VAGUE + 1) * world.size.open as u64,
        };
        let bound = looks * PER_LOOK + (idle_rate * EVERY.as_secs_f64()).ceil() as u64;
        let accepted = answered.iter().filter(|(_, status, _)| *status == 202).count();
        let (_, _, shown) = summary(answered.iter().map(|(.., millis)| *millis).collect());
        figures.push(Figure::new(
            format!("{times} replays, {what}: answered"),
            shown,
            Holds::True(accepted == answered.len()),
        ));
        figures.push(Figure::new(
            format!("{times} replays, {what}: calls at Pulumi Cloud"),
            format!("{cost:.0} (bound {bound}; sweeps alone {idle_rate:.0}/s)"),
            Holds::True(cost <= bound as f64),
        ));
    }
    Ok(figures)
}

/// Calls at a steady rate, however long they take; gives their answers.
async fn at_rate<F>(rate: u32, time: Duration, call: impl Fn(usize) -> F) -> Result<Vec<Answered>>
where
    F: Future<Output = (&'static str, u16)> + Send + 'static,
{
    let began = Instant::now();
    let mut work: JoinSet<Result<Answered>> = JoinSet::new();
    let count = (f64::from(rate) * time.as_secs_f64()) as u32;
    for n in 0..count {
        let due = began + Duration::from_secs(1) / rate * n;
        tokio::time::sleep_until(due).await;
        let answer = call(n as usize);
        work.spawn(async move {
            let (kind, status) = answer.await;
            Ok((kind, status, due.elapsed().as_secs_f64() * 1000.0))
        });
    }
    let mut answered = Vec::new();
    while let Some(one) = work.join_next().await {
        answered.push(one??);
    }
    Ok(answered)
}

/// Delivers a webhook; the status of the answer.
async fn ring(client: &Client, url: &str, id: &str, payload: &Value, bad: bool) -> u16 {
    let body = payload.to_string();
    let signed = if bad { "0".repeat(64) } else { signature(SECRET, body.as_bytes()) };
    let id = id.replace(' ', "-");
    let headers = [
        ("content-type", "application/json"),
        ("pulumi-webhook-id", id.as_str()),
        ("pulumi-webhook-kind", "change_request"),
        ("pulumi-webhook-signature", signed.as_str()),
    ];
    let sent = send(client, Method::POST, &format!("{url}/webhooks/pulumi"), &headers, Some(body)).await;
    sent.map_or(0, |reply| reply.status)
}

/// Reads something; the status of the answer.
async fn get(client: &Client, url: &str, authorization: &str) -> u16 {
    let sent = send(client, Method::GET, url, &[("authorization", authorization)], None).await;
    sent.map_or(0, |reply| reply.status)
}

/// What a webhook says of a change request.
fn about(id: &str) -> Value {
    json!({
        "user": {"name": "Carol Chen", "githubLogin": "carol", "avatarUrl": ""},
        "organization": {"name": "Acme", "githubLogin": "acme", "avatarUrl": ""},
        "action": "change_request_approved", "changeRequestId": id,
        "projectName": "credentials", "environmentName": "prod", "status": "ready",
    })
}
