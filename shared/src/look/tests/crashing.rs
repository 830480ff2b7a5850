//! One call goes wrong, each in its turn: the request comes to the same end, with one deployment.

use super::*;

/// Lives a whole life, and says how it ended.
fn live(world: &World) -> String {
    for _ in 0..60 {
        world.work();
        world.cloud.approve("bob");
        if let Some((deployment, _)) = world.cloud.inside().deployments.first_mut()
            && deployment.status == DeploymentStatus::NotStarted
        {
            deployment.status = DeploymentStatus::Running;
        }
        if world.state() == State::Deploying {
            world.cloud.run(0, DeploymentStatus::Succeeded);
        }
        world.pass(1);
        if world.state().is_terminal() {
            break;
        }
    }
    world.nothing_is_open();
    assert_eq!(world.cloud.inside().deployments.len(), usize::from(world.state() == State::Succeeded));
    world.nobody_is_in_line();
    world.state().to_string()
}

fn calls_of_a_life() -> (usize, usize) {
    let world = World::new();
    assert_eq!(live(&world), "succeeded");
    (world.cloud.inside().calls.len(), world.book.inside().calls)
}

#[test]
fn whichever_call_to_pulumi_cloud_fails_once() {
    let (calls, _) = calls_of_a_life();
    for at in 0..calls {
        type Make = fn() -> Fault;
        let faults: [(&str, Make); 4] = [
            ("no effect", unclear),
            ("no answer", || Fault::Lost),
            ("rate limit", || Fault::Answer(CloudError::Later { retry_after: None })),
            ("refused token", || Fault::Answer(CloudError::Unauthorized("401".to_owned()))),
        ];
        for (name, fault) in faults {
            let world = World::new();
            world.cloud.inside().fault_at = Some((at, fault()));
            assert_eq!(live(&world), "succeeded", "call {at}: {name}: {:?}", world.trail());
            assert!(world.cloud.inside().fault_at.is_none(), "call {at} was made");
        }
    }
}

#[test]
fn whichever_call_to_the_ledger_fails_once() {
    let (_, calls) = calls_of_a_life();
    for at in 0..calls {
        for has_effect in [false, true] {
            let world = World::new();
            world.book.inside().fault_at = Some((at, has_effect));
            assert_eq!(live(&world), "succeeded", "call {at}, effect {has_effect}: {:?}", world.trail());
            assert!(world.book.inside().fault_at.is_none(), "call {at} was made");
            let submitted = world.request().status.change_requests;
            let known = submitted.iter().all(|one| world.book.inside().is_pointed(&one.id));
            assert!(known, "call {at}, effect {has_effect}: nobody knows whose {submitted:?} are");
        }
    }
}

/// A cancellation at any moment either ends the request without a deployment, or comes too late and changes nothing.
#[test]
fn whenever_it_is_cancelled() {
    let (calls, _) = calls_of_a_life();
    let world = World::new();
    live(&world);
    let names: Vec<_> = world.cloud.inside().calls.clone();
    for at in 0..calls {
        let name = names[at];
        let nth = names[..at].iter().filter(|other| **other == name).count();
        let world = std::sync::Arc::new(World::new());
        arm(&world, name, nth);
        let end = live(&world);
        assert!(["cancelled", "succeeded"].contains(&end.as_str()), "{name} {nth}: {end}");
        let cancelled = world.trail().iter().any(|word| word == "end_decided");
        assert_eq!(cancelled, end == "cancelled", "{name} {nth}: {:?}", world.trail());
    }
}

/// Cancels beside the call of this name and number.
fn arm(world: &std::sync::Arc<World>, name: &'static str, nth: usize) {
    let other = std::sync::Arc::clone(world);
    let next = move || {
        if nth > 0 {
            arm(&other, name, nth - 1);
        } else if !other.state().is_terminal()
            && other.state() != State::Deploying
            && other.request().status.ending.is_none()
        {
            let _ = other.cancel();
        }
    };
    world.cloud.inside().meanwhile = Some((name, Box::new(next)));
}
