//! Events as AWS sends them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A call of the HTTP API as API Gateway hands it over (payload version 2.0). The body goes as base64 if it is asked for, as it does for content types
/// that API Gateway takes for binary, and whenever it is no text.
pub(crate) fn http(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>, base64: bool) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut sent: Map<String, Value> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), Value::from(*value))).collect();
    let domain = "abcdefghij.execute-api.eu-central-1.amazonaws.com";
    for (name, value) in [
        ("host", domain),
        ("x-amzn-trace-id", "Root=1-6924a1b2-0123456789abcdef01234567"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        sent.insert(name.to_owned(), value.into());
    }
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": sent,
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij", "domainName": domain, "domainPrefix": "abcdefghij",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "curl/8.9.1",
            },
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
            "time": "23/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_435_200_000_i64,
        },
        "isBase64Encoded": base64,
    });
    if !query.is_empty() {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        event["queryStringParameters"] = pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    }
    if let Some(body) = body {
        let encoded = || STANDARD.encode(body);
        event["body"] = if base64 { encoded() } else { String::from_utf8(body.to_vec()).unwrap() }.into();
    }
    event
}

/// The body of a function's answer to such an event, as whoever called gets it.
pub(crate) fn body(answer: &Value) -> Vec<u8> {
    let text = answer["body"].as_str().unwrap_or_default();
    if answer["isBase64Encoded"] == true { STANDARD.decode(text).unwrap() } else { text.as_bytes().to_vec() }
}

/// The same as JSON.
pub(crate) fn json_body(answer: &Value) -> Value {
    serde_json::from_slice(&body(answer)).unwrap_or_else(|_| panic!("{answer}"))
}

/// The clock's event, as EventBridge sends it.
pub(crate) fn tick() -> Value {
    json!({
        "version": "0", "id": "89d1a02d-5ec7-412e-82f5-13505f849b41", "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": "123456789012", "time": "2026-11-23T12:00:00Z", "region": "eu-central-1",
        "resources": ["arn:aws:scheduler:eu-central-1:123456789012:schedule/default/signoff-reconcile"], "detail": "{}",
    })
}
