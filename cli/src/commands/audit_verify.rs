//! `signoff audit verify`: was the trail tampered with?

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use signoff_core::checkpoint::Span;
use signoff_core::names::RequestId;

use super::audit_checkpoints::{Against, Checkpoints, Said};
use super::audit_export::When;
use super::trail::{Finding, Trails, Verdict};
use crate::app::App;
use crate::client::model::Request;
use crate::client::signoff::Signoff;
use crate::failure::{Exit, Failure};
use crate::render::text::line;

/// The status with which a server says that it can't read what it holds.
const UNREADABLE: u16 = 500;
/// What no check of a file can see.
const BLIND_FILE: &str = "A file by itself does not show what was cut off after its last events, requests that are missing as a whole, and trails that were rewritten \
    with new hashes from some event on: for that, check against the server, or against signed checkpoints (--checkpoints).";
/// What no check against checkpoints can see.
const BLIND_CHECKPOINTS: &str = "What can't be seen from here: what somebody did who has the key and can change the file of the checkpoints, or cut off its end, and \
    what happened after the last of them.";
/// What no check against the server can see.
const BLIND_SERVER: &str = "Each trail ends where and when the server says that its request last changed. What can't be seen from here is a \
    ledger that was rewritten as a whole: an export kept elsewhere shows it.";

/// The options of `signoff audit verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Without FILE the server is asked: for the trail of one request or, for admins, for the whole.
Then it is also checked that each trail ends where its request stands.
With checkpoints it also shows what the chains by themselves do not: trails that were rewritten with
new hashes, requests that are missing as a whole, events that were cut off or inserted. FILE is then
expected to hold every event; if it was exported with --since or --until, say the same here.
The exit code is 1 if anything is broken.

Examples:
  signoff audit verify november.ndjson
  signoff audit export --since 2026-11-01 | signoff audit verify -
  signoff audit verify trail.ndjson --checkpoints checkpoints.jsonl --key checkpoint-key.pub
  signoff audit verify --request req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3
  signoff audit verify")]
pub(crate) struct Args {
    /// An export, or - for standard input
    #[arg(conflicts_with = "request")]
    file: Option<PathBuf>,
    /// Check this request's trail
    #[arg(long, value_name = "ID")]
    request: Option<RequestId>,
    #[command(flatten)]
    against: Against,
    /// FILE was exported with this --since
    #[arg(long, value_name = "TIME", requires = "checkpoints", requires = "file")]
    since: Option<When>,
    /// FILE was exported with this --until, or at this time
    #[arg(long, value_name = "TIME", requires = "checkpoints", requires = "file")]
    until: Option<When>,
}

