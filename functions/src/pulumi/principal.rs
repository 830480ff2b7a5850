//! The calls that signoff makes as one of its principals.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signoff_core::asking::Permission;
use signoff_core::cloud::{
    ChangeRequestNow, CloudError, DEPLOYMENTS_PER_PAGE, DeploymentNow, DeploymentPage, DeploymentStatus, Identity,
    LogPage, NewChangeRequest, NewDeployment, PulumiCloud, Ruleset, Settings, StatusChange, StatusChanges,
};
use signoff_core::mark;
use signoff_core::names::{EnvironmentName, Login, Organization, PrincipalName, StackName};
use signoff_core::request::{ChangeRequestStatus, Deployment};

use super::caller::{STACK_PERMISSION, permission};
use super::client::{Call, PulumiClient, is_segment};
use super::{wire, wire_deployment};
use crate::metrics;
use crate::secrets::{NoSecret, Tokens};

/// An entry of a change request's history.
const APPROVED: &str = "approved_by_user";
/// Pages of a change request's history that are read.
const MAX_HISTORY_PAGES: u32 = 20;
/// Pages of the organization's change requests that are read. The list takes no time, nor says in which order it is, so all of it is read.
const MAX_REQUEST_PAGES: u32 = 100;
/// Change requests that one page is asked to have.
const REQUESTS_PER_PAGE: u32 = 100;

const USER: &str = "/api/user";
const SETTINGS: &str = "/api/stacks/{org}/{project}/{stack}/deployments/settings";
const RULESETS: &str = "/api/change-gates/{org}";
const OPEN_REQUEST: &str = "/api/esc/environments/{org}/{project}/{env}/open/request";
const DURATIONS: &str = "/api/esc/environments/{org}/{project}/{env}/open/request/{id}";
const CHANGE_REQUESTS: &str = "/api/change-requests/{org}";
const CHANGE_REQUEST: &str = "/api/change-requests/{org}/{id}";
const HISTORY: &str = "/api/change-requests/{org}/{id}/events";
const SUBMIT: &str = "/api/change-requests/{org}/{id}/submit";
const APPLY: &str = "/api/change-requests/{org}/{id}/apply";
const CLOSE: &str = "/api/change-requests/{org}/{id}/close";
const DEPLOYMENTS: &str = "/api/stacks/{org}/{project}/{stack}/deployments";
const DEPLOYMENT: &str = "/api/stacks/{org}/{project}/{stack}/deployments/{id}";
const LOGS: &str = "/api/stacks/{org}/{project}/{stack}/deployments/{id}/logs";
const CANCEL: &str = "/api/stacks/{org}/{project}/{stack}/deployments/{id}/cancel";

const UNSPECIFIED: &str = "is not what the specification says";
const ELSEWHERE: &str =
    "is about another organization than the answers before; if that was made anew, signoff has to be started anew";

/// Pulumi Cloud over REST, with the principals' tokens.
#[derive(Debug, Clone)]
pub struct PrincipalClient {
    client: PulumiClient,
    tokens: Tokens,
    /// The ids of organizations, as the first change request that was asked for by its id had them. Only this process knows them.
    organizations: Arc<Mutex<BTreeMap<Organization, String>>>,
}

impl PrincipalClient {
    /// Calls over this client with these tokens.
    pub fn new(client: PulumiClient, tokens: Tokens) -> Self {
        Self { client, tokens, organizations: Arc::default() }
    }

    /// The client that carries the calls out.
    pub fn client(&self) -> &PulumiClient {
        &self.client
    }

    fn organizations(&self) -> MutexGuard<'_, BTreeMap<Organization, String>> {
        self.organizations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn json<T: DeserializeOwned>(&self, principal: &PrincipalName, call: &Call<'_>) -> Result<T, CloudError> {
        call.read(&self.send(principal, call).await?)
    }

    async fn done(&self, principal: &PrincipalName, call: &Call<'_>) -> Result<(), CloudError> {
        call.done(&self.send(principal, call).await?)
    }

    /// What happened to a change request, of these kinds, and by whom, oldest first; and whether that is all.
    async fn history(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
        kinds: &[&str],
    ) -> Result<(Vec<(Login, wire::HistoryEvent)>, bool), CloudError> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..MAX_HISTORY_PAGES {
            let mut call = Call::get(HISTORY, &[organization.as_str(), change_request]);
            if let Some(token) = next.take() {
                call = call.query("continuationToken", token);
            }
            let page: wire::History = self.json(principal, &call).await?;
            if page.events.iter().any(|event| event.change_request_id.as_deref().is_some_and(|id| id != change_request))
            {
                return Err(call.wrong("is about another change request"));
            }
            for event in page.events.into_iter().filter(|event| kinds.contains(&event.event_type.as_str())) {
                let by: Login = event.created_by.or_nobody().ok_or_else(|| call.wrong(UNSPECIFIED))?;
                found.push((by, event));
            }
            next = page.continuation_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        found.sort_by_key(|(_, event)| event.created_at);
        Ok((found, next.is_none()))
    }

