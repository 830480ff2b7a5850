//! The deployment endpoints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::deployments::{Deployment, DeploymentStatus};
use super::people::Permission;
use super::{Cloud, Context};

/// Log lines in one answer, unless the caller asks for fewer.
const LOG_PAGE: usize = 100;

impl Cloud {
    pub(crate) fn post_deployment(&mut self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        self.permitted(cx, stack, Permission::Write)?;
        let id = self.deploy(cx.now, &cx.login, stack, &cx.call.object()?)?;
        let version = self.deployment(&id).map_or(0, |deployment| deployment.version);
        let url = format!("{}/{stack}/deployments/{version}", self.console_url);
        Ok(Reply::json(202, &json!({"id": id, "version": version, "consoleUrl": url})))
    }

    pub(crate) fn list_deployments(&self, cx: &Context<'_>, stack: &str) -> Result<Reply, Refusal> {
        self.permitted(cx, stack, Permission::Read)?;
        self.page_of_deployments(cx, self.deployments.iter().filter(|d| d.stack == stack).collect())
    }

    pub(crate) fn list_organization_deployments(&self, cx: &Context<'_>, organization: &str) -> Result<Reply, Refusal> {
        self.member(organization, &cx.login)?;
        let prefix = format!("{organization}/");
        let visible =
            |d: &&Deployment| d.stack.starts_with(&prefix) && self.permission(&d.stack, &cx.login) >= Permission::Read;
        self.page_of_deployments(cx, self.deployments.iter().filter(visible).collect())
    }

    fn page_of_deployments(&self, cx: &Context<'_>, mut found: Vec<&Deployment>) -> Result<Reply, Refusal> {
        let bounded = |name: &str, default: i64, most: i64| {
            let number = cx.call.number(name)?.unwrap_or(default);
            let inside = usize::try_from(number).ok().filter(|_| (1..=most).contains(&number));
            inside.ok_or_else(|| Refusal::bad(format!("Invalid query parameter: {name}")))
        };
        let (page, size) = (bounded("page", 1, 1_000_000)?, bounded("pageSize", 10, 100)?);
        if cx.call.query("asc") != Some("true") {
            found.reverse();
        }
        let total = found.len();
        let page = found.into_iter().skip((page - 1) * size).take(size);
        let page: Vec<Value> = page.map(|deployment| self.snapshot(deployment)).collect();
        Ok(Reply::json(200, &json!({"deployments": page, "itemsPerPage": size, "total": total})))
    }

    pub(crate) fn get_deployment(&self, cx: &Context<'_>, stack: &str, id: &str) -> Result<Reply, Refusal> {
        let deployment = self.known(cx, stack, |d| d.id == id)?;
        Ok(Reply::json(200, &self.deployment_answer(deployment)))
    }

    pub(crate) fn get_deployment_version(&self, cx: &Context<'_>, stack: &str, n: &str) -> Result<Reply, Refusal> {
        let deployment = self.known(cx, stack, |d| d.version.to_string() == n)?;
        Ok(Reply::json(200, &self.deployment_answer(deployment)))
    }

    pub(crate) fn cancel_deployment(&mut self, cx: &Context<'_>, stack: &str, id: &str) -> Result<Reply, Refusal> {
        self.permitted(cx, stack, Permission::Write)?;
        self.known(cx, stack, |d| d.id == id)?;
        self.cancel(cx.now, &cx.login, id)?;
        Ok(Reply::empty(200))
    }

