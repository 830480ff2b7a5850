//! Gates: which stacks are gated, by which environment, and what a request may ask for. One document, the same in TOML and in JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::conditions::{Calendar, Freeze, MAX_CONDITIONS, Window, Zone};
use crate::names::{BadName, EnvironmentName, Login, Operation, PrincipalName, StackName};
use crate::notice::{Channel, ChannelName, MAX_CHANNELS, NoticeRule};
use crate::period::Period;
use crate::push::{GitHubLogin, MAX_LOGINS, MAX_PATHS, MAX_PUSHES, NewerPush, PushRule};
use crate::request::Ask;

/// The most gates that a configuration may hold (what fits one DynamoDB item of 400 KB with room to spare).
pub const MAX_GATES: usize = 500;
/// What stands before the name of a machine token where somebody may be named.
const MACHINE: &str = "machine:";

/// All gates, in order, and the switch that holds them all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gates {
    /// Look and record, but apply and deploy nothing.
    #[serde(default)]
    pub hold: bool,
    /// Times in which nothing is applied, at any gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// Logins at GitHub whose login at Pulumi Cloud is another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub github_logins: BTreeMap<GitHubLogin, Login>,
    /// Where notices go.
    #[serde(default, rename = "channel", skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// The gates; the first that matches a stack is its gate.
    #[serde(default, rename = "gate")]
    pub gates: Vec<Gate>,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "Draft")]
pub struct Gate {
    /// The stacks that it covers.
    pub stacks: Vec<StackPattern>,
    /// The environment that carries the Open ruleset.
    pub environment: EnvironmentName,
    /// What may be asked for.
    pub operations: BTreeSet<Operation>,
    /// Whose token asks, applies and deploys.
    pub principal: PrincipalName,
    /// Who the deployment runs as.
    pub runs_as: RunsAs,
    /// How long the grant lets the deployment in.
    pub access_duration: Period,
    /// Within which time of the apply the environment has to be opened.
    pub grant_expiration: Period,
    /// How long a request may wait for its apply.
    pub pending_timeout: Period,
    /// Whether the requester's own approval counts.
    pub self_approval: bool,
    /// Whether a request has to pin the commit.
    pub commit: CommitRule,
    /// Who may ask; `None`: everyone who may do it at Pulumi Cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requesters: Option<Vec<Asker>>,
    /// Whose clocks windows and freezes go by.
    #[serde(skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
    /// When approved requests are applied; none: at any time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When nothing is applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// How long after the last approval that was needed it is applied at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Period>,
    /// By how much a request's time may be pushed on while only a window or a freeze holds it up; none: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_extension: Option<Period>,
    /// How many different people have to approve an operation, whatever the rulesets ask for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub approvals_for: BTreeMap<Operation, u32>,
    /// Who may lift a window, a freeze, the wait or the line from one request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub break_glass: Vec<Login>,
    /// The pushes that ask for a deployment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<PushRule>,
    /// What becomes of what a push asked for, and that still waits for approval, when a newer push comes.
    #[serde(skip_serializing_if = "NewerPush::is_supersede")]
    pub newer_push: NewerPush,
    /// Whether that also goes for what is approved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub supersede_approved: bool,
    /// Whether a request is deployed though an update that was asked for later has been; `None`: not if a push made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_older: Option<bool>,
    /// Whether a run that was refused for want of an approval is asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rescue: bool,
    /// Who hears what of its requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeRule>,
}

/// The most people that a gate may ask for.
pub const MAX_APPROVALS: u32 = 100;

/// Who a deployment runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsAs {
    /// Whoever creates it: the principal.
    Caller,
    /// The stack's own identity, which the operator vouches to be the principal.
    Stack,
}

/// Whether a request has to pin the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitRule {
    /// It may.
    Optional,
    /// It has to.
    Required,
}

/// Somebody who may ask, where a gate names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Asker {
    /// A person, by login.
    Person(Login),
    /// A machine token, by its name.
    Machine(String),
}

impl TryFrom<String> for Asker {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        match text.strip_prefix(MACHINE) {
            Some("") => Err(BadName("machine: is followed by the machine token's name".to_owned())),
            Some(name) => Ok(Self::Machine(name.to_owned())),
            None => text.parse().map(Self::Person),
        }
    }
}

