//! Places where the contract is tried: stores that speak DynamoDB.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use signoff_functions::dynamo::{Dynamo, create_table};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::contract::Place;

/// The table's name.
pub(crate) const TABLE: &str = "signoff";

/// A store whose table can be touched behind the ledger's back.
pub(crate) trait Table: Place<Ledger = Dynamo> {
    /// A client of it.
    fn client(&self) -> &Client;
}

/// The embedded store, in this process, in a file that goes with it.
pub(crate) struct Embedded {
    client: Client,
    folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl Embedded {
    /// The store in this folder.
    async fn at(folder: &Path) -> Self {
        let database = Database::new(folder.join("ledger.db").to_str().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            dynoxide::server::serve_with_shutdown(listener, database, stopped).await.unwrap();
        });
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .build();
        let client = Client::from_conf(config);
        create_table(&client, TABLE).await.unwrap();
        Self { client, folder: folder.to_owned(), stop: Some(stop), server: Some(server) }
    }

    /// Stops the store and opens it again from its file.
    pub(crate) async fn reopen(mut self) -> Self {
        drop(self.stop.take());
        // Idle connections of the client's pool close with it.
        self.client =
            Client::from_conf(aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).build());
        self.server.take().unwrap().await.unwrap();
        let folder = std::mem::take(&mut self.folder);
        Self::at(&folder).await
    }
}

impl Place for Embedded {
    type Ledger = Dynamo;

    async fn open() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ledger-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self::at(&folder).await
    }

    fn ledger(&self) -> Dynamo {
        Dynamo::new(self.client.clone(), TABLE.to_owned())
    }
}

impl Table for Embedded {
    fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
