//! What nobody called for: what a push asked for, and runs that were refused; and what becomes of what is older.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pulumi_sim::{Deployment, DeploymentStatus};
use signoff_core::asking::MAX_OPEN_PER_REQUESTER;
use signoff_core::chain::Step;
use signoff_core::gate::{Gate, Gates};
use signoff_core::github::Changed;
use signoff_core::names::{Commit, Operation, StackName};
use signoff_core::push::{NewerPush, PushRule, Pushed};
use signoff_core::request::{Ask, Request, State};

use super::{Look, MARK};
use crate::setup::PRINCIPAL;
use crate::world::{Current, World};

/// What a task that may ask by itself has read.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// The gates.
    pub gates: Arc<Gates>,
    /// When it read a stack's line, the last time.
    pub line: Option<Timestamp>,
}

/// The last update of each stack that was recorded as deployed while its gate kept to the order: its place in the line, and when.
pub type Deployed = BTreeMap<(usize, String), (u64, Timestamp)>;

/// Judges a request that was made just now, if nobody called for it.
pub(super) fn made(world: &mut World, place: usize, ask: &Ask, writer: Current) {
    let read = world.judge.asking.get(&writer.task).cloned().unwrap_or_default();
    if let Some(push) = &ask.push {
        pushed(world, place, ask, push, &read);
    }
    if let Some(run) = &ask.rescues {
        let found = world.cloud.deployment(&run.id).cloned();
        // One that went with its stack just now can't be compared any more.
        if let Some(found) = found {
            rescued(world, ask, &found, &read);
        }
        let again = world.judge.cases.values().any(|case| {
            case.place == place
                && case.ask.id != ask.id
                && case.ask.rescues.as_ref().is_some_and(|one| one.id == run.id)
        });
        let excused = world.judge.restored.is_some();
        world
            .check("11 once", excused || !again, || format!("run {} of {} is asked for again", run.version, ask.stack));
    }
}

fn pushed(world: &mut World, place: usize, ask: &Ask, push: &Pushed, read: &Asking) {
    let id = ask.id;
    let is_its =
        |rule: &PushRule| rule.stack == ask.stack && rule.repository == push.repository && rule.branch == push.branch;
    let rule = read.gates.pushes().map(|(_, rule)| rule).find(|rule| is_its(rule));
    let operation = rule.map(|rule| rule.operation);
    world.check("10 its gate", operation == Some(ask.operation), || {
        format!("{id} was asked for by a push, and the gates say {operation:?} of that")
    });
    let Some(commit) = ask.commit.clone() else {
        return world.check("10 its head", false, || format!("{id} was asked for by a push, and has no commit"));
    };
    let (branch, now) = (push.branch.as_str().to_owned(), world.now);
    let since = read.line.unwrap_or(now);
    let was_there = world.github.was_head(&branch, &commit, since, now);
    world.check("10 its head", was_there, || {
        format!("{id} asks for {commit}, which was not on {branch} since the line was read at {since}")
    });
    let cases = world.judge.cases.values().filter(|case| case.place == place && case.ask.stack == ask.stack);
    let asked = cases.filter(|case| case.ask.push.is_some() && case.ask.commit.as_ref() == Some(&commit)).count();
    let (times, excused) = (world.github.times(&branch, &commit), world.judge.restored.is_some());
    world.check("10 once", excused || asked <= times, || {
        format!("{commit} came to {branch} {times} times, and was asked for {asked} times on {}", ask.stack)
    });
    who_pushed(world, ask, push, &branch, &commit);
}

/// Who asks is whom GitHub names, under the name that the table or Pulumi Cloud has for them.
fn who_pushed(world: &mut World, ask: &Ask, push: &Pushed, branch: &str, commit: &Commit) {
    let moves = world.github.moves(branch).iter().filter(|one| one.to.as_ref() == Some(commit));
    let known = push.pusher.is_none() || moves.clone().any(|one| one.pusher == push.pusher.as_deref());
    let lower = |login: &Option<String>| login.as_deref().map(str::to_lowercase);
    let (pusher, author) = (lower(&push.pusher), lower(&push.author));
    // The table has bob under another login, so that whoever has his at GitHub is somebody else.
    let by_table = |login: &str| if login == "octo-bob" { "bob".to_owned() } else { login.to_owned() };
    let (requester, behind) = (&ask.requester, ask.on_behalf_of.as_ref().map(|login| login.folded()));
    let right = match &requester.machine {
        None => pusher.as_ref().is_some_and(|login| login != "bob" && requester.login.folded() == by_table(login)),
        Some(_) => {
            let is_person = |login: &&String| !login.ends_with("[bot]");
            let named = pusher.as_ref().filter(is_person).or(author.as_ref().filter(is_person)).or(pusher.as_ref());
            let named = named.map(|login| by_table(login));
            pusher.as_deref() != Some("octo-bob") && (behind.is_none() || behind == named)
        }
    };
    world.check("10 who pushed", known && right, || {
        format!("{} was pushed by {:?}, and is asked for by {requester:?} on behalf of {behind:?}", ask.id, push.pusher)
    });
}

