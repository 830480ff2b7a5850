//! How AWS is called on Lambda: over the same HTTP client as everything else, so that there is one TLS stack, and no roots to be read at start.

use std::sync::LazyLock;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Url};

use crate::tls::{NoTls, Trust};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one try of a call may take. A connection that broke while the function was frozen shows only by its silence.
const ATTEMPT: Duration = Duration::from_secs(4);
/// How long a call may take, its tries together.
const OPERATION: Duration = Duration::from_secs(12);

/// A client of one of AWS's services, which is made when it is first used: then it reads the rules of all of AWS's endpoints, which would be a third of a
/// function's start.
pub type LazyClient<C> = LazyLock<C, Box<dyn FnOnce() -> C + Send>>;

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

    /// What AWS's clients are made of: this client, and what Lambda's environment says, by the names that AWS's SDKs share: region, credentials, and other
    /// endpoints where there are any. The SDK's own loader looks for some twenty settings besides, in files and variables, which is a good part of a
    /// cold start.
    pub fn config(&self, environment: fn(&str) -> Option<String>) -> SdkConfig {
        let is_set = |name: &str| environment(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
            .identity_cache(IdentityCache::lazy().build())
            .http_client(self.clone())
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts)
            .use_fips(is_set("AWS_USE_FIPS_ENDPOINT"))
            .use_dual_stack(is_set("AWS_USE_DUALSTACK_ENDPOINT"))
            .service_config(Endpoints(environment));
        config.set_region(environment("AWS_REGION").map(Region::new));
        config.set_endpoint_url(environment("AWS_ENDPOINT_URL"));
        config.build()
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

/// Where a service is elsewhere than AWS has it: `AWS_ENDPOINT_URL_DYNAMODB`, and so on.
#[derive(Debug)]
struct Endpoints(fn(&str) -> Option<String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        (self.0)(&format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_aws_is() {
        let environment = |name: &str| {
            let value = match name {
                "AWS_REGION" => "us-gov-west-1",
                "AWS_USE_FIPS_ENDPOINT" => "true",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER" => "https://vpce.example",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = Http::new().unwrap().config(environment);
        assert_eq!(config.region(), Some(&Region::new("us-gov-west-1")));
        assert_eq!(
            (config.use_fips(), config.use_dual_stack(), config.endpoint_url()),
            (Some(true), Some(false), None)
        );
        let endpoint = |service| {
            let key = ServiceConfigKey::builder().service_id(service).profile("").env("AWS_ENDPOINT_URL").build();
            config.service_config().unwrap().load_config(key.unwrap())
        };
        assert_eq!(endpoint("Secrets Manager"), Some("https://vpce.example".to_owned()));
        assert_eq!(endpoint("DynamoDB"), None);
    }
}
