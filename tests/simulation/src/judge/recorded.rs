//! A step of a request was recorded: does it rest on what the cloud saw?

use signoff_core::chain::{self, Step};
use signoff_core::conditions::Lift;
use signoff_core::event::Event;
use signoff_core::names::{RequestId, StackName};
use signoff_core::request::{Outcome, Request, State};

use super::end::end_bound;
use super::sending::is_excused;
use super::{Case, Look, is_left_open, unasked, who};
use crate::world::{Current, World, later};

/// Judges a step.
pub(crate) fn recorded(world: &mut World, place: usize, before: Option<&Request>, step: &Step, writer: Current) {
    let (id, sealed) = (step.request.ask.id, &step.sealed);
    let state = before.map(|request| request.status.state);
    let Ok(event) = Event::parse(&sealed.kind, sealed.data.evidence.clone()) else {
        return world.check("5 replay", false, || format!("{id}: {} makes no sense", sealed.kind));
    };
    world.coverage.add("transition", format!("{} --{}", state.map_or("none", State::as_str), event.word()));
    let again = chain::replay_one(before, sealed, step.request.status.sequence);
    world.check("5 replay", again.as_ref() == Ok(&step.request), || {
        format!("{id}: replaying {} gives {again:?} instead of {:?}", event.word(), step.request)
    });
    let back = before.is_some_and(|request| sealed.time < request.status.updated_at);
    world.check("5 times", !back, || format!("{id}: {} is of a time before the one before", event.word()));
    who::caused(world, before, step, &event, writer);
    if before.is_none() {
        let case = Case {
            place,
            ask: step.request.ask.clone(),
            stack: step.request.ask.stack.to_string(),
            environment: step.request.ask.gate.environment.to_string(),
            settings: None,
            numbers: Default::default(),
            descriptions: Default::default(),
            calls: 0,
            looks: 0,
            written: world.now,
            ended: None,
            excused: false,
        };
        world.judge.cases.insert(id, case);
        return unasked::made(world, place, &step.request.ask, writer);
    }
    if let Some(case) = world.judge.cases.get_mut(&id) {
        case.written = world.now;
    }
    if let Some(worker) = writer.worker {
        let row = world.tables[place].requests.get(&id);
        let wake = row.and_then(|row| row.wake);
        world.check("no role wakes itself", wake != Some(worker), || {
            format!("{worker:?} wakes itself by recording {} of {id}", event.word())
        });
    }
    let look = world.judge.looks.remove(&writer.task);
    unasked::superseded(world, place, before, step, look.as_ref());
    evidence(world, step, &event, look.as_ref());
    if let Some(look) = look {
        world.judge.looks.insert(writer.task, look);
    }
    if let Event::EndDecided { to: State::Expired, outcome, .. } = &event {
        expires(world, step, outcome);
    }
    if step.request.status.state.is_terminal() {
        ends(world, place, step, writer);
    }
}

fn evidence(world: &mut World, step: &Step, event: &Event, look: Option<&Look>) {
    let id = step.request.ask.id;
    let status = &step.request.status;
    match event {
        Event::Opened { .. } => {
            if let (Some(look), Some(case)) = (look, world.judge.cases.get_mut(&id)) {
                case.settings.clone_from(&look.settings_seen);
            }
        }
        Event::Approved { .. } => {
            for one in &status.change_requests {
                let read = look.and_then(|look| look.read.get(&one.id)).cloned();
                let good = read.as_ref().is_some_and(|read| read.enough);
                world.check("6 approved", good, || format!("{id} is approved, and {} was seen as {read:?}", one.id));
            }
        }
        Event::Applied { change_request, .. } => seen_applied(world, look, id, &change_request.id),
        Event::Granted { .. } => {
            let ids: Vec<String> = status.change_requests.iter().map(|one| one.id.clone()).collect();
            for one in &ids {
                seen_applied(world, look, id, one);
            }
        }
        Event::Deploying { deployment, .. } => {
            let mark = world.judge.made.get(&deployment.id).map(|made| made.mark.clone());
            world.check("2 its own", mark == Some(id.to_string()), || {
                format!("{id} takes deployment {} for its own, which carries {mark:?}", deployment.version)
            });
            if let Some(place) = world.judge.cases.get(&id).map(|case| case.place) {
                unasked::deploying(world, place, &step.request.ask, look);
            }
        }
        Event::Succeeded { .. } | Event::Failed { .. } => {
            let Some(own) = &status.deployment else { return };
            let now = world.cloud.deployment(&own.id).map(|one| one.status.word());
            let want = if status.state == State::Succeeded { &["succeeded"][..] } else { &["failed", "skipped"] };
            // One that was deleted with its stack between the look and now has no status any more.
            let backed = now.is_none_or(|now| want.contains(&now));
            world.check("6 outcome", backed, || format!("{id} is {}, but its deployment is {now:?}", status.state));
            reported(world, step, look);
        }
        _ => {}
    }
}

/// An apply counts once it was seen, with approvals that are enough.
fn seen_applied(world: &mut World, look: Option<&Look>, id: RequestId, change_request: &str) {
    let read = look.and_then(|look| look.read.get(change_request)).cloned();
    let good = read.as_ref().is_some_and(|read| read.enough && read.status == "applied");
    world.check("1 look after the apply", good, || {
        format!("{change_request} of {id} is recorded as applied, and was seen as {read:?}")
    });
}

