use super::*;
use crate::conditions::Lift;

fn pending() -> Scene {
    Scene::of(Life::submitted(&["cr-1"])).but(|scene| {
        scene.status("cr-1", "pending");
        scene.approvers("cr-1", &[]);
    })
}

#[test]
fn whose_approval_counts() {
    let by = |who: &'static [&str]| {
        pending().but(|scene| {
            scene.status("cr-1", "ready");
            scene.approvers("cr-1", who);
            // What was seen before, so that the verdict comes next and not the record of an approval.
            scene.request.status.change_requests[0].approvals =
                crate::testing::life::seen("cr-1", "ready", who).approvals;
        })
    };
    let behalf = |scene: &mut Scene| scene.request.ask.on_behalf_of = Some("Dave".parse().unwrap());
    check!(
        "whose_approval_counts",
        vec![
            ("nobody's", by(&[])),
            ("bob's", by(&["bob"])),
            ("the requester's", by(&["ALICE"])),
            ("the requester's and bob's", by(&["alice", "bob"])),
            (
                "the requester's, where the gate lets it",
                by(&["alice"]).but(|scene| scene.request.ask.gate.self_approval = true)
            ),
            (
                "the principal's, where the gate lets the requester's",
                by(&["signoff-deployer"]).but(|scene| scene.request.ask.gate.self_approval = true)
            ),
            ("that of whom it is asked for", by(&["dave"]).but(behalf)),
            (
                "bob's twice for two",
                by(&["bob", "BOB"]).but(|scene| scene.cr("cr-1").rulesets[0].approval.as_mut().unwrap().required = 2)
            ),
            (
                "bob's, with a second ruleset of an unknown kind",
                by(&["bob"]).but(|scene| {
                    let strange =
                        crate::cloud::RulesetNow { id: "r".to_owned(), name: "strange".to_owned(), approval: None };
                    scene.cr("cr-1").rulesets.push(strange);
                })
            ),
            (
                "bob's, but the ruleset asked for two when it was submitted",
                by(&["bob"]).but(|scene| scene.request.status.change_requests[0].asked[0].required = 2)
            ),
            ("bob's, but no ruleset is left", by(&["bob"]).but(|scene| scene.cr("cr-1").rulesets.clear())),
            ("bob's, with an unknown status", by(&["bob"]).but(|scene| scene.status("cr-1", "merged"))),
            ("bob's, not ready by Pulumi Cloud's count", by(&["bob"]).but(|scene| scene.status("cr-1", "pending"))),
        ]
    );
}

#[test]
fn approvals_come_and_go() {
    let approved = || Scene::of(Life::approved(&["cr-1"]));
    let two = || Scene::of(Life::submitted(&["cr-1", "cr-2"]));
    let closed = |scene: &mut Scene| scene.status("cr-1", "closed");
    check!(
        "approvals_come_and_go",
        vec![
            (
                "the one that makes it enough",
                pending().but(|scene| {
                    scene.status("cr-1", "ready");
                    scene.approvers("cr-1", &["bob"]);
                })
            ),
            (
                "the one that makes it enough, and the requester's",
                pending().but(|scene| {
                    scene.status("cr-1", "ready");
                    scene.approvers("cr-1", &["bob", "alice"]);
                })
            ),
            (
                "only the requester's is new, and it is enough",
                pending().but(|scene| {
                    scene.status("cr-1", "ready");
                    scene.approvers("cr-1", &["bob", "alice"]);
                    scene.request.status.change_requests[0].approvals =
                        crate::testing::life::seen("cr-1", "pending", &["bob"]).approvals;
                })
            ),
            (
                "the one that counts goes, and the requester's",
                approved().but(|scene| {
                    scene.status("cr-1", "pending");
                    scene.approvers("cr-1", &[]);
                    let before = &mut scene.request.status.change_requests[0].approvals[0];
                    before.approvers.push("alice".parse().unwrap());
                    let withdrawn = ["alice", "bob"].map(|login| login.parse().unwrap()).to_vec();
                    scene.facts.withdrawn.insert("cr-1".to_owned(), withdrawn);
                })
            ),
            ("one that does not count", pending().but(|scene| scene.approvers("cr-1", &["alice"]))),
            ("one of two change requests", two().but(|scene| scene.status("cr-2", "pending"))),
            (
                "gone before the apply: was it withdrawn?",
                approved().but(|scene| {
                    scene.status("cr-1", "pending");
                    scene.approvers("cr-1", &[]);
                })
            ),
            (
                "withdrawn before the apply",
                approved().but(|scene| {
                    scene.status("cr-1", "pending");
                    scene.approvers("cr-1", &[]);
                    scene.facts.withdrawn.insert("cr-1".to_owned(), vec!["bob".parse().unwrap()]);
                })
            ),
            (
                "gone, and nobody withdrew it",
                approved().but(|scene| {
                    scene.status("cr-1", "pending");
                    scene.approvers("cr-1", &[]);
                    scene.facts.withdrawn.insert("cr-1".to_owned(), Vec::new());
                })
            ),
            (
                "replaced by another's",
                approved().but(|scene| {
                    scene.approvers("cr-1", &["carol"]);
                    scene.facts.withdrawn.insert("cr-1".to_owned(), vec!["bob".parse().unwrap()]);
                })
            ),
            (
                "dismissed by a new ruleset",
                approved().but(|scene| {
                    let second = crate::cloud::RulesetNow {
                        id: "gate-2".to_owned(),
                        name: "security".to_owned(),
                        approval: Some(crate::cloud::ApprovalNow { required: 1, approvers: Vec::new() }),
                    };
                    scene.cr("cr-1").rulesets.push(second);
                })
            ),
            ("closed, by whom?", pending().but(closed)),
            (
                "closed by bob",
                pending().but(|scene| {
                    closed(scene);
                    scene
                        .facts
                        .closed_by
                        .insert("cr-1".to_owned(), Some(("bob".parse().unwrap(), Some("Not on a Friday".to_owned()))));
                })
            ),
            (
                "closed by nobody knows whom",
                approved().but(|scene| {
                    closed(scene);
                    scene.facts.closed_by.insert("cr-1".to_owned(), None);
                })
            ),
            ("applied elsewhere, when?", approved().but(|scene| scene.status("cr-1", "applied"))),
            (
                "applied elsewhere with enough approvals",
                approved().but(|scene| {
                    scene.status("cr-1", "applied");
                    scene.facts.applied_at.insert("cr-1".to_owned(), scene.now);
                })
            ),
            (
                "applied elsewhere before it was known to be approved",
                pending().but(|scene| {
                    scene.status("cr-1", "applied");
                    scene.approvers("cr-1", &["bob"]);
                    scene.facts.turn = None;
                    scene.facts.applied_at.insert("cr-1".to_owned(), scene.now);
                })
            ),
            (
                "applied elsewhere without enough approvals",
                pending().but(|scene| {
                    scene.status("cr-1", "applied");
                    scene.approvers("cr-1", &["alice"]);
                })
            ),
        ]
    );
}

