//! The cloud behind HTTP: every endpoint through the specification's referee where that is at hand, and the faults and
//! the page on the wire.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use pulumi_sim::{Fault, HookScope, Pattern, Sim, SimConfig, Status, seed, signature};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Something that waits for a condition gives up after this.
const PATIENCE: Duration = Duration::from_secs(20);

struct Caller {
    base: String,
    client: Client,
}

impl Caller {
    fn new(base: &str) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { base: base.to_owned(), client }
    }

    async fn call(&self, who: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("authorization", format!("token pul-{who}"))
            .header("accept", "application/vnd.pulumi+8");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn expect(&self, wanted: u16, who: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(who, method, path, Some(body).filter(|body| !body.is_null())).await;
        assert_eq!(status, wanted, "{method} {path}: {answer}");
        answer
    }

    async fn get(&self, who: &str, path: &str) -> Value {
        self.expect(200, who, "GET", path, Value::Null).await
    }
}

#[expect(clippy::disallowed_methods, reason = "where the referee is can be said from outside")]
fn referee_script() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tools/spec_proxy.py");
    std::env::var_os("SIGNOFF_SPEC_PROXY").map(PathBuf::from).into_iter().chain([beside]).find(|path| path.is_file())
}

/// The referee in front of an upstream; none where there is no referee.
async fn referee(upstream: &str) -> Option<(Child, BufReader<tokio::process::ChildStdout>, String)> {
    let script = referee_script()?;
    let mut child = Command::new("python3")
        .arg(script)
        .args(["--upstream", upstream])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    let url = line.trim().strip_prefix("spec proxy is ready on ").unwrap().to_owned();
    Some((child, lines, url))
}

#[expect(clippy::print_stderr, reason = "the test says how it ran")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_to_the_specification() {
    let sim = Sim::start(SimConfig::new(seed::acme(1))).await.unwrap();
    let refereed = referee(&sim.url()).await;
    let caller = Caller::new(&refereed.as_ref().map_or(sim.url(), |(_, _, url)| url.clone()));

    people_and_permissions(&caller).await;
    change_gates(&caller).await;
    change_requests(&caller, &sim).await;
    settings_and_stacks(&caller).await;
    deployments(&caller, &sim).await;
    webhooks(&caller).await;
    caller.expect(204, "dave", "DELETE", "/api/stacks/acme/api/prod?force=true", Value::Null).await;
    caller.expect(404, "dave", "GET", "/api/stacks/acme/api/prod", Value::Null).await;

    let Some((mut child, mut lines, _)) = refereed else {
        return say("the specification's referee is not at hand: ran without it");
    };
    let id = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    let mut verdict = String::new();
    lines.read_line(&mut verdict).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{verdict}");
    assert!(verdict.trim().ends_with(" 0 violations"), "{verdict}");
    say(&verdict);
}

async fn people_and_permissions(caller: &Caller) {
    for who in ["alice", "dave", "ci", "signoff-deployer"] {
        caller.get(who, "/api/user").await;
    }
    caller.expect(401, "nobody", "GET", "/api/user", Value::Null).await;
    let of = |login: &str| format!("/api/console/orgs/acme/members/{login}/stacks/web/prod");
    assert_eq!(caller.get("alice", &of("alice")).await["explicitPermission"], 102);
    assert_eq!(caller.get("dave", &of("bob")).await["organizationDefault"], 101);
    caller.expect(403, "alice", "GET", &of("bob"), Value::Null).await;
    caller.expect(404, "dave", "GET", &of("nobody"), Value::Null).await;
    caller.expect(404, "dave", "GET", "/api/console/orgs/acme/members/bob/stacks/web/none", Value::Null).await;
}

