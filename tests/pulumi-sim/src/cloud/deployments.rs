//! Deployments: one runs on a stack at a time, the others queue; a run opens its environments as whoever it runs as.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Refusal;
use super::history::Happened;
use super::settings::{self, OPERATIONS, Variable};
use super::stacks::Timing;
use super::{Cloud, later};

/// How long a deployment may queue: seven days, in milliseconds.
const QUEUE_MS: i64 = 7 * 86_400_000;

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeploymentStatus {
    /// Queued.
    NotStarted,
    /// Taken from the queue.
    Accepted,
    /// At work.
    Running,
    /// Over, well.
    Succeeded,
    /// Over, not well; also when it was stopped.
    Failed,
    /// Over without ever having started.
    Skipped,
}

impl DeploymentStatus {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "not-started",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether it holds its stack.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Accepted | Self::Running)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }
}

/// One line of a deployment's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// A heading that it stands under, if it is the first there.
    pub header: Option<String>,
    /// What it says.
    pub line: String,
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// `organization/project/stack`.
    pub stack: String,
    /// Its number on the stack.
    pub version: i64,
    /// What it does.
    pub operation: String,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it changed last.
    pub modified_at: Timestamp,
    /// When it started to run.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// Its settings, inherited and given, merged.
    pub settings: Value,
    /// What it writes.
    pub log: Vec<LogLine>,
    pub(crate) update_id: String,
    pub(crate) due: Option<Timestamp>,
    pub(crate) held: bool,
}

impl Deployment {
    /// Its environment variables.
    pub fn variables(&self) -> BTreeMap<String, Variable> {
        settings::variables(&self.settings)
    }

    /// The commit that it is pinned to.
    pub fn commit(&self) -> Option<&str> {
        self.settings["sourceContext"]["git"]["commit"].as_str()
    }

    pub(crate) fn update_kind(&self) -> &str {
        match self.operation.as_str() {
            "detect-drift" => "refresh",
            "remediate-drift" => "update",
            other => other,
        }
    }

    fn skips_intermediates(&self) -> bool {
        self.settings["operationContext"]["options"]["skipIntermediateDeployments"] == true
    }
}

