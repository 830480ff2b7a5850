//! `signoff approve`: approve the change requests of a request, directly at Pulumi Cloud, with the reviewer's own token.
//!
//! signoff is only asked which change requests those are. That it names them is not enough: each has to say at Pulumi Cloud
//! itself that it is this request's, and to be the revision that signoff submitted.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use serde_json::json;
use signoff_core::names::{RequestId, StackName};

use crate::app::App;
use crate::client::base::BaseUrl;
use crate::client::model::{ChangeRequest, Request};
use crate::client::pulumi::Proposal;
use crate::client::signoff::Signoff;
use crate::failure::{Exit, Failure};
use crate::render::request::awaited;
use crate::render::text::line;

/// The longest comment, in characters.
const MAX_COMMENT: usize = 1_000;
/// The kind of blocker of what is about to end.
const CLOSING: &str = "closing";
/// How often signoff is asked whether it has seen the approval.
const LOOKS: u32 = 10;
/// The time between two such looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The options of `signoff approve`.
#[derive(clap::Args)]
#[command(after_help = "\
The approval goes from here to Pulumi Cloud; it does not pass through signoff.
Whether it counts is up to the rules there and to the gate: the requester's own does not, unless the gate says so.
A change request that was edited since signoff submitted it is not approved.

Examples:
  signoff approve req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3
  signoff approve req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3 --comment 'Looks good' --yes")]
pub(crate) struct Args {
    /// The request
    id: RequestId,
    /// A comment to leave with the approval
    #[arg(long, value_parser = comment)]
    comment: Option<String>,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
    /// The Pulumi Cloud to approve at: https, or http on this machine [env: SIGNOFF_PULUMI_URL] [default: where `pulumi login` left you, or Pulumi Cloud]
    #[arg(long, value_name = "URL")]
    pulumi_url: Option<BaseUrl>,
}

fn comment(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_COMMENT).contains(&text.chars().count());
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a comment has 1 to {MAX_COMMENT} characters"))
}

/// What became of one change request.
enum Fate {
    /// It can be approved: this revision.
    Ready(i64),
    /// It was approved: this revision.
    Approved(i64),
    /// There is nothing to approve any more.
    Applied,
    /// It could not be read or approved; the others are not concerned.
    Failed(String),
    /// It is not what signoff submitted: nothing at all is approved.
    Refused(String),
}

/// Approves.
///
/// # Errors
/// If there is nothing to approve, or it can't be asked whether to.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let pulumi = app.pulumi(args.pulumi_url.clone())?;
    let (request, organization) = reviewable(&signoff, args.id, "approve", args.yes).await?;
    app.output.note(&asked(&request));
    let mut fates = Vec::new();
    for change_request in &request.change_requests {
        let (fate, proposal) = match pulumi.proposal(&organization, &change_request.id).await {
            Ok(proposal) => (judge(args.id, change_request, &proposal), Some(proposal)),
            Err(failure) => (Fate::Failed(failure.to_string()), None),
        };
        if let Some(proposal) = proposal {
            describe(app, change_request, &proposal);
        }
        fates.push(fate);
    }
    let is_refused = fates.iter().any(|fate| matches!(fate, Fate::Refused(_)));
    let is_ready = fates.iter().any(|fate| matches!(fate, Fate::Ready(_)));
    if !is_refused && is_ready {
        if !args.yes && !confirmed("Approve", pulumi.base(), &mut io::stderr(), &mut io::stdin().lock())? {
            app.output.note("Nothing was approved.");
            return Ok(Exit::Failed);
        }
        for (change_request, fate) in request.change_requests.iter().zip(&mut fates) {
            let Fate::Ready(revision) = *fate else { continue };
            let done = pulumi.approve(&organization, &change_request.id, revision, args.comment.as_deref()).await;
            *fate = done.map_or_else(|failure| Fate::Failed(failure.to_string()), |()| Fate::Approved(revision));
        }
    }
    let exit = report(app, &request, &fates)?;
    if !app.output.json && fates.iter().any(|fate| matches!(fate, Fate::Approved(_))) {
        app.output.text(&whats_left(&signoff, args.id, |now| has_moved(&request, now)).await)?;
    }
    Ok(exit)
}

/// The request, if it can be reviewed now and there is somebody to ask whether to (or it was said already), and the organization in which.
pub(super) async fn reviewable(
    signoff: &Signoff,
    id: RequestId,
    what: &str,
    is_said: bool,
) -> Result<(Request, String), Failure> {
    let request = Request::from_json(&signoff.request(id).await?)?;
    let organization = open_in(&request, id, what)?;
    if !is_said && !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("there is nobody to ask whether to {what}: say --yes")));
    }
    Ok((request, organization))
}