fn rescued(world: &mut World, ask: &Ask, run: &Deployment, read: &Asking) {
    let id = ask.id;
    let said = run.log.iter().any(|line| line.line.contains("create an open request instead"));
    let is_refused = run.status == DeploymentStatus::Failed && said;
    world.check("11 refused", is_refused, || {
        format!("{id} asks for run {}, which is {:?} and was not refused", run.version, run.status)
    });
    world.check("11 nobody's own", !run.variables().contains_key(MARK), || {
        format!("{id} asks for run {}, which carries a mark", run.version)
    });
    // Where the token was somebody else's for a while, nobody can tell whose runs were the principal's.
    let own = run.created_by == PRINCIPAL && !world.judge.swapped;
    world.check("11 nobody's own", !own, || format!("{id} asks for run {}, which is the principal's", run.version));
    let same = run.operation == ask.operation.as_str()
        && run.commit() == ask.commit.as_ref().map(Commit::as_str)
        && run.stack == ask.stack.to_string()
        && ask.requester.login.folded() == run.created_by.to_lowercase();
    world.check("11 the same", same, || {
        format!("{id} asks for {} of {:?} by {}; it was {run:?}", ask.operation, ask.commit, ask.requester.login)
    });
    let gate = read.gates.gate_of(&ask.stack);
    world.check("11 its gate", gate.is_some_and(|gate| gate.rescue), || {
        format!("{id} asks for a run, and its gate does not say so")
    });
}

/// What has been decided of a request's end, in one word.
fn end(request: &Request) -> Option<&str> {
    let status = &request.status;
    let ending = status.ending.as_ref().map(|ending| &ending.outcome);
    ending.or(status.outcome.as_ref()).map(|outcome| outcome.code.as_str())
}

/// Whether something newer ends a request, or did.
pub(super) fn is_superseded(request: &Request) -> bool {
    end(request) == Some("superseded")
}

/// A step ends a request since something newer was pushed: is that so, and does its gate say it?
pub(super) fn superseded(world: &mut World, place: usize, before: Option<&Request>, step: &Step, look: Option<&Look>) {
    let ask = &step.request.ask;
    if !is_superseded(&step.request) || before.is_none_or(is_superseded) {
        return;
    }
    let gate = look.and_then(|look| look.gates.as_ref()).and_then(|gates| gates.gate_of(&ask.stack));
    let state = before.map(|request| request.status.state);
    let allowed = gate.is_some_and(|gate| {
        gate.newer_push == NewerPush::Supersede && (state != Some(State::Approved) || gate.supersede_approved)
    });
    let applied = before.is_some_and(|request| request.status.is_any_applied());
    let mut others = world.tables[place].requests.values().map(|row| &row.request.ask);
    let newer = others.any(|other| other.stack == ask.stack && other.push.is_some() && other.position > ask.position);
    let good = allowed && !applied && newer && ask.push.is_some();
    world.check("10 supersedes", good, || {
        format!("{} is superseded while {state:?}; a newer push: {newer}, the gate lets it: {allowed}", ask.id)
    });
}

/// A deployment was recorded: from then on nothing older is deployed, where the gate keeps to the order.
pub(super) fn deploying(world: &mut World, place: usize, ask: &Ask, look: Option<&Look>) {
    let gate = look.and_then(|look| look.gates.as_ref()).and_then(|gates| gates.gate_of(&ask.stack));
    if ask.operation == Operation::Update && gate.is_some_and(Gate::keeps_order) {
        let one = (ask.position, world.now);
        let last = world.judge.deployed.entry((place, ask.stack.to_string())).or_insert(one);
        if one.0 > last.0 {
            *last = one;
        }
    }
}

/// Something is applied or deployed: nothing newer superseded it, or had overtaken it by a time. What overtakes it while it is looked at may come too late to
/// keep it from being applied, and keeps it from being deployed all the same.
pub(super) fn is_the_newest(world: &mut World, look: &Look, what: &str, by: Timestamp, excused: bool) {
    let Some(row) = world.tables[look.place].requests.get(&look.request) else { return };
    let (ask, superseded) = (row.request.ask.clone(), is_superseded(&row.request));
    world.check("10 superseded", excused || !superseded, || format!("{what} of {}, which is superseded", ask.id));
    let gate = look.gates.as_ref().and_then(|gates| gates.gate_of(&ask.stack));
    if !gate.is_some_and(|gate| gate.minds_newer(&ask)) {
        return;
    }
    let last = world.judge.deployed.get(&(look.place, ask.stack.to_string())).copied();
    let last = last.filter(|(position, _)| *position > ask.position);
    if last.is_some_and(|(_, at)| at >= by) {
        world.coverage.add("exception", "an apply of what was overtaken while it was looked at");
    }
    let overtaken = last.is_some_and(|(_, at)| at < by);
    let excused = excused || world.judge.restored.is_some();
    world.check("10 overtaken", excused || !overtaken, || {
        format!("{what} of {}, and an update that was asked for later has been deployed", ask.id)
    });
}

/// Whether what is on every branch that a push was heard of was asked for, as far as somebody is to ask for it.
pub(crate) fn is_asked_for(world: &World) -> bool {
    if !world.plan.pushes.any || world.judge.unasked_is_fine {
        return true;
    }
    world.tables.iter().all(|table| {
        table.gates.pushes().all(|(_, rule)| {
            let Some(line) = table.lines.get(&rule.stack).map(|item| &item.line) else { return true };
            let (Some(head), Some(pushed)) = (world.github.head(rule.branch.as_str()), &line.pushed) else {
                return true;
            };
            let touches = || match world.github.changed(pushed, head) {
                Changed::Files(files) => rule.wants(&files),
                Changed::Unknown => true,
            };
            line.waiting.len() >= MAX_OPEN_PER_REQUESTER || head == pushed || !touches() || !exists(world, &rule.stack)
        })
    })
}

/// Who may do what on a stack that is gone can't be looked up, and it is asked for by nobody in particular; a line is there all the same.
fn exists(world: &World, stack: &StackName) -> bool {
    world.cloud.stack_of(&stack.to_string()).is_some()
}
