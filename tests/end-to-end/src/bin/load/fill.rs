//! Requests written straight into a store, through the ledger.

use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use signoff_core::chain::{Step, seal};
use signoff_core::event::{Actor, Entry, Event, Opened, RestsOn, Seen};
use signoff_core::ledger::{Begin, Cause, Ledger, LineChange, NewRequest, Work};
use signoff_core::names::{Operation, RequestId};
use signoff_core::request::{Approvals, Ask, ChangeRequestStatus, Outcome, Request, Requester, State, Terms};
use signoff_functions::dynamo::{Dynamo, create_table};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use ulid::Ulid;

use crate::world::{PER_STACK, Size, stack};
use crate::{Result, progress};

/// The table's name, and the store's file, as `signoff local` has them.
const TABLE: &str = "signoff";
const FILE: &str = "store.db";
/// How many write at once.
const WRITERS: usize = 4;
/// After how many requests the stream is trimmed, which the store scans on every write.
const TRIM_EVERY: usize = 10;

/// Fills a store; gives the ids of a request that is over and of one that is open.
pub(crate) async fn fill(directory: &Path, size: Size) -> Result<[String; 2]> {
    let path = directory.join(FILE);
    let database = Database::new(path.to_str().ok_or("the directory has no name in UTF-8")?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let until = async { drop(stopped.await) };
        dynoxide::server::serve_with_shutdown(listener, database, until).await.map_err(|error| error.to_string())
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .build();
    let client = Client::from_conf(config);
    create_table(&client, TABLE).await?;
    let ledger = Dynamo::new(client, TABLE.to_owned());
    let trim = Connection::open(&path)?;
    trim.busy_timeout(std::time::Duration::from_secs(10))?;
    // If the machine stops now, the store is filled anew.
    trim.pragma_update(None, "synchronous", "OFF")?;

    let now = now();
    let mut over = String::new();
    let mut work: JoinSet<Result<String>> = JoinSet::new();
    for n in 0..size.finished {
        if work.len() >= WRITERS {
            over = work.join_next().await.ok_or("nobody writes")???;
        }
        if n % TRIM_EVERY == 0 {
            trim_stream(&trim)?;
        }
        if n % 5_000 == 4_999 {
            progress(&format!("{} of {} written", n + 1, size.finished));
        }
        let ledger = ledger.clone();
        // The newest is an hour old, and there is one each minute before that.
        let at = now - SignedDuration::from_secs(3600 + 60 * n as i64);
        work.spawn(async move { finished(&ledger, &format!("acme/old-{}/prod", n % 50), at, n).await });
    }
    while let Some(one) = work.join_next().await {
        over = one??;
    }
    let mut open = String::new();
    for n in 0..size.open {
        open = created(&ledger, &stack(n / PER_STACK), now, n).await?.ask.id.to_string();
        if n % TRIM_EVERY == 0 {
            trim_stream(&trim)?;
        }
    }
    trim_stream(&trim)?;
    drop((trim, ledger));
    let _ = stop.send(());
    server.await??;
    Ok([over, open])
}

/// Deletes the stream's records but for the last. (What `signoff local` does after reading them.)
fn trim_stream(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM _stream_records WHERE id < (SELECT MAX(id) FROM _stream_records)", [])?;
    Ok(())
}

/// A request from asking to being taken back.
async fn finished(ledger: &Dynamo, stack: &str, at: Timestamp, n: usize) -> Result<String> {
    let request = created(ledger, stack, at, n).await?;
    let id = request.ask.id;
    let change_request = format!("{:08x}-filled", n);
    let opened =
        vec![Opened { id: change_request.clone(), environment: "acme/credentials/prod".parse()?, revision: 1 }];
    let principal = "signoff-deployer".parse()?;
    let settings = "f".repeat(64);
    let opened = Event::Opened { principal, machine: None, settings, change_requests: opened };
    let approvals =
        vec![Approvals { ruleset: "prod-signoff".to_owned(), required: 1, approvers: Vec::new(), counted: Vec::new() }];
    let (status, rulesets) = (ChangeRequestStatus::Pending, vec!["gate-1".to_owned()]);
    let description_hash = Some("f".repeat(32));
    let seen = Seen { id: change_request, status, revision: 1, approvals, rulesets, description_hash };
    let submitted = Event::Submitted { change_requests: vec![seen] };
    let outcome = Outcome::new("cancelled", "alice took the request back.");
    let decided = Event::EndDecided { to: State::Cancelled, outcome: outcome.clone(), rests_on: RestsOn::default() };
    let mut request = recorded(ledger, request, opened, at, LineChange::Keep).await?;
    for event in [submitted, decided] {
        request = recorded(ledger, request, event, at, LineChange::Keep).await?;
    }
    let cancelled = Event::Cancelled { outcome, rests_on: RestsOn::default() };
    recorded(ledger, request, cancelled, at, LineChange::Leave).await?;
    let until = at + SignedDuration::from_secs(60);
    let Begin::Held(_, lease) = ledger.begin(id, Ulid::from_parts(1, n as u128), at, until, Cause::Due).await? else {
        return Err(format!("{id} has no lease to give").into());
    };
    ledger.finish(&lease, &Work::default()).await?;
    Ok(id.to_string())
}

/// A request at the end of its stack's line.
async fn created(ledger: &Dynamo, stack: &str, at: Timestamp, n: usize) -> Result<Request> {
    loop {
        let stack = stack.parse()?;
        let position = ledger.line(&stack).await?.next;
        let millis = u64::try_from(at.as_millisecond())?;
        let ask = Ask {
            id: RequestId::new(Ulid::from_parts(millis, 0x10AD_0000_0000 + n as u128)),
            stack,
            operation: Operation::Update,
            reason: "Ship 2.4: the new checkout".parse()?,
            commit: None,
            requester: Requester { login: "alice".parse()?, name: "Alice Archer".to_owned(), machine: None },
            on_behalf_of: None,
            push: None,
            rescues: None,
            gate: Terms {
                environment: "acme/credentials/prod".parse()?,
                principal: "default".parse()?,
                self_approval: false,
                commit_required: false,
                approvals: None,
                wait: None,
            },
            access_duration: "1h".parse()?,
            grant_expiration: "1h".parse()?,
            pending_timeout: "72h".parse()?,
            not_before: None,
            not_after: None,
            position,
            created_at: at,
        };
        let actor = Actor::Login("alice".parse()?);
        let event = Event::Requested(Box::new(ask));
        let step = sealed(None, event, at, actor)?;
        let new = NewRequest { step, due: at + SignedDuration::from_secs(5), idempotency: None };
        match ledger.create(&new).await {
            Ok(()) => return Ok(new.step.request),
            // Another writer was faster on this stack.
            Err(signoff_core::ledger::LedgerError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn recorded(ledger: &Dynamo, before: Request, event: Event, at: Timestamp, line: LineChange) -> Result<Request> {
    let step = sealed(Some(&before), event, at, Actor::SIGNOFF)?;
    loop {
        match ledger.record(&step, None, line).await {
            Ok(()) => return Ok(step.request),
            // Somebody else changed the line.
            Err(signoff_core::ledger::LedgerError::Conflict) if line == LineChange::Leave => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn sealed(before: Option<&Request>, event: Event, at: Timestamp, actor: Actor) -> Result<Step> {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = Ulid::from_parts(u64::try_from(at.as_millisecond())?, u128::from(number));
    Ok(seal(before, &Entry { id, at, actor, event })?)
}

#[expect(clippy::disallowed_methods, reason = "what is written has to look as if it were of now")]
fn now() -> Timestamp {
    Timestamp::now()
}
