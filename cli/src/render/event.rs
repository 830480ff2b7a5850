//! The events of a trail, as people read them. They are shown as the server gives them; only `audit verify` judges them.

use std::collections::HashMap;

use serde_json::Value;

use super::screen::Screen;
use super::table::{Cell, Table};
use super::text::{line, short};
use super::time;

/// How much of an event's detail a table shows, in characters.
const SHORT_DETAIL: usize = 200;

/// The environments of change requests, by the id: one event names both, those after it the id alone.
type Environments<'a> = HashMap<&'a str, &'a str>;

/// A table of events.
pub(crate) fn table(events: &[Value], screen: Screen) -> String {
    let environments: Environments<'_> = events.iter().flat_map(change_requests).filter_map(named).collect();
    let mut table = Table::new(&["TIME", "WHAT", "WHO", "DETAIL"]);
    for event in events {
        let what = event["type"].as_str().unwrap_or_default();
        let what = line(what.strip_prefix("signoff.request.").unwrap_or(what));
        let to = event["data"]["to"].as_str().unwrap_or("none");
        table.row([
            time::whole_seconds(event["time"].as_str().unwrap_or_default()).into(),
            if to == "none" { what.into() } else { Cell::state(to, what) },
            who(&event["data"]["actor"]).into(),
            short(&detail(event, &environments), SHORT_DETAIL).into(),
        ]);
    }
    table.render(screen)
}

fn who(actor: &Value) -> String {
    line(actor["login"].as_str().or_else(|| actor["service"].as_str()).unwrap_or("?"))
}

/// The change of state, and the parts of the evidence that say most.
fn detail(event: &Value, environments: &Environments<'_>) -> String {
    let data = &event["data"];
    let evidence = &data["evidence"];
    let mut parts = Vec::new();
    if let Some(to) = data["to"].as_str() {
        parts.push(data["from"].as_str().map_or_else(|| format!("→ {to}"), |from| format!("{from} → {to}")));
    }
    if let Some(reason) = evidence["reason"].as_str() {
        let what = [&evidence["operation"], &evidence["stack"]].map(|part| part.as_str().unwrap_or_default()).join(" ");
        parts.push(if what == " " { reason.to_owned() } else { format!("{what}: {reason}") });
    }
    if let (Some(repository), Some(branch)) =
        (evidence["push"]["repository"].as_str(), evidence["push"]["branch"].as_str())
    {
        let by = evidence["push"]["pusher"].as_str().map(|login| format!(", by {login}")).unwrap_or_default();
        parts.push(format!("pushed to {repository} {branch}{by}"));
    }
    let lifted: Vec<_> = evidence["lifted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !lifted.is_empty() {
        parts.push(format!("lifted {}", lifted.join(", ")));
    }
    if let (Some(until), Some(why)) = (evidence["expiresAt"].as_str(), evidence["why"].as_str()) {
        parts.push(format!("its time is pushed on to {}: {why}", time::whole_seconds(until)));
    }
    parts.extend(change_requests(event).filter_map(|seen| change_request(seen, environments)));
    if let Some(url) = evidence["deployment"]["url"].as_str() {
        parts.push(format!("#{} {url}", evidence["deployment"]["version"]));
    }
    if let Some(until) = evidence["grant"]["expiresAt"].as_str() {
        parts.push(format!("until {}", time::whole_seconds(until)));
    }
    if let Some(message) = evidence["outcome"]["message"].as_str() {
        parts.push(message.to_owned());
    }
    parts.join("; ")
}

/// The change requests that an event's evidence speaks of.
fn change_requests(event: &Value) -> impl Iterator<Item = &Value> {
    let evidence = &event["data"]["evidence"];
    evidence["changeRequests"].as_array().into_iter().flatten().chain([&evidence["changeRequest"]])
}

/// The id of a change request and its environment without the organization, where both are named.
fn named(seen: &Value) -> Option<(&str, &str)> {
    let environment = seen["environment"].as_str()?;
    let within = environment.split_once('/').map(|(_, rest)| rest).filter(|rest| rest.contains('/'));
    Some((seen["id"].as_str()?, within.unwrap_or(environment)))
}

