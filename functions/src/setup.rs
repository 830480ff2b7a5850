//! How a function is put together on Lambda: configuration from its environment, read once, at start; what is missing or wrong stops it there.
//!
//! | variable | what |
//! |---|---|
//! | `SIGNOFF_TABLE` | the DynamoDB table |
//! | `SIGNOFF_INSTALLATION` | the installation's name, as it stands in marks (default `signoff`) |
//! | `SIGNOFF_PULUMI_URL` | Pulumi Cloud's API (default `https://api.pulumi.com`) |
//! | `SIGNOFF_CA_BUNDLE` | roots that a self-hosted Pulumi Cloud's certificate may lead to besides those in the program: PEM, or a file with it |
//! | `SIGNOFF_PUBLIC_URL` | where the API is reached from outside |
//! | `SIGNOFF_TOKEN_PREFIX` | the principals' tokens in Secrets Manager: this, and the principal's name (`apply`, `deploy`) |
//! | `SIGNOFF_WEBHOOK_SECRET_ID` | the webhook's secret in Secrets Manager (`receive`) |
//! | `SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID` | the one before, while it is being rotated (`receive`; optional) |
//! | `SIGNOFF_GITHUB_SECRET_ID` | the secret of GitHub's webhook in Secrets Manager (`receive`; optional) |
//! | `SIGNOFF_GITHUB_SECRET_PREVIOUS_ID` | the one before, while it is being rotated (`receive`; optional) |
//! | `SIGNOFF_GITHUB_TOKEN_ID` | the token that reads branches at GitHub, in Secrets Manager (`apply`; `notify` shows statuses with it; optional) |
//! | `SIGNOFF_GITHUB_URL` | GitHub's API (`apply`, `notify`; default `https://api.github.com`) |
//! | `SIGNOFF_CHANNEL_PREFIX` | the channels' secrets in Secrets Manager: this, and the channel's name (`notify`) |
//! | `SIGNOFF_SWEEP_SECONDS` | the time between two sweeps (default 60) |
//! | `SIGNOFF_CHECKPOINT_BUCKET` | where checkpoints of the audit trail go (`reconcile`; optional) |
//! | `SIGNOFF_CHECKPOINT_KEY` | the ARN of the KMS key that signs them (`reconcile`; with the bucket) |
//! | `SIGNOFF_LOG` | a tracing filter (default `info`) |
//! | `SIGNOFF_METRICS_NAMESPACE` | the metrics' namespace in CloudWatch, one for each installation (default `signoff`) |
//!
//! Nothing is sent before the first event: secrets, credentials and where checkpoints stand are read when something needs them. AWS's clients are made
//! once, when they are first used; all share one HTTP client, which is made at start like that for Pulumi Cloud.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::Error;
use signoff_core::branches::Branches;
use signoff_core::look::{Gatekeeper, Timing};
use signoff_core::notify::Notifier;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::api::Api;
use crate::aws::Http;
use crate::checkpoint::{Aws, BucketCheckpoints};
use crate::dynamo::Dynamo;
use crate::github::{GITHUB_URL, GitHubClient, Token};
use crate::logs::{self, StandardOutput};
use crate::machine::Machine;
use crate::metrics::Namespace;
use crate::notices::{Sender, TIMEOUT};
use crate::pulumi::{CallerClient, ClientOptions, PrincipalClient, PulumiClient};
use crate::receive::{Receive, StoredSecrets};
use crate::secrets::{Named, SecretsManager, Tokens};
use crate::stream::Pushes;
use crate::tls::Trust;

/// How long after a call whose answer never came its effect may still show, across a network.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(60);
/// How long one look may send calls. The functions' own time-outs are longer than this and two calls.
const BUDGET: Duration = Duration::from_secs(60);

/// The gatekeeper as the functions have it.
pub type Keeper = Gatekeeper<Dynamo, PrincipalClient, Machine>;

/// The longest that writing checkpoints may take in one sweep. What is not written then is made up for.
const CHECKPOINT_TIME: Duration = Duration::from_secs(40);
/// How long before the end of an invocation there are to be no more calls: what it came to still has to be told.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every function has.
#[derive(Debug, Clone)]
pub struct Function {
    http: Http,
    aws: aws_config::SdkConfig,
    ledger: Arc<Dynamo>,
    machine: Arc<Machine>,
}

