//! Asking for a deployment.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use signoff_core::asking::{self, Permission, Standing};
use signoff_core::gate::Gate;
use signoff_core::host::Host;
use signoff_core::ledger::{Idempotency, Ledger, LedgerError, Line, Loaded, NewRequest, Note, Work};
use signoff_core::names::{RequestId, StackName};
use signoff_core::request::{Ask, Requester};

use super::Served;
use super::body::{Draft, Wanted, json};
use super::callers::{Caller, Callers};
use super::edge::Body;
use super::problem::{FieldError, Problem};
use super::query::{Parameters, Raw};

/// For how long an idempotency key holds.
const KEY_HOLDS: SignedDuration = SignedDuration::from_hours(24);
/// The longest idempotency key, in characters.
const MAX_KEY: usize = 255;
/// How often a request is tried to be recorded while others are faster.
const MAX_ATTEMPTS: u32 = 5;
/// After how many seconds to come again when there are too many open requests.
const FULL_RETRY_SECONDS: u64 = 60;

/// An idempotency key as the ledger knows it, and the body that came with it.
struct Key {
    key: String,
    body: String,
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `POST /v1/requests`
    pub(super) async fn create(&self, headers: &HeaderMap, query: Raw, body: Body) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["organization"])?;
        let key = idempotency_key(headers)?;
        let body = json(&body?)?;
        let fingerprint = asking::fingerprint(&body)
            .map_err(|_| Problem::malformed("The body holds a number that can't be read; leave it out."))?;
        let key = key.map(|key| Key { key: owned_key(&caller, &key), body: fingerprint });
        let draft = Draft::of(body)?;
        if let Some(stack) = &draft.stack {
            self.is_in_organization(&caller, stack, &parameters)?;
        }
        if let Some(known) = self.known(&caller, key.as_ref()).await? {
            return Ok(self.answer(StatusCode::OK, &known));
        }
        let gates = self.api.ledger.gates().await?;
        let gate = draft.stack.as_ref().and_then(|stack| gates.gate_of(stack));
        let wanted = draft.check(gate, caller.identity.machine.is_some(), self.api.host.now())?;
        let gate = gate.ok_or_else(|| Problem::forbidden("No gate covers this stack."))?;
        self.may_ask(&caller, gate, &wanted).await?;
        self.record(&caller, gate, &wanted, key.as_ref()).await
    }

    /// Nobody learns of gates of organizations that they are not in.
    fn is_in_organization(&self, caller: &Caller, stack: &StackName, named: &Parameters) -> Result<(), Problem> {
        if named.text("organization").is_some_and(|named| named != stack.organization.as_str()) {
            let detail = "the stack is in another organization than organization= names; leave that out".to_owned();
            return Err(Problem::invalid(vec![FieldError { pointer: "/stack".to_owned(), detail }]));
        }
        if caller.role(&stack.organization).is_none() {
            let detail = "Only members and admins of the stack's organization may ask; use the access token of one.";
            return Err(Problem::forbidden(detail));
        }
        Ok(())
    }

    async fn may_ask(&self, caller: &Caller, gate: &Gate, wanted: &Wanted) -> Result<(), Problem> {
        let role = caller.role(&wanted.stack.organization);
        match asking::standing(gate, &caller.identity, role, wanted.operation) {
            Standing::May => Ok(()),
            Standing::MayNot(why) => Err(Problem::forbidden(why)),
            Standing::Needs(least) => {
                let has = self.door.permission(&*self.api.callers, &*self.api.host, caller, &wanted.stack).await?;
                if has >= least {
                    return Ok(());
                }
                let has = if has == Permission::None { "none that Pulumi Cloud shows" } else { has.as_str() };
                Err(Problem::forbidden(format!(
                    "{} takes {} permission on {}, and you have {has}; have it granted to you, or ask somebody who has it to request this.",
                    wanted.operation,
                    least.as_str(),
                    wanted.stack
                )))
            }
        }
    }

    /// The request that the caller's key stands for.
    async fn known(&self, caller: &Caller, key: Option<&Key>) -> Result<Option<Loaded>, Problem> {
        let Some(key) = key else { return Ok(None) };
        let now = self.api.host.now();
        let Some(known) = self.api.ledger.idempotency(&caller.identity.login, &key.key, now).await? else {
            return Ok(None);
        };
        if known.body != key.body {
            let detail = "This Idempotency-Key was used with another body; take a new key for another request.";
            return Err(Problem::conflict(detail));
        }
        let loaded = self.load(known.request).await?;
        loaded.map(Some).ok_or_else(|| Problem::broken(&known.request.to_string()))
    }

    async fn record(
        &self,
        caller: &Caller,
        gate: &Gate,
        wanted: &Wanted,
        key: Option<&Key>,
    ) -> Result<Response, Problem> {
        for _ in 0..MAX_ATTEMPTS {
            let line = self.api.ledger.line(&wanted.stack).await?;
            asking::room(&line, &caller.identity.login)
                .map_err(|full| Problem::too_many(full.to_string(), FULL_RETRY_SECONDS))?;
            let new = self.new_request(caller, gate, wanted, key, &line)?;
            let id = new.step.request.ask.id;
            match self.api.ledger.create(&new).await {
                Ok(()) => {
                    let work = Work { due: Some(new.due), intent: None, note: Note::default() };
                    return Ok(self.answer(StatusCode::ACCEPTED, &Loaded { request: new.step.request, work }));
                }
                Err(LedgerError::Conflict) => {}
                // It may have been written all the same.
                Err(error @ LedgerError::Unavailable(_)) => {
                    return match self.api.ledger.load(id).await {
                        Ok(Some(loaded)) => Ok(self.answer(StatusCode::ACCEPTED, &loaded)),
                        _ => Err(Problem::of_request(&error, id)),
                    };
                }
                Err(error) => return Err(Problem::of_request(&error, id)),
            }
            if let Some(known) = self.known(caller, key).await? {
                return Ok(self.answer(StatusCode::OK, &known));
            }
        }
        Err(Problem::unavailable("Too many ask for this stack at once; send it again in a moment.", 1))
    }

    fn new_request(
        &self,
        caller: &Caller,
        gate: &Gate,
        wanted: &Wanted,
        key: Option<&Key>,
        line: &Line,
    ) -> Result<NewRequest, Problem> {
        let now = self.api.host.now();
        let id = RequestId::new(self.api.host.ulid());
        let identity = &caller.identity;
        let ask = Ask {
            id,
            stack: wanted.stack.clone(),
            operation: wanted.operation,
            reason: wanted.reason.clone(),
            commit: wanted.commit.clone(),
            requester: Requester {
                login: identity.login.clone(),
                name: identity.name.clone(),
                machine: identity.machine.as_ref().map(|machine| machine.name.clone()),
            },
            on_behalf_of: wanted.on_behalf_of.clone(),
            push: None,
            rescues: None,
            gate: asking::terms(gate, wanted.operation),
            access_duration: wanted.access_duration.clone(),
            grant_expiration: wanted.grant_expiration.clone(),
            pending_timeout: wanted.pending_timeout.clone(),
            not_before: wanted.not_before,
            not_after: wanted.not_after,
            position: line.next,
            created_at: now,
        };
        let idempotency = key.map(|key| Idempotency {
            caller: identity.login.clone(),
            key: key.key.clone(),
            body: key.body.clone(),
            request: id,
            until: later(now, KEY_HOLDS),
        });
        asking::new_request(ask, &*self.api.host, self.api.sweep, idempotency)
            .map_err(|_| Problem::broken(&id.to_string()))
    }

    fn answer(&self, status: StatusCode, loaded: &Loaded) -> Response {
        let location = format!("{}/v1/requests/{}", self.api.public_url, loaded.request.ask.id);
        (status, [(LOCATION, location)], Json(self.view(loaded))).into_response()
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// The caller's idempotency key, if they gave one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad =
        || Problem::malformed(format!("Give one Idempotency-Key of 1 to {MAX_KEY} ASCII characters without spaces."));
    let mut values = headers.get_all("idempotency-key").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let key = value.to_str().map_err(|_| bad())?;
            let fits = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
            fits.then(|| Some(key.to_owned())).ok_or_else(bad)
        }
        (Some(_), Some(_)) => Err(bad()),
    }
}

/// The key as the ledger knows it: several machine tokens may have one login, and each has keys of its own.
fn owned_key(caller: &Caller, key: &str) -> String {
    match &caller.identity.machine {
        Some(machine) => format!("{}/{key}", hex::encode(Sha256::digest(&machine.name))),
        None => key.to_owned(),
    }
}
