//! Who is calling: Pulumi Cloud is asked whose token it is, and the answer is kept for a minute under a key that says nothing of the token.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use signoff_core::asking::Permission;
use signoff_core::cloud::{Answer, CloudError, Identity, Role};
use signoff_core::gate::Gates;
use signoff_core::host::Host;
use signoff_core::names::{Login, Organization, StackName};
use signoff_core::request::Ask;

use super::problem::{BAD_TOKEN, Problem};
use super::throttle::{Budget, Cache};
use crate::pulumi::CallerClient;
use crate::secrets::Secret;

/// For how long an answer about a token counts.
const FRESH: Duration = Duration::from_secs(60);
/// For how long a token is known: until then asking again whose it is takes nothing from the budget.
const KNOWN: Duration = Duration::from_secs(120);
/// How many unknown tokens are asked about at once, at most.
const UNKNOWN_BURST: u32 = 50;
/// How many unknown tokens a second are asked about in the long run.
const UNKNOWN_PER_SECOND: u32 = 20;
/// The longest token that is taken for one, in bytes.
const MAX_TOKEN: usize = 512;

/// What Pulumi Cloud is asked with a caller's own token.
pub trait Callers: Send + Sync {
    /// Whose token is it? [`CloudError::Unauthorized`]: nobody's.
    fn identity(&self, token: &Secret) -> impl Answer<Identity>;

    /// What may this person (the token's own) do with the stack? [`Permission::None`] if there is no such stack, or it is not visible.
    fn stack_permission(&self, token: &Secret, login: &Login, stack: &StackName) -> impl Answer<Permission>;
}

impl Callers for CallerClient {
    async fn identity(&self, token: &Secret) -> Result<Identity, CloudError> {
        self.identity(token).await
    }

    async fn stack_permission(
        &self,
        token: &Secret,
        login: &Login,
        stack: &StackName,
    ) -> Result<Permission, CloudError> {
        Ok(self.stack_permission(token, login, stack).await?.unwrap_or(Permission::None))
    }
}

/// The HMAC of a token: what stands for it in the caches.
type Fingerprint = [u8; 32];

/// A caller whom Pulumi Cloud vouched for. Made by [`Door::vouch`] only.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who it is, without the organizations in which they may do nothing.
    pub(super) identity: Identity,
    token: Secret,
    fingerprint: Fingerprint,
}

impl Caller {
    /// The caller's role in an organization, if they have one that lets them do something.
    pub(super) fn role(&self, organization: &Organization) -> Option<Role> {
        self.identity.organizations.iter().find(|(name, _)| name == organization).map(|(_, role)| *role)
    }

    /// Whether a request was asked by this caller.
    pub(super) fn asked(&self, ask: &Ask) -> bool {
        let machine = self.identity.machine.as_ref().map(|machine| machine.name.as_str());
        ask.requester.login == self.identity.login && ask.requester.machine.as_deref() == machine
    }

    /// The organization of this name, if the caller belongs to it.
    pub(super) fn organization(&self, named: &str) -> Result<(Organization, Role), Problem> {
        let all = &self.identity.organizations;
        all.iter().find(|(name, _)| name.as_str() == named).cloned().ok_or_else(|| {
            Problem::not_found("There is no such organization among yours; mind its spelling in organization=.")
        })
    }

    /// The organization that a call is about which names none: the caller's only one, or the only one of theirs that has gates. The account that
    /// everybody has for themselves counts as an organization at Pulumi Cloud, and hardly ever has one.
    pub(super) fn own_organization(&self, gates: &Gates) -> Result<(Organization, Role), Problem> {
        let all = &self.identity.organizations;
        let is_gated = |name: &Organization| gates.gates.iter().any(|gate| gate.environment.organization == *name);
        let gated: Vec<_> = all.iter().filter(|(name, _)| is_gated(name)).cloned().collect();
        match (all.as_slice(), gated.as_slice()) {
            ([only], _) | (_, [only]) => Ok(only.clone()),
            ([], _) => {
                Err(Problem::forbidden("You are in no organization at Pulumi Cloud; have yourself invited to one."))
            }
            _ => Err(Problem::malformed("You are in several organizations; say which one with organization=NAME.")),
        }
    }
}

