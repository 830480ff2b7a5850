use serde_json::{Value, json};
use signoff_core::chain::{Sealed, seal};
use signoff_core::event::{Actor, Entry, Event, RestsOn};
use signoff_core::request::{Outcome, Request};

use super::{Finding, Trails, Verdict};

const ID: &str = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3";

/// A trail of four events, written by the crate that writes them.
fn trail(id: &str) -> Vec<Value> {
    let ask = json!({"id": id, "stack": "acme/web/prod", "operation": "update", "reason": "Ship 2.4",
        "requester": {"login": "alice", "name": "Alice"},
        "gate": {"environment": "acme/credentials/prod", "principal": "default", "selfApproval": false, "commitRequired": false},
        "accessDuration": "1h", "grantExpiration": "1h", "pendingTimeout": "72h", "position": 1, "createdAt": "2026-11-23T20:00:00Z"});
    let seen = json!({"id": "cr-1", "status": "pending", "revision": 1, "approvals": []});
    let outcome = Outcome::new("cancelled", "Taken back.");
    let events = [
        Event::Requested(Box::new(serde_json::from_value(ask).unwrap())),
        serde_json::from_value(json!({"type": "opened", "evidence": {"principal": "deployer", "settings": "x",
            "changeRequests": [{"id": "cr-1", "environment": "acme/credentials/prod", "revision": 1}]}}))
        .unwrap(),
        serde_json::from_value(json!({"type": "submitted", "evidence": {"changeRequests": [seen]}})).unwrap(),
        Event::Cancelled { outcome, rests_on: RestsOn::default() },
    ];
    let mut request: Option<Request> = None;
    let mut sealed: Vec<Sealed> = Vec::new();
    for event in events {
        let at = "2026-11-23T20:00:00Z".parse().unwrap();
        let entry = Entry { id: ulid::Ulid::from_parts(1, sealed.len() as u128), at, actor: Actor::SIGNOFF, event };
        let step = seal(request.as_ref(), &entry).unwrap();
        sealed.push(step.sealed);
        request = Some(step.request);
    }
    sealed.iter().map(|event| json!(event)).collect()
}

fn verdicts(events: &[Value]) -> Vec<Verdict> {
    let mut trails = Trails::default();
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    trails.read(&text);
    assert_eq!(trails.strays, []);
    trails.verdicts()
}

fn broken(events: &[Value]) -> String {
    match verdicts(events).pop().unwrap().finding {
        Finding::Broken(why) => why,
        Finding::Whole(_) => "whole".to_owned(),
        Finding::Window { first, last } => format!("window {first} to {last}"),
    }
}

#[test]
fn a_whole_trail_makes_the_request_wherever_its_lines_stand() {
    let mut events = trail(ID);
    events.reverse();
    let found = verdicts(&events).pop().unwrap();
    assert_eq!((found.subject.as_str(), found.events), (ID, 4));
    let Finding::Whole(request) = found.finding else { panic!("{}", broken(&events)) };
    assert_eq!(request.status.state.as_str(), "cancelled");
}

#[test]
fn each_request_is_judged_for_itself() {
    let other = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D4";
    let (mut one, two) = (trail(ID), trail(other));
    one[2]["data"]["actor"] = json!({"login": "mallory"});
    let mixed: Vec<Value> = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect();
    let found = verdicts(&mixed);
    assert!(matches!(&found[0].finding, Finding::Broken(why) if why.contains("event 3 was edited")));
    assert!(matches!(&found[1].finding, Finding::Whole(_)) && found[1].subject == other);
}

#[test]
fn what_is_edited_dropped_inserted_or_doubled_shows() {
    let events = trail(ID);
    let change = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut changed = events.clone();
        change(&mut changed);
        broken(&changed)
    };
    assert!(
        change(&|all| all[3]["data"]["evidence"]["outcome"]["message"] = "x".into()).contains("event 4 was edited")
    );
    assert!(change(&|all| all[1]["data"]["note"] = "x".into()).contains("event 2 is no event of a trail"));
    assert!(change(&|all| all[1]["note"] = "x".into()).contains("event 2 is no event of a trail"));
    assert!(change(&|all| drop(all.remove(1))).contains("where event 2 belongs"));
    assert!(change(&|all| all.push(all[2].clone())).contains("where event 4 belongs"));
    assert!(change(&|all| all[2] = all[1].clone()).contains("where event 3 belongs"));
}

#[test]
fn a_window_is_checked_as_far_as_it_goes() {
    let events = trail(ID);
    assert_eq!(broken(&events[1..]), "window 2 to 4");
    assert_eq!(broken(&events[..2]), "whole");
    assert!(broken(&[events[1].clone(), events[3].clone()]).contains("where event 3 belongs"));
    let mut edited = events[1..].to_vec();
    edited[1]["time"] = "2026-11-23T21:00:00Z".into();
    assert!(broken(&edited).contains("event 3 was edited"));
}

#[test]
fn a_rehashed_event_is_no_longer_linked() {
    let mut events = trail(ID);
    let mut forged: Sealed = serde_json::from_value(events[1].clone()).unwrap();
    forged.time = "2026-11-23T19:00:00Z".parse().unwrap();
    forged.hash = signoff_core::chain::hash(&forged).unwrap();
    events[1] = json!(forged);
    assert!(broken(&events).contains("event 3 does not continue"));
    assert!(broken(&events[1..]).contains("event 3 does not continue"));
}

#[test]
fn lines_of_no_request_are_named() {
    let mut trails = Trails::default();
    trails.read("\nnonsense\n{\"id\": 1}\n");
    let lines: Vec<usize> = trails.strays.iter().map(|stray| stray.line).collect();
    assert_eq!(lines, [2, 3]);
}
