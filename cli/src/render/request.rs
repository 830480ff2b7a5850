//! A request, as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::paint::Paint;
use super::table::{Cell, Table};
use super::text::{line, short};
use super::time;
use crate::client::model::{Approvals, ChangeRequest, Request};
use crate::failure::Exit;

/// How much of a blocker a table shows, in characters.
const SHORT_BLOCKER: usize = 60;

/// A table of requests.
pub(crate) fn table(requests: &[Request], paint: Paint, now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "STATE", "STACK", "OPERATION", "REQUESTER", "AGE", "WAITING FOR"]);
    for request in requests {
        table.row([
            line(&request.id).into(),
            Cell::state(&request.state, line(&request.state)),
            line(&request.stack).into(),
            line(&request.operation).into(),
            line(&request.requester.login).into(),
            time::age(&request.created_at, now).into(),
            short(&waiting_for(request), SHORT_BLOCKER).into(),
        ]);
    }
    table.render(paint)
}

/// What a request waits for, in one line: the first thing, and how many there are besides.
fn waiting_for(request: &Request) -> String {
    let Some(first) = request.blockers.first() else { return String::new() };
    let text = if first.detail.is_empty() { &first.kind } else { &first.detail };
    match request.blockers.len() {
        1 => text.clone(),
        more => format!("{text} (+{})", more - 1),
    }
}

/// All that there is to say of a request.
pub(crate) fn block(request: &Request, paint: Paint, now: Timestamp) -> String {
    let mut text =
        format!("{}  {}\n", paint.bold(&line(&request.id)), paint.state(&request.state, &line(&request.state)));
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {} {value}", paint.dim(&format!("{name:<12}")));
        }
    };
    field("stack", &line(&request.stack));
    field("operation", &line(&request.operation));
    field("commit", &request.commit.as_deref().map(line).unwrap_or_default());
    field("requester", &requester(request));
    for (index, said) in request.reason.lines().enumerate() {
        field(if index == 0 { "reason" } else { "" }, &format!("> {}", line(said)));
    }
    field("gate", &gate(request));
    field("durations", &durations(request));
    field("asked", &time::with_distance(&request.created_at, now));
    if Exit::of(request).is_none() {
        field("expires", &request.expires_at.as_deref().map(|at| time::with_distance(at, now)).unwrap_or_default());
    }
    for blocker in &request.blockers {
        field("waits for", &format!("{}: {}", line(&blocker.kind), line(&blocker.detail)));
    }
    if let Some(grant) = &request.grant {
        let applied = time::with_distance(&grant.applied_at, now);
        field("grant", &format!("applied {applied}, until {}", time::with_distance(&grant.expires_at, now)));
    }
    if let Some(deployment) = &request.deployment {
        let status = deployment.status.as_deref().map(line).unwrap_or_default();
        field("deployment", format!("#{} {status}", deployment.version).trim_end());
        field("", &line(&deployment.url));
    }
    if let Some(outcome) = &request.outcome {
        field("outcome", &format!("{}: {}", line(&outcome.code), line(&outcome.message)));
    }
    for change_request in &request.change_requests {
        let _ = write!(text, "\n{}", change_request_block(request, change_request, paint));
    }
    text
}

fn requester(request: &Request) -> String {
    let login = line(&request.requester.login);
    let name = line(&request.requester.name);
    let name = if name.is_empty() || name == login { String::new() } else { format!(" ({name})") };
    let claimed = request.on_behalf_of.as_deref().map(|login| format!(", on behalf of {} (as claimed)", line(login)));
    format!("{login}{name}{}", claimed.unwrap_or_default())
}

fn gate(request: &Request) -> String {
    let own = if request.gate.self_approval { ", the requester's own approval counts" } else { "" };
    format!("{}, principal {}{own}", line(&request.gate.environment), line(&request.gate.principal))
}

fn durations(request: &Request) -> String {
    format!("access {}, to be used within {}", line(&request.access_duration), line(&request.grant_expiration))
}

fn change_request_block(request: &Request, change_request: &ChangeRequest, paint: Paint) -> String {
    let mut text = format!(
        "  {}  {}  {}\n",
        paint.bold(&line(&change_request.environment)),
        line(&change_request.status),
        paint.dim(&line(&change_request.id))
    );
    for approvals in &change_request.approvals {
        let _ = writeln!(text, "    {}", ruleset(approvals));
    }
    if is_open(change_request) && Exit::of(request).is_none() {
        for hint in how_to_approve(request, change_request) {
            let _ = writeln!(text, "    {hint}");
        }
    }
    text
}

