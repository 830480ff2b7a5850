//! The endpoints under `/sim/`: what people do in the console, and what tests and demos switch.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{Call, Refusal, Reply};
use super::faults::{FaultPlan, Planned, Rate};
use super::gates::Eligible;
use super::people::{MachineToken, Role, Token};
use super::stacks::Timing;
use super::webhooks::{HookScope, WebhookFaults};
use super::{Cloud, Fault, REFUSAL, Revision, later};

impl Cloud {
    /// A control call: JSON in and out, no token. `GET /sim/people`, `/sim/state`, `/sim/history`, `/sim/calls`; the
    /// rest is `POST`: `approve`, `unapprove`, `apply`, `close` `{login, id, comment?}` · `describe` `{login, id,
    /// description}` · `revise` `{login, id, grantSeconds, accessSeconds}` · `strange-status` `{id, status?}` ·
    /// `ruleset` `{environment, name, enabled?, required?, allowSelfApproval?, requireReapprovalOnChange?,
    /// eligibleUsers?, strangeRuleType?}` · `pause` `{what, paused}` · `hold` `{stack, hold}` · `outcome` `{stack,
    /// succeeds}` · `timing` `{stack?, acceptMs, runMs}` · `settings` `{stack, settings?}` · `cancel` `{login, id}` ·
    /// `deploy` `{login, stack, operation, commit?}`: somebody starts a run; without a grant it is refused · `refusal` `{message?}`: what it is refused
    /// with, `{environment}` for the name; none: as before · `delete` `{environment?, stack?}` · `token` `{token, login?, machine?, replacedBy?}` · `role` `{organization,
    /// login, role}` · `faults` `{plan, rates, clear}` · `down` `{seconds, fault?}` · `webhook` `{organization, name,
    /// url, secret, groups, filters}` · `webhook-faults` `{lost, doubled, delayed, delayMs, reordered}` ·
    /// `omit-settings-version` `{omit}`.
    pub fn control(&mut self, now: Timestamp, call: &Call) -> Reply {
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let reply = match (call.method.as_str(), segments.as_slice()) {
            ("GET", ["sim", "people"]) => Ok(self.people()),
            ("GET", ["sim", "state"]) => Ok(self.state()),
            ("GET", ["sim", "history"]) => Ok(json!(self.history)),
            ("GET", ["sim", "calls"]) => {
                let calls = self.calls.iter();
                Ok(calls.map(|((method, path), n)| json!({"method": method, "path": path, "count": n})).collect())
            }
            ("POST", ["sim", action]) => self.act(now, action, call).map(|()| json!({})),
            _ => Err(Refusal::new(404, "Not Found")),
        };
        match reply {
            Ok(value) => Reply::json(200, &value),
            Err(refusal) => Reply::error(refusal.status, &refusal.message),
        }
    }

    fn act(&mut self, now: Timestamp, action: &str, call: &Call) -> Result<(), Refusal> {
        match action {
            "approve" | "unapprove" | "apply" | "close" => {
                let ask: Click = read(call)?;
                let (login, id, comment) = (ask.login.as_str(), ask.id.as_str(), ask.comment.as_deref());
                match action {
                    "approve" => self.approve(now, login, id),
                    "unapprove" => self.unapprove(now, login, id, comment),
                    "apply" => self.apply_as(now, login, id),
                    _ => self.close_as(now, login, id, comment),
                }
            }
            "describe" => {
                let ask: Describe = read(call)?;
                self.edit_description(now, &ask.login, &ask.id, &ask.description)
            }
            "revise" => {
                let ask: Revise = read(call)?;
                let revision = Revision { grant_seconds: ask.grant_seconds, access_seconds: ask.access_seconds };
                self.add_revision(now, &ask.login, &ask.id, revision).map(|_| ())
            }
            "strange-status" => {
                let ask: StrangeStatus = read(call)?;
                known(self.set_strange_status(&ask.id, ask.status.as_deref()))
            }
            "ruleset" => self.act_ruleset(now, read(call)?),
            "pause" => {
                let ask: Pause = read(call)?;
                known(self.set_paused(now, &ask.what, ask.paused))
            }
            "hold" => {
                let ask: Hold = read(call)?;
                known(self.set_hold(&ask.stack, ask.hold))
            }
            "outcome" => {
                let ask: Outcome = read(call)?;
                known(self.plan_outcome(&ask.stack, ask.succeeds))
            }
            "timing" => {
                let ask: TimingOf = read(call)?;
                let timing = Timing { accept_ms: ask.accept_ms, run_ms: ask.run_ms };
                match ask.stack {
                    None => self.timing = timing,
                    Some(stack) => return known(self.stack_mut(&stack).map(|s| s.timing = Some(timing)).is_some()),
                }
                Ok(())
            }
            "settings" => {
                let ask: SettingsOf = read(call)?;
                known(self.change_settings(now, None, &ask.stack, ask.settings.as_ref()))
            }
            "cancel" => {
                let ask: Click = read(call)?;
                self.cancel(now, &ask.login, &ask.id)
            }
            "deploy" => {
                let ask: Deploy = read(call)?;
                let mut body = json!({"operation": ask.operation});
                if let Some(commit) = ask.commit {
                    body["sourceContext"] = json!({"git": {"commit": commit}});
                }
                self.deploy(now, &ask.login, &ask.stack, &body).map(|_| ())
            }
            "refusal" => {
                let ask: RefusalOf = read(call)?;
                self.refusal = ask.message.unwrap_or_else(|| REFUSAL.to_owned());
                Ok(())
            }
            "delete" => {
                let ask: Delete = read(call)?;
                let environment = ask.environment.is_none_or(|name| self.delete_environment(now, &name));
                let stack = ask.stack.is_none_or(|name| self.delete_stack(now, &name));
                known(environment && stack)
            }
            _ => self.act_on_machinery(now, action, call),
        }
    }

