//! A Pulumi Cloud of one organization in memory, whose calls can be made to fail.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use crate::asking::Permission;
use crate::cloud::{
    ApprovalNow, ChangeRequestNow, CloudError, DeploymentNow, DeploymentPage, DeploymentStatus, Identity, Listed,
    LogPage, Machine, NewChangeRequest, NewDeployment, PulumiCloud, Ruleset, RulesetNow, Settings, StatusChange,
    StatusChanges,
};
use crate::host::Host;
use crate::names::{EnvironmentName, Login, Organization, PrincipalName, StackName};
use crate::request::{ChangeRequestStatus, Deployment};

/// How a call goes wrong.
pub(crate) enum Fault {
    /// It has no effect, and this is the answer.
    Answer(CloudError),
    /// It has its effect, but no answer comes.
    Lost,
}

/// What happens beside a call.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// What there is at Pulumi Cloud.
pub(crate) struct Inside {
    pub(crate) login: Login,
    /// The name of the principal's machine token, if it is one.
    pub(crate) machine: Option<String>,
    /// Those who are members of the organization.
    pub(crate) members: BTreeSet<Login>,
    /// The runs, by their ids, that were refused for want of an approval.
    pub(crate) refused: BTreeSet<String>,
    /// Whether each page of a log leads to another one.
    pub(crate) endless_logs: bool,
    pub(crate) settings: Settings,
    pub(crate) rulesets: Vec<Ruleset>,
    /// What an open request creates change requests for.
    pub(crate) gated: Vec<EnvironmentName>,
    pub(crate) change_requests: Vec<ChangeRequestNow>,
    pub(crate) history: Vec<(String, StatusChange)>,
    /// Whether histories are longer than what is read of them.
    pub(crate) long_history: bool,
    /// Who withdrew their approval of which change request.
    pub(crate) withdrawn: Vec<(String, Login)>,
    pub(crate) deployments: Vec<(DeploymentNow, Timestamp)>,
    /// What open requests ask for, in seconds.
    pub(crate) durations: (i64, i64),
    pub(crate) paused: bool,
    /// Whether single deployments can't be found any more.
    pub(crate) lost: bool,
    /// The calls that go wrong: by name, the first of each.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// The call, counted from 0, that goes wrong whatever it is.
    pub(crate) fault_at: Option<(usize, Fault)>,
    /// The call that is never answered.
    pub(crate) down: Option<&'static str>,
    pub(crate) meanwhile: Option<(&'static str, Meanwhile)>,
    pub(crate) calls: Vec<&'static str>,
    /// How long each call takes.
    pub(crate) takes: SignedDuration,
}

/// Pulumi Cloud.
#[derive(Clone)]
pub(crate) struct Pulumi {
    inside: Arc<Mutex<Inside>>,
    clock: Clock,
}

impl Pulumi {
    /// One with a gated environment and a stack that has settings.
    pub(crate) fn new(clock: &Clock) -> Self {
        let inside = Inside {
            login: "signoff-deployer".parse().unwrap(),
            machine: None,
            members: BTreeSet::new(),
            refused: BTreeSet::new(),
            endless_logs: false,
            settings: Settings {
                fingerprint: "v1".to_owned(),
                variables: Vec::new(),
                has_role: false,
                branch: Some("main".to_owned()),
            },
            rulesets: vec![ruleset()],
            gated: vec!["acme/credentials/prod".parse().unwrap()],
            change_requests: Vec::new(),
            history: Vec::new(),
            long_history: false,
            withdrawn: Vec::new(),
            deployments: Vec::new(),
            durations: (3_600, 3_600),
            paused: false,
            lost: false,
            faults: VecDeque::new(),
            fault_at: None,
            down: None,
            meanwhile: None,
            calls: Vec::new(),
            takes: SignedDuration::ZERO,
        };
        Self { inside: Arc::new(Mutex::new(inside)), clock: clock.clone() }
    }

