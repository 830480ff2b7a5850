//! IAM, before the store and the secrets: a call goes through if the policies of the function that makes it grant what it does, and is refused in AWS's words
//! if they don't. `tests/permissions.json` says what they grant, and a test of the Pulumi program holds that against the policies that it declares.
//!
//! Who calls is told by the access key, which each function has of its own here, as its role's on Lambda.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use signoff_functions::dynamo::keys;
use tokio::net::TcpListener;

use crate::world::TABLE;

/// What the policies grant: by what is configured, and by function, actions with the places where they are allowed.
const GRANTED: &str = include_str!("../../../tests/permissions.json");
/// What the mapping from the stream to a function does, as that function.
const READS_STREAM: [&str; 4] = [
    "dynamodb:ListStreams streams",
    "dynamodb:DescribeStream stream",
    "dynamodb:GetShardIterator stream",
    "dynamodb:GetRecords stream",
];
/// The longest body that is read, in bytes.
const MAX_BODY: usize = 16 << 20;

/// It, and what it saw. Clones share that.
#[derive(Clone)]
pub(crate) struct Iam {
    /// Where the functions find all of AWS.
    pub(crate) url: String,
    inside: Arc<Inside>,
}

struct Inside {
    /// Where the table is, and where everything else.
    store: String,
    others: String,
    client: reqwest::Client,
    granted: Mutex<BTreeMap<String, BTreeSet<String>>>,
    used: Mutex<BTreeMap<String, BTreeSet<String>>>,
    refused: Mutex<BTreeSet<String>>,
    /// The bucket and the key of the checkpoints.
    checkpoints: Mutex<Option<(String, String)>>,
    race: AtomicBool,
}

/// The access key of a function.
pub(crate) fn access_key(function: &str) -> String {
    format!("ASIA{}", function.to_ascii_uppercase())
}

impl Iam {
    /// Starts it, before a store and a server of AWS's other services. It grants what functions have always.
    pub(crate) async fn start(store: &str, others: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inside = Inside {
            store: store.to_owned(),
            others: others.to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            granted: Mutex::default(),
            used: Mutex::default(),
            refused: Mutex::default(),
            checkpoints: Mutex::default(),
            race: AtomicBool::new(false),
        };
        let iam = Self { url: format!("http://{}", listener.local_addr().unwrap()), inside: Arc::new(inside) };
        iam.configure("always");
        let router = Router::new().fallback(Self::carry).with_state(iam.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        iam
    }

    /// From now on the functions have what they have where this is configured, too.
    pub(crate) fn configure(&self, what: &str) {
        let all: BTreeMap<String, BTreeMap<String, Vec<String>>> = serde_json::from_str(GRANTED).unwrap();
        let mut granted = self.inside.granted.lock().unwrap();
        for (function, grants) in &all[what] {
            granted.entry(function.clone()).or_default().extend(grants.iter().cloned());
        }
    }

    /// Checkpoints go to this bucket and are signed by this key.
    pub(crate) fn configure_checkpoints(&self, bucket: &str, key: &str) {
        *self.inside.checkpoints.lock().unwrap() = Some((bucket.to_owned(), key.to_owned()));
        self.configure("checkpoints");
    }

    /// A function's mapping reads the stream, as that function.
    pub(crate) fn read_stream(&self, function: &str) {
        for needed in READS_STREAM {
            self.allows(function, needed);
        }
        self.check();
    }

    /// The next transaction finds that somebody was faster.
    pub(crate) fn lose_a_race(&self) {
        self.inside.race.store(true, Ordering::SeqCst);
    }

    /// What was refused, by function.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.inside.refused.lock().unwrap().iter().cloned().collect()
    }

    /// Fails if anything was refused.
    pub(crate) fn check(&self) {
        let refused = self.refused();
        assert!(refused.is_empty(), "a function called what its policy does not grant it: {refused:#?}");
    }

    /// What is granted to these functions and was not used so far.
    pub(crate) fn unused(&self, functions: &[&str]) -> Vec<String> {
        let (granted, used) = (self.inside.granted.lock().unwrap(), self.inside.used.lock().unwrap());
        let is_used = |function: &str, grant: &String| used.get(function).is_some_and(|used| used.contains(grant));
        let mut unused = Vec::new();
        for function in functions {
            let theirs = granted.get(*function).into_iter().flatten();
            unused.extend(theirs.filter(|one| !is_used(function, one)).map(|one| format!("{function}: {one}")));
        }
        unused
    }

