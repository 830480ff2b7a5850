//! What a seed has in store: which faults and which people there are, and how often. Each kind is left out of about half of the seeds, since
//! what never rests hides what happens in a calm.

use std::time::Duration;

use jiff::SignedDuration;
use pulumi_sim::WebhookFaults;
use signoff_core::branches::POLL_SWEEPS;
use signoff_core::look::Timing;

use crate::chance::Chance;
use crate::people::KINDS;

/// What goes wrong with the ledger, by probability for each read or write.
#[derive(Debug, Clone, Copy, Default)]
pub struct LedgerFaults {
    /// It throttles: no effect.
    pub throttled: f64,
    /// It takes effect, and an error is answered.
    pub lost_after: f64,
    /// It takes effect, the answer is lost, and the client sends it again.
    pub retried: f64,
    /// Items are in other transactions.
    pub contended: f64,
    /// A batch read sees items of different moments.
    pub torn: f64,
}

/// What goes wrong with processes, by probability at each point.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFaults {
    /// It dies.
    pub crash: f64,
    /// It stands still for less than its lease.
    pub pause: f64,
    /// It stands still for longer than its lease.
    pub stall: f64,
}

/// What goes wrong with the stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamFaults {
    /// A record comes twice.
    pub twice: f64,
    /// A record comes late, and others overtake it.
    pub late: f64,
}

/// How long requests may wait, and how long grants and access are asked for.
const PERIODS: [[&str; 3]; 5] =
    [["10m", "5m", "5m"], ["20m", "2m", "3m"], ["1h", "10m", "30m"], ["6h", "1h", "1h"], ["72h", "1h", "1h"]];

/// What a seed has in store.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long things take.
    pub timing: Timing,
    /// How many installations share the principal.
    pub installations: usize,
    /// How many requests are asked for.
    pub requests: u32,
    /// How long people act and faults happen, in milliseconds.
    pub storm: i64,
    /// The mean time between two things that people do, in milliseconds.
    pub people_every: i64,
    /// How often people do each kind of thing, in the order of [`KINDS`].
    pub people: Vec<u32>,
    /// How many approvals the rulesets ask for.
    pub required: i64,
    /// Whether one of the gates lets requesters approve.
    pub self_approval: bool,
    /// Whether settings tell no version.
    pub omit_version: bool,
    /// Whether webhooks are there at all.
    pub webhooks: bool,
    /// What goes wrong with them.
    pub webhook_faults: WebhookFaults,
    /// The ledger's faults.
    pub ledger: LedgerFaults,
    /// The processes' faults.
    pub process: ProcessFaults,
    /// The stream's faults.
    pub stream: StreamFaults,
    /// For each kind of fault of a call, its probability.
    pub cloud: Vec<f64>,
    /// By how much clocks are off at most, in milliseconds.
    pub skew: i64,
    /// How late an index shows a write at most, in milliseconds.
    pub index_lag: i64,
    /// Whether the ledger is restored from a backup once.
    pub restore: bool,
    /// How long requests may wait, and how long grants and access are asked for.
    pub periods: [&'static str; 3],
    /// Whether whoever reviews goes on to approve when all else is calm.
    pub approve_at_last: bool,
    /// Whether stream records are gathered, and handed over up to ten at once.
    pub batches: bool,
    /// What the gates say of when something is applied, and by whose leave; most seeds have nothing of it.
    pub conditions: Conditions,
    /// What asks by itself: pushes, and runs that were refused; most seeds have nothing of it.
    pub pushes: Pushes,
}

/// What the gates say of pushes and of runs that nobody asked for.
#[derive(Debug, Clone, Default)]
pub struct Pushes {
    /// Whether pushes ask for deployments.
    pub any: bool,
    /// Whether a newer one leaves an older one alone.
    pub queue: bool,
    /// Whether a newer one supersedes what is approved.
    pub supersede_approved: bool,
    /// Whether what an update has overtaken is deployed.
    pub allow_older: Option<bool>,
    /// Whether the files that changed matter.
    pub paths: bool,
    /// Whether runs that were refused are asked for.
    pub rescue: bool,
    /// For each kind of fault of a call to GitHub, its probability.
    pub github: Vec<f64>,
}

impl Pushes {
    /// Six seeds in seven have neither: pushes make requests, and these take time.
    fn drawn(chance: &mut Chance, calm: bool) -> Self {
        let any = chance.happens(0.09);
        let rescue = chance.happens(if any { 0.3 } else { 0.05 });
        if !any && !rescue {
            return Self::default();
        }
        let queue = chance.happens(0.4);
        let supersede_approved = !queue && chance.happens(0.5);
        let allow_older = chance.of(&[None, None, Some(false), Some(true)]).copied().flatten();
        let paths = chance.happens(0.4);
        let rates = [0.01, 0.04, 0.12];
        let mut rate = |_: &&str| match calm || chance.happens(0.5) {
            true => 0.0,
            false => chance.of(&rates).copied().unwrap_or(0.0),
        };
        let github = crate::github::FAULTS.iter().map(&mut rate).collect();
        Self { any, queue, supersede_approved, allow_older, paths, rescue, github }
    }

    /// Whether the clock has anything to look at but requests.
    pub fn polled(&self) -> bool {
        self.any || self.rescue
    }
}

