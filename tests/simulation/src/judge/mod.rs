//! The judge: what always holds, judged by what the cloud saw and what the gate had read of it by then.
//!
//! `sending` judges each call right before it takes effect, `answered` notes what a look has read and whether it was as it has to be, `observe` goes
//! through what took effect, `recorded` judges each step of a request, and `end` what is left when all is over.

mod answered;
mod end;
mod observe;
mod recorded;
mod sending;
mod unasked;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use pulumi_sim::{ChangeRequest, Cloud};
use serde_json::Value;
use signoff_core::gate::Gates;
use signoff_core::names::RequestId;
use signoff_core::request::{Ask, Worker};

use crate::world::World;

pub(crate) use answered::answered;
pub(crate) use end::{at_the_end, end_bound, in_time};
pub(crate) use observe::observe;
pub(crate) use recorded::{recorded, turn_taken};
pub(crate) use sending::sending;
pub(crate) use unasked::is_asked_for;
pub use unasked::{Asking, Deployed};

/// The plain variable by which a deployment tells its request.
pub(crate) const MARK: &str = "SIGNOFF_REQUEST_ID";

/// Something that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// Which rule.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// What a look has read of a change request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its status.
    pub status: String,
    /// Whether enough people who count had approved it at that moment.
    pub enough: bool,
}

/// A look of a worker at a request, as the judge sees it.
#[derive(Debug, Clone)]
pub struct Look {
    /// The installation.
    pub place: usize,
    /// The request.
    pub request: RequestId,
    /// The worker.
    pub worker: Option<Worker>,
    /// When it began, truly.
    pub began: Timestamp,
    /// Until when its lease is, on its own clock.
    pub until: Timestamp,
    /// The gates as it read them.
    pub gates: Option<Arc<Gates>>,
    /// Whether the principal's token was whose it has to be.
    pub identity: Option<bool>,
    /// Whether the deployment settings were as they have to be.
    pub settings: Option<bool>,
    /// The settings' version and content when they were read.
    pub settings_seen: Option<(i64, Value)>,
    /// Whether a ruleset was in force.
    pub rulesets: Option<bool>,
    /// Whether the stack had nothing running, queued or paused.
    pub free: Option<bool>,
    /// Whether the durations were those that were asked for.
    pub durations: BTreeMap<String, bool>,
    /// The change requests.
    pub read: BTreeMap<String, Read>,
    /// Whether the lease was confirmed.
    pub confirmed: bool,
    /// Whether an intent was written down.
    pub intended: bool,
    /// When the request was read again after that.
    pub sure: Option<Timestamp>,
}

impl Look {
    /// Another look begins under the same lease: what was read before counts no more.
    pub fn forget(&mut self) {
        (self.gates, self.identity, self.settings, self.settings_seen) = (None, None, None, None);
        (self.rulesets, self.free) = (None, None);
        (self.confirmed, self.intended, self.sure) = (false, false, None);
        self.durations.clear();
        self.read.clear();
    }
}

/// What the judge knows of a request.
#[derive(Debug, Clone)]
pub struct Case {
    /// The installation.
    pub place: usize,
    /// What was asked.
    pub ask: Ask,
    /// The stack's name as text.
    pub stack: String,
    /// The environment's name as text.
    pub environment: String,
    /// The settings that it was asked for with.
    pub settings: Option<(i64, Value)>,
    /// For each change request, how many approvals each ruleset asked for when it was submitted.
    pub numbers: BTreeMap<String, BTreeMap<String, i64>>,
    /// What each change request was submitted with.
    pub descriptions: BTreeMap<String, String>,
    /// How many calls were made for it, and how many looks.
    pub calls: u64,
    /// How many looks there were.
    pub looks: u64,
    /// When its last step was truly written: the step's own time is when it was decided.
    pub written: Timestamp,
    /// When it came to its end.
    pub ended: Option<Timestamp>,
    /// Its end was written by a process that had stood still for longer than its lease.
    pub excused: bool,
}

/// What one open request created.
#[derive(Debug, Clone)]
pub struct Group {
    /// For which request.
    pub request: RequestId,
    /// The change requests.
    pub ids: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Sent by a process that had stood still for longer than its lease, or lost with the ledger that was replaced by a backup.
    pub excused: bool,
}

