//! What a server says when it refuses, in the words of the command line: the API speaks of fields, headers and paths, which
//! nobody has before them here.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::failure::Refusal;

/// The longest that a server may ask to be left alone.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The type of the problem that there are too many open requests.
const TOO_MANY: &str = "/problems/too-many";

/// The API's words, and the command line's for them.
const WORDS: [(&str, &str); 6] = [
    ("GET /v1/gates", "`signoff gates`"),
    ("GET /v1/requests", "`signoff list`"),
    ("organization=NAME", "--organization NAME"),
    ("organization=", "--organization"),
    ("Idempotency-Key", "--idempotency-key"),
    ("send it again", "try again"),
];

/// What a refusal says: problem details (RFC 9457), Pulumi Cloud's `code` and `message`, or anything else. A bad token is the same to
/// both servers, and so is what helps.
pub(super) fn refusal(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors: Vec<String> = body["errors"].as_array().into_iter().flatten().map(error).collect();
    let (title, detail) = if status == 401 {
        let help = "set PULUMI_ACCESS_TOKEN, or say: pulumi login".to_owned();
        ("Pulumi Cloud does not take your token".to_owned(), Some(help))
    } else {
        let text = |key: &str| body[key].as_str().map(str::trim).filter(|text| !text.is_empty()).map(in_our_words);
        let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let title = text("title").unwrap_or_else(|| reason.unwrap_or("refused").to_owned());
        // What is wrong field by field says more than that something is.
        let detail = text("detail").or_else(|| text("message")).filter(|detail| errors.is_empty() && *detail != title);
        (format!("{title} ({status})"), detail)
    };
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    let is_limit = body["type"] == TOO_MANY;
    Refusal { status, title, detail, errors, retry_after, is_limit }
}

/// What is wrong with one field, behind the option or argument that gives it.
fn error(error: &Value) -> String {
    let detail = in_our_words(error["detail"].as_str().unwrap_or("is wrong"));
    match error["pointer"].as_str().unwrap_or_default() {
        "" => detail,
        pointer => format!("{}: {detail}", option(pointer)),
    }
}

/// The option or argument that a field is given with: `/accessDuration` with `--access-duration`.
fn option(pointer: &str) -> String {
    let name = match pointer {
        "/stack" => "STACK",
        "/operation" => "OPERATION",
        "/reason" => "--reason",
        "/commit" => "--commit",
        "/accessDuration" => "--access-duration",
        "/grantExpiration" => "--grant-expiration",
        "/pendingTimeout" => "--pending-timeout",
        "/onBehalfOf" => "--on-behalf-of",
        "/notBefore" => "--not-before",
        "/notAfter" => "--not-after",
        other => other,
    };
    name.to_owned()
}

fn in_our_words(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: &Value) -> String {
        refusal(status, &HeaderMap::new(), body.to_string().as_bytes()).to_string()
    }

    #[test]
    fn a_refusal_says_what_is_wrong_option_by_option() {
        let body = json!({"title": "Bad input", "status": 422, "detail": "Mend what is listed under errors, and send it again.",
            "errors": [{"pointer": "/reason", "detail": "is missing"}, {"pointer": "/accessDuration", "detail": "1h at most"},
                {"pointer": "", "detail": "so it goes"}, {"pointer": "/stack", "detail": "no gate covers this stack; GET /v1/gates lists the stacks"},
                {"pointer": "/new", "detail": "there is no such field"}, {}]});
        let expected = "Bad input (422)\n  --reason: is missing\n  --access-duration: 1h at most\n  so it goes\n  \
            STACK: no gate covers this stack; `signoff gates` lists the stacks\n  /new: there is no such field\n  is wrong";
        assert_eq!(said(422, &body), expected);
    }

    #[test]
    fn the_apis_words_become_the_command_lines() {
        let detail = "You are in several organizations; say which one with organization=NAME.";
        let body = json!({"title": "The request can't be read", "detail": detail});
        let expected = "The request can't be read (400): You are in several organizations; say which one with --organization NAME.";
        assert_eq!(said(400, &body), expected);
        let body = json!({"title": "No", "detail": "There is none; GET /v1/requests lists those that you may."});
        assert_eq!(said(404, &body), "No (404): There is none; `signoff list` lists those that you may.");
    }

    #[test]
    fn a_bad_token_comes_with_what_helps() {
        let expected = "Pulumi Cloud does not take your token: set PULUMI_ACCESS_TOKEN, or say: pulumi login";
        let signoff =
            json!({"title": "Who is calling is not known", "detail": "send Authorization: token <a valid one>."});
        assert_eq!(said(401, &signoff), expected);
        assert_eq!(said(401, &json!({"code": 401, "message": "Unauthorized: No credentials provided"})), expected);
    }

    #[test]
    fn pulumi_cloud_and_strangers_are_understood_too() {
        assert_eq!(said(404, &json!({"code": 404, "message": "no such thing"})), "Not Found (404): no such thing");
        assert_eq!(said(599, &json!({"title": 3, "errors": {}})), "refused (599)");
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let refusal = refusal(502, &headers, b"<html>");
        assert_eq!(
            (refusal.to_string().as_str(), refusal.retry_after),
            ("Bad Gateway (502)", Some(Duration::from_secs(7)))
        );
    }
}
