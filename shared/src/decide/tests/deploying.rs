use super::*;
use crate::ledger::{Intent, Lost};

fn granted() -> Scene {
    Scene::of(Life::granted(&["cr-1"]))
}

fn deploying(status: &str) -> Scene {
    let own = Some(DeploymentStatus::of(status));
    Scene::of(Life::deploying(&["cr-1"])).but(|scene| scene.activity().own = own)
}

#[test]
fn one_deployment_is_created() {
    let intent = |scene: &mut Scene| {
        scene.work.intent = Some(Intent { at: scene.now, settles_at: scene.now + SignedDuration::from_secs(90) });
    };
    let settled = |scene: &mut Scene| {
        intent(scene);
        scene.later(SignedDuration::from_secs(90));
    };
    let found = |scene: &mut Scene| {
        let found = marked(scene, 7);
        scene.activity().marked.push(found);
    };
    let late = SignedDuration::from_hours(1);
    let commit = "0123456789012345678901234567890123456789";
    check!(
        "creating",
        vec![
            ("all is well", granted()),
            ("hold", granted().but(|scene| scene.facts.gates.hold = true)),
            ("created", granted().but(|scene| scene.facts.deployed = Some(deployment(7)))),
            (
                "tried in this look",
                granted().but(|scene| {
                    scene.facts.tried.insert(Act::Deploy);
                })
            ),
            (
                "refused",
                granted().but(|scene| {
                    scene.facts.refused.insert(Act::Deploy, "no such commit".to_owned());
                })
            ),
            ("the grant ran out", granted().but(|scene| scene.later(late))),
            ("an intent without outcome", granted().but(intent)),
            (
                "an intent without outcome, not searched",
                granted().but(|scene| {
                    settled(scene);
                    scene.facts.activity = None;
                })
            ),
            ("an intent without outcome, found", granted().but(settled).but(found)),
            ("an intent without outcome, not found", granted().but(settled)),
            (
                "an intent without outcome, found after the grant ran out and the gate was removed",
                granted().but(settled).but(found).but(|scene| {
                    scene.later(late);
                    scene.facts.gates.gates.clear();
                })
            ),
            (
                "an intent without outcome, not found, after the grant ran out",
                granted().but(settled).but(|scene| scene.later(late))
            ),
            ("no intent, but one that carries the mark", granted().but(found)),
            ("the stack's deployments can't be found", granted().but(|scene| scene.activity().unseen = true)),
            (
                "one that carries the mark, for another commit",
                granted().but(found).but(|scene| {
                    scene.request.ask.commit = Some(commit.parse().unwrap());
                    scene.activity().marked[0].commit = Some(commit.replace('0', "f"));
                })
            ),
            (
                "one that carries the mark, for the commit",
                granted().but(found).but(|scene| {
                    scene.request.ask.commit = Some(commit.parse().unwrap());
                    scene.activity().marked[0].commit = Some(commit.to_owned());
                })
            ),
            (
                "one that carries the mark, for no commit",
                granted().but(found).but(|scene| {
                    scene.request.ask.commit = Some(commit.parse().unwrap());
                })
            ),
            (
                "one that carries the mark, for another operation",
                granted().but(found).but(|scene| {
                    scene.activity().marked[0].operation = Some("destroy".to_owned());
                })
            ),
        ]
    );
}

#[test]
fn it_is_followed_to_its_end() {
    let late = SignedDuration::from_hours(1);
    let ended = |cancelled: bool, now: &str| {
        deploying(now).but(|scene| {
            scene.later(late);
            scene.work.note.cancelled = cancelled;
        })
    };
    let lost = |looks: u32, minutes: i64| {
        deploying("running").but(|scene| {
            scene.activity().own = None;
            scene.facts.deployment = Some(None);
            scene.work.note.lost = Some(Lost { since: scene.now - SignedDuration::from_mins(minutes), looks });
        })
    };
    let second = |status: DeploymentStatus| {
        deploying("running").but(|scene| {
            let mut second = marked(scene, 8);
            second.status = status;
            scene.activity().marked.push(second);
        })
    };
    let cancel = |id: &str| Act::CancelDeployment(id.to_owned());
    check!(
        "following",
        vec![
            ("queued", deploying("not-started")),
            ("running", deploying("running")),
            ("running after the grant ran out", deploying("running").but(|scene| scene.later(late))),
            ("a status never seen before", deploying("dreaming").but(|scene| scene.later(late))),
            ("succeeded", deploying("succeeded")),
            ("failed", deploying("failed")),
            ("skipped", deploying("skipped")),
            ("not on the list", deploying("running").but(|scene| scene.activity().own = None)),
            (
                "not on the list, but there",
                deploying("running").but(|scene| {
                    scene.activity().own = None;
                    scene.facts.deployment = Some(Some(DeploymentStatus::Succeeded));
                })
            ),
            ("queued when the grant ran out", deploying("not-started").but(|scene| scene.later(late))),
            ("accepted when the grant ran out", deploying("accepted").but(|scene| scene.later(late))),
            (
                "queued when the grant ran out, cancelled in this look",
                deploying("not-started").but(|scene| {
                    scene.later(late);
                    scene.facts.tried.insert(cancel("dep-7"));
                })
            ),
            ("skipped after it was cancelled for not starting in time", ended(true, "skipped")),
            ("failed after it was cancelled for not starting in time", ended(true, "failed")),
            ("succeeded all the same", ended(true, "succeeded")),
            ("skipped late, but not by signoff", ended(false, "skipped")),
            ("failed late, but not by signoff", ended(false, "failed")),
            ("can't be found, first look", lost(1, 0)),
            ("can't be found, third look in nine minutes", lost(3, 9)),
            ("can't be found, two looks in an hour", lost(2, 60)),
            ("can't be found, third look in ten minutes", lost(3, 10)),
            (
                "running for eight days",
                deploying("running").but(|scene| scene.later(SignedDuration::from_hours(24 * 8)))
            ),
            ("a second one, queued", second(DeploymentStatus::NotStarted)),
            (
                "a second one, cancelled",
                second(DeploymentStatus::NotStarted).but(|scene| {
                    scene.facts.tried.insert(cancel("dep-8"));
                })
            ),
            ("a second one, running", second(DeploymentStatus::Running)),
            (
                "a second one, recorded",
                second(DeploymentStatus::Running).but(|scene| scene.request.status.duplicates = vec![8])
            ),
            (
                "succeeded, with a second one",
                deploying("succeeded").but(|scene| scene.request.status.duplicates = vec![8])
            ),
        ]
    );
}

#[test]
fn whether_a_second_one_was_cancelled_is_recorded() {
    let cancelled = |refused: bool| {
        let act = Act::CancelDeployment("dep-8".to_owned());
        let scene = deploying("running").but(|scene| {
            let second = marked(scene, 8);
            scene.activity().marked.push(second);
            scene.facts.tried.insert(act.clone());
            if refused {
                scene.facts.refused.insert(act, "it runs".to_owned());
            }
        });
        match scene.next() {
            Next::Record(Record { event, .. }) => match *event {
                Event::DuplicateFound { deployment: Deployment { version: 8, .. }, cancelled } => cancelled,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((cancelled(false), cancelled(true)), (true, false));
}
