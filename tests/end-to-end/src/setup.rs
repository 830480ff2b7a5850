//! What a test starts with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use pulumi_sim::{Cloud, Sim, SimConfig, Timing, WebhookFaults, seed};

use crate::gate::{Gate, PRINCIPAL};
use crate::http;
use crate::referee::Referee;

/// The gates that hold if a test says nothing else.
pub const GATES: &str = r#"
[[gate]]
stacks = ["acme/platform/*"]
environment = "acme/credentials/platform"

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;

/// The webhook's shared secret.
pub const WEBHOOK_SECRET: &str = "whsec-5b0c6f1e9d2a47c8";

/// What the organization sends webhooks about.
const GROUPS: [&str; 3] = ["change_requests", "deployments", "environments"];

/// What a test starts with: the seeded organization `acme` with quick deployments, webhooks, a sweep every 200 ms, the usual gates, the referee.
#[derive(Debug)]
pub struct Setup {
    pub(crate) cloud: Cloud,
    pub(crate) config: String,
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) reconcile_every: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) secrets: Vec<String>,
    referee: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// The usual.
    pub fn new() -> Self {
        Self::seeded(1)
    }

    /// The usual, with ids and mishaps of this seed.
    pub fn seeded(seed: u64) -> Self {
        let mut cloud = seed::acme(seed);
        cloud.timing = Timing { accept_ms: 20, run_ms: 60 };
        let logins = ["alice", "bob", "carol", "dave", "erin", "ci"];
        let mut secrets: Vec<String> = logins.iter().map(|login| token(login)).collect();
        secrets.extend([token(PRINCIPAL), WEBHOOK_SECRET.to_owned()]);
        Self {
            cloud,
            config: GATES.to_owned(),
            groups: Some(GROUPS.map(str::to_owned).to_vec()),
            reconcile_every: "200ms".to_owned(),
            environment: vec![
                ("SIGNOFF_DEPLOYER_TOKEN".to_owned(), token(PRINCIPAL)),
                ("SIGNOFF_WEBHOOK_SECRET".to_owned(), WEBHOOK_SECRET.to_owned()),
                // Debug as well: what is only there for whoever looks closely must hold no secret either.
                (
                    "SIGNOFF_LOG".to_owned(),
                    "info,signoff=debug,signoff_core=debug,signoff_functions=debug,dynoxide=error".to_owned(),
                ),
            ],
            secrets,
            referee: true,
        }
    }

    /// Changes the cloud before it starts.
    #[must_use]
    pub fn cloud(mut self, change: impl FnOnce(&mut Cloud)) -> Self {
        change(&mut self.cloud);
        self
    }

    /// Other gates.
    #[must_use]
    pub fn gates(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.config);
        self
    }

    /// No webhook is registered: what is not asked for is found by the sweep alone.
    #[must_use]
    pub fn without_webhooks(mut self) -> Self {
        self.groups = None;
        self
    }

    /// What happens to webhooks on their way.
    #[must_use]
    pub fn webhook_faults(mut self, faults: WebhookFaults) -> Self {
        self.cloud.set_webhook_faults(faults);
        self
    }

    /// The time between two sweeps, such as `200ms`. With a long one only webhooks move anything.
    #[must_use]
    pub fn reconcile_every(mut self, period: &str) -> Self {
        period.clone_into(&mut self.reconcile_every);
        self
    }

    /// One more environment variable for the gate, or another value.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more text that may be in no log, state or answer.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// No referee: for measurements, and where the cloud is made to answer what the specification does not know.
    #[must_use]
    pub fn without_referee(mut self) -> Self {
        self.referee = false;
        self
    }

    /// Starts the cloud, the referee and the gate; when this returns, the gate takes connections.
    pub async fn start(self) -> Gate {
        let directory = directory();
        let sim = Sim::start(SimConfig::new(self.cloud.clone())).await.expect("the simulated cloud starts");
        let referee = if self.referee { Referee::start(&sim.url(), &directory).await } else { None };
        let mut gate = Gate {
            sim,
            directory,
            config: self.config,
            groups: self.groups,
            reconcile_every: self.reconcile_every,
            environment: self.environment,
            secrets: self.secrets,
            client: http::client(),
            pulumi: None,
            process: None,
            referee,
            left_open: Vec::new(),
            is_finished: false,
        };
        gate.restart().await;
        gate
    }
}

/// The token of somebody in the seeded organization.
pub(crate) fn token(login: &str) -> String {
    format!("pul-{login}")
}

/// A directory of the test's own.
pub(crate) fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("signoff-e2e-{}-{number}", std::process::id()));
    // What a process of the same id left behind long ago.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory can be made");
    path
}
