//! The lines of the log.

use serde_json::json;
use signoff_functions::logs::WORK;
use signoff_functions::secrets::Secret;
use tracing::field::Empty;

use super::written;

/// A token as Pulumi Cloud makes them.
const TOKEN: &str = "pul-0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_line_has_the_fields_of_all_that_is_around_it() {
    let kept = written("info", || {
        let invocation = tracing::info_span!(target: "lambda_runtime", "Lambda runtime invoke", requestId = "r-1");
        let _in = invocation.enter();
        let work = tracing::trace_span!(target: WORK, "work", request = Empty, delivery = Empty, deployment = Empty);
        work.record("request", tracing::field::display("req_01"));
        work.in_scope(|| {
            tracing::info!(target: "signoff_core::look", state = "granted", sequence = 5, "recorded");
            tracing::Span::current().record("deployment", "dep-1");
            tracing::Span::current().record("delivery", "d-1");
            tracing::error!(target: "signoff_core::look", request = "req_02", "line\nbreak \"quoted\"");
        });
        tracing::debug!(target: "signoff_core::look", "not asked for");
    });
    let first = json!({"level": "INFO", "message": "recorded", "requestId": "r-1", "request": "req_01", "state": "granted", "sequence": 5});
    let second = json!({
        "level": "ERROR", "message": "line\nbreak \"quoted\"", "requestId": "r-1", "request": "req_02", "delivery": "d-1", "deployment": "dep-1",
        "target": "signoff_core::look",
    });
    assert_eq!(kept.documents(), [first, second]);
    assert!(kept.0.lock().unwrap()[0].starts_with(r#"{"level":"INFO","message":"recorded","#));
}

#[test]
fn a_warning_says_in_which_invocation_whatever_the_filter_says() {
    for filter in ["warn", "error", "signoff_core=error"] {
        let kept = written(filter, || {
            let invocation = tracing::info_span!(target: "lambda_runtime::layers::trace", "Lambda runtime invoke", requestId = "r-1");
            let _in = invocation.enter();
            let work = tracing::trace_span!(target: WORK, "work", request = "req_01");
            let _at = work.enter();
            tracing::info!(target: "lambda_runtime::layers::trace", "no span");
            tracing::info!(target: "signoff_core::look", "not asked for");
            tracing::error!(target: "signoff_core::look", "worse");
        });
        let lines = kept.documents();
        assert_eq!(lines.len(), 1, "{filter}: {lines:?}");
        assert_eq!((&lines[0]["requestId"], &lines[0]["request"]), (&json!("r-1"), &json!("req_01")), "{filter}");
    }
}

#[test]
fn levels_are_chosen_by_the_filter() {
    let levels = |filter: &str| {
        let kept = written(filter, || {
            tracing::debug!(target: "signoff_core::look", "a");
            tracing::info!(target: "signoff_functions::receive", "b");
            tracing::warn!(target: "signoff_core::look", "c");
        });
        kept.documents().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(levels("info"), "bc");
    assert_eq!(levels("signoff_core=debug,warn"), "ac");
    assert_eq!(levels("off"), "");
    assert_eq!((levels("info,"), levels(" , warn")), ("bc".to_owned(), "c".to_owned()));
    assert!(
        signoff_functions::logs::subscriber(
            "no=such=filter",
            signoff_functions::metrics::Namespace::default(),
            std::sync::Arc::new(super::Still),
            super::Kept::default()
        )
        .is_err()
    );
}

#[test]
fn no_secret_gets_into_a_line_whatever_is_logged() {
    let kept = written("trace", || {
        let secret = Secret::new(TOKEN).unwrap();
        let span = tracing::info_span!(target: "signoff_core::look", "s", token = TOKEN, authorization = ?format!("token {TOKEN}"));
        span.in_scope(|| {
            tracing::info!(target: "signoff_core::look", secret = ?secret, error = %format!("token {TOKEN}, again {TOKEN}!"), "with {TOKEN}");
        });
        // What libraries say of headers and bodies.
        tracing::trace!(target: "aws_sigv4::http_request::sign", canonical = "x-amz-security-token:s3cret");
        tracing::debug!(target: "hyper::proto::h1", headers = "pulumi-webhook-signature: s3cret");
        tracing::trace!(target: "lambda_runtime::requests", body = "s3cret");
        tracing::info!(target: "lambda_runtime", "heard");
    });
    let all = kept.0.lock().unwrap().join("\n");
    assert_eq!(kept.documents().len(), 2, "{all}");
    assert!(!all.contains("0123456789abcdef") && !all.contains("s3cret"), "{all}");
    assert!(all.contains("pul-***") && all.contains(r#""secret":"***""#), "{all}");
}

#[test]
fn what_only_resembles_a_token_stays() {
    let kept = written("info", || {
        tracing::info!(target: "signoff_core::look", stack = "acme/pul-web/prod", login = "pul-", "x");
    });
    assert_eq!(kept.documents()[0]["stack"], "acme/pul-web/prod");
}