/// A deployment that carries a mark and was created by a call.
#[derive(Debug, Clone)]
pub struct Made {
    /// The request.
    pub mark: String,
    /// Its number on the stack.
    pub version: i64,
    /// When.
    pub at: Timestamp,
    /// Sent by a process that had stood still for longer than its lease.
    pub excused: bool,
}

/// A call whose effect comes later.
#[derive(Debug, Clone)]
pub struct Late {
    /// Its method and path.
    pub path: String,
    /// The request that it was made for.
    pub request: RequestId,
    /// Whether its sender had stood still for longer than its lease.
    pub excused: bool,
    /// When its effect comes.
    pub due: Timestamp,
}

/// A webhook of Pulumi Cloud that was not lost.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its place among all of them.
    pub number: usize,
    /// When it was sent.
    pub at: Timestamp,
    /// How often it came out.
    pub times: u32,
}

/// All that the judge knows.
#[derive(Debug, Default)]
pub struct Judge {
    /// The looks that run.
    pub looks: BTreeMap<u64, Look>,
    /// The requests.
    pub cases: BTreeMap<RequestId, Case>,
    /// What open requests created.
    pub groups: Vec<Group>,
    /// Marked deployments by id.
    pub made: BTreeMap<String, Made>,
    /// Who approved what, ever.
    pub approved: BTreeSet<(String, String)>,
    /// Who withdrew their approval of what, ever.
    pub withdrawn: BTreeSet<(String, String)>,
    /// Who applied each change request, as the cloud's history has it.
    pub applied: BTreeMap<String, String>,
    /// Who closed each change request, as the cloud's history has it.
    pub closed: BTreeMap<String, String>,
    /// What was closed by a call, which only signoff makes.
    pub closed_by_call: BTreeSet<String>,
    /// In whose name the tasks call the API.
    pub callers: BTreeMap<u64, String>,
    /// Since when Pulumi Cloud answers and nothing goes wrong any more.
    pub answers_since: Option<Timestamp>,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How often each rule was checked.
    pub checked: Vec<(&'static str, u64)>,
    /// When the ledger was replaced by a backup, and of when that was.
    pub restored: Option<(Timestamp, Timestamp)>,
    /// Calls that take effect later.
    pub late: Vec<Late>,
    /// The webhooks of Pulumi Cloud by id.
    pub sent: BTreeMap<String, Sent>,
    /// The last of them that came out, by its place.
    pub latest_sent: usize,
    /// How many deliveries came to the door.
    pub delivered: u64,
    /// How often something went wrong that makes a look more than it would be.
    pub mishaps: u64,
    /// How much of the cloud's history was gone through.
    pub seen: usize,
    /// What the tasks have read that may ask by themselves.
    pub asking: BTreeMap<u64, Asking>,
    /// The last updates that were deployed in order.
    pub deployed: Deployed,
    /// The commit that each change request's description named when it was submitted.
    pub commits: BTreeMap<String, Option<String>>,
    /// The principal's token was somebody else's for a while.
    pub swapped: bool,
    /// GitHub or Pulumi Cloud refuses the tokens for good, so that nobody can ask for what is pushed.
    pub unasked_is_fine: bool,
}

impl Judge {
    /// A rule is checked.
    pub fn checks(&mut self, rule: &'static str) {
        // Each is checked so often that comparing the names would take a while: the same place in the code has the same one.
        match self.checked.iter_mut().find(|(known, _)| std::ptr::eq(*known, rule)) {
            Some((_, count)) => *count += 1,
            None => self.checked.push((rule, 1)),
        }
    }

    /// A rule did not hold.
    pub fn violated(&mut self, at: Timestamp, rule: &'static str, what: String) {
        self.violations.push(Violation { at, rule, what });
    }

