//! The embedded store: a DynamoDB-compatible engine on SQLite, in this process, behind a loopback port of its own.
//!
//! Its traps: every write to a table with a stream scans all stream records that are there, and nothing trims them. So records that were read are deleted
//! through a second SQLite connection. That uses its private schema: the crate is pinned, and a test fails when the schema changes.
//!
//! What the gate relies on in its table is one suite of tests (`functions/tests/ledger`), which runs here and, with `make test-dynamodb-local`, on AWS's own
//! DynamoDB Local. Where the two differ:
//!
//! - Where a condition of a single write fails, this engine gives the item that was there, as DynamoDB does since 2023; the DynamoDB Local that can be had is
//!   a build of 2020 and does not (the tests put it in). Nor does it take an empty string, which both others do; the gate writes none.
//! - A write that changes nothing makes a stream record here, and none there or on AWS: so whoever rings writes something new each time.
//! - Capacity figures of transactions are not AWS's; nothing is ever throttled, there is one shard, and indexes are consistent at once, which both hide.
//! - DynamoDB Local fails now and then when many tables are used at once (`InternalFailure`), so its tests run one by one; this engine does not.
//! - Nothing sweeps what expired unless it is told to (`tidy`).

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use rusqlite::{Connection, OpenFlags};
use signoff_core::ledger::LedgerError;
use signoff_functions::dynamo::{Dynamo, create_table};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinHandle;

use super::trouble::{check, damaged, explain, trouble};
use super::{failed, wal};
use crate::failure::Failure;

/// The table's name.
pub(super) const TABLE: &str = "signoff";
/// The store's file in the data directory.
const FILE: &str = "store.db";
/// The store's log beside it.
const LOG: &str = "store.db-wal";
/// The file whose lock says that a process has the directory, and whose text that there is a store in it.
const LOCK: &str = "lock";
/// What stands in it once there is a store.
const MADE: &str = "There is a store in this directory.\n";
/// The file that is there where the store is for a simulated Pulumi Cloud.
const SIMULATED: &str = "simulated";
/// The longest that one operation of the store takes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The store's server: how to stop it, and its end.
type Server = (oneshot::Sender<()>, JoinHandle<()>);

/// Which Pulumi Cloud a data directory is for. What was asked for at one of them is unknown to the other, and would end as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    Simulated,
}

impl Kind {
    /// Where the state is kept if no directory is named.
    pub(super) fn default_directory(self) -> &'static str {
        match self {
            Self::Real => ".signoff",
            Self::Simulated => ".signoff-simulated",
        }
    }

    /// Refuses a directory that was used with the other one, and marks a new one. A store without a mark is for the real one.
    fn claim(self, directory: &Path, has_store: bool) -> Result<(), Failure> {
        let shown = directory.display();
        let mark = directory.join(SIMULATED);
        let cant_read = |error: std::io::Error| failed(format!("can't read the data directory {shown}: {error}"));
        let is_marked = mark.try_exists().map_err(cant_read)?;
        match self {
            Self::Real if is_marked => Err(failed(format!(
                "the data directory {shown} was used with --simulate: its requests and its trail are those of a simulated Pulumi Cloud. Name another one \
                 with --data-dir, or, if nothing in it matters, delete it"
            ))),
            Self::Simulated if !is_marked && has_store => Err(failed(format!(
                "the data directory {shown} was used without --simulate: the simulated Pulumi Cloud does not know its requests, and would end those that \
                 are open. Name another one with --data-dir, or none: then it is {}",
                self.default_directory()
            ))),
            Self::Simulated if !is_marked => {
                std::fs::write(&mark, "The store in this directory is for a simulated Pulumi Cloud.\n")
                    .map_err(|error| failed(format!("can't write to the data directory {shown}: {error}")))
            }
            Self::Real | Self::Simulated => Ok(()),
        }
    }
}

/// The store of one data directory. Clones share it.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    trim: Arc<std::sync::Mutex<Connection>>,
    ledger: Dynamo,
    server: Arc<Mutex<Option<Server>>>,
    _lock: Arc<File>,
}

/// Whether there is a store in this directory.
pub(super) fn is_in(directory: &Path) -> bool {
    directory.join(FILE).exists()
}

