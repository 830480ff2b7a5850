//! Metrics: what happens, as events of `tracing` under [`TARGET`], and the layer that writes them in CloudWatch's embedded metric format.
//!
//! An event's fields are the metrics that it has values for, and their dimensions, by the names that the dashboard and the alarms know. Without the layer, as in
//! `signoff local`, nobody hears them. The domain's own are in `signoff_core::measure`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

pub use signoff_core::measure::TARGET;

use crate::logs::Lines;

/// The namespace of all metrics: by it, dashboards and alarms tell one installation's from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// The longest that CloudWatch takes.
    const MAX_LENGTH: usize = 255;

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("signoff".to_owned())
    }
}

impl FromStr for Namespace {
    type Err = BadNamespace;

    fn from_str(text: &str) -> Result<Self, BadNamespace> {
        // What CloudWatch does not take as a namespace it drops without a word, with every metric in it.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_/#: ".contains(c);
        let good = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.chars().all(is_plain)
            && text.trim() == text
            && !text.starts_with(':')
            && !text.starts_with("AWS/");
        if good { Ok(Self(text.to_owned())) } else { Err(BadNamespace) }
    }
}

/// No namespace of CloudWatch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a namespace has 1 to 255 letters, digits, spaces and . - _ / # :, begins with neither a colon nor AWS/, and has no space at its ends"
)]
pub struct BadNamespace;

/// A metric: its name, its unit, and the sets of dimensions under which it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// CloudWatch's word for what it is counted in.
    pub unit: &'static str,
    /// The sets of dimensions.
    pub dimensions: &'static [&'static [&'static str]],
}

/// All metrics. An event with another one is not heard.
pub const METRICS: [Metric; 11] = [
    Metric { name: "PendingAge", unit: "Seconds", dimensions: &[&[]] },
    Metric { name: "ApprovalLatency", unit: "Seconds", dimensions: &[&[]] },
    Metric { name: "ApplyOutcomes", unit: "Count", dimensions: &[&["Outcome"]] },
    Metric { name: "DeployOutcomes", unit: "Count", dimensions: &[&["Outcome"]] },
    Metric { name: "WebhookDeliveries", unit: "Count", dimensions: &[&["Kind", "Verdict"], &["Verdict"]] },
    Metric { name: "PulumiCloudCalls", unit: "Count", dimensions: &[&["Status"]] },
    Metric { name: "PulumiCloudTime", unit: "Milliseconds", dimensions: &[&[]] },
    Metric { name: "TokenRefused", unit: "Count", dimensions: &[&[]] },
    Metric { name: "SweepRung", unit: "Count", dimensions: &[&[]] },
    Metric { name: "Notices", unit: "Count", dimensions: &[&["Outcome"]] },
    Metric { name: "NoticesGivenUp", unit: "Count", dimensions: &[&[]] },
];

/// The kinds of deliveries that are counted each by itself.
const KINDS: [&str; 20] = [
    "change_request_applied",
    "change_request_approved",
    "change_request_closed",
    "change_request_created",
    "change_request_submitted",
    "change_request_unapproved",
    "change_request_updated",
    "deployment",
    "drift_detection",
    "drift_remediation",
    "environment",
    "environment_revision",
    "environment_revision_tag",
    "environment_tag",
    "imported_environment_changed",
    "ping",
    "policy_violation",
    "stack",
    "stack_preview",
    "stack_update",
];
/// The statuses that are counted each by itself.
const STATUSES: [(u16, &str); 16] = [
    (0, "none"),
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (409, "409"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];
/// What everything else is counted under.
const OTHER: &str = "other";
/// The most open requests that are looked through for the oldest.
const MAX_OPEN: usize = 10_000;

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was recorded.
    Accepted,
    /// It was recorded before.
    Duplicate,
    /// No secret made its signature.
    BadSignature,
    /// It can't be read, or is none.
    Refused,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Duplicate, Self::BadSignature, Self::Refused];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::BadSignature => "bad-signature",
            Self::Refused => "refused",
        }
    }
}

