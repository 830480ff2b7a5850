//! Single requests, their trails, the gates, and whether all is well.

use axum::Json;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use signoff_core::asking::Permission;
use signoff_core::chain::Sealed;
use signoff_core::cloud::Role;
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError, Loaded};
use signoff_core::names::{Organization, RequestId, StackName};

use super::Served;
use super::callers::{Caller, Callers};
use super::edge::{Id, no_such_request, request_id};
use super::problem::Problem;
use super::query::{Parameters, Raw};
use super::view::{EventsView, GatesView, RequestView};

/// Whether this is a person who followed the link in a change request's description.
fn is_browser(headers: &HeaderMap) -> bool {
    let accepts_html =
        headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"));
    accepts_html && !headers.contains_key(AUTHORIZATION)
}

/// What a browser is shown, which has no token to show more: the same for every id, whether there is such a request or not.
fn page(id: RequestId) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{id}</title><h1>{id}</h1>\
         <p>A deployment that was asked for at signoff. To approve it or to close it, go back to its change request at Pulumi Cloud. \
         To see how it stands, say:</p><pre>signoff show {id}</pre></html>"
    );
    (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

/// Whether the caller may read these events, of which no request can be made: each names its organization, and members read whatever it asks for.
fn may_audit(caller: &Caller, events: &[Sealed], parameters: &Parameters) -> bool {
    let named = parameters.text("organization");
    let is_theirs = |event: &Sealed| {
        let organization = event.source.strip_prefix("signoff/").and_then(|name| name.parse::<Organization>().ok());
        organization.is_some_and(|organization| {
            named.is_none_or(|named| named == organization.as_str())
                && matches!(caller.role(&organization), Some(Role::Admin | Role::Member))
        })
    };
    !events.is_empty() && events.iter().all(is_theirs)
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `GET /v1/requests/{id}`
    pub(super) async fn show(&self, headers: &HeaderMap, id: Id, query: Raw) -> Result<Response, Problem> {
        if is_browser(headers) {
            return Ok(page(request_id(id)?));
        }
        let caller = self.caller(headers).await?;
        let loaded = self.readable(&caller, id, query).await?;
        Ok(Json(self.view(&loaded)).into_response())
    }

    /// `GET /v1/requests/{id}/events`
    pub(super) async fn events(&self, headers: &HeaderMap, id: Id, query: Raw) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["organization"])?;
        let id = request_id(id)?;
        let found = self.api.ledger.load(id).await;
        // One that can't be read any more is what an auditor comes for: its events are shown as they are.
        let broken = match found {
            Ok(found) => {
                self.permitted(&caller, found, &parameters).await?;
                None
            }
            Err(error @ LedgerError::Broken(_)) => Some(Problem::of_request(&error, id)),
            Err(error) => return Err(Problem::of_request(&error, id)),
        };
        let events = self.api.ledger.events(id).await.map_err(|error| Problem::of_request(&error, id))?;
        match broken {
            Some(broken) if !may_audit(&caller, &events, &parameters) => Err(broken),
            _ => Ok(Json(EventsView { events }).into_response()),
        }
    }

    /// `GET /v1/gates`
    pub(super) async fn gates(&self, headers: &HeaderMap, query: Raw) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["organization"])?;
        let named = match parameters.text("organization") {
            Some(named) => Some(caller.organization(named)?.0),
            None => None,
        };
        let is_shown = |organization: &Organization| {
            caller.role(organization).is_some() && named.as_ref().is_none_or(|named| named == organization)
        };
        let gates = self.api.ledger.gates().await?;
        Ok(Json(GatesView::of(&gates, |gate| is_shown(&gate.environment.organization))).into_response())
    }

    /// `GET /healthz`
    pub(super) fn health(&self) -> Response {
        Json(json!({"status": "ok", "version": self.api.version})).into_response()
    }

    /// The request in the path, if the caller may read it.
    pub(super) async fn readable(&self, caller: &Caller, id: Id, query: Raw) -> Result<Loaded, Problem> {
        let parameters = Parameters::of(query, &["organization"])?;
        let loaded = self.load(request_id(id)?).await?;
        self.permitted(caller, loaded, &parameters).await
    }

    /// The request that was found, if the caller may read it.
    async fn permitted(
        &self,
        caller: &Caller,
        loaded: Option<Loaded>,
        parameters: &Parameters,
    ) -> Result<Loaded, Problem> {
        let loaded = loaded.ok_or_else(no_such_request)?;
        let stack = &loaded.request.ask.stack;
        let is_elsewhere = parameters.text("organization").is_some_and(|named| named != stack.organization.as_str());
        let may_read = !is_elsewhere && self.may_read(caller, stack).await?;
        may_read.then_some(loaded).ok_or_else(no_such_request)
    }

    /// Whether the caller may read the requests of a stack.
    pub(super) async fn may_read(&self, caller: &Caller, stack: &StackName) -> Result<bool, Problem> {
        Ok(match caller.role(&stack.organization) {
            Some(Role::Admin | Role::Member) => true,
            Some(Role::StackCollaborator) => {
                let permission = match self.door.known_permission(&*self.api.host, caller, stack) {
                    Some(known) => known,
                    None => self.door.permission(&*self.api.callers, &*self.api.host, caller, stack).await?,
                };
                permission >= Permission::Read
            }
            Some(Role::Other) | None => false,
        })
    }

    /// What is known of a request.
    pub(super) async fn load(&self, id: RequestId) -> Result<Option<Loaded>, Problem> {
        self.api.ledger.load(id).await.map_err(|error| Problem::of_request(&error, id))
    }

    /// A request as it is shown.
    pub(super) fn view(&self, loaded: &Loaded) -> RequestView {
        RequestView::of(loaded, &self.api.console_url)
    }
}
