//! Open approval rulesets: who has to approve before an environment may be opened.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::history::Happened;
use super::people::EnvironmentPermission;
use super::{ChangeRequest, Cloud, Context};

/// Who may approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eligible {
    /// One user by login.
    User(String),
    /// The members of a team.
    Team(String),
    /// Whoever has a permission on the environment, such as `environment:open`.
    Permission(String),
}

impl Eligible {
    /// One user.
    pub fn user(login: &str) -> Self {
        Self::User(login.to_owned())
    }

    /// A team.
    pub fn team(name: &str) -> Self {
        Self::Team(name.to_owned())
    }

    /// Whoever has the permission.
    pub fn permission(name: &str) -> Self {
        Self::Permission(name.to_owned())
    }
}

/// What a ruleset asks for; a builder for tests, with the habits of the console as defaults.
#[derive(Debug, Clone)]
pub struct Ruleset {
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// How many approvals it takes.
    pub required: i64,
    /// Whether the creator's own approval counts.
    pub allow_self_approval: bool,
    /// Whether a new revision takes new approvals.
    pub reapproval_on_change: bool,
    /// Who may approve.
    pub eligible: Vec<Eligible>,
    /// `open`, `update`, or both.
    pub actions: Vec<String>,
}

impl Ruleset {
    /// An enabled Open ruleset without self-approval that asks for new approvals on change.
    pub fn open(name: &str, required: i64, eligible: impl IntoIterator<Item = Eligible>) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            required,
            allow_self_approval: false,
            reapproval_on_change: true,
            eligible: eligible.into_iter().collect(),
            actions: vec!["open".to_owned()],
        }
    }

    /// The same, with the creator's approval counting.
    #[must_use]
    pub fn with_self_approval(mut self) -> Self {
        self.allow_self_approval = true;
        self
    }

    /// The same, with approvals that outlive a new revision.
    #[must_use]
    pub fn without_reapproval(mut self) -> Self {
        self.reapproval_on_change = false;
        self
    }

    /// The same, switched off.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }
}

/// A ruleset on an environment.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Its id.
    pub id: String,
    /// The organization.
    pub organization: String,
    /// `project/environment`.
    pub qualified_name: String,
    /// What it asks for.
    pub ruleset: Ruleset,
    /// For tests of robustness: evaluations name this kind of rule instead of an approval.
    pub strange_rule_type: Option<String>,
}

impl Gate {
    fn environment(&self) -> String {
        format!("{}/{}", self.organization, self.qualified_name)
    }

    fn applies(&self, environment: &str, action: &str) -> bool {
        self.ruleset.enabled && self.environment() == environment && self.ruleset.actions.iter().any(|a| a == action)
    }
}

/// How a change request stands against one gate.
#[derive(Debug, Clone)]
pub struct GateVerdict {
    /// The gate.
    pub gate: Gate,
    /// Who approved and counts for it.
    pub approvers: Vec<String>,
    /// Whether that is enough.
    pub satisfied: bool,
}

