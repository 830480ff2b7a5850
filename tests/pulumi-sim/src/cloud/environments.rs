//! Environments, who may open them, and the grants that let somebody in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::history::Happened;
use super::people::EnvironmentPermission;
use super::{Cloud, Context, later};

/// An ESC environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// What it imports, each as `project/environment` of the same organization.
    pub imports: Vec<String>,
    /// What single people may do with it, by login in lower case.
    pub permissions: BTreeMap<String, EnvironmentPermission>,
}

/// Somebody's leave to open a gated environment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The change request that was applied.
    pub change_request: String,
    /// `organization/project/environment`.
    pub environment: String,
    /// Whose it is.
    pub grantee: String,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Until when the first open has to come.
    pub expires_at: Timestamp,
    /// For how many seconds from the first open it lets in.
    pub access_seconds: i64,
    /// The first open, if there was one.
    pub first_opened_at: Option<Timestamp>,
}

impl Grant {
    /// Whether it lets its holder in at that moment: before the first open until it expires, from then on for the
    /// whole access duration, even past the expiration.
    pub fn is_active(&self, now: Timestamp) -> bool {
        match self.first_opened_at {
            None => now < self.expires_at,
            Some(opened) => now < later(opened, self.access_seconds.saturating_mul(1000)),
        }
    }
}

/// A session that an open made.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    environment: String,
    login: String,
    until: Timestamp,
}

impl Cloud {
    /// All environments by `organization/project/environment`.
    pub fn environments(&self) -> impl Iterator<Item = (&str, &Environment)> {
        self.environments.iter().map(|(name, environment)| (name.as_str(), environment))
    }

    /// All grants that ever were.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The environment itself and all it imports, directly or not, each once, as far as opens of them are gated.
    pub(crate) fn gated_closure(&self, environment: &str) -> Vec<String> {
        let organization = environment.split('/').next().unwrap_or_default();
        let mut all = vec![environment.to_owned()];
        let mut next = 0;
        while let Some(name) = all.get(next).cloned() {
            let imports = self.environments.get(&name).map_or(&[][..], |e| e.imports.as_slice());
            for import in imports.iter().map(|import| format!("{organization}/{import}")) {
                if !all.contains(&import) {
                    all.push(import);
                }
            }
            next += 1;
        }
        all.retain(|name| self.is_gated(name));
        all
    }

    /// Opens an environment (`organization/project/environment`) as somebody, as a run or a person does it: needs the
    /// permission to open and, for it and each of its imports that is gated, an active grant. The first open starts
    /// the access duration of the grants that were used.
    pub fn open_environment(&mut self, now: Timestamp, environment: &str, login: &str) -> Result<(), Refusal> {
        let missing = || Refusal::not_found(&format!("environment '{environment}'"));
        let permission = self.environment_permission(environment, login);
        if !self.environments.contains_key(environment) || permission == EnvironmentPermission::None {
            return Err(missing());
        }
        if permission < EnvironmentPermission::Open {
            return Err(Refusal::forbidden(format!("Forbidden: {login} may not open environment '{environment}'")));
        }
        let gated = self.gated_closure(environment);
        let mut used = Vec::new();
        for name in &gated {
            let candidates = self.grants.iter().enumerate().filter(|(_, grant)| {
                grant.environment == *name && grant.grantee.eq_ignore_ascii_case(login) && grant.is_active(now)
            });
            // One that runs already is used up before another is started.
            match candidates.min_by_key(|(_, grant)| (grant.first_opened_at.is_none(), grant.expires_at)) {
                Some((index, _)) => used.push(index),
                None => {
                    let (environment, identity) = (name.clone(), login.to_owned());
                    self.record(now, Some(login), Happened::OpenRefused { environment, identity });
                    return Err(Refusal::forbidden(self.refusal.replace("{environment}", name)));
                }
            }
        }
        for index in used {
            self.grants[index].first_opened_at.get_or_insert(now);
        }
        let happened = Happened::EnvironmentOpened {
            environment: environment.to_owned(),
            identity: login.to_owned(),
            gated: !gated.is_empty(),
        };
        self.record(now, Some(login), happened);
        Ok(())
    }

    /// Deletes an environment with its rulesets; its open change requests are closed.
    pub fn delete_environment(&mut self, now: Timestamp, environment: &str) -> bool {
        let Some((organization, qualified)) = environment.split_once('/') else { return false };
        if self.environments.remove(environment).is_none() {
            return false;
        }
        self.close_all(now, environment);
        self.gates.retain(|gate| gate.organization != organization || gate.qualified_name != qualified);
        self.record(now, None, Happened::Deleted { what: environment.to_owned() });
        self.announce_environment(now, environment, "environment_deleted");
        true
    }

    pub(crate) fn visible_environment(&self, cx: &Context<'_>, environment: &str) -> Result<(), Refusal> {
        let permission = self.environment_permission(environment, &cx.login);
        if !self.environments.contains_key(environment) || permission < EnvironmentPermission::Read {
            return Err(Refusal::not_found(&format!("environment '{environment}'")));
        }
        Ok(())
    }

    pub(crate) fn post_open(&mut self, cx: &Context<'_>, environment: &str) -> Result<Reply, Refusal> {
        let seconds = match cx.call.query("duration") {
            None => 7200,
            Some(text) => seconds(text).ok_or_else(|| Refusal::bad("invalid duration"))?,
        };
        self.open_environment(cx.now, environment, &cx.login)?;
        let id = self.ids.uuid();
        let until = later(cx.now, seconds * 1000);
        let session = Session { environment: environment.to_owned(), login: cx.login.clone(), until };
        self.sessions.insert(id.clone(), session);
        Ok(Reply::json(200, &json!({"id": id})))
    }

    pub(crate) fn get_session(&self, cx: &Context<'_>, environment: &str, id: &str) -> Result<Reply, Refusal> {
        let session = self.sessions.get(id).filter(|session| {
            session.environment == environment && session.login == cx.login && cx.now < session.until
        });
        session.ok_or_else(|| Refusal::not_found("session"))?;
        let values = json!({"properties": {"simulated": {"value": true, "trace": {}}}});
        match cx.call.query("property") {
            None => Ok(Reply::json(200, &values)),
            Some(property) => match values["properties"].get(property) {
                Some(value) => Ok(Reply::json(200, value)),
                None => Err(Refusal::not_found("path")),
            },
        }
    }
}

/// Seconds of a Go duration as simple as `90s`, `5m` or `2h`.
fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<i64>().ok().filter(|n| (1..=1_000_000).contains(n)).map(|n| n * unit)
}

pub(crate) fn durations(body: &Value) -> Result<(i64, i64), Refusal> {
    const LONGEST: i64 = 10 * 365 * 86_400;
    let read = |name: &str| {
        let value = body[name].as_i64().filter(|n| (1..=LONGEST).contains(n));
        value.ok_or_else(|| Refusal::bad(format!("{name} must be a positive number of seconds")))
    };
    Ok((read("grantExpirationSeconds")?, read("accessDurationSeconds")?))
}
