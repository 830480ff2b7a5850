//! Faults: what goes wrong between the cloud and its caller, decided here and carried out by whoever holds the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Call, Reply};
use super::{Cloud, later};

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// 429, with or without `Retry-After`; no effect.
    TooManyRequests {
        /// Seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// An error answer; no effect.
    Error {
        /// The status.
        status: u16,
        /// Whether the body is a page of HTML, as from a proxy.
        #[serde(default)]
        html: bool,
    },
    /// No effect, and no answer until the caller gives up.
    Silence,
    /// It takes effect, but no answer comes until the caller gives up.
    SilenceAfterEffect,
    /// The connection breaks before the call takes effect.
    BreakBefore,
    /// The connection breaks after the call took effect.
    BreakAfter,
    /// It takes effect, and an error is answered.
    ErrorAfterEffect {
        /// The status.
        status: u16,
    },
    /// An error is answered, and the call takes effect later.
    LateEffect {
        /// The status.
        status: u16,
        /// How much later, in milliseconds.
        after_ms: u32,
    },
    /// It takes effect at once, and the answer takes its time.
    Slow {
        /// How long, in milliseconds.
        ms: u32,
    },
    /// A redirect to somewhere else; no effect.
    Redirect {
        /// Where to.
        location: String,
    },
    /// It takes effect, and the answer is a JSON text of that many bytes.
    Huge {
        /// How many.
        bytes: usize,
    },
    /// It takes effect, and the answer is broken off JSON.
    BrokenJson,
    /// It takes effect, and the answer is JSON of another shape.
    WrongShape,
}

/// Which calls a fault is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pattern {
    /// The method; `*` is any.
    #[serde(default = "any_method")]
    pub method: String,
    /// The path; `*` stands for one segment, `**` at the end for any rest.
    #[serde(default = "any_path")]
    pub path: String,
}

impl Pattern {
    /// Calls of a method (or `*`) to a path with wildcards.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned() }
    }

    /// All calls.
    pub fn any() -> Self {
        Self { method: any_method(), path: any_path() }
    }

    /// Whether a call is meant.
    pub fn matches(&self, call: &Call) -> bool {
        if self.method != "*" && !self.method.eq_ignore_ascii_case(&call.method) {
            return false;
        }
        let mut parts = call.path.trim_matches('/').split('/');
        for wanted in self.path.trim_matches('/').split('/') {
            match (wanted, parts.next()) {
                ("**", _) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(part)) if wanted == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

fn any_method() -> String {
    "*".to_owned()
}

fn any_path() -> String {
    "/api/**".to_owned()
}

/// A fault for the next calls that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Planned {
    /// Which calls.
    #[serde(default = "Pattern::any")]
    pub pattern: Pattern,
    /// What happens to them.
    pub fault: Fault,
    /// How many it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching calls it lets pass first.
    #[serde(default)]
    pub skip: u32,
}

fn once() -> u32 {
    1
}

/// A fault that hits calls by chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Which calls.
    #[serde(default = "Pattern::any")]
    pub pattern: Pattern,
    /// From 0 to 1.
    pub probability: f64,
    /// What happens to them.
    pub fault: Fault,
}

/// All that goes wrong with calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultPlan {
    /// By plan: the first that matches, and has some left, hits.
    pub planned: Vec<Planned>,
    /// By chance: each in turn, if no plan hits.
    pub rates: Vec<Rate>,
    /// Until then everything fails with `down_as`.
    pub down_until: Option<Timestamp>,
    /// How it fails while it is down; none: 503.
    pub down_as: Option<Fault>,
}

impl FaultPlan {
    /// Adds a fault for the next `times` calls that match.
    pub fn plan(&mut self, pattern: Pattern, fault: Fault, times: u32) -> &mut Self {
        self.planned.push(Planned { pattern, fault, times, skip: 0 });
        self
    }

