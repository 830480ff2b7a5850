//! Stacks, their deployment settings, and pausing.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::history::Happened;
use super::people::Permission;
use super::settings;
use super::{Cloud, Context};

/// A stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Its id.
    pub id: String,
    /// The organization.
    pub organization: String,
    /// The project.
    pub project: String,
    /// The name within the project.
    pub name: String,
    /// The environments that its configuration opens, as `project/environment`.
    pub environments: Vec<String>,
    /// What single people may do on it, by login in lower case.
    pub permissions: BTreeMap<String, Permission>,
    /// Its deployment settings, with the secrets in them; none: there are no settings.
    pub settings: Option<Value>,
    /// How often the settings were changed.
    pub settings_version: i64,
    /// Whether its deployments are paused.
    pub paused: bool,
    /// Deployments stay running until this is false again.
    pub hold: bool,
    /// How long its deployments take, if not as everywhere.
    pub timing: Option<Timing>,
    /// How the next deployments that get that far end: true for succeeded. Empty: all succeed.
    pub outcomes: VecDeque<bool>,
    /// How many updates it saw.
    pub version: i64,
    /// Since when nothing runs on it, if something did.
    pub(crate) free_at: Option<Timestamp>,
}

/// How long the phases of a deployment take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From accepted to running.
    pub accept_ms: i64,
    /// From running to the end.
    pub run_ms: i64,
}

impl Stack {
    /// `organization/project/stack`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.organization, self.project, self.name)
    }
}

/// What a stack is like; a builder for tests.
#[derive(Debug, Clone, Default)]
pub struct StackSetup {
    pub(crate) settings: Option<Value>,
    pub(crate) environments: Vec<String>,
}

impl StackSetup {
    /// A stack that deploys a branch of a git repository.
    pub fn git(url: &str, branch: &str) -> Self {
        let settings = json!({"sourceContext": {"git": {"repoUrl": url, "branch": branch}}});
        Self { settings: Some(settings), environments: Vec::new() }
    }

    /// A stack without deployment settings.
    pub fn bare() -> Self {
        Self::default()
    }

    /// The same, with one more environment (`project/environment`) in its configuration.
    #[must_use]
    pub fn opens(mut self, environment: &str) -> Self {
        self.environments.push(environment.to_owned());
        self
    }

    /// The same, with a plain environment variable in its deployment settings.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.with_variable(name, json!(value))
    }

    /// The same, with a secret environment variable in its deployment settings.
    #[must_use]
    pub fn secret(self, name: &str, value: &str) -> Self {
        self.with_variable(name, json!({"secret": value}))
    }

    /// The same, with a role that its deployments take.
    #[must_use]
    pub fn role(mut self, id: &str) -> Self {
        let role = json!({"operationContext": {"role": {"id": id, "name": id}}});
        self.settings = Some(settings::merge(&self.settings.unwrap_or(json!({})), &role));
        self
    }

    fn with_variable(mut self, name: &str, value: Value) -> Self {
        let variables = json!({"operationContext": {"environmentVariables": {name: value}}});
        let variables = settings::normal(&variables);
        self.settings = Some(settings::merge(&self.settings.unwrap_or(json!({})), &variables));
        self
    }
}

impl Cloud {
    /// All stacks.
    pub fn stacks(&self) -> impl Iterator<Item = &Stack> {
        self.stacks.values()
    }

    /// A stack by `organization/project/stack`.
    pub fn stack_of(&self, stack: &str) -> Option<&Stack> {
        self.stacks.get(stack)
    }

    /// A stack by `organization/project/stack`, to look at or to change.
    pub fn stack_mut(&mut self, stack: &str) -> Option<&mut Stack> {
        self.stacks.get_mut(stack)
    }

    /// Pauses or resumes the deployments of a stack (`organization/project/stack`) or of a whole organization.
    pub fn set_paused(&mut self, now: Timestamp, what: &str, paused: bool) -> bool {
        match (self.stacks.get_mut(what), self.organizations.get_mut(what)) {
            (Some(stack), _) => {
                stack.paused = paused;
                stack.free_at = Some(now);
            }
            (None, Some(organization)) => {
                organization.paused = paused;
                let of = |stack: &&mut Stack| stack.organization == what;
                self.stacks.values_mut().filter(of).for_each(|stack| stack.free_at = Some(now));
            }
            (None, None) => return false,
        }
        self.record(now, None, Happened::Paused { what: what.to_owned(), paused });
        true
    }

    /// Lets the deployments of a stack go on after `hold`, or holds them while they run.
    pub fn set_hold(&mut self, stack: &str, hold: bool) -> bool {
        self.stacks.get_mut(stack).map(|found| found.hold = hold).is_some()
    }

