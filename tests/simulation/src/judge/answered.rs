//! A call was answered: what has the look read, and was it as it has to be?

use pulumi_sim::{Answer, Call, DeploymentStatus};
use serde_json::Value;
use signoff_core::gate::RunsAs;
use signoff_core::request::State;

use super::{Look, MARK, Read, enough, installation, unedited};
use crate::world::World;

/// Notes what an answer tells.
pub(crate) fn answered(world: &mut World, call: &Call, operation: &'static str, answer: &Answer) {
    let Answer::Reply(reply, _) = answer else { return };
    let task = world.current.task;
    if reply.status != 200 {
        return;
    }
    let reads = ["GET user", "GET settings", "GET rulesets", "GET deployments", "GET durations", "GET change request"];
    if !reads.contains(&operation) {
        return;
    }
    let Some(mut look) = world.judge.looks.remove(&task) else { return };
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let last = call.path.rsplit('/').next().unwrap_or_default();
    match operation {
        "GET user" if body["githubLogin"].is_string() => identity(world, &mut look, &body),
        "GET settings" if body.is_object() => settings(world, &mut look),
        "GET rulesets" if body["gates"].is_array() => rulesets(world, &mut look),
        "GET deployments" if body["deployments"].is_array() => activity(world, &mut look),
        "GET durations" if body["grantExpirationSeconds"].is_i64() => durations(world, &mut look, last),
        "GET change request" if body["id"] == *last => change_request(world, &mut look, last),
        _ => {}
    }
    world.judge.looks.insert(task, look);
}

fn identity(world: &World, look: &mut Look, body: &Value) {
    let login = body["githubLogin"].as_str().unwrap_or_default();
    let status = world.tables[look.place].requests.get(&look.request).map(|row| &row.request.status);
    let ours = status.iter().flat_map(|status| &status.change_requests);
    let creators = ours.filter_map(|one| world.cloud.change_request(&one.id)).map(|one| one.created_by.as_str());
    look.identity = Some(creators.into_iter().all(|creator| creator.eq_ignore_ascii_case(login)));
}

fn settings(world: &World, look: &mut Look) {
    let Some(case) = world.judge.cases.get(&look.request) else { return };
    let Some(found) = world.cloud.stack_of(&case.stack) else { return };
    let Some(content) = &found.settings else { return };
    let now = (found.settings_version, content.clone());
    let same = case.settings.as_ref().is_none_or(|then| match world.cloud.omit_settings_version {
        true => then.1 == now.1,
        false => *then == now,
    });
    let sets = |name: &str| {
        content.pointer("/operationContext/environmentVariables").is_some_and(|variables| variables.get(name).is_some())
    };
    let gate = look.gates.as_ref().and_then(|gates| gates.gate_of(&case.ask.stack));
    let vouched = gate.is_some_and(|gate| gate.runs_as == RunsAs::Stack);
    let own = !sets("PULUMI_ACCESS_TOKEN") && content.pointer("/operationContext/role").is_none_or(Value::is_null);
    look.settings = Some(same && !sets(MARK) && (own || vouched));
    look.settings_seen = Some(now);
}

fn rulesets(world: &World, look: &mut Look) {
    let Some(case) = world.judge.cases.get(&look.request) else { return };
    let environment = &case.ask.gate.environment;
    look.rulesets = Some(world.cloud.gates().any(|gate| {
        gate.ruleset.enabled
            && gate.organization == environment.organization.as_str()
            && gate.qualified_name == environment.qualified()
            && gate.ruleset.actions.iter().any(|action| action == "open")
    }));
}

fn activity(world: &World, look: &mut Look) {
    let Some(case) = world.judge.cases.get(&look.request) else { return };
    let stack = &case.stack;
    let busy = |status: DeploymentStatus| !status.is_over();
    let running = world.cloud.deployments().iter().any(|one| one.stack == *stack && busy(one.status));
    // That it is paused shows in the list's deployments alone: a stack that has none does not tell.
    let shows = world.cloud.deployments().iter().any(|one| one.stack == *stack);
    let paused = shows && world.cloud.stack_of(stack).is_some_and(|found| found.paused);
    look.free = Some(!running && !paused);
}

fn durations(world: &World, look: &mut Look, id: &str) {
    let Some(case) = world.judge.cases.get(&look.request) else { return };
    let Some(one) = world.cloud.change_request(id) else { return };
    let last = one.revisions.last();
    let same = last.is_some_and(|revision| {
        revision.access_seconds == case.ask.access_duration.seconds()
            && revision.grant_seconds == case.ask.grant_expiration.seconds()
    });
    look.durations.insert(id.to_owned(), same);
}

fn change_request(world: &mut World, look: &mut Look, id: &str) {
    let Some(one) = world.cloud.change_request(id).cloned() else { return };
    let verdicts = world.cloud.verdicts(&one);
    let state = world.tables[look.place].requests.get(&look.request).map(|row| row.request.status.state);
    let Some(case) = world.judge.cases.get_mut(&look.request) else { return };
    let status = one.strange_status.clone().unwrap_or_else(|| one.status.word().to_owned());
    if state == Some(State::Requested) && status != "draft" {
        // What it asked for when it was submitted, as far as the gate can know it.
        let numbers = verdicts.iter().map(|verdict| {
            let strange = verdict.gate.strange_rule_type.is_some();
            (verdict.gate.id.clone(), if strange { 1 } else { verdict.gate.ruleset.required })
        });
        case.numbers.insert(id.to_owned(), numbers.collect());
    }
    let case = case.clone();
    let enough = enough(&world.cloud, &case, &one) && unedited(&case, installation(look.place), &one);
    look.read.insert(id.to_owned(), Read { status, enough });
}
