//! Awaiting conditions.

use std::pin::Pin;
use std::time::Duration;

use tokio::task::LocalSet;

/// How long to leave a condition alone between two looks at it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// Looks until there is something to give, and gives it; `None` if there was nothing within `limit`.
pub async fn until<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    tokio::time::timeout(limit, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    })
    .await
    .ok()
}

/// Runs several scenarios at once, for those that mostly wait; fails if one of them does.
pub async fn together(scenarios: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    let set = LocalSet::new();
    let all: Vec<_> = scenarios.into_iter().map(|scenario| set.spawn_local(scenario)).collect();
    set.run_until(async {
        let mut failed = 0;
        for one in all {
            failed += usize::from(one.await.is_err());
        }
        assert_eq!(failed, 0, "scenarios failed, see above");
    })
    .await;
}
