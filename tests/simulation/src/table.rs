//! The table as DynamoDB would hold it: items, and the stream of what changed.
//!
//! An index shows a write a little later than the table does. Each write that changes something leaves a record in the stream; one that changes
//! nothing leaves none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use signoff_core::chain::Sealed;
use signoff_core::doorbell::Delivery;
use signoff_core::gate::Gates;
use signoff_core::ledger::{Cause, Idempotency, InLine, Intent, Line, Loaded, Note, NoticeWork, Work};
use signoff_core::names::{RequestId, StackName};
use signoff_core::request::{Request, Worker};
use ulid::Ulid;

/// The item `WORK`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkItem {
    /// When the next look is due.
    pub due: Option<Timestamp>,
    /// Who holds the lease.
    pub holder: Option<Ulid>,
    /// Until when.
    pub lease_until: Option<Timestamp>,
    /// Somebody asked for another look.
    pub again: bool,
    /// A cancellation is recorded.
    pub ending: bool,
    /// Since when rings are counted, and how many there were.
    pub rings: Option<(Timestamp, u32)>,
    /// The intent without an outcome.
    pub intent: Option<Intent>,
    /// The note.
    pub note: Note,
}

impl WorkItem {
    /// What the gate sees of it.
    pub fn work(&self) -> Work {
        Work { due: self.due, intent: self.intent.clone(), note: self.note.clone() }
    }
}

/// All items of one request.
#[derive(Debug, Clone)]
pub struct Row {
    /// The state, with what was asked.
    pub request: Request,
    /// The worker that its last state was written for.
    pub wake: Option<Worker>,
    /// The trail.
    pub events: Vec<Sealed>,
    /// The work.
    pub work: WorkItem,
    /// What the index shows as due.
    pub shown: Option<Timestamp>,
    /// What it will show, and from when on.
    pub showing: Vec<(Timestamp, Option<Timestamp>)>,
    /// From when on the index by organization shows it.
    pub listed_at: Timestamp,
    /// Its notices by the event that they tell of: when each is due, and how far it has come; `None`: it was sent.
    pub notices: BTreeMap<u64, Option<(Timestamp, NoticeWork)>>,
}

impl Row {
    /// The request with its bookkeeping.
    pub fn loaded(&self) -> Loaded {
        Loaded { request: self.request.clone(), work: self.work.work() }
    }
}

/// The item `LINE`.
#[derive(Debug, Clone, Default)]
pub struct LineItem {
    /// The line.
    pub line: Line,
    /// How often requests came and left.
    pub revision: u64,
}

/// The item `LOCK`.
#[derive(Debug, Clone, Default)]
pub struct LockItem {
    /// Which request holds it.
    pub holder: Option<RequestId>,
    /// Which ones wait.
    pub waiting: Vec<RequestId>,
}

/// A record of the stream.
#[derive(Debug, Clone)]
pub struct Change {
    /// The item's key.
    pub key: String,
    /// The request whose item it is.
    pub request: Option<RequestId>,
    /// The record, as Lambda hands it over.
    pub record: Value,
}

/// The whole table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Requests.
    pub requests: BTreeMap<RequestId, Row>,
    /// Lines, by stack.
    pub lines: BTreeMap<StackName, LineItem>,
    /// Creation locks, by organization and principal.
    pub locks: BTreeMap<String, LockItem>,
    /// What is done once, until when.
    pub once: BTreeMap<String, Timestamp>,
    /// Idempotency keys, by caller and key.
    pub idempotency: BTreeMap<(String, String), Idempotency>,
    /// Which request a change request belongs to.
    pub pointers: BTreeMap<String, RequestId>,
    /// Deliveries, and when they expire.
    pub hooks: BTreeMap<String, (Delivery, Timestamp)>,
    /// The gates.
    pub gates: Arc<Gates>,
    /// What changed and was not handed over yet.
    pub stream: Vec<Change>,
    sequence: u64,
    /// Whether there was a record of an event, and one of work: nobody gets those, which is checked once.
    bookkeeping: [bool; 2],
}

/// One attribute of an image.
fn text(value: impl ToString) -> Value {
    json!({"S": value.to_string()})
}

impl Table {
    /// A table with nothing in it but the gates.
    pub fn new(gates: Gates) -> Self {
        Self { gates: Arc::new(gates), ..Self::default() }
    }