    /// Calls with the principal's token, and once more if it was refused and has been replaced in the meantime: only what changes nothing, since the
    /// new one may be somebody else's, and whose it is was asked with the old one.
    async fn send(&self, principal: &PrincipalName, call: &Call<'_>) -> Result<Vec<u8>, CloudError> {
        let missing = |NoSecret(why)| {
            metrics::token_refused();
            CloudError::Unauthorized(why)
        };
        let token = self.tokens.get(principal).await.map_err(missing)?;
        let refused = match self.client.send(call, &token).await {
            Err(CloudError::Unauthorized(why)) => CloudError::Unauthorized(why),
            answer => return answer,
        };
        let fresh = self.tokens.refresh(principal, &token).await.map_err(missing)?;
        if fresh != token && !call.is_get() {
            return Err(refused);
        }
        let answer = if fresh == token { Err(refused) } else { self.client.send(call, &fresh).await };
        if matches!(answer, Err(CloudError::Unauthorized(_))) {
            metrics::token_refused();
        }
        answer
    }
}

fn environment_parts(environment: &EnvironmentName) -> [&str; 3] {
    [environment.organization.as_str(), &environment.project, &environment.name]
}

fn stack_parts(stack: &StackName) -> [&str; 3] {
    [stack.organization.as_str(), &stack.project, &stack.stack]
}

impl PulumiCloud for PrincipalClient {
    async fn identity(&self, principal: &PrincipalName) -> Result<Identity, CloudError> {
        let call = Call::get(USER, &[]);
        let user: wire::User = self.json(principal, &call).await?;
        user.identity().ok_or_else(|| call.wrong("names no login"))
    }

    async fn settings(&self, principal: &PrincipalName, stack: &StackName) -> Result<Settings, CloudError> {
        let call = Call::get(SETTINGS, &stack_parts(stack));
        let answer: Value = self.json(principal, &call).await?;
        let wrong = || call.wrong(UNSPECIFIED);
        let hash = |of: &Value| serde_json_canonicalizer::to_vec(of).map(Sha256::digest).map_err(|_| wrong());
        let (hash, said) = (hash(&answer)?, hash(&wire_deployment::said(&answer))?);
        let read = serde_json::from_value::<wire_deployment::Settings>(answer).map_err(|_| wrong())?;
        let fingerprint = match read.version {
            // Settings that are deleted and made anew may begin to count again: so it is the number and what they say.
            Some(number) => format!("v{number}-{}", &hex::encode(said)[..32]),
            None => format!("h{}", hex::encode(hash)),
        };
        let (has_role, branch) = (read.has_role(), read.branch());
        let variables = read.operation_context.and_then(|context| context.environment_variables).unwrap_or_default();
        Ok(Settings { fingerprint, variables: variables.into_iter().map(|(name, _)| name).collect(), has_role, branch })
    }