impl Cloud {
    /// All gates.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter()
    }

    /// Whether opens of an environment (`organization/project/environment`) are gated now.
    pub fn is_gated(&self, environment: &str) -> bool {
        self.gates.iter().any(|gate| gate.applies(environment, "open"))
    }

    /// How a change request stands against every gate in force now.
    pub fn verdicts(&self, request: &ChangeRequest) -> Vec<GateVerdict> {
        let gates = self.gates.iter().filter(|gate| gate.applies(&request.environment, "open"));
        gates
            .map(|gate| {
                let counts = |login: &str, revision: i64| {
                    (!gate.ruleset.reapproval_on_change || revision == request.latest_revision())
                        && self.may_approve(gate, request, login)
                };
                let approvals = request.approvals.iter().filter(|a| counts(&a.login, a.revision));
                let approvers: Vec<String> = approvals.map(|a| a.login.clone()).collect();
                let satisfied = approvers.len() as i64 >= gate.ruleset.required;
                GateVerdict { gate: gate.clone(), approvers, satisfied }
            })
            .collect()
    }

    pub(crate) fn may_approve(&self, gate: &Gate, request: &ChangeRequest, login: &str) -> bool {
        let own = request.created_by.eq_ignore_ascii_case(login);
        if (own && !gate.ruleset.allow_self_approval) || self.member(&gate.organization, login).is_err() {
            return false;
        }
        let teams = self.organizations.get(&gate.organization).map(|o| &o.teams);
        gate.ruleset.eligible.iter().any(|eligible| match eligible {
            Eligible::User(user) => user.eq_ignore_ascii_case(login),
            Eligible::Team(team) => teams
                .and_then(|teams| teams.get(team))
                .is_some_and(|team| team.members.contains(&login.to_ascii_lowercase())),
            Eligible::Permission(name) => self.environment_permission(&gate.environment(), login) >= needed_for(name),
        })
    }

    pub(crate) fn evaluation(&self, request: &ChangeRequest) -> Value {
        let verdicts = self.verdicts(request);
        let gates: Vec<Value> = verdicts
            .iter()
            .map(|verdict| {
                let approvers: Vec<Value> = verdict.approvers.iter().map(|login| self.user_info(login)).collect();
                let details = match &verdict.gate.strange_rule_type {
                    Some(strange) => json!({"ruleType": strange}),
                    None => json!({
                        "ruleType": "approval_required",
                        "requiredApprovals": verdict.gate.ruleset.required, "approvers": approvers,
                    }),
                };
                json!({
                    "id": verdict.gate.id, "name": verdict.gate.ruleset.name,
                    "satisfied": verdict.satisfied, "ruleDetails": details,
                })
            })
            .collect();
        json!({"satisfied": verdicts.iter().all(|v| v.satisfied), "applicableGates": gates})
    }

    /// Changes the ruleset of that name on an environment (`organization/project/environment`), and moves the change
    /// requests that this makes ready or takes back. False if there is no such ruleset.
    pub fn change_ruleset(
        &mut self,
        now: Timestamp,
        environment: &str,
        name: &str,
        change: impl FnOnce(&mut Ruleset),
    ) -> bool {
        let found = self.gates.iter_mut().find(|g| g.environment() == environment && g.ruleset.name == name);
        let Some(gate) = found else { return false };
        change(&mut gate.ruleset);
        self.gate_changed(now, None, environment, name);
        true
    }

    /// Switches a ruleset on or off.
    pub fn set_ruleset_enabled(&mut self, now: Timestamp, environment: &str, name: &str, enabled: bool) -> bool {
        self.change_ruleset(now, environment, name, |ruleset| ruleset.enabled = enabled)
    }

    /// Sets how many approvals a ruleset asks for.
    pub fn set_required(&mut self, now: Timestamp, environment: &str, name: &str, required: i64) -> bool {
        self.change_ruleset(now, environment, name, |ruleset| ruleset.required = required)
    }

    /// Makes evaluations of a ruleset carry a kind of rule that nobody knows; `None` makes it an approval again.
    pub fn set_strange_rule_type(&mut self, environment: &str, name: &str, rule_type: Option<&str>) -> bool {
        let found = self.gates.iter_mut().find(|g| g.environment() == environment && g.ruleset.name == name);
        found.map(|gate| gate.strange_rule_type = rule_type.map(str::to_owned)).is_some()
    }

    fn gate_changed(&mut self, now: Timestamp, by: Option<&str>, environment: &str, name: &str) {
        self.record(now, by, Happened::GateChanged { environment: environment.to_owned(), name: name.to_owned() });
        self.settle_environment(now, by, environment);
    }

    pub(crate) fn list_gates(&self, cx: &Context<'_>, organization: &str) -> Result<Reply, Refusal> {
        self.member(organization, &cx.login)?;
        let wanted_type = cx.call.query("entityType").unwrap_or("environment");
        let wanted_name = cx.call.query("qualifiedName");
        let gates = self.gates.iter().filter(|gate| {
            gate.organization == organization
                && wanted_type == "environment"
                && wanted_name.is_none_or(|name| name == gate.qualified_name)
        });
        let gates: Vec<Value> = gates.map(|gate| self.gate_answer(gate)).collect();
        Ok(Reply::json(200, &json!({"gates": gates, "continuationToken": ""})))
    }

    pub(crate) fn get_gate(&self, cx: &Context<'_>, organization: &str, id: &str) -> Result<Reply, Refusal> {
        self.member(organization, &cx.login)?;
        Ok(Reply::json(200, &self.gate_answer(&self.gates[self.gate_index(organization, id)?])))
    }

    pub(crate) fn create_gate(&mut self, cx: &Context<'_>, organization: &str) -> Result<Reply, Refusal> {
        self.admin(organization, &cx.login)?;
        let (qualified_name, ruleset) = self.read_gate(&cx.call.object()?, organization)?;
        let id = self.ids.uuid();
        let organization = organization.to_owned();
        let gate = Gate { id, organization, qualified_name, ruleset, strange_rule_type: None };
        let answer = self.gate_answer(&gate);
        let (environment, name) = (gate.environment(), gate.ruleset.name.clone());
        self.gates.push(gate);
        self.gate_changed(cx.now, Some(&cx.login), &environment, &name);
        Ok(Reply::json(201, &answer))
    }

    pub(crate) fn update_gate(&mut self, cx: &Context<'_>, organization: &str, id: &str) -> Result<Reply, Refusal> {
        self.admin(organization, &cx.login)?;
        let index = self.gate_index(organization, id)?;
        let (qualified_name, ruleset) = self.read_gate(&cx.call.object()?, organization)?;
        let gate = &mut self.gates[index];
        let before = gate.environment();
        (gate.qualified_name, gate.ruleset) = (qualified_name, ruleset);
        let (environment, name) = (gate.environment(), gate.ruleset.name.clone());
        self.gate_changed(cx.now, Some(&cx.login), &environment, &name);
        self.settle_environment(cx.now, Some(&cx.login), &before);
        Ok(Reply::json(200, &self.gate_answer(&self.gates[index])))
    }

    pub(crate) fn delete_gate(&mut self, cx: &Context<'_>, organization: &str, id: &str) -> Result<Reply, Refusal> {
        self.admin(organization, &cx.login)?;
        let index = self.gate_index(organization, id)?;
        let gate = self.gates.remove(index);
        self.gate_changed(cx.now, Some(&cx.login), &gate.environment(), &gate.ruleset.name);
        Ok(Reply::empty(204))
    }

    fn gate_index(&self, organization: &str, id: &str) -> Result<usize, Refusal> {
        let found = self.gates.iter().position(|gate| gate.id == id && gate.organization == organization);
        found.ok_or_else(|| Refusal::not_found("change gate"))
    }

    fn gate_answer(&self, gate: &Gate) -> Value {
        let (project, name) = gate.qualified_name.split_once('/').unwrap_or(("default", &gate.qualified_name));
        let teams = self.organizations.get(&gate.organization).map(|o| &o.teams);
        let eligible = gate.ruleset.eligible.iter().map(|eligible| match eligible {
            Eligible::User(login) => json!({"eligibilityType": "specific_user", "user": self.user_info(login)}),
            Eligible::Team(team) => {
                let shown = teams.and_then(|teams| teams.get(team)).map_or(team.as_str(), |t| t.display_name.as_str());
                json!({"eligibilityType": "team_member", "name": team, "displayName": shown})
            }
            Eligible::Permission(name) => json!({"eligibilityType": "has_permission_on_target", "permission": name}),
        });
        json!({
            "id": gate.id, "name": gate.ruleset.name, "enabled": gate.ruleset.enabled,
            "rule": {
                "ruleType": "approval_required", "allowSelfApproval": gate.ruleset.allow_self_approval,
                "numApprovalsRequired": gate.ruleset.required,
                "requireReapprovalOnChange": gate.ruleset.reapproval_on_change,
                "eligibleApprovers": eligible.collect::<Vec<_>>(),
            },
            "target": {
                "actionTypes": gate.ruleset.actions, "entityType": "environment",
                "qualifiedName": gate.qualified_name,
                "entityInfo": {"entityType": "environment", "project": project, "name": name},
            },
        })
    }

    fn read_gate(&self, body: &Value, organization: &str) -> Result<(String, Ruleset), Refusal> {
        let need = |what: &str| Refusal::bad(format!("{what} is required"));
        let (rule, target) = (&body["rule"], &body["target"]);
        let qualified = target["qualifiedName"].as_str().ok_or_else(|| need("target.qualifiedName"))?;
        if !self.environments.contains_key(&format!("{organization}/{qualified}")) {
            return Err(Refusal::bad(format!("environment '{qualified}' does not exist")));
        }
        if rule["ruleType"] != "approval_required" {
            return Err(Refusal::bad("rule.ruleType is not supported"));
        }
        let actions: Vec<String> = serde_json::from_value(target["actionTypes"].clone()).unwrap_or_default();
        if actions.is_empty() || actions.iter().any(|action| action != "open" && action != "update") {
            return Err(need("target.actionTypes"));
        }
        let eligible = rule["eligibleApprovers"].as_array().map_or(&[][..], Vec::as_slice);
        let eligible: Vec<Eligible> = eligible.iter().filter_map(read_eligible).collect();
        if eligible.is_empty() {
            return Err(need("rule.eligibleApprovers"));
        }
        let required = rule["numApprovalsRequired"].as_i64().filter(|n| *n >= 0);
        let ruleset = Ruleset {
            name: body["name"].as_str().filter(|n| !n.is_empty()).ok_or_else(|| need("name"))?.to_owned(),
            enabled: body["enabled"].as_bool().ok_or_else(|| need("enabled"))?,
            required: required.ok_or_else(|| need("rule.numApprovalsRequired"))?,
            allow_self_approval: rule["allowSelfApproval"].as_bool().unwrap_or(false),
            reapproval_on_change: rule["requireReapprovalOnChange"].as_bool().unwrap_or(false),
            eligible,
            actions,
        };
        Ok((qualified.to_owned(), ruleset))
    }
}

fn read_eligible(value: &Value) -> Option<Eligible> {
    match value["eligibilityType"].as_str()? {
        "specific_user" => Some(Eligible::user(value["userLogin"].as_str()?)),
        "team_member" => Some(Eligible::team(value["teamName"].as_str()?)),
        "has_permission_on_target" => Some(Eligible::permission(value["permission"].as_str()?)),
        _ => None,
    }
}

fn needed_for(permission: &str) -> EnvironmentPermission {
    match permission {
        "environment:list" | "environment:read" => EnvironmentPermission::Read,
        "environment:open" | "environment_yaml:open" => EnvironmentPermission::Open,
        "environment:write" => EnvironmentPermission::Write,
        _ => EnvironmentPermission::Admin,
    }
}