    fn emit(&mut self, request: Option<RequestId>, pk: &str, sk: &str, name: &str, mut image: Value) {
        self.sequence += 1;
        image["pk"] = text(pk);
        image["sk"] = text(sk);
        let (sequence, keys) = (format!("{:020}", self.sequence), json!({"pk": text(pk), "sk": text(sk)}));
        let record = json!({
            "eventID": sequence, "eventName": name, "eventSource": "aws:dynamodb", "eventVersion": "1.1", "awsRegion": "local",
            "dynamodb": {
                "Keys": keys, "NewImage": image, "SequenceNumber": sequence, "SizeBytes": 1,
                "StreamViewType": "NEW_AND_OLD_IMAGES", "ApproximateCreationDateTime": 1_795_428_000.0,
            },
        });
        self.stream.push(Change { key: format!("{pk} {sk}"), request, record });
    }

    /// The state of a request was written.
    pub fn emit_state(&mut self, id: RequestId) {
        let Some(row) = self.requests.get(&id) else { return };
        let mut image = json!({"v": {"N": row.request.status.sequence.to_string()}, "id": text(id)});
        if let Some(worker) = row.wake {
            image["wake"] = text(worker.as_str());
        }
        let sequence = row.request.status.sequence;
        self.emit(Some(id), &format!("REQ#{id}"), "STATE", "MODIFY", image);
        if !std::mem::replace(&mut self.bookkeeping[0], true) {
            let event = json!({"event": text("")});
            self.emit(Some(id), &format!("REQ#{id}"), &format!("EVT#{sequence:010}"), "INSERT", event);
        }
    }

    /// The work of a request was written; a write that changed nothing leaves no record.
    pub fn emit_work(&mut self, id: RequestId, before: &WorkItem, shows_at: Timestamp) {
        let Some(row) = self.requests.get_mut(&id) else { return };
        if row.work == *before {
            return;
        }
        if row.work.due != before.due {
            let due = row.work.due;
            row.showing.push((shows_at, due));
        }
        if !std::mem::replace(&mut self.bookkeeping[1], true) {
            self.emit(Some(id), &format!("REQ#{id}"), "WORK", "MODIFY", json!({"note": text("")}));
        }
    }

    /// A bell was rung.
    pub fn emit_ring(&mut self, id: RequestId, worker: Worker, cause: &Cause, ulid: Ulid) {
        let mut image = json!({"for": text(worker.as_str()), "cause": text(cause.as_str()), "ring": text(ulid)});
        if let Some(delivery) = cause.delivery() {
            image["hook"] = text(delivery);
        }
        self.emit(Some(id), &format!("REQ#{id}"), "RING", "MODIFY", image);
    }

    /// A delivery was recorded.
    pub fn emit_hook(&mut self, delivery: &Delivery) {
        let stored = json!({
            "id": delivery.id, "kind": delivery.kind, "body": delivery.body, "pointers": delivery.pointers, "at": delivery.at,
        });
        self.emit(None, &format!("HOOK#{}", delivery.id), "HOOK", "INSERT", json!({"delivery": text(stored)}));
    }

    /// Items whose time is over go, at last. What goes leaves a record without a new image.
    pub fn expire(&mut self, now: Timestamp) {
        let gone: Vec<String> =
            self.hooks.iter().filter(|(_, (_, expires))| *expires <= now).map(|(id, _)| id.clone()).collect();
        for id in gone {
            let old = self.hooks.remove(&id);
            self.emit(None, &format!("HOOK#{id}"), "HOOK", "REMOVE", Value::Null);
            if let Some(change) = self.stream.last_mut() {
                let image = old.map(|(delivery, _)| json!({"delivery": text(delivery.kind)}));
                change.record["dynamodb"]["OldImage"] = image.unwrap_or_default();
                if let Some(record) = change.record["dynamodb"].as_object_mut() {
                    record.remove("NewImage");
                }
            }
        }
        self.idempotency.retain(|_, key| now < key.until);
    }

    /// What the index shows at a time.
    pub fn catch_up(&mut self, now: Timestamp) {
        for row in self.requests.values_mut().filter(|row| !row.showing.is_empty()) {
            // Writes show in their order, and the last one stays.
            let seen = row.showing.iter().rposition(|(from, _)| *from <= now);
            if let Some(seen) = seen {
                row.shown = row.showing.get(seen).and_then(|(_, due)| *due);
                row.showing.drain(..=seen);
            }
        }
    }

    /// The earliest time at which something is due, as the table itself has it.
    pub fn first_due(&self) -> Option<Timestamp> {
        self.requests.values().filter_map(|row| row.work.due).min()
    }

    /// The open requests of a stack's line.
    pub fn waiting(&self, stack: &StackName) -> &[InLine] {
        self.lines.get(stack).map_or(&[], |line| &line.line.waiting)
    }
}