impl Store {
    /// Opens the store in this directory, which is made if it is not there, and which belongs to this process from then on.
    pub(super) async fn open(directory: &Path, kind: Kind) -> Result<Self, Failure> {
        let shown = directory.display();
        std::fs::create_dir_all(directory)
            .map_err(|error| failed(format!("can't make the data directory {shown}: {error}")))?;
        let no_writing = |error: std::io::Error| failed(format!("can't write to the data directory {shown}: {error}"));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(directory.join(LOCK)).map_err(no_writing)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                failed(format!("the data directory {shown} is in use by another process"))
            }
            std::fs::TryLockError::Error(error) => failed(format!("can't lock the data directory {shown}: {error}")),
        })?;
        let path = directory.join(FILE);
        let was_made = lock.read_to_string(&mut String::new()).map_err(no_writing)? > 0;
        if was_made && std::fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            return Err(failed(format!(
                "the store {} is gone or empty, and there was one. Restore it from a backup; to begin anew and forget all requests, take {} away too.",
                path.display(),
                directory.join(LOCK).display()
            )));
        }
        kind.claim(directory, was_made || is_in(directory))?;
        let log = directory.join(LOG);
        wal::check(&log).map_err(|why| failed(damaged(&log, &why)))?;
        let broken = |error: &rusqlite::Error| failed(explain(error, &path));
        let text = path.to_str().ok_or_else(|| failed(format!("the data directory {shown} has no name in UTF-8")))?;
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
            // Looked at before anything may write to it: what is damaged stays as it is.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reading = Connection::open_with_flags(&path, flags).map_err(|error| broken(&error))?;
            check(&reading).map_err(|error| broken(&error))?;
        }
        // SQLite's own words say what is wrong; the engine's wrap them.
        let database = Database::new(text).map_err(|error| {
            let by_sqlite = Connection::open(&path).ok().and_then(|connection| trouble(&connection, &path));
            failed(by_sqlite.unwrap_or_else(|| damaged(&path, &error.to_string())))
        })?;
        let trim = Connection::open(&path).map_err(|error| broken(&error))?;
        trim.busy_timeout(TIMEOUT).map_err(|error| broken(&error))?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| failed(format!("no port for the store: {error}")))?;
        let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        let server = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, served, until).await {
                tracing::error!(error, "the store's server stopped");
            }
        });
        let timeouts = TimeoutConfig::builder().operation_timeout(TIMEOUT).build();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        create_table(&client, TABLE)
            .await
            .map_err(|error| failed(trouble(&trim, &path).unwrap_or_else(|| damaged(&path, &error.to_string()))))?;
        if !was_made {
            lock.write_all(MADE.as_bytes()).map_err(no_writing)?;
        }
        let ledger = Dynamo::new(client, TABLE.to_owned());
        let server = Arc::new(Mutex::new(Some((stop, server))));
        let trim = Arc::new(std::sync::Mutex::new(trim));
        Ok(Self { database, path, trim, ledger, server, _lock: Arc::new(lock) })
    }

    /// What keeps the store from being read and written, in a sentence that names its file and says what to do; `None` if nothing does.
    pub(super) async fn trouble(&self) -> Option<String> {
        let (trim, path) = (Arc::clone(&self.trim), self.path.clone());
        let look = move || trouble(&trim.lock().unwrap_or_else(std::sync::PoisonError::into_inner), &path);
        tokio::task::spawn_blocking(look).await.ok()?
    }

    /// A failure of the ledger's, and what is behind it.
    pub(super) async fn failure(&self, error: &LedgerError) -> Failure {
        failed(self.trouble().await.unwrap_or_else(|| error.to_string()))
    }

    /// The ledger in it.
    pub(super) fn ledger(&self) -> Dynamo {
        self.ledger.clone()
    }

    /// The database, for its stream.
    pub(super) fn database(&self) -> Database {
        self.database.clone()
    }

    /// Deletes the stream records before the one with this event id, and gives how many there were. That one stays, so that numbers go on growing.
    pub(super) fn trim(&self, event: &str) -> rusqlite::Result<usize> {
        let connection = self.trim.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Rows are numbered in the order of the stream. (What the stream calls a sequence number is no number that is stored.)
        connection.execute(
            "DELETE FROM _stream_records WHERE table_name = ?1
             AND id < (SELECT id FROM _stream_records WHERE table_name = ?1 AND event_id = ?2)",
            rusqlite::params![TABLE, event],
        )
    }

    /// Sweeps what expired, now and then: the engine does not do it by itself.
    pub(super) async fn tidy(self, every: Duration, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let database = self.database.clone();
            match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "what expired was not swept"),
                Err(error) => tracing::warn!(%error, "what expired was not swept"),
            }
        }
    }

    /// Stops the store's server.
    pub(super) async fn close(&self) {
        let Some((stop, server)) = self.server.lock().await.take() else { return };
        let _ = stop.send(());
        // Idle connections of the client's pool keep it from ending by itself.
        let _ = tokio::time::timeout(Duration::from_millis(200), server).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::pump;
    use dynoxide::actions::get_records::GetRecordsRequest;
    use serde_json::json;
    use signoff_core::ledger::Ledger;

    /// What trimming rests on is private to the store: this fails when it changes.
    #[tokio::test]
    async fn records_that_were_read_are_trimmed_but_for_the_last() {
        let directory = std::env::temp_dir().join(format!("signoff-trim-{}", std::process::id()));
        let store = Store::open(&directory, Kind::Real).await.map_err(|_| "the store does not open").unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        for n in 0..30 {
            assert!(store.ledger().once(&format!("thing {n}"), now, now).await.unwrap());
        }
        let iterator = pump::oldest(&store.database).unwrap();
        let read = || {
            let request: GetRecordsRequest = serde_json::from_value(json!({"ShardIterator": iterator})).unwrap();
            let answer = store.database.get_records(request).unwrap();
            answer.records.into_iter().map(|record| record.event_id).collect::<Vec<_>>()
        };
        let before = read();
        assert_eq!(before.len(), 30);
        assert_eq!(store.trim(&before[19]).unwrap(), 19);
        assert_eq!(read(), before[19..], "the record that was named and those after it stay");
        assert_eq!(store.trim("of no record").unwrap(), 0);
        store.close().await;
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
