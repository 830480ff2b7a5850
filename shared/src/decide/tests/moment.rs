//! When an approved request is applied: its own time, the wait, windows and freezes; what pushes its time on, and what is lifted.

use super::*;
use crate::conditions::Lift;
use crate::gate::Gates;

/// The gate of the tests with some more keys.
fn gated(keys: &str) -> impl FnOnce(&mut Scene) {
    let text = format!("{}\n{keys}\n", world::GATES);
    move |scene| scene.facts.gates = Gates::from_toml(&text).unwrap()
}

fn approved() -> Scene {
    Scene::of(Life::approved(&["cr-1"]))
}

fn lifted(what: Lift) -> impl FnOnce(&mut Scene) {
    move |scene| _ = scene.request.status.lifted.insert(what)
}

const SHUT: &str = "windows = [\"sat 09:00-17:00\"]";
const FREEZE: &str = "freezes = [{ from = \"2020-01-01T00:00\", to = \"2099-01-01T00:00\", reason = \"We moved\" }]";

#[test]
fn what_holds_an_approved_request_back() {
    let in_an_hour = |scene: &Scene| Some(scene.now + SignedDuration::from_hours(1));
    check!(
        "what_holds_an_approved_request_back",
        vec![
            ("outside of its window", approved().but(gated(SHUT))),
            ("inside of its window", approved().but(gated("windows = [\"daily 00:00-24:00\"]"))),
            ("in a freeze, its window closed too", approved().but(gated(&format!("{SHUT}\n{FREEZE}")))),
            ("the window lifted", approved().but(gated(SHUT)).but(lifted(Lift::Window))),
            (
                "the freeze lifted, not the window",
                approved().but(gated(&format!("{SHUT}\n{FREEZE}"))).but(lifted(Lift::Freeze))
            ),
            ("asked for later", approved().but(|scene| scene.request.status.not_before = in_an_hour(scene))),
            (
                "asked for later, and the glass broken",
                approved()
                    .but(|scene| scene.request.status.not_before = in_an_hour(scene))
                    .but(lifted(Lift::Wait))
                    .but(lifted(Lift::Window))
            ),
            (
                "the wait",
                approved().but(|scene| {
                    scene.request.status.wait = Some("1h".parse().unwrap());
                    scene.request.status.wait_until = in_an_hour(scene);
                })
            ),
            (
                "the wait, and a window that is closed when it is over",
                approved().but(gated(SHUT)).but(|scene| {
                    scene.request.status.wait = Some("1h".parse().unwrap());
                    scene.request.status.wait_until = in_an_hour(scene);
                })
            ),
            (
                "the same, where its time is pushed on",
                approved().but(gated(&format!("{SHUT}\npending-extension = \"7d\""))).but(|scene| {
                    scene.request.status.wait = Some("1h".parse().unwrap());
                    scene.request.status.wait_until = in_an_hour(scene);
                })
            ),
            (
                "asked for later, in a freeze",
                approved().but(gated(FREEZE)).but(|scene| scene.request.status.not_before = in_an_hour(scene))
            ),
            (
                "the wait, lifted",
                approved().but(|scene| scene.request.status.wait_until = in_an_hour(scene)).but(lifted(Lift::Wait))
            ),
            (
                "an earlier one that waits for its own time holds nobody up",
                approved()
                    .but(|scene| scene.facts.line = Some(vec![Other { held: true, ..other(0, State::Approved) }]))
            ),
            (
                "the line, lifted",
                approved()
                    .but(|scene| scene.facts.line = Some(vec![other(0, State::Approved)]))
                    .but(lifted(Lift::Line))
            ),
            (
                "the line, lifted, but another is deploying",
                approved()
                    .but(|scene| {
                        (scene.facts.line, scene.facts.turn) = (Some(vec![other(0, State::Deploying)]), None);
                    })
                    .but(lifted(Lift::Line))
            ),
            (
                "applied in part: there is no way back",
                approved().but(gated(SHUT)).but(|scene| {
                    scene.request.status.change_requests[0].applied_at = Some(scene.now);
                    scene.status("cr-1", "applied");
                })
            ),
            (
                "one who approves does not do where the gate asks for two",
                approved().but(|scene| scene.request.ask.gate.approvals = Some(2))
            ),
            (
                "two who approve do",
                approved().but(|scene| scene.request.ask.gate.approvals = Some(2)).but(|scene| {
                    scene.approvers("cr-1", &["bob", "erin"]);
                    scene.request.status.change_requests[0].approvals[0].approvers =
                        vec!["bob".parse().unwrap(), "erin".parse().unwrap()];
                })
            ),
        ]
    );
}