impl From<Asker> for String {
    fn from(asker: Asker) -> String {
        match asker {
            Asker::Person(login) => login.to_string(),
            Asker::Machine(name) => format!("{MACHINE}{name}"),
        }
    }
}

/// A stack's name in which `*` stands for anything within one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackPattern {
    organization: String,
    project: String,
    stack: String,
}

impl StackPattern {
    /// Whether the pattern covers this stack.
    pub fn matches(&self, stack: &StackName) -> bool {
        self.organization == stack.organization.as_str()
            && glob(&self.project, &stack.project)
            && glob(&self.stack, &stack.stack)
    }

    /// Whether the pattern covers every stack that the other one covers.
    pub fn covers(&self, other: &Self) -> bool {
        // Only a star matches a star, and then whatever that one stands for.
        self.organization == other.organization
            && glob(&self.project, &other.project)
            && glob(&self.stack, &other.stack)
    }

    /// The organization whose stacks it covers.
    pub fn organization(&self) -> &str {
        &self.organization
    }
}

impl TryFrom<String> for StackPattern {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        let bad = || {
            BadName(
                "a stack pattern is organization/project/stack, where * stands for anything within project or stack"
                    .to_owned(),
            )
        };
        // A star can stand for any letter, so a pattern is good if the name that it makes with letters for its stars is.
        text.replace('*', "x").parse::<StackName>().map_err(|_| bad())?;
        let mut parts = text.split('/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(organization), Some(project), Some(stack)) if !organization.contains('*') => {
                Ok(Self { organization, project, stack })
            }
            (Some(_), ..)
                if text.starts_with(['*']) || text.split('/').next().is_some_and(|part| part.contains('*')) =>
            {
                Err(BadName("a stack pattern names one organization: * is for project and stack".to_owned()))
            }
            _ => Err(bad()),
        }
    }
}

impl From<StackPattern> for String {
    fn from(pattern: StackPattern) -> String {
        format!("{}/{}/{}", pattern.organization, pattern.project, pattern.stack)
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

impl Gate {
    /// Whether this person may lift something from one of its requests.
    pub fn may_break_glass(&self, login: &Login) -> bool {
        self.break_glass.contains(login)
    }

    /// Whether this request may not be deployed once an update that was asked for later has been. A preview or a refresh takes nothing of it back.
    pub fn minds_newer(&self, ask: &Ask) -> bool {
        let takes_back = matches!(ask.operation, Operation::Update | Operation::Destroy);
        takes_back && self.allow_older.map_or(ask.push.is_some(), |allowed| !allowed)
    }

    /// Whether it has to be known which update of a stack was deployed last.
    pub fn keeps_order(&self) -> bool {
        self.allow_older.map_or(!self.pushes.is_empty(), |allowed| !allowed)
    }
}

impl Gates {
    /// The gate of a stack: the first that matches.
    pub fn gate_of(&self, stack: &StackName) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.stacks.iter().any(|pattern| pattern.matches(stack)))
    }

    /// What no stack ever comes to, since an earlier gate covers the same stacks: a sentence for each such pattern. Most likely the order is wrong.
    pub fn never_reached(&self) -> Vec<String> {
        let all = || (1..).zip(&self.gates).flat_map(|(number, gate)| gate.stacks.iter().map(move |one| (number, one)));
        let covered = |(number, pattern): (usize, &StackPattern)| {
            let (first, _) = all().find(|(earlier, other)| *earlier < number && other.covers(pattern))?;
            let pattern = String::from(pattern.clone());
            Some(format!("gate {number} is never reached for {pattern}: gate {first} covers it, and the first goes"))
        };
        all().filter_map(covered).collect()
    }

    /// The pushes that ask for a deployment, each with its gate.
    pub fn pushes(&self) -> impl Iterator<Item = (&Gate, &PushRule)> {
        self.gates.iter().flat_map(|gate| gate.pushes.iter().map(move |push| (gate, push)))
    }

    /// The principals that the gates name, each once.
    pub fn principals(&self) -> BTreeSet<&PrincipalName> {
        self.gates.iter().map(|gate| &gate.principal).collect()
    }

