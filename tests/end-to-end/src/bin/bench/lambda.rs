//! The functions as Lambda runs them: how big their archives are, how long a start takes, and how much memory they need.

use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use dynoxide::Database;
use dynoxide::actions::get_records::{GetRecordsRequest, GetRecordsResponse};
use pulumi_sim::{Timing, signature};
use serde_json::{Value, json};
use signoff_core::gate::Gates;
use signoff_core::request::Worker;
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::stream::filter::Filters;
use tokio::net::TcpListener;

use crate::gate::{GATES, SECRET, progress};
use crate::runtime::Function;
use crate::world::{World, about_change_request, stack};
use crate::{Line, Result};

/// The functions.
const FUNCTIONS: [&str; 6] = ["api", "receive", "apply", "deploy", "reconcile", "notify"];
/// How often a start is timed.
const STARTS: usize = 105;
/// How many requests go through the functions before their memory is read.
const REQUESTS: usize = 50;
/// As the Pulumi program has it.
const BATCH: usize = 10;
const TABLE: &str = "signoff";
const PREFIX: &str = "signoff/principals/";

/// Measures the packaged functions: `make package` makes them, with the one that does nothing.
pub(crate) async fn measure() -> Result<Vec<Line>> {
    let mut lines = vec![sizes()?];
    let setting = Setting::start().await?;
    progress("starts of the functions");
    lines.push(setting.starts().await?);
    progress("memory of the functions");
    lines.push(setting.memory().await?);
    Ok(lines)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A packaged program.
fn program(name: &str) -> Result<PathBuf> {
    let directory = if name == "hello" { "target/lambda-hello" } else { "target/lambda" };
    let path = root().join(directory).join(name).join("bootstrap");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not there: `HELLO=1 make package` makes it", path.display()).into())
    }
}

fn sizes() -> Result<Line> {
    let mut sizes = Vec::new();
    for name in FUNCTIONS {
        let bytes = std::fs::metadata(program(name)?.with_extension("zip"))?.len();
        sizes.push(format!("{name} {:.1} MB", bytes as f64 / 1e6));
    }
    Ok(Line::new("archive of a function, zipped", sizes.join(", "), "≤ 6 MB each"))
}

/// What is around the functions.
struct Setting {
    world: World,
    database: Database,
    variables: Vec<(String, String)>,
}

