//! The end of a test: everything is over, and what always holds is checked against what the cloud saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use pulumi_sim::{Happened, Record, WebhookFaults};
use reqwest::Method;
use serde_json::Value;
use signoff_core::chain::{self, Sealed};

use crate::gate::{Gate, LIMIT, PRINCIPAL};
use crate::referee::Score;
use crate::wait::until;

/// What is known when all is over.
#[derive(Debug)]
pub struct Drained {
    /// All requests, newest first.
    pub requests: Vec<Value>,
    /// What the referee saw, if there was one.
    pub score: Option<Score>,
}

impl Gate {
    /// Says that a change request may stay open, because the principal can't close it.
    pub fn leaves_open(&mut self, change_request: &str) {
        self.left_open.push(change_request.to_owned());
    }

    /// Ends the test: takes the faults away, waits until every request is over, and checks
    /// that there is at most one deployment for each, after approvals that count; that nothing is left open;
    /// that the trails are whole, in the export too; that no secret got anywhere, and nothing panicked;
    /// that the gate stops as it should, and that the referee saw no violation.
    pub async fn finish(mut self) -> Drained {
        {
            let mut cloud = self.sim.cloud();
            cloud.clear_faults();
            cloud.set_webhook_faults(WebhookFaults::default());
        }
        if self.process.is_none() {
            self.restart().await;
        }
        let requests = self.drain().await;
        for request in &requests {
            self.check_deployment(request);
            self.check_trail(request).await;
        }
        self.check_leftovers(&requests);
        self.check_export(&requests).await;
        let code = self.stop().await;
        assert_eq!(code, Some(0), "the gate did not stop as it should\n{}", self.tail());
        self.check_secrets();
        let score = match self.referee.take() {
            Some(referee) => Some(referee.stop().await),
            None => None,
        };
        if let Some(score) = &score {
            assert_eq!(score.violations, Vec::<String>::new(), "the referee saw violations");
        }
        self.is_finished = true;
        // What can't be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.directory);
        Drained { requests, score }
    }

    /// Waits until no request is open any more, and gives all.
    async fn drain(&self) -> Vec<Value> {
        let mut open = Vec::new();
        let empty = until(LIMIT, async || {
            let reply = self.call("dave", Method::GET, "/v1/requests?state=open", None).await;
            open = if reply.status == 200 { reply.body["requests"].as_array()?.clone() } else { vec![reply.body] };
            open.is_empty().then_some(())
        });
        let empty = empty.await;
        assert!(empty.is_some(), "requests are still open: {open:#?}\n{}", self.tail());
        self.requests().await
    }

