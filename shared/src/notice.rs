//! Notices: who hears what of a request. A channel leads to people or to a program; each gate says which of its channels hears what.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::blocker::Blocker;
use crate::conditions::Lift;
use crate::event::{Actor, Event};
use crate::gate::Gate;
use crate::ledger::Loaded;
use crate::names::BadName;
use crate::request::{Ask, State};

/// The most channels that a configuration may have.
pub const MAX_CHANNELS: usize = 50;
/// The longest name of a channel, in characters.
const MAX_CHANNEL: usize = 40;
/// The longest address of a channel, in characters.
const MAX_URL: usize = 2_000;
/// Reminders of a request that waits for approval: so many, at equal parts of its pending time.
pub const REMINDERS: u32 = 3;

/// The name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

impl ChannelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChannelName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=MAX_CHANNEL).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(format!("a channel is a name of lower-case letters, digits and '-' ({MAX_CHANNEL} at most)")))
        }
    }
}

impl TryFrom<String> for ChannelName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> String {
        name.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where notices go. Its secret is not in here: it comes from the environment or from Secrets Manager, under the channel's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DraftChannel", into = "DraftChannel")]
pub struct Channel {
    /// What gates call it.
    pub name: ChannelName,
    /// What is there.
    pub kind: ChannelKind,
}

/// What is at the end of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// An incoming webhook of Slack, whose address is the secret.
    Slack,
    /// A program that takes webhooks as the Standard Webhooks specification has them, at this address; the secret signs them.
    Webhook(String),
}

/// A channel as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct DraftChannel {
    name: ChannelName,
    kind: KindWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    Slack,
    Webhook,
}

impl TryFrom<DraftChannel> for Channel {
    type Error = BadName;
    fn try_from(DraftChannel { name, kind, url }: DraftChannel) -> Result<Self, BadName> {
        let kind = match (kind, url) {
            (KindWord::Slack, None) => ChannelKind::Slack,
            (KindWord::Slack, Some(_)) => {
                return Err(BadName(format!(
                    "url: whoever knows the address of an incoming webhook can post to it; it is the secret of the channel {name}"
                )));
            }
            (KindWord::Webhook, None) => {
                return Err(BadName(format!("url: the channel {name} leads nowhere without one")));
            }
            (KindWord::Webhook, Some(url)) if is_address(&url) => ChannelKind::Webhook(url),
            (KindWord::Webhook, Some(_)) => {
                return Err(BadName(format!(
                    "url: the address of the channel {name} is one of https, or of http on this very machine, without user, spaces and fragment"
                )));
            }
        };
        Ok(Self { name, kind })
    }
}

impl From<Channel> for DraftChannel {
    fn from(channel: Channel) -> Self {
        match channel.kind {
            ChannelKind::Slack => Self { name: channel.name, kind: KindWord::Slack, url: None },
            ChannelKind::Webhook(url) => Self { name: channel.name, kind: KindWord::Webhook, url: Some(url) },
        }
    }
}

/// Whether notices may go there: nobody is to read them on the way.
pub fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let plain = text.len() <= MAX_URL && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['#', '\\', '"']);
    let port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let machine = host.rsplit_once(':').filter(|(_, end)| port(end)).map_or(host, |(machine, _)| machine);
    let safe = scheme == "https" || scheme == "http" && matches!(machine, "127.0.0.1" | "localhost" | "[::1]");
    plain && safe && !machine.is_empty() && !host.contains('@')
}

/// What people can hear of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// It waits for approval.
    Waiting,
    /// It is approved; the apply may still wait for its moment.
    Approved,
    /// Its deployment exists.
    Running,
    /// It is over: deployed, or rejected, expired or cancelled.
    Over,
    /// The deployment failed, or the request ended in an error.
    Broken,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Approved, Self::Running, Self::Over, Self::Broken];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Over => "over",
            Self::Broken => "broken",
        }
    }
}

/// Which channel hears what of a gate's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NoticeRule {
    /// The channel.
    pub channel: ChannelName,
    /// What it hears. Whatever it is, it also hears when somebody breaks the glass.
    #[serde(default = "all_topics", skip_serializing_if = "is_all")]
    pub on: BTreeSet<Topic>,
    /// Whether it is reminded of what still waits for approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reminders: bool,
}

fn all_topics() -> BTreeSet<Topic> {
    BTreeSet::from(Topic::ALL)
}

fn is_all(on: &BTreeSet<Topic>) -> bool {
    on.len() == Topic::ALL.len()
}

/// A change that people may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The request came to this.
    Came(Topic),
    /// It still waits for approval; which of the [`REMINDERS`] it is, from 1.
    StillWaits(u32),
    /// Somebody lifted something from it.
    GlassBroken,
}

impl Change {
    /// The change that an event is; `None` for one that nobody is told of.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Submitted { .. } | Event::Unapproved { .. } => Self::Came(Topic::Waiting),
            Event::Approved { .. } => Self::Came(Topic::Approved),
            Event::Deploying { .. } => Self::Came(Topic::Running),
            Event::Succeeded { .. } | Event::Rejected { .. } | Event::Expired { .. } | Event::Cancelled { .. } => {
                Self::Came(Topic::Over)
            }
            Event::Failed { .. } | Event::Errored { .. } => Self::Came(Topic::Broken),
            Event::GlassBroken { .. } => Self::GlassBroken,
            _ => return None,
        })
    }

    /// The word for it, as in the type of a webhook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Came(topic) => topic.as_str(),
            Self::StillWaits(_) => "reminder",
            Self::GlassBroken => "glass_broken",
        }
    }

    /// Whether a channel with this rule hears of it.
    fn is_heard_by(self, rule: &NoticeRule) -> bool {
        match self {
            Self::Came(topic) => rule.on.contains(&topic),
            Self::StillWaits(_) => rule.reminders,
            Self::GlassBroken => true,
        }
    }

    /// Whether it is still so: nobody is asked to approve what does not wait any more.
    pub fn still_holds(self, state: State) -> bool {
        match self {
            Self::Came(Topic::Waiting) | Self::StillWaits(_) => state == State::PendingApproval,
            _ => true,
        }
    }
}

