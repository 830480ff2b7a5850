use super::*;
use crate::ledger::Intent;

#[test]
fn from_the_ask_to_the_reviewers() {
    let fresh = Scene::of(Life::of(testing::ask()));
    let opened = Scene::of(Life::opened(&["cr-1"]));
    let opening = |scene: &mut Scene| {
        let at = scene.now;
        scene.work.note.opening = Some(Intent { at, settles_at: at + SignedDuration::from_secs(90) });
    };
    let settled = fresh.clone().but(|scene| {
        opening(scene);
        scene.later(SignedDuration::from_secs(90));
    });
    let created = |environment: &str| {
        let environment = environment.parse().unwrap();
        vec![crate::cloud::NewChangeRequest { id: "cr-1".to_owned(), environment, revision: 1 }]
    };
    let act = Act::Submit("cr-1".to_owned());
    check!(
        "asking",
        vec![
            ("nobody has the lock yet", fresh.clone().but(|scene| scene.facts.creation = None)),
            (
                "somebody else creates",
                fresh
                    .clone()
                    .but(|scene| scene.facts.creation = Some(Creation::Theirs(other(9, State::Requested).place.id)))
            ),
            ("it may create", fresh.clone()),
            ("created", fresh.clone().but(|scene| scene.facts.opened = Some(created("acme/credentials/prod")))),
            (
                "created a moment ago, with its intent still there",
                fresh.clone().but(|scene| {
                    opening(scene);
                    scene.facts.opened = Some(created("acme/credentials/prod"));
                })
            ),
            (
                "creation refused",
                fresh.clone().but(|scene| {
                    scene.facts.refused.insert(Act::RequestOpen, "opens are not gated".to_owned());
                })
            ),
            ("creation unclear, not settled", fresh.clone().but(opening)),
            ("creation unclear, settled", settled.clone()),
            ("a draft is left over", settled.clone().but(|scene| scene.facts.drafts = Some(vec!["cr-0".to_owned()]))),
            ("nothing is left over", settled.clone().but(|scene| scene.facts.drafts = Some(Vec::new()))),
            ("too late to create", fresh.clone().but(|scene| scene.later(SignedDuration::from_hours(72)))),
            (
                "too late to create, creation unclear",
                fresh.but(|scene| {
                    opening(scene);
                    scene.later(SignedDuration::from_hours(72));
                })
            ),
            ("a draft", opened.clone()),
            (
                "a draft, submitted in vain",
                opened.clone().but(|scene| {
                    scene.facts.tried.insert(act.clone());
                })
            ),
            (
                "submission refused",
                opened.clone().but(|scene| {
                    scene.facts.refused.insert(act.clone(), "forbidden".to_owned());
                })
            ),
            (
                "a draft of somebody else's",
                opened.clone().but(|scene| scene.cr("cr-1").created_by = "mallory".parse().unwrap())
            ),
            ("submitted", opened.clone().but(|scene| scene.status("cr-1", "pending"))),
            (
                "submitted with another first line",
                opened.clone().but(|scene| {
                    scene.status("cr-1", "pending");
                    scene.cr("cr-1").description = "hello".to_owned();
                })
            ),
            (
                "submitted as another operation",
                opened.clone().but(|scene| {
                    scene.status("cr-1", "pending");
                    let one = scene.cr("cr-1");
                    one.description = one.description.replace("operation: update", "operation: preview");
                })
            ),
            (
                "submitted when requests were found elsewhere",
                opened.clone().but(|scene| {
                    scene.status("cr-1", "pending");
                    let one = scene.cr("cr-1");
                    one.description =
                        one.description.replace("\nreason:", "\nrequest: https://old.example/req\nreason:");
                })
            ),
            (
                "submitted, and kept with other line breaks",
                opened.clone().but(|scene| {
                    scene.status("cr-1", "pending");
                    let one = scene.cr("cr-1");
                    one.description = format!("{} \r\n", one.description.replace('\n', "\r\n"));
                })
            ),
            (
                "closed as a draft",
                opened.clone().but(|scene| {
                    scene.status("cr-1", "closed");
                    scene.facts.closed_by.insert("cr-1".to_owned(), Some(("bob".parse().unwrap(), None)));
                })
            ),
            ("gone", opened.clone().but(|scene| scene.lost("cr-1"))),
            (
                "not found for the first time",
                opened.clone().but(|scene| {
                    scene.facts.change_requests.insert("cr-1".to_owned(), None);
                })
            ),
            (
                "only an import is gated",
                opened.clone().but(|scene| {
                    scene.request.status.change_requests[0].environment = "acme/credentials/import".parse().unwrap();
                })
            ),
            (
                "two, one of them submitted",
                Scene::of(Life::opened(&["cr-1", "cr-2"])).but(|scene| scene.status("cr-1", "pending"))
            ),
            ("too late to submit", opened.but(|scene| scene.later(SignedDuration::from_hours(72)))),
        ]
    );
}

#[test]
fn what_was_just_created_is_recorded_even_when_its_time_is_up() {
    let scene = Scene::of(Life::of(testing::ask())).but(|scene| {
        let environment = "acme/credentials/prod".parse().unwrap();
        scene.facts.opened =
            Some(vec![crate::cloud::NewChangeRequest { id: "cr-1".to_owned(), environment, revision: 1 }]);
        scene.later(SignedDuration::from_hours(24 * 30));
    });
    match scene.next() {
        Next::Record(record) => assert_eq!(record.event.word(), "opened"),
        other => panic!("{other:?}"),
    }
}