    /// The channel of this name.
    pub fn channel(&self, name: &ChannelName) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == *name)
    }

    /// When a gate's approved requests are applied: its windows, its freezes, and those of all gates.
    pub fn calendar<'a>(&'a self, gate: &'a Gate) -> Calendar<'a> {
        let freezes = self.freezes.iter().chain(&gate.freezes).collect();
        Calendar { zone: &gate.time_zone, windows: &gate.windows, freezes }
    }

    /// Reads the TOML form.
    ///
    /// # Errors
    /// [`BadGates`] with the line, the key and the reason.
    pub fn from_toml(text: &str) -> Result<Self, BadGates> {
        let gates: Self = toml::from_str(text).map_err(|error| {
            let reason = error.message();
            let line = error.span().map(|span| line_at(text, span.start));
            let (line, key) = match line.and_then(|line| key_on_line(text, line)) {
                Some(key) => (line, Some(key)),
                None => (place_in_gate(text, reason).or(line), None),
            };
            BadGates { line, key, reason: reason.to_owned() }
        })?;
        gates.checked()
    }

    /// Reads the JSON form, which has the same keys.
    ///
    /// # Errors
    /// [`BadGates`] with the reason.
    pub fn from_json(text: &str) -> Result<Self, BadGates> {
        let gates: Self = serde_json::from_str(text).map_err(|error| BadGates {
            line: None,
            key: None,
            reason: error.to_string(),
        })?;
        gates.checked()
    }

    fn checked(self) -> Result<Self, BadGates> {
        if self.gates.len() > MAX_GATES {
            let reason = format!("there are {} gates; {MAX_GATES} is the most", self.gates.len());
            return Err(BadGates { line: None, key: Some("gate".to_owned()), reason });
        }
        if self.freezes.len() > MAX_CONDITIONS {
            let reason = format!("there are {} freezes; {MAX_CONDITIONS} is the most", self.freezes.len());
            return Err(BadGates { line: None, key: Some("freezes".to_owned()), reason });
        }
        if self.github_logins.len() > MAX_LOGINS {
            let reason = format!("there are {} logins; {MAX_LOGINS} is the most", self.github_logins.len());
            return Err(BadGates { line: None, key: Some("github-logins".to_owned()), reason });
        }
        self.check_channels()?;
        for (at, gate) in self.gates.iter().enumerate() {
            for push in &gate.pushes {
                let covers = |gate: &Gate| gate.stacks.iter().any(|pattern| pattern.matches(&push.stack));
                if let Some(first) = self.gates[..at].iter().position(covers) {
                    let reason =
                        format!("{} is covered by gate {} before this one, gate {}", push.stack, first + 1, at + 1);
                    return Err(BadGates { line: None, key: Some("pushes".to_owned()), reason });
                }
            }
        }
        Ok(self)
    }

    fn check_channels(&self) -> Result<(), BadGates> {
        let bad = |key: &str, reason: String| Err(BadGates { line: None, key: Some(key.to_owned()), reason });
        if self.channels.len() > MAX_CHANNELS {
            return bad("channel", format!("there are {} channels; {MAX_CHANNELS} is the most", self.channels.len()));
        }
        for (at, channel) in self.channels.iter().enumerate() {
            if self.channels[..at].iter().any(|other| other.name == channel.name) {
                return bad("channel", format!("two channels have the name {}", channel.name));
            }
        }
        for rule in self.gates.iter().flat_map(|gate| &gate.notices) {
            if self.channel(&rule.channel).is_none() {
                return bad("notices", format!("there is no channel {}", rule.channel));
            }
        }
        Ok(())
    }
}

/// The line, counted from 1, in which a byte of a text is.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// The line of what is wrong with a gate as a whole, which the parser reports at the first of all gates: that of the key with which the reason begins
/// in the first gate that is refused for this reason, or else the one where that gate begins.
fn place_in_gate(text: &str, reason: &str) -> Option<usize> {
    #[derive(Deserialize)]
    struct Written {
        #[serde(default)]
        gate: Vec<toml::Spanned<toml::Value>>,
    }
    let Written { gate } = toml::from_str(text).ok()?;
    let is_meant = |gate: &toml::Spanned<toml::Value>| {
        gate.get_ref().clone().try_into::<Gate>().is_err_and(|error| error.message() == reason)
    };
    let bad = gate.into_iter().find(is_meant)?;
    let (first, key) = (line_at(text, bad.span().start), reason.split_once(':').map(|(key, _)| key));
    let ends = |line: &usize| text.lines().nth(line - 1).is_some_and(|text| text.trim_start().starts_with("[["));
    let lines = (first + 1..=text.lines().count()).take_while(|line| !ends(line));
    let is_key = |line: &usize| key.is_some() && key_on_line(text, *line).as_deref() == key;
    Some(lines.into_iter().find(is_key).unwrap_or(first))
}

