//! What the API shows: the JSON of requests, trails and gates. Programs that call the API read it into the same types.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use signoff_core::blocker::Blocker;
use signoff_core::chain::Sealed;
use signoff_core::conditions::{Freeze, Lift, Window, Zone};
use signoff_core::gate::{Asker, CommitRule, Gate, Gates, RunsAs, StackPattern};
use signoff_core::ledger::Loaded;
use signoff_core::names::{Commit, EnvironmentName, Login, Operation, PrincipalName, Reason, RequestId, StackName};
use signoff_core::notice::NoticeRule;
use signoff_core::period::Period;
use signoff_core::push::{NewerPush, PushRule, Pushed};
use signoff_core::request::{Approvals, ChangeRequest, ChangeRequestStatus, Deployment, Grant, Outcome, State};

use crate::pulumi::review_url;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestView {
    /// Its id.
    pub id: RequestId,
    /// Where it is.
    pub state: State,
    /// The stack to deploy.
    pub stack: StackName,
    /// What to do with it.
    pub operation: Operation,
    /// The commit that it pins.
    pub commit: Option<Commit>,
    /// Why it is asked for.
    pub reason: Reason,
    /// Who asks.
    pub requester: RequesterView,
    /// For whom a machine says that it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Login>,
    /// The push that asks, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Pushed>,
    /// The run that was refused, and that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescues: Option<Deployment>,
    /// What of the gate it was asked under.
    pub gate: GateTermsView,
    /// How long the grant lets the deployment in.
    pub access_duration: Period,
    /// Within which time of the apply the environment has to be opened.
    pub grant_expiration: Period,
    /// How long it may wait for its apply.
    pub pending_timeout: Period,
    /// Before which moment it is not applied, if it was asked so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// After which moment it is not applied any more, if it was asked so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// What was lifted from it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lifted: BTreeSet<Lift>,
    /// Its change requests.
    pub change_requests: Vec<ChangeRequestView>,
    /// What it waits for.
    pub blockers: Vec<Blocker>,
    /// Its grant.
    pub grant: Option<Grant>,
    /// Its deployment.
    pub deployment: Option<DeploymentView>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Until when the first of its change requests has to be applied.
    pub expires_at: Timestamp,
    /// How it will end, once that is decided and what is open at Pulumi Cloud is being closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingView>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Where its audit trail ends, by the state that is kept beside the trail: with it, a tail that was cut off shows.
    pub audit: AuditView,
}

/// An end that is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingView {
    /// The state that it comes to.
    pub state: State,
    /// What will be said of it.
    pub outcome: Outcome,
    /// Since when.
    pub since: Timestamp,
}

/// The end of a request's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// The number of events.
    pub sequence: u64,
    /// The hash of the last one.
    pub head: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequesterView {
    /// The login.
    pub login: Login,
    /// The display name.
    pub name: String,
    /// The machine token's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// What of the gate a request was asked under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateTermsView {
    /// The environment that carries the Open ruleset.
    pub environment: EnvironmentName,
    /// Whose token asks, applies and deploys.
    pub principal: PrincipalName,
    /// Whether the requester's own approval counts.
    pub self_approval: bool,
    /// How many different people have to approve, whatever the rulesets ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
    /// How long after the last approval that was needed it is applied at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Period>,
}

/// A change request at Pulumi Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRequestView {
    /// Its id there.
    pub id: String,
    /// The environment: project/environment.
    pub environment: String,
    /// The revision that was submitted.
    pub revision: i64,
    /// Its status when it was last recorded.
    pub status: ChangeRequestStatus,
    /// Where it is reviewed.
    pub review_url: String,
    /// Its approvals, ruleset by ruleset.
    pub approvals: Vec<Approvals>,
}

/// A deployment at Pulumi Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// Its id there.
    pub id: String,
    /// Its number on the stack.
    pub version: i64,
    /// Its status when it was last seen, in Pulumi Cloud's words.
    pub status: String,
    /// Its page in the console.
    pub url: String,
}

