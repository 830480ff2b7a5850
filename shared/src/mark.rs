//! The marks that signoff leaves at Pulumi Cloud, by which what it created is found again.

use sha2::{Digest, Sha256};

use crate::names::{Login, RequestId, hides};
use crate::request::Ask;

/// The plain environment variable that the deployment carries: the request's id.
pub const VARIABLE: &str = "SIGNOFF_REQUEST_ID";

/// How the line of a description begins that says where the request is found. The reason's lines begin otherwise.
const LINK: &str = "request: ";
/// The line before the reason.
const REASON: &str = "reason:";

/// The first line of each open request's description.
pub fn first_line(installation: &str, id: RequestId) -> String {
    format!("signoff {installation} {id}")
}

/// Whether `description` begins with exactly the mark of this request.
pub fn carries(description: &str, installation: &str, id: RequestId) -> bool {
    description.lines().next() == Some(first_line(installation, id).as_str())
}

/// The installation and the request whose mark `description` begins with, if it begins with one. Anybody who may edit it can have written that.
pub fn of(description: &str) -> Option<(&str, RequestId)> {
    let (installation, id) = description.lines().next()?.strip_prefix("signoff ")?.rsplit_once(' ')?;
    Some((installation, id.parse().ok()?))
}

/// An open request's description: what a reviewer has to know. The reason comes last and each of its lines after `> `, so that it can't
/// imitate the lines before it.
pub fn description(installation: &str, ask: &Ask, branch: Option<&str>, link: Option<&str>) -> String {
    let mut text = first_line(installation, ask.id);
    // A branch and a machine token's name are what somebody called them: neither may look like a line of its own.
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("\n{name}: {}", value.replace(hides, " ")));
    };
    line("requester", &requester(ask));
    line("stack", &ask.stack.to_string());
    line("operation", ask.operation.as_str());
    match (&ask.commit, branch) {
        (Some(commit), _) => line("commit", commit.as_str()),
        (None, Some(branch)) => line("branch", branch),
        (None, None) => line("commit", "what the stack's deployment settings say"),
    }
    if let Some(push) = &ask.push {
        line("pushed to", &push.to_string());
    }
    if let Some(link) = link {
        text.push_str(&format!("\n{LINK}{link}"));
    }
    text.push_str(&format!("\n{REASON}"));
    for reason in ask.reason.as_str().lines() {
        text.push_str(&format!("\n> {reason}"));
    }
    text
}

/// What tells whether a description is still the one that was submitted: a hash of its lines, but for white space at their ends, which whoever keeps a text
/// may take away. Half of a SHA-256, in hex: nobody finds another text for it, and what is stored of a request stays the smaller.
pub fn fingerprint(description: &str) -> String {
    let lines: Vec<_> = description.lines().map(str::trim_end).collect();
    hex::encode(&Sha256::digest(lines.join("\n").trim_end())[..16])
}

/// Whether two descriptions say the same, but for where the request is found: that may have changed since the one was written.
pub fn says_the_same(one: &str, other: &str) -> bool {
    let unlinked = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::trim_end).collect();
        let before_reason = lines.iter().position(|line| *line == REASON).and_then(|at| at.checked_sub(1));
        if let Some(at) = before_reason.filter(|at| lines[*at].starts_with(LINK)) {
            lines.remove(at);
        }
        fingerprint(&lines.join("\n"))
    };
    unlinked(one) == unlinked(other)
}

fn requester(ask: &Ask) -> String {
    let who = match &ask.requester.machine {
        // Nobody at Pulumi Cloud is known to have pushed.
        Some(_) if ask.push.is_some() => format!("{} (a push)", ask.requester.login),
        Some(machine) => format!("{} (machine token {machine})", ask.requester.login),
        None => ask.requester.login.to_string(),
    };
    match &ask.on_behalf_of {
        Some(login) => format!("{who}, on behalf of {} (as claimed)", Login::as_str(login)),
        None => who,
    }
}
