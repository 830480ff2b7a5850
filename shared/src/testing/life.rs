//! A request's life, event by event, sealed as the real one is.

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use super::ask;
use crate::chain::{self, Sealed};
use crate::conditions::Lift;
use crate::event::{Actor, Entry, Event, Opened, RestsOn, Seen};
use crate::mark;
use crate::request::{Approvals, Ask, ChangeRequestStatus, Deployment, Grant, Outcome, Request, State};

/// What has happened to a request.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) request: Request,
    pub(crate) events: Vec<Sealed>,
}

impl Life {
    /// A request that was just asked.
    pub(crate) fn of(ask: Ask) -> Self {
        let (at, actor) = (ask.created_at, Actor::Login(ask.requester.login.clone()));
        let entry = Entry { id: Ulid::from_parts(1, 1), at, actor, event: Event::Requested(Box::new(ask)) };
        let step = chain::seal(None, &entry).unwrap();
        Self { request: step.request, events: vec![step.sealed] }
    }

    /// What it comes to a minute later by this event.
    pub(crate) fn then(mut self, event: Event) -> Self {
        let at = self.request.status.updated_at + SignedDuration::from_mins(1);
        let id = Ulid::from_parts(1, u128::from(self.request.status.sequence) + 1);
        let step = chain::seal(Some(&self.request), &Entry { id, at, actor: Actor::SIGNOFF, event }).unwrap();
        self.request = step.request;
        self.events.push(step.sealed);
        self
    }

    /// One that was asked, opened with these change requests (of environments of the same name but for the first) and no more.
    pub(crate) fn opened(ids: &[&str]) -> Self {
        let ask = ask();
        let one = |(index, id): (usize, &&str)| Opened {
            id: (*id).to_owned(),
            environment: if index == 0 {
                ask.gate.environment.clone()
            } else {
                format!("acme/credentials/{id}").parse().unwrap()
            },
            revision: 1,
        };
        let change_requests = ids.iter().enumerate().map(one).collect();
        Self::of(ask.clone()).then(Event::Opened {
            principal: "signoff-deployer".parse().unwrap(),
            machine: None,
            settings: "v1".to_owned(),
            change_requests,
        })
    }

    /// One whose change requests were submitted.
    pub(crate) fn submitted(ids: &[&str]) -> Self {
        let description = super::change_request_now(&ask(), "").description;
        let seen = |id: &&str| Seen {
            rulesets: vec!["gate-1".to_owned()],
            description_hash: Some(mark::fingerprint(&description)),
            ..seen(id, "pending", &[])
        };
        Self::opened(ids).then(Event::Submitted { change_requests: ids.iter().map(seen).collect() })
    }

    /// One that bob approved.
    pub(crate) fn approved(ids: &[&str]) -> Self {
        let change_requests = ids.iter().map(|id| seen(id, "ready", &["bob"])).collect();
        Self::submitted(ids).then(Event::Approved { change_requests })
    }

    /// One that is applied.
    pub(crate) fn granted(ids: &[&str]) -> Self {
        let life = Self::approved(ids);
        let applied_at = life.request.status.updated_at;
        let grant = Grant { applied_at, expires_at: applied_at + SignedDuration::from_hours(1) };
        let change_requests = ids.iter().map(|id| seen(id, "applied", &["bob"])).collect();
        life.then(Event::Granted { change_requests, grant })
    }

    /// One whose deployment exists.
    pub(crate) fn deploying(ids: &[&str]) -> Self {
        Self::granted(ids).then(Event::Deploying { deployment: deployment(7), status: None })
    }

    /// Its state.
    pub(crate) fn state(&self) -> State {
        self.request.status.state
    }
}

/// A change request with one ruleset that takes one approval.
pub(crate) fn seen(id: &str, status: &str, approvers: &[&str]) -> Seen {
    let approvers: Vec<crate::names::Login> = approvers.iter().map(|login| login.parse().unwrap()).collect();
    let approvals =
        Approvals { ruleset: "prod-signoff".to_owned(), required: 1, counted: approvers.clone(), approvers };
    Seen {
        id: id.to_owned(),
        status: ChangeRequestStatus::from(status.to_owned()),
        revision: 1,
        approvals: vec![approvals],
        rulesets: Vec::new(),
        description_hash: None,
    }
}

/// A deployment of this version.
pub(crate) fn deployment(version: i64) -> Deployment {
    Deployment { id: format!("dep-{version}"), version, url: format!("https://app.pulumi.com/{version}") }
}

/// One event of each kind.
pub(crate) fn every_event() -> Vec<Event> {
    let at: Timestamp = "2026-11-23T11:00:00Z".parse().unwrap();
    let outcome = || Outcome::new("word", "A sentence.");
    let some = || vec![seen("cr-1", "ready", &["bob"])];
    vec![
        Event::Requested(Box::new(ask())),
        Event::Opened {
            principal: "signoff-deployer".parse().unwrap(),
            machine: None,
            settings: "v1".to_owned(),
            change_requests: Vec::new(),
        },
        Event::Submitted { change_requests: some() },
        Event::ApprovalSeen { change_request: seen("cr-1", "pending", &["bob"]) },
        Event::ApprovalWithdrawn { change_request: seen("cr-1", "pending", &[]) },
        Event::Approved { change_requests: some() },
        Event::Unapproved { change_requests: some() },
        Event::Extended { expires_at: at, why: "nothing is applied until then".to_owned() },
        Event::GlassBroken { lifted: Lift::ALL.into(), reason: "It is on fire".parse().unwrap() },
        Event::Applied { change_request: seen("cr-1", "applied", &["bob"]), applied_at: at },
        Event::Granted { change_requests: some(), grant: Grant { applied_at: at, expires_at: at } },
        Event::Deploying { deployment: deployment(7), status: None },
        Event::DuplicateFound { deployment: deployment(8), cancelled: true },
        Event::EndDecided { to: State::Cancelled, outcome: outcome(), rests_on: RestsOn::default() },
        Event::ChangeRequestClosed { change_request: "cr-1".to_owned() },
        Event::Succeeded { outcome: outcome(), rests_on: RestsOn::default() },
        Event::Failed { outcome: outcome(), rests_on: RestsOn::default() },
        Event::Rejected { outcome: outcome(), rests_on: RestsOn::default() },
        Event::Expired { outcome: outcome(), rests_on: RestsOn::default() },
        Event::Cancelled { outcome: outcome(), rests_on: RestsOn::default() },
        Event::Errored { outcome: outcome(), rests_on: RestsOn::default() },
    ]
}
