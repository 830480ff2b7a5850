//! The rules of the gate without any input or output: a request by its events, facts by hand, and what comes next in words.

mod approving;
mod asking;
mod closing;
mod deploying;
mod failing_closed;
mod moment;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::cloud::{ChangeRequestNow, DeploymentNow, DeploymentStatus, Listed, Settings};
use crate::facts::{Activity, Other};
use crate::ledger::{Creation, InLine, LineChange, Lost};
use crate::names::RequestId;
use crate::request::{ChangeRequestStatus, Deployment};
use crate::testing::life::{Life, deployment};
use crate::testing::pulumi::ruleset;
use crate::testing::{self, INSTALLATION, world};

/// A request, and what a look saw: at first everything as it should be.
#[derive(Clone)]
struct Scene {
    request: Request,
    work: Work,
    facts: Facts,
    now: Timestamp,
}

impl Scene {
    /// What was seen of this request when all is well, one minute after its last event.
    fn of(life: Life) -> Self {
        let request = life.request;
        let now = request.status.updated_at + SignedDuration::from_mins(1);
        let facts = Facts {
            gates: world::gates(),
            identity: Some("signoff-deployer".parse().unwrap()),
            settings: Some(Ok(Settings {
                fingerprint: "v1".to_owned(),
                variables: vec!["AWS_REGION".to_owned()],
                has_role: false,
                branch: Some("main".to_owned()),
            })),
            rulesets: Some(Ok(vec![ruleset()])),
            creation: Some(Creation::Ours),
            line: Some(Vec::new()),
            activity: Some(Activity::default()),
            turn: Some(true),
            ..Facts::default()
        };
        let mut scene = Self { request, work: Work::default(), facts, now };
        for one in scene.request.status.change_requests.clone() {
            let mut now = testing::change_request_now(&scene.request.ask, &one.id);
            now.environment = Some(one.environment);
            now.status = match scene.request.status.state {
                State::Requested => ChangeRequestStatus::Draft,
                State::Granted | State::Deploying => ChangeRequestStatus::Applied,
                _ => ChangeRequestStatus::Ready,
            };
            scene.facts.durations.insert(one.id.clone(), Ok((3_600, 3_600)));
            scene.facts.change_requests.insert(one.id, Some(now));
        }
        scene
    }

    /// With one thing otherwise.
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A change request as it is seen.
    fn cr(&mut self, id: &str) -> &mut ChangeRequestNow {
        self.facts.change_requests.get_mut(id).unwrap().as_mut().unwrap()
    }

    /// Who approved it, as it is seen.
    fn approvers(&mut self, id: &str, who: &[&str]) {
        let approval = self.cr(id).rulesets[0].approval.as_mut().unwrap();
        approval.approvers = who.iter().map(|login| login.parse().unwrap()).collect();
    }

    /// A change request is seen with this status.
    fn status(&mut self, id: &str, status: &str) {
        self.cr(id).satisfied = status == "ready";
        self.cr(id).status = status.to_owned().into();
    }

    /// It was not found for long enough.
    fn lost(&mut self, id: &str) {
        self.facts.change_requests.insert(id.to_owned(), None);
        self.work.note.lost = Some(Lost { since: self.now, looks: LOST_LOOKS });
        self.later(SignedDuration::from_mins(LOST_MINUTES));
    }

    fn activity(&mut self) -> &mut Activity {
        self.facts.activity.as_mut().unwrap()
    }

    /// Time passes.
    fn later(&mut self, by: SignedDuration) {
        self.now += by;
    }

    fn next(&self) -> Next {
        let known = Known {
            request: &self.request,
            work: &self.work,
            facts: &self.facts,
            installation: INSTALLATION,
            link: None,
            now: self.now,
        };
        match self.request.status.state.worker() {
            Some(worker) => decide(worker, &known),
            None => Next::Rest(Rest::default()),
        }
    }

    /// What comes next, in words.
    fn said(&self) -> String {
        match self.next() {
            Next::Look(look) => format!("look at {look:?}"),
            Next::Act(act) => format!("do {act:?}"),
            Next::Rest(rest) => {
                let waiting: Vec<_> =
                    rest.waiting.iter().map(|one| format!("{}: {}", one.kind.as_str(), one.detail)).collect();
                let until = rest.until.or(rest.moment).map(|until| format!(" until {until}")).unwrap_or_default();
                format!("rest{until} {}", waiting.join("; ")).trim_end().to_owned()
            }
            Next::Record(record) => self.recorded(&record),
        }
    }

