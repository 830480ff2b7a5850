//! What a request's life, and calls that go wrong, leave in the log and in the metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use pulumi_sim::{Sim, SimConfig, Timing as Pace, seed};
use serde_json::{Value, json};
use sha2::Sha256;
use signoff_core::cloud::PulumiCloud;
use signoff_core::gate::Gates;
use signoff_core::ledger::Ledger;
use signoff_core::look::{Gatekeeper, Timing};
use signoff_core::names::PrincipalName;
use signoff_core::request::Worker;
use signoff_functions::api::{self, Api};
use signoff_functions::dynamo::{Dynamo, create_table};
use signoff_functions::logs::subscriber;
use signoff_functions::machine::Machine;
use signoff_functions::metrics::{self, Namespace};
use signoff_functions::pulumi::{CallerClient, ClientOptions, PrincipalClient, PulumiClient};
use signoff_functions::receive::{self, Receive, WebhookSecrets};
use signoff_functions::secrets::{Secret, Tokens};
use signoff_functions::stream::handle;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;

use super::{Kept, Still};

const GATES: &str = "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";
const TOKEN: &str = "pul-signoff-deployer";
const SECRET: &str = "whsec-1234567890";

/// A gate in this process, and what it writes.
struct Gate {
    kept: Kept,
    sim: Sim,
    ledger: Dynamo,
    keeper: Arc<Gatekeeper<Dynamo, PrincipalClient, Machine>>,
    doors: Router,
    _written: DefaultGuard,
}

