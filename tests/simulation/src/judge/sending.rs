//! A call is about to reach the cloud: may it?

use jiff::Timestamp;
use pulumi_sim::Call;
use serde_json::Value;
use signoff_core::conditions::TOGETHER;
use signoff_core::names::Commit;
use signoff_core::request::State;

use super::{Look, MARK, enough, installation, unasked, unedited};
use crate::world::{World, later};

/// Judges a call of a look.
pub(crate) fn sending(world: &mut World, call: &Call, operation: &'static str) {
    let task = world.current.task;
    let Some(look) = world.judge.looks.remove(&task) else { return };
    if let Some(case) = world.judge.cases.get_mut(&look.request) {
        case.calls += 1;
    }
    let id = || call.path.rsplit('/').nth(1).unwrap_or_default().to_owned();
    match operation {
        "POST open request" => opens(world, &look),
        "POST submit" => submits(world, &look, &id(), call),
        "POST apply" => applies(world, &look, &id()),
        "POST close" => closes(world, &look, &id()),
        "POST deployment" => deploys(world, &look, call),
        "POST cancel deployment" => cancels(world, &look, &id()),
        _ => {}
    }
    world.judge.looks.insert(task, look);
}

/// Whether whoever sends now had stood still for longer than its lease: then somebody else may have the request.
pub(crate) fn is_excused(world: &World, look: &Look) -> bool {
    later(world.now, world.plan.skew) >= look.until
}

fn has_seen_what_has_to_hold(world: &mut World, look: &Look, what: &str) {
    let id = look.request;
    let why = |thing: &str, seen: Option<bool>| {
        let how = if seen.is_some() { "it was not as it has to be" } else { "it was not looked at in this look" };
        format!("{what} of {id}: {thing}: {how}")
    };
    world.check("8 identity", look.identity == Some(true), || why("whose the token is", look.identity));
    world.check("8 settings", look.settings == Some(true), || why("the deployment settings", look.settings));
    world.check("8 ruleset", look.rulesets == Some(true), || why("the Open ruleset", look.rulesets));
    let Some(case) = world.judge.cases.get(&id) else { return };
    let ask = case.ask.clone();
    let same = look.gates.as_ref().and_then(|gates| gates.gate_of(&ask.stack)).is_some_and(|gate| {
        gate.environment == ask.gate.environment
            && gate.principal == ask.gate.principal
            && gate.operations.contains(&ask.operation)
    });
    world.check("8 gate", same, || {
        format!("{what} of {id}: the gate that it read is not the one that it was asked under")
    });
}

fn opens(world: &mut World, look: &Look) {
    has_seen_what_has_to_hold(world, look, "open request");
    let state = world.tables[look.place].requests.get(&look.request).map(|row| row.request.status.state);
    let excused = is_excused(world, look);
    world.check("1 opened once", excused || state == Some(State::Requested), || {
        format!("an open request is created for {}, which is {state:?}", look.request)
    });
}

fn submits(world: &mut World, look: &Look, id: &str, call: &Call) {
    let ours = world.judge.group_of(id).is_some_and(|group| group.request == look.request);
    world.check("1 its own", ours, || format!("{} submits {id}, which is not its own", look.request));
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = body["description"].as_str().unwrap_or_default();
    let mark = format!("signoff {} {}", installation(look.place), look.request);
    let marks = text.lines().filter(|line| line.starts_with("signoff ")).count();
    world.check("1 mark", text.lines().next() == Some(&mark) && marks == 1, || {
        format!("{id} is submitted with the description {text:?}")
    });
    let commit =
        text.lines().find_map(|line| line.strip_prefix("commit: ")).filter(|text| text.parse::<Commit>().is_ok());
    let asked = world.judge.cases.get(&look.request).and_then(|case| case.ask.commit.as_ref()).map(ToString::to_string);
    world.check("10 commit", commit.map(str::to_owned) == asked, || {
        format!("{id} is submitted with the commit {commit:?}, and {asked:?} was asked for")
    });
    world.judge.commits.insert(id.to_owned(), commit.map(str::to_owned));
    if let Some(case) = world.judge.cases.get_mut(&look.request) {
        case.descriptions.insert(id.to_owned(), text.to_owned());
    }
}

/// The change requests of a request as the ledger has them, which have to be what one open request created.
fn whole_group(world: &mut World, look: &Look, what: &str) -> Vec<String> {
    let row = world.tables[look.place].requests.get(&look.request);
    let ids: Vec<String> =
        row.iter().flat_map(|row| &row.request.status.change_requests).map(|one| one.id.clone()).collect();
    let group = ids.first().and_then(|first| world.judge.group_of(first));
    let whole = group.is_some_and(|group| {
        group.request == look.request && group.ids.len() == ids.len() && group.ids.iter().all(|id| ids.contains(id))
    });
    world.check("1 whole", whole, || {
        format!("{what} of {}: {ids:?} is not what one open request created", look.request)
    });
    ids
}