async fn change_gates(caller: &Caller) {
    let gates = "/api/change-gates/acme";
    caller.get("alice", gates).await;
    let of = "/api/change-gates/acme?entityType=environment&qualifiedName=credentials/prod";
    assert_eq!(caller.get("alice", of).await["gates"].as_array().unwrap().len(), 1);
    let gate = json!({
        "enabled": true, "name": "second",
        "rule": {
            "ruleType": "approval_required", "allowSelfApproval": false, "numApprovalsRequired": 1,
            "requireReapprovalOnChange": true,
            "eligibleApprovers": [
                {"eligibilityType": "specific_user", "userLogin": "carol"},
                {"eligibilityType": "team_member", "teamName": "network"},
                {"eligibilityType": "has_permission_on_target", "permission": "environment:write"},
            ],
        },
        "target": {"actionTypes": ["open"], "entityType": "environment", "qualifiedName": "credentials/staging"},
    });
    caller.expect(403, "alice", "POST", gates, gate.clone()).await;
    let made = caller.expect(201, "dave", "POST", gates, gate.clone()).await;
    let one = format!("{gates}/{}", made["id"].as_str().unwrap());
    assert_eq!(caller.get("alice", &one).await, made);
    let mut changed = gate;
    changed["enabled"] = json!(false);
    assert_eq!(caller.expect(200, "dave", "PUT", &one, changed).await["enabled"], false);
    caller.expect(204, "dave", "DELETE", &one, Value::Null).await;
    caller.expect(404, "dave", "GET", &one, Value::Null).await;
}