    /// Plans how the next deployment that gets to run on a stack ends.
    pub fn plan_outcome(&mut self, stack: &str, succeeds: bool) -> bool {
        self.stacks.get_mut(stack).map(|found| found.outcomes.push_back(succeeds)).is_some()
    }

    /// Replaces the deployment settings of a stack (in the shape of the API); none deletes them.
    pub fn change_settings(&mut self, now: Timestamp, by: Option<&str>, stack: &str, new: Option<&Value>) -> bool {
        let Some(found) = self.stacks.get_mut(stack) else { return false };
        // Settings that are deleted and made anew begin to count again.
        found.settings_version = new.map_or(0, |_| found.settings_version + 1);
        found.settings = new.map(settings::normal);
        let version = new.map(|_| found.settings_version);
        self.record(now, by, Happened::SettingsChanged { stack: stack.to_owned(), version });
        true
    }

    /// Merges some deployment settings over those of a stack.
    pub fn patch_settings(&mut self, now: Timestamp, by: Option<&str>, stack: &str, change: &Value) -> bool {
        let Some(found) = self.stacks.get(stack) else { return false };
        let before = found.settings.clone().unwrap_or(json!({}));
        let merged = settings::merge(&before, &settings::normal(change));
        self.change_settings(now, by, stack, Some(&merged))
    }

    /// Deletes a stack with its deployments.
    pub fn delete_stack(&mut self, now: Timestamp, stack: &str) -> bool {
        if self.stacks.remove(stack).is_none() {
            return false;
        }
        self.deployments.retain(|deployment| deployment.stack != stack);
        self.live = (0..self.deployments.len()).filter(|at| !self.deployments[*at].status.is_over()).collect();
        self.record(now, None, Happened::Deleted { what: stack.to_owned() });
        true
    }

    pub(crate) fn permitted(&self, cx: &Context<'_>, stack: &str, needed: Permission) -> Result<&Stack, Refusal> {
        let permission = self.permission(stack, &cx.login);
        match self.stacks.get(stack).filter(|_| permission >= Permission::Read) {
            None => Err(Refusal::not_found(&format!("Stack '{stack}'"))),
            Some(_) if permission < needed => {
                Err(Refusal::forbidden(format!("Forbidden: {} lacks permission on stack '{stack}'", cx.login)))
            }
            Some(found) => Ok(found),
        }
    }

    pub(crate) fn get_stack(&self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        let found = self.permitted(cx, stack, Permission::Read)?;
        let running = self.deployments.iter().find(|d| d.stack == stack && d.status.is_active());
        let mut answer = json!({
            "id": found.id, "orgName": found.organization, "projectName": found.project, "stackName": found.name,
            "activeUpdate": running.map_or("", |d| d.update_id.as_str()), "tags": {}, "version": found.version,
        });
        if let Some(environment) = found.environments.first() {
            answer["config"] = json!({"environment": environment});
        }
        if let Some((deployment, started)) = running.and_then(|d| d.started_at.map(|at| (d, at))) {
            answer["currentOperation"] = json!({
                "author": deployment.created_by, "kind": deployment.update_kind(), "started": started.as_second(),
            });
        }
        Ok(Reply::json(200, &answer))
    }

    pub(crate) fn delete_stack_call(&mut self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        let found = self.permitted(cx, stack, Permission::Admin)?;
        if found.version > 0 && cx.call.query("force") != Some("true") {
            return Err(Refusal::bad("Bad Request: stack still has resources"));
        }
        self.delete_stack(cx.now, stack);
        Ok(Reply::empty(204))
    }

    pub(crate) fn get_settings(&self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        let found = self.permitted(cx, stack, Permission::Read)?;
        let kept = found.settings.as_ref().ok_or_else(|| Refusal::not_found("deployment settings"))?;
        let mut answer = settings::masked(kept);
        answer["source"] = json!("api");
        if !self.omit_settings_version {
            answer["version"] = json!(found.settings_version);
        }
        Ok(Reply::json(200, &answer))
    }

    pub(crate) fn write_settings(&mut self, cx: &Context<'_>, stack: &str, merge: bool) -> Result<Reply, Refusal> {
        self.permitted(cx, stack, Permission::Write)?;
        let body = cx.call.object()?;
        settings::check(&body)?;
        if merge {
            self.patch_settings(cx.now, Some(&cx.login), stack, &body);
        } else {
            self.change_settings(cx.now, Some(&cx.login), stack, Some(&body));
        }
        self.get_settings(cx, stack)
    }

    pub(crate) fn delete_settings(&mut self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        let found = self.permitted(cx, stack, Permission::Write)?;
        if found.settings.is_none() {
            return Err(Refusal::not_found("deployment settings"));
        }
        self.change_settings(cx.now, Some(&cx.login), stack, None);
        Ok(Reply::json(200, &json!(true)))
    }
}
