//! Calls with the token of whoever asks signoff for something.

use signoff_core::asking::Permission;
use signoff_core::cloud::{CloudError, Identity, Role};
use signoff_core::names::{Login, StackName};

use super::client::{Call, PulumiClient};
use super::wire;
use crate::secrets::Secret;

/// Asks Pulumi Cloud about the holder of a token. The token is the caller's, and is kept nowhere.
#[derive(Debug, Clone)]
pub struct CallerClient {
    client: PulumiClient,
}

impl CallerClient {
    /// Asks over this client.
    pub fn new(client: PulumiClient) -> Self {
        Self { client }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`CloudError::Unauthorized`]: it is nobody's.
    pub async fn identity(&self, token: &Secret) -> Result<Identity, CloudError> {
        let call = Call::get("/api/user", &[]);
        let user: wire::User = call.read(&self.client.send(&call, token).await?)?;
        user.identity().ok_or_else(|| call.wrong("is not what the specification says: the login"))
    }

    /// What `login` may do with a stack, as far as the token may know; `None` if there is no such stack, or it is not visible.
    ///
    /// # Errors
    /// [`CloudError::Unauthorized`]: the token is nobody's. [`CloudError::Refused`]: it may not know.
    pub async fn stack_permission(
        &self,
        token: &Secret,
        login: &Login,
        stack: &StackName,
    ) -> Result<Option<Permission>, CloudError> {
        let parts = [stack.organization.as_str(), login.as_str(), &stack.project, &stack.stack];
        let call = Call::get(STACK_PERMISSION, &parts);
        match self.client.send(&call, token).await {
            Err(CloudError::NotFound(_)) => Ok(None),
            answer => permission(&call, &answer?, login).map(Some),
        }
    }
}

/// What a member may do with a stack.
pub(super) const STACK_PERMISSION: &str = "/api/console/orgs/{org}/members/{login}/stacks/{project}/{stack}";

/// What the answer to that call says; it has to be about this login.
pub(super) fn permission(call: &Call<'_>, answer: &[u8], login: &Login) -> Result<Permission, CloudError> {
    let answer: wire::StackPermissions = call.read(answer)?;
    if answer.user_info.as_ref().is_some_and(|user| user.login().as_ref() != Some(login)) {
        return Err(call.wrong("is about somebody else"));
    }
    Ok(highest(&answer))
}

/// The most that any of the ways to a permission gives. The organization's default is for its members alone.
fn highest(answer: &wire::StackPermissions) -> Permission {
    let level = |number: Option<i64>| match number {
        Some(101) => Permission::Read,
        Some(102) => Permission::Write,
        Some(103 | 104) => Permission::Admin,
        _ => Permission::None,
    };
    let teams = answer.team_permissions.iter().flatten().map(|team| level(team.permission));
    let own = teams.fold(level(answer.explicit_permission), Ord::max);
    match wire::role(&answer.organization_role) {
        Role::Admin => Permission::Admin,
        Role::Member => own.max(level(answer.organization_default)),
        Role::StackCollaborator => own,
        Role::Other => Permission::None,
    }
}