/// Where callers prove who they are.
#[derive(Debug)]
pub(super) struct Door {
    key: [u8; 32],
    identities: Cache<Fingerprint, Option<Identity>>,
    permissions: Cache<(Fingerprint, StackName), Permission>,
    unknown: Budget,
}

impl Door {
    /// A door that knows nobody yet.
    pub(super) fn new(host: &impl Host) -> Self {
        Self {
            key: random_key(host),
            identities: Cache::new(KNOWN),
            permissions: Cache::new(FRESH),
            unknown: Budget::new(UNKNOWN_BURST, UNKNOWN_PER_SECOND, host.uptime()),
        }
    }

    /// Who sends these headers?
    pub(super) async fn vouch(
        &self,
        callers: &impl Callers,
        host: &impl Host,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        let token = token(headers)
            .ok_or_else(|| Problem::unauthorized("Send one header Authorization: token <your Pulumi access token>."))?;
        let fingerprint = self.fingerprint(&token);
        let found = self.identities.get(&fingerprint, host.uptime());
        if let Some((age, answer)) = &found
            && *age < FRESH
        {
            let identity = answer.clone().ok_or_else(|| Problem::unauthorized(BAD_TOKEN))?;
            return Ok(Caller { identity, token, fingerprint });
        }
        let is_known = matches!(found, Some((_, Some(_))));
        if !is_known && !self.unknown.take(host.uptime()) {
            tracing::warn!("too many unknown tokens; Pulumi Cloud is not asked about this one");
            let detail = "Too many callers whom signoff does not know yet came at once; send it again in a moment.";
            return Err(Problem::unavailable(detail, 1));
        }
        match callers.identity(&token).await {
            Ok(mut identity) => {
                identity.organizations.retain(|(_, role)| *role != Role::Other);
                self.identities.put(fingerprint, Some(identity.clone()), host.uptime());
                Ok(Caller { identity, token, fingerprint })
            }
            Err(error) => {
                if matches!(error, CloudError::Unauthorized(_) | CloudError::Refused { .. }) {
                    self.identities.put(fingerprint, None, host.uptime());
                }
                Err(error.into())
            }
        }
    }

    /// What may the caller do with the stack, now?
    pub(super) async fn permission(
        &self,
        callers: &impl Callers,
        host: &impl Host,
        caller: &Caller,
        stack: &StackName,
    ) -> Result<Permission, Problem> {
        let permission = match callers.stack_permission(&caller.token, &caller.identity.login, stack).await {
            Ok(permission) => permission,
            // Whoever may not even ask has none.
            Err(CloudError::NotFound(_) | CloudError::Refused { .. }) => Permission::None,
            Err(error) => return Err(error.into()),
        };
        self.permissions.put((caller.fingerprint, stack.clone()), permission, host.uptime());
        Ok(permission)
    }

    /// What Pulumi Cloud said within the last minute that the caller may do with the stack.
    pub(super) fn known_permission(&self, host: &impl Host, caller: &Caller, stack: &StackName) -> Option<Permission> {
        self.permissions.get(&(caller.fingerprint, stack.clone()), host.uptime()).map(|(_, permission)| permission)
    }

    fn fingerprint(&self, token: &Secret) -> Fingerprint {
        let mut mac = Hmac::<Sha256>::new(&hmac::digest::Key::<Hmac<Sha256>>::from(padded(self.key)));
        mac.update(token.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 pads shorter keys with zeros to its block of 64 bytes.
fn padded(key: [u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&key);
    block
}

/// A key that nobody outside this process can know: the standard library draws its hash keys from the system's randomness.
fn random_key(host: &impl Host) -> [u8; 32] {
    let mut hash = Sha256::new();
    for _ in 0..4 {
        hash.update(RandomState::new().hash_one(host.ulid()).to_be_bytes());
        hash.update(host.ulid().to_bytes());
    }
    hash.finalize().into()
}

/// The token in the `Authorization` header: `token X` or `Bearer X`. `None` if there is none, or not exactly one.
fn token(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    let fits = (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if is_known && fits { Secret::new(token) } else { None }
}
