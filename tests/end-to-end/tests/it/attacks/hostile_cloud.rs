//! Answers of a Pulumi Cloud that lies. Whatever it says, nothing is deployed that was not asked for and signed off, and nothing breaks.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pulumi_sim::{Happened, Status};
use serde_json::{Value, json};
use signoff_tests::{Gate, LIMIT, Setup, together, until};

use super::STACK;
use super::hostile::Hostile;

const CHANGE_REQUEST: &str = "/api/change-requests/*/*";
const OPEN_REQUEST: &str = "/api/esc/environments/*/*/*/open/request";
const DEPLOYMENTS: &str = "/api/stacks/*/*/*/deployments";
const DEPLOYMENT: &str = "/api/stacks/*/*/*/deployments/*";
/// The most that lies in between when nobody reads any more: the buffers of both ends, and of the system, which lets them grow.
const IN_BETWEEN: u64 = 32 << 20;

async fn hostile() -> (Gate, Hostile) {
    let mut gate = Setup::new().without_referee().start().await;
    let hostile = Hostile::between(&mut gate).await;
    (gate, hostile)
}

fn pinned(scenario: impl Future<Output = ()> + 'static) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(scenario)
}

/// What Pulumi Cloud would say about the change request if bob had approved it.
fn approved(_: &super::hostile::Heard, said: &mut super::hostile::Said) {
    said.json(|body| {
        body["status"] = json!("ready");
        body["gateEvaluation"]["satisfied"] = json!(true);
        body["gateEvaluation"]["applicableGates"][0]["ruleDetails"]["approvers"] =
            json!([{"githubLogin": "bob", "name": "Bob"}]);
    });
}

#[tokio::test]
async fn an_answer_about_another_change_request_is_not_believed() {
    let (gate, hostile) = hostile().await;
    let theirs = gate.ask("alice", "acme/api/prod", "update").await;
    let other = gate.change_request(&theirs, "credentials/prod").await;
    let id = gate.ask("alice", STACK, "update").await;
    let own = gate.change_request(&id, "credentials/prod").await;
    gate.expect_state(&id, "pending_approval").await;
    // It says of one what is true of the other, which bob approved.
    hostile.lies("GET", CHANGE_REQUEST, approved);
    hostile.lies("GET", &format!("/api/change-requests/acme/{own}"), move |_, said| {
        said.json(|body| body["id"] = json!(other));
    });
    gate.expect_blocker(&id, "pulumi-cloud").await;
    assert!(gate.log().contains("is about another change request"));
    hostile.lies("GET", "/api/change-requests/acme/*", |_, said| {
        said.json(|body| body["id"] = json!("../../other/change-requests/1"));
    });
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    gate.expect_no_deployment(&id);
    hostile.repents();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.cancel("alice", &theirs).await;
    gate.finish().await;
}