/// The organization of a request, if there is something to review.
fn open_in(request: &Request, id: RequestId, what: &str) -> Result<String, Failure> {
    if request.id != id.to_string() {
        return Err(Failure::Failed("the server's answer is another request".to_owned()));
    }
    if let Some(ending) = &request.ending {
        let (state, why) = (line(&ending.state), line(&ending.outcome.message));
        return Err(Failure::Failed(format!("there is nothing to {what}: {id} will be {state}. {why}")));
    }
    match request.state.as_str() {
        "pending_approval" | "approved" => {}
        "requested" => {
            let why = format!("{id} is not submitted to its reviewers yet: try again in a moment");
            return Err(Failure::Failed(why));
        }
        state => {
            let why = request.outcome.as_ref().map(|outcome| format!(". {}", outcome.message)).unwrap_or_default();
            let said = format!("there is nothing to {what}: the state of {id} is {state}{why}");
            return Err(Failure::Failed(line(&said)));
        }
    }
    if request.change_requests.is_empty() {
        return Err(Failure::Failed(format!("{id} has no change requests")));
    }
    let stack: StackName =
        request.stack.parse().map_err(|_| Failure::Failed(format!("{id} has a stack without a name")))?;
    Ok(stack.organization.to_string())
}

/// Whether what Pulumi Cloud shows is what signoff says that it submitted for this request.
fn judge(id: RequestId, recorded: &ChangeRequest, found: &Proposal) -> Fate {
    if let Some(why) = stranger(id, recorded, found) {
        return Fate::Refused(why);
    }
    let latest = found.latest_revision_number;
    if let Some(revision) = recorded.revision.filter(|revision| *revision != latest) {
        return Fate::Refused(format!("it was edited: signoff submitted revision {revision}, now it is {latest}"));
    }
    match found.status.as_str() {
        "pending" | "ready" => Fate::Ready(latest),
        "applied" => Fate::Applied,
        status => Fate::Failed(format!("it is {status}: it can't be approved")),
    }
}

/// Why what Pulumi Cloud shows under a change request's id is none of this request's.
pub(super) fn stranger(id: RequestId, recorded: &ChangeRequest, found: &Proposal) -> Option<String> {
    let mut mark = found.description.lines().next().unwrap_or_default().split(' ');
    let is_marked = mark.next() == Some("signoff") && mark.next_back() == Some(id.to_string().as_str());
    if !is_marked || found.action != "open" {
        return Some(format!("it does not say at Pulumi Cloud that it is {id}'s"));
    }
    let environment = found.environment();
    (environment != recorded.environment).then(|| format!("it is about {environment} at Pulumi Cloud"))
}

/// What signoff will do, by its own record: what a change request says of it stands at Pulumi Cloud, where others can edit it.
pub(super) fn asked(request: &Request) -> String {
    let commit = request.commit.as_deref().map(|commit| format!(" at commit {commit}")).unwrap_or_default();
    let Request { operation, stack, requester, .. } = request;
    line(&format!("{} asks for {operation} of {stack}{commit}", requester.login))
}

/// Shows, besides the result, what the reviewer is about to decide on.
pub(super) fn describe(app: &App, recorded: &ChangeRequest, proposal: &Proposal) {
    app.output.note(&format!("{} ({}, {})", line(&proposal.environment()), line(&proposal.status), line(&recorded.id)));
    for said in proposal.description.lines() {
        app.output.note(&format!("  | {}", line(said)));
    }
}

