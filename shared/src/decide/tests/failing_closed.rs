use super::*;
use crate::gate::RunsAs;

type Change = Box<dyn Fn(&mut Scene)>;

/// What is wrong, by name.
fn troubles() -> Vec<(&'static str, Change)> {
    fn settings(scene: &mut Scene) -> &mut Settings {
        scene.facts.settings.as_mut().unwrap().as_mut().unwrap()
    }
    fn rule(scene: &mut Scene) -> &mut crate::cloud::Ruleset {
        &mut scene.facts.rulesets.as_mut().unwrap().as_mut().unwrap()[0]
    }
    vec![
        ("no ruleset", Box::new(|scene| scene.facts.rulesets = Some(Ok(Vec::new())))),
        ("the ruleset is off", Box::new(|scene| rule(scene).enabled = false)),
        ("the ruleset gates no opens", Box::new(|scene| rule(scene).gates_open = false)),
        ("the ruleset is of an unknown kind", Box::new(|scene| rule(scene).asks_for_approval = false)),
        ("the rulesets can't be seen", Box::new(|scene| scene.facts.rulesets = Some(Err("forbidden".to_owned())))),
        ("the settings are not there", Box::new(|scene| scene.facts.settings = Some(Err("not found".to_owned())))),
        (
            "the settings carry a token",
            Box::new(|scene| settings(scene).variables.push("PULUMI_ACCESS_TOKEN".to_owned())),
        ),
        ("the settings carry a role", Box::new(|scene| settings(scene).has_role = true)),
        (
            "the settings carry the mark",
            Box::new(|scene| settings(scene).variables.push("SIGNOFF_REQUEST_ID".to_owned())),
        ),
        ("the gate is gone", Box::new(|scene| scene.facts.gates.gates.clear())),
        (
            "the gate has another environment",
            Box::new(|scene| scene.facts.gates.gates[0].environment = "acme/credentials/other".parse().unwrap()),
        ),
        (
            "the gate has another principal",
            Box::new(|scene| scene.facts.gates.gates[0].principal = "payments".parse().unwrap()),
        ),
        (
            "the gate lets only preview be asked for",
            Box::new(|scene| scene.facts.gates.gates[0].operations = ["preview".parse().unwrap()].into()),
        ),
    ]
}

/// What can only be wrong once the request was taken up.
fn changes() -> Vec<(&'static str, Change)> {
    vec![
        ("the token is somebody else's", Box::new(|scene| scene.facts.identity = Some("mallory".parse().unwrap()))),
        (
            "the settings were changed",
            Box::new(|scene| {
                scene.facts.settings.as_mut().unwrap().as_mut().unwrap().fingerprint = "v2".to_owned();
            }),
        ),
        ("the change request is gone", Box::new(|scene| scene.lost("cr-1"))),
        ("its first line was edited", Box::new(|scene| scene.cr("cr-1").description.insert(0, 'x'))),
        (
            "what it says of the operation was edited",
            Box::new(|scene| {
                let one = scene.cr("cr-1");
                one.description = one.description.replace("operation: update", "operation: preview");
            }),
        ),
        ("its revision was edited", Box::new(|scene| scene.cr("cr-1").revision = 2)),
        ("it is of another environment", Box::new(|scene| scene.cr("cr-1").environment = None)),
        ("it asks for no open", Box::new(|scene| scene.cr("cr-1").is_open = false)),
        ("it is somebody else's", Box::new(|scene| scene.cr("cr-1").created_by = "mallory".parse().unwrap())),
    ]
}

fn with(base: &Scene, troubles: Vec<(&'static str, Change)>) -> Vec<(&'static str, Scene)> {
    troubles.into_iter().map(|(name, change)| (name, base.clone().but(|scene| change(scene)))).collect()
}

#[test]
fn before_it_is_asked() {
    let fresh = Scene::of(Life::of(testing::ask()));
    assert_eq!(fresh.said(), "do RequestOpen");
    check!("fails_closed_before_it_is_asked", with(&fresh, troubles()));
}

#[test]
fn before_it_is_applied() {
    let approved = Scene::of(Life::approved(&["cr-1"]));
    let mut all = with(&approved, troubles());
    all.extend(with(&approved, changes()));
    all.push((
        "its durations were edited",
        approved.but(|scene| {
            scene.facts.durations.insert("cr-1".to_owned(), Ok((86_400, 3_600)));
        }),
    ));
    check!("fails_closed_before_it_is_applied", all);
}

#[test]
fn before_it_is_deployed() {
    let granted = Scene::of(Life::granted(&["cr-1"]));
    let mut all = with(&granted, troubles());
    all.extend(with(&granted, changes()));
    all.push(("it is not applied", granted.clone().but(|scene| scene.status("cr-1", "ready"))));
    all.push(("the approval is the requester's own", granted.clone().but(|scene| scene.approvers("cr-1", &["alice"]))));
    all.push(("there is no change request", granted.but(|scene| scene.request.status.change_requests.clear())));
    check!("fails_closed_before_it_is_deployed", all);
}

/// The same troubles while it still waits for approval: what the gate and the change request are is seen at every look.
#[test]
fn while_it_waits() {
    let pending = Scene::of(Life::submitted(&["cr-1"])).but(|scene| {
        scene.status("cr-1", "pending");
        scene.approvers("cr-1", &[]);
    });
    assert_eq!(pending.said(), "rest approvals: credentials/prod: 0 of 1 approvals that count");
    for (name, scene) in with(&pending, changes()).into_iter().skip(2) {
        assert!(
            scene.said().contains("record end_decided (gives the turn back) error change-request-"),
            "{name}: {}",
            scene.said()
        );
    }
}

#[test]
fn no_trouble_lets_anything_through() {
    for life in [Life::of(testing::ask()), Life::approved(&["cr-1"]), Life::granted(&["cr-1"])] {
        let base = Scene::of(life);
        for (name, scene) in with(&base, troubles()) {
            let said = scene.said();
            let ends = said.starts_with("record end_decided ") || said.starts_with("record errored ");
            assert!(ends && said.contains(") error "), "{name}: {said}");
        }
    }
}

#[test]
fn the_operator_may_vouch_for_the_stacks_own_identity() {
    for (name, change) in troubles().into_iter().skip(6).take(2) {
        for life in [Life::approved(&["cr-1"]), Life::granted(&["cr-1"])] {
            let scene = Scene::of(life).but(|scene| {
                change(scene);
                scene.facts.gates.gates[0].runs_as = RunsAs::Stack;
            });
            assert!(matches!(scene.next(), Next::Act(Act::Apply(_) | Act::Deploy)), "{name}");
        }
    }
}