    /// Whether a function may do this. Notes the answer.
    fn allows(&self, function: &str, needed: &str) -> bool {
        let granted = self.inside.granted.lock().unwrap();
        let covering: Vec<String> =
            granted.get(function).into_iter().flatten().filter(|grant| covers(grant, needed)).cloned().collect();
        if covering.is_empty() {
            self.inside.refused.lock().unwrap().insert(format!("{function}: {needed}"));
            return false;
        }
        self.inside.used.lock().unwrap().entry(function.to_owned()).or_default().extend(covering);
        true
    }

    async fn carry(State(iam): State<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await.unwrap();
        let (function, service) = caller(&head.headers);
        for needed in iam.inside.needs(&service, &head, &body) {
            if !iam.allows(&function, &needed) {
                return denied(&service, &function, &needed);
            }
        }
        if operation(&head.headers) == "TransactWriteItems" && iam.inside.race.swap(false, Ordering::SeqCst) {
            return lost(&body);
        }
        iam.inside.forward(&service, head, body).await
    }
}

impl Inside {
    /// What a call takes, each with the place that it concerns. What is not known here takes something that nobody has.
    fn needs(&self, service: &str, head: &Parts, body: &[u8]) -> Vec<String> {
        let operation = operation(&head.headers);
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let checkpoints = self.checkpoints.lock().unwrap().clone();
        match service {
            "dynamodb" => in_table(operation, &said),
            "secretsmanager" => {
                let id = said["SecretId"].as_str().unwrap_or_default();
                let name = match id.split_once(":secret:") {
                    // At the end of an ARN are six characters that nobody chose.
                    Some((_, name)) => name.rsplit_once('-').unwrap().0,
                    None => id,
                };
                let own = name.strip_prefix("signoff-test/").unwrap_or(id);
                vec![format!("secretsmanager:{operation} {own}")]
            }
            "kms" => {
                let is_theirs = checkpoints.is_some_and(|(_, key)| said["KeyId"] == key);
                vec![format!("kms:{operation} {}", if is_theirs { "checkpoints" } else { "another key" })]
            }
            "s3" => vec![in_bucket(head, &checkpoints.unwrap_or_default().0)],
            _ => vec![format!("{service}:? {operation}")],
        }
    }

    async fn forward(&self, service: &str, head: Parts, body: Bytes) -> Response {
        let upstream = if service == "dynamodb" { &self.store } else { &self.others };
        let mut headers = head.headers;
        headers.remove("host");
        let answer = self.client.request(head.method, format!("{upstream}{}", head.uri)).headers(headers).body(body);
        let answer = answer.send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            // How long it is, and in how many pieces it comes, is said anew.
            if name != "transfer-encoding" && name != "content-length" {
                response = response.header(name, value);
            }
        }
        response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
    }
}

/// Whether a grant covers what is needed: a star at its end stands for anything, and an index without a partition for all of it.
fn covers(grant: &str, needed: &str) -> bool {
    let all_of_it =
        || grant.contains(" index/") && needed.strip_prefix(grant).is_some_and(|rest| rest.starts_with(' '));
    grant.strip_suffix('*').map_or(needed == grant, |start| needed.starts_with(start)) || all_of_it()
}

/// Who signed a call, and for which service.
fn caller(headers: &HeaderMap) -> (String, String) {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scope = text.split_once("Credential=").map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
    let parts: Vec<&str> = scope.split('/').collect();
    let function = parts[0].strip_prefix("ASIA").unwrap_or("nobody").to_ascii_lowercase();
    (function, parts.get(3).copied().unwrap_or_default().to_owned())
}

/// The operation of a call whose service has one in its headers.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default()
}