/// Conditions of the gates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions {
    /// Whether something is applied in the first eight minutes of every quarter of an hour only.
    pub windows: bool,
    /// How long after the approval.
    pub wait: Option<&'static str>,
    /// Whether an update takes two people.
    pub two_people: bool,
    /// Whether requests say when they may be applied.
    pub times: bool,
}

impl Conditions {
    /// Nine seeds in fourteen have none.
    fn drawn(chance: &mut Chance) -> Self {
        let has_some = chance.happens(0.36);
        let mut some = |probability| has_some && chance.happens(probability);
        let (windows, waits, two_people, times) = (some(0.5), some(0.4), some(0.4), some(0.5));
        let wait = if waits { chance.of(&["30s", "4m"]).copied() } else { None };
        Self { windows, wait, two_people, times }
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.windows || self.wait.is_some() || self.two_people || self.times
    }
}

impl Plan {
    /// What this seed has in store.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let chance = &mut chance;
        let local = chance.happens(0.4);
        let timing = if local { timing(20, 10, 60) } else { timing(60, 60, 60) };
        // One seed in eight has no faults at all, so that what people do is seen alone.
        let calm = chance.happens(0.125);
        let mut rate = |rates: &[f64]| -> f64 {
            if calm || chance.happens(0.5) { 0.0 } else { chance.of(rates).copied().unwrap_or(0.0) }
        };
        let few = [0.001, 0.004, 0.012];
        let more = [0.01, 0.04, 0.12];
        let ledger = LedgerFaults {
            throttled: rate(&few),
            lost_after: rate(&few),
            retried: rate(&few),
            contended: rate(&more),
            torn: rate(&more),
        };
        let process = ProcessFaults { crash: rate(&few), pause: rate(&few), stall: rate(&[0.001, 0.003]) };
        let stream = StreamFaults { twice: rate(&more), late: rate(&more) };
        let cloud = crate::wire::FAULTS.iter().map(|_| rate(&few)).collect();
        let webhook_faults = WebhookFaults {
            lost: rate(&[0.1, 0.5, 1.0]),
            doubled: rate(&more),
            delayed: rate(&more),
            delay_ms: 90_000,
            reordered: rate(&more),
        };
        // Nine seeds in ten are small ones: most of what can go wrong needs few requests and little time, and ten of them cost what a large one does.
        let small = chance.happens(0.9);
        let minutes = *chance.of(if small { &[3, 6, 10][..] } else { &[3, 6, 10, 20, 45][..] }).unwrap_or(&20);
        let storm = minutes * 60_000;
        let mut people: Vec<u32> = KINDS.iter().map(|kind| kind.1).collect();
        for (at, weight) in people.iter_mut().enumerate() {
            // Asking and approving stay; all else is there in some seeds only.
            if at >= crate::people::ALWAYS && chance.happens(0.72) {
                *weight = 0;
            }
        }
        let conditions = Conditions::drawn(chance);
        let pushes = Pushes::drawn(chance, calm);
        for (weight, (name, _)) in people.iter_mut().zip(KINDS) {
            // Whoever pushes, or starts a run of their own, does it where somebody takes notice.
            if (crate::people::PUSHES.contains(&name) && !pushes.any) || (name == crate::people::RUN && !pushes.rescue)
            {
                *weight = 0;
            } else if pushes.any && name == "push" || pushes.rescue && name == crate::people::RUN {
                *weight = 10;
            }
        }
        let requests = u32::try_from(chance.within(1, if small { 3 } else { 7 })).unwrap_or(1);
        let acts = if small { chance.within(10, 30) } else { chance.within(20, 70) };
        Self {
            timing,
            installations: if chance.happens(0.12) { 2 } else { 1 },
            requests,
            storm,
            people_every: storm / acts,
            people,
            required: chance.within(1, 2),
            self_approval: chance.happens(0.2),
            omit_version: chance.happens(0.15),
            webhooks: chance.happens(0.8),
            webhook_faults,
            ledger,
            process,
            stream,
            cloud,
            skew: *chance.of(&[0, 0, 500, 4_000]).unwrap_or(&0),
            index_lag: *chance.of(&[0, 200, 5_000]).unwrap_or(&0),
            restore: !calm && chance.happens(0.08),
            periods: *chance
                // Hours of frequent sweeps would be all that is played.
                .of(match (local, small) {
                    (true, _) => &PERIODS[..2],
                    (false, true) => &PERIODS[..3],
                    (false, false) => &PERIODS[..],
                })
                .unwrap_or(&PERIODS[0]),
            approve_at_last: chance.happens(0.5),
            batches: chance.happens(0.4),
            conditions,
            pushes,
        }
    }

    /// How long it takes at most, in milliseconds, until what is on a branch is asked for without a webhook when nothing goes wrong: a worker may stand still
    /// since before.
    pub fn polled_within(&self) -> i64 {
        let sweep = self.timing.sweep.as_secs() * 1_000;
        5 * self.lease() + 2 * POLL_SWEEPS * sweep + 2 * sweep
    }

    /// How long a lease is, in milliseconds: as [`Timing`] has it.
    pub fn lease(&self) -> i64 {
        i64::try_from(self.timing.lease().as_millis()).unwrap_or(0)
    }
}

fn timing(sweep: i64, settle: i64, budget: u64) -> Timing {
    Timing {
        sweep: SignedDuration::from_secs(sweep),
        settle: SignedDuration::from_secs(settle),
        budget: Duration::from_secs(budget),
        call: Duration::from_secs(10),
    }
}
