/** What an installation costs in a month: counted units at public prices. `npm run cost` prints the table that the README shows. */

/**
 * What one deployment takes, from the request to its end, without the waiting in between. `writeUnits` is what the benchmark measures. The others are
 * estimates, rounded up, of a deployment from one environment with every webhook that the simulated Pulumi Cloud sends (seven): no test measures them.
 */
export const PER_DEPLOYMENT = {
  /** Write units of the table, index writes and transactions (which count twice) included, with every webhook that Pulumi Cloud sends. */
  writeUnits: 84,
  /** Read units of the table: the request as a whole (three items) some 20 times, for looks, webhooks and calls, and some 30 single items. */
  readUnits: 100,
  /** Invocations: 7 of `receive`, 5 of `api` (asking, approving, looking), 13 of `apply` and `deploy`, one for each record that wakes them. */
  invocations: 25,
  /** How long each takes, in seconds. Workers wait for Pulumi Cloud, some for ten calls; all others are much shorter. */
  secondsEach: 1,
  /** Calls that come through the HTTP API: 7 webhooks, and those of people and pipelines. */
  httpCalls: 15,
  /** What stays in the table for good, in KB: state, seven events, work and ring, each below 1 KB, their index entries, and 100 bytes for each of these. */
  storedKb: 12,
};

/**
 * How often the clock looks at an open request, by its age in minutes, in sweeps: `cadence` in shared/src/look.rs. Whether it waits for its approval or for
 * its deployment makes no difference.
 */
export const CADENCE = [
  { before: 60, sweeps: 1 },
  { before: 24 * 60, sweeps: 5 },
  { before: Number.POSITIVE_INFINITY, sweeps: 15 },
];

/** How long a deployment is assumed to wait, in minutes: from the asking to its last approval, and from there to its end. */
export const WAITING = { approval: 120, deployment: 10 };

/**
 * What each look takes that the clock brings about and that finds nothing new, with one change request. The write units follow from the writes by the rules
 * of the benchmark, all items being below 1 KB. The others are estimates, rounded up. The call to Pulumi Cloud (one for each change request, or for the
 * stack's deployments) costs nothing here but time.
 */
export const PER_LOOK = {
  /** The sweep moves `due` (the item; its index entry goes, and appears: 3) and rings (1); the look takes the lease (1) and leaves a new `due` (3). */
  writeUnits: 8,
  /** The request, three items, for the sweep and for the look; the gates; the stack's line, where the gate minds what is newer. */
  readUnits: 8,
  /** Of `apply` or `deploy`. Fewer where one batch brings several looks. */
  invocations: 1,
  /** Some reads and writes, most of it the call to Pulumi Cloud; with what the sweep takes longer for it. */
  seconds: 0.5,
};

/**
 * What each sweep takes, whether or not there is something to do. The units follow from the reads and writes: half a unit for each of the four parts of the
 * index, for what is due and for the oldest that is open, and the mark that one sweep is at it. (Every fifth reads the gates, too.) The time is an estimate.
 */
export const PER_SWEEP = { writeUnits: 1, readUnits: 4, seconds: 0.1 };

/** What somebody takes besides who stays at `signoff request --wait`, or `watch`, until the end. The time is an estimate, rounded up. */
export const WATCHED = {
  /** How often the command line asks: `AWAITING` and `SLOWEST` in cli/src/commands/watch.rs. (It asks more often after a change, which is little.) */
  everySeconds: { approval: 30, deployment: 5 },
  /** The request, three items. */
  readUnits: 3,
  /** How long `api` takes: these reads, and once a minute a call to Pulumi Cloud, whose token it is. */
  seconds: 0.05,
};

/** What notices take besides, where there is a channel. How long they take is an estimate, and so are their reads, rounded up. */
export const NOTICES = {
  /** Of a deployment that goes well: it waits, is approved, runs, is over. */
  perDeployment: 4,
  /** Each is put into the transaction of its event, claimed and finished, and has a place in an index that moves and goes. */
  writeUnits: 8,
  /** The request, its trail and the gates. */
  readUnits: 10,
  /** How long one message takes, in seconds. */
  secondsEach: 0.5,
  /** Ticks in a month, one each minute, and what each takes if nothing is due. */
  ticks: 43_800,
  perTick: { readUnits: 0.5, seconds: 0.05 },
  /** The channel's. */
  secrets: 1,
  /** How often it is read in a month at most: every five minutes. */
  secretReads: 8_760,
  alarms: 5,
  metrics: 3,
};

/** What does not depend on use. */
export const FIXED = {
  /** Sweeps in a month of 730 hours, one each minute. */
  sweeps: 43_800,
  memoryGb: 0.125,
  /** The webhook's and one principal's. */
  secrets: 2,
  /** How often a secret is read in a month at most: each of two workers every five minutes. */
  secretReads: 17_520,
  alarms: 28,
  /** Series of the functions' own metrics. */
  metrics: 40,
  dashboards: 1,
  /** What one invocation writes to its log, metrics and access log included, in KB: an estimate, rounded up. */
  logKb: 2,
};

