use super::*;
use crate::ledger::Intent;
use crate::request::Outcome;

fn ending(life: Life) -> Scene {
    let outcome = Outcome::new("cancelled", "Cancelled by alice.");
    Scene::of(life.then(Event::EndDecided {
        to: State::Cancelled,
        outcome,
        rests_on: crate::event::RestsOn::default(),
    }))
}

#[test]
fn what_is_open_is_closed_first() {
    let act = || Act::Close("cr-1".to_owned());
    let pending = || ending(Life::submitted(&["cr-1"]));
    let refused = || {
        pending().but(|scene| {
            scene.facts.refused.insert(act(), "only its author may".to_owned());
        })
    };
    let tried = |scene: &mut Scene| _ = scene.facts.tried.insert(act());
    let closed_by = |who: Option<&str>| {
        pending().but(|scene| {
            scene.status("cr-1", "closed");
            let closed = who.map(|who| (who.parse().unwrap(), None));
            scene.facts.closed_by.insert("cr-1".to_owned(), closed);
        })
    };
    check!(
        "closing",
        vec![
            ("nothing is open", ending(Life::of(testing::ask()))),
            (
                "a creation is unclear",
                ending(Life::of(testing::ask())).but(|scene| {
                    let settles_at = scene.now + SignedDuration::from_secs(90);
                    scene.work.note.opening = Some(Intent { at: scene.now, settles_at });
                })
            ),
            ("not looked at yet", pending().but(|scene| scene.facts.change_requests.clear())),
            ("pending", pending()),
            ("closed", pending().but(|scene| scene.status("cr-1", "closed"))),
            ("closed by bob", closed_by(Some("bob"))),
            ("closed by signoff, in a look before", closed_by(Some("signoff-deployer"))),
            ("closed by nobody knows whom", closed_by(None)),
            ("closed by signoff just now", pending().but(|scene| scene.status("cr-1", "closed")).but(tried)),
            (
                "closed by somebody while signoff tried to",
                refused().but(tried).but(|scene| scene.status("cr-1", "closed"))
            ),
            ("gone", pending().but(|scene| scene.lost("cr-1"))),
            (
                "not found for the first time",
                pending().but(|scene| {
                    scene.facts.change_requests.insert("cr-1".to_owned(), None);
                })
            ),
            (
                "two, one of them closed",
                ending(
                    Life::submitted(&["cr-1", "cr-2"])
                        .then(Event::ChangeRequestClosed { change_request: "cr-1".to_owned() })
                )
            ),
            (
                "all closed",
                ending(
                    Life::submitted(&["cr-1"]).then(Event::ChangeRequestClosed { change_request: "cr-1".to_owned() })
                )
            ),
            ("applied meanwhile", pending().but(|scene| scene.status("cr-1", "applied"))),
            ("it can't be closed", refused()),
            ("it stays open", pending().but(tried)),
            (
                "it can't be closed for a day",
                refused().but(|scene| scene.later(SignedDuration::from_hours(CLOSING_HOURS)))
            ),
            ("the gate is gone: it is closed all the same", pending().but(|scene| scene.facts.gates.gates.clear())),
            ("on hold: it is closed all the same", pending().but(|scene| scene.facts.gates.hold = true)),
            ("approved: nothing is applied any more", ending(Life::approved(&["cr-1"]))),
            ("granted: nothing is deployed any more", ending(Life::granted(&["cr-1"]))),
        ]
    );
}
