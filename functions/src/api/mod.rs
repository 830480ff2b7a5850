//! The HTTP API: requests, their trail, the gates. It records what is asked and taken back, and acts on nothing.

mod audit;
mod body;
mod break_glass;
mod callers;
mod cancel;
mod create;
mod cursor;
mod edge;
mod explain;
mod listing;
mod problem;
mod query;
mod show;
mod throttle;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use jiff::SignedDuration;
use signoff_core::cloud::Role;
use signoff_core::host::Host;
use signoff_core::ledger::Ledger;
use signoff_core::names::Organization;

pub use callers::Callers;
pub use problem::{FieldError, MAX_BODY, Problem, ProblemView};
pub use view::{
    AuditView, ChangeRequestView, DeploymentView, EndingView, EventsView, Explanation, GateTermsView, GateView,
    GatesView, NumberedGate, RequestView, RequesterView, RequestsView,
};

pub(crate) use edge::{Edge, edge};

use callers::{Caller, Door};

/// What the API works with.
#[derive(Debug)]
pub struct Api<L, C, H> {
    /// What is remembered.
    pub ledger: Arc<L>,
    /// Pulumi Cloud, asked with the callers' own tokens.
    pub callers: Arc<C>,
    /// The clock and fresh ids.
    pub host: Arc<H>,
    /// Where the API is reached from outside, without a slash at the end: links begin with it.
    pub public_url: String,
    /// Where Pulumi Cloud's console is, without a slash at the end: review links begin with it.
    pub console_url: String,
    /// What `/healthz` says.
    pub version: String,
    /// The time between two sweeps: a new request is looked at after it at the latest.
    pub sweep: SignedDuration,
}

/// An API with the callers that it knows.
#[derive(Debug)]
struct Served<L, C, H> {
    api: Api<L, C, H>,
    door: Door,
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.door.vouch(&*self.api.callers, &*self.api.host, headers).await
    }

    /// The organization that a call is about: the one that it names, or the one that is the caller's own.
    async fn organization(&self, caller: &Caller, named: Option<&str>) -> Result<(Organization, Role), Problem> {
        match named {
            Some(named) => caller.organization(named),
            None => caller.own_organization(&self.api.ledger.gates().await?),
        }
    }
}

/// The router of the API. It has a fallback, so that unknown paths get a problem too.
pub fn router<L, C, H>(api: Api<L, C, H>) -> Router
where
    L: Ledger + 'static,
    C: Callers + 'static,
    H: Host + 'static,
{
    type On<L, C, H> = State<Arc<Served<L, C, H>>>;
    let edge_of = Edge { host: Arc::clone(&api.host) };
    let door = Door::new(&*api.host);
    let served = Arc::new(Served { api, door });
    Router::new()
        .route(
            "/v1/requests",
            post(async |State(on): On<L, C, H>, headers: HeaderMap, query: query::Raw, body: edge::Body| {
                on.create(&headers, query, body).await
            })
            .get(async |State(on): On<L, C, H>, headers: HeaderMap, query: query::Raw| on.list(&headers, query).await),
        )
        .route(
            "/v1/requests/{id}",
            get(async |State(on): On<L, C, H>, headers: HeaderMap, id: edge::Id, query: query::Raw| {
                on.show(&headers, id, query).await
            }),
        )
        .route(
            "/v1/requests/{id}/events",
            get(async |State(on): On<L, C, H>, headers: HeaderMap, id: edge::Id, query: query::Raw| {
                on.events(&headers, id, query).await
            }),
        )
        .route(
            "/v1/requests/{id}/cancel",
            post(
                async |State(on): On<L, C, H>,
                       headers: HeaderMap,
                       id: edge::Id,
                       query: query::Raw,
                       body: edge::Body| { on.cancel(&headers, id, query, body).await },
            ),
        )
        .route(
            "/v1/requests/{id}/break-glass",
            post(
                async |State(on): On<L, C, H>,
                       headers: HeaderMap,
                       id: edge::Id,
                       query: query::Raw,
                       body: edge::Body| { on.break_glass(&headers, id, query, body).await },
            ),
        )
        .route(
            "/v1/audit",
            get(async |State(on): On<L, C, H>, headers: HeaderMap, query: query::Raw| on.audit(&headers, query).await),
        )
        .route(
            "/v1/gates",
            get(async |State(on): On<L, C, H>, headers: HeaderMap, query: query::Raw| on.gates(&headers, query).await),
        )
        .route(
            "/v1/gates/explain",
            get(async |State(on): On<L, C, H>, headers: HeaderMap, query: query::Raw| {
                on.explain(&headers, query).await
            }),
        )
        .route("/healthz", get(async |State(on): On<L, C, H>| on.health()))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::not_found("There is nothing at this path; the API is under /v1."))
        .with_state(served)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(edge_of, edge::<H>))
}