/// The key that a line of TOML sets, if it sets one.
fn key_on_line(text: &str, line: usize) -> Option<String> {
    let key = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?.0.trim();
    key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).then(|| key.to_owned())
}

/// A configuration of gates that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", .line.map(|line| format!("line {line}: ")).unwrap_or_default(), .key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
pub struct BadGates {
    /// The line, where it is known.
    pub line: Option<usize>,
    /// The key, where it is known.
    pub key: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// A gate as it is written: what is left out gets its default.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Draft {
    stacks: Vec<StackPattern>,
    environment: EnvironmentName,
    operations: Option<Vec<Operation>>,
    #[serde(default)]
    principal: PrincipalName,
    runs_as: Option<RunsAs>,
    access_duration: Option<Period>,
    grant_expiration: Option<Period>,
    pending_timeout: Option<Period>,
    #[serde(default)]
    self_approval: bool,
    commit: Option<CommitRule>,
    requesters: Option<Vec<Asker>>,
    #[serde(default)]
    time_zone: Zone,
    windows: Option<Vec<Window>>,
    #[serde(default)]
    freezes: Vec<Freeze>,
    wait: Option<Period>,
    pending_extension: Option<Period>,
    #[serde(default)]
    approvals_for: BTreeMap<Operation, u32>,
    break_glass: Option<Vec<Login>>,
    #[serde(default)]
    pushes: Vec<PushRule>,
    #[serde(default)]
    newer_push: NewerPush,
    #[serde(default)]
    supersede_approved: bool,
    allow_older: Option<bool>,
    #[serde(default)]
    rescue: bool,
    #[serde(default)]
    notices: Vec<NoticeRule>,
}

impl Draft {
    /// What is wrong with the conditions.
    fn check_conditions(&self, operations: &BTreeSet<Operation>) -> Result<(), BadName> {
        if let Some(windows) = &self.windows {
            if windows.is_empty() {
                return Err(BadName(
                    "windows: an empty list would never let anything through; leave the key out to let it through at any time"
                        .to_owned(),
                ));
            }
            for (at, window) in windows.iter().enumerate() {
                if let Some(other) = windows[..at].iter().find(|other| other.overlaps(window)) {
                    return Err(BadName(format!("windows: {other} and {window} overlap")));
                }
            }
        }
        for (name, count) in [("windows", self.windows.as_ref().map_or(0, Vec::len)), ("freezes", self.freezes.len())] {
            if count > MAX_CONDITIONS {
                return Err(BadName(format!("{name}: there are {count}; {MAX_CONDITIONS} is the most")));
            }
        }
        for (operation, people) in &self.approvals_for {
            if !operations.contains(operation) {
                return Err(BadName(format!("approvals-for: this gate does not let {operation} be asked for")));
            }
            if !(1..=MAX_APPROVALS).contains(people) {
                return Err(BadName(format!("approvals-for: {operation} takes from 1 to {MAX_APPROVALS} people")));
            }
        }
        if self.break_glass.iter().flatten().any(|login| login.as_str().starts_with(MACHINE)) {
            return Err(BadName(
                "break-glass: a machine has no judgement to break the glass with; name people by their logins"
                    .to_owned(),
            ));
        }
        if self.break_glass.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadName(
                "break-glass: an empty list names nobody; leave the key out to let nobody lift anything".to_owned(),
            ));
        }
        Ok(())
    }

    /// What is wrong with the pushes.
    fn check_pushes(&self, operations: &BTreeSet<Operation>) -> Result<(), BadName> {
        if self.pushes.len() > MAX_PUSHES {
            return Err(BadName(format!("pushes: there are {}; {MAX_PUSHES} is the most", self.pushes.len())));
        }
        for (at, push) in self.pushes.iter().enumerate() {
            if !self.stacks.iter().any(|pattern| pattern.matches(&push.stack)) {
                return Err(BadName(format!("pushes: this gate does not cover {}", push.stack)));
            }
            if !operations.contains(&push.operation) {
                return Err(BadName(format!("pushes: this gate does not let {} be asked for", push.operation)));
            }
            if push.paths.len() > MAX_PATHS {
                return Err(BadName(format!("pushes: there are {} paths; {MAX_PATHS} is the most", push.paths.len())));
            }
            if self.pushes[..at].iter().any(|other| other.stack == push.stack) {
                return Err(BadName(format!("pushes: two of them ask for {}; one is the most", push.stack)));
            }
        }
        if self.supersede_approved && self.newer_push == NewerPush::Queue {
            return Err(BadName("supersede-approved: with newer-push = \"queue\" nothing is superseded".to_owned()));
        }
        Ok(())
    }

    /// What is wrong with the notices. Whether there are such channels is seen where those are.
    fn check_notices(&self) -> Result<(), BadName> {
        if self.notices.len() > MAX_CHANNELS {
            return Err(BadName(format!("notices: there are {}; {MAX_CHANNELS} is the most", self.notices.len())));
        }
        for (at, rule) in self.notices.iter().enumerate() {
            if self.notices[..at].iter().any(|other| other.channel == rule.channel) {
                return Err(BadName(format!("notices: two of them are for {}; one is the most", rule.channel)));
            }
            if rule.on.is_empty() {
                return Err(BadName(format!(
                    "notices: {} would hear of nothing; leave on out to let it hear of everything",
                    rule.channel
                )));
            }
        }
        Ok(())
    }
}