    /// Adds a fault that hits matching calls by chance.
    pub fn rate(&mut self, pattern: Pattern, probability: f64, fault: Fault) -> &mut Self {
        self.rates.push(Rate { pattern, probability, fault });
        self
    }
}

/// What the caller gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An answer, after so many milliseconds.
    Reply(Reply, u32),
    /// Nothing, until the caller gives up.
    Silence,
    /// A connection that breaks.
    Broken,
}

impl Cloud {
    /// A call with whatever goes wrong on the way: decides on the fault, lets the call take effect (or not), and says
    /// what the caller gets to see.
    pub fn exchange(&mut self, now: Timestamp, call: &Call) -> Answer {
        let reply = |reply| Answer::Reply(reply, 0);
        match self.decide(now, call) {
            None => reply(self.call(now, call)),
            Some(Fault::TooManyRequests { retry_after }) => {
                let error = Reply::error(429, "Too Many Requests: rate limit exceeded");
                reply(match retry_after {
                    Some(seconds) => error.header("retry-after", &seconds.to_string()),
                    None => error,
                })
            }
            Some(Fault::Error { status, html: true }) => {
                reply(Reply::html(status, format!("<html><h1>{status} Server Error</h1></html>")))
            }
            Some(Fault::Error { status, html: false }) => reply(Reply::error(status, "something went wrong")),
            Some(Fault::Silence) => Answer::Silence,
            Some(Fault::SilenceAfterEffect) => {
                self.call(now, call);
                Answer::Silence
            }
            Some(Fault::BreakBefore) => Answer::Broken,
            Some(Fault::BreakAfter) => {
                self.call(now, call);
                Answer::Broken
            }
            Some(Fault::ErrorAfterEffect { status }) => {
                self.call(now, call);
                reply(Reply::error(status, "something went wrong after the fact"))
            }
            Some(Fault::LateEffect { status, after_ms }) => {
                self.late.push((later(now, i64::from(after_ms)), call.clone()));
                reply(Reply::error(status, "something went wrong for now"))
            }
            Some(Fault::Slow { ms }) => Answer::Reply(self.call(now, call), ms),
            Some(Fault::Redirect { location }) => reply(Reply::empty(307).header("location", &location)),
            Some(Fault::Huge { bytes }) => {
                let status = self.call(now, call).status;
                reply(Reply::json(status, &json!({"padding": "x".repeat(bytes)})))
            }
            Some(Fault::BrokenJson) => {
                let mut answer = self.call(now, call);
                answer.body.truncate(answer.body.len() / 2);
                answer.body.extend(b"{\"");
                reply(answer)
            }
            Some(Fault::WrongShape) => {
                let status = self.call(now, call).status;
                reply(Reply::json(status, &json!({"status": 7, "id": ["?"], "changeRequests": "none"})))
            }
        }
    }

    /// Takes away all faults of calls.
    pub fn clear_faults(&mut self) {
        self.faults = FaultPlan::default();
    }

    /// Calls whose effect was put off.
    pub(crate) fn step_late(&mut self, now: Timestamp) {
        self.late.sort_by_key(|(at, _)| *at);
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = rest;
        let due: Vec<(Timestamp, Call)> = due;
        for (at, call) in due {
            self.call(at, &call);
        }
    }

    fn decide(&mut self, now: Timestamp, call: &Call) -> Option<Fault> {
        if self.faults.down_until.is_some_and(|until| now < until) {
            return Some(self.faults.down_as.clone().unwrap_or(Fault::Error { status: 503, html: false }));
        }
        for planned in self.faults.planned.iter_mut().filter(|planned| planned.pattern.matches(call)) {
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if planned.times > 0 {
                planned.times -= 1;
                return Some(planned.fault.clone());
            }
        }
        let mishaps = &mut self.mishaps;
        let hit = self.faults.rates.iter().find(|rate| rate.pattern.matches(call) && mishaps.happens(rate.probability));
        hit.map(|rate| rate.fault.clone())
    }
}
