//! How AWS is called on Lambda: over the same HTTP client as everything else, so that there is one TLS stack, and no roots to be read at start.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Url};

use crate::tls::{NoTls, Trust};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one try of a call may take. A connection that broke while the function was frozen shows only by its silence.
const ATTEMPT: Duration = Duration::from_secs(4);
/// How long a call may take, its tries together.
const OPERATION: Duration = Duration::from_secs(12);

/// An HTTP client for AWS's services. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Http(Client);

impl Http {
    /// One that trusts the roots in the program.
    ///
    /// # Errors
    /// If no TLS is to be had.
    pub fn new() -> Result<Self, NoTls> {
        let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).no_proxy().referer(false);
        Trust::embedded().apply(builder)?.build().map(Self).map_err(|_| NoTls)
    }

    /// What AWS's clients are made of: the environment that Lambda gives, and this client. The credentials stand there as well; to set up the whole
    /// chain of places where they might be elsewhere is a good part of a cold start.
    pub async fn config(&self) -> SdkConfig {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.clone())
            .timeout_config(timeouts)
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .load()
            .await
    }

    /// Carries one call that was signed already; gives the status and the body.
    ///
    /// # Errors
    /// If no answer came in one piece, within the time that one try has.
    pub(crate) async fn carry(&self, request: Request) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let mut request = request;
        *request.timeout_mut() = Some(ATTEMPT);
        let answer = self.0.execute(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await?.to_vec()))
    }
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Wire { client: self.0.clone(), patience: settings.read_timeout() })
    }
}

/// What a client of AWS's calls over.
#[derive(Debug)]
struct Wire {
    client: Client,
    patience: Option<Duration>,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, request) = (self.client.clone(), self.translated(&request));
        HttpConnectorFuture::new(async move { answer_of(&client, request?).await })
    }
}

impl Wire {
    fn translated(&self, request: &HttpRequest) -> Result<Request, ConnectorError> {
        let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
        let method = Method::from_bytes(request.method().as_bytes()).map_err(|error| user(error.into()))?;
        let url = Url::parse(request.uri()).map_err(|error| user(error.into()))?;
        let mut builder = self.client.request(method, url);
        for (name, value) in request.headers().iter() {
            builder = builder.header(name, value);
        }
        // Nothing here sends a stream.
        let body = request.body().bytes().ok_or_else(|| user("a body that is a stream".into()))?;
        if let Some(patience) = self.patience {
            builder = builder.timeout(patience);
        }
        builder.body(body.to_vec()).build().map_err(|error| user(error.into()))
    }
}

async fn answer_of(client: &Client, request: Request) -> Result<HttpResponse, ConnectorError> {
    let answer = client.execute(request).await.map_err(trouble)?;
    let status =
        StatusCode::try_from(answer.status().as_u16()).map_err(|error| ConnectorError::other(error.into(), None))?;
    let headers = answer.headers().clone();
    let body = answer.bytes().await.map_err(trouble)?;
    let mut response = HttpResponse::new(status, SdkBody::from(body.to_vec()));
    for (name, value) in &headers {
        // A header that is no text is none that AWS's services have.
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

/// What went wrong on the wire, as AWS's clients tell it: both kinds are tried again.
fn trouble(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}
