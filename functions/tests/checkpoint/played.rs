//! KMS and S3 as far as checkpoints need them, played on a loopback port. What does not come as AWS would take it is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signoff_core::checkpoint::Checkpoint;

/// The bucket's name.
pub(crate) const BUCKET: &str = "trail";
/// The key's ARN.
pub(crate) const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1";

/// What is there, and what was asked.
#[derive(Default)]
pub(crate) struct Inside {
    /// The objects by their names.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Each call: its method, and its operation or path.
    pub(crate) calls: Vec<String>,
    /// What the next writes are answered instead of being done.
    pub(crate) refuse: Vec<u16>,
    /// Whether objects can't be read: they are under a key that the reader may not use.
    pub(crate) is_locked: bool,
    key: Option<Keys>,
}

/// A key pair; KMS signs digests, so that nothing else will do.
struct Keys {
    pair: aws_lc_rs::signature::EcdsaKeyPair,
    public: Vec<u8>,
}

impl Keys {
    fn new() -> Self {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let public = der.as_ref().to_vec();
        Self { pair, public }
    }

    fn sign_digest(&self, digest: &[u8]) -> Vec<u8> {
        use aws_lc_rs::digest::{Digest, SHA256};
        let digest = Digest::import_less_safe(digest, &SHA256).unwrap();
        self.pair.sign_digest(&digest).unwrap().as_ref().to_vec()
    }
}

/// Both of them.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) inside: Arc<Mutex<Inside>>,
    pub(crate) url: String,
}

impl Played {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let played = Self { inside: Arc::default(), url };
        played.replace_key();
        let router = Router::new().fallback(Self::answer).with_state(played.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        played
    }

    /// From now on another key signs.
    pub(crate) fn replace_key(&self) {
        self.inside.lock().unwrap().key = Some(Keys::new());
    }