/// Checks.
///
/// # Errors
/// If the trail can't be read.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let checkpoints = args.against.read()?;
    match (args.file, args.request) {
        (Some(file), _) => {
            let now = app.now();
            let at = |when: &Option<When>| when.as_ref().map(|when| when.at(now));
            let span = Span { since: at(&args.since), until: at(&args.until) };
            let mut trails = Trails::default();
            trails.read(&read(&file)?);
            if trails.is_empty() {
                return Err(Failure::Failed(format!("{}: there are no events in it", file.display())));
            }
            let strays = strays_of(&trails);
            let said = checkpoints.map(|checkpoints| checkpoints.compare(&trails, span));
            let blind = if said.is_some() { BLIND_CHECKPOINTS } else { BLIND_FILE };
            conclude(app, trails.verdicts(), &strays, blind, said.map(|said| (said, span != Span::default())))
        }
        (None, Some(id)) => {
            let verdict = check_one(&app.signoff()?, id).await?;
            conclude(app, vec![verdict], &[], BLIND_SERVER, None)
        }
        (None, None) => check_all(app, &app.signoff()?, checkpoints).await,
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", file.display()));
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// Checks the trail of one request against where it stands.
async fn check_one(signoff: &Signoff, id: RequestId) -> Result<Verdict, Failure> {
    // It may move on between the two calls; then the second look finds both at rest, or moved on once more, which the third will see.
    let mut verdict = look(signoff, id).await?;
    for _ in 0..2 {
        if !matches!(verdict.finding, Finding::Broken(_)) {
            break;
        }
        verdict = look(signoff, id).await?;
    }
    Ok(verdict)
}

async fn look(signoff: &Signoff, id: RequestId) -> Result<Verdict, Failure> {
    let broken = |why: &str| Verdict { subject: id.to_string(), events: 0, finding: Finding::Broken(why.to_owned()) };
    // Where the server can't make a request of what it holds, the events show why.
    let stands = match signoff.request(id).await {
        Ok(json) => Ok(Request::from_json(&json)?),
        Err(Failure::Refused(refusal)) if refusal.status == UNREADABLE => Err(refusal),
        Err(failure) => return Err(failure),
    };
    let mut answer = match signoff.events(id).await {
        Err(Failure::Refused(refusal)) if refusal.status == UNREADABLE => {
            return Ok(broken(&format!("the server can't read its events: {refusal}")));
        }
        answer => answer?,
    };
    let Some(Value::Array(events)) = answer.get_mut("events").map(Value::take) else {
        return Err(Failure::Failed("the server's answer holds no events".to_owned()));
    };
    let mut trails = Trails::default();
    for event in events {
        trails.add(event);
    }
    let mut verdicts = trails.verdicts();
    let Some(place) = verdicts.iter().position(|verdict| verdict.subject == id.to_string()) else {
        return Ok(broken("there are no events of it"));
    };
    if verdicts.len() > 1 {
        return Ok(broken("there are events of other requests among them"));
    }
    let mut verdict = verdicts.swap_remove(place);
    let why = match (&stands, &verdict.finding) {
        (Ok(stands), finding) => disagreement(finding, stands),
        (Err(_), Finding::Window { first, .. }) => Some(missing(*first)),
        (Err(refusal), Finding::Whole(_)) => {
            Some(format!("its events are whole, but the server can't read what it keeps beside them: {refusal}"))
        }
        (Err(_), Finding::Broken(_)) => None,
    };
    if let Some(why) = why {
        verdict.finding = Finding::Broken(why);
    }
    Ok(verdict)
}

/// What speaks against a trail where the server says that its request stands like this.
fn disagreement(finding: &Finding, stands: &Request) -> Option<String> {
    match finding {
        Finding::Whole(trail) => {
            let status = &trail.status;
            let changed = stands.updated_at.parse::<Timestamp>();
            let head =
                stands.audit.as_ref().is_none_or(|audit| audit.sequence == status.sequence && audit.head == trail.head);
            if head && status.state.as_str() == stands.state && changed.is_ok_and(|at| at == status.updated_at) {
                return None;
            }
            Some(format!(
                "the trail ends with event {} of {} in {}, but the request is {} since {}: events were cut off or rewritten",
                status.sequence,
                status.updated_at,
                status.state,
                line(&stands.state),
                line(&stands.updated_at),
            ))
        }
        Finding::Window { first, .. } => Some(missing(*first)),
        Finding::Broken(_) => None,
    }
}

fn missing(first: u64) -> String {
    format!("the events before event {first} are missing")
}

/// Checks the whole trail against where all requests stand. What does not agree is looked at once more by itself: it may only have moved on meanwhile.
async fn check_all(app: &App, signoff: &Signoff, checkpoints: Option<Checkpoints>) -> Result<Exit, Failure> {
    let mut trails = Trails::default();
    let mut next = Some(signoff.audit(None, None));
    while let Some(url) = next {
        let page = signoff.audit_page(&url).await?;
        trails.read(&page.text);
        next = page.next;
    }
    let (mut stands, mut unreadable) = standing(signoff).await?;
    let strays = strays_of(&trails);
    let said = checkpoints.map(|checkpoints| (checkpoints.compare(&trails, Span::default()), true));
    let mut verdicts = trails.verdicts();
    for verdict in &mut verdicts {
        let request = stands.remove(&verdict.subject);
        unreadable.remove(&verdict.subject);
        let agrees = request.is_some_and(|request| disagreement(&verdict.finding, &request).is_none());
        if (!agrees || matches!(verdict.finding, Finding::Broken(_)))
            && let Ok(id) = verdict.subject.parse()
        {
            let now = again(signoff, id).await?;
            // That its events can't be had one by one says less than what is wrong with them.
            if now.events > 0 || !matches!(verdict.finding, Finding::Broken(_)) {
                *verdict = now;
            }
        }
    }
    // What is left stands somewhere, but left no event in the trail.
    for subject in stands.into_keys().chain(unreadable) {
        if let Ok(id) = subject.parse() {
            verdicts.push(again(signoff, id).await?);
        }
    }
    let blind = if said.is_some() { BLIND_CHECKPOINTS } else { BLIND_SERVER };
    conclude(app, verdicts, &strays, blind, said)
}

/// One request by itself; that it is gone is a finding, and no failure.
async fn again(signoff: &Signoff, id: RequestId) -> Result<Verdict, Failure> {
    match check_one(signoff, id).await {
        Err(Failure::Refused(refusal)) if refusal.status == 404 => {
            let why = "there are events of it, but the server knows no such request".to_owned();
            Ok(Verdict { subject: id.to_string(), events: 0, finding: Finding::Broken(why) })
        }
        done => done,
    }
}

/// Every request as it stands, and those that the server can't read.
async fn standing(signoff: &Signoff) -> Result<(HashMap<String, Request>, BTreeSet<String>), Failure> {
    let (mut stands, mut unreadable) = (HashMap::new(), BTreeSet::new());
    let mut cursor: Option<String> = None;
    loop {
        let filters: Vec<_> =
            [("limit", "100".to_owned())].into_iter().chain(cursor.map(|cursor| ("cursor", cursor))).collect();
        let page = signoff.list(&filters).await?;
        for json in page["requests"].as_array().into_iter().flatten() {
            let request = Request::from_json(json)?;
            stands.insert(request.id.clone(), request);
        }
        let ids = page["unreadable"].as_array().into_iter().flatten();
        unreadable.extend(ids.filter_map(|id| id.as_str().map(str::to_owned)));
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok((stands, unreadable));
        }
    }
}