    async fn rulesets(
        &self,
        principal: &PrincipalName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Ruleset>, CloudError> {
        // The list takes no continuation token, so its first page is all there is to be had.
        let call = Call::get(RULESETS, &[environment.organization.as_str()])
            .query("entityType", "environment")
            .query("qualifiedName", environment.qualified());
        let answer: wire::Gates = self.json(principal, &call).await?;
        Ok(answer.gates.into_iter().filter_map(|gate| gate.ruleset_of(environment)).collect())
    }

    async fn request_open(
        &self,
        principal: &PrincipalName,
        environment: &EnvironmentName,
        access_seconds: i64,
        expiration_seconds: i64,
    ) -> Result<Vec<NewChangeRequest>, CloudError> {
        let call = Call::post(OPEN_REQUEST, &environment_parts(environment))
            .body(json!({"accessDurationSeconds": access_seconds, "grantExpirationSeconds": expiration_seconds}));
        let answer: wire::Created = self.json(principal, &call).await?;
        let organization = &environment.organization;
        let read = |created: wire::CreatedRequest| {
            let name = format!("{organization}/{}/{}", created.project_name, created.environment_name);
            let (id, revision) = (created.change_request_id, created.latest_revision_number);
            let environment = name.parse().ok().filter(|_| is_segment(&id))?;
            Some(NewChangeRequest { id, environment, revision })
        };
        let created: Option<Vec<NewChangeRequest>> = answer.change_requests.into_iter().map(read).collect();
        let created = created.ok_or_else(|| call.wrong(UNSPECIFIED))?;
        let ids: HashSet<&str> = created.iter().map(|one| one.id.as_str()).collect();
        if created.is_empty() || ids.len() < created.len() {
            return Err(call.wrong(UNSPECIFIED));
        }
        Ok(created)
    }

    async fn durations(
        &self,
        principal: &PrincipalName,
        environment: &EnvironmentName,
        change_request: &str,
    ) -> Result<(i64, i64), CloudError> {
        let [organization, project, name] = environment_parts(environment);
        let call = Call::get(DURATIONS, &[organization, project, name, change_request]);
        let answer: wire::Durations = self.json(principal, &call).await?;
        Ok((answer.access_duration_seconds, answer.grant_expiration_seconds))
    }

    async fn submit(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
        description: &str,
    ) -> Result<(), CloudError> {
        let call = Call::post(SUBMIT, &[organization.as_str(), change_request]);
        self.done(principal, &call.body(json!({"description": description}))).await
    }

    async fn change_request(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> Result<ChangeRequestNow, CloudError> {
        let call = Call::get(CHANGE_REQUEST, &[organization.as_str(), change_request]);
        let answer: wire::EvaluatedRequest = self.json(principal, &call).await?;
        if answer.request.id != change_request {
            return Err(call.wrong("is about another change request"));
        }
        let created_by = answer.request.created_by.login().ok_or_else(|| call.wrong(UNSPECIFIED))?;
        let id = answer.request.organization.clone();
        if *self.organizations().entry(organization.clone()).or_insert_with(|| id.clone()) != id {
            return Err(call.wrong(ELSEWHERE));
        }
        let now = answer.request.now(organization, created_by);
        let rulesets = answer.gate_evaluation.applicable_gates.into_iter().map(wire::EvaluatedGate::now).collect();
        Ok(ChangeRequestNow { satisfied: answer.gate_evaluation.satisfied, rulesets, ..now })
    }

    async fn status_changes(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> Result<StatusChanges, CloudError> {
        let (events, is_whole) = self.history(principal, organization, change_request, &["status_changed"]).await?;
        let change = |(by, event): (Login, wire::HistoryEvent)| {
            let comment = event.comment.filter(|comment| !comment.is_empty());
            let to = event.new_status.map(ChangeRequestStatus::from)?;
            Some(StatusChange { to, by, at: event.created_at, comment })
        };
        Ok(StatusChanges { changes: events.into_iter().filter_map(change).collect(), is_whole })
    }

    async fn withdrawn(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> Result<Vec<Login>, CloudError> {
        let kinds = [APPROVED, "unapproved_by_user"];
        let mut withdrawn: Vec<Login> = Vec::new();
        let (events, is_whole) = self.history(principal, organization, change_request, &kinds).await?;
        // Whoever withdrew may have approved again since.
        if !is_whole {
            return Ok(withdrawn);
        }
        for (by, event) in events {
            withdrawn.retain(|login| *login != by);
            if event.event_type != APPROVED {
                withdrawn.push(by);
            }
        }
        Ok(withdrawn)
    }

    async fn open_requests_since(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        since: Timestamp,
    ) -> Result<Vec<ChangeRequestNow>, CloudError> {
        let mut found = Vec::new();
        let mut next = None;
        let mut id = self.organizations().get(organization).cloned();
        for _ in 0..MAX_REQUEST_PAGES {
            let mut call = Call::get(CHANGE_REQUESTS, &[organization.as_str()])
                .query("entityType", "environment")
                .query("count", REQUESTS_PER_PAGE);
            if let Some(token) = next.take() {
                call = call.query("continuationToken", token);
            }
            let page: wire::ChangeRequests = self.json(principal, &call).await?;
            for request in page.change_requests {
                if *id.get_or_insert_with(|| request.organization.clone()) != request.organization {
                    return Err(call.wrong(ELSEWHERE));
                }
                let created_by = request.created_by.or_nobody().ok_or_else(|| call.wrong(UNSPECIFIED))?;
                found.push(request.now(organization, created_by));
            }
            next = page.continuation_token.filter(|token| !token.is_empty());
            if next.is_none() {
                found.retain(|request| request.is_open && request.created_at >= since);
                return Ok(found);
            }
        }
        Err(CloudError::Unclear(format!("more than {MAX_REQUEST_PAGES} pages of change requests")))
    }

    async fn apply(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
    ) -> Result<(), CloudError> {
        self.done(principal, &Call::post(APPLY, &[organization.as_str(), change_request])).await
    }

    async fn close(
        &self,
        principal: &PrincipalName,
        organization: &Organization,
        change_request: &str,
        comment: &str,
    ) -> Result<(), CloudError> {
        let call = Call::post(CLOSE, &[organization.as_str(), change_request]);
        self.done(principal, &call.body(json!({"comment": comment}))).await
    }

    async fn deployments(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        page: u32,
    ) -> Result<DeploymentPage, CloudError> {
        let call = Call::get(DEPLOYMENTS, &stack_parts(stack))
            .query("page", page)
            .query("pageSize", DEPLOYMENTS_PER_PAGE)
            .query("asc", false);
        let answer: wire_deployment::Deployments = self.json(principal, &call).await?;
        let paused = answer.deployments.iter().any(|deployment| deployment.paused == Some(true));
        let deployments = answer.deployments.into_iter().map(wire_deployment::Snapshot::listed).collect::<Option<_>>();
        let deployments = deployments.ok_or_else(|| call.wrong(UNSPECIFIED))?;
        Ok(DeploymentPage { deployments, paused })
    }

    async fn deployment(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        id: &str,
    ) -> Result<DeploymentNow, CloudError> {
        let [organization, project, name] = stack_parts(stack);
        let call = Call::get(DEPLOYMENT, &[organization, project, name, id]);
        let answer: wire_deployment::Deployment = self.json(principal, &call).await?;
        if answer.id != id {
            return Err(call.wrong("is about another deployment"));
        }
        let url = self.client.deployment_url(stack, answer.version);
        Ok(DeploymentNow {
            deployment: Deployment { id: answer.id.clone(), version: answer.version, url },
            status: DeploymentStatus::of(&answer.status),
            requested_by: answer.requested_by.or_nobody().ok_or_else(|| call.wrong(UNSPECIFIED))?,
            mark: answer.variable(mark::VARIABLE),
            commit: answer.commit(),
            branch: answer.branch(),
            operation: answer.pulumi_operation,
        })
    }

    async fn deploy(&self, principal: &PrincipalName, deployment: &NewDeployment) -> Result<Deployment, CloudError> {
        let stack = &deployment.stack;
        let mut body = json!({
            "operation": deployment.operation.as_str(),
            "inheritSettings": true,
            "operationContext": {"environmentVariables": {mark::VARIABLE: deployment.mark.to_string()}},
        });
        if let Some(commit) = &deployment.commit {
            body["sourceContext"] = json!({"git": {"commit": commit.as_str()}});
        }
        let call = Call::post(DEPLOYMENTS, &stack_parts(stack)).body(body);
        let answer: wire_deployment::NewDeployment = self.json(principal, &call).await?;
        if !is_segment(&answer.id) {
            return Err(call.wrong(UNSPECIFIED));
        }
        // People will click on it.
        let web = |url: &String| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        let url = answer.console_url.filter(web).unwrap_or_else(|| self.client.deployment_url(stack, answer.version));
        Ok(Deployment { id: answer.id, version: answer.version, url })
    }

    async fn was_refused(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        id: &str,
        after: Option<&str>,
    ) -> Result<LogPage, CloudError> {
        let [organization, project, name] = stack_parts(stack);
        let parts = [organization, project, name, id];
        let mut call = Call::get(LOGS, &parts);
        if let Some(after) = after {
            call = call.query("continuationToken", after);
        }
        let page: wire_deployment::Logs = self.json(principal, &call).await?;
        let refused = page.says_refused();
        Ok(LogPage { refused, next: page.next_token.filter(|next| !next.is_empty() && Some(next.as_str()) != after) })
    }

    async fn permission(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        login: &Login,
    ) -> Result<Option<Permission>, CloudError> {
        let parts = [stack.organization.as_str(), login.as_str(), &stack.project, &stack.stack];
        let call = Call::get(STACK_PERMISSION, &parts);
        match self.send(principal, &call).await {
            Err(CloudError::NotFound(_)) => Ok(None),
            answer => permission(&call, &answer?, login).map(Some),
        }
    }

    async fn cancel_deployment(
        &self,
        principal: &PrincipalName,
        stack: &StackName,
        id: &str,
    ) -> Result<(), CloudError> {
        let [organization, project, name] = stack_parts(stack);
        self.done(principal, &Call::post(CANCEL, &[organization, project, name, id])).await
    }
}
