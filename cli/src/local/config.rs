//! What `signoff local` takes from its files and its environment, read once; what is missing or wrong keeps it from starting.

use std::collections::HashMap;
use std::path::Path;

use signoff_core::gate::Gates;
use signoff_core::names::PrincipalName;
use signoff_core::notice::{Channel, ChannelKind, ChannelName, is_address};
use signoff_functions::github::GITHUB_URL;
use signoff_functions::notices::SigningKeys;
use signoff_functions::receive::WebhookSecrets;
use signoff_functions::secrets::Secret;
use signoff_functions::tls::Trust;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::simulate::Simulated;
use super::{Args, failed};
use crate::environment::variable;
use crate::failure::Failure;

/// The configuration file where none is named.
const DEFAULT_FILE: &str = "signoff.toml";
/// The least that a configuration holds, to begin with. It asks for no secret but those that are always needed.
const FIRST_GATE: &str = "\
[[gate]]
stacks = [\"acme/*/prod\"]               # organization/project/stack
environment = \"acme/credentials/prod\"  # organization/project/environment with the Open ruleset";

/// Everything that is configured.
pub(super) struct Configuration {
    pub(super) gates: Gates,
    pub(super) tokens: HashMap<PrincipalName, Secret>,
    pub(super) webhook: WebhookSecrets,
    pub(super) github: Option<GitHub>,
    pub(super) channels: HashMap<ChannelName, Secret>,
    pub(super) pulumi_url: String,
    pub(super) trust: Trust,
    pub(super) public_url: Option<String>,
    pub(super) installation: String,
}

/// What pushes take.
pub(super) struct GitHub {
    pub(super) webhook: WebhookSecrets,
    pub(super) token: Secret,
    pub(super) url: String,
}

impl Configuration {
    pub(super) fn read(args: &Args, simulated: Option<&Simulated>) -> Result<Self, Failure> {
        let mut gates = gates(args.config.as_deref(), simulated)?;
        let mut tokens = HashMap::new();
        for principal in gates.principals() {
            let name = token_variable(principal);
            let token = match simulated {
                Some(_) => Some(super::simulate::PRINCIPAL_TOKEN.to_owned()),
                None => variable(&name),
            };
            let token = token.as_deref().and_then(Secret::new).ok_or_else(|| {
                failed(format!(
                    "{name} is not set: the access token of the principal {principal}, whose gates are configured"
                ))
            })?;
            tokens.insert(principal.clone(), token);
        }
        // A real secret has no place in a simulation, and would not be its own.
        let current = match simulated {
            Some(simulated) => Some(simulated.webhook_secret.clone()),
            None => variable("SIGNOFF_WEBHOOK_SECRET"),
        };
        let current = current.as_deref().and_then(Secret::new).ok_or_else(|| {
            failed("SIGNOFF_WEBHOOK_SECRET is not set: the shared secret of the webhook at Pulumi Cloud; without it nobody could tell who rings")
        })?;
        let previous = match simulated {
            Some(_) => None,
            None => variable("SIGNOFF_WEBHOOK_SECRET_PREVIOUS").as_deref().and_then(Secret::new),
        };
        let github = if simulated.is_none() && gates.pushes().next().is_some() { Some(github()?) } else { None };
        if simulated.is_some() {
            // To try things out, nobody has to be told; whoever wants to hear of it gives the secret.
            let is_given = |channel: &ChannelName| variable(&secret_variable(channel)).is_some();
            gates.gates.iter_mut().for_each(|gate| gate.notices.retain(|rule| is_given(&rule.channel)));
            gates.channels.retain(|channel| is_given(&channel.name));
        }
        let channels = gates.channels.iter().map(channel).collect::<Result<_, _>>()?;
        let pulumi_url = args.pulumi_url.clone().unwrap_or_else(|| match simulated {
            Some(simulated) => simulated.sim.url(),
            None => variable("SIGNOFF_PULUMI_URL").unwrap_or_else(|| "https://api.pulumi.com".to_owned()),
        });
        Ok(Self {
            gates,
            tokens,
            webhook: WebhookSecrets { current, previous },
            github,
            channels,
            pulumi_url,
            trust: trust()?,
            public_url: if simulated.is_some() { None } else { public_url()? },
            installation: installation()?,
        })
    }
}

/// What pushes take; a gate names one.
fn github() -> Result<GitHub, Failure> {
    let needed = |name: &str, what: &str| {
        let missing = || failed(format!("{name} is not set: {what}; a gate names pushes"));
        variable(name).as_deref().and_then(Secret::new).ok_or_else(missing)
    };
    Ok(GitHub {
        webhook: WebhookSecrets {
            current: needed("SIGNOFF_GITHUB_WEBHOOK_SECRET", "the shared secret of the webhook at GitHub")?,
            previous: variable("SIGNOFF_GITHUB_WEBHOOK_SECRET_PREVIOUS").as_deref().and_then(Secret::new),
        },
        token: needed("SIGNOFF_GITHUB_TOKEN", "the token that reads branches at GitHub")?,
        url: variable("SIGNOFF_GITHUB_URL").unwrap_or_else(|| GITHUB_URL.to_owned()),
    })
}

/// The variable that has a channel's secret.
fn secret_variable(channel: &ChannelName) -> String {
    format!("SIGNOFF_CHANNEL_SECRET_{}", channel.as_str().to_uppercase().replace('-', "_"))
}

/// A channel's secret: an address that notices may go to, or keys that sign them.
fn channel(channel: &Channel) -> Result<(ChannelName, Secret), Failure> {
    let name = secret_variable(&channel.name);
    let what = match channel.kind {
        ChannelKind::Slack => "the address of the incoming webhook at Slack",
        ChannelKind::Webhook(_) => "the key that signs its webhooks, whsec_ and 24 to 64 bytes in base64",
    };
    let missing = || failed(format!("{name} is not set: {what}; the channel {} needs it", channel.name));
    let secret = variable(&name).as_deref().and_then(Secret::new).ok_or_else(missing)?;
    let is_good = match channel.kind {
        ChannelKind::Slack => is_address(secret.expose()),
        ChannelKind::Webhook(_) => SigningKeys::of(&secret).is_ok(),
    };
    if is_good { Ok((channel.name.clone(), secret)) } else { Err(failed(format!("{name} is not {what}"))) }
}

/// Where people reach it, without a slash at the end.
fn public_url() -> Result<Option<String>, Failure> {
    let Some(text) = variable("SIGNOFF_PUBLIC_URL") else { return Ok(None) };
    let wrong = || failed(format!("SIGNOFF_PUBLIC_URL is not an address such as https://signoff.example: {text:?}"));
    let url = reqwest::Url::parse(&text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if plain { Ok(Some(text.trim_end_matches('/').to_owned())) } else { Err(wrong()) }
}

/// Whom connections to Pulumi Cloud trust: whom the machine trusts, and the roots of a bundle.
fn trust() -> Result<Trust, Failure> {
    match variable("SIGNOFF_CA_BUNDLE") {
        Some(bundle) => Trust::machine().and(&bundle).map_err(|error| failed(format!("SIGNOFF_CA_BUNDLE: {error}"))),
        None => Ok(Trust::machine()),
    }
}

/// The installation's name stands in the first line of each description, so it is one word.
fn installation() -> Result<String, Failure> {
    let name = variable("SIGNOFF_INSTALLATION").unwrap_or_else(|| "local".to_owned());
    let plain = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain {
        Ok(name)
    } else {
        Err(failed("SIGNOFF_INSTALLATION is a word of letters, digits, '-', '_' and '.' (40 at most)"))
    }
}

fn gates(file: Option<&Path>, simulated: Option<&Simulated>) -> Result<Gates, Failure> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Gates::from_toml(&text).map_err(|error| failed(format!("{}: {error}", path.display()))),
        // To play with, no file is needed; but one that was named has to be there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() && simulated.is_some() => {
            Gates::from_toml(super::simulate::GATES).map_err(|error| failed(error.to_string()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed(format!(
            "there is no configuration {}. Name one with --config, or write one, with names of yours:\n\n{FIRST_GATE}\n\n\
             What else it can say is in docs/configuration.md of signoff's repository, and what Pulumi Cloud has to have in docs/first-use.md.",
            path.display()
        ))),
        Err(error) => Err(failed(format!("can't read the configuration {}: {error}", path.display()))),
    }
}

/// The variable that has a principal's token.
fn token_variable(principal: &PrincipalName) -> String {
    if *principal == PrincipalName::default() {
        return "SIGNOFF_DEPLOYER_TOKEN".to_owned();
    }
    format!("SIGNOFF_DEPLOYER_TOKEN_{}", principal.as_str().to_uppercase().replace('-', "_"))
}

/// What the embedded store's logs are named after.
const STORE: &str = "dynoxide";

/// Sends logs to standard error.
pub(super) fn logs() -> Result<(), Failure> {
    // The store warns of every condition that does not hold, which is how the ledger works: only who names it hears of that.
    let filter = variable("SIGNOFF_LOG").unwrap_or_else(|| "info".to_owned());
    let filter = if filter.contains(STORE) { filter } else { format!("{filter},{STORE}=error") };
    let filter = signoff_functions::logs::chosen(&filter)
        .map_err(|error| failed(format!("SIGNOFF_LOG is no tracing filter: {error}")))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}