impl Function {
    /// Sets up logging and metrics, and what clients are made of.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn start() -> Result<Self, Error> {
        let machine = Arc::new(Machine::new());
        let filter = variable("SIGNOFF_LOG").unwrap_or_else(|| "info".to_owned());
        let namespace = match variable("SIGNOFF_METRICS_NAMESPACE") {
            Some(name) => name.parse().map_err(|error| format!("SIGNOFF_METRICS_NAMESPACE: {error}"))?,
            None => Namespace::default(),
        };
        logs::subscriber(&filter, namespace, machine.clone(), StandardOutput)
            .map_err(|error| format!("SIGNOFF_LOG is no tracing filter: {error}"))?
            .try_init()?;
        let http = Http::new()?;
        let aws = http.config(variable);
        let settings = aws.clone();
        let ledger = Dynamo::made_by(move || aws_sdk_dynamodb::Client::new(&settings), needed("SIGNOFF_TABLE")?);
        Ok(Self { http, aws, ledger: Arc::new(ledger), machine })
    }

    /// The ledger.
    pub fn ledger(&self) -> &Dynamo {
        &self.ledger
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The time between two sweeps.
    ///
    /// # Errors
    /// If it is not a whole number of seconds.
    pub fn sweep_every(&self) -> Result<SignedDuration, Error> {
        let seconds = variable("SIGNOFF_SWEEP_SECONDS").map_or(Ok(60), |text| text.parse())?;
        Ok(SignedDuration::from_secs(seconds))
    }

    /// What `apply` and `deploy` work with. They alone can read the principals' tokens.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn keeper(&self) -> Result<Arc<Keeper>, Error> {
        let options = ClientOptions::default();
        Ok(Arc::new(Gatekeeper {
            ledger: Dynamo::clone(&self.ledger),
            cloud: self.principals(options)?,
            host: *self.machine,
            installation: variable("SIGNOFF_INSTALLATION").unwrap_or_else(|| "signoff".to_owned()),
            link: link(),
            timing: Timing { sweep: self.sweep_every()?, settle: SETTLE, budget: BUDGET, call: options.timeout },
        }))
    }

    /// What asks for what was pushed; nothing, if there is no token for GitHub.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn pushes(&self) -> Result<Option<Arc<dyn Pushes>>, Error> {
        let Some(token) = variable("SIGNOFF_GITHUB_TOKEN_ID") else { return Ok(None) };
        let options = ClientOptions::default();
        Ok(Some(Arc::new(Branches {
            ledger: Dynamo::clone(&self.ledger),
            github: self.github(token, options, &trust()?)?,
            cloud: self.principals(options)?,
            host: *self.machine,
            sweep: self.sweep_every()?,
        })))
    }

    /// What sends notices. It alone can read the channels' secrets.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn notifier(&self) -> Result<Arc<Notifier<Dynamo, Sender, Machine>>, Error> {
        let secrets = Named::Stored { manager: self.secrets(), prefix: needed("SIGNOFF_CHANNEL_PREFIX")? };
        let options = ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() };
        let (console, trust) = (pulumi(options)?.console_url().to_owned(), trust()?);
        let github = match variable("SIGNOFF_GITHUB_TOKEN_ID") {
            Some(name) => Some(self.github(name, options, &trust)?),
            None => None,
        };
        Ok(Arc::new(Notifier {
            ledger: Dynamo::clone(&self.ledger),
            messenger: Sender::new(secrets, github, console, &trust)?,
            host: *self.machine,
            link: link(),
        }))
    }

    fn github(&self, token: String, options: ClientOptions, trust: &Trust) -> Result<GitHubClient, Error> {
        let url = variable("SIGNOFF_GITHUB_URL").unwrap_or_else(|| GITHUB_URL.to_owned());
        let token = Token::Stored { manager: self.secrets(), name: token };
        Ok(GitHubClient::trusting(&url, options, trust, token)?)
    }

    fn secrets(&self) -> SecretsManager {
        let aws = self.aws.clone();
        SecretsManager::new(move || aws_sdk_secretsmanager::Client::new(&aws), self.machine.clone())
    }

    fn principals(&self, options: ClientOptions) -> Result<PrincipalClient, Error> {
        let tokens = Tokens::Stored { manager: self.secrets(), prefix: needed("SIGNOFF_TOKEN_PREFIX")? };
        Ok(PrincipalClient::new(pulumi(options)?, tokens))
    }

    /// What the HTTP API works with.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn api(&self) -> Result<Api<Dynamo, CallerClient, Machine>, Error> {
        let client = pulumi(ClientOptions::default())?;
        Ok(Api {
            ledger: Arc::clone(&self.ledger),
            console_url: client.console_url().to_owned(),
            callers: Arc::new(CallerClient::new(client)),
            host: Arc::clone(&self.machine),
            public_url: needed("SIGNOFF_PUBLIC_URL")?.trim_end_matches('/').to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sweep: self.sweep_every()?,
        })
    }

    /// What the webhook door works with. It alone can read the webhook's secret, and does so when the first delivery is there.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub fn receive(&self) -> Result<Receive<Dynamo, Machine, StoredSecrets>, Error> {
        let manager = self.secrets();
        let secrets = StoredSecrets {
            manager: manager.clone(),
            current: needed("SIGNOFF_WEBHOOK_SECRET_ID")?,
            previous: variable("SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID"),
        };
        let previous = variable("SIGNOFF_GITHUB_SECRET_PREVIOUS_ID");
        let github = variable("SIGNOFF_GITHUB_SECRET_ID").map(|current| StoredSecrets { manager, current, previous });
        Ok(Receive { ledger: Arc::clone(&self.ledger), secrets, github, host: Arc::clone(&self.machine) })
    }

    /// What writes checkpoints of the audit trail, if that is configured.
    ///
    /// # Errors
    /// If only half of it is, or the environment lacks something.
    pub fn checkpoints(&self) -> Result<Option<BucketCheckpoints>, Error> {
        let Some(bucket) = variable("SIGNOFF_CHECKPOINT_BUCKET") else { return Ok(None) };
        let key = needed("SIGNOFF_CHECKPOINT_KEY")?;
        let elsewhere = |name: &str| variable(name).or_else(|| variable("AWS_ENDPOINT_URL"));
        let (kms, s3) = (elsewhere("AWS_ENDPOINT_URL_KMS"), elsewhere("AWS_ENDPOINT_URL_S3"));
        let aws = Aws::new(self.http.clone(), &self.aws, self.machine.clone(), &bucket, kms, s3)?;
        Ok(Some(BucketCheckpoints::new(aws, key)))
    }
}

