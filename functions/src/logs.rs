//! The log on Lambda: one line of JSON for each event. The fields of all spans around it stand beside its own, so that every line that is written
//! while a request is looked at says which (`request`), for which delivery (`delivery`), about which deployment (`deployment`), and in which
//! invocation (`requestId`).
//!
//! Other people's crates are heard from `info` on only, whatever the filter says: below that they show headers and bodies, and so tokens.

use std::fmt;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};
use signoff_core::host::Host;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, ParseError, Targets, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::metrics::{EmbeddedMetrics, Namespace, TARGET as METRICS};

/// The target of the spans that say what is worked on; like the one of the invocation, they are on whatever the filter says.
pub const WORK: &str = "signoff::work";

/// What the target of the invocation's span begins with.
const RUNTIME: &str = "lambda_runtime";

/// How a Pulumi access token begins.
const TOKEN: &str = "pul-";
/// How long what follows has to be to be taken for one.
const TOKEN_LENGTH: usize = 16;

/// Where lines go.
pub trait Lines: Send + Sync + 'static {
    /// Writes a whole line; the line break is not in it.
    fn write(&self, line: &str);
}

/// Standard output, which Lambda keeps.
#[derive(Debug, Clone, Copy)]
pub struct StandardOutput;

impl Lines for StandardOutput {
    fn write(&self, line: &str) {
        // There is nobody to tell that the log is gone.
        let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    }
}

/// What takes the log and the metrics of a function: `filter` says what is logged, `namespace` whose metrics these are, `host` when it is, `lines` where it goes.
///
/// # Errors
/// If the filter is none.
pub fn subscriber<L: Lines + Clone>(
    filter: &str,
    namespace: Namespace,
    host: Arc<dyn Host>,
    lines: L,
) -> Result<impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>, ParseError> {
    let chosen = chosen(filter)?.and(filter_fn(is_ours_or_plain));
    let log = JsonLog { lines: lines.clone() }.with_filter(chosen.or(filter_fn(says_where)));
    let metrics = EmbeddedMetrics::new(namespace, host, lines)
        .with_filter(filter_fn(|metadata: &Metadata<'_>| metadata.target() == METRICS));
    Ok(Registry::default().with(log).with(metrics))
}

/// What a filter chooses: levels, and targets with levels, with commas between them.
///
/// # Errors
/// If it is none.
pub fn chosen(filter: &str) -> Result<Targets, ParseError> {
    // An empty piece would be taken for a level of its own.
    let pieces: Vec<_> = filter.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    pieces.join(",").parse()
}

/// Whether this is a line of signoff's own, or one that no library puts a secret in. Metrics are no lines of the log.
fn is_ours_or_plain(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().starts_with("signoff") && metadata.target() != METRICS;
    ours || *metadata.level() <= LevelFilter::INFO
}

/// Whether this is a span that says what is worked on, or in which invocation: a warning that does not say so is of little use.
fn says_where(metadata: &Metadata<'_>) -> bool {
    let invocation = || metadata.target().starts_with(RUNTIME) && *metadata.level() <= LevelFilter::INFO;
    metadata.is_span() && (metadata.target() == WORK || invocation())
}

/// Writes the lines.
struct JsonLog<L> {
    lines: L,
}

/// The fields of a span.
struct Fields(Map<String, Value>);

impl<S, L> Layer<S> for JsonLog<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Lines,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Gathered(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(Fields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut Gathered(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(of_span)) = span.extensions().get() {
                fields.extend(of_span.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        event.record(&mut Gathered(&mut fields));
        self.lines.write(&line(event.metadata(), fields));
    }
}

/// A line: the level and the message, and then the fields.
fn line(metadata: &Metadata<'_>, mut fields: Map<String, Value>) -> String {
    let message = fields.remove("message").unwrap_or_default();
    let mut line = format!(r#"{{"level":"{}","message":{message}"#, metadata.level());
    if *metadata.level() <= Level::WARN || *metadata.level() >= Level::DEBUG {
        fields.insert("target".to_owned(), metadata.target().into());
    }
    fields.remove("level");
    for (name, value) in fields {
        // A text can always be written.
        let _ = write!(line, ",{}:{value}", Value::from(name));
    }
    line.push('}');
    without_tokens(&line)
}

/// The line with whatever looks like one of Pulumi's access tokens taken out, should one ever get that far.
fn without_tokens(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(TOKEN) {
        let (before, from) = rest.split_at(at + TOKEN.len());
        let length = from.bytes().take_while(u8::is_ascii_alphanumeric).count();
        clean.push_str(before);
        if length >= TOKEN_LENGTH {
            clean.push_str("***");
            rest = &from[length..];
        } else {
            rest = from;
        }
    }
    clean.push_str(rest);
    clean
}

/// Gathers the fields of a span or an event.
struct Gathered<'a>(&'a mut Map<String, Value>);

impl Gathered<'_> {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Gathered<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Times in milliseconds are such numbers; no JSON reader takes larger ones.
        self.add(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}
