//! Webhooks: what is announced to whom, signed, and what may go wrong on the way.

use std::collections::VecDeque;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use super::deployments::DeploymentStatus;
use super::history::Happened;
use super::{Cloud, later};

/// How many deliveries a webhook remembers.
const REMEMBERED: usize = 200;

/// A registered webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name within what it hangs on.
    pub name: String,
    /// What it hangs on: `organization`, or `organization/project/name` of a stack or an environment.
    pub on: HookScope,
    /// Its name for people.
    pub display_name: String,
    /// Whether it gets anything.
    pub active: bool,
    /// Where its deliveries go.
    pub url: String,
    /// What they are signed under; empty: they are not.
    pub secret: String,
    /// Single events; with no filters and no groups it gets everything.
    pub filters: Vec<String>,
    /// Groups of events.
    pub groups: Vec<String>,
    /// `raw`, or whatever was asked for.
    pub format: String,
    pub(crate) deliveries: VecDeque<Delivered>,
}

/// What a webhook hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookScope {
    /// An organization.
    Organization(String),
    /// A stack, `organization/project/stack`.
    Stack(String),
    /// An environment, `organization/project/environment`.
    Environment(String),
}

impl HookScope {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Organization(key) | Self::Stack(key) | Self::Environment(key) => key,
        }
    }

    pub(crate) fn organization(&self) -> &str {
        self.key().split('/').next().unwrap_or_default()
    }
}

/// A delivery to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, as in the header.
    pub id: String,
    /// Its kind, as in the header.
    pub kind: String,
    /// Where it goes.
    pub url: String,
    /// Its headers, `Content-Type` and the signature among them.
    pub headers: Vec<(String, String)>,
    /// The exact bytes that are signed.
    pub body: Vec<u8>,
}

/// What is remembered of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) delivery: Delivery,
    pub(crate) at: Timestamp,
    pub(crate) status: u16,
    pub(crate) answer: String,
    pub(crate) millis: i64,
}

/// What may happen to deliveries, each with a probability from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookFaults {
    /// It never comes.
    pub lost: f64,
    /// It comes twice, with the same id.
    pub doubled: f64,
    /// It comes late, by up to `delay_ms`.
    pub delayed: f64,
    /// How late, in milliseconds, at most.
    pub delay_ms: u32,
    /// It overtakes what was to be sent before it.
    pub reordered: f64,
}

impl Cloud {
    /// Registers a webhook. Give no groups and no filters for everything.
    pub fn webhook(&mut self, on: HookScope, name: &str, url: &str, secret: &str, groups: &[&str]) -> &mut Self {
        self.hooks.retain(|hook| hook.on != on || hook.name != name);
        self.hooks.push(Hook {
            name: name.to_owned(),
            on,
            display_name: name.to_owned(),
            active: true,
            url: url.to_owned(),
            secret: secret.to_owned(),
            filters: Vec::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            format: "raw".to_owned(),
            deliveries: VecDeque::new(),
        });
        self
    }

    /// What may happen to webhook deliveries from now on.
    pub fn set_webhook_faults(&mut self, faults: WebhookFaults) {
        self.webhook_faults = faults;
    }