#[test]
fn what_an_approved_request_waits_for() {
    let approved = || Scene::of(Life::approved(&["cr-1"]));
    let busy = |status: DeploymentStatus| Listed {
        id: "dep-3".to_owned(),
        version: 3,
        status,
        requested_by: "dave".parse().unwrap(),
        operation: "update".to_owned(),
        created: None,
    };
    let act = || Act::Apply("cr-1".to_owned());
    let line = |position, state| {
        move |scene: &mut Scene| {
            scene.facts.line = Some(vec![other(position, state)]);
            scene.facts.turn = None;
        }
    };
    let unreadable = |turn| {
        approved().but(|scene| {
            scene.facts.unreadable.insert(other(5, State::Approved).place.id);
            (scene.facts.line, scene.facts.turn) = (Some(Vec::new()), turn);
        })
    };
    let lifted = |scene: &mut Scene| _ = scene.request.status.lifted.insert(Lift::Line);
    check!(
        "what_an_approved_request_waits_for",
        vec![
            ("nothing", approved()),
            ("hold", approved().but(|scene| scene.facts.gates.hold = true)),
            ("an earlier one that is approved", approved().but(line(0, State::Approved))),
            ("an earlier one that is pending: the turn is next", approved().but(line(0, State::PendingApproval))),
            ("a later one that is approved: the turn is next", approved().but(line(5, State::Approved))),
            ("a later one that is granted", approved().but(line(5, State::Granted))),
            ("a later one that is deploying", approved().but(line(5, State::Deploying))),
            (
                "an earlier one that is approved, but this one has the turn",
                approved().but(line(0, State::Approved)).but(|scene| scene.facts.turn = Some(true)),
            ),
            ("the turn, not claimed", approved().but(|scene| scene.facts.turn = None)),
            ("the turn, another has it", approved().but(|scene| scene.facts.turn = Some(false))),
            (
                "the turn, and it is known who has it",
                approved().but(|scene| {
                    scene.facts.turn = Some(false);
                    scene.facts.holder = Some(other(5, State::Approved).place.id);
                })
            ),
            (
                "its durations can't be had now: the turn is not taken",
                approved().but(|scene| {
                    scene.facts.turn = None;
                    scene.facts.durations.insert("cr-1".to_owned(), Err("the environment has changed".to_owned()));
                })
            ),
            ("one in line can't be read", unreadable(None)),
            ("one in line can't be read, but this one has the turn", unreadable(Some(true))),
            ("one in line can't be read, the line lifted: the turn is next", unreadable(None).but(lifted)),
            ("one in line can't be read, the line lifted, another has the turn", unreadable(Some(false)).but(lifted)),
            ("paused", approved().but(|scene| scene.activity().paused = true)),
            ("the stack's deployments can't be found", approved().but(|scene| scene.activity().unseen = true)),
            ("queued", approved().but(|scene| scene.activity().busy.push(busy(DeploymentStatus::NotStarted)))),
            ("running", approved().but(|scene| scene.activity().busy.push(busy(DeploymentStatus::Running)))),
            (
                "an unknown status",
                approved()
                    .but(|scene| scene.activity().busy.push(busy(DeploymentStatus::Unknown("dreaming".to_owned()))))
            ),
            (
                "the apply is refused",
                approved().but(|scene| {
                    scene.facts.refused.insert(act(), "conditions are not met".to_owned());
                })
            ),
            (
                "the apply had no effect",
                approved().but(|scene| {
                    scene.facts.tried.insert(act());
                })
            ),
            (
                "the apply had its effect",
                approved().but(|scene| {
                    scene.facts.tried.insert(act());
                    scene.status("cr-1", "applied");
                    scene.facts.applied_at.insert("cr-1".to_owned(), scene.now);
                })
            ),
        ]
    );
}