    /// A deployment was created at most once, after its change requests were applied on approvals that count, and is the one that is shown.
    fn check_deployment(&self, request: &Value) {
        let id = text(&request["id"]);
        let deployments = self.deployments(id);
        assert!(deployments.len() <= 1, "{id} was deployed {} times", deployments.len());
        let Some(deployment) = deployments.first() else {
            let state = text(&request["state"]);
            assert!(!matches!(state, "succeeded" | "failed"), "{id} is {state}, but was never deployed");
            return;
        };
        assert_eq!(request["deployment"]["id"], deployment.id, "{id} shows another deployment than it made");
        assert_eq!(deployment.created_by, PRINCIPAL);
        let cloud = self.sim.cloud();
        let created =
            |record: &Record| matches!(&record.what, Happened::DeploymentCreated { id, .. } if *id == deployment.id);
        let before: Vec<_> = cloud.history().iter().take_while(|record| !created(record)).collect();
        let self_approval = request["gate"]["selfApproval"] == true;
        let requester = text(&request["requester"]["login"]);
        let change_requests = request["changeRequests"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(!change_requests.is_empty(), "{id} was deployed without a change request");
        for one in change_requests {
            let applied = before.iter().enumerate().find_map(|(at, record)| match &record.what {
                Happened::ChangeRequestApplied { id, approvers, .. } if *id == text(&one["id"]) => {
                    Some((at, approvers))
                }
                _ => None,
            });
            let (at, counted) = applied.unwrap_or_else(|| panic!("{id} was deployed before {one} was applied"));
            // Nobody counts for no ruleset: if somebody had switched it off just then, whoever had approved did so for the one that is back.
            let approvers =
                if counted.is_empty() { standing(&before[..at], text(&one["id"])) } else { counted.clone() };
            let mut counted = approvers.iter().filter(|who| *who != PRINCIPAL && (self_approval || *who != requester));
            assert!(counted.next().is_some(), "{id} was deployed on the approvals of {approvers:?} alone");
        }
    }

    /// The trail is whole and ends where the request's state says.
    async fn check_trail(&self, request: &Value) {
        let id = text(&request["id"]);
        let events: Vec<Sealed> = self.events(id).await.into_iter().map(sealed).collect();
        let (sequence, head) = (request["audit"]["sequence"].as_u64(), text(&request["audit"]["head"]));
        let replayed = chain::verify(&events, sequence.unwrap_or_default(), head)
            .unwrap_or_else(|broken| panic!("the trail of {id}: {broken}\n{events:#?}"));
        assert_eq!(replayed.status.state.as_str(), text(&request["state"]), "replay makes another state of {id}");
    }

    /// No change request of the principal's is open any more, but those that were named.
    fn check_leftovers(&self, requests: &[Value]) {
        let open: Vec<_> =
            self.open_change_requests().into_iter().filter(|one| !self.left_open.contains(&one.id)).collect();
        assert!(open.is_empty(), "left open: {open:#?}\nof: {requests:#?}\n{}", self.tail());
        let known: Vec<&str> = requests.iter().map(|request| text(&request["id"])).collect();
        let cloud = self.sim.cloud();
        for deployment in cloud.deployments() {
            let variables = deployment.variables();
            let mark = variables.get("SIGNOFF_REQUEST_ID").map(|mark| mark.value.as_str());
            assert!(mark.is_none_or(|id| known.contains(&id)), "a deployment of a request that nobody knows: {mark:?}");
        }
    }

    /// The export holds every request's trail, event by event.
    async fn check_export(&self, requests: &[Value]) {
        let mut trails: BTreeMap<String, Vec<Sealed>> = BTreeMap::new();
        let created = |request: &Value| text(&request["createdAt"]).parse::<Timestamp>().expect("a request has a time");
        let first = requests.iter().map(created).min();
        let mut next = first.map(|first| format!("/v1/audit?since={first}"));
        while let Some(path) = next {
            let reply = self.call("dave", Method::GET, &path, None).await;
            assert_eq!(reply.status, 200, "the trail can't be exported: {}", reply.text);
            for line in reply.text.lines() {
                let event: Value = serde_json::from_str(line).expect("each line is JSON");
                trails.entry(text(&event["subject"]).to_owned()).or_default().push(sealed(event));
            }
            next = reply.next().map(str::to_owned);
        }
        for request in requests {
            let id = text(&request["id"]);
            let mut events = trails.remove(id).unwrap_or_default();
            events.sort_by(|one, other| one.sequence.cmp(&other.sequence));
            let sequence = request["audit"]["sequence"].as_u64().unwrap_or_default();
            chain::verify(&events, sequence, text(&request["audit"]["head"]))
                .unwrap_or_else(|broken| panic!("the exported trail of {id}: {broken}"));
        }
        assert!(trails.is_empty(), "events of requests that are not listed: {:?}", trails.keys());
    }

    /// No token and no secret is in the logs or in the state; and nothing panicked.
    fn check_secrets(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "something panicked:\n{log}");
        self.look_for_secrets(&log, "the log");
        self.look_through(&self.data_dir());
    }

    fn look_through(&self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("the state can be read") {
            let path = entry.expect("the state can be read").path();
            if path.is_dir() {
                self.look_through(&path);
            } else {
                let bytes = std::fs::read(&path).expect("the state can be read");
                self.look_for_secrets(&String::from_utf8_lossy(&bytes), &path.display().to_string());
            }
        }
    }
}

/// Whose approvals of a change request stood at the end of a history.
fn standing(history: &[&Record], change_request: &str) -> Vec<String> {
    let mut logins = BTreeSet::new();
    for record in history {
        let by = record.by.clone().unwrap_or_default();
        match &record.what {
            Happened::ChangeRequestApproved { id, .. } if id == change_request => logins.insert(by),
            Happened::ChangeRequestUnapproved { id } if id == change_request => logins.remove(&by),
            _ => false,
        };
    }
    logins.into_iter().collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sealed(event: Value) -> Sealed {
    serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{event} is no event: {error}"))
}