/// Second deployments that were there when the last look began are named.
fn reported(world: &mut World, step: &Step, look: Option<&Look>) {
    let Some(look) = look else { return };
    let status = &step.request.status;
    let own = status.deployment.as_ref().map_or(0, |own| own.version);
    let mark = step.request.ask.id.to_string();
    let second = world.judge.made.values().find(|made| {
        made.mark == mark && made.version != own && made.at < look.began && !status.duplicates.contains(&made.version)
    });
    let second = second.map(|made| made.version);
    world.check("2 reported", second.is_none(), || format!("{mark} ends without a word of deployment {second:?}"));
}

/// Nobody's time is cut short.
fn expires(world: &mut World, step: &Step, outcome: &Outcome) {
    let early = later(world.now, world.plan.skew) < step.request.ask.expires_at();
    let by_time = matches!(outcome.code.as_str(), "not-approved-in-time");
    world.check("3 in its time", !(early && by_time), || format!("{} expires early", step.request.ask.id));
}

fn ends(world: &mut World, place: usize, step: &Step, writer: Current) {
    let id = step.request.ask.id;
    let status = &step.request.status;
    if let Some(case) = world.judge.cases.get_mut(&id) {
        case.ended = Some(world.now);
    }
    world.coverage.add("end", format!("{} {}", status.state, status.outcome.as_ref().map_or("", |end| &end.code)));
    let bound = world.judge.cases.get(&id).map(|case| end_bound(world, case));
    world.check("3 ends", bound.is_none_or(|bound| world.now <= bound), || {
        format!("{id} ended after its time, which was over at {bound:?}")
    });
    let excused = world.judge.looks.get(&writer.task).is_some_and(|look| is_excused(world, look));
    if let (true, Some(case)) = (excused, world.judge.cases.get_mut(&id)) {
        case.excused = true;
        world.coverage.add("exception", "an end written after its lease");
    }
    let said = status.outcome.as_ref().map_or("", |outcome| outcome.message.as_str()).to_owned();
    if status.state == State::Rejected {
        let mut ours = status.change_requests.iter();
        let closed =
            ours.any(|one| world.cloud.change_request(&one.id).is_some_and(|one| one.status.word() == "closed"));
        world.check("6 rejected", closed, || format!("{id} is rejected, and none of its change requests is closed"));
    }
    if status.deployment.is_some() {
        return;
    }
    let groups: Vec<_> =
        world.judge.groups.iter().filter(|group| group.request == id && !group.excused).cloned().collect();
    for one in groups.iter().flat_map(|group| &group.ids) {
        let open = is_left_open(world, one, place, id);
        let named = said.contains(one) || said.contains("drafts of open requests");
        if open && named {
            world.coverage.add("exception", "a change request that could not be closed, and is named");
        }
        world.check("4 closed", excused || !open || named, || {
            format!("{id} is {}, and {one} is open: {said}", status.state)
        });
    }
    // What was applied while it ended is named too, as long as it lets somebody in.
    let mark = id.to_string();
    // One that went with its stack can't be known any more.
    let made = world.judge.made.iter().filter(|(id, _)| world.cloud.deployment(id).is_some());
    let made = made.map(|(_, made)| made).any(|made| made.mark == mark && !made.excused);
    let named = ["not known whether a deployment was created", "carries this request's mark"];
    let unknown = named.iter().any(|named| said.contains(named));
    let foreign = status.outcome.as_ref().is_some_and(|outcome| outcome.code == "foreign-mark");
    let excused = excused || world.judge.restored.is_some();
    world.check("2 known", excused || !made || unknown || foreign, || {
        format!("{id} is {} without a deployment, but there is one that carries its mark", status.state)
    });
}

/// A request took its stack's turn: nobody who asked earlier was approved by then.
pub(crate) fn turn_taken(world: &mut World, place: usize, stack: &StackName, id: RequestId) {
    let Some(look) = world.judge.looks.get(&world.current.task) else { return };
    let (began, excused) = (look.began, is_excused(world, look));
    let gate = look.gates.as_ref().and_then(|gates| gates.gate_of(stack));
    let table = &world.tables[place];
    let line = table.lines.get(stack).map(|item| &item.line);
    let Some(own) = table.requests.get(&id).map(|row| row.request.ask.position) else { return };
    let waiting: Vec<RequestId> =
        table.waiting(stack).iter().filter(|other| other.position < own).map(|o| o.id).collect();
    let first = waiting.into_iter().find(|other| {
        let written = world.judge.cases.get(other).map(|case| case.written);
        table.requests.get(other).is_some_and(|row| {
            let status = &row.request.status;
            // One that waited for a time of its own when the line was read holds nobody up.
            let held = status.held_until(later(began, -world.plan.skew)).is_some();
            // Nor does one that an update has overtaken.
            let overtaken = line.is_some_and(|line| line.has_overtaken(&row.request.ask))
                && gate.is_some_and(|gate| gate.minds_newer(&row.request.ask));
            let free = status.is_any_applied() || !held && !overtaken;
            status.state == State::Approved && free && status.ending.is_none() && written.is_some_and(|at| at < began)
        })
    });
    let lifted = table.requests.get(&id).is_some_and(|row| row.request.status.lifted.contains(&Lift::Line));
    world.check("late: in order", excused || lifted || first.is_none(), || {
        format!("{id} takes the turn of {stack} before {first:?}, which was asked for earlier and is approved")
    });
}
