//! The few calls of KMS and S3 that keeping checkpoints takes. Their SDKs would be most of the function's archive.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signoff_core::checkpoint::Unkept;
use signoff_core::host::Host;

use crate::aws::Http;
use crate::pulumi::encoded;

/// The algorithm of the signatures, in KMS's words.
const ALGORITHM: &str = "ECDSA_SHA_256";
/// The longest message that KMS hashes itself, in bytes; the signature is the same.
const MAX_RAW: usize = 4_096;
/// How many objects a list has at most (S3's limit).
pub(super) const PAGE: usize = 1_000;

/// AWS, as it is called here.
#[derive(Clone)]
pub struct Aws {
    http: Http,
    credentials: SharedCredentialsProvider,
    region: String,
    kms: String,
    s3: String,
    host: Arc<dyn Host>,
}

/// Something that S3 was asked to write is there already.
pub(super) enum Put {
    Done,
    Exists,
}

impl Aws {
    /// Calls over this client as whom `config` says. `kms` and `bucket_at` are where KMS and the bucket are, if not where AWS has them.
    ///
    /// # Errors
    /// If the environment says neither who calls nor where.
    pub fn new(
        http: Http,
        config: &SdkConfig,
        host: Arc<dyn Host>,
        bucket: &str,
        kms: Option<String>,
        s3: Option<String>,
    ) -> Result<Self, String> {
        let region = config.region().ok_or("no region of AWS is set")?.as_ref().to_owned();
        let credentials = config.credentials_provider().ok_or("there are no credentials of AWS")?;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let plain = |url: String| url.trim_end_matches('/').to_owned();
        Ok(Self {
            kms: kms.map_or_else(|| format!("https://kms.{region}.{domain}"), plain),
            s3: s3.map_or_else(
                || format!("https://{bucket}.s3.{region}.{domain}"),
                |url| format!("{}/{bucket}", plain(url)),
            ),
            http,
            credentials,
            region,
            host,
        })
    }

    /// The public half of a key, in DER.
    pub(super) async fn public_key(&self, key: &str) -> Result<Vec<u8>, Unkept> {
        let answer = self.kms("GetPublicKey", &json!({"KeyId": key})).await?;
        bytes_in(&answer, "PublicKey")
    }

    /// Signs a message; the signature in DER.
    pub(super) async fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, Unkept> {
        let (kind, sent) = match message.len() {
            ..=MAX_RAW => ("RAW", STANDARD.encode(message)),
            _ => ("DIGEST", STANDARD.encode(Sha256::digest(message))),
        };
        let body = json!({"KeyId": key, "Message": sent, "MessageType": kind, "SigningAlgorithm": ALGORITHM});
        bytes_in(&self.kms("Sign", &body).await?, "Signature")
    }

    /// Writes an object, unless it is there.
    pub(super) async fn put(&self, name: &str, content: &[u8]) -> Result<Put, Unkept> {
        let headers = [
            ("content-type", "application/json"),
            ("if-none-match", "*"),
            // What is written under a lock has to come with a checksum.
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
            ("x-amz-checksum-sha256", &STANDARD.encode(Sha256::digest(content))),
        ];
        let url = format!("{}/{name}", self.s3);
        match self.call("s3", Method::PUT, &url, &headers, content).await? {
            (200, _) => Ok(Put::Done),
            (409 | 412, _) => Ok(Put::Exists),
            (status, body) => Err(failed("S3", "keep a checkpoint", status, &body)),
        }
    }

