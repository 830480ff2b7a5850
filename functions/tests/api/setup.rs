//! The API on the embedded store, with people whose tokens a fake of Pulumi Cloud knows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signoff_core::asking::Permission;
use signoff_core::chain::seal;
use signoff_core::cloud::{CloudError, Identity, Machine, Role};
use signoff_core::event::{Actor, Entry, Event};
use signoff_core::gate::Gates;
use signoff_core::host::Host;
use signoff_core::ledger::{Begin, Cause, Intent, Lease, Ledger, LineChange, Loaded};
use signoff_core::names::{Login, RequestId, StackName};
use signoff_functions::api::{self, Api, Callers};
use signoff_functions::dynamo::keys::{self, Key};
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::secrets::Secret;
use tower::ServiceExt;
use ulid::Ulid;

pub(crate) const GATES: &str = r#"
[[gate]]
stacks = ["acme/locked/prod"]
environment = "acme/credentials/locked"
operations = ["update"]
commit = "required"
pending-timeout = "2h"
requesters = ["alice", "machine:ci"]

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"

[[gate]]
stacks = ["globex/*/prod"]
environment = "globex/credentials/prod"
"#;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Clock {
    since: Timestamp,
    ms: AtomicU64,
    drawn: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { since: "2026-11-23T12:00:00Z".parse().unwrap(), ms: AtomicU64::new(0), drawn: AtomicU64::new(1) }
    }

    pub(crate) fn forward(&self, seconds: u64) {
        self.ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        self.since + self.uptime()
    }
    fn uptime(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::SeqCst))
    }
    fn ulid(&self) -> Ulid {
        let ms = u64::try_from(self.now().as_millisecond()).unwrap();
        Ulid::from_parts(ms, u128::from(self.drawn.fetch_add(1, Ordering::SeqCst)))
    }
}

/// Pulumi Cloud as callers see it.
#[derive(Debug, Default)]
pub(crate) struct Fakes {
    people: Mutex<HashMap<String, Identity>>,
    permissions: Mutex<HashMap<(Login, StackName), Permission>>,
    pub(crate) fails: Mutex<Option<CloudError>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) asked_for_permission: AtomicUsize,
}

impl Fakes {
    pub(crate) fn person(&self, login: &str, organizations: &[(&str, Role)]) {
        self.identity(&format!("pul-{login}"), login, None, organizations);
    }

    pub(crate) fn identity(&self, token: &str, login: &str, machine: Option<&str>, organizations: &[(&str, Role)]) {
        let identity = Identity {
            login: login.parse().unwrap(),
            name: login.to_uppercase(),
            machine: machine.map(|name| Machine {
                name: name.to_owned(),
                organization: "acme".to_owned(),
                team: String::new(),
            }),
            organizations: organizations.iter().map(|(name, role)| (name.parse().unwrap(), *role)).collect(),
        };
        self.people.lock().unwrap().insert(token.to_owned(), identity);
    }

    pub(crate) fn allow(&self, login: &str, stack: &str, permission: Permission) {
        self.permissions.lock().unwrap().insert((login.parse().unwrap(), stack.parse().unwrap()), permission);
    }
}

impl Callers for Fakes {
    async fn identity(&self, token: &Secret) -> Result<Identity, CloudError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let known = self.people.lock().unwrap().get(token.expose()).cloned();
        known.ok_or_else(|| CloudError::Unauthorized("no".to_owned()))
    }

    async fn stack_permission(&self, _: &Secret, login: &Login, stack: &StackName) -> Result<Permission, CloudError> {
        self.asked_for_permission.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let known = self.permissions.lock().unwrap().get(&(login.clone(), stack.clone())).copied();
        Ok(known.unwrap_or(Permission::None))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer, which has to be a problem of this status that says what to do.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.bytes);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"), "{problem}");
        assert!(!problem["title"].as_str().unwrap().is_empty() && problem["detail"].as_str().unwrap().len() > 10);
        problem
    }

    /// The pointers of a 422.
    #[track_caller]
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.bytes);
        self.json()
    }
}

/// The API and what is behind it.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Dynamo>,
    pub(crate) callers: Arc<Fakes>,
    pub(crate) host: Arc<Clock>,
}

fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

