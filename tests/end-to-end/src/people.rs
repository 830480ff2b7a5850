//! What people do at Pulumi Cloud, and what one sees there.

use pulumi_sim::{ChangeRequest, Deployment, Happened, Refusal, Status, Timing};

use crate::gate::{Gate, LIMIT, PRINCIPAL};
use crate::wait::until;

/// The plain variable by which a deployment tells its request.
const MARK: &str = "SIGNOFF_REQUEST_ID";
/// An admin of the organization.
const ADMIN: &str = "dave";

impl Gate {
    /// The change requests of a request, by the mark in their description.
    pub fn change_requests(&self, id: &str) -> Vec<ChangeRequest> {
        let cloud = self.sim.cloud();
        let of = |one: &&ChangeRequest| one.description.lines().next().is_some_and(|line| line.ends_with(id));
        cloud.change_requests().iter().filter(of).cloned().collect()
    }

    /// Waits until every change request of a request is submitted, and gives them, that of the gate's environment first.
    pub async fn submitted(&self, id: &str) -> Vec<ChangeRequest> {
        let seen = until(LIMIT, async || {
            let marked = self.change_requests(id);
            let first = &marked.first()?.id;
            let cloud = self.sim.cloud();
            let all = cloud.history().iter().find_map(|record| match &record.what {
                Happened::OpenRequestCreated { change_requests, .. } if change_requests.contains(first) => {
                    Some(change_requests.len())
                }
                _ => None,
            });
            (all == Some(marked.len())).then_some(marked)
        });
        seen.await.unwrap_or_else(|| panic!("the change requests of {id} are not submitted\n{}", self.tail()))
    }

    /// Waits for the change requests of a request, and gives the id of that of an environment (`project/environment`).
    pub async fn change_request(&self, id: &str, environment: &str) -> String {
        let all = self.submitted(id).await;
        let found = all.iter().find(|one| one.qualified_name() == environment);
        found.unwrap_or_else(|| panic!("{id} has no change request for {environment}")).id.clone()
    }

    /// Somebody approves whatever of a request they may.
    pub async fn approve(&self, login: &str, id: &str) {
        let mut approved = 0;
        for one in self.submitted(id).await {
            approved += usize::from(self.click(|cloud, now| cloud.approve(now, login, &one.id)).is_ok());
        }
        assert!(approved > 0, "there is nothing of {id} that {login} may approve");
    }

    /// Somebody takes their approvals of a request back.
    pub async fn unapprove(&self, login: &str, id: &str) {
        let mut withdrawn = 0;
        for one in self.submitted(id).await {
            withdrawn += usize::from(self.click(|cloud, now| cloud.unapprove(now, login, &one.id, None)).is_ok());
        }
        assert!(withdrawn > 0, "there is no approval of {id} that {login} could take back");
    }

    /// Somebody closes the change requests of a request.
    pub async fn close(&self, login: &str, id: &str, comment: &str) {
        for one in self.submitted(id).await {
            let closed = self.click(|cloud, now| cloud.close_as(now, login, &one.id, Some(comment)));
            closed.unwrap_or_else(|error| panic!("{login} can't close {}: {error}", one.id));
        }
    }

    /// Somebody presses Apply in the console, for one change request.
    pub fn apply_in_console(&self, login: &str, change_request: &str) {
        let applied = self.click(|cloud, now| cloud.apply_as(now, login, change_request));
        applied.unwrap_or_else(|error| panic!("{login} can't apply {change_request}: {error}"));
    }

    /// Keeps a stack busy with a deployment of an admin's, which ends when it is cancelled with [`Gate::release`]; its id.
    pub async fn occupy(&self, stack: &str) -> String {
        let timing = |timing| self.sim.cloud().stack_mut(stack).map(|stack| stack.timing = timing);
        timing(Some(Timing { accept_ms: 600_000, run_ms: 0 }));
        let body = serde_json::json!({"operation": "preview"});
        let id = self.click(|cloud, now| cloud.deploy(now, ADMIN, stack, &body)).expect("an admin may deploy");
        let accepted = until(LIMIT, async || {
            let cloud = self.sim.cloud();
            cloud.deployment(&id).is_some_and(|deployment| deployment.status.is_active()).then_some(())
        });
        accepted.await.expect("it is taken from the queue");
        timing(None);
        id
    }

    /// Ends a deployment.
    pub fn release(&self, deployment: &str) {
        self.click(|cloud, now| cloud.cancel(now, ADMIN, deployment)).expect("an admin may cancel");
    }

    /// Pauses or resumes the deployments of a stack. As Pulumi Cloud tells of it in the list of deployments alone, one has to be there.
    pub async fn pause(&self, stack: &str, paused: bool) {
        let has_some = self.sim.cloud().deployments().iter().any(|deployment| deployment.stack == stack);
        if !has_some {
            let first = self.occupy(stack).await;
            self.release(&first);
        }
        let now = self.sim.now();
        self.sim.cloud().set_paused(now, stack, paused);
    }

    /// Does something at the cloud, now.
    pub fn click<T>(
        &self,
        act: impl FnOnce(&mut pulumi_sim::Cloud, jiff::Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.sim.now();
        act(&mut self.sim.cloud(), now)
    }

    /// Looks at what the cloud saw until something turns up.
    pub async fn expect_history(&self, what: &str, mut wanted: impl FnMut(&Happened) -> bool) {
        let seen =
            until(LIMIT, async || self.sim.cloud().history().iter().any(|record| wanted(&record.what)).then_some(()));
        seen.await.unwrap_or_else(|| panic!("{what} did not happen\n{}", self.tail()));
    }

    /// How many calls of a method took effect whose path, with `*` for its variable parts, ends like this.
    pub fn calls(&self, method: &str, end: &str) -> u64 {
        let cloud = self.sim.cloud();
        let meant = cloud.calls().iter().filter(|((made, path), _)| made == method && path.ends_with(end));
        meant.map(|(_, count)| count).sum()
    }

    /// Waits until such calls took effect that many times more.
    pub async fn expect_calls(&self, more: u64, method: &str, end: &str) {
        let before = self.calls(method, end);
        let seen = until(LIMIT, async || (self.calls(method, end) >= before + more).then_some(()));
        seen.await.unwrap_or_else(|| panic!("no {more} calls of {method} …{end}\n{}", self.tail()));
    }

    /// Waits until the gate looked at its change requests that many times more: it had the opportunity to act.
    pub async fn expect_looks(&self, more: u64) {
        self.expect_calls(more, "GET", "/change-requests/*/*").await;
    }

    /// The deployments that carry a request's mark.
    pub fn deployments(&self, id: &str) -> Vec<Deployment> {
        let cloud = self.sim.cloud();
        let of = |one: &&Deployment| one.variables().get(MARK).is_some_and(|mark| mark.value == id);
        cloud.deployments().iter().filter(of).cloned().collect()
    }

    /// Fails if there is a deployment of a request.
    pub fn expect_no_deployment(&self, id: &str) {
        assert_eq!(self.deployments(id).len(), 0, "{id} was deployed");
    }

    /// The principal's change requests that are still open.
    pub fn open_change_requests(&self) -> Vec<ChangeRequest> {
        let cloud = self.sim.cloud();
        let open = |one: &&ChangeRequest| one.created_by == PRINCIPAL && one.status.is_open();
        cloud.change_requests().iter().filter(open).cloned().collect()
    }

    /// The statuses of the change requests of a request.
    pub fn statuses(&self, id: &str) -> Vec<Status> {
        self.change_requests(id).iter().map(|one| one.status).collect()
    }
}