    /// What is recorded, in words; it must be something that can be.
    fn recorded(&self, record: &Record) -> String {
        let after =
            crate::transition::apply(Some(&self.request.status), &record.event, &record.actor, self.now).unwrap();
        let who = match &record.actor {
            Actor::Login(login) => format!(" by {login}"),
            Actor::Service(_) => String::new(),
        };
        let line = match record.line {
            LineChange::Keep => "",
            LineChange::ReleaseTurn => " (gives the turn back)",
            LineChange::Leave => " (leaves the line)",
            LineChange::Deployed => " (the last that was deployed)",
        };
        let ending = after.ending.as_ref().map(|ending| (ending.to, &ending.outcome));
        let said = ending.or(after.outcome.as_ref().map(|outcome| (after.state, outcome)));
        let said = said.map(|(to, outcome)| format!(" {to} {}: {}", outcome.code, outcome.message));
        let pushed = after.extended_until.filter(|_| matches!(*record.event, Event::Extended { .. }));
        let pushed = pushed.map(|until| format!(" to {until}")).unwrap_or_default();
        format!("record {}{who}{line}{pushed}{}", record.event.word(), said.unwrap_or_default())
    }
}

/// The sentences of some scenes, each under its name.
fn told(scenes: Vec<(&str, Scene)>) -> String {
    scenes.into_iter().map(|(name, scene)| format!("{name}\n    {}\n", scene.said())).collect()
}

/// Compares with the sentences that are checked in.
macro_rules! check {
    ($name:literal, $scenes:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../snapshots");
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!($name, $crate::decide::tests::told($scenes)));
    }};
}
use check;

/// Another request of the stack.
fn other(position: u64, state: State) -> Other {
    let id = RequestId::new(ulid::Ulid::from_parts(1, position.into()));
    Other { place: InLine { position, id, requester: "carol".parse().unwrap(), push: false }, state, held: false }
}

/// A deployment of the principal's that carries the request's mark.
fn marked(scene: &Scene, version: i64) -> DeploymentNow {
    DeploymentNow {
        deployment: deployment(version),
        status: DeploymentStatus::NotStarted,
        requested_by: "signoff-deployer".parse().unwrap(),
        operation: Some("update".to_owned()),
        mark: Some(scene.request.ask.id.to_string()),
        commit: None,
        branch: None,
    }
}

/// Everything is looked at before anything is done: without any one of the facts, nothing but a look or the turn comes next.
#[test]
fn nothing_is_done_before_everything_was_seen() {
    type Forget = fn(&mut Facts);
    let forget: [(&str, Forget); 8] = [
        ("identity", |facts| facts.identity = None),
        ("settings", |facts| facts.settings = None),
        ("rulesets", |facts| facts.rulesets = None),
        ("change requests", |facts| facts.change_requests.clear()),
        ("durations", |facts| facts.durations.clear()),
        ("line", |facts| facts.line = None),
        ("activity", |facts| facts.activity = None),
        ("turn", |facts| facts.turn = None),
    ];
    let approved = Scene::of(Life::approved(&["cr-1"]));
    assert_eq!(approved.next(), Next::Act(Act::Apply("cr-1".to_owned())));
    for (name, forget) in forget {
        let next = approved.clone().but(|scene| forget(&mut scene.facts)).next();
        assert!(matches!(next, Next::Look(_) | Next::Act(Act::ClaimTurn)), "without {name}: {next:?}");
    }
    let granted = Scene::of(Life::granted(&["cr-1"]));
    assert_eq!(granted.next(), Next::Act(Act::Deploy));
    for (name, forget) in forget.into_iter().filter(|(name, _)| !["durations", "line", "turn"].contains(name)) {
        let next = granted.clone().but(|scene| forget(&mut scene.facts)).next();
        assert!(matches!(next, Next::Look(_)), "without {name}: {next:?}");
    }
}

#[test]
fn a_worker_leaves_alone_what_is_not_its_own() {
    for life in [Life::submitted(&["cr-1"]), Life::granted(&["cr-1"])] {
        let scene = Scene::of(life);
        let other = if scene.request.status.state == State::Granted { Worker::Apply } else { Worker::Deploy };
        let (request, work, facts) = (&scene.request, &scene.work, &scene.facts);
        let known = Known { request, work, facts, installation: INSTALLATION, link: None, now: scene.now };
        assert_eq!(decide(other, &known), Next::Rest(Rest::default()));
    }
}