    /// Takes the deliveries that are to be sent at that moment, in the order in which they are to be sent.
    pub fn take_webhooks(&mut self, now: Timestamp) -> Vec<Delivery> {
        if self.outbox.iter().all(|(at, _)| *at > now) {
            return Vec::new();
        }
        let (due, kept) = std::mem::take(&mut self.outbox).into_iter().partition(|(at, _)| *at <= now);
        self.outbox = kept;
        let mut due: Vec<(Timestamp, Delivery)> = due;
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, delivery)| delivery).collect()
    }

    /// Remembers what a delivery was answered: the status (0 if nothing came back), the body, the time it took.
    pub fn webhook_answered(&mut self, id: &str, status: u16, answer: &str, millis: i64) {
        let all = self.hooks.iter_mut().flat_map(|hook| hook.deliveries.iter_mut());
        for delivered in all.filter(|delivered| delivered.delivery.id == id) {
            (delivered.status, delivered.millis) = (status, millis);
            answer.clone_into(&mut delivered.answer);
        }
    }

    /// Sends a delivery again, the original payload under a new id, which it gives; none if there was no such delivery.
    pub fn redeliver(&mut self, now: Timestamp, id: &str) -> Option<String> {
        let all = self.hooks.iter().enumerate();
        let mut all = all.flat_map(|(index, hook)| hook.deliveries.iter().map(move |delivered| (index, delivered)));
        let (index, found) = all.find(|(_, delivered)| delivered.delivery.id == id)?;
        let (kind, body) = (found.delivery.kind.clone(), found.delivery.body.clone());
        Some(self.deliver(now, index, &kind, body))
    }

    pub(crate) fn announce(&mut self, now: Timestamp, by: &str, id: &str, action: &str) {
        let Some(request) = self.change_request(id) else { return };
        let (environment, event) = (request.environment.clone(), format!("change_request_{action}"));
        let (project, name) = request.qualified_name().split_once('/').unwrap_or_default();
        let payload = json!({
            "user": self.user_info(by), "organization": self.organization_info(request.organization()),
            "action": event, "changeRequestId": id, "projectName": project, "environmentName": name,
            "status": request.status.word(),
        });
        self.send(now, &HookScope::Environment(environment), "change_request", &event, "change_requests", &payload);
    }

    pub(crate) fn announce_environment(&mut self, now: Timestamp, environment: &str, action: &str) {
        let mut parts = environment.splitn(3, '/');
        let payload = json!({
            "user": {"name": "Pulumi", "githubLogin": "pulumi", "avatarUrl": ""},
            "organization": self.organization_info(parts.next().unwrap_or_default()),
            "projectName": parts.next(), "environmentName": parts.next(), "action": action,
        });
        self.send(now, &HookScope::Environment(environment.into()), "environment", action, "environments", &payload);
    }

    pub(crate) fn announce_deployment(&mut self, now: Timestamp, at: usize) {
        let deployment = &self.deployments[at];
        let event = match deployment.status {
            DeploymentStatus::NotStarted => "deployment_queued",
            DeploymentStatus::Accepted => return,
            DeploymentStatus::Running => "deployment_started",
            DeploymentStatus::Succeeded => "deployment_succeeded",
            DeploymentStatus::Failed | DeploymentStatus::Skipped => "deployment_failed",
        };
        let mut parts = deployment.stack.splitn(3, '/');
        let payload = json!({
            "user": self.user_info(&deployment.created_by),
            "organization": self.organization_info(parts.next().unwrap_or_default()),
            "projectName": parts.next(), "stackName": parts.next(),
            "deploymentUrl": format!("{}/{}/deployments/{}", self.console_url, deployment.stack, deployment.version),
            "version": deployment.version, "operation": deployment.operation, "status": deployment.status.word(),
        });
        let stack = HookScope::Stack(deployment.stack.clone());
        self.send(now, &stack, "deployment", event, "deployments", &payload);
    }

    fn organization_info(&self, login: &str) -> Value {
        let name = self.organizations.get(login).map_or(login, |organization| organization.name.as_str());
        json!({"name": name, "githubLogin": login, "avatarUrl": ""})
    }

    fn send(&mut self, now: Timestamp, about: &HookScope, kind: &str, event: &str, group: &str, payload: &Value) {
        for index in 0..self.hooks.len() {
            let hook = &self.hooks[index];
            let concerned = match &hook.on {
                HookScope::Organization(name) => name == about.organization(),
                other => other == about,
            };
            let everything = hook.filters.is_empty() && hook.groups.is_empty();
            let wanted =
                everything || hook.filters.iter().any(|f| f == event) || hook.groups.iter().any(|g| g == group);
            if hook.active && concerned && wanted {
                self.deliver(now, index, kind, payload.to_string().into_bytes());
            }
        }
    }

    /// Puts a delivery on its way, or loses it, as the faults will have it. Gives its id.
    pub(crate) fn deliver(&mut self, now: Timestamp, hook: usize, kind: &str, body: Vec<u8>) -> String {
        let id = self.ids.uuid();
        let hook = &mut self.hooks[hook];
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Pulumi-Webhook-ID".to_owned(), id.clone()),
            ("Pulumi-Webhook-Kind".to_owned(), kind.to_owned()),
        ];
        if !hook.secret.is_empty() {
            headers.push(("Pulumi-Webhook-Signature".to_owned(), signature(&hook.secret, &body)));
        }
        let delivery = Delivery { id: id.clone(), kind: kind.to_owned(), url: hook.url.clone(), headers, body };
        let remembered = Delivered { delivery: delivery.clone(), at: now, status: 0, answer: String::new(), millis: 0 };
        hook.deliveries.push_front(remembered);
        hook.deliveries.truncate(REMEMBERED);

        let faults = self.webhook_faults;
        let lost = self.mishaps.happens(faults.lost);
        self.record(now, None, Happened::WebhookMade { id: id.clone(), kind: kind.to_owned(), lost });
        if lost {
            return id;
        }
        let late = |cloud: &mut Self| {
            let millis = cloud.mishaps.next() % (u64::from(faults.delay_ms) + 1);
            later(now, i64::try_from(millis).unwrap_or(0))
        };
        let at = if self.mishaps.happens(faults.delayed) { late(self) } else { now };
        if self.mishaps.happens(faults.doubled) {
            let again = late(self);
            self.outbox.push((again, delivery.clone()));
        }
        if self.mishaps.happens(faults.reordered) {
            // Held back for a moment: what comes next overtakes it.
            self.outbox.push((later(at, 150), delivery));
        } else {
            self.outbox.push((at, delivery));
        }
        id
    }
}

/// The lower-case hex HMAC-SHA256 of a body under a secret, as in `Pulumi-Webhook-Signature`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
