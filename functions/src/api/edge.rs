//! What every call has around it: its line in the log, and headers that keep answers where they belong.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use signoff_core::host::Host;
use signoff_core::names::RequestId;

use super::problem::Problem;

/// A body as axum hands it over.
pub(super) type Body = Result<Bytes, BytesRejection>;
/// An id in the path as axum hands it over.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// The header by which a call is found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the edge works with.
#[derive(Debug)]
pub(crate) struct Edge<H> {
    /// The clock and fresh ids.
    pub(crate) host: Arc<H>,
}

impl<H> Clone for Edge<H> {
    fn clone(&self) -> Self {
        Self { host: Arc::clone(&self.host) }
    }
}

/// Logs a call (its route, never its query, headers or body), and sets the headers that all answers have.
pub(crate) async fn edge<H: Host + 'static>(State(edge): State<Edge<H>>, request: Request, next: Next) -> Response {
    let began = edge.host.uptime();
    let call = edge.host.ulid().to_string();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    let ms = edge.host.uptime().saturating_sub(began).as_millis();
    tracing::info!(%method, path, status = response.status().as_u16(), ms, call, "answered");
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if let Ok(call) = HeaderValue::from_str(&call) {
        headers.insert(REQUEST_ID, call);
    }
    response
}

/// The request id in the path.
pub(super) fn request_id(id: Id) -> Result<RequestId, Problem> {
    id.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(no_such_request)
}

/// What is said of a request that is not there, or not to be read by this caller: the same.
pub(super) fn no_such_request() -> Problem {
    Problem::not_found("There is no such request, or you may not read it; GET /v1/requests lists those that you may.")
}
