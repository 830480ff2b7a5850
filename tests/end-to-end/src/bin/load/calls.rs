//! How long each call takes, one after the other.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::world::{PER_STACK, World, stack, token};
use crate::{Figure, Figures, Holds, Result, progress, summary};

/// How often each is called.
const TIMES: usize = 60;
/// How often it is seen whether something has come about.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls each of them.
pub(crate) async fn measure(world: &World) -> Result<Figures> {
    progress("each call");
    let [over, open] = &world.samples;
    let day = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let since = day(world.sim.now() - jiff::SignedDuration::from_hours(3));
    let calls = [
        ("GET a finished request", format!("/v1/requests/{over}")),
        ("GET an open request", format!("/v1/requests/{open}")),
        ("GET events", format!("/v1/requests/{over}/events")),
        ("list, newest first", "/v1/requests?limit=20".to_owned()),
        ("list of a stack", format!("/v1/requests?limit=10&stack={}", stack(0))),
        ("list of what is open", "/v1/requests?limit=20&state=open".to_owned()),
        ("audit of three hours", format!("/v1/audit?since={since}")),
        ("gates", "/v1/gates".to_owned()),
        ("healthz", "/healthz".to_owned()),
    ];
    let mut figures = Vec::new();
    for (what, path) in calls {
        let mut took = Vec::new();
        for n in 0..TIMES {
            let who = if path.starts_with("/v1/audit") { "pul-dave".to_owned() } else { token(n) };
            let began = Instant::now();
            let reply = world.call(&who, &path).await?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            if reply.status != 200 {
                return Err(format!("{path} was answered {}: {}", reply.status, reply.text).into());
            }
            // A pause that is no multiple of the time between two sweeps.
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        figures.push(timed(what, took));
    }
    Ok(figures)
}

/// Asks and takes back, on a stack where nothing else is open.
pub(crate) async fn writes(world: &World) -> Result<Figures> {
    progress("asking and taking back");
    let ask = json!({"stack": stack(world.size.open / PER_STACK), "operation": "update", "reason": "Ship 2.4"});
    let (mut asking, mut cancelling) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let began = Instant::now();
        let reply = world.post("/v1/requests", &ask).await?;
        asking.push(began.elapsed().as_secs_f64() * 1000.0);
        let path = format!("/v1/requests/{}", reply.body["id"].as_str().ok_or("a request has an id")?);
        // One that is taken back while its open request is created waits for that to settle.
        while world.call("pul-alice", &path).await?.body["state"] != "pending_approval" {
            tokio::time::sleep(PAUSE).await;
        }
        let began = Instant::now();
        world.post(&format!("{path}/cancel"), &json!({"reason": "not needed"})).await?;
        cancelling.push(began.elapsed().as_secs_f64() * 1000.0);
        // One after the other: ten open ones would be the most.
        while world.call("pul-alice", &path).await?.body["outcome"].is_null() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(vec![timed("POST a request", asking), timed("POST a cancellation", cancelling)])
}

fn timed(what: &str, took: Vec<f64>) -> Figure {
    let (median, p99, shown) = summary(took);
    Figure::new(what, shown, Holds::Quick { median, slack: 3.0, p99 })
}
