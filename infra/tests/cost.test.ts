import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { FIXED, monthly, NOTICES, notices, PER_DEPLOYMENT, table } from "../cost";
import { runOf } from "./configurations";
import { all } from "./policies";

test("the README shows the table of costs as it comes out", () => {
  const readme = readFileSync(path.join(__dirname, "..", "README.md"), "utf8");
  assert.ok(readme.includes(table()), "put the output of `npm run cost` into README.md");
});

test("a deployment's write units are those that the benchmark measures, with every webhook", () => {
  const readme = readFileSync(path.join(__dirname, "..", "..", "README.md"), "utf8").replaceAll("\n", " ");
  const measured = /with every webhook that Pulumi Cloud sends it is [^.]* (\d+) units for one environment/.exec(readme);
  assert.equal(PER_DEPLOYMENT.writeUnits, Number(measured?.[1]));
});

test("the README quotes the counts that the table is made of", () => {
  const readme = readFileSync(path.join(__dirname, "..", "README.md"), "utf8").replaceAll("\n", " ");
  const { writeUnits, readUnits, invocations } = PER_DEPLOYMENT;
  const counts = `${writeUnits} write units (with every webhook that Pulumi Cloud sends), ${readUnits} read units and ${invocations} invocations for a deployment`;
  assert.ok(readme.includes(counts), counts);
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
});