/// A page of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsView {
    /// The requests, newest first.
    pub requests: Vec<RequestView>,
    /// Those of the organization, as far as this page looked, that can't be read: whether they belong on it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<RequestId>,
    /// What to give as `cursor` for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A request's trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsView {
    /// The events, oldest first.
    pub events: Vec<Sealed>,
}

/// The gates, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatesView {
    /// Whether signoff applies and deploys nothing for now.
    pub hold: bool,
    /// When nothing is applied at any gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// The gates; the first that matches a stack is its gate.
    pub gates: Vec<NumberedGate>,
}

/// A gate among the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedGate {
    /// Where it stands among all gates, those that are not shown included, counted from 1: the first that covers a stack is its gate.
    pub number: u64,
    /// The gate.
    #[serde(flatten)]
    pub gate: GateView,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateView {
    /// The stacks that it covers.
    pub stacks: Vec<StackPattern>,
    /// The environment that carries the Open ruleset.
    pub environment: EnvironmentName,
    /// What may be asked for.
    pub operations: Vec<Operation>,
    /// Whose token asks, applies and deploys.
    pub principal: PrincipalName,
    /// Who the deployment runs as.
    pub runs_as: RunsAs,
    /// How long the grant lets the deployment in, at most.
    pub access_duration: Period,
    /// Within which time of the apply the environment has to be opened, at most.
    pub grant_expiration: Period,
    /// How long a request may wait for its apply, at most.
    pub pending_timeout: Period,
    /// Whether the requester's own approval counts.
    pub self_approval: bool,
    /// Whether a request has to pin the commit.
    pub commit: CommitRule,
    /// Who may ask; null: everyone who may do it at Pulumi Cloud.
    pub requesters: Option<Vec<Asker>>,
    /// Whose clocks windows and freezes go by.
    #[serde(default)]
    pub time_zone: Zone,
    /// When approved requests are applied; none: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When nothing is applied, besides the freezes of all gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// How long after the last approval that was needed a request is applied at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Period>,
    /// By how much a request's time may be pushed on while only a window or a freeze holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_extension: Option<Period>,
    /// How many different people have to approve an operation, whatever the rulesets ask for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approvals_for: BTreeMap<Operation, u32>,
    /// Who may lift a window, a freeze, the wait or the line from one request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub break_glass: Vec<Login>,
    /// The pushes that ask for a deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<PushRule>,
    /// What becomes of an older one that still waits for approval.
    #[serde(default, skip_serializing_if = "NewerPush::is_supersede")]
    pub newer_push: NewerPush,
    /// Whether that also goes for what is approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supersede_approved: bool,
    /// Whether a request is deployed though an update that was asked for later has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_older: Option<bool>,
    /// Whether a run that was refused for want of an approval is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rescue: bool,
    /// Who hears what of its requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeRule>,
}

/// What a gate says of a deployment that somebody might ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The stack.
    pub stack: StackName,
    /// What would be done with it.
    pub operation: Operation,
    /// The moment that is meant.
    pub at: Timestamp,
    /// Which of the gates covers the stack, counted from 1; null: none.
    pub number: Option<u64>,
    /// That gate.
    pub gate: Option<GateView>,
    /// Whether it may be asked for, by whom that was asked about; null: that is only known to Pulumi Cloud, or when they ask.
    pub may_ask: Option<bool>,
    /// The rules, each a sentence: who may ask, who has to approve, and when it is applied.
    pub rules: Vec<String>,
    /// What would hold it up at that moment, if it were approved then.
    pub blockers: Vec<Blocker>,
    /// When the wait, the windows and the freezes let it through.
    pub opens: Option<Timestamp>,
    /// When it is over for a request that is asked for at that moment, the time that the gate adds for windows and freezes included.
    pub expires: Option<Timestamp>,
}