fn strays_of(trails: &Trails) -> Vec<String> {
    trails.strays.iter().map(|stray| format!("line {}: {}", stray.line, stray.why)).collect()
}

/// Says what was found. With what checkpoints say comes whether the bounds of the trail were told, so that nothing can be missing for want of them.
fn conclude(
    app: &App,
    mut verdicts: Vec<Verdict>,
    strays: &[String],
    blind: &str,
    said: Option<(Said, bool)>,
) -> Result<Exit, Failure> {
    if let Some((said, _)) = &said {
        said.add_to(&mut verdicts);
    }
    let is_broken = |verdict: &&Verdict| matches!(verdict.finding, Finding::Broken(_));
    let broken = verdicts.iter().filter(is_broken).count();
    let faults = said.as_ref().map_or(0, |(said, _)| said.faults());
    let is_well = broken == 0 && strays.is_empty() && faults == 0;
    if app.output.json {
        let requests: Vec<Value> = verdicts.iter().map(json_of).collect();
        let mut all = json!({"ok": is_well, "requests": requests, "strays": strays, "notSeen": blind});
        if let Some((said, _)) = &said {
            all["checkpoints"] = said.json();
        }
        app.output.document(&all)?;
    } else {
        let mut text: String = verdicts.iter().map(|verdict| text_of(app, verdict)).collect();
        for stray in strays {
            text += &format!("{}  {}\n", app.output.paint.bad("BROKEN"), line(stray));
        }
        if let Some((said, _)) = &said {
            text += &said.text(app);
        }
        let ok = verdicts.len() - broken;
        let mut besides = match strays.len() {
            0 => String::new(),
            1 => ", 1 line of no request".to_owned(),
            count => format!(", {count} lines of no request"),
        };
        if faults > 0 {
            besides += &format!(", {faults} {} in the checkpoints", if faults == 1 { "fault" } else { "faults" });
        }
        text += &format!("{ok} {} ok, {broken} broken{besides}\n", if ok == 1 { "request" } else { "requests" });
        app.output.text(&text)?;
        if let Some((said, is_bounded)) = &said {
            said.notes(*is_bounded).iter().for_each(|note| app.output.note(note));
        }
        app.output.note(blind);
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

fn text_of(app: &App, verdict: &Verdict) -> String {
    let subject = line(&verdict.subject);
    let events = if verdict.events == 1 { "1 event".to_owned() } else { format!("{} events", verdict.events) };
    match &verdict.finding {
        Finding::Whole(request) => {
            let state = app.output.paint.state(request.status.state.as_str(), request.status.state.as_str());
            format!("{}      {subject}  {events}, {state}\n", app.output.paint.good("ok"))
        }
        Finding::Window { first, last } => format!(
            "{}      {subject}  events {first} to {last}; its beginning is not in the file, so only hashes and links were checked\n",
            app.output.paint.good("ok")
        ),
        Finding::Broken(why) => format!("{}  {subject}  {}\n", app.output.paint.bad("BROKEN"), line(why)),
    }
}

fn json_of(verdict: &Verdict) -> Value {
    let (id, events) = (&verdict.subject, verdict.events);
    match &verdict.finding {
        Finding::Whole(request) => json!({"id": id, "result": "ok", "events": events, "state": request.status.state}),
        Finding::Window { first, last } => {
            json!({"id": id, "result": "partial", "events": events, "first": first, "last": last})
        }
        Finding::Broken(why) => json!({"id": id, "result": "broken", "events": events, "detail": why}),
    }
}
