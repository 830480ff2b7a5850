//! When all is over: what is left?

use jiff::{SignedDuration, Timestamp};
use signoff_core::chain;

use super::{Case, is_left_open};
use crate::setup::PENDING_EXTENSION_MINUTES;
use crate::world::World;

// The judge's own numbers: a wrong one in the gate must not move what it is judged by.
/// How long a deployment is followed at most: seven days in a queue, and one that it runs.
const DEPLOYMENT_DAYS: i64 = 8;
/// How long the gate may take over what Pulumi Cloud does not let it do.
const TRYING_HOURS: i64 = 24;
/// The last looks: whoever is older than a day is looked at every fifteen sweeps.
const LAST_LOOKS_MINUTES: i64 = 60;

/// By when a request has ended, given that Pulumi Cloud answers: its time to be approved, its grant if anything of it was applied, a deployment's longest
/// time if it has one, a day for what can't be done, and the last looks.
pub(crate) fn end_bound(world: &World, case: &Case) -> Timestamp {
    let (ask, id) = (&case.ask, case.ask.id);
    let row = world.tables.get(case.place).and_then(|table| table.requests.get(&id));
    let is_extended = row.is_some_and(|row| row.request.status.extended_until.is_some());
    let extension = SignedDuration::from_mins(if is_extended { PENDING_EXTENSION_MINUTES } else { 0 });
    let pending = ask.created_at.saturating_add(ask.pending_timeout.duration() + extension).unwrap_or(Timestamp::MAX);
    let pending = ask.not_after.map_or(pending, |last| last.min(pending));
    let judge = &world.judge;
    let mut own = judge.groups.iter().filter(|group| group.request == id).flat_map(|group| &group.ids);
    let grant = if own.any(|one| judge.applied.contains_key(one)) {
        ask.grant_expiration.duration()
    } else {
        SignedDuration::ZERO
    };
    let mark = id.to_string();
    let is_deployed = judge.made.values().any(|made| made.mark == mark);
    let deployment = SignedDuration::from_hours(if is_deployed { 24 * DEPLOYMENT_DAYS } else { 0 });
    let rest = SignedDuration::from_hours(TRYING_HOURS) + SignedDuration::from_mins(LAST_LOOKS_MINUTES);
    let from = judge.answers_since.unwrap_or(world.now);
    pending.max(from).saturating_add(grant + deployment + rest).unwrap_or(Timestamp::MAX)
}

/// Judges, once all is calm, whether a request goes on for longer than any may.
pub(crate) fn in_time(world: &mut World) {
    let is_open = |case: &&Case| {
        let row = world.tables.get(case.place).and_then(|table| table.requests.get(&case.ask.id));
        row.is_some_and(|row| !row.request.status.state.is_terminal())
    };
    let late = world.judge.cases.values().filter(is_open).find(|case| end_bound(world, case) < world.now);
    let late = late.map(|case| (case.ask.id, end_bound(world, case)));
    world.check("3 ends", late.is_none(), || format!("a request has not ended by its time: {late:?}"));
}

/// How often a request may be looked at: by itself every sweep in its first hour, every fifth in its first day, then every fifteenth, each at most
/// twice over; for each webhook, ten looks in 20 seconds at most; and for each mishap.
pub(crate) fn look_bound(world: &World, case: &Case, until: Timestamp) -> u64 {
    let life = until.duration_since(case.ask.created_at).as_secs().max(0);
    let sweep = world.plan.timing.sweep.as_secs().max(1);
    let (hour, day) = (3_600, 86_400);
    let looks =
        life.min(hour) / sweep + (life.min(day) - hour).max(0) / (5 * sweep) + (life - day).max(0) / (15 * sweep);
    let rung = world.judge.delivered.min(u64::try_from(life / 20 + 1).unwrap_or(0) * 10);
    // Who pushes rings everything older that waits, and what ends rings the next: each newer request is a look more at this one.
    let newer = world.judge.cases.values().filter(|other| {
        let of_nobody = other.ask.push.is_some() || other.ask.rescues.is_some();
        of_nobody && other.place == case.place && other.ask.stack == case.ask.stack
    });
    let newer = newer.count() as u64;
    30 + 4 * newer + 2 * u64::try_from(looks).unwrap_or(0) + 2 * rung + 4 * world.judge.mishaps
}

/// Judges what is left.
pub(crate) fn at_the_end(world: &mut World) {
    for place in 0..world.tables.len() {
        let rows: Vec<_> = world.tables[place].requests.values().cloned().collect();
        for row in rows {
            let status = &row.request.status;
            let id = row.request.ask.id;
            let replayed = chain::verify(&row.events, status.sequence, &row.request.head);
            world.check("5 trail", replayed.as_ref() == Ok(&row.request), || {
                format!("{id}: its trail does not give what is stored: {:?}", replayed.err())
            });
            world.check("3 ends", status.state.is_terminal(), || {
                format!("{id} is still {} at the end: {:?}", status.state, row.work)
            });
            world.check("over is not due", !status.state.is_terminal() || row.work.due.is_none(), || {
                format!("{id} is over, and still due")
            });
            let secret = format!("{:?}{:?}{:?}", row.request, row.events, row.work);
            world.check("7 no secret", !secret.contains("SECRET"), || format!("{id} holds a secret: {secret}"));
        }
        let hooks = format!("{:?}{:?}", world.tables[place].hooks, world.tables[place].idempotency);
        world.check("7 no secret", !hooks.contains("SECRET"), || "a delivery holds a secret".to_owned());
    }
    let now = world.now;
    let cases: Vec<Case> = world.judge.cases.values().cloned().collect();
    for case in cases {
        let bound = look_bound(world, &case, case.ended.unwrap_or(now));
        let (calls, looks) = (case.calls, case.looks);
        world.check("looks are bounded", looks <= bound, || {
            format!("{} was looked at {looks} times; {bound} is the most", case.ask.id)
        });
        // A look reads the identity, the settings, the rulesets, the deployments, and a few things of each change request; and it is begun anew, under the
        // same lease, for whoever rings meanwhile.
        world.check("calls are bounded", calls <= 12 * looks + 40, || {
            format!("{} took {calls} calls in {looks} looks", case.ask.id)
        });
    }
    let groups = world.judge.groups.clone();
    for group in groups.iter().filter(|group| !group.excused) {
        for id in &group.ids {
            let place = world.judge.cases.get(&group.request).map_or(0, |case| case.place);
            let open = is_left_open(world, id, place, group.request);
            let row = world.tables.iter().find_map(|table| table.requests.get(&group.request));
            let named = row.and_then(|row| row.request.status.outcome.as_ref()).is_some_and(|outcome| {
                outcome.message.contains(id) || outcome.message.contains("drafts of open requests")
            });
            let excused = world.judge.cases.get(&group.request).is_some_and(|case| case.excused);
            world.check("4 nothing open", !open || named || excused || row.is_none(), || {
                format!("{id} of {} is open at the end", group.request)
            });
        }
    }
}
