//! A request, as people read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::paint::Paint;
use super::screen::Screen;
use super::table::{Cell, Table};
use super::text::{line, short, wrap};
use super::time;
use crate::client::model::{Approvals, Blocker, ChangeRequest, Request};
use crate::failure::Exit;

/// How much of a blocker a table shows, in characters.
const SHORT_BLOCKER: usize = 60;
/// Where the values of a block begin, in characters from the left.
const VALUES: usize = 15;

/// A table of requests.
pub(crate) fn table(requests: &[Request], screen: Screen, now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "STATE", "STACK", "OPERATION", "REQUESTER", "AGE", "WAITING FOR"]);
    for request in requests {
        table.row([
            line(&request.id).into(),
            Cell::state(&request.state, line(&request.state)),
            line(&request.stack).into(),
            line(&request.operation).into(),
            line(&request.requester.login).into(),
            time::age(&request.created_at, now).into(),
            waiting(request, screen).into(),
        ]);
    }
    table.render(screen)
}

/// What a request waits for: on a terminal, what fits a table.
fn waiting(request: &Request, screen: Screen) -> String {
    let text = waiting_for(request);
    if screen.width.is_some() { short(&text, SHORT_BLOCKER) } else { line(&text) }
}

/// What a request waits for, in one line: the first thing, and how many there are besides.
fn waiting_for(request: &Request) -> String {
    if let Some(ending) = &request.ending {
        return format!("its end, which is decided ({})", ending.state);
    }
    let Some(first) = request.blockers.first() else { return String::new() };
    let text = if first.detail.is_empty() { &first.kind } else { &first.detail };
    match request.blockers.len() {
        1 => text.clone(),
        more => format!("{text} (+{})", more - 1),
    }
}

/// All that there is to say of a request; sentences are wrapped to the screen, below where they begin.
pub(crate) fn block(request: &Request, screen: Screen, now: Timestamp) -> String {
    let paint = screen.paint;
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
    field("pushed to", &pushed(request));
    field("repeats", &repeats(request));
    for (index, said) in request.reason.lines().enumerate() {
        for (piece, said) in wrap(&line(said), screen.beside(VALUES + 2)).into_iter().enumerate() {
            field(if index + piece == 0 { "reason" } else { "" }, &format!("> {said}"));
        }
    }
    field("gate", &gate(request));
    field("durations", &durations(request));
    field("asked", &time::with_distance(&request.created_at, now));
    field("not before", &request.not_before.as_deref().map(|at| time::with_distance(at, now)).unwrap_or_default());
    field("not after", &request.not_after.as_deref().map(|at| time::with_distance(at, now)).unwrap_or_default());
    field("lifted", &line(&request.lifted.join(", ")));
    if Exit::of(request).is_none() && request.ending.is_none() {
        field("expires", &request.expires_at.as_deref().map(|at| time::with_distance(at, now)).unwrap_or_default());
    } else if Exit::of(request).is_some() {
        field("ended", &time::with_distance(&request.updated_at, now));
    }
    if let Some(ending) = &request.ending {
        let (state, outcome) = (line(&ending.state), &ending.outcome);
        sentence(
            &mut field,
            screen,
            "will be",
            &format!("{state} ({}): {}", line(&outcome.code), line(&outcome.message)),
        );
    }
    for blocker in &request.blockers {
        sentence(&mut field, screen, "waits for", &awaited(blocker));
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
        sentence(&mut field, screen, "outcome", &format!("{}: {}", line(&outcome.code), line(&outcome.message)));
    }
    if asks_for_approval(request) {
        field("approve", &how_to_approve(request).unwrap_or_default());
    }
    for change_request in &request.change_requests {
        let _ = write!(text, "\n{}", change_request_block(request, change_request, paint));
    }
    text
}