    /// What there is.
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// What the change requests are, in the order in which they were created.
    pub(crate) fn statuses(&self) -> Vec<String> {
        self.inside().change_requests.iter().map(|one| one.status.as_str().to_owned()).collect()
    }

    /// Makes the next call of this name go wrong.
    pub(crate) fn fail(&self, call: &'static str, fault: Fault) {
        self.inside().faults.push_back((call, fault));
    }

    /// How often a call was made.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.inside().calls.iter().filter(|made| **made == call).count()
    }

    /// Somebody approves every change request that awaits it.
    pub(crate) fn approve(&self, who: &str) {
        for one in self.inside().change_requests.iter_mut().filter(|one| one.status == ChangeRequestStatus::Pending) {
            let approval = one.rulesets[0].approval.as_mut().unwrap();
            approval.approvers.push(who.parse().unwrap());
            if i64::try_from(approval.approvers.len()).unwrap() >= approval.required {
                (one.status, one.satisfied) = (ChangeRequestStatus::Ready, true);
            }
        }
    }

    /// The deployment of this index gets a status.
    pub(crate) fn run(&self, index: usize, status: DeploymentStatus) {
        self.inside().deployments[index].0.status = status;
    }

    /// A change request gets a status, by somebody.
    pub(crate) fn set(&self, id: &str, to: ChangeRequestStatus, by: &str, comment: Option<&str>) {
        let at = self.clock.now();
        let mut inside = self.inside();
        inside.change(id, to, by.parse().unwrap(), comment, at).unwrap();
    }

    /// Makes a call: what happens meanwhile, its effect, and its answer.
    fn call<T>(
        &self,
        name: &'static str,
        effect: impl FnOnce(&mut Inside) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let (takes, meanwhile) = {
            let mut inside = self.inside();
            let due = inside.meanwhile.take_if(|(call, _)| *call == name);
            (inside.takes, due)
        };
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile();
        }
        self.clock.pass(takes);
        let mut inside = self.inside();
        let number = inside.calls.len();
        inside.calls.push(name);
        let at = inside.faults.iter().position(|(call, _)| *call == name);
        let fault = at.and_then(|at| inside.faults.remove(at)).map(|(_, fault)| fault);
        match fault.or_else(|| inside.fault_at.take_if(|(at, _)| *at == number).map(|(_, fault)| fault)) {
            Some(Fault::Answer(error)) => Err(error),
            Some(Fault::Lost) => {
                effect(&mut inside).ok();
                Err(CloudError::Unclear("the connection broke".to_owned()))
            }
            None if inside.down == Some(name) => Err(CloudError::Unclear("500".to_owned())),
            None => effect(&mut inside),
        }
    }
}

impl Inside {
    fn find(&mut self, id: &str) -> Result<&mut ChangeRequestNow, CloudError> {
        self.change_requests.iter_mut().find(|one| one.id == id).ok_or_else(|| CloudError::NotFound(id.to_owned()))
    }

    fn change(
        &mut self,
        id: &str,
        to: ChangeRequestStatus,
        by: Login,
        comment: Option<&str>,
        at: Timestamp,
    ) -> Result<(), CloudError> {
        let one = self.find(id)?;
        one.status = to.clone();
        self.history.push((id.to_owned(), StatusChange { to, by, at, comment: comment.map(str::to_owned) }));
        Ok(())
    }
}

/// An Open ruleset that is in force.
pub(crate) fn ruleset() -> Ruleset {
    Ruleset {
        id: "gate-1".to_owned(),
        name: "prod-signoff".to_owned(),
        enabled: true,
        gates_open: true,
        asks_for_approval: true,
    }
}

fn conflict<T>(one: &ChangeRequestNow) -> Result<T, CloudError> {
    Err(CloudError::Conflict(format!("it is {}", one.status.as_str())))
}