#[test]
fn two_change_requests() {
    let approved = || Scene::of(Life::approved(&["cr-1", "cr-2"]));
    let first_applied = || {
        let life = Life::approved(&["cr-1", "cr-2"]);
        let applied_at = life.request.status.updated_at;
        let change_request = crate::testing::life::seen("cr-1", "applied", &["bob"]);
        let life = life.then(Event::Applied { change_request, applied_at });
        Scene::of(life).but(|scene| scene.status("cr-1", "applied"))
    };
    let late = SignedDuration::from_mins(59);
    check!(
        "two_change_requests",
        vec![
            ("both are ready", approved()),
            ("one is not ready: none is applied", approved().but(|scene| scene.status("cr-2", "pending"))),
            (
                "the first was applied in this look",
                approved().but(|scene| {
                    scene.status("cr-1", "applied");
                    scene.facts.applied_at.insert("cr-1".to_owned(), scene.now);
                })
            ),
            ("the first is applied", first_applied()),
            (
                "the first is applied, and the stack is busy: no way back",
                first_applied().but(|scene| scene.activity().paused = true)
            ),
            (
                "the first is applied, the second lost its approval",
                first_applied().but(|scene| {
                    scene.status("cr-2", "pending");
                    scene.request.status.change_requests[1].approvals[0].approvers.clear();
                    scene.approvers("cr-2", &[]);
                })
            ),
            (
                "the first is applied, the second was closed",
                first_applied().but(|scene| {
                    scene.status("cr-2", "closed");
                    scene.facts.closed_by.insert("cr-2".to_owned(), Some(("bob".parse().unwrap(), None)));
                })
            ),
            ("the first is applied, the second can't be in time", first_applied().but(|scene| scene.later(late))),
            (
                "the first is applied, and after pending-timeout there is still time",
                first_applied().but(|scene| {
                    scene.request.ask.pending_timeout = "1m".parse().unwrap();
                })
            ),
            ("the first is applied, the gate is gone", first_applied().but(|scene| scene.facts.gates.gates.clear())),
            (
                "both are applied",
                first_applied().but(|scene| {
                    scene.status("cr-2", "applied");
                    scene.facts.applied_at.insert("cr-2".to_owned(), scene.now);
                })
            ),
        ]
    );
}

#[test]
fn too_late() {
    let late = |scene: &mut Scene| scene.later(SignedDuration::from_hours(72));
    let window = |text: &str| crate::conditions::Window::try_from(text.to_owned()).unwrap();
    let fridays = |scene: &mut Scene| scene.facts.gates.gates[0].windows = vec![window("fri 09:00-17:00")];
    check!(
        "too_late",
        vec![
            ("pending", pending().but(late)),
            ("pending, and its window opens only when its time is up", pending().but(fridays)),
            (
                "the same, and it was asked for a time in between",
                pending().but(fridays).but(|scene| {
                    scene.request.ask.not_before = Some(scene.now + SignedDuration::from_hours(24));
                })
            ),
            (
                "the same, where its time is pushed on",
                pending().but(fridays).but(|scene| {
                    scene.facts.gates.gates[0].pending_extension = Some("7d".parse().unwrap());
                })
            ),
            (
                "pending, and its window opens in time",
                pending().but(|scene| scene.facts.gates.gates[0].windows = vec![window("tue 09:00-10:00")])
            ),
            (
                "approved, on hold",
                Scene::of(Life::approved(&["cr-1"])).but(|scene| {
                    late(scene);
                    scene.facts.gates.hold = true;
                })
            ),
            ("granted", Scene::of(Life::granted(&["cr-1"])).but(late)),
            (
                "a second before",
                pending().but(|scene| scene.now = scene.request.ask.expires_at() - SignedDuration::from_secs(1))
            ),
        ]
    );
}