impl Cloud {
    /// All deployments, in the order of their creation.
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// A deployment by id.
    pub fn deployment(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.id == id)
    }

    /// Queues a deployment of a stack (`organization/project/stack`) as somebody; the body is that of the API. Gives
    /// its id.
    pub fn deploy(&mut self, now: Timestamp, login: &str, stack: &str, body: &Value) -> Result<String, Refusal> {
        let found = self.stacks.get(stack).ok_or_else(|| Refusal::not_found(&format!("Stack '{stack}'")))?;
        let operation = body["operation"].as_str().filter(|operation| OPERATIONS.contains(operation));
        let operation = operation.ok_or_else(|| Refusal::bad("Missing top level required field 'operation'"))?;
        if !body["operationContext"]["operation"].is_null() {
            return Err(Refusal::bad("'operation' must only be set at the top level"));
        }
        settings::check(body)?;
        let inherits = body["inheritSettings"].as_bool().unwrap_or(true);
        let inherited = found.settings.as_ref().filter(|_| inherits);
        let over = settings::normal(body);
        if inherited.is_none() && over["sourceContext"].is_null() {
            return Err(Refusal::bad("the stack has no deployment settings, and the request brings no source"));
        }
        let merged = settings::merge(inherited.unwrap_or(&json!({})), &over);
        let settings_version = inherited.map(|_| found.settings_version);
        let of_stack = self.deployments.iter().filter(|deployment| deployment.stack == stack);
        let deployment = Deployment {
            id: self.ids.uuid(),
            stack: stack.to_owned(),
            version: of_stack.map(|deployment| deployment.version).max().unwrap_or(0) + 1,
            operation: operation.to_owned(),
            created_by: login.to_owned(),
            created_at: now,
            modified_at: now,
            started_at: None,
            status: DeploymentStatus::NotStarted,
            settings: merged,
            log: Vec::new(),
            update_id: self.ids.uuid(),
            due: None,
            held: false,
        };
        let plain = deployment.variables().into_iter().filter(|(_, variable)| !variable.secret);
        let happened = Happened::DeploymentCreated {
            id: deployment.id.clone(),
            stack: stack.to_owned(),
            version: deployment.version,
            operation: deployment.operation.clone(),
            commit: deployment.commit().map(str::to_owned),
            variables: plain.map(|(name, variable)| (name, variable.value)).collect(),
            settings_version,
        };
        self.record(now, Some(login), happened);
        let id = deployment.id.clone();
        self.live.push(self.deployments.len());
        self.deployments.push(deployment);
        self.announce_deployment(now, self.deployments.len() - 1);
        Ok(id)
    }

    /// Cancels a deployment: one that queues is skipped, one that runs fails. 404 if it is over.
    pub fn cancel(&mut self, now: Timestamp, login: &str, id: &str) -> Result<(), Refusal> {
        let found = self.deployments.iter().position(|d| d.id == id && !d.status.is_over());
        let at = found.ok_or_else(|| Refusal::not_found("Deployment or Queued Deployment"))?;
        self.record(now, Some(login), Happened::DeploymentCancelled { id: id.to_owned() });
        if self.deployments[at].status == DeploymentStatus::NotStarted {
            self.move_deployment(now, at, DeploymentStatus::Skipped);
        } else {
            self.write(now, at, None, &format!("The deployment was cancelled by {login}"));
            self.end(now, at, DeploymentStatus::Failed);
        }
        Ok(())
    }

    /// When something on its stacks moves next, without anybody's doing.
    pub(crate) fn next_deployment_step(&self) -> Option<Timestamp> {
        let live = self.live.iter().map(|at| &self.deployments[*at]);
        let steps = live.filter(|d| !d.status.is_over()).filter_map(|deployment| {
            let held = self.stacks.get(&deployment.stack).is_some_and(|stack| stack.hold);
            match deployment.status {
                DeploymentStatus::NotStarted if self.may_start(deployment) => Some(self.start_of(deployment)),
                DeploymentStatus::NotStarted => Some(later(deployment.created_at, QUEUE_MS)),
                DeploymentStatus::Running if held => None,
                _ => deployment.due,
            }
        });
        steps.min()
    }

    /// Moves everything on the stacks that is due, in order, as of the moment at which it was due.
    pub(crate) fn step_deployments(&mut self, now: Timestamp) {
        loop {
            let mut moved = false;
            for at in self.live.clone() {
                moved |= self.step_deployment(now, at);
            }
            self.live.retain(|at| !self.deployments[*at].status.is_over());
            if !moved {
                return;
            }
        }
    }

    fn step_deployment(&mut self, now: Timestamp, at: usize) -> bool {
        let deployment = &self.deployments[at];
        let due = deployment.due.filter(|due| *due <= now);
        match deployment.status {
            DeploymentStatus::NotStarted => {
                let end = later(deployment.created_at, QUEUE_MS);
                let start = self.start_of(deployment);
                if self.may_start(deployment) && start <= now && start < end {
                    self.start(start, at);
                } else if end <= now {
                    self.move_deployment(end, at, DeploymentStatus::Skipped);
                } else {
                    return false;
                }
            }
            DeploymentStatus::Accepted => match due {
                Some(due) => self.run(due, at),
                None => return false,
            },
            DeploymentStatus::Running => {
                let Some(due) = due else { return false };
                let Some(stack) = self.stacks.get_mut(&deployment.stack) else { return false };
                if stack.hold {
                    self.deployments[at].held = true;
                    return false;
                }
                let succeeds = stack.outcomes.pop_front().unwrap_or(true);
                let end = if deployment.held { now } else { due };
                self.finish(end, at, succeeds);
            }
            _ => return false,
        }
        true
    }

    fn may_start(&self, deployment: &Deployment) -> bool {
        let Some(stack) = self.stacks.get(&deployment.stack) else { return false };
        let paused = stack.paused || self.organizations.get(&stack.organization).is_some_and(|o| o.paused);
        let before = |other: &Deployment| {
            let queued = other.status == DeploymentStatus::NotStarted && other.version < deployment.version;
            other.stack == deployment.stack && (other.status.is_active() || queued)
        };
        !paused && !self.live.iter().map(|at| &self.deployments[*at]).any(before)
    }

    fn start_of(&self, deployment: &Deployment) -> Timestamp {
        let free = self.stacks.get(&deployment.stack).and_then(|stack| stack.free_at);
        free.map_or(deployment.created_at, |free| free.max(deployment.created_at))
    }

    fn start(&mut self, now: Timestamp, at: usize) {
        let deployment = &self.deployments[at];
        let newer = |other: &Deployment| {
            let queued = other.status == DeploymentStatus::NotStarted && other.created_at <= now;
            other.stack == deployment.stack && queued && other.version > deployment.version
        };
        if deployment.skips_intermediates() && self.deployments.iter().any(newer) {
            return self.move_deployment(now, at, DeploymentStatus::Skipped);
        }
        self.deployments[at].due = Some(later(now, self.timing_of(at).accept_ms));
        self.move_deployment(now, at, DeploymentStatus::Accepted);
    }

    fn run(&mut self, now: Timestamp, at: usize) {
        let timing = self.timing_of(at);
        let deployment = &mut self.deployments[at];
        deployment.started_at = Some(now);
        deployment.due = Some(later(now, timing.run_ms));
        let (stack, kind) = (deployment.stack.clone(), deployment.update_kind().to_owned());
        self.move_deployment(now, at, DeploymentStatus::Running);
        self.write(now, at, Some("Get source"), "Cloned the repository");
        self.write(now, at, Some("Pulumi operation"), &format!("pulumi {kind} --stack {stack}"));
        let environments = self.stacks.get(&stack).map(|stack| stack.environments.clone()).unwrap_or_default();
        let organization = stack.split('/').next().unwrap_or_default().to_owned();
        for environment in environments {
            let environment = format!("{organization}/{environment}");
            let opened = match self.runs_as(at) {
                Some(login) => self.open_environment(now, &environment, &login),
                None => Err(Refusal::new(401, "Unauthorized: the access token of the stack is invalid")),
            };
            if let Err(refusal) = opened {
                self.write(now, at, None, &format!("error: opening environment {environment}: {refusal}"));
                return self.end(now, at, DeploymentStatus::Failed);
            }
            self.write(now, at, None, &format!("Opened environment {environment}"));
        }
    }

    /// Whom a deployment opens its environments as: the token or the role in its settings, or who created it.
    fn runs_as(&self, at: usize) -> Option<String> {
        let deployment = &self.deployments[at];
        if let Some(token) = deployment.variables().get("PULUMI_ACCESS_TOKEN") {
            return self.tokens.get(&token.value).map(|token| token.login.clone());
        }
        match deployment.settings["operationContext"]["role"]["id"].as_str() {
            Some(role) => Some(format!("role:{role}")),
            None => Some(deployment.created_by.clone()),
        }
    }

    fn finish(&mut self, now: Timestamp, at: usize, succeeds: bool) {
        let text = if succeeds { "Resources: all as wanted" } else { "error: update failed" };
        self.write(now, at, None, text);
        if let Some(stack) = self.stacks.get_mut(&self.deployments[at].stack) {
            stack.version += 1;
        }
        self.end(now, at, if succeeds { DeploymentStatus::Succeeded } else { DeploymentStatus::Failed });
    }

    fn end(&mut self, now: Timestamp, at: usize, status: DeploymentStatus) {
        if let Some(stack) = self.stacks.get_mut(&self.deployments[at].stack) {
            stack.free_at = Some(now);
        }
        self.deployments[at].due = None;
        self.move_deployment(now, at, status);
    }

    fn move_deployment(&mut self, now: Timestamp, at: usize, status: DeploymentStatus) {
        let deployment = &mut self.deployments[at];
        let before = std::mem::replace(&mut deployment.status, status);
        deployment.modified_at = now;
        let happened = Happened::DeploymentMoved {
            id: deployment.id.clone(),
            stack: deployment.stack.clone(),
            from: before.word().to_owned(),
            to: status.word().to_owned(),
        };
        self.record(now, None, happened);
        self.announce_deployment(now, at);
    }

    fn write(&mut self, now: Timestamp, at: usize, header: Option<&str>, line: &str) {
        let line = LogLine { at: now, header: header.map(str::to_owned), line: line.to_owned() };
        self.deployments[at].log.push(line);
    }

    fn timing_of(&self, at: usize) -> Timing {
        self.stacks.get(&self.deployments[at].stack).and_then(|stack| stack.timing).unwrap_or(self.timing)
    }
}
