/** What must not be, whatever is configured. */

import * as assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { UNAVOIDABLE } from "../parts/policy";
import { CONFIGURATIONS, runs, SECRETS } from "./configurations";
import { all, allowed, one, roles } from "./policies";
import { Hidden, type Inputs, type Run } from "./program";

/** The wildcards that AWS leaves no way around. Whoever adds one has to say so here as well. */
const WILDCARDS = [":*", "/stream/*", "/checkpoints/*", "/*/$default", "/*/*/webhooks/pulumi", "/*/*/webhooks/github"];

/** Kinds of AWS resources that can't carry tags. */
const UNTAGGED = [
  "apigatewayv2/integration",
  "apigatewayv2/route",
  "cloudwatch/dashboard",
  "dynamodb/tableItem",
  "iam/rolePolicy",
  "lambda/functionEventInvokeConfig",
  "lambda/permission",
  "s3/bucketObjectLockConfiguration",
  "s3/bucketOwnershipControls",
  "s3/bucketPublicAccessBlock",
  "s3/bucketServerSideEncryptionConfiguration",
  "s3/bucketVersioning",
  "scheduler/schedule",
  "secretsmanager/secretVersion",
];

let done: [string, Run][];

before(async () => {
  done = await runs();
});

/** Checks something in each configuration. */
function never(what: string, check: (run: Run) => void): void {
  describe(what, () => {
    for (const name of Object.keys(CONFIGURATIONS)) {
      test(name, () => {
        const run = done.find(([other]) => other === name)?.[1];
        check(run ?? assert.fail("there was no run"));
      });
    }
  });
}

test("the list of wildcards is this one, and each is in use", () => {
  assert.deepEqual(Object.values(UNAVOIDABLE), WILDCARDS);
  const used = done.flatMap(([, run]) => [
    ...roles(run).flatMap((role) => allowed(run, role).flatMap(({ Resource }) => Resource)),
    ...all(run, "aws:lambda/permission:Permission").map(({ inputs }) => String(inputs.sourceArn)),
  ]);
  for (const wildcard of WILDCARDS)
    assert.ok(
      used.some((resource) => resource.endsWith(wildcard)),
      wildcard,
    );
});

never("an action or a resource with a star that is avoidable", (run) => {
  for (const role of roles(run)) {
    for (const { Sid, Effect, Action, Resource } of allowed(run, role)) {
      assert.equal(Effect, "Allow");
      assert.ok(Action.length > 0 && Resource.length > 0, `${role} ${Sid}`);
      for (const action of Action) assert.match(action, /^[a-z0-9]+:[A-Za-z]+$/, `${role} ${Sid}`);
      for (const resource of Resource) {
        const wildcard = WILDCARDS.find((end) => resource.endsWith(end)) ?? "";
        const rest = resource.slice(0, resource.length - wildcard.length);
        assert.match(rest, /^arn:aws:[a-z0-9]+:[a-z0-9-]*:[0-9]*:[^*?]+$/, `${role} ${Sid}`);
      }
    }
  }
  for (const { inputs } of all(run, "aws:lambda/permission:Permission")) {
    const from = String(inputs.sourceArn);
    const wildcard = WILDCARDS.find((end) => from.endsWith(end)) ?? assert.fail(from);
    assert.ok(!from.slice(0, from.length - wildcard.length).includes("*"), from);
  }
});

never("a role with a managed policy, or that anybody but its service takes", (run) => {
  for (const { name, inputs } of all(run, "aws:iam/role:Role")) {
    assert.deepEqual([inputs.managedPolicyArns, inputs.inlinePolicies], [undefined, undefined], name);
    const trust = JSON.parse(String(inputs.assumeRolePolicy)) as { Statement: { Principal: Inputs }[] };
    const service = ["schedule", "notify-schedule"].includes(name) ? "scheduler.amazonaws.com" : "lambda.amazonaws.com";
    assert.deepEqual(
      trust.Statement.map(({ Principal }) => Principal),
      [{ Service: service }],
      name,
    );
  }
});

never("a log that is kept for ever", (run) => {
  for (const { name, inputs } of all(run, "aws:cloudwatch/logGroup:LogGroup")) {
    assert.ok(Number(inputs.retentionInDays) > 0, name);
  }
});

never("a function without log, alarms and dead letters", (run) => {
  const alarms = all(run, "aws:cloudwatch/metricAlarm:MetricAlarm").map(({ inputs }) => inputs);
  for (const { inputs } of all(run, "aws:lambda/function:Function")) {
    const { logGroup } = inputs.loggingConfig as { logGroup: string };
    const groups = all(run, "aws:cloudwatch/logGroup:LogGroup").map((one) => one.inputs.name);
    assert.ok(groups.includes(logGroup), logGroup);
    for (const metricName of ["Errors", "Throttles"]) {
      const watched = (alarm: Inputs) =>
        (alarm.dimensions as Inputs).FunctionName === inputs.name && alarm.metricName === metricName;
      assert.ok(alarms.some(watched), `${inputs.name} ${metricName}`);
    }
    const { targetArn } = inputs.deadLetterConfig as { targetArn: string };
    const queue = targetArn.split(":").at(-1);
    assert.ok(
      alarms.some((alarm) => (alarm.dimensions as Inputs).QueueName === queue),
      `${inputs.name} dead letters`,
    );
  }
});

