//! What always holds, judged by what the cloud saw.

use std::collections::{BTreeMap, BTreeSet};

use pulumi_sim::{Approval, Cloud, Happened, Record};
use serde_json::Value;
use signoff_tests::{Gate, PRINCIPAL};

/// The plain variable by which a deployment tells its request.
const MARK: &str = "SIGNOFF_REQUEST_ID";

/// Each deployment of the principal's has a request of its own, and was created after every change request of that was applied, which in turn was
/// after enough approvals from others than the requester and the principal, for every ruleset, at that moment. Who did not deploy says so.
pub(super) fn deployments(gate: &Gate, requests: &[Value]) {
    let cloud = gate.sim.cloud();
    let history = cloud.history();
    let mut marks = BTreeSet::new();
    for (at, record) in history.iter().enumerate() {
        let Happened::DeploymentCreated { id, stack, variables, .. } = &record.what else { continue };
        if record.by.as_deref() != Some(PRINCIPAL) {
            continue;
        }
        let mark = variables.get(MARK).unwrap_or_else(|| panic!("deployment {id} has no mark"));
        assert!(marks.insert(mark.clone()), "{mark} was deployed twice");
        let request = requests.iter().find(|request| request["id"] == **mark);
        let request = request.unwrap_or_else(|| panic!("deployment {id} is of {mark}, which nobody knows"));
        assert_eq!(request["stack"], **stack, "{mark}");
        let requester = request["requester"]["login"].as_str().unwrap_or_default();
        let behind = request["onBehalfOf"].as_str().unwrap_or_default();
        let opened = opened(history, mark);
        assert!(!opened.is_empty(), "{mark} was deployed without a change request");
        for change_request in opened {
            let applied = history[..at].iter().position(
                |record| matches!(&record.what, Happened::ChangeRequestApplied { id, .. } if *id == change_request),
            );
            let applied = applied.unwrap_or_else(|| panic!("{mark} was deployed before {change_request} was applied"));
            enough(&cloud, &history[..applied], &change_request, &[requester, behind]);
        }
    }
    for request in requests {
        let (id, state) = (request["id"].as_str().unwrap_or_default(), request["state"].as_str().unwrap_or_default());
        let has_deployed = matches!(state, "succeeded" | "failed");
        assert!(marks.contains(id) == has_deployed || state == "error", "{id} is {state}: {request:#}");
    }
    let stray = cloud.change_requests().iter().filter(|one| one.created_by == PRINCIPAL && one.status.is_open());
    let stray: Vec<_> = stray.collect();
    assert!(stray.is_empty(), "change requests were left open: {stray:#?}");
}

/// The change requests of the open request that carries a mark.
fn opened(history: &[Record], mark: &str) -> BTreeSet<String> {
    let submitted = history.iter().filter_map(|record| match &record.what {
        Happened::ChangeRequestSubmitted { id, description } => {
            let first = description.lines().next().unwrap_or_default();
            first.ends_with(&format!(" {mark}")).then_some(id)
        }
        _ => None,
    });
    let submitted: BTreeSet<&String> = submitted.collect();
    let together = history.iter().filter_map(|record| match &record.what {
        Happened::OpenRequestCreated { change_requests, .. } => {
            change_requests.iter().any(|one| submitted.contains(one)).then_some(change_requests)
        }
        _ => None,
    });
    together.flatten().cloned().collect()
}