async fn change_requests(caller: &Caller, sim: &Sim) {
    let who = "signoff-deployer";
    let environment = "/api/esc/environments/acme/credentials/platform";
    let times = json!({"grantExpirationSeconds": 600, "accessDurationSeconds": 600});
    caller.expect(403, who, "POST", &format!("{environment}/open"), Value::Null).await;
    let made = caller.expect(200, who, "POST", &format!("{environment}/open/request"), times.clone()).await;
    let ids: Vec<String> = made["changeRequests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["changeRequestId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    let one = |id: &str| format!("/api/change-requests/acme/{id}");
    caller.get(who, &one(&ids[0])).await;
    let durations = format!("{environment}/open/request/{}", ids[0]);
    assert_eq!(caller.get(who, &durations).await, times);
    for id in &ids {
        let submit = format!("{}/submit", one(id));
        caller.expect(204, who, "POST", &submit, json!({"description": "signoff test\nwhy"})).await;
    }
    let (approve, comments) = (format!("{}/approve", one(&ids[0])), format!("{}/comments", one(&ids[0])));
    caller.expect(204, "bob", "POST", &approve, json!({"revisionNumber": 1, "comment": "fine"})).await;
    caller.expect(204, "bob", "DELETE", &approve, json!({"comment": "or not"})).await;
    caller.expect(204, "erin", "POST", &comments, json!({"comment": "hm"})).await;
    caller.expect(204, who, "PATCH", &one(&ids[0]), json!({"description": "signoff test\nwhy not"})).await;
    assert_eq!(caller.expect(200, who, "PUT", &durations, times.clone()).await["latestRevisionNumber"], 2);
    caller.get(who, &format!("{durations}?revision=1")).await;
    caller.expect(400, "bob", "POST", &approve, json!({"revisionNumber": 1})).await;
    caller.expect(409, who, "POST", &format!("{}/apply", one(&ids[0])), Value::Null).await;
    for id in &ids {
        sim.cloud().approve(sim.now(), "carol", id).unwrap();
        assert_eq!(caller.get("bob", &one(id)).await["gateEvaluation"]["satisfied"], true);
        caller.expect(200, who, "POST", &format!("{}/apply", one(id)), Value::Null).await;
        assert_eq!(caller.get("bob", &one(id)).await["gateEvaluation"]["satisfied"], true);
    }
    let events = caller.get("bob", &format!("{}/events", one(&ids[0]))).await;
    let kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    for kind in [
        "approved_by_user",
        "unapproved_by_user",
        "commented",
        "status_changed",
        "revision_added",
        "description_updated",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    let session = caller.expect(200, who, "POST", &format!("{environment}/open?duration=2h"), Value::Null).await;
    caller.get(who, &format!("{environment}/open/{}", session["id"].as_str().unwrap())).await;
    let again = caller.expect(200, who, "POST", &format!("{environment}/open/request"), times).await;
    let draft = again["changeRequests"][0]["changeRequestId"].as_str().unwrap();
    caller.expect(204, who, "POST", &format!("{}/close", one(draft)), json!({"comment": "no"})).await;
    caller.expect(400, who, "POST", &format!("{}/close", one(draft)), json!({})).await;
    caller.get("bob", "/api/change-requests/acme?entityType=environment&entityId=network/prod").await;
    let page = caller.get("bob", "/api/change-requests/acme?count=1").await;
    let token = page["continuationToken"].as_str().unwrap();
    caller.get("bob", &format!("/api/change-requests/acme?count=1&continuationToken={token}")).await;
    caller.expect(404, who, "GET", &one("unknown"), Value::Null).await;
}

async fn settings_and_stacks(caller: &Caller) {
    let stack = "/api/stacks/acme/web/staging";
    let settings = format!("{stack}/deployments/settings");
    caller.get("erin", stack).await;
    caller.get("erin", &settings).await;
    let change = json!({
        "operationContext": {
            "environmentVariables": {"PLAIN": "x", "HUSH": {"secret": "y"}}, "preRunCommands": ["true"],
            "role": {"id": "r1", "name": "deployers"}, "options": {"skipInstallDependencies": true},
            "oidc": {"aws": {"roleArn": "arn:x", "sessionName": "s", "duration": "1h"}},
        },
        "sourceContext": {"git": {"repoDir": "infra", "gitAuth": {"accessToken": {"secret": "z"}}}},
        "executorContext": {"executorImage": {"reference": "image:1"}}, "cacheOptions": {"enable": true},
    });
    caller.expect(200, "alice", "POST", &settings, change.clone()).await;
    assert_eq!(caller.get("erin", &settings).await["version"], 2);
    caller.expect(200, "alice", "DELETE", &settings, Value::Null).await;
    caller.expect(404, "alice", "GET", &settings, Value::Null).await;
    let source = json!({"sourceContext": {"git": {"repoUrl": "https://github.com/acme/web.git", "branch": "main"}}});
    caller.expect(200, "alice", "PUT", &settings, source).await;
    caller.expect(403, "erin", "PUT", &settings, change).await;
}

async fn deployments(caller: &Caller, sim: &Sim) {
    let stack = "/api/stacks/acme/web/staging";
    let all = format!("{stack}/deployments");
    let order = json!({
        "operation": "update", "inheritSettings": true,
        "sourceContext": {"git": {"commit": "0123456789012345678901234567890123456789"}},
        "operationContext": {"environmentVariables": {"SIGNOFF_REQUEST_ID": "req_1", "HUSH": {"secret": "y"}}},
    });
    sim.cloud().set_hold("acme/web/staging", true);
    let first = caller.expect(202, "alice", "POST", &all, order.clone()).await;
    let second = caller.expect(202, "alice", "POST", &all, order).await;
    let one = |made: &Value| format!("{all}/{}", made["id"].as_str().unwrap());
    wait_for(async || caller.get("erin", &one(&first)).await["status"] == "running").await;
    caller.get("erin", &one(&second)).await;
    caller.get("erin", &format!("{all}/version/2")).await;
    caller.get("erin", &format!("{}/logs", one(&first))).await;
    caller.get("erin", &format!("{all}?page=1&pageSize=1&asc=true")).await;
    caller.get("erin", stack).await;
    caller.expect(200, "alice", "POST", &format!("{}/cancel", one(&second)), Value::Null).await;
    assert_eq!(caller.get("erin", &one(&second)).await["status"], "skipped");
    sim.cloud().set_hold("acme/web/staging", false);
    wait_for(async || caller.get("erin", &one(&first)).await["status"] == "succeeded").await;
    let logs = caller.get("erin", &format!("{}/logs?continuationToken=1", one(&first))).await;
    assert!(logs["nextToken"].is_null());
    let step = format!("{}/logs?job=0&step=1&offset=0&count=1", one(&first));
    assert_eq!(caller.get("erin", &step).await["__type"], "DeploymentLogsStep");
    caller.get("erin", &format!("{}/updates", one(&first))).await;
    assert_eq!(caller.get("erin", "/api/orgs/acme/deployments?pageSize=50").await["total"], 2);
    caller.expect(404, "alice", "POST", &format!("{}/cancel", one(&first)), Value::Null).await;
    caller.expect(404, "alice", "GET", &format!("{all}/unknown"), Value::Null).await;
}

async fn webhooks(caller: &Caller) {
    for (base, more) in [
        ("/api/orgs/acme/hooks", json!({})),
        ("/api/stacks/acme/web/prod/hooks", json!({"projectName": "web", "stackName": "prod"})),
        ("/api/esc/environments/acme/credentials/prod/hooks", json!({"projectName": "credentials", "envName": "prod"})),
    ] {
        let mut hook = json!({
            "active": true, "displayName": "test", "name": "test", "organizationName": "acme", "format": "raw",
            "payloadUrl": "http://127.0.0.1:9/", "secret": "shared", "groups": ["change_requests"], "filters": [],
        });
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        caller.expect(201, "dave", "POST", base, hook.clone()).await;
        caller.expect(409, "dave", "POST", base, hook.clone()).await;
        caller.get("dave", base).await;
        let one = format!("{base}/test");
        caller.get("dave", &one).await;
        caller.expect(200, "dave", "PATCH", &one, hook).await;
        let ping = caller.expect(200, "dave", "POST", &format!("{one}/ping"), Value::Null).await;
        let again = format!("{one}/deliveries/{}/redeliver", ping["id"].as_str().unwrap());
        caller.expect(200, "dave", "POST", &again, Value::Null).await;
        assert_eq!(caller.get("dave", &format!("{one}/deliveries")).await.as_array().unwrap().len(), 2);
        caller.expect(204, "dave", "DELETE", &one, Value::Null).await;
        caller.expect(404, "dave", "GET", &one, Value::Null).await;
    }
}

async fn wait_for(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_come_through_the_wire() {
    let sim = Sim::start(SimConfig::new(seed::acme(2))).await.unwrap();
    let caller = Caller::new(&sim.url());
    let ask = async || {
        let url = format!("{}/api/esc/environments/acme/credentials/prod/open/request", sim.url());
        let body = json!({"grantExpirationSeconds": 60, "accessDurationSeconds": 60});
        let request = caller.client.post(url).header("authorization", "token pul-alice").json(&body);
        request.timeout(Duration::from_millis(500)).send().await
    };
    let plan = |fault| {
        sim.cloud().faults.plan(Pattern::any(), fault, 1);
    };
    let made = || sim.cloud().change_requests().len();
    plan(Fault::BreakBefore);
    assert!(ask().await.is_err());
    assert_eq!(made(), 0);
    plan(Fault::BreakAfter);
    assert!(ask().await.is_err());
    assert_eq!(made(), 1);
    plan(Fault::SilenceAfterEffect);
    assert!(ask().await.unwrap_err().is_timeout());
    assert_eq!(made(), 2);
    plan(Fault::Silence);
    assert!(ask().await.unwrap_err().is_timeout());
    assert_eq!(made(), 2);
    plan(Fault::LateEffect { status: 500, after_ms: 50 });
    assert_eq!(ask().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    wait_for(async || made() == 3).await;
    plan(Fault::Redirect { location: "http://127.0.0.1:9/".to_owned() });
    assert_eq!(ask().await.unwrap().status(), StatusCode::TEMPORARY_REDIRECT);
    plan(Fault::TooManyRequests { retry_after: Some(7) });
    assert_eq!(ask().await.unwrap().headers()["retry-after"], "7");
    plan(Fault::Huge { bytes: 3 << 20 });
    assert!(ask().await.unwrap().bytes().await.unwrap().len() > 3 << 20);
    plan(Fault::BrokenJson);
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    plan(Fault::Slow { ms: 200 });
    assert!(ask().await.unwrap().status().is_success());

    let faults = json!({"plan": [{"pattern": {"path": "/api/user"}, "fault": {"kind": "error", "status": 502}}]});
    caller.expect(200, "alice", "POST", "/sim/faults", faults).await;
    caller.expect(502, "alice", "GET", "/api/user", Value::Null).await;
    caller.expect(200, "alice", "POST", "/sim/down", json!({"seconds": 3600})).await;
    caller.expect(503, "alice", "GET", "/api/user", Value::Null).await;
    caller.expect(200, "alice", "POST", "/sim/faults", json!({"clear": true})).await;
    caller.expect(200, "alice", "GET", "/api/user", Value::Null).await;
    caller.expect(400, "alice", "POST", "/sim/faults", json!({"plans": []})).await;

    let address = sim.address();
    let cloud = sim.stop().await;
    assert!(caller.client.get(format!("http://{address}/")).send().await.is_err());
    let again = SimConfig { listen: address, ..SimConfig::new(cloud) };
    let sim = Sim::start(again).await.unwrap();
    assert_eq!(sim.cloud().change_requests().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_arrive_with_a_signature_over_their_bytes() {
    type Got = (HeaderMap, Vec<u8>);
    let (sender, mut received) = mpsc::channel::<Got>(8);
    let receive = async |State(sender): State<mpsc::Sender<Got>>, headers: HeaderMap, body: axum::body::Bytes| {
        sender.send((headers, body.to_vec())).await.unwrap();
        "thanks"
    };
    let router = axum::Router::new().fallback(receive).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/pulumi", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let sim = Sim::start(SimConfig::new(seed::acme(3))).await.unwrap();
    let on = HookScope::Organization("acme".to_owned());
    sim.cloud().webhook(on, "signoff", &url, "shared", &["deployments"]);
    let order = json!({"operation": "update"});
    sim.cloud().deploy(sim.now(), "alice", "acme/web/staging", &order).unwrap();
    let (headers, body) = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    assert_eq!(headers["pulumi-webhook-signature"], signature("shared", &body).as_str());
    assert_eq!(headers["pulumi-webhook-kind"], "deployment");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["status"], "not-started");
    let caller = Caller::new(&sim.url());
    let deliveries = "/api/orgs/acme/hooks/signoff/deliveries";
    wait_for(async || caller.get("dave", deliveries).await[0]["responseBody"] == "thanks").await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reviews_on_the_page() {
    let sim = Sim::start(SimConfig::new(seed::acme(4))).await.unwrap();
    let body = json!({"grantExpirationSeconds": 60, "accessDurationSeconds": 60});
    let id = {
        let mut cloud = sim.cloud();
        let id = cloud.request_open(sim.now(), "signoff-deployer", "acme/credentials/prod", &body).unwrap().remove(0);
        cloud
            .submit(sim.now(), "signoff-deployer", &id, Some("stack: acme/api/prod\n<script>alert(1)</script>"))
            .unwrap();
        id
    };
    let caller = Caller::new(&sim.url());
    let page = async |path: &str| {
        let answer = caller.client.get(format!("{}{path}", sim.url())).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    };
    let click = async |action: &str, who: &str| {
        let url = format!("{}/sim/page/{action}", sim.url());
        let answer = caller.client.post(url).body(format!("as={who}&id={id}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        page(answer.headers()["location"].to_str().unwrap()).await
    };
    let shown = page(&format!("/acme/esc/credentials/prod?version={id}")).await;
    assert!(shown.contains("article class='pending meant'") && shown.contains("&lt;script&gt;alert(1)"));
    assert!(!shown.contains("<script>alert"));
    assert!(shown.contains("prod-signoff</b> 0 of 1: nobody yet; alice, bob, carol may approve"));
    // What somebody may not do can't be pressed, and is refused all the same.
    let disabled = "<button class=approve disabled>";
    assert!(page("/?as=erin").await.contains(disabled) && !page("/?as=bob").await.contains(disabled));
    assert!(page("/?as=erin").await.contains("<button class=close disabled>"));
    assert!(click("approve", "erin").await.contains("Refused: user is not an eligible approver"));
    let shown = click("approve", "bob").await;
    assert!(shown.contains("Approved credentials/prod for acme/api/prod, as bob."));
    assert!(shown.contains("article class='ready meant'"), "what was meant is still meant");
    assert!(click("unapprove", "bob").await.contains("Approval withdrawn from credentials/prod"));
    assert!(click("approve", "carol").await.contains("prod-signoff</b> 1 of 1: carol"));
    assert!(click("apply", "carol").await.contains("Applied credentials/prod for acme/api/prod, as carol."));
    assert_eq!(sim.cloud().change_request(&id).unwrap().status, Status::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_not_there_and_who_never_approved() {
    let sim = Sim::start(SimConfig::new(seed::acme(4))).await.unwrap();
    let body = json!({"grantExpirationSeconds": 60, "accessDurationSeconds": 60});
    {
        let mut cloud = sim.cloud();
        let id = cloud.request_open(sim.now(), "signoff-deployer", "acme/credentials/prod", &body).unwrap().remove(0);
        cloud.submit(sim.now(), "signoff-deployer", &id, None).unwrap();
        cloud.close_as(sim.now(), "bob", &id, None).unwrap();
    }
    let caller = Caller::new(&sim.url());
    let page = async |path: &str| {
        caller.client.get(format!("{}{path}", sim.url())).send().await.unwrap().text().await.unwrap()
    };
    let shown = page("/?version=%3Cb%3E").await;
    assert!(shown.contains("There is no change request <code>&lt;b&gt;</code> here."));
    assert!(shown.contains("prod-signoff</b> 0 of 1: nobody</li>") && !shown.contains("nobody yet"));
    assert!(!page("/").await.contains("There is no change request"));
}