#[test]
fn what_pushes_a_requests_time_on() {
    let at_its_end = |scene: &mut Scene| scene.now = scene.request.expires_at() - SignedDuration::from_mins(5);
    let over = |scene: &mut Scene| scene.now = scene.request.expires_at();
    let far = "windows = [\"sun 09:00-10:00\"]\npending-extension = \"7d\"";
    let bounded = "windows = [\"sun 09:00-10:00\"]\npending-extension = \"1h\"";
    let unbounded = "windows = [\"sun 09:00-10:00\"]";
    check!(
        "what_pushes_a_requests_time_on",
        vec![
            ("a window opens after its time is up", approved().but(gated(far)).but(at_its_end)),
            ("its time is up just now", approved().but(gated(far)).but(over)),
            ("its time is up, and nothing is closed", approved().but(over)),
            ("its time is up, and the gate sets no bound", approved().but(gated(unbounded)).but(over)),
            ("beyond the bound", approved().but(gated(bounded)).but(at_its_end)),
            ("beyond the bound, its time up", approved().but(gated(bounded)).but(over)),
            ("not beyond the latest that was asked for", {
                let mut scene = approved().but(gated(far)).but(at_its_end);
                scene.request.ask.not_after = Some(scene.request.expires_at());
                scene
            }),
            (
                "the gates are held as well",
                approved().but(gated(far)).but(|scene| scene.facts.gates.hold = true).but(at_its_end)
            ),
            (
                "not approved",
                Scene::of(Life::submitted(&["cr-1"]))
                    .but(|scene| {
                        scene.status("cr-1", "pending");
                        scene.approvers("cr-1", &[]);
                    })
                    .but(gated(far))
                    .but(over)
            ),
        ]
    );
}

#[test]
fn what_is_applied_in_its_window_is_deployed_and_what_somebody_else_applied_outside_is_not() {
    let granted = |minutes: i64| {
        move |scene: &mut Scene| {
            let applied = scene.request.status.grant.as_ref().unwrap().applied_at;
            scene.now = applied + SignedDuration::from_mins(minutes);
        }
    };
    let applied = Scene::of(Life::granted(&["cr-1"])).request.status.grant.unwrap().applied_at;
    let end = crate::conditions::Zone::UTC.clock(applied + SignedDuration::from_mins(2));
    let closes = format!("windows = [\"daily 05:00-{:02}:{:02}\"]", end.hour(), end.minute());
    let shut = "windows = [\"daily 05:00-06:00\"]";
    check!(
        "what_is_applied_in_its_window",
        vec![
            ("right after the apply", Scene::of(Life::granted(&["cr-1"])).but(gated(&closes)).but(granted(0))),
            ("the window closed meanwhile", Scene::of(Life::granted(&["cr-1"])).but(gated(&closes)).but(granted(5))),
            ("it closed a while ago", Scene::of(Life::granted(&["cr-1"])).but(gated(&closes)).but(granted(15))),
            ("applied outside, by somebody else", Scene::of(Life::granted(&["cr-1"])).but(gated(shut)).but(granted(0))),
            (
                "applied outside, lifted",
                Scene::of(Life::granted(&["cr-1"])).but(gated(shut)).but(granted(0)).but(lifted(Lift::Window))
            ),
        ]
    );
}

#[test]
fn the_time_after_the_approval_begins_anew_with_each_approval() {
    let mut before = Scene::of(Life::submitted(&["cr-1"])).request.status;
    before.wait = Some("30m".parse().unwrap());
    let approve = |before: &crate::request::Status, at| {
        crate::transition::apply(Some(before), &Event::Approved { change_requests: Vec::new() }, &Actor::SIGNOFF, at)
            .unwrap()
    };
    let first = approve(&before, Timestamp::UNIX_EPOCH);
    assert_eq!(first.wait_until, Some(Timestamp::from_second(1_800).unwrap()));
    let taken_back = crate::transition::apply(
        Some(&first),
        &Event::Unapproved { change_requests: Vec::new() },
        &Actor::SIGNOFF,
        Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    assert_eq!(taken_back.wait_until, None);
    let again = approve(&taken_back, Timestamp::from_second(600).unwrap());
    assert_eq!(again.wait_until, Some(Timestamp::from_second(2_400).unwrap()));
}