/// A change request in a few words: its environment, its status, and who counted of those who approved.
fn change_request(seen: &Value, environments: &Environments<'_>) -> Option<String> {
    let id = seen.as_str().or_else(|| seen["id"].as_str())?;
    let environment = environments.get(id).unwrap_or(&id);
    let status = seen["status"].as_str().map(|status| format!(" {status}")).unwrap_or_default();
    let logins = |key: &'static str| {
        let rulesets = seen["approvals"].as_array().into_iter().flatten();
        let mut logins: Vec<_> = rulesets
            .flat_map(move |ruleset| ruleset[key].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        logins.sort_unstable();
        logins.dedup();
        logins.join(", ")
    };
    let (approvers, counted) = (logins("approvers"), logins("counted"));
    let approvals = match (approvers.as_str(), counted.as_str()) {
        ("", _) => String::new(),
        (approvers, "") => format!(", approved by {approvers}, none counted"),
        (approvers, counted) => format!(", approved by {approvers}, counted {counted}"),
    };
    Some(format!("{environment}{status}{approvals}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_say_when_what_who_and_why() {
        let event = |kind: &str, data: Value| serde_json::json!({"type": format!("signoff.request.{kind}"), "time": "2026-11-23T20:00:00.5Z", "data": data});
        let seen = serde_json::json!({"id": "cr-1", "status": "pending", "revision": 1,
            "approvals": [{"ruleset": "r", "required": 1, "approvers": ["alice", "bob"], "counted": ["bob"]}]});
        let events = [
            event(
                "requested",
                serde_json::json!({"from": null, "to": "requested", "actor": {"login": "alice"},
                "evidence": {"operation": "update", "stack": "acme/web/prod", "reason": "a\u{1b}b"}}),
            ),
            event(
                "requested",
                serde_json::json!({"from": null, "to": "requested", "actor": {"login": "carol"},
                "evidence": {"operation": "update", "stack": "acme/web/prod", "reason": "Ship", "push": {"repository": "acme/web", "branch": "main", "pusher": "octocat"}}}),
            ),
            event(
                "opened",
                serde_json::json!({"actor": {"service": "signoff"}, "evidence":
                {"changeRequests": [{"id": "cr-1", "environment": "acme/credentials/prod", "revision": 1}]}}),
            ),
            event("approval_seen", serde_json::json!({"actor": {"login": "bob"}, "evidence": {"changeRequest": seen}})),
            event(
                "change_request_closed",
                serde_json::json!({"actor": {"service": "signoff"}, "evidence": {"changeRequest": "cr-1"}}),
            ),
            event(
                "change_request_closed",
                serde_json::json!({"actor": {"service": "signoff"}, "evidence": {"changeRequest": "cr-2"}}),
            ),
            event(
                "cancelled",
                serde_json::json!({"from": "pending_approval", "to": "cancelled", "actor": {"login": "alice"},
                "evidence": {"outcome": {"code": "cancelled", "message": "Taken back."}}}),
            ),
        ];
        let expected = "\
TIME                  WHAT                   WHO      DETAIL
2026-11-23T20:00:00Z  requested              alice    → requested; update acme/web/prod: a\\u{1b}b
2026-11-23T20:00:00Z  requested              carol    → requested; update acme/web/prod: Ship; pushed to acme/web main, by octocat
2026-11-23T20:00:00Z  opened                 signoff  credentials/prod
2026-11-23T20:00:00Z  approval_seen          bob      credentials/prod pending, approved by alice, bob, counted bob
2026-11-23T20:00:00Z  change_request_closed  signoff  credentials/prod
2026-11-23T20:00:00Z  change_request_closed  signoff  cr-2
2026-11-23T20:00:00Z  cancelled              alice    pending_approval → cancelled; Taken back.
";
        assert_eq!(table(&events, Screen::PLAIN), expected);
    }
}