impl Setting {
    async fn start() -> Result<Self> {
        let world = World::start(REQUESTS, Timing { accept_ms: 0, run_ms: 0 }).await?;
        let database = Database::memory()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let store = format!("http://{}", listener.local_addr()?);
        tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url(&store)
            .credentials_provider(Credentials::new("local", "local", None, None, "bench"))
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        create_table(&client, TABLE).await?;
        Dynamo::new(client, TABLE.to_owned()).put_gates(&Gates::from_toml(GATES)?).await?;
        let variables = [
            ("AWS_REGION", "local"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_SESSION_TOKEN", "local"),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &store),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets().await?),
            ("SIGNOFF_TABLE", TABLE),
            ("SIGNOFF_PULUMI_URL", &world.sim.url()),
            ("SIGNOFF_PUBLIC_URL", "https://signoff.example.com"),
            ("SIGNOFF_TOKEN_PREFIX", PREFIX),
            ("SIGNOFF_CHANNEL_PREFIX", "signoff/channels/"),
            ("SIGNOFF_WEBHOOK_SECRET_ID", "signoff/webhook"),
            ("SIGNOFF_SWEEP_SECONDS", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ok(Self { world, database, variables })
    }

    async fn run(&self, name: &str) -> Result<Function> {
        Function::start(&program(name)?, &self.variables).await
    }

    /// From the start of the process to the first time that it asks for work, against that of a function that does nothing. They take turns, each time
    /// from another one on, and each starts when the one before is gone, so that whatever else goes on on the machine falls on all of them.
    async fn starts(&self) -> Result<Line> {
        let names: Vec<&str> = FUNCTIONS.into_iter().chain(["hello"]).collect();
        let mut took = vec![Vec::new(); names.len()];
        for round in 0..STARTS {
            for turn in 0..names.len() {
                let which = (round + turn) % names.len();
                let function = self.run(names[which]).await?;
                took[which].push(function.started_in.as_secs_f64() * 1000.0);
                function.end().await?;
            }
        }
        let mut medians = took.into_iter().map(|mut took| {
            took.sort_by(f64::total_cmp);
            took[took.len() / 2]
        });
        let functions: Vec<f64> = medians.by_ref().take(FUNCTIONS.len()).collect();
        let hello = medians.next().ok_or("nothing was measured")?;
        let each =
            FUNCTIONS.iter().zip(functions).map(|(name, took)| format!("{name} {:.2} ({took:.1} ms)", took / hello));
        let measured = format!("{}; hello {hello:.1} ms", each.collect::<Vec<_>>().join(", "));
        Ok(Line::new(format!("start to first poll, times that of a hello-world ({STARTS} starts)"), measured, "≤ 1.5"))
    }

    /// Requests from asking to their ends, through the functions, as events bring them.
    async fn memory(&self) -> Result<Line> {
        let mut functions = Vec::new();
        for name in FUNCTIONS {
            functions.push((name, self.run(name).await?));
        }
        let of =
            |name: &str| functions.iter().find(|(known, _)| *known == name).map(|(_, function)| function).ok_or("none");
        let (api, receive) = (of("api")?, of("receive")?);
        let (reconcile, notify) = (of("reconcile")?, of("notify")?);
        let mut stream = Stream::oldest(&self.database)?;
        let mut open = Vec::new();
        for n in 0..REQUESTS {
            let asked = json!({"stack": stack(n), "operation": "update", "reason": "Ship 2.4: the new checkout"});
            let headers = json!({"authorization": "token pul-alice", "content-type": "application/json"});
            let answer = api.invoke(&http("POST", "/v1/requests", headers, &asked.to_string())).await?;
            let answer: Value = serde_json::from_str(answer["body"].as_str().ok_or("no body")?)?;
            open.push(answer["id"].as_str().ok_or_else(|| answer.to_string())?.to_owned());
        }
        let mut rung = 0;
        while !open.is_empty() {
            let records = stream.read(&self.database)?;
            for worker in [Worker::Apply, Worker::Deploy] {
                let filters = Filters::of(worker)?;
                let theirs: Vec<&Value> = records.iter().filter(|record| filters.pass(record)).collect();
                for batch in theirs.chunks(BATCH) {
                    of(worker.as_str())?.invoke(&json!({"Records": batch})).await?;
                }
            }
            for id in &open {
                for (change_request, status) in self.world.change_requests(id) {
                    if status == pulumi_sim::Status::Pending {
                        self.world.approve(std::slice::from_ref(&change_request))?;
                        rung += 1;
                        let body = about_change_request(&change_request).to_string();
                        let headers = json!({
                            "content-type": "application/json", "pulumi-webhook-id": format!("bench-{rung}"),
                            "pulumi-webhook-kind": "change_request", "pulumi-webhook-signature": signature(SECRET, body.as_bytes()),
                        });
                        let answer = receive.invoke(&http("POST", "/webhooks/pulumi", headers, &body)).await?;
                        if answer["statusCode"] != 202 {
                            return Err(format!("a webhook was answered {answer}").into());
                        }
                    }
                }
            }
            for clock in [reconcile, notify] {
                clock.invoke(&json!({"source": "aws.scheduler"})).await?;
            }
            let mut still = Vec::new();
            for id in open {
                let headers = json!({"authorization": "token pul-alice"});
                let answer = api.invoke(&http("GET", &format!("/v1/requests/{id}"), headers, "")).await?;
                let answer: Value = serde_json::from_str(answer["body"].as_str().ok_or("no body")?)?;
                if answer["state"] != "succeeded" {
                    still.push(id);
                }
            }
            open = still;
        }
        let mut peaks = Vec::new();
        for (name, function) in &functions {
            peaks.push(format!("{name} {:.0} MiB", function.peak()? as f64 / 1024.0));
        }
        let what = format!("peak memory of a function, after {REQUESTS} requests");
        Ok(Line::new(what, peaks.join(", "), "< 64 MiB each"))
    }
}

/// The table's stream.
struct Stream(Option<String>);

impl Stream {
    fn oldest(database: &Database) -> Result<Self> {
        let streams = database.list_streams(serde_json::from_value(json!({"TableName": TABLE}))?)?;
        let stream = serde_json::to_value(streams)?["Streams"][0]["StreamArn"].clone();
        let described = database.describe_stream(serde_json::from_value(json!({"StreamArn": stream}))?)?;
        let shard = serde_json::to_value(described)?["StreamDescription"]["Shards"][0]["ShardId"].clone();
        let request = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = serde_json::to_value(database.get_shard_iterator(serde_json::from_value(request)?)?)?;
        Ok(Self(iterator["ShardIterator"].as_str().map(str::to_owned)))
    }

    /// The records since the last time.
    fn read(&mut self, database: &Database) -> Result<Vec<Value>> {
        let request: GetRecordsRequest = serde_json::from_value(json!({"ShardIterator": self.0}))?;
        let GetRecordsResponse { records, next_shard_iterator } = database.get_records(request)?;
        self.0 = next_shard_iterator;
        Ok(records.iter().map(serde_json::to_value).collect::<std::result::Result<_, _>>()?)
    }
}

/// A call as API Gateway hands it over.
fn http(method: &str, path: &str, headers: Value, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {
            "accountId": "0", "apiId": "bench", "domainName": "localhost", "domainPrefix": "bench", "requestId": "bench",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
            "routeKey": "$default", "stage": "$default", "time": "23/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_435_200_000_i64,
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// What stands in Secrets Manager's place: it knows the webhook's secret and the principal's token; its address.
async fn secrets() -> Result<String> {
    let give = async |headers: HeaderMap, body: String| {
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        let name = asked["SecretId"].as_str().unwrap_or_default().to_owned();
        let is_get = headers.get("x-amz-target").is_some_and(|target| target == "secretsmanager.GetSecretValue");
        let secret = if name.starts_with(PREFIX) { "pul-signoff-deployer" } else { SECRET };
        let answer = json!({"Name": name, "SecretString": secret, "VersionId": "bench"}).to_string();
        if is_get { (axum::http::StatusCode::OK, answer) } else { (axum::http::StatusCode::BAD_REQUEST, String::new()) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/", post(give));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}