/// Whether anybody is told of an event: a channel of the gate, or GitHub beside the commit that was pushed.
pub fn is_told(gate: Option<&Gate>, ask: &Ask, event: &Event) -> bool {
    let Some(change) = Change::of(event) else { return false };
    // Who is reminded need not hear of the rest.
    let hears =
        |rule: &NoticeRule| change.is_heard_by(rule) || rule.reminders && matches!(event, Event::Submitted { .. });
    ask.push.is_some() || gate.is_some_and(|gate| gate.notices.iter().any(hears))
}

/// The channels of a gate that hear of a change.
pub fn hearers(gate: &Gate, change: Change) -> impl Iterator<Item = &ChannelName> {
    gate.notices.iter().filter(move |rule| change.is_heard_by(rule)).map(|rule| &rule.channel)
}

/// When a request that waits for approval is next reminded of after `after`, and which reminder that is; `None`: not any more.
pub fn next_reminder(ask: &Ask, after: Timestamp) -> Option<(u32, Timestamp)> {
    let whole = ask.pending_timeout.duration();
    let at = |number: u32| {
        let part = whole.checked_mul(i32::try_from(number).ok()?)?.checked_div(i32::try_from(REMINDERS + 1).ok()?)?;
        ask.created_at.saturating_add(part).ok()
    };
    (1..=REMINDERS).filter_map(|number| Some((number, at(number)?))).find(|(_, at)| *at > after)
}

/// A notice to be sent: a change of a request, and the request as it is now.
#[derive(Debug, Clone)]
pub struct Notice<'a> {
    /// The event that it tells of. With the number of a reminder it tells one message from another: the same message always has the same.
    pub event: Ulid,
    /// The change.
    pub change: Change,
    /// Who caused it.
    pub actor: &'a Actor,
    /// When it happened.
    pub at: Timestamp,
    /// The request.
    pub loaded: &'a Loaded,
    /// What it waits for.
    pub waits_for: &'a [Blocker],
    /// Its address; `None`: nowhere.
    pub link: Option<String>,
    /// The time now.
    pub now: Timestamp,
}

impl Notice<'_> {
    /// What tells this message from every other, the same each time that it is sent.
    pub fn id(&self) -> String {
        match self.change {
            Change::StillWaits(number) => format!("{}-{number}", self.event),
            _ => self.event.to_string(),
        }
    }

    /// What happened, in a sentence without a full stop.
    pub fn headline(&self) -> String {
        let (ask, status) = (&self.loaded.request.ask, &self.loaded.request.status);
        let what = format!("{}'s {} of {}", ask.requester.login, ask.operation, ask.stack);
        let by = match self.actor {
            Actor::Login(login) => format!(" by {login}"),
            Actor::Service(_) => String::new(),
        };
        match self.change {
            Change::Came(Topic::Waiting) => format!("{what} waits for approval"),
            Change::StillWaits(_) => {
                let left = self.loaded.request.expires_at().duration_since(self.now);
                format!("{what} still waits for approval; it expires in {}", roughly(left))
            }
            Change::Came(Topic::Approved) => format!("{what} is approved{by}"),
            Change::Came(Topic::Running) => match &status.deployment {
                Some(deployment) => format!("{what} runs: deployment {}", deployment.version),
                None => format!("{what} runs"),
            },
            Change::Came(Topic::Over | Topic::Broken) => match status.state {
                State::Error => format!("{what} ended in an error"),
                state => format!("{what}: {state}{}", if state == State::Rejected { by } else { String::new() }),
            },
            Change::GlassBroken => format!("Break-glass{by}: {} lifted from {what}", lifted(&status.lifted)),
        }
    }

    /// What else there is to say, each a line of its own: why it was asked for, what it waits for or what came of it, and what to do.
    pub fn details(&self) -> Vec<String> {
        let (ask, status) = (&self.loaded.request.ask, &self.loaded.request.status);
        let mut lines = Vec::new();
        if let Some(outcome) = &status.outcome {
            lines.push(outcome.message.clone());
        }
        if !status.state.is_terminal() {
            lines.extend(self.waits_for.iter().map(|blocker| format!("{}: {}", blocker.kind.as_str(), blocker.detail)));
        }
        if !status.lifted.is_empty() && self.change != Change::GlassBroken {
            lines.push(format!("Break-glass: {} lifted from it", lifted(&status.lifted)));
        }
        if matches!(self.change, Change::Came(Topic::Waiting) | Change::StillWaits(_)) {
            lines.push(format!("To approve: signoff approve {}", ask.id));
        }
        lines
    }
}

fn lifted(what: &BTreeSet<Lift>) -> String {
    what.iter().map(|lift| lift.as_str()).collect::<Vec<_>>().join(", ")
}

/// A span for people: in its largest unit, or two.
fn roughly(span: SignedDuration) -> String {
    let minutes = (span.as_secs().max(0) + 59) / 60;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