    /// Reads an object; `None` if it is not there.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Unkept> {
        match self.call("s3", Method::GET, &format!("{}/{name}", self.s3), &[], b"").await? {
            (200, body) => Ok(Some(body)),
            (404, _) => Ok(None),
            (403, body) => {
                let why = refusal("S3", "read a checkpoint", 403, &body);
                Err(Unkept::Notary(format!(
                    "{why}; if the encryption key was changed, name the one before in otherKeys"
                )))
            }
            (status, body) => Err(failed("S3", "read a checkpoint", status, &body)),
        }
    }

    /// The names under `prefix` that come after `after`, in their order, [`PAGE`] at most; with `folders`, the folders there instead, which end with a slash.
    pub(super) async fn list(&self, prefix: &str, after: &str, folders: bool) -> Result<Vec<String>, Unkept> {
        let mut url = format!("{}/?list-type=2&max-keys={PAGE}&prefix={}", self.s3, encoded(prefix));
        if folders {
            url.push_str("&delimiter=%2F");
        }
        url.push_str(&format!("&start-after={}", encoded(after)));
        match self.call("s3", Method::GET, &url, &[], b"").await? {
            (200, body) => {
                let text = String::from_utf8_lossy(&body);
                // Each folder has an element around it; the answer's own prefix has none.
                let element = if folders { "<CommonPrefixes>" } else { "<Contents>" };
                let name = if folders { ("<Prefix>", "</Prefix>") } else { ("<Key>", "</Key>") };
                let names = text.split(element).skip(1).filter_map(|rest| {
                    let (_, rest) = rest.split_once(name.0)?;
                    Some(rest.split_once(name.1)?.0.to_owned())
                });
                Ok(names.collect())
            }
            (status, body) => Err(failed("S3", "list the checkpoints", status, &body)),
        }
    }

    fn now(&self) -> SystemTime {
        let since = u64::try_from(self.host.now().as_millisecond()).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(since)
    }

    async fn kms(&self, operation: &str, body: &Value) -> Result<Value, Unkept> {
        let target = format!("TrentService.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let (status, answer) =
            self.call("kms", Method::POST, &format!("{}/", self.kms), &headers, body.to_string().as_bytes()).await?;
        match serde_json::from_slice(&answer) {
            Ok(answer) if status == 200 => Ok(answer),
            _ => Err(failed("KMS", operation, status, &answer)),
        }
    }

    async fn call(
        &self,
        service: &str,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), Unkept> {
        let impossible =
            |error: &dyn std::fmt::Display| Unkept::Notary(format!("a call of {service} can't be made: {error}"));
        let mut request = Request::new(method, Url::parse(url).map_err(|error| impossible(&error))?);
        *request.body_mut() = Some(body.to_vec().into());
        let credentials =
            self.credentials.provide_credentials().await.map_err(|_| impossible(&"there are no credentials of AWS"))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(self.now())
            .settings(settings)
            .build()
            .map_err(|error| impossible(&error))?
            .into();
        let signable =
            SignableRequest::new(request.method().as_str(), url, headers.iter().copied(), SignableBody::Bytes(body))
                .map_err(|error| impossible(&error))?;
        let (signed, _) = sign(signable, &params).map_err(|error| impossible(&error))?.into_parts();
        let (added, _) = signed.into_parts();
        let added: Vec<(String, String)> =
            added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect();
        let given = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        for (name, value) in given.chain(added) {
            let name = HeaderName::try_from(name).map_err(|error| impossible(&error))?;
            let mut value = HeaderValue::try_from(value).map_err(|error| impossible(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        let carried = self.http.carry(request).await;
        carried.map_err(|error| {
            let how = if error.is_timeout() { "did not answer in time" } else { "can't be reached" };
            Unkept::Notary(format!("{service} {how}"))
        })
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("kms", &self.kms).field("s3", &self.s3).finish_non_exhaustive()
    }
}

fn bytes_in(answer: &Value, name: &str) -> Result<Vec<u8>, Unkept> {
    let bytes = answer[name].as_str().and_then(|text| STANDARD.decode(text).ok());
    bytes.ok_or_else(|| Unkept::Notary(format!("KMS's answer has no {name}")))
}

/// A call that was refused, with the word that AWS has for it.
fn failed(service: &str, what: &str, status: u16, body: &[u8]) -> Unkept {
    Unkept::Notary(refusal(service, what, status, body))
}

fn refusal(service: &str, what: &str, status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let in_xml =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code.to_owned());
    let in_json = || Some(serde_json::from_slice::<Value>(body).ok()?["__type"].as_str()?.to_owned());
    let code: String =
        in_xml.or_else(in_json).unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(80).collect();
    format!("{service} does not {what}: {status} {code}").trim_end().to_owned()
}
