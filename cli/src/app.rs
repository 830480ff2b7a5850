//! What every command has at hand: the options that all share, the environment, the output, and the way to the servers.

use jiff::Timestamp;

use crate::args::Global;
use crate::client::base::BaseUrl;
use crate::client::http::Token;
use crate::client::pulumi::Pulumi;
use crate::client::signoff::Signoff;
use crate::credentials::Credentials;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

/// The Pulumi Cloud that is meant when nothing says otherwise.
const PULUMI_CLOUD: &str = "https://api.pulumi.com";

/// The program as the commands see it.
pub(crate) struct App {
    /// The options that all commands share.
    pub(crate) global: Global,
    /// Where to write.
    pub(crate) output: Output,
    environment: Environment,
}

impl App {
    /// The program with these options in this environment.
    pub(crate) fn new(global: Global, environment: Environment, output: Output) -> Self {
        Self { global, output, environment }
    }

    /// The time.
    #[expect(clippy::disallowed_methods, reason = "the one clock of the command line")]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// A client of the signoff that is meant.
    ///
    /// # Errors
    /// If there is no address or token.
    pub(crate) fn signoff(&self) -> Result<Signoff, Failure> {
        let url = self
            .global
            .url
            .clone()
            .map_or_else(|| address(self.environment.url.as_deref(), "SIGNOFF_URL"), |url| Ok(Some(url)))?;
        let url = url.ok_or_else(|| Failure::Usage("where is signoff? Set SIGNOFF_URL, or say --url".to_owned()))?;
        let (_, token) = self.identity(None)?;
        Signoff::new(url, &token, self.global.organization.clone())
    }

    /// A client of Pulumi Cloud; `url` is what the command line says of it.
    ///
    /// # Errors
    /// If an address is wrong, or there is no token.
    pub(crate) fn pulumi(&self, url: Option<BaseUrl>) -> Result<Pulumi, Failure> {
        let (url, token) = self.identity(url)?;
        Pulumi::new(url, &token)
    }

    /// Which Pulumi Cloud, and the token for it. A token out of the credentials file only ever goes with the address that it was left for.
    fn identity(&self, url: Option<BaseUrl>) -> Result<(BaseUrl, Token), Failure> {
        let asked = url.map_or_else(
            || address(self.environment.pulumi_url.as_deref(), "SIGNOFF_PULUMI_URL"),
            |url| Ok(Some(url)),
        )?;
        let usual = || PULUMI_CLOUD.parse::<BaseUrl>().map_err(|error| Failure::Failed(error.to_string()));
        if let Some(token) = &self.environment.token {
            return Ok((asked.map_or_else(usual, Ok)?, token.clone()));
        }
        let credentials = match &self.environment.credentials_file {
            Some(file) => Credentials::read(file)?,
            None => Credentials::default(),
        };
        let cloud = asked.or_else(|| credentials.current()).map_or_else(usual, Ok)?;
        let token = credentials.token(&cloud).ok_or_else(|| {
            Failure::Usage(format!("who are you? Set PULUMI_ACCESS_TOKEN, or say: pulumi login {cloud}"))
        })?;
        Ok((cloud, token))
    }
}

fn address(text: Option<&str>, variable: &str) -> Result<Option<BaseUrl>, Failure> {
    text.map(|text| text.parse().map_err(|error| Failure::Usage(format!("{variable}: {error}")))).transpose()
}