/// What a request waits for, so that it can stand behind these two words.
pub(crate) fn awaited(blocker: &Blocker) -> String {
    let what = match blocker.kind.as_str() {
        "self-approval" => "an approval of somebody else",
        "stack-busy" => "the stack's deployments",
        "stack-paused" => "the stack's deployments to be resumed",
        "earlier-request" => "an earlier request",
        "overtaken" => "somebody's decision",
        "window" => "its window",
        "freeze" => "the end of a freeze",
        "wait" => "the end of its wait",
        "not-before" => "its time",
        "hold" => "the end of the hold",
        "closing" => "what is open to be closed",
        "principal-token" => "a good token",
        "pulumi-cloud" => "Pulumi Cloud",
        // Approvals, and what this program does not know.
        kind => kind,
    };
    format!("{}: {}", line(what), line(&blocker.detail))
}

/// A value of several words, each line of it below the first.
fn sentence(field: &mut impl FnMut(&str, &str), screen: Screen, name: &str, value: &str) {
    for (index, piece) in wrap(value, screen.beside(VALUES)).iter().enumerate() {
        field(if index == 0 { name } else { "" }, piece);
    }
}

fn requester(request: &Request) -> String {
    let login = line(&request.requester.login);
    let name = line(&request.requester.name);
    let name = if name.is_empty() || name == login { String::new() } else { format!(" ({name})") };
    let claimed = request.on_behalf_of.as_deref().map(|login| format!(", on behalf of {} (as claimed)", line(login)));
    format!("{login}{name}{}", claimed.unwrap_or_default())
}

/// Where it was pushed to, by whom, and who wrote it, if that is somebody else.
fn pushed(request: &Request) -> String {
    let Some(push) = &request.push else { return String::new() };
    let pusher = push.pusher.as_deref().map(|login| format!(", by {}", line(login))).unwrap_or_default();
    let author = push.author.as_ref().filter(|author| push.pusher.as_ref() != Some(author));
    let author = author.map(|login| format!(", written by {}", line(login))).unwrap_or_default();
    format!("{} {}{pusher}{author}", line(&push.repository), line(&push.branch))
}

/// The run that it repeats, if it was asked for since that one was refused. Where that run is, the reason says.
fn repeats(request: &Request) -> String {
    let run = request.rescues.as_ref();
    run.map(|run| format!("run #{}, which was refused for want of an approval", run.version)).unwrap_or_default()
}

fn gate(request: &Request) -> String {
    let own = if request.gate.self_approval { ", the requester's own approval counts" } else { "" };
    let people = request.gate.approvals.map(|people| match people {
        1 => ", one person has to approve".to_owned(),
        people => format!(", {people} different people have to approve"),
    });
    let wait = request.gate.wait.as_deref().map(|wait| format!(", applied {} after the last approval", line(wait)));
    format!(
        "{}, principal {}{own}{}{}",
        line(&request.gate.environment),
        line(&request.gate.principal),
        people.unwrap_or_default(),
        wait.unwrap_or_default()
    )
}

