//! `--simulate`: a simulated Pulumi Cloud beside the gate, with people to be.

use std::net::SocketAddr;

use pulumi_sim::{HookScope, Sim, SimConfig, seed};
use signoff_core::host::Host;
use signoff_functions::machine::Machine;

use super::failed;
use crate::failure::Failure;

/// The gates that hold where no configuration file is there.
pub(super) const GATES: &str = r#"
[[gate]]
stacks = ["acme/platform/*"]
environment = "acme/credentials/platform"

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;

/// The simulated principal's token.
pub(super) const PRINCIPAL_TOKEN: &str = "pul-signoff-deployer";

/// A simulated Pulumi Cloud.
pub(super) struct Simulated {
    pub(super) sim: Sim,
    pub(super) webhook_secret: String,
}

/// Starts it, with a webhook to the gate that listens on `gate`.
pub(super) async fn start(gate: SocketAddr, listen: SocketAddr) -> Result<Simulated, Failure> {
    let machine = Machine::new();
    let webhook_secret = machine.ulid().to_string();
    let mut config = SimConfig::new(seed::acme(machine.ulid().random() as u64));
    config.listen = listen;
    let url = format!("http://{gate}/webhooks/pulumi");
    let groups = ["change_requests", "deployments", "environments"];
    config.cloud.webhook(HookScope::Organization("acme".to_owned()), "signoff", &url, &webhook_secret, &groups);
    let sim = Sim::start(config)
        .await
        .map_err(|error| failed(format!("the simulated Pulumi Cloud does not start: {error}")))?;
    Ok(Simulated { sim, webhook_secret })
}

impl Simulated {
    /// Where it is and how to use it, for standard output.
    pub(super) fn how_to_use(&self, gate: SocketAddr) -> String {
        let url = self.sim.url();
        // Whoever listens everywhere is not found at that address.
        let gate = if gate.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], gate.port())) } else { gate };
        format!(
            "simulated Pulumi Cloud on {url}
  Open it in a browser to play a reviewer. People of acme: alice asks, bob and carol review, dave is admin, erin only reads.
  Each one's token is pul- and the login; that of a pipeline, machine:ci, is pul-ci. Try, in another terminal:
    export SIGNOFF_URL=http://{gate} SIGNOFF_PULUMI_URL={url}
    PULUMI_ACCESS_TOKEN=pul-alice signoff request acme/web/prod update --reason 'Ship 2.4' --wait
    PULUMI_ACCESS_TOKEN=pul-bob   signoff approve <the request's id>
"
        )
    }
}
