use super::*;
use crate::request::Outcome;
use crate::testing::life::{Life, every_event};

/// Every state, none included, with every event.
#[test]
fn transition_table() {
    let events = every_event();
    let states = std::iter::once(None).chain(State::ALL.into_iter().map(Some));
    let mut table = format!("{:<17}", "");
    for event in &events {
        table.push_str(&format!("| {:<16} ", short(event.word())));
    }
    for state in states {
        table.push_str(&format!("\n{:<17}", state.map_or("none", State::as_str)));
        for event in &events {
            let cell = next_state(state, event).map_or("-", State::as_str);
            table.push_str(&format!("| {cell:<16} "));
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("transition_table", table.join("\n")));
}

fn short(word: &str) -> String {
    word.replace("change_request_closed", "cr_closed").replace("approval_withdrawn", "appr_withdrawn")
}

#[test]
fn nothing_follows_an_end_and_nothing_but_an_ask_comes_first() {
    for event in every_event() {
        let first = matches!(event, Event::Requested(_));
        assert_eq!(next_state(None, &event).is_ok(), first, "{}", event.word());
        for state in State::ALL {
            let refused = next_state(Some(state), &event).map_err(|illegal| illegal.to_string());
            if state.is_terminal() || first {
                assert_eq!(refused, Err(format!("{} can't follow the state {state}", event.word())));
            }
        }
    }
}

#[test]
fn only_the_applied_are_deployed() {
    for state in State::ALL {
        for event in every_event() {
            match next_state(Some(state), &event) {
                Ok(State::Granted) if state != State::Granted => assert_eq!(state, State::Approved),
                Ok(State::Deploying) if state != State::Deploying => assert_eq!(state, State::Granted),
                _ => {}
            }
        }
    }
}

#[test]
fn the_first_apply_starts_the_clock() {
    let first: Timestamp = "2026-11-23T10:30:00Z".parse().unwrap();
    let applied = |applied_at| Event::Applied {
        change_request: crate::testing::life::seen("cr-1", "applied", &["bob"]),
        applied_at,
    };
    let later = "2026-11-23T10:40:00Z".parse().unwrap();
    let life = Life::approved(&["cr-1", "cr-2"]).then(applied(first)).then(applied(later));
    assert_eq!(life.request.status.first_applied_at(), Some(first));
    assert_eq!(life.request.status.change_requests[1].applied_at, None);
}

#[test]
fn what_was_asked_for_at_the_submission_stays() {
    let before = Life::submitted(&["cr-1"]).request.status.change_requests[0].asked.clone();
    assert_eq!((before[0].id.as_str(), before[0].required), ("gate-1", 1));
    let life = Life::approved(&["cr-1"]);
    assert_eq!(life.request.status.change_requests[0].asked, before);
}

#[test]
fn an_end_that_was_decided_is_gone_when_it_is_there() {
    let outcome = Outcome::new("cancelled", "Cancelled by alice.");
    let decided = Life::submitted(&["cr-1"]).then(Event::EndDecided {
        to: State::Cancelled,
        outcome: outcome.clone(),
        rests_on: crate::event::RestsOn::default(),
    });
    assert_eq!(
        (decided.state(), decided.request.status.ending.clone().unwrap().to),
        (State::PendingApproval, State::Cancelled)
    );
    let over = decided.then(Event::Cancelled { outcome: outcome.clone(), rests_on: crate::event::RestsOn::default() });
    assert_eq!((over.request.status.ending, over.request.status.outcome), (None, Some(outcome)));
}
