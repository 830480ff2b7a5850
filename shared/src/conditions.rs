//! When an approved request may be applied: windows and freezes, in a time zone. They delay the apply and never the approval, so that no grant's
//! clock runs meanwhile; a deployment that runs is left alone.
//!
//! A window is about what a clock on the wall there shows: an hour that comes twice when the clocks go back is in the window twice, and one that is
//! left out opens it when the clocks have gone forward. A freeze begins and ends at a moment; where that moment comes twice or never, the freeze is
//! the longer one.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::blocker::BlockerKind;
use crate::names::{BadName, Reason};

/// The most windows, and the most freezes, that one list may hold.
pub const MAX_CONDITIONS: usize = 100;
/// How long after the apply a deployment still counts as made at that moment. The two belong together: a window that closes in between does not waste the grant.
pub const TOGETHER: SignedDuration = SignedDuration::from_mins(5);
/// How many days ahead a window is looked for: more than a week, since a day may have no such hour when the clocks go forward.
const DAYS_AHEAD: i64 = 16;
/// How many freezes and windows are gone through to find an opening: more than there can be one after another.
const MAX_STEPS: usize = 10 * MAX_CONDITIONS;

/// The days of a week, as they are written; Monday is the first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// What may be lifted from one request by those whom the gate names for that. Approvals are not among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lift {
    /// The windows.
    Window,
    /// The freezes.
    Freeze,
    /// The time after the last approval.
    Wait,
    /// The approved requests of the stack that were asked for earlier. One that is applied or deploying still goes first.
    Line,
}

impl Lift {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Window, Self::Freeze, Self::Wait, Self::Line];

    /// The word for it, as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Freeze => "freeze",
            Self::Wait => "wait",
            Self::Line => "line",
        }
    }
}

impl FromStr for Lift {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::ALL
            .into_iter()
            .find(|lift| lift.as_str() == text)
            .ok_or_else(|| BadName(format!("what can be lifted is one of {}", Self::ALL.map(Self::as_str).join(", "))))
    }
}

