//! The cloud itself: a plain struct whose time is an argument.

mod build;
mod call;
mod chance;
mod change_request;
mod change_requests;
mod change_requests_api;
mod control;
mod deployments;
mod deployments_api;
mod environments;
mod faults;
mod gates;
mod history;
mod people;
mod routes;
mod settings;
mod stacks;
mod webhooks;
mod webhooks_api;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use call::{Call, Refusal, Reply};
pub(crate) use call::{decode_form, encode};
pub use change_request::{Approval, ChangeRequest, Revision, Status};
pub use deployments::{Deployment, DeploymentStatus, LogLine};
pub use environments::{Environment, Grant};
pub use faults::{Answer, Fault, FaultPlan, Pattern, Planned, Rate};
pub use gates::{Eligible, Gate, GateVerdict, Ruleset};
pub use history::{Happened, Record};
pub use people::{Account, EnvironmentPermission, MachineToken, Organization, Permission, Role, Team, Token};
pub use settings::Variable;
pub use stacks::{Stack, StackSetup, Timing};
pub use webhooks::{Delivery, Hook, HookScope, WebhookFaults, signature};

use chance::Chance;

/// A simulated Pulumi Cloud: no clock, no threads, no I/O. The same seed and the same calls give the same answers.
#[derive(Debug, Clone)]
pub struct Cloud {
    accounts: BTreeMap<String, Account>,
    tokens: BTreeMap<String, Token>,
    organizations: BTreeMap<String, Organization>,
    stacks: BTreeMap<String, Stack>,
    environments: BTreeMap<String, Environment>,
    gates: Vec<Gate>,
    change_requests: Vec<ChangeRequest>,
    grants: Vec<Grant>,
    sessions: BTreeMap<String, environments::Session>,
    deployments: Vec<Deployment>,
    /// Where the deployments are that are not over (and some that are, until the next tick).
    live: Vec<usize>,
    hooks: Vec<Hook>,
    outbox: Vec<(Timestamp, Delivery)>,
    late: Vec<(Timestamp, Call)>,
    history: Vec<Record>,
    calls: BTreeMap<(String, String), u64>,
    current_call: Option<String>,
    ids: Chance,
    order: Chance,
    mishaps: Chance,
    webhook_faults: WebhookFaults,
    /// What goes wrong with calls.
    pub faults: FaultPlan,
    /// How long deployments take, where a stack does not say otherwise.
    pub timing: Timing,
    /// Leaves the version out of deployment settings, as the specification allows.
    pub omit_settings_version: bool,
    /// Logins that see nothing.
    left_out: BTreeSet<String>,
    /// What an open that needs an approval is refused with, and the log of a run says then; `{environment}` stands for its name. Pulumi Cloud's own
    /// words are specified nowhere.
    pub refusal: String,
    /// Where links to the console point to.
    pub console_url: String,
}

/// What it says unless somebody changes it.
pub(crate) const REFUSAL: &str =
    "Forbidden: opens must be approved for environment '{environment}'; create an open request instead";

/// A call, when it came and from whom.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) login: String,
    pub(crate) call: &'a Call,
}

impl Cloud {
    /// An empty cloud. All ids and chances come from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            accounts: BTreeMap::new(),
            tokens: BTreeMap::new(),
            organizations: BTreeMap::new(),
            stacks: BTreeMap::new(),
            environments: BTreeMap::new(),
            gates: Vec::new(),
            change_requests: Vec::new(),
            grants: Vec::new(),
            sessions: BTreeMap::new(),
            deployments: Vec::new(),
            live: Vec::new(),
            hooks: Vec::new(),
            outbox: Vec::new(),
            late: Vec::new(),
            history: Vec::new(),
            calls: BTreeMap::new(),
            current_call: None,
            // Apart, so that a fault more does not change the ids.
            ids: Chance::new(seed),
            order: Chance::new(seed ^ 0x6f72_6465_7200),
            mishaps: Chance::new(seed ^ 0x6d69_7368_6170),
            webhook_faults: WebhookFaults::default(),
            faults: FaultPlan::default(),
            timing: Timing { accept_ms: 200, run_ms: 1000 },
            omit_settings_version: false,
            left_out: BTreeSet::new(),
            refusal: REFUSAL.to_owned(),
            console_url: "https://app.pulumi.com".to_owned(),
        }
    }

    /// Carries out a call: what it does and what it answers, with nothing going wrong. See [`Cloud::exchange`] for
    /// calls with faults.
    pub fn call(&mut self, now: Timestamp, call: &Call) -> Reply {
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let shape = routes::shape(&segments);
        *self.calls.entry((call.method.clone(), shape)).or_default() += 1;
        let before = self.current_call.replace(format!("{} {}", call.method, call.path));
        let reply = self.identify(call).and_then(|login| {
            if self.left_out.contains(&login) && segments != ["api", "user"] {
                return Err(Refusal::not_found("what was asked for"));
            }
            self.route(&Context { now, login, call }, &segments)
        });
        self.current_call = before;
        reply.unwrap_or_else(|refusal| Reply::error(refusal.status, &refusal.message))
    }

    /// For a while all that is asked for with the login's tokens can't be found, but who it is: it has lost its rights, or got them back.
    pub fn leave_out(&mut self, login: &str, left_out: bool) {
        match self.account(login).map(|account| account.login.clone()) {
            Some(login) if left_out => drop(self.left_out.insert(login)),
            Some(login) => drop(self.left_out.remove(&login)),
            None => {}
        }
    }

    /// Whether the login has lost its rights for now.
    pub fn is_left_out(&self, login: &str) -> bool {
        self.left_out.iter().any(|one| one.eq_ignore_ascii_case(login))
    }

    /// Lets everything happen that is due by then: queues move, runs end, late calls take effect.
    pub fn tick(&mut self, now: Timestamp) {
        self.step_late(now);
        self.step_deployments(now);
    }

    /// When [`Cloud::tick`] or [`Cloud::take_webhooks`] has something to do next, if nothing else happens before.
    pub fn next_due(&self) -> Option<Timestamp> {
        let late = self.late.iter().map(|(at, _)| *at);
        let hooks = self.outbox.iter().map(|(at, _)| *at);
        late.chain(hooks).chain(self.next_deployment_step()).min()
    }

    /// Everything that took effect, in order.
    pub fn history(&self) -> &[Record] {
        &self.history
    }

    /// How many calls took effect or were refused by the cloud itself, by method and path with `*` for its variable
    /// parts. Calls that a fault kept from arriving are not in it.
    pub fn calls(&self) -> &BTreeMap<(String, String), u64> {
        &self.calls
    }

    pub(crate) fn record(&mut self, now: Timestamp, by: Option<&str>, what: Happened) {
        let by = by.map(str::to_owned);
        // What a queue does by itself is nobody's call.
        let call = self.current_call.clone().filter(|_| by.is_some());
        self.history.push(Record { at: now, by, call, what });
    }
}

/// A moment some milliseconds later, at most the end of time.
pub(crate) fn later(from: Timestamp, millis: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}