impl RequestView {
    /// Shows a request; review links begin with `console`.
    pub fn of(loaded: &Loaded, console: &str) -> Self {
        let (ask, status) = (&loaded.request.ask, &loaded.request.status);
        Self {
            id: ask.id,
            state: status.state,
            stack: ask.stack.clone(),
            operation: ask.operation,
            commit: ask.commit.clone(),
            reason: ask.reason.clone(),
            requester: RequesterView {
                login: ask.requester.login.clone(),
                name: ask.requester.name.clone(),
                machine: ask.requester.machine.clone(),
            },
            on_behalf_of: ask.on_behalf_of.clone(),
            push: ask.push.clone(),
            rescues: ask.rescues.clone(),
            gate: GateTermsView {
                environment: ask.gate.environment.clone(),
                principal: ask.gate.principal.clone(),
                self_approval: ask.gate.self_approval,
                approvals: ask.gate.approvals,
                wait: ask.gate.wait.clone(),
            },
            access_duration: ask.access_duration.clone(),
            grant_expiration: ask.grant_expiration.clone(),
            pending_timeout: ask.pending_timeout.clone(),
            not_before: ask.not_before,
            not_after: ask.not_after,
            lifted: status.lifted.clone(),
            change_requests: status.change_requests.iter().map(|known| change_request(known, console)).collect(),
            blockers: loaded.waits_for(),
            grant: status.grant.clone(),
            deployment: status.deployment.as_ref().map(|deployment| DeploymentView {
                id: deployment.id.clone(),
                version: deployment.version,
                status: deployment_status(status.state, loaded.work.note.deployment_status.as_deref()),
                url: deployment.url.clone(),
            }),
            created_at: ask.created_at,
            updated_at: status.updated_at,
            expires_at: loaded.request.expires_at(),
            ending: status.ending.as_ref().map(|ending| EndingView {
                state: ending.to,
                outcome: ending.outcome.clone(),
                since: ending.since,
            }),
            outcome: status.outcome.clone(),
            audit: AuditView { sequence: status.sequence, head: loaded.request.head.clone() },
        }
    }
}

impl GatesView {
    /// Shows the gates that `is_shown` picks.
    pub fn of(gates: &Gates, is_shown: impl Fn(&Gate) -> bool) -> Self {
        let gates_shown = (1..).zip(&gates.gates).filter(|(_, gate)| is_shown(gate));
        let gates_shown = gates_shown.map(|(number, gate)| NumberedGate { number, gate: GateView::of(gate) }).collect();
        Self { hold: gates.hold, freezes: gates.freezes.clone(), gates: gates_shown }
    }
}

impl GateView {
    /// Shows a gate.
    pub fn of(gate: &Gate) -> Self {
        Self {
            stacks: gate.stacks.clone(),
            environment: gate.environment.clone(),
            operations: gate.operations.iter().copied().collect(),
            principal: gate.principal.clone(),
            runs_as: gate.runs_as,
            access_duration: gate.access_duration.clone(),
            grant_expiration: gate.grant_expiration.clone(),
            pending_timeout: gate.pending_timeout.clone(),
            self_approval: gate.self_approval,
            commit: gate.commit,
            requesters: gate.requesters.clone(),
            time_zone: gate.time_zone.clone(),
            windows: gate.windows.clone(),
            freezes: gate.freezes.clone(),
            wait: gate.wait.clone(),
            pending_extension: gate.pending_extension.clone(),
            approvals_for: gate.approvals_for.clone(),
            break_glass: gate.break_glass.clone(),
            pushes: gate.pushes.clone(),
            newer_push: gate.newer_push,
            supersede_approved: gate.supersede_approved,
            allow_older: gate.allow_older,
            rescue: gate.rescue,
            notices: gate.notices.clone(),
        }
    }
}

fn change_request(known: &ChangeRequest, console: &str) -> ChangeRequestView {
    ChangeRequestView {
        id: known.id.clone(),
        environment: known.environment.qualified(),
        revision: known.revision,
        status: known.status.clone(),
        review_url: review_url(console, &known.environment, &known.id),
        approvals: known.approvals.clone(),
    }
}

/// What is last known of a deployment. The note may be a look behind the end that the state tells.
fn deployment_status(state: State, seen: Option<&str>) -> String {
    match (state, seen) {
        (State::Succeeded, _) => "succeeded",
        (State::Failed, Some("skipped")) => "skipped",
        (State::Failed, _) => "failed",
        (_, seen) => seen.unwrap_or("not-started"),
    }
    .to_owned()
}