/// The approvals of a ruleset: `prod-signoff: 1 of 2 (bob counts; alice does not)`.
fn ruleset(approvals: &Approvals) -> String {
    let counts = |login: &&String| approvals.counted.iter().any(|counted| counted.eq_ignore_ascii_case(login));
    let names = |logins: Vec<&String>| logins.into_iter().map(|login| line(login)).collect::<Vec<_>>().join(", ");
    let (good, idle): (Vec<_>, Vec<_>) = approvals.approvers.iter().partition(counts);
    let who = match (good.len(), idle.len()) {
        (0, 0) => String::new(),
        (_, 0) => format!(" ({} counted)", names(good)),
        (0, _) => format!(" ({} not counted)", names(idle)),
        _ => format!(" ({} counted; {} not counted)", names(good), names(idle)),
    };
    format!("{}: {} of {}{who}", line(&approvals.ruleset), approvals.counted.len(), approvals.required)
}

/// Whether reviewers can approve it.
pub(crate) fn is_open(change_request: &ChangeRequest) -> bool {
    matches!(change_request.status.as_str(), "pending" | "ready")
}

/// Where a reviewer looks at a change request, and the command of Pulumi's own CLI that approves it.
pub(crate) fn how_to_approve(request: &Request, change_request: &ChangeRequest) -> Vec<String> {
    let review = change_request.review_url.as_deref().map(|url| format!("review:  {}", line(url)));
    let (id, organization) = (&change_request.id, request.organization());
    // Whoever copies the command runs it: names that are more than names get none.
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let command = (plain(id) && plain(organization))
        .then(|| format!("approve: pulumi env change-request approve {id} --organization {organization}"));
    review.into_iter().chain(command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::from_json(&serde_json::json!({
            "id": "req_1", "state": "pending_approval", "stack": "acme/web/prod", "operation": "update", "commit": null,
            "reason": "Ship 2.4\nand \u{1b}[2Jmore", "requester": {"login": "alice", "name": "Alice"},
            "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false},
            "accessDuration": "1h", "grantExpiration": "2h",
            "changeRequests": [{"id": "cr-1", "environment": "credentials/prod", "status": "pending",
                "reviewUrl": "https://app.pulumi.com/acme", "approvals": [
                {"ruleset": "prod-signoff", "required": 2, "approvers": ["alice", "bob"], "counted": ["bob"]}]}],
            "blockers": [{"kind": "approvals", "detail": "credentials/prod: 1 of 2 approvals that count"}],
            "createdAt": "2026-11-23T20:00:00Z", "updatedAt": "2026-11-23T20:00:00Z", "expiresAt": "2026-11-26T20:00:00Z"
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-23T20:05:00Z".parse().unwrap()
    }

    #[test]
    fn a_request_reads_as_a_block() {
        let expected = "\
req_1  pending_approval
  stack        acme/web/prod
  operation    update
  requester    alice (Alice)
  reason       > Ship 2.4
               > and \\u{1b}[2Jmore
  gate         acme/credentials/prod, principal default
  durations    access 1h, to be used within 2h
  asked        2026-11-23T20:00:00Z (5m ago)
  expires      2026-11-26T20:00:00Z (in 2d)
  waits for    approvals: credentials/prod: 1 of 2 approvals that count

  credentials/prod  pending  cr-1
    prod-signoff: 1 of 2 (bob counted; alice not counted)
    review:  https://app.pulumi.com/acme
    approve: pulumi env change-request approve cr-1 --organization acme
";
        assert_eq!(block(&request(), Paint { on: false }, now()), expected);
    }

    #[test]
    fn a_request_is_a_row() {
        let expected = "\
ID     STATE             STACK          OPERATION  REQUESTER  AGE  WAITING FOR
req_1  pending_approval  acme/web/prod  update     alice      5m   credentials/prod: 1 of 2 approvals that count
";
        assert_eq!(table(&[request()], Paint { on: false }, now()), expected);
    }

    #[test]
    fn no_command_is_made_of_names_that_are_none() {
        let mut request = request();
        request.change_requests[0].id = "x; rm -rf /".to_owned();
        assert_eq!(how_to_approve(&request, &request.change_requests[0]), ["review:  https://app.pulumi.com/acme"]);
    }
}