/// A time zone, by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Whether it is UTC.
    pub fn is_utc(&self) -> bool {
        self.name() == "UTC"
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock on the wall shows there.
    pub fn clock(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    /// A moment as it is shown to people who live there.
    pub fn show(&self, at: Timestamp) -> String {
        let clock = self.clock(at);
        let seconds = if clock.second() == 0 { String::new() } else { format!(":{:02}", clock.second()) };
        format!("{} {:02}:{:02}{seconds} {}", clock.date(), clock.hour(), clock.minute(), self.name())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl TryFrom<String> for Zone {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        // Two names of the database stand for no place at all.
        let nowhere = ["Etc/Unknown", "Factory"].iter().any(|name| text.eq_ignore_ascii_case(name));
        let zone = TimeZone::get(&text).ok().filter(|zone| zone.iana_name().is_some() && !nowhere);
        zone.map(Self)
            .ok_or_else(|| BadName(format!("there is no time zone {text}; give an IANA name such as Europe/Berlin")))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

/// Hours of some days of the week: `mon-fri 09:00-17:00`, `sat,sun 10:00-12:00`, `daily 22:00-24:00`. The end is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    text: String,
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl Window {
    fn holds(&self, clock: DateTime) -> bool {
        self.is_on(clock.date()) && (self.from..self.to).contains(&minute_of(clock.time()))
    }

    fn is_on(&self, date: Date) -> bool {
        usize::try_from(date.weekday().to_monday_zero_offset()).is_ok_and(|day| self.days[day])
    }

    /// Whether the two have a moment in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let share_a_day = self.days.iter().zip(other.days).any(|(one, other)| *one && other);
        share_a_day && self.from < other.to && other.from < self.to
    }
}

fn minute_of(time: Time) -> u16 {
    u16::try_from(time.hour()).unwrap_or(0) * 60 + u16::try_from(time.minute()).unwrap_or(0)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Window {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        let read = || {
            let (days, hours) = text.split_once(' ')?;
            let (from, to) = hours.split_once('-')?;
            Some((days_of(days)?, clock_of(from)?, clock_of(to)?))
        };
        let (days, from, to) = read().ok_or_else(|| {
            BadName(
                "a window is days and hours, such as mon-fri 09:00-17:00, sat,sun 10:00-12:00 or daily 22:00-24:00"
                    .to_owned(),
            )
        })?;
        if from == to {
            return Err(BadName(format!("the window {text} has no length and would never let anything through")));
        }
        if from > to {
            return Err(BadName(format!(
                "the window {text} ends before it begins; give two for a night, such as fri 22:00-24:00 and sat 00:00-06:00"
            )));
        }
        Ok(Self { text, days, from, to })
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.text
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    if text == "daily" {
        return Some([true; 7]);
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // A range may go round the end of the week.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|step| days[(first + step) % 7] = true);
    }
    Some(days)
}

fn clock_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok());
    let (hour, minute) = (two(hour)??, two(minute)??);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= MINUTES_OF_A_DAY).then_some(minutes)
}

/// A time in which nothing is applied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "FreezeDraft")]
pub struct Freeze {
    /// When it begins, on the clocks of its time zone.
    pub from: Local,
    /// When it is over.
    pub to: Local,
    /// Why.
    pub reason: Reason,
    /// Whose clocks; `None`: those of the gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FreezeDraft {
    from: Local,
    to: Local,
    reason: Reason,
    time_zone: Option<Zone>,
}

impl TryFrom<FreezeDraft> for Freeze {
    type Error = BadName;
    fn try_from(draft: FreezeDraft) -> Result<Self, BadName> {
        let FreezeDraft { from, to, reason, time_zone } = draft;
        if from.0 >= to.0 {
            return Err(BadName(format!("the freeze from {from} to {to} ends before it begins, or has no length")));
        }
        Ok(Self { from, to, reason, time_zone })
    }
}

impl Freeze {
    /// From when to when it is, for a gate of this time zone.
    fn span(&self, zone: &Zone) -> (Timestamp, Timestamp) {
        let zone = &self.time_zone.as_ref().unwrap_or(zone).0;
        let from = zone.to_ambiguous_timestamp(self.from.0).earlier().unwrap_or(Timestamp::MIN);
        let to = zone.to_ambiguous_timestamp(self.to.0).later().unwrap_or(Timestamp::MAX);
        (from, to)
    }
}

/// A date and a time of day somewhere: `2026-12-20T18:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Local(DateTime);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}:{:02}", self.0.date(), self.0.hour(), self.0.minute())
    }
}

impl TryFrom<String> for Local {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        // Nothing but what is shown again in the same way: no seconds, no offset.
        let local = text.parse::<DateTime>().ok().map(Self).filter(|local| local.to_string() == text);
        local.ok_or_else(|| BadName("a freeze begins and ends at a date and time such as 2026-12-20T18:00".to_owned()))
    }
}

impl From<Local> for String {
    fn from(local: Local) -> Self {
        local.to_string()
    }
}

/// When a gate lets approved requests through.
#[derive(Debug, Clone)]
pub struct Calendar<'a> {
    /// Whose clocks count.
    pub zone: &'a Zone,
    /// The windows; none: at any time.
    pub windows: &'a [Window],
    /// The freezes.
    pub freezes: Vec<&'a Freeze>,
}

/// Why nothing goes through at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// [`BlockerKind::Freeze`] or [`BlockerKind::Window`].
    pub kind: BlockerKind,
    /// When something goes through again.
    pub opens: Timestamp,
    /// A sentence about it.
    pub detail: String,
}

