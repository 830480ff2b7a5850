//! What is sent: the body for Slack, and that of a signed webhook.

use serde_json::{Value, json};
use signoff_core::ledger::Loaded;
use signoff_core::notice::Notice;

use crate::api::RequestView;

/// The most characters of one block of text (Slack takes 3,000).
const MAX_TEXT: usize = 2_900;

/// The body of a signed webhook: type, time and data, as the specification wants it.
pub(super) fn webhook(notice: &Notice<'_>, console: &str) -> Value {
    let mut data = json!({
        "headline": notice.headline(),
        "details": notice.details(),
        "request": RequestView::of(notice.loaded, console),
    });
    if let Some(link) = &notice.link {
        data["link"] = json!(link);
    }
    json!({"type": format!("signoff.request.{}", notice.change.as_str()), "timestamp": notice.at, "data": data})
}

/// A message for Slack.
pub(super) fn slack(notice: &Notice<'_>, console: &str) -> Value {
    let headline = plain(&notice.headline());
    let reason = notice.loaded.request.ask.reason.as_str().lines().map(|line| format!("> {}", plain(line)));
    let details = notice.details().into_iter().map(|line| plain(&line));
    let text = reason.chain(details).collect::<Vec<_>>().join("\n");
    let mut blocks = vec![section(&format!("*{headline}*")), section(&text)];
    let links = links(notice.loaded, console);
    if !links.is_empty() {
        let links: Vec<String> =
            links.iter().map(|(label, url)| format!("<{}|{}>", plain(url), plain(label))).collect();
        blocks.push(
            json!({"type": "context", "elements": [{"type": "mrkdwn", "text": shortened(&links.join("  ·  "))}]}),
        );
    }
    json!({"text": headline, "blocks": blocks, "unfurl_links": false})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": shortened(text)}})
}

/// Where to go on: to review what waits, to the deployment that runs or ran.
fn links(loaded: &Loaded, console: &str) -> Vec<(String, String)> {
    let view = RequestView::of(loaded, console);
    if let Some(deployment) = view.deployment {
        return vec![(format!("Deployment {}", deployment.version), deployment.url)];
    }
    if view.state.is_terminal() {
        return Vec::new();
    }
    view.change_requests.into_iter().map(|one| (format!("Review {}", one.environment), one.review_url)).collect()
}

/// Text in which nothing is a link, a mention or a command to Slack.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// No more than Slack takes; cut before a character reference that would not fit whole.
fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MAX_TEXT).collect();
    let end = cut.rfind('&').filter(|at| !cut[*at..].contains(';')).unwrap_or(cut.len());
    format!("{}…", &cut[..end])
}
