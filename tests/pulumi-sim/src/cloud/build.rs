//! Filling a cloud: organizations, people, tokens, stacks, environments. All of it can be called at any time.

use super::gates::{Gate, Ruleset};
use super::people::{Account, EnvironmentPermission, MachineToken, Organization, Permission, Role, Team, Token};
use super::stacks::{Stack, StackSetup};
use super::{Cloud, Environment};

impl Cloud {
    /// Adds an organization; members may read its stacks and environments unless it is said otherwise.
    pub fn organization(&mut self, login: &str) -> &mut Self {
        let mut letters = login.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let organization = Organization {
            login: login.to_owned(),
            name: first.into_iter().chain(letters).collect(),
            default_permission: Permission::Read,
            default_environment_permission: EnvironmentPermission::Read,
            members: Default::default(),
            teams: Default::default(),
            paused: false,
        };
        self.organizations.insert(login.to_owned(), organization);
        self
    }

    /// All organizations.
    pub fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    /// An organization, to look at or to change.
    pub fn organization_mut(&mut self, login: &str) -> Option<&mut Organization> {
        self.organizations.get_mut(login)
    }

    /// Adds a person, or changes the role of one.
    pub fn person(&mut self, organization: &str, login: &str, name: &str, role: Role) -> &mut Self {
        let key = login.to_ascii_lowercase();
        if !self.accounts.contains_key(&key) {
            let account = Account { id: self.ids.uuid(), login: login.to_owned(), name: name.to_owned() };
            self.accounts.insert(key.clone(), account);
        }
        if let Some(organization) = self.organizations.get_mut(organization) {
            organization.members.insert(key, role);
        }
        self
    }

    /// Gives a person an access token, or points that token at somebody else.
    pub fn token(&mut self, secret: &str, login: &str) -> &mut Self {
        let login = self.account(login).map_or(login, |account| &account.login).to_owned();
        self.tokens.insert(secret.to_owned(), Token { login, machine: None });
        self
    }

    /// Adds a machine token of an organization, which acts as a machine user of its own.
    pub fn machine_token(&mut self, secret: &str, organization: &str, name: &str, login: &str) -> &mut Self {
        self.person(organization, login, name, Role::Member);
        let machine =
            MachineToken { name: name.to_owned(), organization: organization.to_owned(), team: String::new() };
        self.tokens.insert(secret.to_owned(), Token { login: login.to_owned(), machine: Some(machine) });
        self
    }

    /// Takes a token out of use.
    pub fn revoke_token(&mut self, secret: &str) -> bool {
        self.tokens.remove(secret).is_some()
    }

    /// Gives whoever has the old token a new one in its place.
    pub fn rotate_token(&mut self, old: &str, new: &str) -> bool {
        let token = self.tokens.remove(old);
        token.map(|token| self.tokens.insert(new.to_owned(), token)).is_some()
    }

    /// Adds a team, or replaces its members.
    pub fn team(&mut self, organization: &str, name: &str, members: &[&str]) -> &mut Self {
        if let Some(organization) = self.organizations.get_mut(organization) {
            let team = organization.teams.entry(name.to_owned()).or_insert_with(Team::default);
            if team.display_name.is_empty() {
                name.clone_into(&mut team.display_name);
            }
            team.members = members.iter().map(|login| login.to_ascii_lowercase()).collect();
        }
        self
    }

    /// Adds a stack, `organization/project/stack`.
    pub fn stack(&mut self, stack: &str, setup: StackSetup) -> &mut Self {
        let mut parts = stack.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let found = Stack {
            id: self.ids.uuid(),
            organization: next(),
            project: next(),
            name: next(),
            environments: setup.environments,
            permissions: Default::default(),
            settings_version: i64::from(setup.settings.is_some()),
            settings: setup.settings,
            paused: false,
            hold: false,
            timing: None,
            outcomes: Default::default(),
            version: 0,
            free_at: None,
        };
        self.stacks.insert(stack.to_owned(), found);
        self
    }

    /// Says what a person may do on a stack.
    pub fn allow(&mut self, login: &str, stack: &str, permission: Permission) -> &mut Self {
        if let Some(found) = self.stacks.get_mut(stack) {
            found.permissions.insert(login.to_ascii_lowercase(), permission);
        }
        self
    }

    /// Says what the members of a team may do on a stack.
    pub fn allow_team(&mut self, team: &str, stack: &str, permission: Permission) -> &mut Self {
        let organization = stack.split('/').next().and_then(|name| self.organizations.get_mut(name));
        if let Some(team) = organization.and_then(|organization| organization.teams.get_mut(team)) {
            team.stacks.insert(stack.to_owned(), permission);
        }
        self
    }

    /// Adds an environment, `organization/project/environment`, that imports others, each as `project/environment`.
    pub fn environment(&mut self, environment: &str, imports: &[&str]) -> &mut Self {
        let imports = imports.iter().map(|import| (*import).to_owned()).collect();
        self.environments.insert(environment.to_owned(), Environment { imports, permissions: Default::default() });
        self
    }

    /// Says what a person may do with an environment.
    pub fn allow_environment(&mut self, login: &str, environment: &str, may: EnvironmentPermission) -> &mut Self {
        if let Some(found) = self.environments.get_mut(environment) {
            found.permissions.insert(login.to_ascii_lowercase(), may);
        }
        self
    }

    /// Adds a ruleset to an environment.
    pub fn ruleset(&mut self, environment: &str, ruleset: Ruleset) -> &mut Self {
        let (organization, qualified_name) = environment.split_once('/').unwrap_or_default();
        let gate = Gate {
            id: self.ids.uuid(),
            organization: organization.to_owned(),
            qualified_name: qualified_name.to_owned(),
            ruleset,
            strange_rule_type: None,
        };
        self.gates.push(gate);
        self
    }
}