fn in_table(operation: &str, said: &Value) -> Vec<String> {
    let partition = |key: &Value| key[keys::PK]["S"].as_str().unwrap_or("?").to_owned();
    let one = |action: &str, call: &Value, key: &str| {
        let elsewhere = if call["TableName"] == TABLE { "" } else { "another table's " };
        vec![format!("dynamodb:{action} {elsewhere}{}", partition(&call[key]))]
    };
    match operation {
        "GetItem" | "UpdateItem" => one(operation, said, "Key"),
        "PutItem" => one(operation, said, "Item"),
        "BatchGetItem" => {
            let tables = said["RequestItems"].as_object().unwrap();
            assert!(tables.keys().eq([TABLE]), "{said}");
            let keys = tables.values().flat_map(|table| table["Keys"].as_array().unwrap());
            keys.map(|key| format!("dynamodb:{operation} {}", partition(key))).collect()
        }
        "Query" => {
            // The partition is what the first condition names.
            let first = said["KeyConditionExpression"].as_str().unwrap().split(" AND ").next().unwrap();
            let (_, value) = first.split_once(" = ").unwrap();
            let index = said["IndexName"].as_str().map(|name| format!("index/{name} ")).unwrap_or_default();
            let value = said["ExpressionAttributeValues"][value]["S"].as_str().unwrap();
            assert_eq!(said["TableName"], TABLE);
            vec![format!("dynamodb:{operation} {index}{value}")]
        }
        "TransactWriteItems" => {
            let writes = said["TransactItems"].as_array().unwrap().iter().flat_map(|write| write.as_object().unwrap());
            let need = |(kind, write): (&String, &Value)| match kind.as_str() {
                "Put" => one("PutItem", write, "Item"),
                "Update" => one("UpdateItem", write, "Key"),
                "Delete" => one("DeleteItem", write, "Key"),
                _ => one("ConditionCheckItem", write, "Key"),
            };
            writes.flat_map(need).collect()
        }
        _ => vec![format!("dynamodb:{operation} ?")],
    }
}

fn in_bucket(head: &Parts, own: &str) -> String {
    let path = head.uri.path().strip_prefix('/').unwrap_or_default();
    let (bucket, object) = path.split_once('/').unwrap_or((path, ""));
    if bucket != own {
        return format!("s3:? {path}");
    }
    if object.is_empty() {
        let address = reqwest::Url::parse(&format!("http://s3{}", head.uri)).unwrap();
        let prefix = address.query_pairs().find(|(name, _)| name == "prefix").unwrap_or_default().1;
        return format!("s3:ListBucket {prefix}");
    }
    let action = if head.method == Method::PUT { "PutObject" } else { "GetObject" };
    let action = if matches!(head.method, Method::PUT | Method::GET) { action } else { "?" };
    format!("s3:{action} {object}")
}

/// A refusal, as AWS writes it.
fn denied(service: &str, function: &str, needed: &str) -> Response {
    let (action, place) = needed.split_once(' ').unwrap();
    let message = format!("User: signoff-{function} is not authorized to perform: {action} on resource: {place}");
    if service == "s3" {
        let said = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
        return (StatusCode::FORBIDDEN, said).into_response();
    }
    let said = json!({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": message});
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], said.to_string()).into_response()
}

/// A transaction whose first condition did not hold.
fn lost(body: &[u8]) -> Response {
    let said: Value = serde_json::from_slice(body).unwrap();
    let code = |at: usize| json!({"Code": if at == 0 { "ConditionalCheckFailed" } else { "None" }});
    let reasons: Vec<Value> = (0..said["TransactItems"].as_array().unwrap().len()).map(code).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let said = json!({"__type": kind, "Message": "Transaction cancelled", "CancellationReasons": reasons});
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], said.to_string()).into_response()
}

#[test]
fn a_grant_covers_what_it_names_and_nothing_beside_it() {
    for (grant, needed, is_covered) in [
        ("dynamodb:GetItem REQ#*", "dynamodb:GetItem REQ#req_1", true),
        ("dynamodb:GetItem REQ#*", "dynamodb:GetItem CONFIG", false),
        ("dynamodb:GetItem REQ#*", "dynamodb:UpdateItem REQ#req_1", false),
        ("dynamodb:GetItem CONFIG", "dynamodb:GetItem CONFIG2", false),
        ("dynamodb:Query REQ#*", "dynamodb:Query index/by-day acme#2026-11-23", false),
        ("dynamodb:Query index/by-day", "dynamodb:Query index/by-day acme#2026-11-23", true),
        ("dynamodb:Query index/due notices", "dynamodb:Query index/due notices", true),
        ("dynamodb:Query index/due notices", "dynamodb:Query index/due 1", false),
        ("dynamodb:Query index/due", "dynamodb:Query index/due-too 1", false),
    ] {
        assert_eq!(covers(grant, needed), is_covered, "{grant}: {needed}");
    }
}