impl PulumiCloud for Pulumi {
    async fn identity(&self, _: &PrincipalName) -> Result<Identity, CloudError> {
        self.call("identity", |inside| {
            let machine = inside.machine.clone().map(|name| Machine {
                name,
                organization: "acme".to_owned(),
                team: String::new(),
            });
            Ok(Identity { login: inside.login.clone(), name: String::new(), machine, organizations: Vec::new() })
        })
    }

    async fn settings(&self, _: &PrincipalName, _: &StackName) -> Result<Settings, CloudError> {
        self.call("settings", |inside| Ok(inside.settings.clone()))
    }

    async fn rulesets(&self, _: &PrincipalName, _: &EnvironmentName) -> Result<Vec<Ruleset>, CloudError> {
        self.call("rulesets", |inside| Ok(inside.rulesets.clone()))
    }

    async fn request_open(
        &self,
        _: &PrincipalName,
        _: &EnvironmentName,
        _: i64,
        _: i64,
    ) -> Result<Vec<NewChangeRequest>, CloudError> {
        let now = self.clock.now();
        self.call("request_open", |inside| {
            let mut created = Vec::new();
            for environment in inside.gated.clone() {
                let id = format!("cr-{}", inside.change_requests.len() + 1);
                let approval = Some(ApprovalNow { required: 1, approvers: Vec::new() });
                inside.change_requests.push(ChangeRequestNow {
                    id: id.clone(),
                    status: ChangeRequestStatus::Draft,
                    revision: 1,
                    created_by: inside.login.clone(),
                    created_at: now,
                    description: String::new(),
                    is_open: true,
                    environment: Some(environment.clone()),
                    satisfied: false,
                    rulesets: vec![RulesetNow { id: "gate-1".to_owned(), name: "prod-signoff".to_owned(), approval }],
                });
                created.push(NewChangeRequest { id, environment, revision: 1 });
            }
            Ok(created)
        })
    }

    async fn durations(&self, _: &PrincipalName, _: &EnvironmentName, _: &str) -> Result<(i64, i64), CloudError> {
        self.call("durations", |inside| Ok(inside.durations))
    }

    async fn submit(&self, _: &PrincipalName, _: &Organization, id: &str, text: &str) -> Result<(), CloudError> {
        let now = self.clock.now();
        self.call("submit", |inside| {
            let login = inside.login.clone();
            let one = inside.find(id)?;
            if one.status != ChangeRequestStatus::Draft {
                return conflict(one);
            }
            text.clone_into(&mut one.description);
            inside.change(id, ChangeRequestStatus::Pending, login, None, now)
        })
    }

    async fn change_request(
        &self,
        _: &PrincipalName,
        _: &Organization,
        id: &str,
    ) -> Result<ChangeRequestNow, CloudError> {
        self.call("change_request", |inside| inside.find(id).cloned())
    }

    async fn status_changes(&self, _: &PrincipalName, _: &Organization, id: &str) -> Result<StatusChanges, CloudError> {
        self.call("status_changes", |inside| {
            let of_it = inside.history.iter().filter(|(of, _)| of == id);
            Ok(StatusChanges {
                changes: of_it.map(|(_, change)| change.clone()).collect(),
                is_whole: !inside.long_history,
            })
        })
    }

    async fn withdrawn(&self, _: &PrincipalName, _: &Organization, id: &str) -> Result<Vec<Login>, CloudError> {
        self.call("withdrawn", |inside| {
            Ok(inside.withdrawn.iter().filter(|(of, _)| of == id).map(|(_, login)| login.clone()).collect())
        })
    }

    async fn open_requests_since(
        &self,
        _: &PrincipalName,
        _: &Organization,
        since: Timestamp,
    ) -> Result<Vec<ChangeRequestNow>, CloudError> {
        self.call("open_requests_since", |inside| {
            Ok(inside.change_requests.iter().filter(|one| one.created_at >= since).cloned().collect())
        })
    }