    fn act_on_machinery(&mut self, now: Timestamp, action: &str, call: &Call) -> Result<(), Refusal> {
        match action {
            "token" => self.act_token(read(call)?),
            "role" => {
                let ask: RoleOf = read(call)?;
                self.person(&ask.organization, &ask.login, &ask.login, ask.role.into());
                Ok(())
            }
            "faults" => {
                let ask: Faults = read(call)?;
                if ask.clear {
                    self.clear_faults();
                }
                self.faults.planned.extend(ask.plan);
                self.faults.rates.extend(ask.rates);
                Ok(())
            }
            "down" => {
                let ask: Down = read(call)?;
                let until = Some(later(now, i64::from(ask.seconds) * 1000));
                let before = std::mem::take(&mut self.faults);
                self.faults = FaultPlan { down_until: until, down_as: ask.fault, ..before };
                Ok(())
            }
            "webhook" => {
                let ask: Webhook = read(call)?;
                let groups: Vec<&str> = ask.groups.iter().map(String::as_str).collect();
                let on = HookScope::Organization(ask.organization);
                self.webhook(on, &ask.name, &ask.url, &ask.secret, &groups);
                if let Some(hook) = self.hooks.last_mut() {
                    hook.filters = ask.filters;
                }
                Ok(())
            }
            "webhook-faults" => {
                let faults: WebhookFaults = read(call)?;
                self.set_webhook_faults(faults);
                Ok(())
            }
            "omit-settings-version" => {
                let ask: Omit = read(call)?;
                self.omit_settings_version = ask.omit;
                Ok(())
            }
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn act_ruleset(&mut self, now: Timestamp, ask: RulesetOf) -> Result<(), Refusal> {
        if let Some(strange) = &ask.strange_rule_type {
            let strange = Some(strange.as_str()).filter(|name| !name.is_empty());
            known(self.set_strange_rule_type(&ask.environment, &ask.name, strange))?;
        }
        known(self.change_ruleset(now, &ask.environment, &ask.name, |ruleset| {
            ruleset.enabled = ask.enabled.unwrap_or(ruleset.enabled);
            ruleset.required = ask.required.unwrap_or(ruleset.required);
            ruleset.allow_self_approval = ask.allow_self_approval.unwrap_or(ruleset.allow_self_approval);
            ruleset.reapproval_on_change = ask.require_reapproval_on_change.unwrap_or(ruleset.reapproval_on_change);
            if let Some(users) = ask.eligible_users {
                ruleset.eligible = users.into_iter().map(Eligible::User).collect();
            }
        }))
    }

    fn act_token(&mut self, ask: TokenOf) -> Result<(), Refusal> {
        let before = self.tokens.remove(&ask.token);
        let secret = ask.replaced_by.unwrap_or_else(|| ask.token.clone());
        match (ask.login, before) {
            (Some(login), _) => {
                self.account(&login).ok_or_else(|| Refusal::not_found("account"))?;
                self.token(&secret, &login);
                if let (Some(machine), Some(token)) = (ask.machine, self.tokens.get_mut(&secret)) {
                    let (name, organization) = (machine.name, machine.organization);
                    token.machine = Some(MachineToken { name, organization, team: String::new() });
                }
                Ok(())
            }
            (None, Some(token)) if secret != ask.token => {
                self.tokens.insert(secret, token);
                Ok(())
            }
            (None, before) => known(before.is_some()),
        }
    }

    fn people(&self) -> Value {
        let tokens_of = |login: &str| -> Vec<&str> {
            let mine = |token: &Token| token.login.eq_ignore_ascii_case(login);
            self.tokens.iter().filter(|(_, token)| mine(token)).map(|(secret, _)| secret.as_str()).collect()
        };
        let roles = |login: &str| -> Value {
            let all = self.organizations.keys();
            all.map(|name| (name.clone(), json!(self.role(name, login)))).collect::<serde_json::Map<_, _>>().into()
        };
        let people = self.accounts.values();
        people
            .map(|person| {
                json!({
                    "login": person.login, "name": person.name,
                    "roles": roles(&person.login), "tokens": tokens_of(&person.login),
                })
            })
            .collect()
    }

    fn state(&self) -> Value {
        let requests = self.change_requests.iter().map(|request| {
            json!({
                "id": request.id, "environment": request.environment, "status": request.status.word(),
                "createdBy": request.created_by, "description": request.description,
                "revision": request.latest_revision(),
                "approvedBy": request.approvals.iter().map(|a| &a.login).collect::<Vec<_>>(),
            })
        });
        let deployments = self.deployments.iter().map(|deployment| {
            let plain = deployment.variables().into_iter().filter(|(_, variable)| !variable.secret);
            let plain: serde_json::Map<_, _> = plain.map(|(name, variable)| (name, json!(variable.value))).collect();
            json!({
                "id": deployment.id, "stack": deployment.stack, "version": deployment.version,
                "operation": deployment.operation, "status": deployment.status.word(),
                "createdBy": deployment.created_by, "commit": deployment.commit(), "variables": plain,
            })
        });
        json!({
            "changeRequests": requests.collect::<Vec<_>>(), "deployments": deployments.collect::<Vec<_>>(),
            "grants": self.grants,
        })
    }
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    serde_json::from_value(call.object()?).map_err(|error| Refusal::bad(error.to_string()))
}

fn known(found: bool) -> Result<(), Refusal> {
    if found { Ok(()) } else { Err(Refusal::not_found("what the call names")) }
}

macro_rules! asks {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {$(
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct $name { $($(#[$meta])* $field: $kind),* }
    )*};
}

asks! {
    Click { login: String, id: String, comment: Option<String> }
    Describe { login: String, id: String, description: String }
    Revise { login: String, id: String, grant_seconds: i64, access_seconds: i64 }
    StrangeStatus { id: String, status: Option<String> }
    RulesetOf {
        environment: String,
        name: String,
        enabled: Option<bool>,
        required: Option<i64>,
        allow_self_approval: Option<bool>,
        require_reapproval_on_change: Option<bool>,
        eligible_users: Option<Vec<String>>,
        strange_rule_type: Option<String>,
    }
    Pause { what: String, paused: bool }
    Hold { stack: String, hold: bool }
    Outcome { stack: String, succeeds: bool }
    TimingOf { stack: Option<String>, accept_ms: i64, run_ms: i64 }
    SettingsOf { stack: String, settings: Option<Value> }
    Deploy { login: String, stack: String, operation: String, commit: Option<String> }
    RefusalOf { message: Option<String> }
    Delete { environment: Option<String>, stack: Option<String> }
    TokenOf {
        token: String,
        login: Option<String>,
        machine: Option<Machine>,
        replaced_by: Option<String>,
    }
    Machine { name: String, organization: String }
    RoleOf { organization: String, login: String, role: RoleWord }
    Faults {
        #[serde(default)]
        plan: Vec<Planned>,
        #[serde(default)]
        rates: Vec<Rate>,
        #[serde(default)]
        clear: bool,
    }
    Down { seconds: u32, fault: Option<Fault> }
    Webhook {
        organization: String,
        name: String,
        url: String,
        #[serde(default)]
        secret: String,
        #[serde(default)]
        groups: Vec<String>,
        #[serde(default)]
        filters: Vec<String>,
    }
    Omit { omit: bool }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RoleWord {
    None,
    Member,
    Admin,
    PotentialMember,
    StackCollaborator,
    BillingManager,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::None => Self::None,
            RoleWord::Member => Self::Member,
            RoleWord::Admin => Self::Admin,
            RoleWord::PotentialMember => Self::PotentialMember,
            RoleWord::StackCollaborator => Self::StackCollaborator,
            RoleWord::BillingManager => Self::BillingManager,
        }
    }
}