fn applies(world: &mut World, look: &Look, id: &str) {
    let request = look.request;
    has_seen_what_has_to_hold(world, look, "apply");
    let excused = is_excused(world, look);
    let hold = look.gates.as_ref().is_some_and(|gates| gates.hold);
    world.check("hold", !hold, || format!("{id} of {request} is applied on hold"));
    let ids = whole_group(world, look, "apply");
    world.check("1 its own", ids.iter().any(|own| own == id), || format!("{request} applies {id}, not its own"));
    for one in &ids {
        let read = look.read.get(one);
        let good = read.is_some_and(|read| read.enough && matches!(read.status.as_str(), "ready" | "applied"));
        world.check("1 late apply", good, || format!("{id} of {request} is applied while {one} was seen as {read:?}"));
        let durations = look.durations.get(one);
        world.check("1 durations", durations == Some(&true), || {
            format!("{id} of {request} is applied: the durations of {one} were {durations:?}")
        });
    }
    let applied = |one: &String| world.cloud.change_request(one).is_some_and(|one| one.status.word() == "applied");
    let first = !ids.iter().any(applied);
    in_its_time(world, look, "apply");
    unasked::is_the_newest(world, look, "apply", look.began, excused);
    world.check("late: stack", !first || look.free == Some(true), || {
        format!("{id} of {request} is applied while the stack was seen as free: {:?}", look.free)
    });
    world.check("confirmed", look.confirmed, || format!("{id} of {request} is applied without a confirmed lease"));
    let Some(case) = world.judge.cases.get(&request) else { return };
    let stack = case.ask.stack.clone();
    let other = world.tables[look.place].requests.iter().find(|(other, row)| {
        let status = &row.request.status;
        **other != request
            && row.request.ask.stack == stack
            && matches!(status.state, State::Granted | State::Deploying)
    });
    let other = other.map(|(other, row)| format!("{other} is {}", row.request.status.state));
    // Whoever stands still between its last look at the request and the send does not hear that it was taken back, which makes way for others.
    let ends = world.tables[look.place].requests.get(&request).is_some_and(|row| row.request.status.ending.is_some());
    let taken_back = look.confirmed && ends;
    if taken_back && other.is_some() {
        world.coverage.add("exception", "an apply of what was taken back right before it was sent");
    }
    let excused = excused || world.judge.restored.is_some() || !first || taken_back;
    world.check("late: one of a stack", excused || other.is_none(), || {
        format!("{id} of {request} is applied while {}", other.unwrap_or_default())
    });
}

/// Something is applied or deployed at its gate's and its own time: a window that closed, or a freeze that began, since the look read the clock is no
/// fault, nor is a deployment that follows its apply at once, nor what whoever stood still for longer than its lease had begun to send before.
fn in_its_time(world: &mut World, look: &Look, what: &str) {
    let Some(status) = world.tables[look.place].requests.get(&look.request).map(|row| row.request.status.clone())
    else {
        return;
    };
    let Some(gates) = look.gates.clone() else { return };
    let Some(case) = world.judge.cases.get(&look.request) else { return };
    let Some(gate) = gates.gate_of(&case.ask.stack) else { return };
    let (skew, slack) = (world.plan.skew, world.plan.lease());
    let shut = |at: Timestamp| {
        let closed = gates.calendar(gate).closed(later(at, -slack - skew), &status.lifted);
        closed.is_some_and(|closed| closed.opens > later(at, skew))
    };
    let applied = status.first_applied_at();
    let together = i64::try_from(TOGETHER.as_millis()).unwrap_or(0) + slack;
    let bad = match applied {
        Some(applied) if world.now <= later(applied, together) => shut(applied) && shut(world.now),
        _ => shut(world.now),
    };
    let excused = is_excused(world, look);
    world.check("9 window", excused || !bad, || {
        format!("{what} of {} outside of its window, or in a freeze", look.request)
    });
    let held = status.held_until(later(world.now, skew));
    world.check("9 its time", excused || held.is_none(), || format!("{what} of {} while {held:?}", look.request));
    if world.plan.conditions.any() || !status.lifted.is_empty() {
        world.coverage.add("conditions", format!("{what}, in its time"));
    }
}

