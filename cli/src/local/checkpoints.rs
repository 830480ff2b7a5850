//! Checkpoints of the audit trail on one machine: a file of them, and a key beside the data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use signoff_core::chain::DAWN;
use signoff_core::checkpoint::{Checkpointer, LATE};
use signoff_core::host::Host as _;
use signoff_functions::checkpoint::{FileNotary, SigningKey};
use signoff_functions::dynamo::Dynamo;
use signoff_functions::machine::Machine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::failed;
use crate::environment::variable;
use crate::failure::Failure;

/// The file of the checkpoints in the data directory, unless the environment names another.
const FILE: &str = "checkpoints.jsonl";
/// The file of the key in the data directory.
const KEY: &str = "checkpoint-key";
/// How long the last checkpoint may take.
const GRACE: Duration = Duration::from_secs(10);

/// Where checkpoints go.
pub(super) struct Place {
    file: PathBuf,
    key: PathBuf,
    is_new_store: bool,
}

/// Writes them, a sweep at a time.
pub(super) struct Checkpoints {
    checkpointer: Checkpointer<FileNotary>,
    ledger: Dynamo,
    machine: Machine,
    /// What the last sweep failed of: it is said once.
    trouble: Option<String>,
}

impl Place {
    /// Where they go for this data directory, in which the store may be made after this.
    pub(super) fn of(data_dir: &Path) -> Self {
        let file = variable("SIGNOFF_CHECKPOINTS").map_or_else(|| data_dir.join(FILE), PathBuf::from);
        Self { file, key: data_dir.join(KEY), is_new_store: !super::store::is_in(data_dir) }
    }

    /// Opens the file and reads the key, or makes them. The data directory has to be locked.
    pub(super) fn open(self, ledger: Dynamo, machine: Machine) -> Result<Checkpoints, Failure> {
        let has_some = std::fs::metadata(&self.file).is_ok_and(|file| file.len() > 0);
        let key = match self.key.try_exists() {
            Ok(false) if has_some => {
                return Err(failed(format!(
                    "there are checkpoints in {}, but the key that signed them, {}, is not there. Bring it back, or move the checkpoints away and \
                     keep them: a new key and a new chain are begun then",
                    self.file.display(),
                    self.key.display()
                )));
            }
            Ok(false) => SigningKey::create(&self.key),
            Ok(true) | Err(_) => SigningKey::read(&self.key),
        };
        let key = key.map_err(|error| failed(format!("the key of the checkpoints: {error}")))?;
        // What an older store holds is in the first checkpoints of a new chain.
        let now = machine.now();
        let since = if self.is_new_store { now.saturating_sub(LATE).unwrap_or(now) } else { DAWN };
        let (notary, resume) = FileNotary::open(&self.file, key, machine.ulid(), since).map_err(failed)?;
        let checkpointer = Checkpointer::new(notary, resume).map_err(|error| failed(error.to_string()))?;
        Ok(Checkpoints { checkpointer, ledger, machine, trouble: None })
    }
}

impl Checkpoints {
    /// Writes what appeared, every so often, until it is told to stop.
    pub(super) async fn run(mut self, every: SignedDuration, mut stopped: watch::Receiver<bool>) -> Self {
        let mut ticks = tokio::time::interval(Duration::try_from(every).unwrap_or(Duration::from_secs(5)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return self,
            }
            let done = self.checkpointer.sweep(&self.ledger, &self.machine).await;
            let trouble = done.err().map(|error| error.to_string());
            match &trouble {
                Some(why) if self.trouble.as_ref() != Some(why) => {
                    tracing::error!(why, "no checkpoint could be written; it is made up for when it can be");
                }
                None if self.trouble.is_some() => tracing::info!("checkpoints are written again"),
                _ => {}
            }
            self.trouble = trouble;
        }
    }

    /// The last one, when nothing else is written any more.
    pub(super) async fn finish(running: JoinHandle<Self>) {
        let last = async {
            let Ok(mut this) = running.await else { return };
            if let Err(error) = this.checkpointer.finish(&this.ledger, &this.machine).await {
                tracing::error!(%error, "the last checkpoint could not be written; it is made up for at the next start");
            }
        };
        if tokio::time::timeout(GRACE, last).await.is_err() {
            tracing::warn!("the last checkpoint took too long; it is made up for at the next start");
        }
    }
}
