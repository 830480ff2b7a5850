//! What took effect at the cloud.

use pulumi_sim::{Call, Happened, Record};
use signoff_core::names::RequestId;

use super::sending::is_excused;
use super::{Group, Late, MARK, Made, Sent};
use crate::world::{World, later};

/// Goes through what took effect since the last time; `call` is the one that is being carried out, if one is.
pub(crate) fn observe(world: &mut World, call: Option<(&Call, &'static str)>) {
    if world.cloud.history().len() == world.judge.seen && world.late_by.is_none() {
        return;
    }
    let new: Vec<Record> = world.cloud.history().get(world.judge.seen..).unwrap_or_default().to_vec();
    world.judge.seen += new.len();
    if new.is_empty() && world.late_by.is_none() {
        return;
    }
    let look = world.judge.looks.get(&world.current.task);
    let sender = look.filter(|_| call.is_some()).map(|look| (look.request, is_excused(world, look)));
    let mut created = false;
    for record in new {
        let made_by_call = record.call.clone();
        match record.what {
            Happened::OpenRequestCreated { change_requests: ids, .. } => {
                let Some(path) = made_by_call else { continue };
                let here = call.is_some_and(|(call, _)| path == format!("{} {}", call.method, call.path));
                created |= here;
                let owner = sender.filter(|_| here).or_else(|| take_late(world, &path));
                if let Some((request, excused)) = owner {
                    world.say(|| format!("cloud: drafts {ids:?} for {request}"));
                    world.judge.groups.push(Group { request, ids, at: record.at, excused });
                }
            }
            Happened::DeploymentCreated { id, version, variables, stack, commit, .. } => {
                let (Some(path), Some(mark)) = (made_by_call, variables.get(MARK)) else { continue };
                let here = call.is_some_and(|(call, _)| path == format!("{} {}", call.method, call.path));
                created |= here;
                let owner = sender.filter(|_| here).or_else(|| take_late(world, &path));
                let excused = owner.is_some_and(|(_, excused)| excused);
                if let Some(case) = owner.and_then(|(request, _)| world.judge.cases.get(&request)) {
                    let asked = case.ask.commit.as_ref().map(ToString::to_string);
                    world.check("10 commit", commit == asked, || {
                        format!("deployment {version} of {stack} is of {commit:?}, and {asked:?} was asked for")
                    });
                }
                world.say(|| format!("cloud: deployment {version} of {stack} with the mark {mark}"));
                world.judge.made.insert(id, Made { mark: mark.clone(), version, at: record.at, excused });
                let all = world.judge.made.values().filter(|made| made.mark == *mark && !made.excused).count();
                if excused {
                    world.coverage.add("exception", "a deployment sent after its lease");
                }
                let mark = mark.clone();
                world.check("2 once", all <= 1, || format!("{mark} was deployed {all} times"));
            }
            Happened::ChangeRequestApproved { id, .. } => {
                let who = record.by.unwrap_or_default().to_lowercase();
                world.judge.approved.insert((id, who));
            }
            Happened::ChangeRequestUnapproved { id } => {
                let who = record.by.unwrap_or_default().to_lowercase();
                world.judge.withdrawn.insert((id, who));
            }
            Happened::ChangeRequestApplied { id, .. } => {
                world.judge.applied.insert(id, record.by.unwrap_or_default().to_lowercase());
            }
            Happened::ChangeRequestClosed { id, .. } => {
                if made_by_call.is_some() {
                    world.judge.closed_by_call.insert(id.clone());
                }
                world.judge.closed.insert(id, record.by.unwrap_or_default().to_lowercase());
            }
            // What goes with its environment counts as closed by whoever created it, as the history that the gate reads has it.
            Happened::ChangeRequestMoved { id, to, .. } if to == "closed" && record.by.is_none() => {
                let creator = world.cloud.change_request(&id).map(|one| one.created_by.to_lowercase());
                world.judge.closed.insert(id, creator.unwrap_or_default());
            }
            Happened::WebhookMade { lost: true, .. } => world.coverage.add("webhook fault", "lost"),
            Happened::WebhookMade { id, .. } => {
                let sent = Sent { number: world.judge.sent.len(), at: record.at, times: 0 };
                world.judge.sent.insert(id, sent);
            }
            _ => {}
        }
    }
    if let (Some((call, _)), Some((request, excused)), false) = (call, sender, created)
        && let Some(after) = world.late_by
    {
        let (path, due) = (format!("{} {}", call.method, call.path), later(world.now, after));
        world.judge.late.push(Late { path, request, excused, due });
    }
}

/// Whose call of this path takes effect only now.
fn take_late(world: &mut World, path: &str) -> Option<(RequestId, bool)> {
    let waiting = world.judge.late.iter().enumerate().filter(|(_, late)| late.path == path);
    // Those before it had no effect: the token, or what they were about, had gone by then.
    let (at, _) = waiting.min_by_key(|(_, late)| world.now.duration_since(late.due).abs())?;
    let late = world.judge.late.remove(at);
    Some((late.request, late.excused))
}
