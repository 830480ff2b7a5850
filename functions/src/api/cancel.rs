//! Taking a request back.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use signoff_core::chain;
use signoff_core::cloud::Role;
use signoff_core::event::{Actor, Entry, Event, RestsOn};
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError, Loaded};
use signoff_core::names::Reason;
use signoff_core::request::{Outcome, State, Worker};

use super::Served;
use super::body::{Fields, json};
use super::callers::{Caller, Callers};
use super::edge::{Body, Id, no_such_request};
use super::problem::Problem;
use super::query::Raw;

/// How often a cancellation is tried to be recorded while the request moves on.
const MAX_ATTEMPTS: u32 = 5;

/// What a cancellation of a request in some state comes to.
enum Decision {
    /// It can be recorded; this worker carries it out.
    Record(Worker),
    /// It is cancelled already.
    Done,
    /// It is too late; the sentence says why.
    TooLate(String),
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `POST /v1/requests/{id}/cancel`
    pub(super) async fn cancel(
        &self,
        headers: &HeaderMap,
        id: Id,
        query: Raw,
        body: Body,
    ) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let mut loaded = self.readable(&caller, id, query).await?;
        let ask = &loaded.request.ask;
        let id = ask.id;
        if !caller.asked(ask) && caller.role(&ask.stack.organization) != Some(Role::Admin) {
            return Err(Problem::forbidden(
                "Only the requester or an admin of the organization may cancel it; a reviewer can say no with signoff reject, or close its change request at Pulumi Cloud.",
            ));
        }
        let mut fields = Fields::of(json(&body?)?)?;
        let reason = fields.required::<Reason>("reason");
        fields.finish()?;
        let reason = reason.ok_or_else(|| Problem::malformed("Give a reason."))?;
        for _ in 0..MAX_ATTEMPTS {
            let worker = match decide(&loaded) {
                Decision::Record(worker) => worker,
                Decision::Done => return Ok(self.cancelled(&loaded)),
                Decision::TooLate(why) => return Err(Problem::conflict(why)),
            };
            let entry = self.cancellation(&caller, &reason, &loaded);
            let step = chain::seal(Some(&loaded.request), &entry).map_err(|_| Problem::broken(&id.to_string()))?;
            match self.api.ledger.record_cancel(&step, worker).await {
                Ok(()) => return Ok(self.cancelled(&Loaded { request: step.request, work: loaded.work })),
                Err(LedgerError::Conflict) => {
                    loaded = self.load(id).await?.ok_or_else(no_such_request)?;
                }
                Err(error) => return Err(Problem::of_request(&error, id)),
            }
        }
        Err(Problem::unavailable("The request moves on too fast to be cancelled just now; send it again.", 1))
    }

    fn cancellation(&self, caller: &Caller, reason: &Reason, loaded: &Loaded) -> Entry {
        let login = &caller.identity.login;
        let why = reason.as_str().trim_end();
        let stop = if why.ends_with(['.', '!', '?']) { "" } else { "." };
        let message = format!("Cancelled by {login}: {why}{stop} Ask again if it is still wanted.");
        let event = Event::EndDecided {
            to: State::Cancelled,
            outcome: Outcome::new("cancelled", message),
            rests_on: RestsOn::recorded(&loaded.request.status),
        };
        // Never before the event before it, whatever the machines' clocks say.
        let at = self.api.host.now().max(loaded.request.status.updated_at);
        Entry { id: self.api.host.ulid(), at, actor: Actor::Login(login.clone()), event }
    }

    fn cancelled(&self, loaded: &Loaded) -> Response {
        (StatusCode::ACCEPTED, Json(self.view(loaded))).into_response()
    }
}

/// What a cancellation of this request comes to.
fn decide(loaded: &Loaded) -> Decision {
    let status = &loaded.request.status;
    if status.state.is_terminal() {
        return Decision::TooLate(format!(
            "The request is over: it ended as {}. There is nothing to cancel.",
            status.state
        ));
    }
    if let Some(ending) = &status.ending {
        return match ending.to {
            State::Cancelled => Decision::Done,
            to => Decision::TooLate(format!("The request is ending already: it will be {to}.")),
        };
    }
    let too_late = "The deployment is created, or about to be; cancel the deployment itself at Pulumi Cloud.";
    match status.state.worker() {
        Some(worker) if status.state != State::Deploying && loaded.work.intent.is_none() => Decision::Record(worker),
        _ => Decision::TooLate(too_late.to_owned()),
    }
}