    /// The public key, as `aws kms get-public-key` and `openssl` make a file of it.
    pub(crate) fn public_pem(&self) -> String {
        let inside = self.inside.lock().unwrap();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(&inside.key.as_ref().unwrap().public)
        )
    }

    /// Signs a checkpoint as it is now.
    pub(crate) fn sign(&self, checkpoint: &mut Checkpoint) {
        let inside = self.inside.lock().unwrap();
        let digest = Sha256::digest(checkpoint.message().unwrap());
        checkpoint.signature = hex::encode(inside.key.as_ref().unwrap().sign_digest(&digest));
    }

    /// All objects in the order of their names, as `cat` would put them together.
    pub(crate) fn text(&self) -> String {
        let inside = self.inside.lock().unwrap();
        inside.objects.values().map(|content| String::from_utf8(content.clone()).unwrap()).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.inside.lock().unwrap().objects.keys().cloned().collect()
    }

    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.inside.lock().unwrap().calls)
    }

    async fn answer(
        State(played): State<Self>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, Vec<u8>) {
        let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let service = if text("x-amz-target").is_empty() { "s3" } else { "kms" };
        let authorization = text("authorization");
        let scope = format!("/eu-central-1/{service}/aws4_request");
        let is_signed =
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/") && authorization.contains(&scope);
        let signed = authorization.split_once("SignedHeaders=").map_or("", |(_, rest)| rest.split(',').next().unwrap());
        let has = |name: &str| signed.split(';').any(|one| one == name);
        let mut inside = played.inside.lock().unwrap();
        if !is_signed || !has("host") || !has("x-amz-date") {
            return (StatusCode::FORBIDDEN, b"<Error><Code>AccessDenied</Code></Error>".to_vec());
        }
        if service == "kms" {
            assert!(method == Method::POST && uri.path() == "/" && has("x-amz-target"));
            assert_eq!(text("content-type"), "application/x-amz-json-1.1");
            let operation = text("x-amz-target").strip_prefix("TrentService.").unwrap();
            inside.calls.push(operation.to_owned());
            let (status, answer) = kms(&inside, operation, &serde_json::from_slice(&body).unwrap());
            return (status, answer.to_string().into_bytes());
        }
        assert_eq!(text("x-amz-content-sha256"), hex::encode(Sha256::digest(&body)));
        assert!(has("x-amz-content-sha256"));
        let path = uri.path().strip_prefix(&format!("/{BUCKET}/")).unwrap().to_owned();
        inside.calls.push(format!("{method} {path}"));
        match method {
            Method::PUT => {
                assert!(text("if-none-match") == "*" && has("if-none-match"), "an object could be overwritten");
                assert_eq!(text("x-amz-checksum-sha256"), STANDARD.encode(Sha256::digest(&body)));
                if let Some(status) = inside.refuse.pop() {
                    // As far as anybody can tell from 500, it was written.
                    if status == 500 {
                        inside.objects.insert(path, body.to_vec());
                    }
                    return (StatusCode::from_u16(status).unwrap(), b"<Error><Code>SlowDown</Code></Error>".to_vec());
                }
                if inside.objects.contains_key(&path) {
                    return (
                        StatusCode::PRECONDITION_FAILED,
                        b"<Error><Code>PreconditionFailed</Code></Error>".to_vec(),
                    );
                }
                inside.objects.insert(path, body.to_vec());
                (StatusCode::OK, Vec::new())
            }
            Method::GET if path.is_empty() => (StatusCode::OK, list(&inside, uri.query().unwrap()).into_bytes()),
            Method::GET if inside.is_locked => {
                (StatusCode::FORBIDDEN, b"<Error><Code>AccessDenied</Code></Error>".to_vec())
            }
            Method::GET => match inside.objects.get(&path) {
                Some(content) => (StatusCode::OK, content.clone()),
                None => (StatusCode::NOT_FOUND, b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
            },
            _ => (StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
        }
    }
}

fn kms(inside: &Inside, operation: &str, body: &Value) -> (StatusCode, Value) {
    let key = inside.key.as_ref().unwrap();
    assert_eq!(body["KeyId"], KEY);
    match operation {
        "GetPublicKey" => (
            StatusCode::OK,
            json!({"KeyId": KEY, "KeySpec": "ECC_NIST_P256", "PublicKey": STANDARD.encode(&key.public)}),
        ),
        "Sign" => {
            assert_eq!(body["SigningAlgorithm"], "ECDSA_SHA_256");
            let message = STANDARD.decode(body["Message"].as_str().unwrap()).unwrap();
            let digest = match body["MessageType"].as_str().unwrap() {
                "RAW" if message.len() <= 4_096 => Sha256::digest(&message).to_vec(),
                "DIGEST" if message.len() == 32 => message,
                _ => return (StatusCode::BAD_REQUEST, json!({"__type": "ValidationException"})),
            };
            (StatusCode::OK, json!({"KeyId": KEY, "Signature": STANDARD.encode(key.sign_digest(&digest))}))
        }
        _ => (StatusCode::BAD_REQUEST, json!({"__type": "UnknownOperationException"})),
    }
}

/// `ListObjectsV2`, with lines and spaces between the elements.
fn list(inside: &Inside, query: &str) -> String {
    let given: BTreeMap<String, String> =
        reqwest::Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect();
    assert_eq!(given["list-type"], "2");
    let most: usize = given["max-keys"].parse().unwrap();
    let prefix = &given["prefix"];
    let names = inside.objects.keys().filter(|name| name.starts_with(prefix) && **name > given["start-after"]);
    let mut text = format!("<?xml version=\"1.0\"?>\n<ListBucketResult>\n <Prefix>{prefix}</Prefix>\n");
    if given.contains_key("delimiter") {
        let folder = |name: &String| format!("{prefix}{}/", name[prefix.len()..].split('/').next().unwrap());
        let folders: std::collections::BTreeSet<_> = names.map(folder).collect();
        for folder in folders.iter().take(most) {
            text += &format!(" <CommonPrefixes>\n  <Prefix>{folder}</Prefix>\n </CommonPrefixes>\n");
        }
    } else {
        for name in names.take(most) {
            text += &format!(" <Contents>\n  <Key>{name}</Key>\n  <Size>1</Size>\n </Contents>\n");
        }
    }
    text + "</ListBucketResult>"
}
