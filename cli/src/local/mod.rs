//! `signoff local`: the whole gate in one process, on one machine. The same handlers that run on Lambda, the same DynamoDB calls against an
//! embedded store in a file, the same stream, a timer for the schedule.

mod checkpoints;
mod config;
mod pump;
mod serve;
mod simulate;
mod store;
mod trouble;
mod wal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use signoff_core::branches::Branches;
use signoff_core::cloud::PulumiCloud as _;
use signoff_core::host::Host;
use signoff_core::ledger::Ledger as _;
use signoff_core::look::{Gatekeeper, Timing};
use signoff_core::names::BadName;
use signoff_core::notify::Notifier;
use signoff_core::period::Period;
use signoff_core::sweep::sweep;
use signoff_functions::api::{self, Api};
use signoff_functions::dynamo::Dynamo;
use signoff_functions::github::{GitHubClient, Token};
use signoff_functions::machine::Machine;
use signoff_functions::notices::{Sender, send_due};
use signoff_functions::pulumi::{CallerClient, ClientOptions, PrincipalClient, PulumiClient};
use signoff_functions::receive::{self, Receive};
use signoff_functions::secrets::{Named, Tokens};
use signoff_functions::setup::SETTLE;
use signoff_functions::stream::Pushes;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::client::base::BaseUrl;
use crate::failure::{Exit, Failure};
use checkpoints::Checkpoints;
use config::Configuration;
use pump::Pump;
use store::{Kind, Store};

/// As [`SETTLE`], where Pulumi Cloud is on this machine too: no network lies between, and whoever tries signoff out does not want to wait.
const SETTLE_HERE: SignedDuration = SignedDuration::from_secs(10);
/// How long one look may send calls.
const BUDGET: Duration = Duration::from_secs(60);
/// How many calls of the embedded store the workers make at a time: it carries them out one by one, and whoever calls the API or rings goes first.
const WORKERS_LANE: usize = 1;
/// How long what is in hand may take after a signal to stop.
const GRACE: Duration = Duration::from_secs(75);
/// How often it is looked for notices that are due.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often what expired is swept from the store.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// The gatekeeper, as it works here.
pub(crate) type Keeper = Gatekeeper<Dynamo, PrincipalClient, Machine>;

/// Runs the whole gate in one process
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  signoff local --simulate                    # to play with: a simulated Pulumi Cloud beside it
  SIGNOFF_DEPLOYER_TOKEN=… SIGNOFF_WEBHOOK_SECRET=… signoff local --config signoff.toml

Environment:
  SIGNOFF_DEPLOYER_TOKEN           access token of the principal `default`
  SIGNOFF_DEPLOYER_TOKEN_<NAME>    access token of another one (upper case, - as _)
  SIGNOFF_WEBHOOK_SECRET           the webhook's shared secret
  SIGNOFF_WEBHOOK_SECRET_PREVIOUS  the one before, while it is being rotated
  SIGNOFF_GITHUB_TOKEN             where a gate names pushes: the token that reads branches at GitHub
  SIGNOFF_GITHUB_WEBHOOK_SECRET    the shared secret of GitHub's webhook; …_PREVIOUS as above
  SIGNOFF_GITHUB_URL               GitHub's API (default: https://api.github.com)
  SIGNOFF_CHANNEL_SECRET_<NAME>    of each channel: Slack's address, or the key that signs (upper case, - as _)
  SIGNOFF_PUBLIC_URL               where signoff is reached from outside, for links (default: where it listens)
  SIGNOFF_CA_BUNDLE                roots of a self-hosted Pulumi Cloud, besides the machine's: PEM, or a file with it
  SIGNOFF_CHECKPOINTS              the file of the signed checkpoints (default: checkpoints.jsonl in the data directory)
  SIGNOFF_INSTALLATION             its name in the marks that it leaves at Pulumi Cloud (default: local)
  SIGNOFF_LOG                      a tracing filter; logs go to standard error (default: info)")]
pub(crate) struct Args {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// Where the state is kept [default: .signoff, or .signoff-simulated with --simulate]
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The gates [default: signoff.toml]
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Pulumi Cloud's API; with --simulate: what stands in front of the simulated one [default: SIGNOFF_PULUMI_URL, or Pulumi Cloud]
    #[arg(long)]
    pub(crate) pulumi_url: Option<String>,
    /// The time between two sweeps, such as 5s or 200ms
    #[arg(long, default_value = "5s", value_parser = every)]
    pub(crate) reconcile_every: SignedDuration,
    /// Start a simulated Pulumi Cloud beside it, with the organization acme
    #[arg(long)]
    pub(crate) simulate: bool,
    /// Where the simulated Pulumi Cloud listens
    #[arg(long, default_value = "127.0.0.1:0", requires = "simulate")]
    pub(crate) simulate_listen: SocketAddr,
    /// A proxy in front of it does TLS, so that it may listen beyond loopback
    #[arg(long)]
    pub(crate) behind_tls_proxy: bool,
}