    pub(crate) fn get_logs(&self, cx: &Context<'_>, stack: &str, id: &str) -> Result<Reply, Refusal> {
        let deployment = self.known(cx, stack, |d| d.id == id)?;
        if let Some(step) = cx.call.number("step")? {
            return step_logs(cx, deployment, step);
        }
        let from = match cx.call.query("continuationToken").filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => token.parse().map_err(|_| Refusal::bad("invalid continuationToken"))?,
        };
        let lines: Vec<Value> = deployment
            .log
            .iter()
            .skip(from)
            .take(LOG_PAGE)
            // The heading goes into the line: a field of its own for it is optional, and few know of it.
            .map(|line| {
                let heading = line.header.as_ref().map_or(String::new(), |header| format!("{header}: "));
                json!({"timestamp": line.at.to_string(), "line": format!("{heading}{}", line.line)})
            })
            .collect();
        let next = from + lines.len();
        let mut answer = json!({"__type": "DeploymentLogs", "lines": lines});
        if next < deployment.log.len() || !deployment.status.is_over() {
            answer["nextToken"] = json!(next.to_string());
        }
        Ok(Reply::json(200, &answer))
    }

    pub(crate) fn get_updates(&self, cx: &Context<'_>, stack: &str, id: &str) -> Result<Reply, Refusal> {
        let deployment = self.known(cx, stack, |d| d.id == id)?;
        let latest = self.stacks.get(stack).map_or(0, |stack| stack.version);
        let updates: Vec<Value> = update_result(deployment)
            .map(|(result, start, end)| {
                json!({
                    "info": {
                        "config": {}, "environment": {}, "kind": deployment.update_kind(), "message": "",
                        "result": result, "startTime": start, "endTime": end, "version": deployment.version,
                    },
                    "latestVersion": latest, "requestedBy": self.user_info(&deployment.created_by),
                    "updateID": deployment.update_id, "version": deployment.version,
                })
            })
            .into_iter()
            .collect();
        Ok(Reply::json(200, &json!(updates)))
    }

    fn known(
        &self,
        cx: &Context<'_>,
        stack: &str,
        which: impl Fn(&Deployment) -> bool,
    ) -> Result<&Deployment, Refusal> {
        self.permitted(cx, stack, Permission::Read)?;
        let found = self.deployments.iter().find(|deployment| deployment.stack == stack && which(deployment));
        found.ok_or_else(|| Refusal::not_found("Deployment"))
    }

    fn base_answer(&self, deployment: &Deployment) -> Value {
        json!({
            "id": deployment.id, "version": deployment.version, "status": deployment.status.word(),
            "created": habit(deployment.created_at), "modified": habit(deployment.modified_at),
            "requestedBy": self.user_info(&deployment.created_by), "initiator": "api",
            "pulumiOperation": deployment.operation, "jobs": jobs(deployment),
        })
    }

    fn snapshot(&self, deployment: &Deployment) -> Value {
        let mut parts = deployment.stack.splitn(3, '/');
        let organization = parts.next().unwrap_or_default();
        let paused = self.stacks.get(&deployment.stack).is_some_and(|stack| stack.paused)
            || self.organizations.get(organization).is_some_and(|organization| organization.paused);
        let mut answer = self.base_answer(deployment);
        answer["projectName"] = json!(parts.next());
        answer["stackName"] = json!(parts.next());
        answer["paused"] = json!(paused);
        let updates = update_result(deployment).map(|(result, start, end)| {
            json!({
                "id": deployment.update_id, "updateID": deployment.update_id, "kind": deployment.update_kind(),
                "environment": {}, "message": "", "result": result, "startTime": start, "endTime": end,
                "version": deployment.version,
            })
        });
        answer["updates"] = json!(updates.into_iter().collect::<Vec<_>>());
        answer
    }

    fn deployment_answer(&self, deployment: &Deployment) -> Value {
        let mut answer = self.base_answer(deployment);
        if deployment.status == DeploymentStatus::NotStarted {
            answer.as_object_mut().and_then(|fields| fields.remove("jobs"));
        }
        let of_stack = self.deployments.iter().filter(|other| other.stack == deployment.stack);
        answer["latestVersion"] = json!(of_stack.map(|other| other.version).max());
        let variables: Vec<Value> = deployment
            .variables()
            .into_iter()
            .map(|(name, variable)| match variable.secret {
                true => json!({"name": name, "secret": true}),
                false => json!({"name": name, "value": variable.value, "secret": false}),
            })
            .collect();
        answer["configuration"] = json!({"environmentVariables": variables});
        let git = &deployment.settings["sourceContext"]["git"];
        if git.is_object() {
            let mut source = json!({"repoURL": git["repoUrl"].as_str().unwrap_or_default()});
            for field in ["branch", "commit", "repoDir"] {
                if git[field].is_string() {
                    source[field] = git[field].clone();
                }
            }
            answer["configuration"]["source"] = json!({"git": source});
        }
        answer
    }
}

fn step_logs(cx: &Context<'_>, deployment: &Deployment, step: i64) -> Result<Reply, Refusal> {
    let count = cx.call.number("count")?.unwrap_or(100);
    let count = usize::try_from(count).ok().filter(|n| (1..=499).contains(n));
    let count = count.ok_or_else(|| Refusal::bad("Count must be less than 500 and more than 0"))?;
    let missing = || Refusal::not_found("Deployment or Run");
    let (offset, step) = (cx.call.number("offset")?.unwrap_or(0), usize::try_from(step).map_err(|_| missing())?);
    let offset = usize::try_from(offset).map_err(|_| Refusal::bad("invalid offset"))?;
    let name = STEPS.get(step).filter(|_| cx.call.query("job").is_none_or(|job| job == "0")).ok_or_else(missing)?;
    let mut under = "";
    let mut lines = Vec::new();
    for line in &deployment.log {
        under = line.header.as_deref().unwrap_or(under);
        if under == *name {
            lines.push(json!({"timestamp": line.at.to_string(), "line": line.line}));
        }
    }
    let page: Vec<&Value> = lines.iter().skip(offset).take(count).collect();
    let mut answer = json!({"__type": "DeploymentLogsStep", "name": name, "lines": page});
    if offset + count < lines.len() {
        answer["nextOffset"] = json!(offset + count);
    }
    Ok(Reply::json(200, &answer))
}

const STEPS: [&str; 2] = ["Get source", "Pulumi operation"];

fn jobs(deployment: &Deployment) -> Value {
    let Some(started) = deployment.started_at else { return json!([]) };
    let last = match deployment.status {
        DeploymentStatus::Running => "running",
        DeploymentStatus::Succeeded => "succeeded",
        _ => "failed",
    };
    let step = |name: &str, status: &str| {
        json!({
            "name": name, "status": status,
            "started": started.to_string(), "lastUpdated": deployment.modified_at.to_string(),
        })
    };
    json!([{
        "status": deployment.status.word(), "started": started.to_string(),
        "lastUpdated": deployment.modified_at.to_string(),
        "steps": [step(STEPS[0], "succeeded"), step(STEPS[1], last)],
    }])
}

/// The result, start and end of the update that a deployment runs, if it came so far.
fn update_result(deployment: &Deployment) -> Option<(&'static str, i64, i64)> {
    let started = deployment.started_at?.as_second();
    match deployment.status {
        DeploymentStatus::Running => Some(("in-progress", started, 0)),
        DeploymentStatus::Succeeded => Some(("succeeded", started, deployment.modified_at.as_second())),
        _ => Some(("failed", started, deployment.modified_at.as_second())),
    }
}

/// A time as Pulumi Cloud writes it in deployments: neither a `T` nor a zone.
fn habit(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}
