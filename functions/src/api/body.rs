//! Bodies, checked field by field so that everything that is wrong is said at once.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use signoff_core::gate::{CommitRule, Gate};
use signoff_core::names::{BadName, Commit, Login, Operation, Reason, StackName};
use signoff_core::period::Period;

use super::problem::{FieldError, Problem};

/// How many unknown fields are named.
const MAX_UNKNOWN: usize = 20;
/// How much of an unknown field's name is repeated, in characters.
const MAX_NAME: usize = 100;
/// How long ago the earliest time may be that is asked for.
const PAST: SignedDuration = SignedDuration::from_hours(1);

/// An object's fields and what was found wrong with them so far.
#[derive(Debug)]
pub(super) struct Fields {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The fields of a body.
    pub(super) fn of(body: Value) -> Result<Self, Problem> {
        match body {
            Value::Object(left) => Ok(Self { left, errors: Vec::new() }),
            _ => Err(Problem::invalid(vec![error("", "the body is a JSON object")])),
        }
    }

    /// Takes a text that has to be there.
    pub(super) fn required<T: FromStr<Err = BadName>>(&mut self, name: &str) -> Option<T> {
        if self.left.get(name).is_none_or(Value::is_null) {
            self.left.remove(name);
            self.refuse(name, "it has to be given");
            return None;
        }
        self.optional(name)
    }

    /// Takes a text that may be left out, or null.
    pub(super) fn optional<T: FromStr<Err = BadName>>(&mut self, name: &str) -> Option<T> {
        match self.left.remove(name)? {
            Value::Null => None,
            Value::String(text) => text.parse().map_err(|BadName(why)| self.refuse(name, &why)).ok(),
            _ => {
                self.refuse(name, "it is a string");
                None
            }
        }
    }

    /// Takes a list of texts, at least one.
    pub(super) fn each<T: FromStr<Err = BadName> + Ord>(&mut self, name: &str) -> Option<BTreeSet<T>> {
        let given = self.left.remove(name);
        let Some(Value::Array(texts)) = given.filter(|given| given.as_array().is_some_and(|texts| !texts.is_empty()))
        else {
            self.refuse(name, "it is a list of strings, of one at least");
            return None;
        };
        let mut all = BTreeSet::new();
        for text in texts {
            match text.as_str().unwrap_or_default().parse() {
                Ok(one) => _ = all.insert(one),
                Err(BadName(why)) => {
                    self.refuse(name, &why);
                    return None;
                }
            }
        }
        Some(all)
    }

    /// Notes what is wrong with a field.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        self.errors.push(error(name, why));
    }

    /// All that is wrong; what was not taken is unknown.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for name in self.left.keys().take(MAX_UNKNOWN) {
            self.errors.push(error(name, "there is no such field; leave it out"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

fn error(name: &str, why: &str) -> FieldError {
    let escaped: String = name.chars().take(MAX_NAME).collect::<String>().replace('~', "~0").replace('/', "~1");
    let pointer = if name.is_empty() { String::new() } else { format!("/{escaped}") };
    FieldError { pointer, detail: why.to_owned() }
}

/// Reads a body as JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::malformed(format!("The body is not JSON in UTF-8 (line {}).", error.line())))
}

/// What a body asks for, as far as it could be read.
#[derive(Debug)]
pub(super) struct Draft {
    /// The stack.
    pub(super) stack: Option<StackName>,
    operation: Option<Operation>,
    reason: Option<Reason>,
    commit: Option<Commit>,
    access_duration: Option<Period>,
    grant_expiration: Option<Period>,
    pending_timeout: Option<Period>,
    on_behalf_of: Option<Login>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
    fields: Fields,
}

/// What a body asks for, checked against its gate.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The stack.
    pub(super) stack: StackName,
    /// What to do with it.
    pub(super) operation: Operation,
    /// Why.
    pub(super) reason: Reason,
    /// The commit to pin.
    pub(super) commit: Option<Commit>,
    /// How long the grant lets the deployment in.
    pub(super) access_duration: Period,
    /// Within which time of the apply the environment has to be opened.
    pub(super) grant_expiration: Period,
    /// How long the request may wait for its apply.
    pub(super) pending_timeout: Period,
    /// For whom a machine asks.
    pub(super) on_behalf_of: Option<Login>,
    /// Before which moment it is not applied.
    pub(super) not_before: Option<Timestamp>,
    /// After which moment it is not applied any more.
    pub(super) not_after: Option<Timestamp>,
}

/// A moment as RFC 3339 writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) Timestamp);

impl FromStr for Moment {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName("it is a time such as 2026-12-01T18:00:00Z".to_owned());
        let moment = text.parse::<Timestamp>().map_err(|_| bad())?;
        // As precise as everything else that is kept.
        Timestamp::from_millisecond(moment.as_millisecond()).map(Self).map_err(|_| bad())
    }
}

