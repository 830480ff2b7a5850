//! The simulated Pulumi Cloud that is measured against: `acme` with many stacks.

use std::time::Duration;

use pulumi_sim::{
    Deployment, DeploymentStatus, EnvironmentPermission, HookScope, Permission, Sim, SimConfig, StackSetup, Status,
    Timing, seed,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;
use crate::gate::SECRET;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is seen whether something is there. Times are taken from the simulated cloud's own records, so this blurs none.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Among how many of the newest something is looked for. All of them would take longer than what is measured.
const RECENT: usize = 200;
/// Where a deployment carries the request that it is for.
const MARK: &str = "/operationContext/environmentVariables/SIGNOFF_REQUEST_ID/plaintext";

/// A running simulated cloud.
pub(crate) struct World {
    pub(crate) sim: Sim,
}

impl World {
    /// Starts one with `stacks` stacks `acme/svc-<n>/prod`; deployments take no time, unless it is said how long.
    pub(crate) async fn start(stacks: usize, timing: Timing) -> Result<Self> {
        let mut cloud = seed::acme(1);
        cloud.timing = timing;
        for login in ["alice", "signoff-deployer"] {
            cloud.allow_environment(login, "acme/network/prod", EnvironmentPermission::Open);
        }
        for n in 0..stacks {
            let stack = stack(n);
            let setup = StackSetup::git("https://github.com/acme/svc.git", "refs/heads/main").opens("credentials/prod");
            cloud.stack(&stack, setup);
            for login in ["alice", "signoff-deployer"] {
                cloud.allow(login, &stack, Permission::Write);
            }
        }
        Ok(Self { sim: Sim::start(SimConfig::new(cloud)).await? })
    }

    /// Sends webhooks to a gate on this port from now on.
    pub(crate) fn announce_to(&self, port: u16) {
        let url = format!("http://127.0.0.1:{port}/webhooks/pulumi");
        let groups = ["change_requests", "deployments", "environments"];
        self.sim.cloud().webhook(HookScope::Organization("acme".to_owned()), "signoff", &url, SECRET, &groups);
    }

    /// The change requests of a request.
    pub(crate) fn change_requests(&self, request: &str) -> Vec<(String, Status)> {
        let cloud = self.sim.cloud();
        let recent = cloud.change_requests().iter().rev().take(RECENT);
        let theirs = recent.filter(|cr| cr.description.lines().next().is_some_and(|mark| mark.ends_with(request)));
        theirs.map(|cr| (cr.id.clone(), cr.status)).collect()
    }

    /// Waits until so many change requests of a request are submitted; gives their ids.
    pub(crate) async fn submitted(&self, request: &str, count: usize) -> Result<Vec<String>> {
        let ids = || {
            let all = self.change_requests(request);
            let pending = all.len() == count && all.iter().all(|(_, status)| *status == Status::Pending);
            pending.then(|| all.into_iter().map(|(id, _)| id).collect())
        };
        wait(&format!("{request} to be submitted"), ids).await
    }

    /// Approves change requests as carol, who may everywhere.
    pub(crate) fn approve(&self, ids: &[String]) -> Result<jiff::Timestamp> {
        let now = self.sim.now();
        let mut cloud = self.sim.cloud();
        for id in ids {
            cloud.approve(now, "carol", id)?;
        }
        Ok(now)
    }

    /// Waits until the deployment of a request is there; gives when it was created.
    pub(crate) async fn deployed(&self, request: &str) -> Result<jiff::Timestamp> {
        let made = || self.find(request).map(|(at, _)| at);
        wait(&format!("{request} to be deployed"), made).await
    }

    /// Waits until the deployment of a request is over.
    pub(crate) async fn done(&self, request: &str) -> Result<()> {
        let over = || self.find(request).filter(|(_, status)| status.is_over()).map(|_| ());
        wait(&format!("the deployment of {request} to end"), over).await
    }

    fn find(&self, request: &str) -> Option<(jiff::Timestamp, DeploymentStatus)> {
        let cloud = self.sim.cloud();
        let of_it =
            |deployment: &&Deployment| deployment.settings.pointer(MARK).and_then(Value::as_str) == Some(request);
        let marked = cloud.deployments().iter().rev().take(RECENT).find(of_it);
        marked.map(|deployment| (deployment.created_at, deployment.status))
    }

    /// How many calls there were, by method and path.
    pub(crate) fn calls(&self) -> Vec<(String, u64)> {
        let cloud = self.sim.cloud();
        cloud.calls().iter().map(|((method, path), count)| (format!("{method} {path}"), *count)).collect()
    }

    /// Waits until nobody has called for a while.
    pub(crate) async fn quiet(&self) {
        let mut before = self.calls();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.calls();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// The name of a stack by its number.
pub(crate) fn stack(n: usize) -> String {
    format!("acme/svc-{n:03}/prod")
}

/// What a webhook says of a change request.
pub(crate) fn about_change_request(id: &str) -> Value {
    json!({
        "user": {"name": "Carol Chen", "githubLogin": "carol", "avatarUrl": ""},
        "organization": {"name": "Acme", "githubLogin": "acme", "avatarUrl": ""},
        "action": "change_request_approved", "changeRequestId": id,
        "projectName": "credentials", "environmentName": "prod", "status": "ready",
    })
}

/// What a webhook says of a deployment.
pub(crate) fn about_deployment(stack: &str) -> Value {
    let mut parts = stack.split('/').skip(1);
    json!({
        "user": {"name": "signoff", "githubLogin": "signoff-deployer", "avatarUrl": ""},
        "organization": {"name": "Acme", "githubLogin": "acme", "avatarUrl": ""},
        "projectName": parts.next(), "stackName": parts.next(), "operation": "update", "status": "succeeded",
    })
}

/// Waits until there is something.
async fn wait<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = there() {
            return Ok(found);
        }
        if Instant::now() > until {
            return Err(format!("waited in vain for {what}").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
