//! Who there is: accounts, their tokens, organizations, teams, and what they may do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::call::{Call, Refusal, Reply};
use super::{Cloud, Context};

/// A role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// No role.
    None,
    /// An ordinary member.
    Member,
    /// An administrator: may do everything in the organization.
    Admin,
    /// Somebody who could join.
    PotentialMember,
    /// Somebody who sees single stacks only.
    StackCollaborator,
    /// Somebody who sees the bills only.
    BillingManager,
}

impl Role {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::PotentialMember => "potential-member",
            Self::StackCollaborator => "stack-collaborator",
            Self::BillingManager => "billing-manager",
        }
    }

    fn belongs(self) -> bool {
        !matches!(self, Self::None | Self::PotentialMember)
    }
}

/// What somebody may do on a stack; the order is that of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Permission {
    /// Nothing.
    None = 0,
    /// Look.
    Read = 101,
    /// Update, preview, refresh.
    Write = 102,
    /// Destroy and administer as well.
    Admin = 103,
    /// As admin: who created it.
    Creator = 104,
}

/// What somebody may do with an environment; the order is that of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentPermission {
    /// Nothing.
    None,
    /// Look at its definition, ask to open it.
    Read,
    /// Open it (where it is gated: with a grant).
    Open,
    /// Change it; apply and close change requests.
    Write,
    /// Everything.
    Admin,
}

/// A person or a machine user.
#[derive(Debug, Clone)]
pub struct Account {
    /// The id of the account.
    pub id: String,
    /// The login, as it is written.
    pub login: String,
    /// The name that people see.
    pub name: String,
}

/// What an access token stands for.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is.
    pub login: String,
    /// For machine tokens: their name, organization and team.
    pub machine: Option<MachineToken>,
}

/// What sets a machine token apart.
#[derive(Debug, Clone)]
pub struct MachineToken {
    /// The name of the token.
    pub name: String,
    /// The organization that it belongs to.
    pub organization: String,
    /// The team that it belongs to; empty if none.
    pub team: String,
}

/// A team.
#[derive(Debug, Clone, Default)]
pub struct Team {
    /// Its name for people.
    pub display_name: String,
    /// Logins in lower case.
    pub members: BTreeSet<String>,
    /// What its members may do on which stack (`organization/project/stack`).
    pub stacks: BTreeMap<String, Permission>,
    /// What its members may do with which environment (`organization/project/environment`).
    pub environments: BTreeMap<String, EnvironmentPermission>,
}

/// An organization.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Its login.
    pub login: String,
    /// Its name for people.
    pub name: String,
    /// What every member may do on every stack.
    pub default_permission: Permission,
    /// What every member may do with every environment.
    pub default_environment_permission: EnvironmentPermission,
    /// Roles by login in lower case.
    pub members: BTreeMap<String, Role>,
    /// Teams by name.
    pub teams: BTreeMap<String, Team>,
    /// Whether all its deployments are paused.
    pub paused: bool,
}

