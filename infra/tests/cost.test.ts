import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import {
  CADENCE,
  FIXED,
  looks,
  monthly,
  NOTICES,
  notices,
  PER_DEPLOYMENT,
  PER_LOOK,
  table,
  WAITING,
  WATCHED,
  watched,
} from "../cost";
import { runOf } from "./configurations";
import { all } from "./policies";

/** A file of the repository. */
function read(file: string): string {
  return readFileSync(path.join(__dirname, "..", "..", file), "utf8");
}

test("the README shows the table of costs as it comes out", () => {
  const readme = read("infra/README.md");
  assert.ok(readme.includes(table()), "put the output of `npm run cost` into README.md");
});

test("a deployment's write units are those that the benchmark measures, with every webhook", () => {
  const readme = read("README.md").replaceAll("\n", " ");
  const measured = /with every webhook that Pulumi Cloud sends it is [^.]* (\d+) units for one environment/.exec(readme);
  assert.equal(PER_DEPLOYMENT.writeUnits, Number(measured?.[1]));
});

test("an open request is looked at as often as the gate does", () => {
  const source = read("shared/src/look.rs");
  const cadence = /fn cadence\(.*?match age\.as_hours\(\) \{(.*?)\}/s.exec(source)?.[1] ?? "";
  const arms = [...cadence.matchAll(/(?:(?:\d*)\.\.(\d+)|_) => (\d+),/g)].map(([, before, sweeps]) => ({
    before: before === undefined ? Number.POSITIVE_INFINITY : Number(before) * 60,
    sweeps: Number(sweeps),
  }));
  assert.deepEqual(CADENCE, arms);
  assert.deepEqual([0, 1, 59, 60, 64, 65].map(looks), [0, 1, 59, 60, 60, 61]);
  assert.equal(looks(24 * 60), 60 + (23 * 60) / 5);
  assert.equal(looks(72 * 60), looks(24 * 60) + (48 * 60) / 15);
});

test("whoever waits asks as often as the command line does", () => {
  const every = (name: string) => {
    const written = new RegExp(`const ${name}: Duration = Duration::from_secs\\((\\d+)\\);`);
    return Number(written.exec(read("cli/src/commands/watch.rs"))?.[1]);
  };
  assert.deepEqual(WATCHED.everySeconds, { approval: every("AWAITING"), deployment: every("SLOWEST") });
});

test("the README quotes the counts that the table is made of", () => {
  const readme = read("infra/README.md").replaceAll("\n", " ");
  const { writeUnits, readUnits, invocations } = PER_DEPLOYMENT;
  const counts = `${writeUnits} write units (with every webhook that Pulumi Cloud sends), ${readUnits} read units and ${invocations} invocations for a deployment`;
  assert.ok(readme.includes(counts), counts);
  const { approval, deployment } = WAITING;
  const waiting = `${approval / 60} hours for its approval and then runs for ${deployment} minutes: ${looks(approval + deployment)} looks of the clock`;
  assert.ok(readme.includes(waiting), waiting);
  const each = `${PER_LOOK.writeUnits} write units, ${PER_LOOK.readUnits} read units and an invocation each`;
  assert.ok(PER_LOOK.invocations === 1 && readme.includes(each), each);
  const { approval: awaiting, deployment: running } = WATCHED.everySeconds;
  assert.ok(readme.includes(`ask every ${awaiting} seconds while approvals are awaited, and every ${running} seconds otherwise`));
  assert.ok(readme.includes(`${NOTICES.writeUnits} write units for each notice`));
});

test("what is counted of the program is what it declares", async () => {
  const declared = await runOf("least");
  assert.equal(all(declared, "aws:cloudwatch/metricAlarm:MetricAlarm").length, FIXED.alarms);
  assert.equal(all(declared, "aws:cloudwatch/dashboard:Dashboard").length, FIXED.dashboards);
  assert.equal(all(declared, "aws:secretsmanager/secret:Secret").length, FIXED.secrets);
  const tells = await runOf("other");
  assert.equal(all(tells, "aws:cloudwatch/metricAlarm:MetricAlarm").length, FIXED.alarms + NOTICES.alarms);
  assert.equal(all(tells, "aws:secretsmanager/secret:Secret").length, FIXED.secrets + NOTICES.secrets);
});

test("more deployments cost more, and none costs something", () => {
  const sum = (deployments: number) => Object.values(monthly(deployments)).reduce((one, other) => one + other, 0);
  assert.ok(sum(0) > 0 && sum(10) > sum(0) && sum(100_000) > sum(1_000));
  assert.ok(notices(0) > 0 && notices(1_000) > notices(0));
  assert.ok(watched(0) === 0 && watched(1_000) > 0);
});