/** Prices in us-east-1, in dollars, without any free allowance. */
export const PRICES = {
  writeUnit: 0.625 / 1e6,
  readUnit: 0.125 / 1e6,
  storedGb: 0.25,
  recoverableGb: 0.2,
  invocation: 0.2 / 1e6,
  gbSecond: 0.0000166667,
  httpCall: 1 / 1e6,
  scheduled: 1 / 1e6,
  secret: 0.4,
  secretRead: 0.05 / 1e4,
  alarm: 0.1,
  metric: 0.3,
  dashboard: 3,
  logGb: 0.5,
};

/** After how many months of use the table's size is reckoned. */
const MONTHS = 12;
const KB_IN_GB = 1e6;

/** How often the clock looks at a request in its first so many minutes, with one sweep a minute. */
export function looks(minutes: number): number {
  const next = (age: number) => age + (CADENCE.find(({ before }) => age < before)?.sweeps ?? 1);
  let count = 0;
  for (let age = next(0); age <= minutes; age = next(age)) count += 1;
  return count;
}

/** One installation's month, by what is paid for, in dollars. */
export function monthly(deployments: number): Record<string, number> {
  const { sweeps, memoryGb } = FIXED;
  const looked = deployments * looks(WAITING.approval + WAITING.deployment);
  const asked = deployments * PER_DEPLOYMENT.invocations;
  const invocations = asked + looked * PER_LOOK.invocations;
  const seconds = asked * PER_DEPLOYMENT.secondsEach + looked * PER_LOOK.seconds + sweeps * PER_SWEEP.seconds;
  const units = (kind: "writeUnits" | "readUnits") =>
    deployments * PER_DEPLOYMENT[kind] + looked * PER_LOOK[kind] + sweeps * PER_SWEEP[kind];
  const storedGb = (deployments * MONTHS * PER_DEPLOYMENT.storedKb) / KB_IN_GB;
  const logGb = ((invocations + sweeps) * FIXED.logKb) / KB_IN_GB;
  return {
    "Table: writes": units("writeUnits") * PRICES.writeUnit,
    "Table: reads": units("readUnits") * PRICES.readUnit,
    "Table: storage and recovery, after a year": storedGb * (PRICES.storedGb + PRICES.recoverableGb),
    "Lambda: invocations": (invocations + sweeps) * PRICES.invocation,
    "Lambda: time": seconds * memoryGb * PRICES.gbSecond,
    "API Gateway": deployments * PER_DEPLOYMENT.httpCalls * PRICES.httpCall,
    Scheduler: sweeps * PRICES.scheduled,
    "Secrets Manager": FIXED.secrets * PRICES.secret + Math.min(invocations, FIXED.secretReads) * PRICES.secretRead,
    "CloudWatch: logs": logGb * PRICES.logGb,
    "CloudWatch: alarms, metrics, dashboard":
      FIXED.alarms * PRICES.alarm + FIXED.metrics * PRICES.metric + FIXED.dashboards * PRICES.dashboard,
  };
}

/** What notices to one channel cost in a month besides, in dollars. */
export function notices(deployments: number): number {
  const { perTick, ticks } = NOTICES;
  const messages = deployments * NOTICES.perDeployment;
  const reads = messages * NOTICES.readUnits + ticks * perTick.readUnits;
  const seconds = messages * NOTICES.secondsEach + ticks * perTick.seconds;
  return (
    messages * NOTICES.writeUnits * PRICES.writeUnit +
    reads * PRICES.readUnit +
    seconds * FIXED.memoryGb * PRICES.gbSecond +
    ticks * (PRICES.invocation + PRICES.scheduled) +
    ((ticks * FIXED.logKb) / KB_IN_GB) * PRICES.logGb +
    NOTICES.secrets * PRICES.secret +
    Math.min(messages, NOTICES.secretReads) * PRICES.secretRead +
    NOTICES.alarms * PRICES.alarm +
    NOTICES.metrics * PRICES.metric
  );
}

/** What it costs in a month besides if somebody stays at each deployment until its end, in dollars. */
export function watched(deployments: number): number {
  const { approval, deployment } = WATCHED.everySeconds;
  const asks = deployments * 60 * (WAITING.approval / approval + WAITING.deployment / deployment);
  return (
    asks *
    (PRICES.httpCall +
      PRICES.invocation +
      WATCHED.readUnits * PRICES.readUnit +
      WATCHED.seconds * FIXED.memoryGb * PRICES.gbSecond +
      (FIXED.logKb / KB_IN_GB) * PRICES.logGb)
  );
}

/** The table, in Markdown. */
export function table(months: number[] = [10, 1_000, 100_000]): string {
  const each = months.map(monthly);
  const heads = months.map((count) => count.toLocaleString("en-US"));
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const dollars = (amount: number) => `$${amount.toFixed(2)}`;
  const total = each.map((month) => Object.values(month).reduce((sum, amount) => sum + amount, 0));
  return [
    row(["Deployments a month", ...heads]),
    row(["---", ...heads.map(() => "---:")]),
    ...Object.keys(monthly(0)).map((what) => row([what, ...each.map((month) => dollars(month[what] ?? 0))])),
    row(["**Together**", ...total.map((amount) => `**${dollars(amount)}**`)]),
    row(["Notices to one channel, besides", ...months.map((count) => dollars(notices(count)))]),
    row(["Somebody at `--wait` for each, besides", ...months.map((count) => dollars(watched(count)))]),
  ].join("\n");
}

if (require.main === module) process.stdout.write(`${table()}\n`);
