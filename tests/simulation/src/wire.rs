//! The wire between the real Pulumi Cloud client and the simulated Pulumi Cloud, and what goes wrong on it.

use std::future::Future;
use std::pin::Pin;

use pulumi_sim::{Answer, Call, Fault, Pattern, Planned};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use signoff_functions::pulumi::{Carried, Carrier, Letter};

use crate::step::{Phase, Step};
use crate::world::{Shared, World};

/// The kinds of faults, by name.
pub const FAULTS: [&str; 15] = [
    "429 without Retry-After",
    "429 with Retry-After",
    "500",
    "502 as HTML",
    "408",
    "time-out",
    "effect, then time-out",
    "connection breaks before",
    "connection breaks after",
    "effect, then 500",
    "504, and a late effect",
    "slow",
    "broken JSON",
    "JSON of another shape",
    "redirect",
];

/// How long a call may take, in milliseconds: as the client has it.
const TIMEOUT: i64 = 10_000;

/// Carries calls to the simulated cloud.
#[derive(Debug, Clone)]
pub struct SimCarrier {
    shared: Shared,
}

impl SimCarrier {
    /// To the cloud of this world.
    pub fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone() }
    }

    async fn exchange(&self, letter: Letter) -> Option<Carried> {
        let mut call = Call::new(letter.method, &letter.target).token(letter.token.expose());
        if let Some(body) = &letter.body {
            call = call.json(body);
        }
        let operation = shape(&call);
        Step::at(&self.shared, operation, Phase::Before).await;
        let (answer, sent) = {
            let mut world = self.shared.world();
            let fault = world.draw_fault(&call, operation);
            world.cloud.faults.planned =
                fault.map(|fault| Planned { pattern: Pattern::any(), fault, times: 1, skip: 0 }).into_iter().collect();
            (world.exchange(&call, operation), world.now)
        };
        let (reply, takes) = match answer {
            Answer::Reply(reply, 0) => (Some(reply), None),
            Answer::Reply(reply, ms) => (Some(reply), Some(i64::from(ms))),
            Answer::Silence => (None, Some(TIMEOUT)),
            Answer::Broken => (None, None),
        };
        match takes {
            Some(takes) => Step::taking(&self.shared, operation, Phase::After, takes).await,
            None => Step::at(&self.shared, operation, Phase::After).await,
        }
        let took = self.shared.world().now.as_millisecond() - sent.as_millisecond();
        let reply = reply.filter(|_| took < TIMEOUT)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &reply.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        // A message that repeats the token must not get any further.
        let body = if reply.status >= 400 && reply.body.starts_with(b"{") {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            text.replace("\"message\":\"", &format!("\"message\":\"token {} ", letter.token.expose())).into_bytes()
        } else {
            reply.body
        };
        Some(Carried { status: reply.status, headers, body })
    }
}

impl Carrier for SimCarrier {
    fn carry(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Option<Carried>> + Send + '_>> {
        Box::pin(self.exchange(letter))
    }
}

impl World {
    /// What goes wrong with this call, if anything.
    fn draw_fault(&mut self, call: &Call, operation: &'static str) -> Option<Fault> {
        self.late_by = None;
        if self.calm {
            return None;
        }
        let writes = call.method == "POST";
        // What creates something is hit more often: there are few such calls, and most depends on them.
        let creates = matches!(operation, "POST deployment" | "POST open request");
        let more = if creates { 8.0 } else { 1.0 };
        let Self { plan, chance, .. } = self;
        let at = plan.cloud.iter().position(|rate| chance.happens(*rate * more))?;
        let settle = self.plan.timing.settle.as_secs();
        if operation == "GET durations" && self.chance.happens(0.5) {
            self.judge.mishaps += 1;
            self.coverage.add("call fault", "409: GET durations");
            return Some(Fault::Error { status: 409, html: false });
        }
        let fault = match at {
            0 => Fault::TooManyRequests { retry_after: None },
            1 => Fault::TooManyRequests { retry_after: Some(self.chance.below(90) + 1) },
            2 => Fault::Error { status: 500, html: false },
            3 => Fault::Error { status: 502, html: true },
            4 => Fault::Error { status: 408, html: false },
            5 => Fault::Silence,
            6 => Fault::SilenceAfterEffect,
            7 => Fault::BreakBefore,
            8 => Fault::BreakAfter,
            9 => Fault::ErrorAfterEffect { status: 500 },
            10 if writes => {
                // Who made the call and who looks for its effect may go by different clocks.
                let longest = settle * 1_000 - 500 - 2 * self.plan.skew;
                let after = self.chance.within(200, longest);
                self.late_by = Some(after);
                Fault::LateEffect { status: 504, after_ms: u32::try_from(after).unwrap_or(1_000) }
            }
            11 => Fault::Slow { ms: u32::try_from(self.chance.within(500, 9_500)).unwrap_or(1_000) },
            12 => Fault::BrokenJson,
            // Of settings every field is optional, so that any object is an answer.
            13 if operation != "GET settings" => Fault::WrongShape,
            14 => Fault::Redirect { location: "https://example.com/".to_owned() },
            _ => return None,
        };
        let name = FAULTS.get(at).copied().unwrap_or_default();
        self.judge.mishaps += 1;
        self.coverage.add("call fault", format!("{name}: {operation}"));
        self.say(|| format!("fault: {name} on {operation}"));
        Some(fault)
    }
}

/// A short name of a call, by what its path is like.
pub fn shape(call: &Call) -> &'static str {
    let path: Vec<&str> = call.path.trim_matches('/').split('/').skip(1).collect();
    let get = call.method == "GET";
    match (path.as_slice(), get) {
        (["user"], _) => "GET user",
        (["console", ..], _) => "GET member permissions",
        (["change-gates", ..], _) => "GET rulesets",
        (["esc", .., "request"], _) => "POST open request",
        (["esc", ..], _) => "GET durations",
        (["change-requests", _], _) => "GET change requests",
        (["change-requests", _, _], _) => "GET change request",
        (["change-requests", _, _, "events"], _) => "GET history",
        (["change-requests", _, _, "submit"], _) => "POST submit",
        (["change-requests", _, _, "apply"], _) => "POST apply",
        (["change-requests", _, _, "close"], _) => "POST close",
        (["stacks", .., "settings"], _) => "GET settings",
        (["stacks", .., "cancel"], _) => "POST cancel deployment",
        (["stacks", _, _, _, "deployments"], true) => "GET deployments",
        (["stacks", _, _, _, "deployments"], false) => "POST deployment",
        (["stacks", _, _, _, "deployments", _], _) => "GET deployment",
        (["stacks", _, _, _, "deployments", _, "logs"], _) => "GET logs",
        _ => "another call",
    }
}