impl Gate {
    async fn start() -> Self {
        let kept = Kept::default();
        let filter = "signoff_core=debug,signoff_functions=debug,info";
        let subscriber = subscriber(filter, Namespace::default(), Arc::new(Still), kept.clone());
        let written = tracing::subscriber::set_default(subscriber.unwrap());
        let mut cloud = seed::acme(1);
        cloud.timing = Pace { accept_ms: 5, run_ms: 10 };
        let sim = Sim::start(SimConfig::new(cloud)).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url(format!("http://{}", listener.local_addr().unwrap()))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .build();
        tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        create_table(&client, "signoff").await.unwrap();
        let ledger = Dynamo::new(client, "signoff".to_owned());
        ledger.put_gates(&Gates::from_toml(GATES).unwrap()).await.unwrap();
        let (machine, options) = (Machine::new(), ClientOptions::default());
        let pulumi = PulumiClient::new(&sim.url(), options).unwrap();
        let tokens = HashMap::from([(PrincipalName::default(), Secret::new(TOKEN).unwrap())]);
        let second = SignedDuration::from_secs(1);
        let timing = Timing { sweep: second, settle: second, budget: Duration::from_secs(60), call: options.timeout };
        let keeper = Arc::new(Gatekeeper {
            ledger: ledger.clone(),
            cloud: PrincipalClient::new(pulumi.clone(), Tokens::Given(tokens)),
            host: machine,
            installation: "test".to_owned(),
            link: None,
            timing,
        });
        let (shared, host) = (Arc::new(ledger.clone()), Arc::new(machine));
        let api = api::router(Api {
            ledger: Arc::clone(&shared),
            callers: Arc::new(CallerClient::new(pulumi)),
            host: Arc::clone(&host),
            public_url: "https://signoff.example.com".to_owned(),
            console_url: "https://app.pulumi.com".to_owned(),
            version: "0".to_owned(),
            sweep: second,
        });
        let secrets = WebhookSecrets { current: Secret::new(SECRET).unwrap(), previous: None };
        let doors = api.merge(receive::router(Receive { ledger: shared, secrets, github: None, host }));
        Self { kept, sim, ledger, keeper, doors, _written: written }
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let answer = self.doors.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Asks for an update as alice; the request's id.
    async fn ask(&self) -> String {
        let body = json!({"stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4: the new checkout"});
        let request = Request::post("/v1/requests")
            .header("authorization", "token pul-alice")
            .header("content-type", "application/json");
        let (_, answer) = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Hands a worker a record of the stream; its image is this.
    async fn wake(&self, worker: Worker, image: &Value) {
        let change = json!({
            "SequenceNumber": "1", "SizeBytes": 1, "ApproximateCreationDateTime": 1.0, "Keys": {}, "StreamViewType": "NEW_AND_OLD_IMAGES",
            "NewImage": image,
        });
        let record = json!({"Records": [{
            "awsRegion": "local", "eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb", "eventVersion": "1.1", "dynamodb": change,
        }]});
        let event: Event = serde_json::from_value(record).unwrap();
        assert!(handle(&self.keeper, None, worker, event).await.batch_item_failures.is_empty());
    }

    /// Rings a worker for a request, for a delivery.
    async fn ring(&self, worker: Worker, id: &str, delivery: &str) {
        let image = json!({
            "pk": {"S": format!("REQ#{id}")}, "sk": {"S": "RING"}, "for": {"S": worker.as_str()}, "hook": {"S": delivery},
        });
        self.wake(worker, &image).await;
    }

    async fn state(&self, id: &str) -> String {
        self.ledger.load(id.parse().unwrap()).await.unwrap().unwrap().request.status.state.to_string()
    }

    fn lines(&self) -> Vec<Value> {
        self.kept.documents().into_iter().filter(|one| one.get("_aws").is_none()).collect()
    }

    /// The values of a metric, with its dimensions.
    fn metric(&self, name: &str) -> Vec<Value> {
        let members = |mut document: Value| {
            document.get(name)?;
            let inside = document.as_object_mut()?;
            inside.remove("_aws");
            Some(document)
        };
        let all = self.kept.documents().into_iter().filter(|one| one.get("_aws").is_some());
        all.filter_map(members).collect()
    }
}

#[tokio::test]
async fn a_life_is_measured_and_each_of_its_lines_says_whose_it_is() {
    let gate = Gate::start().await;
    let id = gate.ask().await;
    gate.ring(Worker::Apply, &id, "d-1").await;
    assert_eq!(gate.state(&id).await, "pending_approval");
    assert_eq!(gate.metric("ApplyOutcomes"), Vec::<Value>::new());
    let now = gate.sim.now();
    let open = gate.sim.cloud().change_requests()[0].id.clone();
    gate.sim.cloud().approve(now, "bob", &open).unwrap();
    gate.ring(Worker::Apply, &id, "d-2").await;
    assert_eq!(gate.state(&id).await, "granted");
    for turn in 0.. {
        gate.ring(Worker::Deploy, &id, &format!("e-{turn}")).await;
        if gate.state(&id).await == "succeeded" {
            break;
        }
        assert!(turn < 1_000, "it does not end");
        // As many rings as this would be too many: it is due at a sweep.
        gate.wake(Worker::Deploy, &json!({"pk": {"S": format!("REQ#{id}")}, "wake": {"S": "deploy"}})).await;
    }
    assert_eq!(gate.metric("ApplyOutcomes"), [json!({"ApplyOutcomes": 1, "Outcome": "granted"})]);
    assert_eq!(gate.metric("DeployOutcomes"), [json!({"DeployOutcomes": 1, "Outcome": "succeeded"})]);
    let latency = gate.metric("ApprovalLatency");
    assert!(latency.len() == 1 && (0..60).contains(&latency[0]["ApprovalLatency"].as_i64().unwrap()), "{latency:?}");
    let calls = gate.metric("PulumiCloudCalls");
    assert!(calls.len() > 10 && calls.iter().all(|call| call["PulumiCloudTime"].as_f64().unwrap() > 0.0));
    assert!(calls.iter().any(|call| call["Status"] == "200"));

    let lines = gate.lines();
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).cloned().collect::<Vec<_>>();
    let recorded = of("recorded");
    assert!(
        recorded
            .iter()
            .all(|line| line["request"] == *id && line["delivery"].is_string() || line["event"] == "succeeded"),
        "{recorded:?}"
    );
    let granted = recorded.iter().find(|line| line["event"] == "granted").unwrap();
    assert_eq!((&granted["delivery"], granted.get("deployment")), (&json!("d-2"), None));
    let deployment = gate.sim.cloud().deployments()[0].id.clone();
    for event in ["deploying", "succeeded"] {
        let line = recorded.iter().find(|line| line["event"] == event).unwrap();
        assert_eq!(line["deployment"], *deployment, "{line}");
    }
    let asked = of("called Pulumi Cloud").into_iter().filter(|line| line.get("request").is_some());
    assert!(
        asked.filter(|line| line["deployment"] == *deployment).count() > 0,
        "the calls too say about which deployment they are"
    );
    let all = gate.kept.0.lock().unwrap().join("\n");
    assert!(!all.contains(TOKEN) && !all.contains("pul-alice"));
}

#[tokio::test]
async fn a_request_that_is_rejected_is_an_outcome_too() {
    let gate = Gate::start().await;
    let id = gate.ask().await;
    gate.ring(Worker::Apply, &id, "d-1").await;
    let now = gate.sim.now();
    let open = gate.sim.cloud().change_requests()[0].id.clone();
    gate.sim.cloud().close_as(now, "bob", &open, Some("not today")).unwrap();
    gate.ring(Worker::Apply, &id, "d-2").await;
    assert_eq!(gate.metric("ApplyOutcomes"), [json!({"ApplyOutcomes": 1, "Outcome": "rejected"})]);
    assert_eq!(gate.metric("DeployOutcomes"), Vec::<Value>::new());
}

#[tokio::test]
async fn deliveries_are_counted_by_kind_and_verdict_and_no_stranger_invents_a_kind() {
    let gate = Gate::start().await;
    let deliver = async |id: &str, kind: &str, secret: &str, body: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let request = Request::post("/webhooks/pulumi")
            .header("pulumi-webhook-id", id)
            .header("pulumi-webhook-kind", kind)
            .header("pulumi-webhook-signature", hex::encode(mac.finalize().into_bytes()));
        gate.send(request.body(Body::from(body.to_owned())).unwrap()).await.0
    };
    assert_eq!(deliver("d-1", "change_request_approved", SECRET, "{}").await, 202);
    assert_eq!(deliver("d-1", "change_request_approved", SECRET, "{}").await, 202);
    assert_eq!(deliver("d-2", "never_heard_of", SECRET, "{}").await, 202);
    assert_eq!(deliver("d-3", "deployment", "wrong", "{}").await, 401);
    assert_eq!(deliver("d-4", "deployment", SECRET, "{").await, 400);
    let request = Request::post("/webhooks/pulumi").body(Body::from(vec![b' '; 2 << 20])).unwrap();
    assert_eq!(gate.send(request).await.0, 413);
    let counted = |kind: &str, verdict: &str| json!({"WebhookDeliveries": 1, "Kind": kind, "Verdict": verdict});
    let expected = [
        counted("change_request_approved", "accepted"),
        counted("change_request_approved", "duplicate"),
        counted("other", "accepted"),
        counted("other", "bad-signature"),
        counted("other", "refused"),
        counted("other", "refused"),
    ];
    assert_eq!(gate.metric("WebhookDeliveries"), expected);
    let delivered: Vec<_> =
        gate.lines().into_iter().filter(|line| line["message"] == "a webhook was delivered").collect();
    assert_eq!(delivered[0]["delivery"], "d-1");
    assert!(!gate.kept.0.lock().unwrap().join("\n").contains(SECRET));
}

