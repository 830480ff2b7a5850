//! `signoff list`: requests, newest first.

use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use signoff_core::names::{Login, StackName};
use signoff_core::request::State;

use crate::app::App;
use crate::client::model::Request;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::text::line;

/// The most requests that one call asks for.
const PAGE: usize = 100;

/// The options of `signoff list`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signoff list --state open
  signoff list --stack acme/web/prod --requester alice --limit 10
  signoff list --state failed --json | jq -r '.requests[].id'")]
pub(crate) struct Args {
    /// Only requests for this stack: organization/project/stack
    #[arg(long)]
    stack: Option<StackName>,
    /// Only requests in this state; `open` stands for all that are not over
    #[arg(long, value_parser = PossibleValuesParser::new(["open"].into_iter().chain(State::ALL.map(State::as_str))))]
    state: Option<String>,
    /// Only requests of this person
    #[arg(long, value_name = "LOGIN")]
    requester: Option<Login>,
    /// The most to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Go on where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Lists them.
///
/// # Errors
/// As the server refuses.
pub(crate) async fn run(app: &App, args: Args) -> Result<Exit, Failure> {
    let signoff = app.signoff()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut cursor = args.cursor;
    let (mut requests, mut unreadable): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    loop {
        let page = (limit - requests.len()).min(PAGE);
        let filters = [
            ("stack", args.stack.as_ref().map(StackName::to_string)),
            ("state", args.state.clone()),
            ("requester", args.requester.as_ref().map(Login::to_string)),
            ("limit", Some(page.to_string())),
            ("cursor", cursor.take()),
        ];
        let filters: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let mut answer = signoff.list(&filters).await?;
        let found = answer["requests"].as_array_mut().map(std::mem::take);
        requests.extend(found.ok_or_else(|| Failure::Failed("the server's answer holds no requests".to_owned()))?);
        unreadable.extend(answer["unreadable"].as_array_mut().map(std::mem::take).unwrap_or_default());
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || requests.len() >= limit {
            break;
        }
    }
    if app.output.json {
        let mut document = json!({"requests": requests});
        if let Some(cursor) = cursor {
            document["cursor"] = cursor.into();
        }
        if !unreadable.is_empty() {
            document["unreadable"] = unreadable.into();
        }
        app.output.document(&document)?;
        return Ok(Exit::Done);
    }
    for id in unreadable.iter().filter_map(Value::as_str).map(line) {
        app.output.note(&format!("{id} can't be read: signoff audit verify --request {id}"));
    }
    let requests = requests.iter().map(Request::from_json).collect::<Result<Vec<_>, _>>()?;
    if requests.is_empty() {
        app.output.note("No requests.");
        return Ok(Exit::Done);
    }
    app.output.text(&render::request::table(&requests, app.output.screen(), app.now()))?;
    if let Some(cursor) = cursor {
        app.output.note(&format!("There are more: --cursor {}", line(&cursor)));
    }
    Ok(Exit::Done)
}
