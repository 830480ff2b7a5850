//! Errors as callers see them: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use signoff_core::cloud::CloudError;
use signoff_core::ledger::LedgerError;
use signoff_core::names::RequestId;

/// The largest body that is taken, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// After how many seconds to come again when the store or Pulumi Cloud does not answer, and it was not said when.
const COME_AGAIN: u64 = 10;

/// A problem as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// Which kind of problem: `/problems/` and its stable word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is the matter this time, and what to do next.
    pub detail: String,
    /// What is wrong with the input, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it should be.
    pub detail: String,
}

/// A problem: an answer that is not what was asked for.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// 400: the request can't be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request can't be read", detail)
    }

    /// 401: it is not known who is calling.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Who is calling is not known", detail)
    }

    /// 403: the caller may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This caller may not do this", detail)
    }

    /// 404: there is no such thing, or the caller may not read it.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// 405: the path takes other methods.
    pub fn method_not_allowed() -> Self {
        let detail = "This path does not take this method; the Allow header names those that it takes.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method", detail)
    }

    /// 409: it is not in a state for this.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Things are not in a state for this", detail)
    }

    /// 413: the body is too large.
    pub fn too_large() -> Self {
        let detail = format!("The body is larger than {MAX_BODY} bytes; send a smaller one.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 422: the input is not what it should be.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "Mend what is listed under errors, and send it again.";
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The input is not what it should be", detail)
        }
    }

    /// 429: there are too many open requests.
    pub fn too_many(detail: impl Into<String>, retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "There are too many open requests", detail)
        }
    }

    /// 503: something that signoff needs does not answer.
    pub fn unavailable(detail: impl Into<String>, retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after.max(1)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "signoff can't do this just now", detail)
        }
    }

    /// 500: something that a person has to mend.
    pub fn broken(what: &str) -> Self {
        let detail = format!("{what} can't be read; tell the operator, who finds the reason in the logs.");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", "Something is broken", detail)
    }

    /// 500: an export without an event that can't be read would look whole. `why` names the item, and nothing of what is in it; only admins get here.
    pub(super) fn gap(why: &str) -> Self {
        tracing::error!(why, "an event can't be exported");
        let detail = format!(
            "The export would have a gap, since an event can't be read: {why}. Export what is before and after it (since, until), and put back what was changed in the store."
        );
        Self { detail, ..Self::broken("") }
    }

    /// The ledger failed at this request.
    pub fn of_request(error: &LedgerError, id: RequestId) -> Self {
        Self::of_ledger(error, &id.to_string())
    }

    fn of_ledger(error: &LedgerError, what: &str) -> Self {
        tracing::warn!(%error, what, "the ledger failed");
        match error {
            LedgerError::Conflict | LedgerError::Unavailable(_) => Self::unavailable(
                "The store does not answer, or others were faster several times over; send it again.",
                COME_AGAIN,
            ),
            LedgerError::BadCursor => Self::malformed("The cursor is not one of this listing; begin again without it."),
            LedgerError::Broken(_) => Self::broken(what),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        Self::of_ledger(&error, "Something in the store")
    }
}

impl From<CloudError> for Problem {
    /// What Pulumi Cloud said about a call with the caller's own token.
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Unauthorized(_) | CloudError::Refused { .. } => Self::unauthorized(BAD_TOKEN),
            CloudError::Later { retry_after } => Self::unavailable(
                "Pulumi Cloud is rate-limiting, so that who is calling can't be told; send it again.",
                retry_after.map_or(60, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            ),
            CloudError::NotFound(_) | CloudError::Conflict(_) | CloudError::Unclear(_) => {
                tracing::warn!(%error, "Pulumi Cloud can't be asked about a caller");
                let detail = "Pulumi Cloud can't be asked who is calling just now; send it again.";
                Self::unavailable(detail, COME_AGAIN)
            }
        }
    }
}

/// What is said of a token that Pulumi Cloud does not take.
pub(crate) const BAD_TOKEN: &str =
    "Pulumi Cloud does not take this token; send Authorization: token <a valid Pulumi access token>.";

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::too_large()
        } else {
            Self::malformed("The body ended before it was whole; send it again.")
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let view = ProblemView {
            kind: format!("/problems/{}", self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, Json(view)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("token realm=\"signoff\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