fn closes(world: &mut World, look: &Look, id: &str) {
    let owner = world.judge.group_of(id).map(|group| group.request);
    // What a process left that had stood still for longer than its lease is closed by whoever finds it.
    let stray = world.judge.group_of(id).is_some_and(|group| group.excused);
    let place = owner.and_then(|owner| world.judge.cases.get(&owner)).map(|case| case.place);
    // Installations that share a principal can't tell each other's fresh drafts apart: a draft carries no mark before it is submitted.
    let neighbours = place.is_some_and(|place| place != look.place);
    if neighbours {
        world.coverage.add("exception", "a draft of another installation with the same principal is closed");
    }
    // Whether a status that nobody knows is that of a draft is not to be seen: to close what is closed changes nothing.
    let over = world.cloud.change_request(id).is_some_and(|one| one.strange_status.is_some() && !one.status.is_open());
    if over && owner != Some(look.request) {
        world.coverage.add("exception", "what is over, with a status that nobody knows, is closed");
    }
    world.check("closes its own", neighbours || stray || over || owner == Some(look.request), || {
        format!("{} closes {id}, which belongs to {owner:?}", look.request)
    });
}

fn deploys(world: &mut World, look: &Look, call: &Call) {
    let request = look.request;
    has_seen_what_has_to_hold(world, look, "deployment");
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let mark = body["operationContext"]["environmentVariables"][MARK].as_str().unwrap_or_default().to_owned();
    world.check("2 mark", mark == request.to_string(), || format!("the deployment of {request} has the mark {mark:?}"));
    let hold = look.gates.as_ref().is_some_and(|gates| gates.hold);
    world.check("hold", !hold, || format!("{request} is deployed on hold"));
    world.check("2 intent", look.intended, || format!("{request} is deployed without an intent"));
    world.check("2 search", look.free.is_some(), || format!("{request} is deployed without a search for its mark"));
    in_its_time(world, look, "deployment");
    let excused = is_excused(world, look);
    let status = world.tables[look.place].requests.get(&request).map(|row| row.request.status.clone());
    let (state, ending) = status.as_ref().map_or((None, false), |s| (Some(s.state), s.ending.is_some()));
    // Whoever had stood still for longer than its lease may have deployed just now, after the last look at the request.
    let mark = request.to_string();
    let overtaken = world.judge.made.values().any(|made| made.mark == mark && made.excused)
        && world.judge.cases.get(&request).is_some_and(|case| look.sure.is_some_and(|sure| case.written > sure));
    if overtaken {
        world.coverage.add("exception", "a deployment right after another that was sent after its lease");
    }
    world.check("2 read again", look.sure.is_some(), || {
        format!("{request} is deployed, and was not read again after the intent")
    });
    let excused = excused || overtaken;
    world.check("ending", excused || (state == Some(State::Granted) && !ending), || {
        format!("{request} is deployed while it is {state:?}, and its end is decided: {ending}")
    });
    let now = world.now;
    unasked::is_the_newest(world, look, "deployment", now, excused);
    let ids = whole_group(world, look, "deployment");
    let commit = body["sourceContext"]["git"]["commit"].as_str().map(str::to_owned);
    for id in &ids {
        let approved = world.judge.commits.get(id).cloned().flatten();
        let branch = &body["sourceContext"]["git"]["branch"];
        world.check("10 commit", commit == approved && branch.is_null(), || {
            format!("{request} deploys {commit:?}, and {id} was approved for {approved:?}")
        });
    }
    let Some(case) = world.judge.cases.get(&request).cloned() else { return };
    for id in &ids {
        let Some(one) = world.cloud.change_request(id).cloned() else { continue };
        let read = look.read.get(id);
        let good = read.is_some_and(|read| read.enough && read.status == "applied");
        world.check("1 applied", good && one.status.word() == "applied", || {
            format!("{request} is deployed while {id} was seen as {read:?} and is {}", one.status.word())
        });
        let same = unedited(&case, installation(look.place), &one);
        world.check("1 as submitted", same, || format!("{request} is deployed, and {id} is not what was submitted"));
        let grant = world.cloud.grants().iter().find(|grant| grant.change_request == *id).cloned();
        let in_time = grant.is_some_and(|grant| world.now < later(grant.expires_at, world.plan.lease()));
        world.check("in time", excused || in_time, || format!("{request} is deployed after the grant of {id} ran out"));
        // The numbers may have been raised since it was read; those who approved can't have gone, since it is applied.
        let counted = enough(&world.cloud, &case, &one);
        if counted {
            world.coverage.add("deployed", "still enough when it was sent");
        } else {
            world.coverage.add("deployed", "rules changed between the last look and the call");
        }
    }
}

fn cancels(world: &mut World, look: &Look, id: &str) {
    let mark = world.judge.made.get(id).map(|made| made.mark.clone());
    world.check("cancels its own", mark == Some(look.request.to_string()), || {
        format!("{} cancels {id}, which carries {mark:?}", look.request)
    });
}