/// How long writing checkpoints may take in an invocation that ends at this time (in milliseconds since 1970): what the sweep before it left, and never
/// so long that the invocation is cut off.
pub fn checkpoint_time(deadline: u64, now: Timestamp) -> Duration {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline.saturating_sub(now)).saturating_sub(FAREWELL).min(CHECKPOINT_TIME)
}

fn pulumi(options: ClientOptions) -> Result<PulumiClient, Error> {
    let url = variable("SIGNOFF_PULUMI_URL").unwrap_or_else(|| "https://api.pulumi.com".to_owned());
    Ok(PulumiClient::trusting(&url, options, &trust()?)?)
}

/// Where people find a request: its address without the id.
fn link() -> Option<String> {
    variable("SIGNOFF_PUBLIC_URL").map(|url| format!("{}/v1/requests/", url.trim_end_matches('/')))
}

fn trust() -> Result<Trust, Error> {
    match variable("SIGNOFF_CA_BUNDLE") {
        Some(bundle) => Ok(Trust::embedded().and(&bundle).map_err(|error| format!("SIGNOFF_CA_BUNDLE: {error}"))?),
        None => Ok(Trust::embedded()),
    }
}

/// A variable of the environment; an empty one is a missing one.
#[expect(clippy::disallowed_methods, reason = "this is where a function reads its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn needed(name: &str) -> Result<String, Error> {
    variable(name).ok_or_else(|| format!("{name} is not set").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_have_what_the_sweep_left_of_the_invocation() {
        let now = Timestamp::from_second(1_795_435_200).unwrap();
        let left = |seconds: u64| checkpoint_time((1_795_435_200 + seconds) * 1_000, now);
        assert_eq!(left(55), CHECKPOINT_TIME, "a sweep that took no time");
        assert_eq!(left(20), Duration::from_secs(18));
        assert_eq!((left(2), left(0)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(checkpoint_time(0, now), Duration::ZERO);
    }
}
