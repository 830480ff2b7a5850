//! Requests to try the ledger with.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use signoff_core::chain::{Step, seal};
use signoff_core::event::{Actor, Entry, Event, Opened, RestsOn, Seen};
use signoff_core::ledger::{InLine, Ledger, LineChange, NewRequest};
use signoff_core::names::{Operation, RequestId};
use signoff_core::request::{Approvals, Ask, ChangeRequestStatus, Outcome, Request, Requester, State, Terms};
use ulid::Ulid;

/// The stack of most tests.
pub(crate) const STACK: &str = "acme/web/prod";

/// So many seconds after the tests' beginning of time, 2026-11-23T10:00:00Z.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_428_000).unwrap() + SignedDuration::from_secs(seconds)
}

/// An id that nobody else has; each is greater than those before.
pub(crate) fn ulid() -> Ulid {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    Ulid::from_parts(COUNT.fetch_add(1, Ordering::Relaxed), 0x0005_EED5)
}

/// An id that nobody else has.
pub(crate) fn id() -> RequestId {
    RequestId::new(ulid())
}

/// What Alice asks for on this stack, from this place in its line.
pub(crate) fn ask(stack: &str, position: u64) -> Ask {
    Ask {
        id: id(),
        stack: stack.parse().unwrap(),
        operation: Operation::Update,
        reason: "Ship the fix for order 4711, which the shop waits for".parse().unwrap(),
        commit: Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap()),
        requester: Requester { login: "Alice".parse().unwrap(), name: "Alice Example".to_owned(), machine: None },
        on_behalf_of: None,
        push: None,
        rescues: None,
        gate: Terms {
            environment: "acme/credentials/prod".parse().unwrap(),
            principal: "default".parse().unwrap(),
            self_approval: false,
            commit_required: true,
            approvals: None,
            wait: None,
        },
        access_duration: "1h".parse().unwrap(),
        grant_expiration: "1h".parse().unwrap(),
        pending_timeout: "72h".parse().unwrap(),
        not_before: None,
        not_after: None,
        position,
        created_at: at(0),
    }
}

/// The event as the next step of a request.
pub(crate) fn step(before: Option<&Request>, event: Event, at: Timestamp) -> Step {
    seal(before, &Entry { id: ulid(), at, actor: Actor::SIGNOFF, event }).unwrap()
}

/// The request that comes of asking for this.
pub(crate) fn new(ask: Ask) -> NewRequest {
    let now = ask.created_at;
    let step = step(None, Event::Requested(Box::new(ask)), now);
    NewRequest { step, due: at(60), idempotency: None }
}

/// Creates a request at the end of the stack's line.
pub(crate) async fn created(ledger: &impl Ledger, stack: &str) -> Request {
    let position = ledger.line(&stack.parse().unwrap()).await.unwrap().next;
    let new = new(ask(stack, position));
    ledger.create(&new).await.unwrap();
    new.step.request
}

/// Records this step, and gives the request as it is then.
pub(crate) async fn recorded(ledger: &impl Ledger, before: &Request, event: Event, line: LineChange) -> Request {
    let step = step(Some(before), event, at(1));
    ledger.record(&step, None, line).await.unwrap();
    step.request
}

/// The open request of a request was created.
pub(crate) fn opened() -> Event {
    let environment = "acme/credentials/prod".parse().unwrap();
    let change_requests = vec![Opened { id: "6f0d2b0e-cr".to_owned(), environment, revision: 3 }];
    Event::Opened {
        principal: "signoff-bot".parse().unwrap(),
        machine: None,
        settings: "f".repeat(64),
        change_requests,
    }
}

/// It was submitted.
pub(crate) fn submitted() -> Event {
    let approvals = vec![Approvals {
        ruleset: "prod needs two".to_owned(),
        required: 2,
        approvers: Vec::new(),
        counted: Vec::new(),
    }];
    let (id, rulesets) = ("6f0d2b0e-cr".to_owned(), vec!["gate-1".to_owned()]);
    let (status, description_hash) = (ChangeRequestStatus::Pending, Some("5e884898da280471".to_owned()));
    Event::Submitted { change_requests: vec![Seen { id, status, revision: 3, approvals, rulesets, description_hash }] }
}

/// Somebody takes the request back.
pub(crate) fn taken_back() -> Event {
    Event::EndDecided { to: State::Cancelled, outcome: outcome(), rests_on: RestsOn::default() }
}

/// It is over.
pub(crate) fn cancelled() -> Event {
    Event::Cancelled { outcome: outcome(), rests_on: RestsOn::default() }
}

fn outcome() -> Outcome {
    Outcome::new("cancelled", "alice took the request back.")
}

/// The request's place in line.
pub(crate) fn in_line(request: &Request) -> InLine {
    InLine::of(&request.ask)
}