impl World {
    /// With the embedded store.
    pub(crate) async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
        let client = client(&url);
        create_table(&client, "signoff").await.unwrap();
        let world = Self::on(client);
        world.ledger.put_gates(&Gates::from_toml(GATES).unwrap()).await.unwrap();
        world
    }

    /// With a store that is down.
    pub(crate) fn without_store() -> Self {
        Self::on(client("http://127.0.0.1:9"))
    }

    fn on(client: Client) -> Self {
        let callers = Arc::new(Fakes::default());
        callers.person("alice", &[("acme", Role::Member)]);
        callers.person("bob", &[("acme", Role::Member)]);
        callers.person("admin", &[("acme", Role::Admin)]);
        callers.person("visitor", &[("acme", Role::StackCollaborator)]);
        callers.person("stranger", &[("globex", Role::Admin)]);
        callers.person("both", &[("acme", Role::Member), ("globex", Role::Admin)]);
        callers.person("housed", &[("housed", Role::Admin), ("acme", Role::Member)]);
        callers.person("odd", &[("acme", Role::Other)]);
        callers.person("nobody", &[]);
        callers.identity("pul-ci", "machines", Some("ci"), &[("acme", Role::Member)]);
        callers.identity("pul-other", "machines", Some("other"), &[("acme", Role::Member)]);
        for login in ["alice", "bob", "both"] {
            callers.allow(login, "acme/web/prod", Permission::Write);
        }
        let (ledger, host) = (Arc::new(Dynamo::new(client.clone(), "signoff".to_owned())), Arc::new(Clock::new()));
        let router = api::router(Api {
            ledger: Arc::clone(&ledger),
            callers: Arc::clone(&callers),
            host: Arc::clone(&host),
            public_url: "https://signoff.example".to_owned(),
            console_url: "https://app.pulumi.com".to_owned(),
            version: "0.1.0".to_owned(),
            sweep: SignedDuration::from_secs(60),
        });
        Self { router, client, ledger, callers, host }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, login: &str, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("token pul-{login}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, login: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("authorization", format!("token pul-{login}"));
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn ask(&self, login: &str, body: Value) -> Answer {
        self.post(login, "/v1/requests", body.to_string()).await
    }

    pub(crate) async fn ask_with_key(&self, login: &str, key: &str, body: Value) -> Answer {
        let request = Request::post("/v1/requests")
            .header("authorization", format!("token pul-{login}"))
            .header("idempotency-key", key);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A request of alice's, just asked for.
    pub(crate) async fn asked(&self) -> RequestId {
        let answer = self.ask("alice", want("acme/web/prod")).await;
        answer.ok(202)["id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn cancel(&self, login: &str, id: RequestId) -> Answer {
        let body = json!({"reason": "Not today"});
        self.post(login, &format!("/v1/requests/{id}/cancel"), body.to_string()).await
    }

    /// A worker has written its intent to deploy, and holds the lease.
    pub(crate) async fn intended(&self, id: RequestId) -> Lease {
        let now = self.host.now();
        let until = now + Duration::from_secs(60);
        let Begin::Held(_, lease) = self.ledger.begin(id, self.host.ulid(), now, until, Cause::Due).await.unwrap()
        else {
            panic!("nobody else has it")
        };
        self.ledger.intend(&lease, &Intent { at: now, settles_at: until }).await.unwrap();
        lease
    }

    pub(crate) async fn load(&self, id: RequestId) -> Loaded {
        self.ledger.load(id).await.unwrap().unwrap()
    }

    /// Somebody edits what was asked for, behind signoff's back: in the first event, `from` becomes `to`.
    pub(crate) async fn edit(&self, id: RequestId, from: &str, to: &str) {
        let event = serde_json::to_string(&self.ledger.events(id).await.unwrap()[0]).unwrap();
        let key = Key::event(id, 1);
        let update = self.client.update_item().table_name("signoff").update_expression("SET #event = :event");
        let update = update.key(keys::PK, AttributeValue::S(key.pk)).key(keys::SK, AttributeValue::S(key.sk));
        let update = update.expression_attribute_names("#event", keys::EVENT);
        let edited = AttributeValue::S(event.replace(from, to));
        update.expression_attribute_values(":event", edited).send().await.unwrap();
    }

    /// Moves a request on, as a worker would.
    pub(crate) async fn record(&self, id: RequestId, event: Event) -> Loaded {
        let request = self.load(id).await.request;
        let entry = Entry { id: self.host.ulid(), at: self.host.now(), actor: Actor::SIGNOFF, event };
        let step = seal(Some(&request), &entry).unwrap();
        let is_over = step.request.status.state.is_terminal();
        let line = if is_over { LineChange::Leave } else { LineChange::Keep };
        self.ledger.record(&step, None, line).await.unwrap();
        self.load(id).await
    }
}

/// What asks for an update of a stack.
pub(crate) fn want(stack: &str) -> Value {
    json!({"stack": stack, "operation": "update", "reason": "Ship 2.4"})
}