impl Draft {
    /// Reads the fields.
    pub(super) fn of(body: Value) -> Result<Self, Problem> {
        let mut fields = Fields::of(body)?;
        Ok(Self {
            stack: fields.required("stack"),
            operation: fields.required("operation"),
            reason: fields.required("reason"),
            commit: fields.optional("commit"),
            access_duration: fields.optional("accessDuration"),
            grant_expiration: fields.optional("grantExpiration"),
            pending_timeout: fields.optional("pendingTimeout"),
            on_behalf_of: fields.optional("onBehalfOf"),
            not_before: fields.optional("notBefore"),
            not_after: fields.optional("notAfter"),
            fields,
        })
    }

    /// Everything that is wrong with it at this moment, where there is a gate that says so and where there is none; else what is wanted.
    pub(super) fn check(mut self, gate: Option<&Gate>, is_machine: bool, now: Timestamp) -> Result<Wanted, Problem> {
        if self.on_behalf_of.is_some() && !is_machine {
            self.fields.refuse("onBehalfOf", "only a machine token asks on somebody's behalf; leave it out");
        }
        let Some(gate) = gate else {
            if self.stack.is_some() {
                let why = "no gate covers this stack; GET /v1/gates lists the stacks that can be asked for";
                self.fields.refuse("stack", why);
            }
            self.fields.finish()?;
            return Err(incomplete());
        };
        if let Some(operation) = self.operation
            && !gate.operations.contains(&operation)
        {
            let some: Vec<_> = gate.operations.iter().map(|operation| operation.as_str()).collect();
            self.fields.refuse("operation", &format!("this stack's gate lets only {} be asked for", some.join(", ")));
        }
        let fields = &mut self.fields;
        let has_refused_commit = fields.errors.iter().any(|error| error.pointer == "/commit");
        if gate.commit == CommitRule::Required && self.commit.is_none() && !has_refused_commit {
            fields.refuse("commit", "this stack's gate demands that the commit is pinned; give its 40 digits");
        }
        let mut within = |name: &str, given: Option<Period>, most: &Period| match given {
            Some(given) if given.seconds() > most.seconds() => {
                fields.refuse(name, &format!("this stack's gate allows {most} at most"));
                most.clone()
            }
            given => given.unwrap_or_else(|| most.clone()),
        };
        let access_duration = within("accessDuration", self.access_duration, &gate.access_duration);
        let grant_expiration = within("grantExpiration", self.grant_expiration, &gate.grant_expiration);
        let pending_timeout = within("pendingTimeout", self.pending_timeout, &gate.pending_timeout);
        let (not_before, not_after) = (self.not_before.map(|at| at.0), self.not_after.map(|at| at.0));
        // A little is what a pipeline takes; more is a mistake, and would be deployed at once.
        if not_before.is_some_and(|first| first.saturating_add(PAST).is_ok_and(|past| past <= now)) {
            fields.refuse("notBefore", "that is over; leave it out to let it be applied as soon as it may");
        }
        if not_after.is_some_and(|last| last <= now) {
            fields.refuse("notAfter", "that is over; give a time to come");
        }
        if let (Some(first), Some(last)) = (not_before, not_after)
            && last <= first
        {
            fields.refuse("notAfter", "it has to be later than notBefore");
        }
        if let Some(wait) = &gate.wait {
            let later = |from: Timestamp| from.saturating_add(wait.duration()).unwrap_or(Timestamp::MAX);
            if wait.seconds() >= pending_timeout.seconds() {
                fields.refuse(
                    "pendingTimeout",
                    &format!("this stack's gate applies {wait} after the approval; give more time"),
                );
            }
            if not_after.is_some_and(|last| last > now && last <= later(now)) {
                fields.refuse(
                    "notAfter",
                    &format!("this stack's gate applies {wait} after the approval; give a later time"),
                );
            }
        }
        if not_before
            .is_some_and(|first| first >= now.saturating_add(pending_timeout.duration()).unwrap_or(Timestamp::MAX))
        {
            fields.refuse(
                "notBefore",
                &format!(
                    "the request would expire before, {pending_timeout} from now; give an earlier time, or ask later"
                ),
            );
        }
        self.fields.finish()?;
        let (Some(stack), Some(operation), Some(reason)) = (self.stack, self.operation, self.reason) else {
            return Err(incomplete());
        };
        Ok(Wanted {
            stack,
            operation,
            reason,
            commit: self.commit,
            access_duration,
            grant_expiration,
            pending_timeout,
            on_behalf_of: self.on_behalf_of,
            not_before,
            not_after,
        })
    }
}

/// A required field that is missing was refused before, so that this is said of nothing; it fails closed all the same.
fn incomplete() -> Problem {
    Problem::invalid(vec![error("", "stack, operation and reason have to be given")])
}
