//! Lifting a window, a freeze, the wait or the line from one request, by whom the gate names for that. Approvals are never lifted.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use signoff_core::chain;
use signoff_core::conditions::Lift;
use signoff_core::event::{Actor, Entry, Event};
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError, LineChange, Loaded};
use signoff_core::names::Reason;
use signoff_core::notice;
use signoff_core::request::State;

use super::Served;
use super::body::{Fields, json};
use super::callers::Callers;
use super::edge::{Body, Id, no_such_request};
use super::problem::Problem;
use super::query::Raw;

/// How often it is tried to be recorded while the request moves on.
const MAX_ATTEMPTS: u32 = 5;

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `POST /v1/requests/{id}/break-glass`
    pub(super) async fn break_glass(
        &self,
        headers: &HeaderMap,
        id: Id,
        query: Raw,
        body: Body,
    ) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let mut loaded = self.readable(&caller, id, query).await?;
        let login = &caller.identity.login;
        let id = loaded.request.ask.id;
        let gates = self.api.ledger.gates().await?;
        let gate = gates.gate_of(&loaded.request.ask.stack);
        // A machine has no judgement to break the glass with, whatever its token's login is.
        if caller.identity.machine.is_some() {
            return Err(Problem::forbidden(
                "A machine token lifts nothing: somebody whom the gate names under break-glass has to do it as themselves.",
            ));
        }
        if !gate.is_some_and(|gate| gate.may_break_glass(login)) {
            let nobody = gate.is_none_or(|gate| gate.break_glass.is_empty());
            return Err(Problem::forbidden(if nobody {
                "Nobody may lift anything from it: the gate of its stack names nobody under break-glass."
            } else {
                "Only those whom the gate names under break-glass may lift something; `signoff gates` lists them."
            }));
        }
        let mut fields = Fields::of(json(&body?)?)?;
        let lift = fields.each::<Lift>("lift");
        let reason = fields.required::<Reason>("reason");
        fields.finish()?;
        let (Some(lift), Some(reason)) = (lift, reason) else {
            return Err(Problem::malformed("Give what to lift, and a reason."));
        };
        for _ in 0..MAX_ATTEMPTS {
            let status = &loaded.request.status;
            let lifted: BTreeSet<Lift> = lift.difference(&status.lifted).copied().collect();
            if lifted.is_empty() {
                return Ok(self.lifted(&loaded));
            }
            if let Some(why) = too_late(&loaded) {
                return Err(Problem::conflict(why));
            }
            let entry = Entry {
                id: self.api.host.ulid(),
                // Never before the event before it, whatever the machines' clocks say.
                at: self.api.host.now().max(status.updated_at),
                actor: Actor::Login(login.clone()),
                event: Event::GlassBroken { lifted, reason: reason.clone() },
            };
            let mut step = chain::seal(Some(&loaded.request), &entry).map_err(|_| Problem::broken(&id.to_string()))?;
            step.is_told = notice::is_told(gate, &loaded.request.ask, &entry.event);
            match self.api.ledger.record(&step, status.state.worker(), LineChange::Keep).await {
                Ok(()) => {
                    tracing::warn!(request = %id, login = %login, lifted = ?lift, "the glass was broken");
                    return Ok(self.lifted(&Loaded { request: step.request, work: loaded.work }));
                }
                Err(LedgerError::Conflict) => loaded = self.load(id).await?.ok_or_else(no_such_request)?,
                Err(error) => return Err(Problem::of_request(&error, id)),
            }
        }
        Err(Problem::unavailable("The request moves on too fast just now; send it again.", 1))
    }

    fn lifted(&self, loaded: &Loaded) -> Response {
        (StatusCode::ACCEPTED, Json(self.view(loaded))).into_response()
    }
}

/// Why there is nothing left to lift; `None`: there may be.
fn too_late(loaded: &Loaded) -> Option<String> {
    let status = &loaded.request.status;
    match &status.ending {
        _ if status.state.is_terminal() => Some(format!("The request is over: it ended as {}.", status.state)),
        _ if status.state == State::Deploying || loaded.work.intent.is_some() => {
            Some("The request is deploying or about to be: nothing holds it up any more.".to_owned())
        }
        Some(ending) => Some(format!("The request is over: it is about to end as {}.", ending.to)),
        None => None,
    }
}
