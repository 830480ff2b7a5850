use super::*;
use crate::request::{Outcome, State};
use crate::testing::life::{Life, every_event, seen};
use crate::testing::{self};

/// From the ask to the end, with an approval that came, went and came again, and a second deployment.
fn whole_life() -> Life {
    let ids = ["cr-1", "cr-2"];
    let all = |status: &str, who: &[&str]| ids.iter().map(|id| seen(id, status, who)).collect::<Vec<_>>();
    let at: Timestamp = "2026-11-23T10:30:00Z".parse().unwrap();
    Life::submitted(&ids)
        .then(Event::ApprovalSeen { change_request: seen("cr-1", "pending", &["bob"]) })
        .then(Event::ApprovalWithdrawn { change_request: seen("cr-1", "pending", &[]) })
        .then(Event::Approved { change_requests: all("ready", &["bob"]) })
        .then(Event::Unapproved { change_requests: all("pending", &[]) })
        .then(Event::Approved { change_requests: all("ready", &["bob"]) })
        .then(Event::Applied { change_request: seen("cr-1", "applied", &["bob"]), applied_at: at })
        .then(Event::Granted {
            change_requests: all("applied", &["bob"]),
            grant: crate::request::Grant { applied_at: at, expires_at: at + jiff::SignedDuration::from_hours(1) },
        })
        .then(Event::Deploying { deployment: testing::life::deployment(7), status: None })
        .then(Event::DuplicateFound { deployment: testing::life::deployment(8), cancelled: true })
        .then(Event::Succeeded {
            outcome: Outcome::new("succeeded", "Deployment 7 of acme/web/prod succeeded."),
            rests_on: crate::event::RestsOn::default(),
        })
}

/// Seals an event again after it was tampered with: its own hash is right, the chain is not.
fn rehash(event: &mut Sealed) {
    event.hash = hash(event).unwrap();
}

#[test]
fn replay_makes_the_request_anew() {
    let life = whole_life();
    assert_eq!(life.state(), State::Succeeded);
    assert_eq!(replay(&life.events).unwrap(), life.request);
    assert_eq!(verify(&life.events, 13, &life.request.head).unwrap(), life.request);
    assert_eq!(life.events[0].prevhash, GENESIS);
    assert_eq!(life.events[12].sequence, "0000000013");
    let text = serde_json::to_string(&life.events).unwrap();
    let read: Vec<Sealed> = serde_json::from_str(&text).unwrap();
    assert_eq!(replay(&read).unwrap(), life.request, "the trail as it is exported");
}

#[test]
fn states_stand_in_the_events_that_change_them_and_in_no_others() {
    let states = |index: usize| {
        let data = serde_json::to_value(&whole_life().events[index].data).unwrap();
        (data.get("from").cloned(), data.get("to").cloned())
    };
    assert_eq!(states(0), (Some(serde_json::Value::Null), Some("requested".into())));
    assert_eq!(states(3), (None, None), "an approval seen");
    assert_eq!(states(5), (Some("pending_approval".into()), Some("approved".into())));
    assert_eq!(states(6), (Some("approved".into()), Some("pending_approval".into())));
}