#[tokio::test]
async fn a_refused_token_and_statuses_that_are_rare_are_counted() {
    let gate = Gate::start().await;
    gate.sim.cloud().revoke_token(TOKEN);
    let principal = PrincipalName::default();
    assert!(gate.keeper.cloud.identity(&principal).await.is_err());
    assert_eq!(gate.metric("TokenRefused"), [json!({"TokenRefused": 1})]);
    assert_eq!(gate.metric("PulumiCloudCalls")[0]["Status"], "401");
    assert!(gate.keeper.cloud.identity(&"nobody".parse().unwrap()).await.is_err());
    assert_eq!(gate.metric("TokenRefused").len(), 2, "no token is no good token");

    let odd = Router::new().fallback(async || axum::http::StatusCode::IM_A_TEAPOT);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, odd).await });
    for url in [url.as_str(), "http://127.0.0.1:9"] {
        let client = PulumiClient::new(url, ClientOptions::default()).unwrap();
        assert!(CallerClient::new(client).identity(&Secret::new("pul-x").unwrap()).await.is_err());
    }
    let statuses: Vec<_> = gate.metric("PulumiCloudCalls").iter().map(|call| call["Status"].clone()).collect();
    assert_eq!(statuses, ["401", "other", "none"]);
    assert_eq!(gate.metric("TokenRefused").len(), 2, "callers' tokens are their own affair");
}

#[tokio::test]
async fn a_sweep_tells_how_long_the_oldest_open_request_has_been_open() {
    let gate = Gate::start().await;
    metrics::swept(&gate.ledger, &gate.keeper.host, 0).await.unwrap();
    gate.ask().await;
    metrics::swept(&gate.ledger, &Still, 3).await.unwrap();
    let written = gate.metric("PendingAge");
    assert_eq!(written[0], json!({"PendingAge": 0, "SweepRung": 0}));
    // The clock that stands still is behind the one by which it was asked: that is no age below zero.
    let age = written[1]["PendingAge"].as_i64().unwrap();
    assert!(written[1]["SweepRung"] == 3 && age >= 0, "{written:?}");
    let later = Later(SignedDuration::from_hours(30));
    metrics::swept(&gate.ledger, &later, 0).await.unwrap();
    let age = gate.metric("PendingAge")[2]["PendingAge"].as_i64().unwrap();
    assert!((30 * 3600..31 * 3600).contains(&age), "{age}");
}

/// The real clock, and more.
struct Later(SignedDuration);

impl signoff_core::host::Host for Later {
    fn now(&self) -> jiff::Timestamp {
        Machine::new().now() + self.0
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn ulid(&self) -> ulid::Ulid {
        ulid::Ulid::nil()
    }
}
