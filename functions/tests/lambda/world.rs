//! What is around the functions: the table and the secrets, with IAM before both, Pulumi Cloud, and the mappings from the table's stream to the workers.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use dynoxide::actions::get_records::{GetRecordsRequest, GetRecordsResponse};
use pulumi_sim::{HookScope, Sim, SimConfig, Timing, seed};
use serde_json::{Value, json};
use signoff_core::gate::Gates;
use signoff_core::request::Worker;
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::stream::filter::Filters;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::emulator::{Emulator, folder, free_port, listens, until};
use crate::events;
use crate::iam::Iam;
use crate::tools::emulators;

/// The table's name.
pub(crate) const TABLE: &str = "signoff-test";
/// The webhook's secret, and the one before.
pub(crate) const SECRET: &str = "whsec-5b0c6f1e9d2a47c8";
pub(crate) const PREVIOUS: &str = "whsec-before-91f3";
/// The principal's token at the simulated cloud.
const TOKEN: &str = "pul-signoff-deployer";
const PREFIX: &str = "signoff-test/principals/";
const GATES: &str = r#"
[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;
/// The most records of a batch, as the mappings have it.
const BATCH: usize = 10;
/// What the functions log: all that there is, since what only those see who look closely must hold no secret either.
const LOG: &str = "info,signoff_core=debug,signoff_functions=debug";

/// All of it. [`World::finish`] ends a test.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) sim: Sim,
    pub(crate) iam: Iam,
    /// Where Secrets Manager, KMS and S3 are, for those whom IAM does not concern.
    pub(crate) manager: String,
    ledger: Dynamo,
    database: Database,
    iterator: Option<String>,
    folder: PathBuf,
    _secrets: Child,
    variables: Vec<(&'static str, String)>,
    running: Vec<String>,
    secret: Vec<String>,
}

impl World {
    /// Starts everything but the functions.
    pub(crate) async fn start(name: &str) -> Self {
        let (tools, folder) = (emulators(), folder(name));
        let mut cloud = seed::acme(1);
        cloud.timing = Timing { accept_ms: 20, run_ms: 60 };
        let sim = Sim::start(SimConfig::new(cloud)).await.unwrap();
        let database = Database::memory().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let client = aws_sdk_dynamodb::Client::from_conf(
            aws_sdk_dynamodb::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("eu-central-1"))
                .endpoint_url(&store)
                .credentials_provider(Credentials::new("local", "local", None, None, "test"))
                .build(),
        );
        create_table(&client, TABLE).await.unwrap();
        let ledger = Dynamo::new(client, TABLE.to_owned());
        ledger.put_gates(&Gates::from_toml(GATES).unwrap()).await.unwrap();

        let (port, log) = (free_port().await, folder.join("secrets.log"));
        let mut secrets = Command::new(tools.join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (emulator, ()) = tokio::join!(Emulator::start(&tools, &folder), listens(port, &mut secrets, &log));
        let manager = format!("http://127.0.0.1:{port}");
        put_secret(&manager, &format!("{PREFIX}default"), TOKEN).await;
        let current = put_secret(&manager, "signoff-test/webhook-2", SECRET).await;
        let previous = put_secret(&manager, "signoff-test/webhook-1", PREVIOUS).await;
        let iam = Iam::start(&store, &manager).await;
        let variables = vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", iam.url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", iam.url.clone()),
            ("SIGNOFF_TABLE", TABLE.to_owned()),
            ("SIGNOFF_INSTALLATION", "signoff-test".to_owned()),
            ("SIGNOFF_PULUMI_URL", sim.url()),
            ("SIGNOFF_PUBLIC_URL", "https://signoff.example.com".to_owned()),
            ("SIGNOFF_TOKEN_PREFIX", PREFIX.to_owned()),
            ("SIGNOFF_CHANNEL_PREFIX", "signoff-test/channels/".to_owned()),
            ("SIGNOFF_WEBHOOK_SECRET_ID", current),
            ("SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID", previous),
            // What is due is due soon, so that nothing has to be waited for.
            ("SIGNOFF_SWEEP_SECONDS", "1".to_owned()),
            ("SIGNOFF_LOG", LOG.to_owned()),
            ("SIGNOFF_METRICS_NAMESPACE", "signoff/test".to_owned()),
        ];
        let running = Vec::new();
        Self {
            emulator,
            sim,
            iam,
            manager,
            ledger,
            database,
            iterator: None,
            folder,
            _secrets: secrets,
            variables,
            running,
            secret: [SECRET, PREVIOUS, TOKEN, "pul-alice", "pul-bob"].map(str::to_owned).to_vec(),
        }
    }

    /// The gates are the usual one from now on, with something before it and more keys.
    pub(crate) async fn gates(&self, before: &str, keys: &str) {
        self.ledger.put_gates(&Gates::from_toml(&format!("{before}{GATES}{keys}")).unwrap()).await.unwrap();
    }

    /// Puts a secret into Secrets Manager; its ARN.
    pub(crate) async fn secret(&self, name: &str, value: &str) -> String {
        put_secret(&self.manager, name, value).await
    }

    /// Functions that are started from now on have this variable, those that the Pulumi program gives it.
    pub(crate) fn give(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
    }

    /// These may stand in no log.
    pub(crate) fn hide(&mut self, secrets: &[&str]) {
        self.secret.extend(secrets.iter().map(|secret| (*secret).to_owned()));
    }

    /// Starts a function, with the variables that it has on Lambda; `other` ones take their places.
    pub(crate) fn run_with(&mut self, name: &str, other: &[(&str, String)]) {
        self.run_within(name, other, time_of(name));
    }

    /// The same, with another time-out.
    pub(crate) fn run_within(&mut self, name: &str, other: &[(&str, String)], time: Duration) {
        let mut theirs: Vec<(&str, String)> =
            self.variables.iter().filter(|(key, _)| is_given(name, key)).cloned().collect();
        theirs.extend_from_slice(other);
        if name == "notify" {
            self.iam.configure("notices");
        }
        self.emulator.run(name, &theirs, time);
        self.running.push(name.to_owned());
    }

    /// Starts functions.
    pub(crate) fn run(&mut self, names: &[&str]) {
        for name in names {
            self.run_with(name, &[]);
        }
    }

    /// Has the simulated cloud send its webhooks to `receive`, through the emulator's HTTP side.
    pub(crate) fn send_webhooks(&self) {
        let url = format!("{}/lambda-url/receive/webhooks/pulumi", self.emulator.url);
        let groups = ["change_requests", "deployments", "environments"];
        self.sim.cloud().webhook(HookScope::Organization("acme".to_owned()), "signoff", &url, SECRET, &groups);
    }

    /// Calls the HTTP API as somebody; the status and the answer.
    pub(crate) async fn call(&self, login: &str, method: &str, path: &str, body: Option<&Value>) -> (u64, Value) {
        let token = format!("token pul-{login}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = body.map(Value::to_string);
        let event = events::http(method, path, &headers, body.as_deref().map(str::as_bytes), false);
        let (status, answer) = self.emulator.invoke("api", &event).await;
        assert_eq!(status, 200, "{answer}\n{}", self.emulator.log("api"));
        self.iam.check();
        (answer["statusCode"].as_u64().unwrap(), events::json_body(&answer))
    }

    /// The schedule wakes a function.
    pub(crate) async fn tick(&self, name: &str) {
        let (status, answer) = self.emulator.invoke(name, &events::tick()).await;
        self.iam.check();
        assert_eq!((status, answer), (200, Value::Null), "{}", self.emulator.log(name));
    }

    /// Asks for an update as alice; the request's id.
    pub(crate) async fn ask(&self, stack: &str) -> String {
        let body = json!({"stack": stack, "operation": "update", "reason": "Ship 2.4: the new checkout"});
        let (status, answer) = self.call("alice", "POST", "/v1/requests", Some(&body)).await;
        assert_eq!(status, 202, "{answer}\n{}", self.emulator.log("api"));
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The state of a request.
    pub(crate) async fn state(&self, id: &str) -> String {
        let (_, request) = self.call("alice", "GET", &format!("/v1/requests/{id}"), None).await;
        request["state"].as_str().unwrap_or_else(|| panic!("{request}")).to_owned()
    }

    /// Somebody approves the open change requests of a request.
    pub(crate) fn approve(&self, login: &str, id: &str) {
        let now = self.sim.now();
        let mut cloud = self.sim.cloud();
        let marked = cloud
            .change_requests()
            .iter()
            .filter(|one| one.description.lines().next().is_some_and(|line| line.ends_with(id)));
        let ids: Vec<String> = marked.map(|one| one.id.clone()).collect();
        assert!(!ids.is_empty(), "there is nothing of {id} to approve");
        for one in ids {
            cloud.approve(now, login, &one).unwrap();
        }
    }

    /// The stream's records since the last time that it was asked, as Lambda hands them over.
    pub(crate) fn records(&mut self) -> Vec<Value> {
        let iterator = self.iterator.take().unwrap_or_else(|| oldest(&self.database));
        let request: GetRecordsRequest = serde_json::from_value(json!({"ShardIterator": iterator})).unwrap();
        let GetRecordsResponse { records, next_shard_iterator } = self.database.get_records(request).unwrap();
        self.iterator = next_shard_iterator;
        records.iter().map(|record| serde_json::to_value(record).unwrap()).collect()
    }

    /// Hands the stream's new records to the workers as their mappings do, and those that fail once more; how many there were.
    pub(crate) async fn pump(&mut self) -> usize {
        let records = self.records();
        for worker in [Worker::Apply, Worker::Deploy] {
            let filters = Filters::of(worker).unwrap();
            let theirs: Vec<Value> = records.iter().filter(|record| filters.pass(record)).cloned().collect();
            for batch in theirs.chunks(BATCH) {
                let failed = self.deliver(worker.as_str(), batch).await;
                assert!(failed.is_empty(), "{failed:?} failed\n{}", self.emulator.log(worker.as_str()));
            }
        }
        records.len()
    }

    /// Hands a batch to a worker; the sequence numbers of those that have to come again.
    pub(crate) async fn deliver(&self, worker: &str, batch: &[Value]) -> Vec<String> {
        self.iam.read_stream(worker);
        let (status, answer) = self.emulator.invoke(worker, &json!({"Records": batch})).await;
        assert_eq!(status, 200, "{answer}\n{}", self.emulator.log(worker));
        self.iam.check();
        let failures = answer["batchItemFailures"].as_array().unwrap_or_else(|| panic!("{answer}"));
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    /// Pumps, and does `between` each time, until a request has this state.
    pub(crate) async fn expect_state(&mut self, id: &str, state: &str, mut between: impl AsyncFnMut(&Self)) {
        until(&format!("{id} to be {state}"), async || {
            self.pump().await;
            between(self).await;
            (self.state(id).await == state).then_some(())
        })
        .await;
    }

    /// Ends the test: no function panicked, called what its policies do not grant it, or wrote a token or a secret into its log.
    pub(crate) fn finish(self) {
        self.iam.check();
        for name in &self.running {
            let log = self.emulator.log(name);
            assert!(!log.contains("panicked at"), "{name} panicked:\n{log}");
            for secret in &self.secret {
                assert!(!log.contains(secret), "the log of {name} holds a secret");
            }
        }
        let folder = self.folder.clone();
        drop(self);
        // What can't be removed goes with the target directory.
        drop(std::fs::remove_dir_all(folder));
    }
}

/// How long an invocation of a function may take, as the Pulumi program has it.
fn time_of(function: &str) -> Duration {
    Duration::from_secs(match function {
        "apply" | "deploy" | "notify" => 120,
        "reconcile" => 55,
        _ => 28,
    })
}

/// Whether the Pulumi program gives a function this variable.
fn is_given(function: &str, variable: &str) -> bool {
    match variable {
        "SIGNOFF_TOKEN_PREFIX" | "SIGNOFF_INSTALLATION" => matches!(function, "apply" | "deploy"),
        "SIGNOFF_WEBHOOK_SECRET_ID" | "SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID" => function == "receive",
        "SIGNOFF_GITHUB_SECRET_ID" | "SIGNOFF_GITHUB_SECRET_PREVIOUS_ID" => function == "receive",
        "SIGNOFF_GITHUB_TOKEN_ID" | "SIGNOFF_GITHUB_URL" => matches!(function, "apply" | "notify"),
        "SIGNOFF_CHANNEL_PREFIX" => function == "notify",
        "SIGNOFF_CHECKPOINT_BUCKET" | "SIGNOFF_CHECKPOINT_KEY" => function == "reconcile",
        "SIGNOFF_PULUMI_URL" | "SIGNOFF_CA_BUNDLE" | "SIGNOFF_PUBLIC_URL" => {
            matches!(function, "api" | "apply" | "deploy" | "notify")
        }
        _ => true,
    }
}

/// Creates a secret; its ARN.
async fn put_secret(manager: &str, name: &str, value: &str) -> String {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(manager)
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .build();
    let client = aws_sdk_secretsmanager::Client::from_conf(config);
    client.create_secret().name(name).secret_string(value).send().await.unwrap().arn.unwrap()
}

/// An iterator at the oldest record of the table's stream.
fn oldest(database: &Database) -> String {
    let streams = database.list_streams(serde_json::from_value(json!({"TableName": TABLE})).unwrap()).unwrap();
    let stream = serde_json::to_value(streams).unwrap()["Streams"][0]["StreamArn"].clone();
    let described = database.describe_stream(serde_json::from_value(json!({"StreamArn": stream})).unwrap()).unwrap();
    let shard = serde_json::to_value(described).unwrap()["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let request = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = database.get_shard_iterator(serde_json::from_value(request).unwrap()).unwrap();
    serde_json::to_value(iterator).unwrap()["ShardIterator"].as_str().unwrap().to_owned()
}