    async fn apply(&self, _: &PrincipalName, _: &Organization, id: &str) -> Result<(), CloudError> {
        let now = self.clock.now();
        self.call("apply", |inside| {
            let login = inside.login.clone();
            let one = inside.find(id)?;
            if one.status != ChangeRequestStatus::Ready {
                return conflict(one);
            }
            inside.change(id, ChangeRequestStatus::Applied, login, None, now)
        })
    }

    async fn close(&self, _: &PrincipalName, _: &Organization, id: &str, comment: &str) -> Result<(), CloudError> {
        let now = self.clock.now();
        self.call("close", |inside| {
            let login = inside.login.clone();
            let one = inside.find(id)?;
            if matches!(one.status, ChangeRequestStatus::Closed | ChangeRequestStatus::Applied) {
                return conflict(one);
            }
            inside.change(id, ChangeRequestStatus::Closed, login, Some(comment), now)
        })
    }

    async fn deployments(&self, _: &PrincipalName, _: &StackName, page: u32) -> Result<DeploymentPage, CloudError> {
        self.call("deployments", |inside| {
            let all = inside.deployments.iter().rev().map(|(one, created)| Listed {
                id: one.deployment.id.clone(),
                version: one.deployment.version,
                status: one.status.clone(),
                requested_by: one.requested_by.clone(),
                operation: one.operation.clone().unwrap_or_default(),
                created: Some(*created),
            });
            let deployments = if page > 1 || inside.lost { Vec::new() } else { all.collect() };
            Ok(DeploymentPage { deployments, paused: inside.paused })
        })
    }

    async fn deployment(&self, _: &PrincipalName, _: &StackName, id: &str) -> Result<DeploymentNow, CloudError> {
        self.call("deployment", |inside| {
            let found = inside.deployments.iter().find(|(one, _)| one.deployment.id == id && !inside.lost);
            found.map(|(one, _)| one.clone()).ok_or_else(|| CloudError::NotFound(id.to_owned()))
        })
    }

    async fn deploy(&self, _: &PrincipalName, new: &NewDeployment) -> Result<Deployment, CloudError> {
        let now = self.clock.now();
        self.call("deploy", |inside| {
            let version = i64::try_from(inside.deployments.len()).unwrap() + 1;
            let deployment = super::life::deployment(version);
            let made = DeploymentNow {
                deployment: deployment.clone(),
                status: DeploymentStatus::NotStarted,
                requested_by: inside.login.clone(),
                operation: Some(new.operation.to_string()),
                mark: Some(new.mark.to_string()),
                commit: new.commit.as_ref().map(ToString::to_string),
                branch: None,
            };
            inside.deployments.push((made, now));
            Ok(deployment)
        })
    }

    async fn was_refused(
        &self,
        _: &PrincipalName,
        _: &StackName,
        id: &str,
        after: Option<&str>,
    ) -> Result<LogPage, CloudError> {
        self.call("was_refused", |inside| {
            let next = inside.endless_logs.then(|| format!("{}x", after.unwrap_or_default()));
            Ok(LogPage { refused: inside.refused.contains(id), next })
        })
    }

    async fn permission(
        &self,
        _: &PrincipalName,
        _: &StackName,
        login: &Login,
    ) -> Result<Option<Permission>, CloudError> {
        self.call("permission", |inside| Ok(inside.members.contains(login).then_some(Permission::Write)))
    }

    async fn cancel_deployment(&self, _: &PrincipalName, _: &StackName, id: &str) -> Result<(), CloudError> {
        self.call("cancel_deployment", |inside| {
            let found = inside.deployments.iter_mut().find(|(one, _)| one.deployment.id == id);
            let (one, _) = found.ok_or_else(|| CloudError::NotFound(id.to_owned()))?;
            if one.status.is_over() {
                return Err(CloudError::Conflict("it is over".to_owned()));
            }
            one.status = DeploymentStatus::Skipped;
            Ok(())
        })
    }
}
