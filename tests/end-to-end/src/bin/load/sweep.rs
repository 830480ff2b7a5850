//! What a sweep costs while nothing happens.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::World;
use crate::{Figure, Figures, Holds, Result, progress};

/// The time between two sweeps: what `signoff local` has by itself.
pub(crate) const EVERY: Duration = Duration::from_secs(5);
/// How many sweeps are watched.
const SWEEPS: u32 = 4;
/// How often it is seen whether somebody calls.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Watches some sweeps.
pub(crate) async fn measure(world: &World) -> Result<Figures> {
    progress("sweeps");
    let (began, first) = (Instant::now(), world.calls());
    let (mut before, mut busy) = (first, Duration::ZERO);
    while began.elapsed() < EVERY * SWEEPS {
        let looked = Instant::now();
        tokio::time::sleep(LOOK_EVERY).await;
        let now = world.calls();
        if now != before {
            busy += looked.elapsed();
        }
        before = now;
    }
    let sweeps = began.elapsed().as_secs_f64() / EVERY.as_secs_f64();
    let calls = (before - first) as f64 / sweeps;
    let millis = busy.as_secs_f64() * 1000.0 / sweeps;
    Ok(vec![
        Figure::new(
            "calls at Pulumi Cloud per sweep",
            format!("{calls:.0}"),
            Holds::Flat { value: calls, slack: 10.0 },
        ),
        Figure::new("a sweep's looks last", format!("{millis:.0} ms"), Holds::Flat { value: millis, slack: 500.0 }),
    ])
}
