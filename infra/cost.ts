/** What an installation costs in a month: counted units at public prices. `npm run cost` prints the table that the README shows. */

/** What one deployment takes, from the request to its end. Counts; the larger of what was seen where they vary. */
export const PER_DEPLOYMENT = {
  /** Write units of the table, index writes and transactions (which count twice) included, with every webhook that Pulumi Cloud sends. */
  writeUnits: 82,
  /** Read units of the table. */
  readUnits: 60,
  /** Invocations of `receive`, `api`, `apply` and `deploy` together. */
  invocations: 25,
  /** How long each takes, in seconds: most of it waiting for Pulumi Cloud. */
  secondsEach: 1,
  /** Calls that come through the HTTP API: people, pipelines and webhooks. */
  httpCalls: 15,
  /** What stays in the table for good (state, events, work), in KB. */
  storedKb: 12,
};

/** What each sweep takes, whether or not there is something to do: four parts of the index, for what is due and for the oldest that is open. */
export const PER_SWEEP = { writeUnits: 1, readUnits: 4, seconds: 0.1 };

/** What notices take besides, where there is a channel. */
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
  alarms: 26,
  /** Series of the functions' own metrics. */
  metrics: 40,
  dashboards: 1,
  /** What one invocation writes to its log, metrics and access log included, in KB. */
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

/** One installation's month, by what is paid for, in dollars. */
export function monthly(deployments: number): Record<string, number> {
  const { sweeps, memoryGb } = FIXED;
  const invocations = deployments * PER_DEPLOYMENT.invocations;
  const seconds = invocations * PER_DEPLOYMENT.secondsEach + sweeps * PER_SWEEP.seconds;
  const storedGb = (deployments * MONTHS * PER_DEPLOYMENT.storedKb) / KB_IN_GB;
  const logGb = ((invocations + sweeps) * FIXED.logKb) / KB_IN_GB;
  return {
    "Table: writes": (deployments * PER_DEPLOYMENT.writeUnits + sweeps * PER_SWEEP.writeUnits) * PRICES.writeUnit,
    "Table: reads": (deployments * PER_DEPLOYMENT.readUnits + sweeps * PER_SWEEP.readUnits) * PRICES.readUnit,
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
  ].join("\n");
}

if (require.main === module) process.stdout.write(`${table()}\n`);