impl Cloud {
    /// The account of a login, whatever its case.
    pub fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.get(&login.to_ascii_lowercase())
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// All tokens and whose they are.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.iter().map(|(secret, token)| (secret.as_str(), token))
    }

    /// The role of a login in an organization.
    pub fn role(&self, organization: &str, login: &str) -> Role {
        let organization = self.organizations.get(organization);
        organization.and_then(|o| o.members.get(&login.to_ascii_lowercase()).copied()).unwrap_or(Role::None)
    }

    /// The most that a login may do on a stack.
    pub fn permission(&self, stack: &str, login: &str) -> Permission {
        let (Some(found), login) = (self.stacks.get(stack), login.to_ascii_lowercase()) else {
            return Permission::None;
        };
        let Some(organization) = self.organizations.get(&found.organization) else { return Permission::None };
        let explicit = found.permissions.get(&login).copied().unwrap_or(Permission::None);
        let teams = organization.teams.values().filter(|team| team.members.contains(&login));
        let most = teams.filter_map(|team| team.stacks.get(stack).copied()).fold(explicit, Ord::max);
        match self.role(&organization.login, &login) {
            Role::Admin => Permission::Admin.max(most),
            Role::Member => organization.default_permission.max(most),
            Role::StackCollaborator => most,
            Role::None | Role::PotentialMember | Role::BillingManager => Permission::None,
        }
    }

    /// The most that a login may do with an environment.
    pub fn environment_permission(&self, environment: &str, login: &str) -> EnvironmentPermission {
        let login = login.to_ascii_lowercase();
        let organization = environment.split('/').next().and_then(|name| self.organizations.get(name));
        let Some(organization) = organization else { return EnvironmentPermission::None };
        let explicit = self.environments.get(environment).and_then(|e| e.permissions.get(&login).copied());
        let teams = organization.teams.values().filter(|team| team.members.contains(&login));
        let most = teams
            .filter_map(|team| team.environments.get(environment).copied())
            .fold(explicit.unwrap_or(EnvironmentPermission::None), Ord::max);
        match self.role(&organization.login, &login) {
            Role::Admin => EnvironmentPermission::Admin,
            Role::Member => organization.default_environment_permission.max(most),
            _ => EnvironmentPermission::None,
        }
    }

    pub(crate) fn identify(&self, call: &Call) -> Result<String, Refusal> {
        let token = call.token.as_deref().and_then(|secret| self.tokens.get(secret));
        token
            .map(|token| token.login.clone())
            .ok_or_else(|| Refusal::new(401, "Unauthorized: No credentials provided or the access token is invalid."))
    }

    /// The login as its account writes it, if it belongs to the organization.
    pub(crate) fn member(&self, organization: &str, login: &str) -> Result<String, Refusal> {
        match self.account(login) {
            Some(account) if self.role(organization, login).belongs() => Ok(account.login.clone()),
            _ => Err(Refusal::not_found(&format!("organization '{organization}'"))),
        }
    }

    pub(crate) fn admin(&self, organization: &str, login: &str) -> Result<(), Refusal> {
        self.member(organization, login)?;
        match self.role(organization, login) {
            Role::Admin => Ok(()),
            _ => Err(Refusal::forbidden("Forbidden: only organization administrators may do this")),
        }
    }

    pub(crate) fn user_info(&self, login: &str) -> Value {
        let (login, name) = self.account(login).map_or((login, login), |a| (a.login.as_str(), a.name.as_str()));
        json!({"githubLogin": login, "name": name, "avatarUrl": avatar(login)})
    }

    pub(crate) fn get_user(&self, cx: &Context<'_>) -> Result<Reply, Refusal> {
        let account = self.account(&cx.login).ok_or_else(|| Refusal::new(401, "Unauthorized"))?;
        let in_role = |wanted: fn(Role) -> bool| -> Vec<Value> {
            let all = self.organizations.values().map(|o| (o, self.role(&o.login, &account.login)));
            all.filter(|(_, role)| wanted(*role))
                .map(|(o, role)| {
                    json!({"githubLogin": o.login, "name": o.name, "avatarUrl": avatar(&o.login), "role": role.word()})
                })
                .collect()
        };
        let mut user = json!({
            "id": account.id, "githubLogin": account.login, "name": account.name, "avatarUrl": avatar(&account.login),
            "email": format!("{}@example.com", account.login), "hasMFA": true, "identities": ["Pulumi"],
            "isManagedByMultiOrg": false, "isOrgManaged": false,
            "organizations": in_role(Role::belongs),
            "potentialOrganizations": in_role(|role| role == Role::PotentialMember),
        });
        let token = cx.call.token.as_deref().and_then(|secret| self.tokens.get(secret));
        if let Some(machine) = token.and_then(|token| token.machine.as_ref()) {
            user["tokenInfo"] =
                json!({"name": machine.name, "organization": machine.organization, "team": machine.team});
        }
        Ok(Reply::json(200, &user))
    }

    pub(crate) fn get_member_permissions(
        &self,
        cx: &Context<'_>,
        organization: &str,
        login: &str,
        stack: &str,
    ) -> Result<Reply, Refusal> {
        self.member(organization, &cx.login)?;
        let caller = self.role(organization, &cx.login);
        if caller != Role::Admin && !cx.login.eq_ignore_ascii_case(login) {
            return Err(Refusal::forbidden("Forbidden: only administrators may see what others may do"));
        }
        let missing = || Refusal::not_found(&format!("stack '{stack}'"));
        let found = self.stacks.get(stack).ok_or_else(missing)?;
        if self.permission(stack, &cx.login) < Permission::Read {
            return Err(missing());
        }
        let role = self.role(organization, login);
        let account = self.account(login).filter(|_| role.belongs());
        let account = account.ok_or_else(|| Refusal::not_found(&format!("user '{login}'")))?;
        let key = account.login.to_ascii_lowercase();
        let organization = self.organizations.get(organization).ok_or_else(missing)?;
        let teams: Vec<Value> = organization
            .teams
            .iter()
            .filter(|(_, team)| team.members.contains(&key))
            .filter_map(|(name, team)| team.stacks.get(stack).map(|permission| (name, team, permission)))
            .map(|(name, team, permission)| {
                let team = json!({"kind": "pulumi", "name": name, "displayName": team.display_name, "description": ""});
                json!({"permission": *permission as i64, "team": team})
            })
            .collect();
        let explicit = found.permissions.get(&key).copied().unwrap_or(Permission::None);
        Ok(Reply::json(
            200,
            &json!({
                "explicitPermission": explicit as i64,
                "organizationDefault": organization.default_permission as i64,
                "organizationRole": role.word(),
                "teamPermissions": teams,
                "userInfo": self.user_info(login),
            }),
        ))
    }
}

fn avatar(login: &str) -> String {
    format!("https://api.pulumi.com/static/avatars/{login}.png")
}
