//! `signoff explain`: what a gate says of a deployment that somebody might ask for.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use signoff_core::names::{Operation, StackName};

use crate::app::App;
use crate::args::moment;
use crate::failure::{Exit, Failure};
use crate::render::screen::Screen;
use crate::render::text::{line, wrap};

/// The options of `signoff explain`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signoff explain acme/web/prod
  signoff explain acme/web/prod destroy --requester alice
  signoff explain acme/web/prod --at 2026-12-24T18:00:00Z")]
pub(crate) struct Args {
    /// The stack: organization/project/stack
    stack: StackName,
    /// What would be done with it: update, preview, refresh or destroy
    #[arg(default_value = "update")]
    operation: Operation,
    /// Who would ask: a login, or machine:NAME (default: you)
    #[arg(long, value_name = "LOGIN")]
    requester: Option<String>,
    /// When it would be approved (default: now)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

/// Explains.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let mut query = vec![("stack", args.stack.to_string()), ("operation", args.operation.as_str().to_owned())];
    query.extend(args.requester.map(|login| ("requester", login)));
    query.extend(args.at.map(|at| ("at", at.to_string())));
    let json = app.signoff()?.explain(&query).await?;
    if app.output.json {
        app.output.document(&json)?;
    } else {
        app.output.text(&render(&json, app.output.screen()))?;
    }
    Ok(Exit::Done)
}

fn render(json: &Value, screen: Screen) -> String {
    let said = |value: &Value| line(value.as_str().unwrap_or_default());
    let mut text = format!("{}  {}\n", screen.paint.bold(&said(&json["stack"])), said(&json["operation"]));
    let mut sentence = |mark: &str, what: &str| {
        for (index, piece) in wrap(what, screen.beside(4)).iter().enumerate() {
            let _ = writeln!(text, "  {} {piece}", if index == 0 { mark } else { " " });
        }
    };
    if let Some(number) = json["number"].as_u64() {
        sentence("-", &format!("Gate {number} covers it."));
    }
    for rule in json["rules"].as_array().into_iter().flatten() {
        sentence("-", &said(rule));
    }
    let blockers = json["blockers"].as_array();
    for blocker in blockers.into_iter().flatten() {
        sentence("!", &format!("{}: {}", said(&blocker["kind"]), said(&blocker["detail"])));
    }
    // What is over when those times are says so itself; nobody knows when anything else is.
    let is_timed = |blocker: &&Value| matches!(blocker["kind"].as_str(), Some("wait" | "window" | "freeze"));
    let others = blockers.into_iter().flatten().filter(|blocker| !is_timed(blocker)).count();
    if json["number"].is_u64() && json["mayAsk"] == false {
        sentence("=", "Who asks here may not ask for this.");
    } else if json["number"].is_u64() {
        let (at, opens, expires) = (said(&json["at"]), said(&json["opens"]), said(&json["expires"]));
        let times = (opens.parse::<Timestamp>(), expires.parse::<Timestamp>());
        let is_too_late = matches!(times, (Ok(opens), Ok(expires)) if expires <= opens);
        sentence(
            "=",
            &if is_too_late {
                format!(
                    "Asked for at {at}, it would expire at {expires}, before it could be applied ({opens}). Ask later, or have the gate's pending-timeout or pending-extension made longer."
                )
            } else {
                let when = if others == 0 { "when the stack is free" } else { "once what else is named above is over" };
                format!("Approved at {at}, it could be applied from {opens} on, {when}.")
            },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_blockers_are_sentences() {
        let json = serde_json::json!({
            "stack": "acme/web/prod", "operation": "update", "at": "2026-12-24T18:00:00Z", "number": 1, "mayAsk": false, "rules": ["You may ask for it."],
            "blockers": [{"kind": "freeze", "detail": "nothing is applied until then"}],
        });
        let expected = "\
acme/web/prod  update
  - Gate 1 covers it.
  - You may ask for it.
  ! freeze: nothing is applied until then
  = Who asks here may not ask for this.
";
        assert_eq!(render(&json, Screen::PLAIN), expected);
        let held = serde_json::json!({"stack": "acme/web/prod", "operation": "update", "at": "2026-12-24T18:00:00Z", "number": 1, "mayAsk": true,
            "rules": [], "blockers": [{"kind": "hold", "detail": "until hold is off"}], "opens": "2026-12-24T18:00:00Z", "expires": "2026-12-27T18:00:00Z"});
        let verdict = "it could be applied from 2026-12-24T18:00:00Z on, once what else is named above is over.";
        assert!(render(&held, Screen::PLAIN).contains(verdict));
        let open = serde_json::json!({"stack": "acme/web/prod", "operation": "update", "at": "2026-12-24T18:00:00Z", "number": 1, "mayAsk": null, "rules": [], "blockers": [], "opens": "2026-12-24T18:10:00Z"});
        assert!(
            render(&open, Screen::PLAIN)
                .contains("Approved at 2026-12-24T18:00:00Z, it could be applied from 2026-12-24T18:10:00Z on")
        );
        let mut late = open.clone();
        late["expires"] = "2026-12-24T18:10:00Z".into();
        assert!(
            render(&late, Screen::PLAIN)
                .contains("it would expire at 2026-12-24T18:10:00Z, before it could be applied")
        );
        late["expires"] = "2026-12-24T18:10:01Z".into();
        assert!(render(&late, Screen::PLAIN).contains("it could be applied from"));
        let none = serde_json::json!({"stack": "acme/web/dev", "operation": "update", "at": "x", "number": null, "rules": ["No gate covers it."], "blockers": []});
        assert_eq!(render(&none, Screen::PLAIN), "acme/web/dev  update\n  - No gate covers it.\n");
    }
}
