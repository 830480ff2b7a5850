//! What stands behind the doors: a store that is empty or nearly so, a clock that stands still, a cloud that knows three people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use jiff::Timestamp;
use pulumi_sim::signature;
use signoff_core::asking::Permission;
use signoff_core::cloud::{CloudError, Identity, Role};
use signoff_core::gate::Gates;
use signoff_core::host::Host;
use signoff_core::names::{Login, StackName};
use signoff_functions::api::Callers;
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::secrets::Secret;
use tokio::net::TcpListener;
use tokio::sync::oneshot::Sender;
use ulid::Ulid;

/// Who is known: an admin, who may read all, somebody who may ask for nothing, and somebody who may ask for anything.
pub(crate) const ADMIN: &str = "alice";
pub(crate) const MEMBER: &str = "bob";
pub(crate) const WRITER: &str = "carol";

/// The token with which they send this input. It is another one for each, so that no input can hold its own: an answer may repeat what it was sent, and a
/// fuzzer that watches comparisons learns what it is compared with.
pub(crate) fn token(login: &str, input: &[u8]) -> String {
    format!("pul-{login}-{}", signature(login, input))
}

/// A clock that stands still. Each time that it is asked how long it has been up it is a second more, so that inputs, each of which brings a token of its own, are
/// not too many unknown callers at once.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ids: AtomicU64,
    seconds: AtomicU64,
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_428_000).expect("a time")
    }
    fn uptime(&self) -> Duration {
        Duration::from_secs(self.seconds.fetch_add(1, Ordering::Relaxed))
    }
    fn ulid(&self) -> Ulid {
        Ulid::from_parts(1_795_428_000_000, u128::from(self.ids.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A cloud that knows three people of acme.
#[derive(Debug)]
pub(crate) struct Cloud;

impl Callers for Cloud {
    async fn identity(&self, token: &Secret) -> Result<Identity, CloudError> {
        let (login, role) = match token.expose().split('-').nth(1) {
            Some(ADMIN) => (ADMIN, Role::Admin),
            Some(MEMBER) => (MEMBER, Role::Member),
            Some(WRITER) => (WRITER, Role::Member),
            _ => return Err(CloudError::Unauthorized("no".to_owned())),
        };
        let login: Login = login.parse().expect("a login");
        let acme = "acme".parse().expect("an organization");
        Ok(Identity { name: login.to_string(), login, machine: None, organizations: vec![(acme, role)] })
    }

    async fn stack_permission(&self, _: &Secret, login: &Login, _: &StackName) -> Result<Permission, CloudError> {
        Ok(if login.as_str() == WRITER { Permission::Admin } else { Permission::None })
    }
}

const TABLE: &str = "signoff";

/// Serves on a port and a thread of its own; gives the address.
pub(crate) fn serving(serve: impl AsyncFnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let (give, take) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
            give.send(listener.local_addr().expect("it has an address")).expect("somebody waits for it");
            serve(listener).await;
        });
    });
    take.recv().expect("it starts")
}

/// An empty embedded store, on a port and a thread of its own, which ends when what comes with it is dropped.
fn store() -> (Client, Sender<()>) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let address = serving(async move |listener| {
        let database = dynoxide::Database::memory().expect("a store can be made");
        let until = async { drop(stopped.await) };
        // It is over either way.
        let _ = dynoxide::server::serve_with_shutdown(listener, database, until).await;
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .build();
    (Client::from_conf(config), stop)
}

/// The ledger on an empty store.
pub(crate) fn ledger() -> (Arc<Dynamo>, Sender<()>) {
    let (client, stop) = store();
    let ledger = Dynamo::new(client.clone(), TABLE.to_owned());
    let gates = "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";
    let gates = Gates::from_toml(gates).expect("these are gates");
    crate::wait(async {
        create_table(&client, TABLE).await.expect("a table can be made");
        ledger.put_gates(&gates).await.expect("gates can be put");
    });
    (Arc::new(ledger), stop)
}

/// A ledger that can't be written to, since it has no table: what comes as far as it is not recorded, and so nothing grows.
pub(crate) fn unwritable() -> (Arc<Dynamo>, Sender<()>) {
    let (client, stop) = store();
    (Arc::new(Dynamo::new(client, TABLE.to_owned())), stop)
}