impl TryFrom<Draft> for Gate {
    type Error = BadName;
    fn try_from(draft: Draft) -> Result<Self, BadName> {
        let period = |given: Option<Period>, default: &str| given.map_or_else(|| default.parse(), Ok);
        if draft.stacks.is_empty() {
            return Err(BadName("stacks: a gate covers at least one stack".to_owned()));
        }
        if let Some(pattern) =
            draft.stacks.iter().find(|pattern| pattern.organization != draft.environment.organization.as_str())
        {
            return Err(BadName(format!(
                "environment: {} is in another organization than the stacks {}",
                draft.environment,
                String::from(pattern.clone())
            )));
        }
        let operations: BTreeSet<_> =
            draft.operations.clone().unwrap_or_else(|| Operation::ALL.to_vec()).into_iter().collect();
        if operations.is_empty() {
            return Err(BadName("operations: a gate lets at least one operation be asked for".to_owned()));
        }
        let pending_timeout = period(draft.pending_timeout.clone(), "72h")?;
        if let Some(wait) = draft.wait.as_ref().filter(|wait| wait.seconds() >= pending_timeout.seconds()) {
            return Err(BadName(format!(
                "wait: a request would expire before it is over; {wait} is not shorter than the pending-timeout of {pending_timeout}"
            )));
        }
        if draft.requesters.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadName(
                "requesters: an empty list lets nobody ask; leave the key out to let everyone who may".to_owned(),
            ));
        }
        draft.check_conditions(&operations)?;
        draft.check_pushes(&operations)?;
        draft.check_notices()?;
        Ok(Self {
            stacks: draft.stacks,
            environment: draft.environment,
            operations,
            principal: draft.principal,
            runs_as: draft.runs_as.unwrap_or(RunsAs::Caller),
            access_duration: period(draft.access_duration, "1h")?,
            grant_expiration: period(draft.grant_expiration, "1h")?,
            pending_timeout,
            self_approval: draft.self_approval,
            commit: draft.commit.unwrap_or(CommitRule::Optional),
            requesters: draft.requesters,
            time_zone: draft.time_zone,
            windows: draft.windows.unwrap_or_default(),
            freezes: draft.freezes,
            wait: draft.wait,
            pending_extension: draft.pending_extension,
            approvals_for: draft.approvals_for,
            break_glass: draft.break_glass.unwrap_or_default(),
            pushes: draft.pushes,
            newer_push: draft.newer_push,
            supersede_approved: draft.supersede_approved,
            allow_older: draft.allow_older,
            rescue: draft.rescue,
            notices: draft.notices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[gate]]
stacks = ["acme/*/prod", "acme/web-*/eu-*-1"]
environment = "acme/credentials/prod"
"#;

    fn bad(change: &str) -> String {
        Gates::from_toml(&format!("{GOOD}{change}\n")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_its_default_and_json_is_the_same() {
        let gates = Gates::from_toml(GOOD).unwrap();
        let gate = &gates.gates[0];
        assert!(!gates.hold && !gate.self_approval);
        assert_eq!(gate.operations.len(), 4);
        assert_eq!(
            (gate.access_duration.to_string(), gate.pending_timeout.to_string(), gate.principal.as_str()),
            ("1h".to_owned(), "72h".to_owned(), "default")
        );
        assert_eq!(Gates::from_json(&serde_json::to_string(&gates).unwrap()).unwrap(), gates);
    }

    #[test]
    fn a_star_stands_for_anything_within_one_part() {
        let gates = Gates::from_toml(GOOD).unwrap();
        let covers = |stack: &str| gates.gate_of(&stack.parse().unwrap()).is_some();
        assert!(covers("acme/web/prod") && covers("acme/web-a/eu-x-1") && covers("acme/web-/eu--1"));
        assert!(!covers("acme/web/staging") && !covers("other/web/prod") && !covers("acme/web-a/eu-1"));
    }

    #[test]
    fn the_first_gate_that_matches_counts() {
        let text =
            format!("{GOOD}\n[[gate]]\nstacks = [\"acme/web/prod\"]\nenvironment = \"acme/credentials/other\"\n");
        let gates = Gates::from_toml(&text).unwrap();
        assert_eq!(gates.gate_of(&"acme/web/prod".parse().unwrap()).unwrap().environment.name, "prod");
    }

    #[test]
    fn what_an_earlier_gate_covers_is_never_reached() {
        let after = |stacks: &str| {
            let gate = format!("[[gate]]\nstacks = [{stacks}]\nenvironment = \"acme/credentials/other\"\n");
            Gates::from_toml(&format!("{GOOD}\n{gate}")).unwrap().never_reached()
        };
        let said = |pattern: &str| {
            vec![format!("gate 2 is never reached for {pattern}: gate 1 covers it, and the first goes")]
        };
        for covered in ["acme/web/prod", "acme/*/prod", "acme/web-*/prod", "acme/web-a/eu-*-1-1", "acme/web-*x/eu-*-1"]
        {
            assert_eq!(after(&format!("\"acme/*/staging\", \"{covered}\"")), said(covered));
        }
        for not in ["acme/*/*", "acme/*/prod*", "acme/web*/eu-*-1", "acme/web-*/eu-*1", "acme/web-*/*-1"] {
            assert_eq!(after(&format!("\"{not}\"")), Vec::<String>::new(), "{not}");
        }
    }

    #[test]
    fn what_takes_nothing_back_may_be_older_than_an_update() {
        let gate = |keys: &str| Gates::from_toml(&format!("{GOOD}{keys}\n")).unwrap().gates.remove(0);
        let mut ask = crate::testing::ask();
        for (operation, minds) in [
            (Operation::Update, true),
            (Operation::Destroy, true),
            (Operation::Preview, false),
            (Operation::Refresh, false),
        ] {
            ask.operation = operation;
            assert_eq!(gate("allow-older = false").minds_newer(&ask), minds, "{operation}");
            assert!(!gate("").minds_newer(&ask) && !gate("allow-older = true").minds_newer(&ask));
        }
    }

    #[test]
    fn a_bad_key_is_refused_with_line_key_and_reason() {
        assert_eq!(
            bad("self-aproval = true").split(", expected").next().unwrap(),
            "line 5: self-aproval: unknown field `self-aproval`"
        );
        assert!(bad("access-duration = \"1w\"").starts_with("line 5: access-duration: a duration is a whole number"));
        assert!(bad("principal = \"Big\"").starts_with("line 5: principal: a principal is a name"));
        assert!(bad("operations = [\"detect-drift\"]").starts_with("line 5: operations: unknown variant"));
        assert!(bad("requesters = []").contains("requesters: an empty list lets nobody ask"));
    }

    #[test]
    fn patterns_have_three_parts_and_one_organization() {
        for (stacks, reason) in [
            ("acme/prod", "organization/project/stack"),
            ("*/web/prod", "one organization"),
            ("acme/../prod", "organization/project/stack"),
            ("other/web/prod", "another organization"),
        ] {
            let text = format!("[[gate]]\nstacks = [\"{stacks}\"]\nenvironment = \"acme/credentials/prod\"\n");
            let said = Gates::from_toml(&text).unwrap_err().to_string();
            assert!(said.contains(reason) && said.starts_with("line "), "{said}");
        }
    }
}