#[tokio::test]
async fn an_answer_about_another_organizations_change_request_is_not_believed() {
    let (gate, hostile) = hostile().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    // Alike to the last letter, but for the organization that it says that it belongs to.
    hostile.lies("GET", CHANGE_REQUEST, approved);
    hostile.says("GET", CHANGE_REQUEST, "/orgID", json!("org-globex"));
    is_logged(&gate, "is about another organization").await;
    gate.expect_blocker(&id, "pulumi-cloud").await;
    gate.expect_looks(2).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    assert_eq!(gate.calls("POST", "/apply"), 0);
    hostile.repents();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_change_request_of_something_else_is_closed_and_nothing_is_deployed() {
    let all = [
        ("/entity/name", json!("staging"), "the environment that it is about"),
        ("/entity/project", json!("../../globex/credentials"), "the environment that it is about"),
        ("/entity/entityType", json!("stack"), "the environment that it is about"),
        ("/action", json!("update"), "what it does (it asks for no open)"),
        ("/createdBy/githubLogin", json!("mallory"), "who created it (mallory)"),
        ("/latestRevisionNumber", json!(-1), "its revision (1 was submitted, -1 is the latest)"),
        ("/description", json!("signoff other req_01J00000000000000000000000"), "the first line of its description"),
    ];
    together(all.map(|(pointer, value, what)| pinned(change_request_of_something_else(pointer, value, what))).into())
        .await;
}

async fn change_request_of_something_else(pointer: &'static str, value: Value, what: &'static str) {
    let (gate, hostile) = hostile().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    hostile.lies("GET", CHANGE_REQUEST, approved);
    hostile.says("GET", CHANGE_REQUEST, pointer, value);
    // It is ended before anything else is done; only then the truth is told again, so that what is open can be closed.
    gate.expect(&id, "ended", |request| !request["outcome"].is_null() || request["blockers"][0]["kind"] == "closing")
        .await;
    assert_eq!(gate.calls("POST", "/apply"), 0, "{pointer}");
    hostile.repents();
    let message = gate.expect_end(&id, "error", "change-request-edited").await;
    assert!(message.contains(what), "{pointer}: {message}");
    gate.expect_no_deployment(&id);
    assert_eq!(gate.sim.cloud().grants().len(), 0, "{pointer}");
    gate.finish().await;
}

#[tokio::test]
async fn an_approval_that_only_one_answer_claims_grants_nothing() {
    let (gate, hostile) = hostile().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    // The lie makes it try; that it is not granted is for Pulumi Cloud itself to say.
    hostile.lies("GET", CHANGE_REQUEST, approved);
    gate.expect_state(&id, "approved").await;
    gate.expect_calls(1, "POST", "/apply").await;
    hostile.repents();
    gate.expect_state(&id, "pending_approval").await;
    assert_eq!(gate.statuses(&id), [Status::Pending]);
    gate.expect_no_deployment(&id);
    gate.cancel("alice", &id).await;
    gate.finish().await;
}

#[tokio::test]
async fn numbers_below_zero_lower_no_bar() {
    let (gate, hostile) = hostile().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    for required in [json!(-3), json!(0), json!(i64::MIN), json!(1.5), json!("0"), json!(null)] {
        hostile.repents();
        hostile.lies("GET", CHANGE_REQUEST, move |_, said| {
            said.json(|body| {
                body["status"] = json!("ready");
                body["gateEvaluation"]["satisfied"] = json!(true);
                let details = &mut body["gateEvaluation"]["applicableGates"][0]["ruleDetails"];
                details["requiredApprovals"] = required.clone();
                details["approvers"] = json!([]);
            });
        });
        gate.expect_looks(2).await;
        assert_eq!(gate.request(&id).await["state"], "pending_approval");
    }
    hostile.repents();
    assert_eq!(gate.calls("POST", "/apply"), 0);
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn open_requests_elsewhere_are_not_taken_for_the_gates() {
    let one = |id: &str, project: &str, name: &str| {
        json!({
            "changeRequestId": id, "projectName": project, "environmentName": name, "latestRevisionNumber": 1,
            "etag": "x",
        })
    };
    // One in another organization; an id that walks the tree; the same one twice; none.
    let all = [
        json!([one("cr-elsewhere", "../globex/credentials", "prod")]),
        json!([one("..", "credentials", "prod")]),
        json!([one("cr-1", "credentials", "prod"), one("cr-1", "credentials", "prod")]),
        json!([]),
    ];
    let mut scenarios: Vec<_> = all.map(|answer| pinned(open_requests_that_make_no_sense(answer))).into();
    scenarios.push(pinned(open_request_elsewhere()));
    together(scenarios).await;
}

async fn open_requests_that_make_no_sense(answer: Value) {
    let (gate, hostile) = hostile().await;
    hostile.lies("POST", OPEN_REQUEST, move |_, said| {
        said.body = json!({"changeRequests": answer}).to_string().into_bytes();
    });
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_blocker(&id, "pulumi-cloud").await;
    hostile.repents();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

async fn open_request_elsewhere() {
    let (gate, hostile) = hostile().await;
    hostile.lies("POST", OPEN_REQUEST, |_, said| {
        let mut answer: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        answer["changeRequests"][0]["environmentName"] = json!("staging");
        said.body = answer.to_string().into_bytes();
    });
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_end(&id, "error", "not-gated").await;
    assert_eq!(gate.calls("POST", "/submit"), 0);
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_deployment_of_another_stack_or_person_is_not_adopted() {
    let (gate, hostile) = hostile().await;
    // Somebody else's deployment, with whatever mark it likes.
    let mark = Arc::new(Mutex::new(String::new()));
    let forged = Arc::clone(&mark);
    let theirs =
        gate.click(|cloud, now| cloud.deploy(now, "dave", STACK, &json!({"operation": "update"}))).expect("dave may");
    hostile.lies("GET", DEPLOYMENT, move |_, said| {
        let mark = forged.lock().expect("nobody panicked").clone();
        said.json(|body| {
            body["configuration"]["environmentVariables"] = json!([{"name": "SIGNOFF_REQUEST_ID", "value": mark}]);
        });
    });
    gate.expect_history(
        "dave's deployment is over",
        |happened| matches!(happened, Happened::DeploymentMoved { id, .. } if *id == theirs),
    )
    .await;
    let id = gate.ask("alice", STACK, "update").await;
    id.clone_into(&mut mark.lock().expect("nobody panicked"));
    gate.approve("bob", &id).await;
    let request = gate.expect_state(&id, "succeeded").await;
    assert_ne!(request["deployment"]["id"], json!(theirs), "it carries the mark, but the principal did not ask for it");
    gate.finish().await;
}

#[tokio::test]
async fn an_answer_about_another_deployment_is_not_believed() {
    let (gate, hostile) = hostile().await;
    hostile.lies("GET", DEPLOYMENT, |_, said| said.json(|body| body["id"] = json!("another")));
    for answer in
        [json!({"id": "..", "version": 1}), json!({"id": "../../x", "version": "1"}), json!({"id": 7}), json!(null)]
    {
        hostile.lies("POST", DEPLOYMENTS, move |_, said| said.body = answer.to_string().into_bytes());
    }
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_blocker(&id, "pulumi-cloud").await;
    hostile.repents();
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.deployments(&id).len(), 1, "the one whose answer made no sense was found by its mark");
    gate.finish().await;
}

#[tokio::test]
async fn deep_huge_compressed_and_endless_answers_cost_nothing() {
    let (gate, hostile) = hostile().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let nested = format!("{}1{}", "{\"id\":".repeat(200_000), "}".repeat(200_000));
    let (no_sense, too_large) = ("is not what the specification says", "an answer of more than 4194304 bytes");
    let bodies: [(Vec<u8>, &str); 6] = [
        (deep.into_bytes(), no_sense),
        (nested.into_bytes(), no_sense),
        (vec![b' '; 32 << 20], too_large),
        (format!("{{\"id\": \"{}\"}}", "x".repeat(16 << 20)).into_bytes(), too_large),
        (b"{\"id\": \"\xff\xfe\"}".to_vec(), no_sense),
        (b"{\"id\": 1e999999, \"status\": \"ready\"}".to_vec(), no_sense),
    ];
    for (body, why) in bodies {
        hostile.repents();
        hostile.lies("GET", CHANGE_REQUEST, move |_, said| said.body.clone_from(&body));
        gate.expect_looks(1).await;
        is_logged(&gate, why).await;
        gate.expect_blocker(&id, "pulumi-cloud").await;
    }
    // One that begins as the truth does and never ends: what could be sent of it is what was read, and what lay in between.
    hostile.repents();
    let sent: Arc<Mutex<Vec<Arc<AtomicU64>>>> = Arc::default();
    let counters = Arc::clone(&sent);
    hostile.lies("GET", CHANGE_REQUEST, move |heard, said| {
        approved(heard, said);
        let counter = Arc::new(AtomicU64::new(0));
        counters.lock().expect("nobody panicked").push(Arc::clone(&counter));
        said.endless = Some(counter);
    });
    gate.expect_looks(2).await;
    is_logged(&gate, too_large).await;
    let most = sent.lock().expect("nobody panicked").iter().map(|sent| sent.load(Ordering::Relaxed)).max();
    assert!(most.is_some_and(|bytes| (4 << 20..IN_BETWEEN + (4 << 20)).contains(&bytes)), "{most:?} bytes were sent");
    // What would say that bob approved if it were inflated is not JSON as it is.
    hostile.repents();
    hostile.lies("GET", CHANGE_REQUEST, |heard, said| {
        approved(heard, said);
        said.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
        said.body = gzip(&said.body);
    });
    gate.expect_looks(2).await;
    is_logged(&gate, no_sense).await;
    assert_eq!(gate.request(&id).await["state"], "pending_approval");
    assert_eq!(gate.calls("POST", "/apply"), 0, "an answer was inflated and believed");
    let memory = std::fs::read_to_string(format!("/proc/{}/status", gate.pid().expect("it runs"))).unwrap_or_default();
    let peak =
        memory.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.is_none_or(|kilobytes| kilobytes < 150_000), "it took {peak:?} kB");
    hostile.repents();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

/// Waits until the last answer of Pulumi Cloud's that was of no use was so for this reason.
async fn is_logged(gate: &Gate, why: &str) {
    let last = || gate.log().lines().rfind(|line| line.contains("gave no usable answer")).map(str::to_owned);
    let said = until(LIMIT, async || last().filter(|line| line.contains(why)));
    assert!(said.await.is_some(), "{why:?} is not what is wrong with the last answer, but: {:?}", last());
}

/// A text as gzip has it: one block that is stored as it is.
fn gzip(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("it fits into one block");
    let sum = text.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    });
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    let (size, tail) = ([length, !length].map(u16::to_le_bytes), [!sum, u32::from(length)].map(u32::to_le_bytes));
    [head.as_slice(), size.as_flattened(), text, tail.as_flattened()].concat()
}

#[tokio::test]
async fn durations_that_make_no_sense_end_it() {
    let all = [("/accessDurationSeconds", json!(-3600)), ("/grantExpirationSeconds", json!(i64::MAX))];
    together(all.map(|(pointer, value)| pinned(other_duration(pointer, value))).into()).await;
}

async fn other_duration(pointer: &'static str, value: Value) {
    let (gate, hostile) = hostile().await;
    hostile.says("GET", "/api/esc/environments/*/*/*/open/request/*", pointer, value);
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_end(&id, "error", "change-request-edited").await;
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn a_caller_whom_an_answer_makes_somebody_else_gets_nothing_more() {
    let (gate, hostile) = hostile().await;
    let body = || Some(json!({"stack": STACK, "operation": "update", "reason": "x"}));
    // What a permission is asked for is compared with whom the answer is about.
    hostile.lies("GET", "/api/console/orgs/*/members/*/stacks/*/*", |_, said| {
        said.json(|body| {
            body["organizationRole"] = json!("admin");
            body["userInfo"] = json!({"githubLogin": "dave"});
        });
    });
    let reply = gate.call("alice", reqwest::Method::POST, "/v1/requests", body()).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    hostile.repents();
    for (pointer, value) in [
        ("/githubLogin", json!("al\u{200B}ice")),
        ("/githubLogin", json!("")),
        ("/githubLogin", json!({"admin": true})),
        ("/organizations", json!("all")),
    ] {
        hostile.repents();
        hostile.says("GET", "/api/user", pointer, value);
        let reply = gate.call("bob", reqwest::Method::GET, "/v1/requests", None).await;
        assert_eq!(reply.status, 503, "{}", reply.text);
    }
    hostile.repents();
    assert_eq!(gate.requests().await, Vec::<Value>::new());
    gate.finish().await;
}
