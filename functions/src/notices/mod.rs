//! Notices over HTTP: to Slack, to programs that take signed webhooks, and to GitHub beside a commit.

mod sender;
mod signature;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError};
use signoff_core::notify::{Messenger, Notifier};
use tokio::task::JoinSet;
use tracing::Instrument as _;

pub use sender::{Sender, TIMEOUT};
pub use signature::{BadKey, SigningKeys};

/// To the notices of how many requests people listen at once.
const AT_ONCE: usize = 8;

/// For how long new ones are taken up. With [`signoff_core::notify::BUDGET`] it stays within the function's time, whoever does not answer.
const TAKEN_UP_FOR: Duration = Duration::from_secs(45);

/// Sends the notices that are due, those of several requests at once. Gives how many messages were sent.
///
/// # Errors
/// If the ledger fails; what was not sent is due again.
pub async fn send_due<L, M, H>(notifier: &Arc<Notifier<L, M, H>>) -> Result<usize, LedgerError>
where
    L: Ledger + 'static,
    M: Messenger + 'static,
    H: Host + 'static,
{
    let began = notifier.host.uptime();
    let mut waiting = notifier.due().await?.into_iter();
    let mut work = JoinSet::new();
    let mut take = |work: &mut JoinSet<_>| {
        let in_time = notifier.host.uptime().saturating_sub(began) < TAKEN_UP_FOR;
        if let Some(of_one_request) = waiting.next().filter(|_| in_time) {
            let notifier = Arc::clone(notifier);
            work.spawn(async move { notifier.tell(&of_one_request).await }.in_current_span());
        }
    };
    (0..AT_ONCE).for_each(|_| take(&mut work));
    let (mut sent, mut trouble) = (0, None);
    while let Some(done) = work.join_next().await {
        match done {
            Ok(Ok(some)) => sent += some,
            // The others are not to suffer from one whose items can't be read or written just now.
            Ok(Err(error)) => trouble = Some(error),
            Err(error) => tracing::error!(%error, "sending broke off; the notice is due again"),
        }
        take(&mut work);
    }
    trouble.map_or(Ok(sent), Err)
}