/// A period, or a number of milliseconds.
fn every(text: &str) -> Result<SignedDuration, BadName> {
    match text.strip_suffix("ms").and_then(|digits| digits.parse::<u32>().ok()) {
        Some(millis @ 1..) => Ok(SignedDuration::from_millis(i64::from(millis))),
        _ => text.parse::<Period>().map(|period| period.duration()),
    }
}

/// How long an effect may be late, of a Pulumi Cloud at this address.
fn settle(pulumi_url: &str) -> SignedDuration {
    let is_here = pulumi_url.parse::<BaseUrl>().is_ok_and(|url| url.is_loopback());
    if is_here { SETTLE_HERE } else { SETTLE }
}

/// Runs until a signal stops it.
///
/// # Errors
/// Whatever keeps it from starting, in a sentence for a person.
pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    config::logs()?;
    if !args.listen.ip().is_loopback() && !args.behind_tls_proxy {
        return Err(Failure::Usage(format!(
            "{} is not a loopback address: tokens would cross the network in the clear. Put a TLS proxy in front and say --behind-tls-proxy.",
            args.listen
        )));
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| failed(format!("can't listen on {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    let simulated = if args.simulate { Some(simulate::start(address, args.simulate_listen).await?) } else { None };
    let configuration = Configuration::read(&args, simulated.as_ref())?;
    for warning in configuration.gates.never_reached() {
        tracing::warn!("{warning}");
    }
    let kind = if args.simulate { Kind::Simulated } else { Kind::Real };
    let data_dir = args.data_dir.unwrap_or_else(|| PathBuf::from(kind.default_directory()));
    let checkpoints = checkpoints::Place::of(&data_dir);
    let store = Store::open(&data_dir, kind).await?;
    let machine = Machine::new();
    let ledger = store.ledger();
    let settle = settle(&configuration.pulumi_url);
    let prepared = async {
        ledger.put_gates(&configuration.gates).await?;
        ledger.void_leases(machine.now(), settle).await
    };
    if let Err(error) = prepared.await {
        return Err(store.failure(&error).await);
    }
    let checkpoints = checkpoints.open(ledger.clone().in_a_lane_of(1), machine)?;

    let options = ClientOptions::default();
    let client = PulumiClient::trusting(&configuration.pulumi_url, options, &configuration.trust)
        .map_err(|error| failed(error.to_string()))?;
    let public_url = configuration.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let cloud = PrincipalClient::new(client.clone(), Tokens::Given(configuration.tokens));
    let github = match &configuration.github {
        Some(github) => {
            let token = Token::Given(github.token.clone());
            let client = GitHubClient::trusting(&github.url, options, &configuration.trust, token);
            Some(client.map_err(|error| failed(error.to_string()))?)
        }
        None => None,
    };
    let link = Some(format!("{public_url}/v1/requests/"));
    let pushes = github.clone().map(|github| {
        let ledger = ledger.clone().in_a_lane_of(WORKERS_LANE);
        Arc::new(Branches { ledger, github, cloud: cloud.clone(), host: machine, sweep: args.reconcile_every })
            as Arc<dyn Pushes>
    });
    let console = client.console_url().to_owned();
    let sender = Sender::new(Named::Given(configuration.channels), github, console, &configuration.trust)
        .map_err(|error| failed(error.to_string()))?;
    let notifier = Notifier {
        ledger: ledger.clone().in_a_lane_of(WORKERS_LANE),
        messenger: sender,
        host: machine,
        link: link.clone(),
    };
    let keeper: Arc<Keeper> = Arc::new(Gatekeeper {
        ledger: ledger.clone().in_a_lane_of(WORKERS_LANE),
        cloud,
        host: machine,
        installation: configuration.installation,
        link,
        timing: Timing { sweep: args.reconcile_every, settle, budget: BUDGET, call: options.timeout },
    });
    let api = api::router(Api {
        ledger: Arc::new(ledger.clone()),
        console_url: client.console_url().to_owned(),
        callers: Arc::new(CallerClient::new(client)),
        host: Arc::new(machine),
        public_url,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sweep: args.reconcile_every,
    });
    let door = receive::router(Receive {
        ledger: Arc::new(ledger.clone()),
        secrets: configuration.webhook,
        github: configuration.github.map(|github| github.webhook),
        host: Arc::new(machine),
    });

    // Whoever writes says so, and the stream is read at once.
    let written = Arc::new(Notify::new());
    let tell = Arc::clone(&written);
    let served = api.merge(door).layer(axum::middleware::map_response(move |response: axum::response::Response| {
        let tell = Arc::clone(&tell);
        async move {
            tell.notify_one();
            response
        }
    }));
    let (stop, stopped) = watch::channel(false);
    let pump = Pump::new(&store, Arc::clone(&keeper), pushes, Arc::clone(&written))?;
    let pump = tokio::spawn(pump.run(stopped.clone()));
    let clock = tokio::spawn(clock(store.clone(), machine, args.reconcile_every, written, stopped.clone()));
    let notices = tokio::spawn(notices(Arc::new(notifier), stopped.clone()));
    let checkpoints = tokio::spawn(checkpoints.run(args.reconcile_every, stopped.clone()));
    let tidy = tokio::spawn(store.clone().tidy(TIDY_EVERY, stopped.clone()));
    let server = tokio::spawn(serve::serve(listener, served, stopped));

    // Whoever reads that it is ready may stop it at once.
    let signals = Signals::listen()?;
    ready(address, simulated.as_ref())?;
    let greeting = tokio::spawn(greet(keeper));
    signals.one().await;
    greeting.abort();
    tracing::info!("stopping: what is in hand is finished first");
    let _ = stop.send(true);
    let all = async {
        let _ = tokio::join!(server, clock, tidy, pump, notices);
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("what was in hand took too long; it goes on at the next start");
    }
    Checkpoints::finish(checkpoints).await;
    if let Some(simulated) = simulated {
        simulated.sim.stop().await;
    }
    store.close().await;
    Ok(Exit::Done)
}

/// Says in the log whose the principals' tokens are, so that a wrong one shows before somebody asks. Requests wait for a good one.
async fn greet(keeper: Arc<Keeper>) {
    let gates = match keeper.ledger.gates().await {
        Ok(gates) => gates,
        Err(error) => return tracing::warn!(%error, "the gates can't be read"),
    };
    for principal in gates.principals() {
        match keeper.cloud.identity(principal).await {
            Ok(identity) => tracing::info!(%principal, login = %identity.login, "Pulumi Cloud knows the principal"),
            Err(error) => {
                tracing::error!(%principal, %error, "Pulumi Cloud does not tell whose the principal's token is");
            }
        }
    }
}

/// The line on standard output that says that it takes connections.
fn ready(address: SocketAddr, simulated: Option<&simulate::Simulated>) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let mut text = String::new();
    if let Some(simulated) = simulated {
        text.push_str(&simulated.how_to_use(address));
    }
    text.push_str(&format!("signoff is ready on http://{address}\n"));
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| failed(error.to_string()))
}