fn durations(request: &Request) -> String {
    let (access, grant) = (line(&request.access_duration), line(&request.grant_expiration));
    let pending = request.pending_timeout.as_deref().map(|most| format!(", pending {} at most", line(most)));
    format!("access {access}, to be used within {grant}{}", pending.unwrap_or_default())
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
    if asks_for_approval(request) && is_unapproved(request, change_request) {
        for hint in how_to_review(request, change_request) {
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

/// Whether a request waits for its reviewers; in every other state there is nothing to approve.
pub(crate) fn asks_for_approval(request: &Request) -> bool {
    request.state == "pending_approval" && request.ending.is_none()
}

/// Whether a change request can be approved, and lacks approvals that count.
pub(crate) fn is_unapproved(request: &Request, change_request: &ChangeRequest) -> bool {
    let lacks =
        |approvals: &Approvals| i64::try_from(approvals.counted.len()).is_ok_and(|has| has < approvals.required.max(1));
    let known = &change_request.approvals;
    let people: BTreeSet<_> = known.iter().flat_map(|approvals| &approvals.counted).collect();
    // What the gate itself asks for is about the change request of its own environment.
    let is_own = request.gate.environment.ends_with(&format!("/{}", change_request.environment));
    let too_few = is_own && request.gate.approvals.is_some_and(|least| people.len() < least);
    matches!(change_request.status.as_str(), "pending" | "ready")
        && (known.is_empty() || known.iter().any(lacks) || too_few)
}

/// The command that approves a request.
pub(crate) fn how_to_approve(request: &Request) -> Option<String> {
    is_name(&request.id).then(|| format!("signoff approve {}", request.id))
}

/// Where a reviewer looks at a change request, and the command of Pulumi's own CLI that approves it alone.
pub(crate) fn how_to_review(request: &Request, change_request: &ChangeRequest) -> Vec<String> {
    let review = change_request.review_url.as_deref().map(|url| format!("review: {}", line(url)));
    let (id, organization) = (&change_request.id, request.organization());
    let command = (is_name(id) && is_name(organization))
        .then(|| format!("or: pulumi env change-request approve {id} --organization {organization}"));
    review.into_iter().chain(command).collect()
}

/// Whether a text is a name and no more. Whoever copies a command runs it: nothing else gets into one.
fn is_name(text: &str) -> bool {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    is_plain && !text.is_empty() && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::from_json(&serde_json::json!({
            "id": "req_1", "state": "pending_approval", "stack": "acme/web/prod", "operation": "update", "commit": null,
            "reason": "Ship 2.4\nand \u{1b}[2Jmore", "requester": {"login": "alice", "name": "Alice"},
            "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false},
            "accessDuration": "1h", "grantExpiration": "2h", "pendingTimeout": "72h",
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
  durations    access 1h, to be used within 2h, pending 72h at most
  asked        2026-11-23T20:00:00Z (5m ago)
  expires      2026-11-26T20:00:00Z (in 2d 23h)
  waits for    approvals: credentials/prod: 1 of 2 approvals that count
  approve      signoff approve req_1

  credentials/prod  pending  cr-1
    prod-signoff: 1 of 2 (bob counted; alice not counted)
    review: https://app.pulumi.com/acme
    or: pulumi env change-request approve cr-1 --organization acme
";
        assert_eq!(block(&request(), Screen::PLAIN, now()), expected);
    }

    #[test]
    fn sentences_are_wrapped_below_where_they_begin() {
        let mut request = request();
        request.reason = "Ship 2.4 with the new checkout\nand more".to_owned();
        request.outcome = Some(
            serde_json::from_value(serde_json::json!({"code": "x", "message": "So it ended at last, and well."}))
                .unwrap(),
        );
        let shown = block(&request, Screen { width: Some(40), ..Screen::PLAIN }, now());
        for wrapped in [
            "  reason       > Ship 2.4 with the new\n               > checkout\n               > and more\n",
            "  waits for    approvals:\n               credentials/prod: 1 of 2\n               approvals that count\n",
            "  outcome      x: So it ended at last,\n               and well.\n",
        ] {
            assert!(shown.contains(wrapped), "{shown}");
        }
    }

    #[test]
    fn only_what_lacks_approvals_asks_for_them() {
        let mut request = request();
        request.change_requests[0].approvals[0].counted.push("carol".to_owned());
        let shown = block(&request, Screen::PLAIN, now());
        assert!(shown.contains("signoff approve") && !shown.contains("review:"), "{shown}");
        for state in ["requested", "approved", "granted", "deploying", "rejected"] {
            let request = Request { state: state.to_owned(), ..super::tests::request() };
            let shown = block(&request, Screen::PLAIN, now());
            assert!(!shown.contains("signoff approve") && !shown.contains("review:"), "{shown}");
        }
    }

    #[test]
    fn a_request_is_a_row() {
        let expected = "\
ID     STATE             STACK          OPERATION  REQUESTER  AGE  WAITING FOR
req_1  pending_approval  acme/web/prod  update     alice      5m   credentials/prod: 1 of 2 approvals that count
";
        assert_eq!(table(&[request()], Screen::PLAIN, now()), expected);
    }

    #[test]
    fn no_command_is_made_of_names_that_are_none() {
        let mut request = request();
        request.change_requests[0].id = "x; rm -rf /".to_owned();
        assert_eq!(how_to_review(&request, &request.change_requests[0]), ["review: https://app.pulumi.com/acme"]);
        request.id = "req_1; rm -rf /".to_owned();
        assert_eq!(how_to_approve(&request), None);
    }
}
