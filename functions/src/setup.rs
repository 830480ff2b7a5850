//! How a function is put together on Lambda: configuration from its environment, read once, at start; what is missing or wrong stops it there.
//!
//! | variable | what |
//! |---|---|
//! | `SIGNOFF_TABLE` | the DynamoDB table |
//! | `SIGNOFF_INSTALLATION` | the installation's name, as it stands in marks (default `signoff`) |
//! | `SIGNOFF_PULUMI_URL` | Pulumi Cloud's API (default `https://api.pulumi.com`) |
//! | `SIGNOFF_PUBLIC_URL` | where the API is reached from outside |
//! | `SIGNOFF_TOKEN_PREFIX` | the principals' tokens in Secrets Manager: this, and the principal's name (`apply`, `deploy`) |
//! | `SIGNOFF_WEBHOOK_SECRET_ID` | the webhook's secret in Secrets Manager (`receive`) |
//! | `SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID` | the one before, while it is being rotated (`receive`; optional) |
//! | `SIGNOFF_SWEEP_SECONDS` | the time between two sweeps (default 60) |
//! | `SIGNOFF_LOG` | a tracing filter (default `info`) |

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use jiff::SignedDuration;
use lambda_runtime::Error;
use signoff_core::look::{Gatekeeper, Timing};

use crate::api::Api;
use crate::dynamo::Dynamo;
use crate::machine::Machine;
use crate::pulumi::{CallerClient, ClientOptions, PrincipalClient, PulumiClient};
use crate::receive::{Receive, WebhookSecrets};
use crate::secrets::{SecretsManager, Tokens};

/// How long after a call whose answer never came its effect may still show, on Lambda.
const SETTLE: SignedDuration = SignedDuration::from_secs(60);
/// How long one look may send calls. The functions' own time-outs are longer than this and two calls.
const BUDGET: Duration = Duration::from_secs(60);

/// The gatekeeper as the functions have it.
pub type Keeper = Gatekeeper<Dynamo, PrincipalClient, Machine>;

/// What every function has.
#[derive(Debug, Clone)]
pub struct Function {
    aws: aws_config::SdkConfig,
    ledger: Arc<Dynamo>,
    machine: Arc<Machine>,
}

impl Function {
    /// Sets up logging, and the clients that every function has.
    ///
    /// # Errors
    /// If the environment lacks something.
    pub async fn start() -> Result<Self, Error> {
        let filter =
            tracing_subscriber::EnvFilter::try_new(variable("SIGNOFF_LOG").unwrap_or_else(|| "info".to_owned()))?;
        tracing_subscriber::fmt().json().with_env_filter(filter).without_time().with_target(false).init();
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let ledger = Dynamo::new(aws_sdk_dynamodb::Client::new(&aws), needed("SIGNOFF_TABLE")?);
        Ok(Self { aws, ledger: Arc::new(ledger), machine: Arc::new(Machine::new()) })
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
        let manager = SecretsManager::new(aws_sdk_secretsmanager::Client::new(&self.aws), self.machine.clone());
        let tokens = Tokens::Stored { manager, prefix: needed("SIGNOFF_TOKEN_PREFIX")? };
        let options = ClientOptions::default();
        Ok(Arc::new(Gatekeeper {
            ledger: Dynamo::clone(&self.ledger),
            cloud: PrincipalClient::new(pulumi(options)?, tokens),
            host: *self.machine,
            installation: variable("SIGNOFF_INSTALLATION").unwrap_or_else(|| "signoff".to_owned()),
            link: variable("SIGNOFF_PUBLIC_URL").map(|url| format!("{}/v1/requests/", url.trim_end_matches('/'))),
            timing: Timing { sweep: self.sweep_every()?, settle: SETTLE, budget: BUDGET, call: options.timeout },
        }))
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

    /// What the webhook door works with. It alone can read the webhook's secret.
    ///
    /// # Errors
    /// If the environment lacks something, or a secret can't be read or is empty.
    pub async fn receive(&self) -> Result<Receive<Dynamo, Machine>, Error> {
        let manager = SecretsManager::new(aws_sdk_secretsmanager::Client::new(&self.aws), self.machine.clone());
        let current = manager.get(&needed("SIGNOFF_WEBHOOK_SECRET_ID")?).await?;
        let previous = match variable("SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID") {
            Some(id) => Some(manager.get(&id).await?),
            None => None,
        };
        let secrets = WebhookSecrets { current, previous };
        Ok(Receive { ledger: Arc::clone(&self.ledger), secrets, host: Arc::clone(&self.machine) })
    }
}

fn pulumi(options: ClientOptions) -> Result<PulumiClient, Error> {
    let url = variable("SIGNOFF_PULUMI_URL").unwrap_or_else(|| "https://api.pulumi.com".to_owned());
    Ok(PulumiClient::new(&url, options)?)
}

/// A variable of the environment; an empty one is a missing one.
#[expect(clippy::disallowed_methods, reason = "this is where a function reads its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn needed(name: &str) -> Result<String, Error> {
    variable(name).ok_or_else(|| format!("{name} is not set").into())
}