/// The schedule: a sweep, now and then.
async fn clock(
    store: Store,
    machine: Machine,
    every: SignedDuration,
    written: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let ledger = store.ledger();
    let mut ticks = tokio::time::interval(Duration::try_from(every).unwrap_or(Duration::from_secs(5)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        match sweep(&ledger, &machine, every).await {
            Ok(0) => {}
            Ok(rung) => {
                tracing::debug!(rung, "swept");
                written.notify_one();
            }
            Err(error) => {
                tracing::error!(%error, "a sweep failed; the next one comes anyway");
                if let Some(trouble) = store.trouble().await {
                    tracing::error!("{trouble}");
                }
            }
        }
    }
}

/// Sends the notices that are due, once in a while.
async fn notices(notifier: Arc<Notifier<Dynamo, Sender, Machine>>, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        match send_due(&notifier).await {
            Ok(0) => {}
            Ok(sent) => tracing::debug!(sent, "notices were sent"),
            Err(error) => tracing::error!(%error, "notices could not be looked for; they are due again"),
        }
    }
}

/// What stops it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on a signal is heard, and doesn't end the process by itself.
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| failed(format!("can't wait for signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    async fn one(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::Failed(why.into())
}

#[cfg(test)]
mod tests {
    use super::{SETTLE, SETTLE_HERE, settle};

    #[test]
    fn an_effect_may_come_later_across_a_network() {
        for url in ["http://127.0.0.1:8080", "http://localhost:1/base", "https://[::1]"] {
            assert_eq!(settle(url), SETTLE_HERE, "{url}");
        }
        for url in ["https://api.pulumi.com", "https://pulumi.acme.example/", "https://127.0.0.1.example", "rubbish"] {
            assert_eq!(settle(url), SETTLE, "{url}");
        }
        assert!(SETTLE_HERE < SETTLE);
    }
}
