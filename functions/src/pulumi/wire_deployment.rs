//! The answers about deployments and their settings, as they stand on the wire.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value};
use signoff_core::cloud::{DeploymentStatus, Listed};

use super::wire::Person;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) version: Option<i64>,
    #[serde(default)]
    pub(super) operation_context: Option<OperationContext>,
    #[serde(default)]
    source_context: Option<Source>,
}

/// What deployment settings say that a deployment does: without their number, and without secrets, which may look different in each answer.
pub(super) fn said(settings: &Value) -> Value {
    let mut said = without_secrets(settings);
    if let Some(said) = said.as_object_mut() {
        ["version", "tag", "source", "cacheOptions"].into_iter().for_each(|key| drop(said.remove(key)));
    }
    said
}

/// Leaves out what stands under the names that secrets have, and nothing beside it: a variable that somebody calls `secret` must not hide the others.
fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = |(key, value): (&String, &Value)| {
                let is_secret = matches!(key.as_str(), "secret" | "ciphertext") && !value.is_object();
                (key.clone(), if is_secret { Value::Null } else { without_secrets(value) })
            };
            Value::Object(fields.iter().map(said).collect())
        }
        Value::Array(all) => Value::Array(all.iter().map(without_secrets).collect()),
        plain => plain.clone(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationContext {
    #[serde(default)]
    pub(super) environment_variables: Option<Map<String, Value>>,
    #[serde(default)]
    role: Value,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    git: Option<Git>,
}

#[derive(Deserialize)]
struct Git {
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    commit: Option<String>,
}

impl Settings {
    /// Whether they set a role: anything in its place but null and an object with nothing in it.
    pub(super) fn has_role(&self) -> bool {
        match self.operation_context.as_ref().map(|context| &context.role) {
            None | Some(Value::Null) => false,
            Some(Value::Object(role)) => role.values().any(|field| !field.is_null() && field != ""),
            Some(_) => true,
        }
    }

    /// The branch that they name.
    pub(super) fn branch(&self) -> Option<String> {
        let git = self.source_context.as_ref()?.git.as_ref()?;
        git.branch.clone().filter(|branch| !branch.is_empty())
    }
}

#[derive(Deserialize)]
pub(super) struct Deployments {
    pub(super) deployments: Vec<Snapshot>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    id: String,
    version: i64,
    status: String,
    requested_by: Person,
    #[serde(default)]
    pulumi_operation: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    pub(super) paused: Option<bool>,
}

impl Snapshot {
    pub(super) fn listed(self) -> Option<Listed> {
        Some(Listed {
            version: self.version,
            status: DeploymentStatus::of(&self.status),
            requested_by: self.requested_by.or_nobody()?,
            operation: self.pulumi_operation.unwrap_or_default(),
            created: self.created.as_deref().and_then(moment),
            id: self.id,
        })
    }
}

/// A time with or without a zone; without one it is UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let zoneless = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse().ok().or_else(zoneless)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) version: i64,
    pub(super) status: String,
    pub(super) requested_by: Person,
    #[serde(default)]
    pub(super) pulumi_operation: Option<String>,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default)]
    environment_variables: Option<Vec<Variable>>,
    #[serde(default)]
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Variable {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    secret: bool,
}

impl Deployment {
    /// The value of a plain variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let variables = self.configuration.as_ref()?.environment_variables.as_ref()?;
        variables.iter().find(|variable| variable.name == name && !variable.secret)?.value.clone()
    }

    fn git(&self) -> Option<&Git> {
        self.configuration.as_ref()?.source.as_ref()?.git.as_ref()
    }

    /// The commit that it was pinned to.
    pub(super) fn commit(&self) -> Option<String> {
        self.git()?.commit.clone().filter(|commit| !commit.is_empty())
    }

    /// The branch that it ran from.
    pub(super) fn branch(&self) -> Option<String> {
        self.git()?.branch.clone().filter(|branch| !branch.is_empty())
    }
}

/// A page of a deployment's log. The specification requires none of its fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logs {
    #[serde(default)]
    lines: Option<Vec<LogLine>>,
    /// Where the next page is; none or empty: this is the last.
    #[serde(default)]
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    line: Option<String>,
}

impl Logs {
    /// Whether a line says that an environment was not opened, since opens of it have to be approved. How Pulumi Cloud words that is specified nowhere;
    /// what is known is that it speaks of an open request, and of approval.
    pub(super) fn says_refused(&self) -> bool {
        self.lines.iter().flatten().filter_map(|line| line.line.as_ref()).any(|line| {
            let line = line.to_lowercase();
            line.contains("open request") && line.contains("approv")
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewDeployment {
    pub(super) id: String,
    pub(super) version: i64,
    #[serde(default)]
    pub(super) console_url: Option<String>,
}
