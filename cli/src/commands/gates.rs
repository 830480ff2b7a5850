//! `signoff gates`: which stacks are gated, and how.

use serde_json::Value;

use crate::app::App;
use crate::failure::{Exit, Failure};
use crate::render::screen::Screen;
use crate::render::table::Table;
use crate::render::text::{line, wrap};

/// The options of `signoff gates`.
#[derive(clap::Args)]
#[command(after_help = "\
The first gate that covers a stack is its gate.
PENDING is how long a request waits for approval at most, OPEN WITHIN how soon after the apply the environment has to be opened,
ACCESS how long the deployment is then let in.

Examples:
  signoff gates
  signoff gates --json")]
pub(crate) struct Args {}

/// How far what a gate says is indented where it goes on.
const INDENT: usize = 2;
/// The most pushes of a gate that are named one by one.
const MOST_PUSHES: usize = 3;

/// Lists them.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, _: Args) -> Result<Exit, Failure> {
    let json = app.signoff()?.gates().await?;
    if app.output.json {
        app.output.document(&json)?;
    } else {
        app.output.text(&render(&json, app.output.screen()))?;
    }
    Ok(Exit::Done)
}

/// A table of gates, in whichever of the two spellings of their keys they come (JSON's or the configuration's).
pub(crate) fn render(json: &Value, screen: Screen) -> String {
    let gates = [json, &json["gates"], &json["gate"]].into_iter().find_map(Value::as_array);
    let mut table = Table::new(&["GATE", "STACKS", "ENVIRONMENT", "PRINCIPAL", "PENDING", "ACCESS", "OPEN WITHIN"]);
    let mut rules = String::new();
    for (place, gate) in (1..).zip(gates.into_iter().flatten()) {
        // The server counts all gates, also those of organizations that are not shown.
        let number = gate["number"].as_u64().unwrap_or(place);
        let get = |camel: &str, kebab: &str| words(if gate[camel].is_null() { &gate[kebab] } else { &gate[camel] });
        let people = if gate["approvalsFor"].is_null() { &gate["approvals-for"] } else { &gate["approvalsFor"] };
        let people = people.as_object().into_iter().flatten().map(|(name, count)| (line(name), words(count))).collect();
        let freezes = gate["freezes"].as_array();
        table.row(
            [
                number.to_string(),
                get("stacks", "stacks"),
                get("environment", "environment"),
                get("principal", "principal"),
                get("pendingTimeout", "pending-timeout"),
                get("accessDuration", "access-duration"),
                get("grantExpiration", "grant-expiration"),
            ]
            .map(Into::into),
        );
        let said = notes(&get, people, freezes.map_or(0, Vec::len), gate);
        let said = format!("Gate {number}: {}.", said.join("; "));
        for (index, piece) in wrap(&said, screen.beside(INDENT)).iter().enumerate() {
            rules += &format!("{}{piece}\n", " ".repeat(if index == 0 { 0 } else { INDENT }));
        }
    }
    let hold = if json["hold"] == true { "All gates are on hold: nothing is applied or deployed.\n" } else { "" };
    let freezes = json["freezes"].as_array().map_or(0, Vec::len);
    let freezes = if freezes == 0 { String::new() } else { format!("Freezes of all gates: {freezes}.\n") };
    format!("{}{rules}{hold}{freezes}", table.render(screen))
}

/// What can be asked for, and what is unusual about a gate.
fn notes(
    get: &impl Fn(&str, &str) -> String,
    people: Vec<(String, String)>,
    freezes: usize,
    gate: &Value,
) -> Vec<String> {
    let mut words = vec![get("operations", "operations")];
    if get("runsAs", "runs-as") == "stack" {
        words.push("runs as the stack's own identity".to_owned());
    }
    if get("selfApproval", "self-approval") == "true" {
        words.push("the requester's own approval counts".to_owned());
    }
    if get("commit", "commit") == "required" {
        words.push("has to pin the commit".to_owned());
    }
    let windows = get("windows", "windows");
    if !windows.is_empty() {
        let zone = get("timeZone", "time-zone");
        words.push(format!("applied within {windows} ({})", if zone.is_empty() { "UTC" } else { &zone }));
    }
    let extension = get("pendingExtension", "pending-extension");
    if !extension.is_empty() {
        words.push(format!("pending for up to {extension} more while a window or a freeze holds it up"));
    }
    let wait = get("wait", "wait");
    if !wait.is_empty() {
        words.push(format!("applied {wait} after the approval"));
    }
    for (operation, people) in people {
        words.push(format!("{operation} takes {people} {}", if people == "1" { "person" } else { "people" }));
    }
    if freezes > 0 {
        words.push(format!("{freezes} freeze{}", if freezes == 1 { "" } else { "s" }));
    }
    let break_glass = get("breakGlass", "break-glass");
    if !break_glass.is_empty() {
        words.push(format!("{break_glass} may break the glass"));
    }
    let requesters = get("requesters", "requesters");
    if !requesters.is_empty() {
        words.push(format!("only {requesters} may ask"));
    }
    words.extend(asks_by_itself(&gate["pushes"]));
    for (keys, value, says) in [
        (("newerPush", "newer-push"), "queue", "older pushes stay when newer ones come"),
        (
            ("supersedeApproved", "supersede-approved"),
            "true",
            "a newer push cancels an older one even if it is approved",
        ),
        (("allowOlder", "allow-older"), "false", "nothing is deployed after a newer update"),
        (("allowOlder", "allow-older"), "true", "older pushes are deployed after newer updates"),
        (("rescue", "rescue"), "true", "runs that were refused are asked for"),
    ] {
        if get(keys.0, keys.1) == value {
            words.push(says.to_owned());
        }
    }
    let told = gate["notices"].as_array().into_iter().flatten().map(|rule| self::words(&rule["channel"]));
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        words.push(format!("tells {}", told.join(", ")));
    }
    words
}

/// The pushes that ask for something; of more than a few, how many there are.
fn asks_by_itself(pushes: &Value) -> Vec<String> {
    let pushes = pushes.as_array().map(Vec::as_slice).unwrap_or_default();
    if pushes.len() > MOST_PUSHES {
        return vec![format!("{} pushes ask by themselves", pushes.len())];
    }
    let says = |push: &Value| {
        let [repository, branch, stack] = ["repository", "branch", "stack"].map(|key| words(&push[key]));
        let operation = push["operation"].as_str().map_or_else(|| "update".to_owned(), line);
        format!("a push to {branch} of {repository} asks for {operation} {stack}")
    };
    pushes.iter().map(says).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::String(text) => line(text),
        Value::Null => String::new(),
        other => line(&other.to_string()),
    }
}
