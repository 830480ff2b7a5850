//! The answers about people and change requests, as they stand on the wire. Fields that nothing rests on are left out or may be missing; a field that a
//! decision rests on is required, and an answer without it can't be read.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signoff_core::cloud::{ApprovalNow, ChangeRequestNow, Identity, Machine, Role, Ruleset, RulesetNow};
use signoff_core::names::{EnvironmentName, Login, Organization};
use signoff_core::request::ChangeRequestStatus;

/// The only kind of rule there is so far.
const APPROVAL: &str = "approval_required";
/// Stands for somebody whose login can't be read. No login at Pulumi Cloud has brackets.
const NOBODY: &str = "(unknown)";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person {
    github_login: String,
}

impl Person {
    /// The login, if it is one.
    pub(super) fn login(&self) -> Option<Login> {
        self.github_login.parse().ok()
    }

    /// The login, or one that is nobody's: a person who can't be named still did what they did.
    pub(super) fn or_nobody(&self) -> Option<Login> {
        self.login().or_else(|| NOBODY.parse().ok())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    github_login: String,
    #[serde(default)]
    name: Option<String>,
    organizations: Vec<Membership>,
    #[serde(default)]
    token_info: Option<TokenInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    github_login: String,
    #[serde(default)]
    role: String,
}

#[derive(Deserialize)]
struct TokenInfo {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default)]
    team: Option<String>,
}

impl User {
    /// Whose token it is; `None` if the login is not one.
    pub(super) fn identity(self) -> Option<Identity> {
        let organizations = self.organizations.iter().filter_map(|membership| {
            Some((membership.github_login.parse::<Organization>().ok()?, role(&membership.role)))
        });
        Some(Identity {
            login: self.github_login.parse().ok()?,
            organizations: organizations.collect(),
            name: self.name.unwrap_or_default(),
            machine: self.token_info.map(|token| Machine {
                name: token.name.unwrap_or_default(),
                organization: token.organization.unwrap_or_default(),
                team: token.team.unwrap_or_default(),
            }),
        })
    }
}

/// Of Pulumi Cloud's word for it.
pub(super) fn role(word: &str) -> Role {
    match word {
        "admin" => Role::Admin,
        "member" => Role::Member,
        "stack-collaborator" => Role::StackCollaborator,
        _ => Role::Other,
    }
}

#[derive(Deserialize)]
pub(super) struct Gates {
    pub(super) gates: Vec<Gate>,
}

#[derive(Deserialize)]
pub(super) struct Gate {
    id: String,
    #[serde(default)]
    name: Option<String>,
    enabled: bool,
    #[serde(default)]
    rule: Value,
    target: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    action_types: Vec<String>,
    #[serde(default)]
    entity_type: Option<String>,
    #[serde(default)]
    qualified_name: Option<String>,
    #[serde(default)]
    entity_info: Option<Entity>,
}

impl Gate {
    /// The ruleset, if it is one of this environment's.
    pub(super) fn ruleset_of(self, environment: &EnvironmentName) -> Option<Ruleset> {
        let of_environments = self.target.entity_type.is_none_or(|kind| kind == "environment");
        let by_name = self.target.qualified_name.map(|name| name == environment.qualified());
        let by_info =
            self.target.entity_info.map(|info| info.environment_of(environment).as_ref() == Some(environment));
        let named = match (by_name, by_info) {
            (None, None) => true,
            (by_name, by_info) => by_name.unwrap_or(false) || by_info.unwrap_or(false),
        };
        (of_environments && named).then(|| Ruleset {
            id: self.id,
            name: self.name.unwrap_or_default(),
            enabled: self.enabled,
            gates_open: self.target.action_types.iter().any(|action| action == "open"),
            asks_for_approval: self.rule["ruleType"] == APPROVAL,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    #[serde(default)]
    entity_type: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    name: String,
}

impl Entity {
    fn environment(&self, organization: &str) -> Option<EnvironmentName> {
        let name = format!("{organization}/{}/{}", self.project, self.name).parse();
        name.ok().filter(|_| self.entity_type == "environment")
    }

    fn environment_of(&self, other: &EnvironmentName) -> Option<EnvironmentName> {
        self.environment(other.organization.as_str())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    pub(super) change_requests: Vec<CreatedRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedRequest {
    pub(super) change_request_id: String,
    pub(super) project_name: String,
    pub(super) environment_name: String,
    pub(super) latest_revision_number: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Durations {
    pub(super) access_duration_seconds: i64,
    pub(super) grant_expiration_seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeRequest {
    pub(super) id: String,
    /// Which organization it belongs to. No answer says which name the id stands for, but it stays the same.
    #[serde(rename = "orgID")]
    pub(super) organization: String,
    status: String,
    latest_revision_number: i64,
    pub(super) created_by: Person,
    created_at: Timestamp,
    #[serde(default)]
    description: Option<String>,
    action: String,
    entity: Entity,
}

impl ChangeRequest {
    /// What it says, without its rulesets.
    pub(super) fn now(self, organization: &Organization, created_by: Login) -> ChangeRequestNow {
        ChangeRequestNow {
            status: ChangeRequestStatus::from(self.status),
            revision: self.latest_revision_number,
            created_by,
            created_at: self.created_at,
            description: self.description.unwrap_or_default(),
            is_open: self.action == "open",
            environment: self.entity.environment(organization.as_str()),
            satisfied: false,
            rulesets: Vec::new(),
            id: self.id,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EvaluatedRequest {
    #[serde(flatten)]
    pub(super) request: ChangeRequest,
    pub(super) gate_evaluation: Evaluation,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evaluation {
    pub(super) satisfied: bool,
    pub(super) applicable_gates: Vec<EvaluatedGate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EvaluatedGate {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    rule_details: Value,
}

impl EvaluatedGate {
    /// How the ruleset stands. Details that can't be read are those of a kind of rule never seen before.
    pub(super) fn now(self) -> RulesetNow {
        let rule = &self.rule_details;
        let required = rule["requiredApprovals"].as_i64().filter(|_| rule["ruleType"] == APPROVAL);
        let approval = required.zip(rule["approvers"].as_array()).map(|(required, approvers)| ApprovalNow {
            required,
            approvers: approvers.iter().filter_map(|person| person["githubLogin"].as_str()?.parse().ok()).collect(),
        });
        RulesetNow { id: self.id, name: self.name.unwrap_or_default(), approval }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeRequests {
    pub(super) change_requests: Vec<ChangeRequest>,
    #[serde(default)]
    pub(super) continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    pub(super) events: Vec<HistoryEvent>,
    #[serde(default)]
    pub(super) continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryEvent {
    pub(super) event_type: String,
    #[serde(default)]
    pub(super) change_request_id: Option<String>,
    #[serde(default)]
    pub(super) new_status: Option<String>,
    pub(super) created_by: Person,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    pub(super) comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StackPermissions {
    #[serde(default)]
    pub(super) explicit_permission: Option<i64>,
    #[serde(default)]
    pub(super) organization_default: Option<i64>,
    pub(super) organization_role: String,
    #[serde(default)]
    pub(super) team_permissions: Option<Vec<TeamPermission>>,
    #[serde(default)]
    pub(super) user_info: Option<Person>,
}

#[derive(Deserialize)]
pub(super) struct TeamPermission {
    #[serde(default)]
    pub(super) permission: Option<i64>,
}
