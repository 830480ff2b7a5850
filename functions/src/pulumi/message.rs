//! What Pulumi Cloud says about a call that it did not do, made fit to be shown and kept.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;
use signoff_core::cloud::CloudError;
use signoff_core::names::hides;

use crate::secrets::Secret;

/// Longest message of Pulumi Cloud's that is kept, in characters.
const MAX_MESSAGE: usize = 300;
/// The longest wait that a `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The error that an answer with this status is; `None` for 2xx.
pub(super) fn error_of(status: u16, headers: &HeaderMap, body: &[u8], token: &Secret) -> Option<CloudError> {
    let said = || {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        match answer.as_ref().and_then(|answer| answer["message"].as_str()) {
            Some(text) => bounded(text, token),
            None => format!("status {status} without a message"),
        }
    };
    match status {
        200..=299 => None,
        401 => Some(CloudError::Unauthorized(said())),
        404 => Some(CloudError::NotFound(said())),
        409 => Some(CloudError::Conflict(said())),
        429 => Some(CloudError::Later { retry_after: retry_after(headers) }),
        // Too slow or too early says nothing about the call itself, and a proxy may be the one that says it.
        408 | 425 => Some(CloudError::Unclear(format!("status {status}"))),
        400..=499 => Some(CloudError::Refused { status, message: said() }),
        300..=399 => Some(CloudError::Unclear(format!("status {status}: a redirect, which is not followed"))),
        _ => Some(CloudError::Unclear(format!("status {status}"))),
    }
}

/// A text that came from outside: without the token and what hides or turns text round, and not too long.
pub(crate) fn bounded(text: &str, token: &Secret) -> String {
    let text: String = text.chars().filter(|c| !hides(*c)).collect();
    text.replace(token.expose(), "***").chars().take(MAX_MESSAGE).collect()
}

/// How long to wait: a number of seconds, or a date, of which the answer's own date is taken off.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(RETRY_AFTER)?;
    let wait = match after.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let parser = jiff::fmt::rfc2822::DateTimeParser::new();
            let (until, now) = (parser.parse_timestamp(after).ok()?, parser.parse_timestamp(text(DATE)?).ok()?);
            Duration::from_secs(u64::try_from(until.as_second() - now.as_second()).unwrap_or(0))
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn said(text: &str) -> String {
        bounded(text, &Secret::new("pul-hush").unwrap())
    }

    #[test]
    fn a_message_is_bounded_and_shows_no_token() {
        assert_eq!(said("a\nb\u{1b}[31m\u{202E}c"), "ab[31mc");
        assert_eq!(said("a\u{200b}b\u{2060}\u{feff}c\u{e0041}\u{fff9}"), "abc");
        assert_eq!(said("the token pul-hush, or pul-\u{0}hush, or pul\u{200b}-hush"), "the token ***, or ***, or ***");
        assert_eq!(said(&"é".repeat(1000)).chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_an_hour_at_most() {
        let wait = |after: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
            headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("99999999"), Some(3600));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }
}