    /// A look begins.
    pub fn begins(
        &mut self,
        task: u64,
        worker: Option<Worker>,
        place: usize,
        request: RequestId,
        began: Timestamp,
        until: Timestamp,
    ) {
        if let Some(case) = self.cases.get_mut(&request) {
            case.looks += 1;
        }
        let look = Look {
            place,
            request,
            worker,
            began,
            until,
            gates: None,
            identity: None,
            settings: None,
            settings_seen: None,
            rulesets: None,
            free: None,
            durations: BTreeMap::new(),
            read: BTreeMap::new(),
            confirmed: false,
            intended: false,
            sure: None,
        };
        self.looks.insert(task, look);
    }

    /// What an open request created that this change request is one of.
    pub fn group_of(&self, change_request: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.ids.iter().any(|id| id == change_request))
    }
}

/// Whether enough people who count have approved a change request, by the rules in force now and by the numbers of its submission.
pub(crate) fn enough(cloud: &Cloud, case: &Case, change_request: &ChangeRequest) -> bool {
    let verdicts = cloud.verdicts(change_request);
    let asked = case.numbers.get(&change_request.id);
    let gone = asked.into_iter().flatten().any(|(id, _)| !verdicts.iter().any(|verdict| verdict.gate.id == *id));
    let principal = change_request.created_by.to_lowercase();
    let requesters = [Some(&case.ask.requester.login), case.ask.on_behalf_of.as_ref()];
    let asks = |login: &String| requesters.iter().flatten().any(|requester| requester.folded() == *login);
    let counts = |login: &String| *login != principal && (case.ask.gate.self_approval || !asks(login));
    let satisfied = verdicts.iter().all(|verdict| {
        let people: BTreeSet<String> = verdict.approvers.iter().map(|login| login.to_lowercase()).collect();
        let counted = people.iter().filter(|login| counts(login)).count();
        let then = asked.and_then(|asked| asked.get(&verdict.gate.id)).copied().unwrap_or(0);
        let needed = verdict.gate.ruleset.required.max(then).max(1);
        verdict.gate.strange_rule_type.is_none() && i64::try_from(counted).unwrap_or(0) >= needed
    });
    let own = change_request.environment == case.environment;
    let least = case.ask.gate.approvals.filter(|_| own).unwrap_or(0);
    let people: BTreeSet<String> = verdicts
        .iter()
        .filter(|verdict| verdict.gate.strange_rule_type.is_none())
        .flat_map(|verdict| verdict.approvers.iter().map(|login| login.to_lowercase()))
        .filter(counts)
        .collect();
    !verdicts.is_empty() && !gone && satisfied && u32::try_from(people.len()).is_ok_and(|people| people >= least)
}

/// Whether a change request still is what was submitted: the mark and whatever else it says, one revision, the durations.
pub(crate) fn unedited(case: &Case, installation: &str, change_request: &ChangeRequest) -> bool {
    let mark = format!("signoff {installation} {}", case.ask.id);
    let durations = change_request.revisions.first().is_some_and(|revision| {
        revision.access_seconds == case.ask.access_duration.seconds()
            && revision.grant_seconds == case.ask.grant_expiration.seconds()
    });
    let said = case.descriptions.get(&change_request.id);
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    said.is_none_or(|said| lines(said) == lines(&change_request.description))
        && change_request.description.lines().next() == Some(mark.as_str())
        && change_request.latest_revision() == 1
        && durations
}

/// Whether a change request of a request's is open, and could be known to be its own: what is not on record, has another installation's mark and is no
/// draft any more, as far as anybody can tell, may be that one's.
fn is_left_open(world: &mut World, id: &str, place: usize, request: RequestId) -> bool {
    let Some(one) = world.cloud.change_request(id) else { return false };
    let row = world.tables[place].requests.get(&request);
    let recorded = row.is_some_and(|row| row.request.status.change_request(id).is_some());
    let marked = one.description.strip_prefix("signoff ");
    let submitted = one.strange_status.is_some() || one.status != pulumi_sim::Status::Draft;
    let disguised = !recorded && submitted && marked.is_some_and(|mark| !mark.starts_with(installation(place)));
    if one.status.is_open() && disguised {
        world.coverage.add("exception", "a stray draft that somebody submitted with the mark of another installation");
        return false;
    }
    one.status.is_open()
}

/// The name of the installation at a place, as it stands in marks.
pub(crate) fn installation(place: usize) -> &'static str {
    if place == 0 { "first" } else { "second" }
}