/// Fails unless enough people who count had approved a change request by then.
fn enough(cloud: &Cloud, before: &[Record], id: &str, requesters: &[&str]) {
    let mut approvals: BTreeMap<String, i64> = BTreeMap::new();
    for record in before {
        let by = record.by.clone().unwrap_or_default();
        match &record.what {
            Happened::ChangeRequestApproved { id: of, revision } if of == id => {
                approvals.insert(by, *revision);
            }
            Happened::ChangeRequestUnapproved { id: of } if of == id => {
                approvals.remove(&by);
            }
            _ => {}
        }
    }
    let mut then = cloud.change_request(id).cloned().unwrap_or_else(|| panic!("{id} was applied and is not there"));
    then.approvals = approvals.into_iter().map(|(login, revision)| Approval { login, revision }).collect();
    let verdicts = cloud.verdicts(&then);
    assert!(!verdicts.is_empty(), "no ruleset was in force for {id}");
    for verdict in verdicts {
        let counted = verdict
            .approvers
            .iter()
            .filter(|login| !requesters.contains(&login.as_str()) && *login != PRINCIPAL)
            .count();
        let rules = &verdict.gate.ruleset;
        assert!(
            counted >= usize::try_from(rules.required).unwrap_or(usize::MAX).max(1),
            "{id} was applied for {requesters:?} when {} had only the approvals of {:?}",
            rules.name,
            verdict.approvers
        );
    }
}

/// Whoever ends in an error does so for what people did to it.
pub(super) fn errors(gate: &Gate, requests: &[Value]) {
    let cloud = gate.sim.cloud();
    let history = cloud.history();
    let others = |record: &&Record| record.by.as_deref() != Some(PRINCIPAL);
    for request in requests.iter().filter(|request| request["state"] == "error") {
        let (id, code) = (request["id"].as_str().unwrap_or_default(), request["outcome"]["code"].as_str());
        let own = opened(history, id);
        let gates: Vec<String> =
            own.iter().filter_map(|id| Some(cloud.change_request(id)?.environment.clone())).collect();
        let gates = |name: &String| gates.contains(name) || request["gate"]["environment"] == **name;
        let is_cause = |record: &Record| match (&record.what, code) {
            (Happened::ChangeRequestApplied { id, .. }, Some("applied-without-approvals")) => own.contains(id),
            (
                Happened::DescriptionChanged { id, .. } | Happened::RevisionAdded { id, .. },
                Some("change-request-edited"),
            ) => own.contains(id),
            (
                Happened::GateChanged { environment, .. },
                // The ruleset may go off between our look at it and our asking to open.
                Some("no-ruleset" | "not-gated" | "open-refused" | "applied-without-approvals"),
            ) => gates(environment),
            (Happened::SettingsChanged { stack, .. }, Some("settings-changed")) => request["stack"] == **stack,
            _ => false,
        };
        assert!(history.iter().filter(others).any(is_cause), "nobody gave a cause for this: {request:#}");
    }
}

/// On no stack did a deployment of the principal's begin before the one before was over.
pub(super) fn one_at_a_time(gate: &Gate) {
    let cloud = gate.sim.cloud();
    let mut busy: BTreeMap<&str, &str> = BTreeMap::new();
    for record in cloud.history() {
        match &record.what {
            Happened::DeploymentCreated { id, stack, .. } if record.by.as_deref() == Some(PRINCIPAL) => {
                let other = busy.insert(stack, id);
                assert_eq!(other, None, "{id} was created on {stack} while another deployment was not over");
            }
            Happened::DeploymentMoved { id, stack, to, .. }
                if matches!(to.as_str(), "succeeded" | "failed" | "skipped") =>
            {
                busy.retain(|on, one| *on != stack || *one != id);
            }
            _ => {}
        }
    }
}

/// Each request's trail begins with its recording, ends with its end, and in between each change of state follows from the one before, once.
pub(super) async fn transitions(gate: &Gate, requests: &[Value]) {
    for request in requests {
        let id = request["id"].as_str().unwrap_or_default();
        let events = gate.events(id).await;
        let mut state = Value::Null;
        for (n, event) in events.iter().enumerate() {
            let number: usize = event["sequence"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
            assert_eq!(number, n + 1, "{id} has a hole in its trail");
            if event["data"].get("to").is_some() {
                assert_eq!(event["data"]["from"], state, "{id} changes from a state that it was not in: {events:#?}");
                assert_ne!(event["data"]["to"], state, "{id} changes to the state that it is in: {events:#?}");
                state = event["data"]["to"].clone();
            }
        }
        assert_eq!(request["state"], state, "{id} is in a state that its trail does not know");
    }
}