#[test]
fn every_event_is_the_same_after_a_trip_through_json() {
    for event in every_event() {
        let evidence = event.evidence().unwrap();
        let text = serde_json::to_string(&evidence).unwrap();
        let read = Event::parse(&event.type_name(), serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(read, event);
        assert!(Event::parse("signoff.request.paid", evidence.clone()).is_err());
        assert!(Event::parse(event.word(), evidence).is_err(), "without its prefix it is no type");
    }
}

#[test]
fn whatever_was_done_to_a_trail_shows() {
    let good = whole_life();
    let tampered = |change: &dyn Fn(&mut Vec<Sealed>)| {
        let mut events = good.events.clone();
        change(&mut events);
        verify(&events, 13, &good.request.head).unwrap_err()
    };
    assert_eq!(tampered(&Vec::clear), Broken::Empty);
    assert_eq!(
        tampered(&|events| events[4].time += jiff::SignedDuration::from_secs(1)),
        Broken::Edited { sequence: 5 }
    );
    assert_eq!(
        tampered(&|events| events[4].data.actor = Actor::Login("mallory".parse().unwrap())),
        Broken::Edited { sequence: 5 }
    );
    assert_eq!(tampered(&|events| events[4].hash.clear()), Broken::Edited { sequence: 5 });
    let edited_and_hashed = |events: &mut Vec<Sealed>| {
        events[4].time += jiff::SignedDuration::from_secs(1);
        rehash(&mut events[4]);
    };
    assert_eq!(tampered(&edited_and_hashed), Broken::Unlinked { sequence: 6 });
    let dropped = |events: &mut Vec<Sealed>| drop(events.remove(4));
    assert_eq!(tampered(&dropped), Broken::Order { expected: 5, found: "0000000006".to_owned() });
    let inserted = |events: &mut Vec<Sealed>| events.insert(4, events[3].clone());
    assert_eq!(tampered(&inserted), Broken::Order { expected: 5, found: "0000000004".to_owned() });
    assert_eq!(tampered(&|events| events.swap(4, 5)), Broken::Order { expected: 5, found: "0000000006".to_owned() });
    let renumbered = |events: &mut Vec<Sealed>| {
        events.remove(4);
        events[4].sequence = "0000000005".to_owned();
        rehash(&mut events[4]);
    };
    assert_eq!(tampered(&renumbered), Broken::Unlinked { sequence: 5 });
    assert_eq!(tampered(&|events| events.truncate(10)), Broken::Cut { sequence: 10, expected: 13 });
    let foreign = |events: &mut Vec<Sealed>| {
        events[4].subject = RequestId::new(Ulid::from_parts(9, 9));
        rehash(&mut events[4]);
    };
    let subject = RequestId::new(Ulid::from_parts(9, 9));
    assert_eq!(tampered(&foreign), Broken::Foreign { sequence: 5, subject });
}

#[test]
fn a_trail_that_was_made_up_makes_no_sense() {
    let why = |change: &dyn Fn(&mut Sealed)| {
        let mut events = whole_life().events;
        change(&mut events[5]);
        rehash(&mut events[5]);
        replay(&events).unwrap_err().to_string()
    };
    assert_eq!(
        why(&|event| event.kind = "signoff.request.granted".to_owned()),
        "event 6 makes no sense: missing field `grant`"
    );
    assert_eq!(
        why(&|event| {
            event.kind = "signoff.request.succeeded".to_owned();
            event.data.evidence = serde_json::json!({"outcome": {"code": "succeeded", "message": ""}});
        }),
        "event 6 makes no sense: succeeded can't follow the state pending_approval"
    );
    let not_of_its_type = "event 6 makes no sense: its states or its source are not those of its type";
    assert_eq!(why(&|event| (event.data.from, event.data.to) = (None, None)), not_of_its_type);
    assert_eq!(why(&|event| event.source = "signoff/other".to_owned()), not_of_its_type);
    assert_eq!(why(&|event| event.data.evidence["surplus"] = true.into()), not_of_its_type);
}

/// A whole trail that was rewritten from some event on fits itself; only the head that is kept with the state tells.
#[test]
fn a_rewritten_tail_shows_by_the_head() {
    let good = whole_life();
    let mut other = good.events.clone();
    other[12].time += jiff::SignedDuration::from_secs(1);
    rehash(&mut other[12]);
    assert!(replay(&other).is_ok());
    assert_eq!(verify(&other, 13, &good.request.head), Err(Broken::Cut { sequence: 13, expected: 13 }));
}

/// The canonical form is written out by hand: whoever checks a trail needs nothing of this crate.
#[test]
fn the_hash_is_that_of_the_canonical_form() {
    let form = concat!(
        r#"{"data":{"actor":{"login":"alice"},"evidence":{"accessDuration":"1h","createdAt":"2026-11-23T10:00:00Z","#,
        r#""gate":{"commitRequired":false,"environment":"acme/credentials/prod","principal":"default","selfApproval":false},"#,
        r#""grantExpiration":"1h","id":"req_01M7NJQ70000000000000000V7","operation":"update","pendingTimeout":"72h","position":1,"#,
        r#""reason":"Zürich:\n\"x\" € <&>","requester":{"login":"alice","name":"Alice"},"stack":"acme/web/prod"},"#,
        r#""from":null,"to":"requested"},"datacontenttype":"application/json","id":"00000000010000000000000001","#,
        r#""prevhash":"0000000000000000000000000000000000000000000000000000000000000000","sequence":"0000000001","#,
        r#""source":"signoff/acme","specversion":"1.0","subject":"req_01M7NJQ70000000000000000V7","#,
        r#""time":"2026-11-23T10:00:00Z","type":"signoff.request.requested"}"#,
    );
    let mut ask = testing::ask();
    ask.id = "req_01M7NJQ70000000000000000V7".parse().unwrap();
    ask.reason = "Zürich:\n\"x\" € <&>".parse().unwrap();
    let event = Life::of(ask).events.remove(0);
    assert_eq!(event.hash, hex::encode(Sha256::digest(form)));
    assert_eq!(event.hash, "1b21a49b398845d775946cb7ad3649abf862ba288d62c4448ea3015ad4aa2574");
}
