//! How long each call takes, one after the other.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::{World, stack, token};
use crate::{Figure, Figures, Holds, Result, progress, summary};

/// How often each is called.
const TIMES: usize = 60;

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
        let (median, _, shown) = summary(took);
        figures.push(Figure::new(what, shown, Holds::Flat { value: median, slack: 3.0 }));
    }
    Ok(figures)
}