/// Asks whether to do this at this Pulumi Cloud; only a yes is one.
pub(super) fn confirmed(
    what: &str,
    pulumi: &BaseUrl,
    ask: &mut impl Write,
    answer: &mut impl BufRead,
) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("it can't be asked whether to do it: {error}"));
    write!(ask, "{what} at {pulumi}? [y/N] ").and_then(|()| ask.flush()).map_err(failed)?;
    let mut said = String::new();
    answer.read_line(&mut said).map_err(failed)?;
    Ok(matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What the request waits for once signoff has seen what was done about it, in a sentence. It sees it a moment after Pulumi Cloud took it.
pub(super) async fn whats_left(signoff: &Signoff, id: RequestId, is_seen: impl Fn(&Request) -> bool) -> String {
    for _ in 0..LOOKS {
        match signoff.request(id).await.and_then(|json| Request::from_json(&json)) {
            Ok(now) if is_seen(&now) => return standing(&now),
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(failure) => {
                return format!("What it waits for now is not known: {}", line(&failure.to_string()));
            }
        }
    }
    format!("signoff has not seen it change yet; to follow it: signoff watch {id}")
}

/// Whether the end is decided, and what is open is being closed.
pub(super) fn is_ending(request: &Request) -> bool {
    Exit::of(request).is_some()
        || request.ending.is_some()
        || request.blockers.iter().any(|blocker| blocker.kind == CLOSING)
}

/// Whether what approvals bear on is another than it was.
pub(super) fn has_moved(before: &Request, now: &Request) -> bool {
    before.state != now.state || before.blockers != now.blockers || before.change_requests != now.change_requests
}

fn standing(request: &Request) -> String {
    if let (Some(_), Some(outcome)) = (Exit::of(request), &request.outcome) {
        return format!("It is {}: {}", line(&request.state), line(&outcome.message));
    }
    let waits = request.blockers.iter().map(awaited).collect::<Vec<_>>().join("; ");
    let waits = if waits.is_empty() { waits } else { format!("It waits for {waits}") };
    let has_enough = matches!(request.state.as_str(), "approved" | "granted" | "deploying") && !is_ending(request);
    match (has_enough, waits.as_str()) {
        (true, "") => "It has enough approvals.".to_owned(),
        (true, _) => format!("It has enough approvals. {waits}"),
        (false, "") => format!("It is {}.", line(&request.state)),
        (false, _) => waits,
    }
}

fn report(app: &App, request: &Request, fates: &[Fate]) -> Result<Exit, Failure> {
    let is_refused = fates.iter().any(|fate| matches!(fate, Fate::Refused(_)));
    let mut is_well = true;
    let mut results = Vec::new();
    let mut text = String::new();
    for (change_request, fate) in request.change_requests.iter().zip(fates) {
        let (result, detail, is_fine) = match fate {
            Fate::Approved(revision) => ("approved", format!("revision {revision}"), true),
            Fate::Applied => ("applied", "there is nothing to approve any more".to_owned(), true),
            Fate::Ready(_) if is_refused => ("skipped", "because of the other".to_owned(), false),
            Fate::Ready(_) => ("skipped", String::new(), false),
            Fate::Failed(why) => ("failed", why.clone(), false),
            Fate::Refused(why) => ("refused", why.clone(), false),
        };
        is_well &= is_fine;
        let shown = if is_fine { app.output.paint.good(result) } else { app.output.paint.bad(result) };
        text += &format!(
            "{shown}  {} ({}): {}\n",
            line(&change_request.environment),
            line(&change_request.id),
            line(&detail)
        );
        results.push(json!({"id": change_request.id, "environment": change_request.environment, "result": result, "detail": detail}));
    }
    if app.output.json {
        app.output.document(&json!({"id": request.id, "changeRequests": results}))?;
    } else {
        app.output.text(&text)?;
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_approves_and_the_answer_stands_behind_the_question() {
        let cloud = "https://api.pulumi.com".parse().unwrap();
        for (said, is_yes) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("no\n", false), ("yep\n", false)]
        {
            let mut asked = Vec::new();
            assert_eq!(confirmed("Approve", &cloud, &mut asked, &mut said.as_bytes()).unwrap(), is_yes, "{said}");
            assert_eq!(asked, b"Approve at https://api.pulumi.com? [y/N] ");
        }
    }

    const ID: &str = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3";

    fn fate(change: impl Fn(&mut Proposal)) -> Fate {
        let recorded = ChangeRequest {
            id: "cr-1".to_owned(),
            environment: "credentials/prod".to_owned(),
            revision: Some(2),
            ..ChangeRequest::default()
        };
        let mut proposal: Proposal = serde_json::from_value(json!({
            "action": "open", "status": "pending", "latestRevisionNumber": 2,
            "description": format!("signoff acme {ID}\nasked by alice"),
            "entity": {"entityType": "environment", "project": "credentials", "name": "prod"}
        }))
        .unwrap();
        change(&mut proposal);
        judge(ID.parse().unwrap(), &recorded, &proposal)
    }

    #[test]
    fn only_what_signoff_submitted_for_this_request_is_approved() {
        assert!(matches!(fate(|_| {}), Fate::Ready(2)));
        assert!(matches!(fate(|found| found.status = "applied".to_owned()), Fate::Applied));
        assert!(matches!(fate(|found| found.status = "closed".to_owned()), Fate::Failed(_)));
        assert!(matches!(fate(|found| found.latest_revision_number = 3), Fate::Refused(_)));
        assert!(matches!(fate(|found| found.action = "update".to_owned()), Fate::Refused(_)));
        assert!(matches!(fate(|found| found.entity = Default::default()), Fate::Refused(_)));
        for description in
            ["", "please", "signoff acme req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4", &format!("x\nsignoff acme {ID}")]
        {
            assert!(matches!(fate(|found| description.clone_into(&mut found.description)), Fate::Refused(_)));
        }
    }
}