never("a queue in plain text", (run) => {
  for (const { name, inputs } of all(run, "aws:sqs/queue:Queue")) assert.equal(inputs.sqsManagedSseEnabled, true, name);
});

never("a table that is not encrypted, protected and recoverable", (run) => {
  const tables = all(run, "aws:dynamodb/table:Table");
  assert.equal(tables.length, 1);
  for (const { inputs, protect, retainOnDelete } of tables) {
    // Without a key of one's own it is under the one that DynamoDB owns, which is called not enabled; nothing in between.
    const { enabled, kmsKeyArn } = inputs.serverSideEncryption as Inputs;
    assert.equal(enabled, kmsKeyArn !== undefined);
    assert.deepEqual(inputs.pointInTimeRecovery, { enabled: true });
    assert.equal(inputs.deletionProtectionEnabled, true);
    assert.deepEqual([protect, retainOnDelete], [true, true]);
  }
});

never("something that the trail or the credentials hang on, and that a destroy takes along", (run) => {
  const kept = ["aws:kms/key:Key", "aws:s3/bucket:Bucket", "pulumiservice:index:ApprovalRule"];
  for (const { type, name, protect, retainOnDelete } of run.resources.filter((one) => kept.includes(one.type))) {
    assert.deepEqual([protect, retainOnDelete], [true, true], `${type} ${name}`);
  }
  // A bucket is what its settings make of it.
  for (const { type, name, retainOnDelete } of run.resources.filter((one) => one.type.startsWith("aws:s3/"))) {
    assert.equal(retainOnDelete, true, `${type} ${name}`);
  }
});

never("a mapping that loses records, or tries one for ever", (run) => {
  const alarms = all(run, "aws:cloudwatch/metricAlarm:MetricAlarm").map(({ inputs }) => inputs);
  for (const { name, inputs } of all(run, "aws:lambda/eventSourceMapping:EventSourceMapping")) {
    assert.deepEqual(inputs.functionResponseTypes, ["ReportBatchItemFailures"], name);
    assert.equal(inputs.bisectBatchOnFunctionError, true, name);
    assert.ok(Number(inputs.maximumRetryAttempts) >= 1 && Number(inputs.maximumRetryAttempts) <= 10, name);
    assert.ok(Number(inputs.maximumRecordAgeInSeconds) >= 60 && Number(inputs.maximumRecordAgeInSeconds) <= 3600, name);
    const { onFailure } = inputs.destinationConfig as { onFailure: { destinationArn: string } };
    const queue = onFailure.destinationArn.split(":").at(-1);
    assert.ok(
      alarms.some((alarm) => (alarm.dimensions as Inputs).QueueName === queue),
      name,
    );
    const { filters } = inputs.filterCriteria as { filters: unknown[] };
    assert.ok(filters.length >= 1 && filters.length <= 5, "Lambda takes five filters at most");
  }
});

never("a secret in plain outputs or in anything but a secret's own input", (run) => {
  const leaks = (value: unknown) => {
    const text = JSON.stringify(value) ?? "";
    return SECRETS.some((secret) => text.includes(secret));
  };
  for (const [name, { value, secret }] of Object.entries(run.outputs)) {
    assert.ok(!leaks(value) && !secret, `output ${name}`);
  }
  for (const { type, name, inputs } of run.resources) {
    for (const [key, value] of Object.entries(inputs)) {
      if (!(value instanceof Hidden)) assert.ok(!leaks(value), `${type} ${name} ${key}`);
    }
  }
  for (const { name, inputs } of all(run, "aws:secretsmanager/secretVersion:SecretVersion")) {
    assert.ok(inputs.secretString instanceof Hidden, name);
  }
});

never("a secret whose name stays taken when it has gone, or whose value is kept nowhere else", (run) => {
  for (const { name, inputs } of all(run, "aws:secretsmanager/secret:Secret")) {
    assert.equal(inputs.recoveryWindowInDays, 0, name);
    const { secretString } = one(run, "aws:secretsmanager/secretVersion:SecretVersion", name).inputs;
    const value = String((secretString as Hidden).value);
    assert.ok(
      SECRETS.some((secret) => value.startsWith(secret)),
      `${name} is neither configured nor generated`,
    );
  }
});

never("a resource that can carry tags and does not say what it belongs to", (run) => {
  for (const { type, name, inputs } of run.resources.filter((one) => one.type.startsWith("aws:"))) {
    const kind = type.split(":")[1] ?? "";
    if (UNTAGGED.includes(kind)) continue;
    const tags = inputs.tags as Inputs | undefined;
    assert.deepEqual([tags?.application, tags?.installation], ["signoff", "signoff-test"], `${type} ${name}`);
  }
});