impl Calendar<'_> {
    /// Why nothing goes through at this moment; `None`: something does. What is lifted does not count.
    pub fn closed(&self, at: Timestamp, lifted: &BTreeSet<Lift>) -> Option<Closed> {
        let freeze = self.freeze(at, lifted);
        if freeze.is_none() && self.is_in_window(at, lifted) {
            return None;
        }
        let opens = self.opens(at, lifted);
        let when = self.zone.show(opens);
        Some(match freeze {
            Some((freeze, ends)) => Closed {
                kind: BlockerKind::Freeze,
                opens,
                detail: format!(
                    "nothing is applied until {}: {}{}",
                    self.zone.show(ends),
                    freeze.reason.as_str().lines().next().unwrap_or_default(),
                    if opens > ends {
                        format!(" (and after that something else holds it up until {when})")
                    } else {
                        String::new()
                    }
                ),
            },
            None => {
                let windows: Vec<_> = self.windows.iter().map(|window| window.text.as_str()).collect();
                Closed {
                    kind: BlockerKind::Window,
                    opens,
                    detail: format!("it is applied within {}; that opens at {when}", windows.join(", ")),
                }
            }
        })
    }

    /// The freeze in force that ends last, with its end.
    fn freeze(&self, at: Timestamp, lifted: &BTreeSet<Lift>) -> Option<(&Freeze, Timestamp)> {
        if lifted.contains(&Lift::Freeze) {
            return None;
        }
        let spans = self.freezes.iter().map(|freeze| (*freeze, freeze.span(self.zone)));
        let in_force = spans.filter(|(_, (from, to))| (*from..*to).contains(&at));
        in_force.map(|(freeze, (_, to))| (freeze, to)).max_by_key(|(_, to)| *to)
    }

    fn is_in_window(&self, at: Timestamp, lifted: &BTreeSet<Lift>) -> bool {
        let clock = self.zone.clock(at);
        self.windows.is_empty()
            || lifted.contains(&Lift::Window)
            || self.windows.iter().any(|window| window.holds(clock))
    }

    /// When something goes through again: the first moment from `at` on that is in a window and in no freeze.
    fn opens(&self, at: Timestamp, lifted: &BTreeSet<Lift>) -> Timestamp {
        let mut moment = at;
        for _ in 0..MAX_STEPS {
            if let Some((_, ends)) = self.freeze(moment, lifted) {
                moment = ends;
            } else if self.is_in_window(moment, lifted) {
                return moment;
            } else {
                moment = self.next_window(moment);
            }
            if moment == Timestamp::MAX {
                break;
            }
        }
        Timestamp::MAX
    }

    /// The first moment after one outside of all windows that is in one.
    fn next_window(&self, after: Timestamp) -> Timestamp {
        let zone = &self.zone.0;
        let today = self.zone.clock(after).date();
        let mut moments = Vec::new();
        for date in today.series(jiff::Span::new().days(1)).take(usize::try_from(DAYS_AHEAD).unwrap_or(0)) {
            for window in self.windows.iter().filter(|window| window.is_on(date)) {
                let (hour, minute) = (window.from / 60, window.from % 60);
                let clock = date.at(i8::try_from(hour).unwrap_or(0), i8::try_from(minute).unwrap_or(0), 0, 0);
                let moment = zone.to_ambiguous_timestamp(clock);
                // An hour that comes twice opens it twice; one that never comes opens it when the clocks have gone forward.
                if !matches!(moment.offset(), AmbiguousOffset::Gap { .. }) {
                    moments.extend(moment.earlier());
                    moments.extend(moment.later());
                }
            }
        }
        let soon = after.saturating_add(SignedDuration::from_hours(DAYS_AHEAD * 24)).unwrap_or(Timestamp::MAX);
        moments.extend(zone.following(after).map(|change| change.timestamp()).take_while(|change| *change <= soon));
        let opens =
            moments.into_iter().filter(|moment| *moment > after && self.is_in_window(*moment, &BTreeSet::new())).min();
        opens.unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests;