/// A delivery came. `kind` is what a signed one says of itself; nothing that an unsigned one says is kept.
pub(crate) fn delivered(kind: Option<&str>, verdict: Verdict) {
    let known = kind.and_then(|kind| KINDS.into_iter().find(|known| *known == kind));
    tracing::trace!(target: TARGET, WebhookDeliveries = 1_u64, Kind = known.unwrap_or(OTHER), Verdict = verdict.as_str());
}

/// Pulumi Cloud was called; status 0: no answer came in one piece.
pub(crate) fn called(status: u16, took: Duration) {
    let known = STATUSES.iter().find(|(known, _)| *known == status).map_or(OTHER, |(_, word)| *word);
    let milliseconds = took.as_secs_f64() * 1_000.0;
    tracing::trace!(target: TARGET, PulumiCloudCalls = 1_u64, Status = known, PulumiCloudTime = milliseconds);
}

/// A call with a principal's token was refused for the token's sake.
pub(crate) fn token_refused() {
    tracing::trace!(target: TARGET, TokenRefused = 1_u64);
}

/// A sweep was made: how many it rang, and how long the oldest open request has been open.
///
/// # Errors
/// If the ledger can't tell what is open.
pub async fn swept<L: Ledger, H: Host>(ledger: &L, host: &H, rung: usize) -> Result<(), LedgerError> {
    let now = host.now();
    let open = ledger.open(MAX_OPEN).await?;
    // A request's id says when it was made.
    let oldest = open.iter().map(|id| id.ulid().timestamp_ms()).min();
    let made = oldest.and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    let age = made.map_or(0, |made| now.duration_since(made).as_secs().max(0));
    tracing::trace!(target: TARGET, SweepRung = rung as u64, PendingAge = age);
    Ok(())
}

/// Writes events under [`TARGET`] as documents of the embedded metric format, one line each.
pub struct EmbeddedMetrics<L> {
    namespace: Namespace,
    host: Arc<dyn Host>,
    lines: L,
}

impl<L: Lines> EmbeddedMetrics<L> {
    /// `namespace` says whose metrics these are, `host` when something happens, `lines` where it is written.
    pub fn new(namespace: Namespace, host: Arc<dyn Host>, lines: L) -> Self {
        Self { namespace, host, lines }
    }
}

impl<L> fmt::Debug for EmbeddedMetrics<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedMetrics").finish_non_exhaustive()
    }
}

impl<S: Subscriber, L: Lines> Layer<S> for EmbeddedMetrics<L> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        if let Some(document) = document(&self.namespace, &said.0, self.host.now()) {
            self.lines.write(&document.to_string());
        }
    }
}

/// The document that says this; `None` if there is no metric in it that is known, with all its dimensions.
fn document(namespace: &Namespace, said: &Map<String, Value>, at: Timestamp) -> Option<Value> {
    let mut members = Map::new();
    let mut directives = Vec::new();
    for metric in METRICS {
        let Some(value) = said.get(metric.name).filter(|value| value.is_number()) else { continue };
        let mut named = metric.dimensions.iter().copied().flatten();
        if !named.all(|name| said.get(*name).is_some_and(Value::is_string)) {
            continue;
        }
        members.insert(metric.name.to_owned(), value.clone());
        for name in metric.dimensions.iter().copied().flatten() {
            members.insert((*name).to_owned(), said.get(*name)?.clone());
        }
        directives.push(json!({
            "Namespace": namespace.as_str(),
            "Dimensions": metric.dimensions,
            "Metrics": [{"Name": metric.name, "Unit": metric.unit}],
        }));
    }
    if directives.is_empty() {
        return None;
    }
    members.insert("_aws".to_owned(), json!({"Timestamp": at.as_millisecond(), "CloudWatchMetrics": directives}));
    Some(Value::Object(members))
}

/// What an event says: numbers and texts.
#[derive(Default)]
struct Said(Map<String, Value>);

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
