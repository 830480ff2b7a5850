import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { before, test } from "node:test";
import filters from "../../functions/stream-filters.json";
import { FUNCTIONS } from "../config/settings";
import { archiveOf } from "../parts/archive";
import { consoleOf, servicesOf } from "../parts/region";
import { LEAST, MOST, runOf, SECRETS, SIGNS, SLACK } from "./configurations";
import { all, functionsOf, one } from "./policies";
import { Hidden, type Inputs, KINDS, mocks, type Run, run, secretOf } from "./program";

const LAMBDA = "aws:lambda/function:Function";
const WEBHOOK = "pulumiservice:api:OrganizationWebhook";

let least: Run;
let most: Run;
let other: Run;

before(async () => {
  least = await runOf("least");
  most = await runOf("most");
  other = await runOf("other");
});

function variables(of: Run, name: string): Inputs {
  return (one(of, LAMBDA, name).inputs.environment as { variables: Inputs }).variables;
}

function urn(of: Run, type: string, name: string): string {
  return one(of, type, name).urn;
}

test("what the mocks expect is all used, and nothing else is taken", () => {
  const used = new Set([least, most, other].flatMap(({ resources }) => resources.map(({ type }) => type)));
  assert.deepEqual([...used].sort(), [...KINDS].sort());
  const asked = { name: "surprise", inputs: {} };
  const strict = mocks([], []);
  const surprise = () => strict.newResource({ ...asked, type: "aws:sns/topic:Topic" });
  assert.throws(surprise, /^Error: nobody expects a resource of type aws:sns\/topic:Topic$/);
  assert.throws(
    () => strict.call({ token: "aws:index/getPartition:getPartition", inputs: {} }),
    /nobody expects a call/,
  );
  const queue = () => strict.newResource({ ...asked, type: "aws:sqs/queue:Queue" });
  queue();
  assert.throws(queue, /nobody expects a second/);
});

test("the table: keys, indexes, stream, expiry", () => {
  const { inputs } = one(least, "aws:dynamodb/table:Table", "table");
  assert.equal(inputs.billingMode, "PAY_PER_REQUEST");
  assert.deepEqual([inputs.hashKey, inputs.rangeKey], ["pk", "sk"]);
  assert.deepEqual([inputs.streamEnabled, inputs.streamViewType], [true, "NEW_AND_OLD_IMAGES"]);
  assert.deepEqual(inputs.ttl, { attributeName: "expires", enabled: true });
  const indexes = inputs.globalSecondaryIndexes as Inputs[];
  assert.deepEqual(
    indexes.map(({ name, projectionType, hashKey, rangeKey }) => [name, projectionType, hashKey, rangeKey]),
    [
      ["by-organization", "KEYS_ONLY", "org", "id"],
      ["by-day", "KEYS_ONLY", "day", "at"],
      ["due", "KEYS_ONLY", "shard", "due"],
    ],
  );
  const numbers = (inputs.attributes as { name: string; type: string }[]).filter(({ type }) => type === "N");
  assert.deepEqual(numbers, [{ name: "due", type: "N" }]);
  const restored = one(most, "aws:dynamodb/table:Table", "signoff-restored");
  assert.equal(restored.inputs.name, "signoff-restored");
});

test("under which key the table is, and what becomes of secrets when theirs is taken away", () => {
  const table = (of: Run) => all(of, "aws:dynamodb/table:Table")[0]?.inputs.serverSideEncryption;
  const own = "arn:aws:kms:eu-central-1:111122223333:key/0a1b";
  assert.deepEqual([table(least), table(other)], [{ enabled: false }, { enabled: true, kmsKeyArn: own }]);
  assert.deepEqual(table(most), { enabled: true, kmsKeyArn: "arn:aws:kms:eu-central-1:111122223333:key/encryption" });
  for (const { name, inputs, ...options } of all(least, "aws:secretsmanager/secret:Secret")) {
    assert.equal(inputs.kmsKeyId, undefined);
    assert.deepEqual([options.replaceOnChanges, options.deleteBeforeReplace], [["kmsKeyId"], true], name);
  }
  for (const { name, inputs, ...options } of all(other, "aws:secretsmanager/secret:Secret")) {
    assert.equal(inputs.kmsKeyId, own);
    assert.deepEqual([options.replaceOnChanges, options.deleteBeforeReplace], [[], false], `${name} is changed in place`);
  }
});

test("the gates are in the table before any function is", () => {
  const { inputs } = one(most, "aws:dynamodb/tableItem:TableItem", "gates");
  const item = JSON.parse(String(inputs.item)) as Record<string, { S: string }>;
  assert.deepEqual([item.pk, item.sk], [{ S: "CONFIG" }, { S: "GATES" }]);
  const gates = JSON.parse(item.gates?.S ?? "") as { hold: boolean; freezes: Inputs[]; channel: Inputs[]; gate: Inputs[] };
  assert.equal(gates.hold, true);
  assert.deepEqual(gates.freezes, MOST.gates.freezes);
  assert.deepEqual(gates.gate[0], {
    stacks: ["acme/web/prod", "acme/api/*"],
    environment: "acme/credentials/prod",
    operations: ["update", "refresh"],
    principal: "default",
    "runs-as": "caller",
    "access-duration": "1h",
    "grant-expiration": "1h",
    "pending-timeout": "72h",
    "self-approval": false,
    commit: "optional",
    requesters: ["alice", "machine:ci"],
    "time-zone": "Europe/Berlin",
    windows: ["mon-thu 09:00-17:00", "fri 09:00-12:00"],
    freezes: [{ from: "2026-11-27T00:00", to: "2026-12-01T00:00", reason: "Sale" }],
    wait: "15m",
    "pending-extension": "14d",
    "approvals-for": { update: 2 },
    "break-glass": ["dana"],
    pushes: [{ repository: "acme/web", branch: "main", paths: ["infra/**"], stack: "acme/web/prod" }],
    "newer-push": "queue",
    "allow-older": true,
    rescue: true,
    notices: [{ channel: "ops", reminders: true }],
  });
  assert.deepEqual(gates.channel, MOST.gates.channel);
  assert.deepEqual(gates.gate[1]?.notices, [{ channel: "audit", on: ["over", "broken"] }]);
  for (const name of FUNCTIONS) {
    assert.ok(one(most, LAMBDA, name).after.includes(urn(most, "aws:dynamodb/tableItem:TableItem", "gates")), name);
  }
});

test("six functions, each from its archive; without anybody to tell, five", () => {
  assert.deepEqual(functionsOf(most).sort(), [...FUNCTIONS].sort());
  assert.deepEqual(functionsOf(least).sort(), FUNCTIONS.filter((name) => name !== "notify").sort());
  for (const { inputs } of all(least, LAMBDA)) {
    assert.equal(inputs.runtime, "provided.al2023");
    assert.deepEqual(inputs.architectures, ["x86_64"]);
    assert.equal(inputs.memorySize, 128);
    assert.equal(inputs.reservedConcurrentExecutions, undefined);
  }
  for (const { name, inputs } of all(most, LAMBDA)) {
    assert.equal(archiveOf(name as "api"), `../target/lambda/${name}/bootstrap.zip`);
    assert.match(readFileSync(path.join(__dirname, `../../functions/src/bin/${name}.rs`), "utf8"), /fn main/);
    assert.deepEqual([inputs.architectures, inputs.memorySize], [["arm64"], 256]);
    assert.equal(inputs.reservedConcurrentExecutions, name === "receive" ? 5 : undefined);
  }
});

test("each function is told what it needs, and nothing else", () => {
  const names = (of: Run, name: string) =>
    Object.keys(variables(of, name))
      .map((one) => one.replace("SIGNOFF_", ""))
      .sort();
  assert.deepEqual(names(least, "receive"), ["LOG", "METRICS_NAMESPACE", "TABLE", "WEBHOOK_SECRET_ID"]);
  assert.deepEqual(names(least, "api"), ["LOG", "METRICS_NAMESPACE", "PUBLIC_URL", "SWEEP_SECONDS", "TABLE"]);
  assert.deepEqual(names(least, "reconcile"), ["LOG", "METRICS_NAMESPACE", "SWEEP_SECONDS", "TABLE"]);
  const worker = ["INSTALLATION", "LOG", "METRICS_NAMESPACE", "PUBLIC_URL", "SWEEP_SECONDS", "TABLE", "TOKEN_PREFIX"];
  assert.deepEqual([names(least, "apply"), names(least, "deploy")], [worker, worker]);
  assert.equal(variables(least, "apply").SIGNOFF_TOKEN_PREFIX, "signoff-test/principals/");
  assert.equal(
    one(least, "aws:secretsmanager/secret:Secret", "principal-default").inputs.name,
    "signoff-test/principals/default",
  );
  assert.equal(variables(least, "api").SIGNOFF_PUBLIC_URL, least.outputs.apiUrl?.value);
  const told = variables(most, "deploy");
  assert.deepEqual(
    [
      told.SIGNOFF_PULUMI_URL,
      told.SIGNOFF_CA_BUNDLE,
      told.SIGNOFF_PUBLIC_URL,
      told.SIGNOFF_INSTALLATION,
      told.SIGNOFF_SWEEP_SECONDS,
      told.SIGNOFF_LOG,
    ],
    [
      "https://api.pulumi.example.com",
      "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
      "https://signoff.example.com",
      "gate-2",
      "300",
      "signoff_core=debug,info",
    ],
  );
  const checkpoints = variables(most, "reconcile");
  assert.equal(checkpoints.SIGNOFF_CHECKPOINT_BUCKET, most.outputs.checkpointBucket?.value);
  assert.equal(checkpoints.SIGNOFF_CHECKPOINT_KEY, most.outputs.checkpointKey?.value);
});

test("every variable is one that the functions read", () => {
  const read = readFileSync(path.join(__dirname, "../../functions/src/setup.rs"), "utf8");
  for (const name of FUNCTIONS) {
    const there = [least, most].filter((run) => functionsOf(run).includes(name));
    const told = there.flatMap((run) => Object.keys(variables(run, name)));
    for (const variable of told) assert.ok(read.includes(`"${variable}"`), variable);
  }
});

test("each installation has its metrics for itself: functions, alarms and dashboard name the same namespace", () => {
  const own = "signoff/signoff-test";
  for (const run of [least, most]) {
    for (const name of functionsOf(run)) assert.equal(variables(run, name).SIGNOFF_METRICS_NAMESPACE, own, name);
    const namespaces = all(run, "aws:cloudwatch/metricAlarm:MetricAlarm").map(({ inputs }) => String(inputs.namespace));
    assert.deepEqual([...new Set(namespaces)].sort(), ["AWS/ApiGateway", "AWS/DynamoDB", "AWS/Lambda", "AWS/SQS", own]);
    const shown = String(one(run, "aws:cloudwatch/dashboard:Dashboard", "dashboard").inputs.dashboardBody);
    const { widgets } = JSON.parse(shown) as { widgets: { properties: { metrics: unknown[][] } }[] };
    for (const [first] of widgets.flatMap(({ properties }) => properties.metrics)) {
      if (typeof first === "string") assert.ok([own, "AWS/Lambda", "AWS/SQS"].includes(first), first);
      else assert.match((first as { expression: string }).expression, /^SEARCH\('\{"signoff\/signoff-test",[A-Z][a-z]+\} /);
    }
  }
});

test("who sends notices is told where, with which secrets, and nothing that acts", () => {
  const told = (of: Run) => Object.keys(variables(of, "notify")).map((one) => one.replace("SIGNOFF_", "")).sort();
  const always = ["CHANNEL_PREFIX", "LOG", "METRICS_NAMESPACE", "PUBLIC_URL", "TABLE"];
  assert.deepEqual(told(other), always);
  assert.deepEqual(told(most), [...always, "CA_BUNDLE", "GITHUB_TOKEN_ID", "GITHUB_URL", "PULUMI_URL"].sort());
  assert.equal(variables(most, "notify").SIGNOFF_CHANNEL_PREFIX, "signoff-test/channels/");
  const secret = (name: string) => one(most, "aws:secretsmanager/secretVersion:SecretVersion", name).inputs.secretString;
  assert.deepEqual([secret("channel-ops"), secret("channel-audit")], [new Hidden(SLACK), new Hidden(SIGNS)]);
  assert.equal(one(most, "aws:secretsmanager/secret:Secret", "channel-audit").inputs.name, "signoff-test/channels/audit");
});

test("sending may take longer than one notice, and ends before somebody else may take that up", () => {
  const source = readFileSync(path.join(__dirname, "../../shared/src/notify.rs"), "utf8");
  const budget = Number(/BUDGET: Duration = Duration::from_secs\((\d+)\)/.exec(source)?.[1]);
  const claimed = Number(/CLAIMED: SignedDuration = SignedDuration::from_mins\((\d+)\)/.exec(source)?.[1]);
  const timeout = Number(one(most, LAMBDA, "notify").inputs.timeout);
  assert.ok(timeout > budget + 2 * 10 && timeout < claimed * 60, `${budget} ${timeout} ${claimed}`);
});

test("the stream wakes its workers through the filters that signoff local applies", () => {
  const mappings = all(least, "aws:lambda/eventSourceMapping:EventSourceMapping");
  assert.deepEqual(mappings.map(({ name }) => name).sort(), ["apply", "deploy"]);
  for (const { name, inputs, after } of mappings) {
    const { filters: given } = inputs.filterCriteria as { filters: { pattern: string }[] };
    assert.deepEqual(
      given.map(({ pattern }) => JSON.parse(pattern)),
      filters[name as keyof typeof filters],
    );
    assert.ok(after.includes(urn(least, "aws:iam/rolePolicy:RolePolicy", name)), "it may read the stream by then");
  }
});

test("a worker may take longer than a look's budget and two calls", () => {
  const seconds = (file: string, pattern: RegExp) => {
    const found = pattern.exec(readFileSync(path.join(__dirname, "../../functions/src", file), "utf8"));
    return Number(found?.[1]);
  };
  const budget = seconds("setup.rs", /BUDGET: Duration = Duration::from_secs\((\d+)\)/);
  const call = seconds("pulumi/client.rs", /timeout: Duration::from_secs\((\d+)\)/);
  for (const name of ["apply", "deploy"]) {
    assert.ok(Number(one(least, LAMBDA, name).inputs.timeout) > budget + 2 * call, name);
  }
});

test("the HTTP API: two routes, each with its share, and a log without headers", () => {
  const routes = all(least, "aws:apigatewayv2/route:Route").map(({ inputs }) => inputs.routeKey);
  assert.deepEqual(routes.sort(), ["$default", "ANY /webhooks/pulumi"]);
  const { inputs, after } = one(least, "aws:apigatewayv2/stage:Stage", "http");
  assert.equal(inputs.name, "$default");
  const limits = { throttlingRateLimit: 20, throttlingBurstLimit: 50 };
  assert.deepEqual(inputs.defaultRouteSettings, limits);
  assert.deepEqual(inputs.routeSettings, [{ routeKey: "ANY /webhooks/pulumi", ...limits }]);
  const { format } = inputs.accessLogSettings as { format: string };
  assert.ok(!/header|authorization|query/i.test(format), format);
  assert.ok(after.includes(urn(least, "aws:apigatewayv2/route:Route", "receive")));
  for (const { inputs: to } of all(least, "aws:apigatewayv2/integration:Integration")) {
    assert.equal(to.payloadFormatVersion, "2.0");
    assert.ok(Number(to.timeoutMilliseconds) <= 30_000);
  }
  for (const name of ["receive", "api"]) {
    const { timeout } = one(least, LAMBDA, name).inputs;
    const { timeoutMilliseconds } = one(least, "aws:apigatewayv2/integration:Integration", name).inputs;
    assert.ok(Number(timeout) * 1000 < Number(timeoutMilliseconds), "the function gives up before API Gateway does");
  }
});

test("the clock: no retries, and a tick that is soon stale", () => {
  const { inputs } = one(least, "aws:scheduler/schedule:Schedule", "schedule");
  assert.equal(inputs.scheduleExpression, "rate(1 minute)");
  assert.equal(one(most, "aws:scheduler/schedule:Schedule", "schedule").inputs.scheduleExpression, "rate(5 minutes)");
  const { retryPolicy } = inputs.target as { retryPolicy: Inputs };
  assert.deepEqual(retryPolicy, { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 });
  const invoked = one(least, "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig", "schedule").inputs;
  assert.deepEqual([invoked.maximumRetryAttempts, invoked.maximumEventAgeInSeconds], [0, 60]);
});

test("what is to be told is looked for every minute, however often the clock rings", () => {
  const { inputs } = one(most, "aws:scheduler/schedule:Schedule", "notify-schedule");
  assert.deepEqual([inputs.name, inputs.scheduleExpression], ["signoff-test-notify", "rate(1 minute)"]);
  const target = inputs.target as { arn: string; retryPolicy: Inputs };
  assert.match(target.arn, /signoff-test-notify$/);
  assert.deepEqual(target.retryPolicy, { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 });
  assert.equal(all(least, "aws:scheduler/schedule:Schedule").length, 1);
});

test("a webhook in each organization, with the secret that the receiver has, once the receiver has it", () => {
  assert.deepEqual(
    all(most, WEBHOOK)
      .map(({ inputs }) => inputs.organizationName)
      .sort(),
    ["acme", "beta"],
  );
  const { inputs, after, ...options } = one(most, WEBHOOK, "webhook-acme");
  const anew = [options.replaceOnChanges, options.deleteBeforeReplace];
  assert.deepEqual(anew, [["name", "organizationName"], false], "under another name it is another one, made before this one goes");
  assert.deepEqual(inputs.groups, ["change_requests", "deployments", "environments"]);
  assert.deepEqual([inputs.format, inputs.active], ["raw", true]);
  assert.equal(inputs.payloadUrl, "https://signoff.example.com/webhooks/pulumi");
  assert.ok(inputs.secret instanceof Hidden && inputs.secret.value === secretOf("webhook-3"));
  assert.ok(
    after.includes(urn(most, LAMBDA, "receive")) && after.includes(urn(most, "aws:apigatewayv2/stage:Stage", "http")),
  );
  assert.equal(all(other, WEBHOOK).length, 0, "unless somebody else looks after it");
});

test("while a webhook secret is rotated, the one before stays as it was and is good too", () => {
  const passwords = (of: Run) =>
    all(of, "random:index/randomPassword:RandomPassword")
      .map(({ name }) => name)
      .sort();
  const both = ["github-webhook-1", "github-webhook-2", "webhook-2", "webhook-3"];
  assert.deepEqual([passwords(least), passwords(most)], [["webhook-1"], both]);
  const told = variables(most, "receive");
  assert.match(String(told.SIGNOFF_WEBHOOK_SECRET_ID), /webhook-3/);
  assert.match(String(told.SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID), /webhook-2/);
  assert.match(String(told.SIGNOFF_GITHUB_SECRET_ID), /github-webhook-2/);
  assert.match(String(told.SIGNOFF_GITHUB_SECRET_PREVIOUS_ID), /github-webhook-1/);
});

test("pushes: a door of their own, a token for whoever asks, and nothing of it where no gate names one", () => {
  const routes = (of: Run) => all(of, "aws:apigatewayv2/route:Route").map(({ inputs }) => inputs.routeKey);
  assert.ok(routes(most).includes("ANY /webhooks/github") && !routes(least).includes("ANY /webhooks/github"));
  const told = variables(most, "apply");
  assert.match(String(told.SIGNOFF_GITHUB_TOKEN_ID), /github-token/);
  assert.equal(told.SIGNOFF_GITHUB_URL, "https://github.example.com/api/v3");
  for (const name of functionsOf(least)) {
    const names = Object.keys(variables(least, name)).filter((key) => key.includes("GITHUB"));
    assert.deepEqual(names, [], name);
  }
  assert.equal(most.outputs.githubWebhookUrl?.value, "https://signoff.example.com/webhooks/github");
  assert.equal(least.outputs.githubWebhookUrl?.value, undefined);
});

test("Open rulesets: approvals by whom it says, and never one's own", () => {
  const { inputs } = one(most, "pulumiservice:index:ApprovalRule", "approval-acme/credentials/prod");
  assert.deepEqual(inputs.targetActionTypes, ["open"]);
  assert.equal(inputs.enabled, true);
  assert.deepEqual(inputs.environmentIdentifier, { organization: "acme", project: "credentials", name: "prod" });
  assert.deepEqual(inputs.approvalRuleConfig, {
    numApprovalsRequired: 2,
    allowSelfApproval: false,
    requireReapprovalOnChange: true,
    eligibleApprovers: [{ teamName: "sre" }, { user: "bob" }],
  });
  const imported = one(most, "pulumiservice:index:ApprovalRule", "approval-acme/shared/aws").inputs;
  assert.deepEqual(imported.environmentIdentifier, { organization: "acme", project: "shared", name: "aws" });
  assert.equal(all(least, "pulumiservice:index:ApprovalRule").length, 0);
});

test("names whose parts only differ in where they end are those of different resources", async () => {
  const environments = ["acme/web/api-prod", "acme/web-api/prod"];
  const { resources } = await run({
    ...LEAST,
    gates: { gate: environments.map((environment) => ({ stacks: [environment], environment })) },
    approvalRules: environments.map((environment) => ({ environment, approvers: [{ team: "sre" }] })),
    teams: [{ principal: "default", name: "signoff", members: ["signoff-bot"], stacks: environments }],
  });
  const names = (type: string) => resources.filter((one) => one.type.endsWith(`:${type}`)).map(({ name }) => name);
  assert.deepEqual(names("ApprovalRule").sort(), ["approval-acme/web-api/prod", "approval-acme/web/api-prod"]);
  for (const type of ["TeamStackPermission", "TeamEnvironmentPermission"]) {
    assert.deepEqual(names(type).sort(), ["team-default/web-api/prod", "team-default/web/api-prod"], type);
  }
});

test("a principal's team has write on its stacks, admin where destroy may be asked for, and open on its environments and what they import", () => {
  const stacks = all(most, "pulumiservice:index:TeamStackPermission").map(({ inputs }) => inputs);
  const permissions = stacks.map(({ team, organization, project, stack, permission }) => [
    team,
    organization,
    project,
    stack,
    permission,
  ]);
  assert.deepEqual(permissions.sort(), [
    ["signoff", "acme", "web", "prod", 102],
    ["signoff-pay", "beta", "app", "live", 103],
  ]);
  const environments = all(most, "pulumiservice:index:TeamEnvironmentPermission").map(({ inputs }) => inputs);
  assert.deepEqual(
    environments.map(({ team, organization, project, environment, permission }) => {
      return [team, `${organization}/${project}/${environment}`, permission];
    }),
    [
      ["signoff", "acme/credentials/prod", "open"],
      ["signoff", "acme/shared/aws", "open"],
      ["signoff", "acme/shared/dns", "open"],
      ["signoff-pay", "beta/secrets/live", "open"],
    ],
  );
});

test("checkpoints: signed, locked, closed to the public", () => {
  const key = one(most, "aws:kms/key:Key", "checkpoints").inputs;
  assert.deepEqual([key.keyUsage, key.customerMasterKeySpec], ["SIGN_VERIFY", "ECC_NIST_P256"]);
  assert.equal(one(most, "aws:s3/bucket:Bucket", "checkpoints").inputs.objectLockEnabled, true);
  const lock = one(most, "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration", "checkpoints").inputs;
  assert.deepEqual(lock.rule, { defaultRetention: { mode: "COMPLIANCE", days: 3650 } });
  const shut = one(most, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "checkpoints").inputs;
  assert.deepEqual(Object.values(shut).filter((value) => value === true).length, 4);
  assert.equal(all(least, "aws:s3/bucket:Bucket").length, 0);
});

test("no checkpoint is written before the bucket keeps it: the clock's function comes after all of the bucket's settings", () => {
  for (const run of [most, other]) {
    const { urn: function_, after } = one(run, LAMBDA, "reconcile");
    const settings = run.resources.filter(({ type }) => type.startsWith("aws:s3/bucket") && type !== "aws:s3/bucket:Bucket");
    assert.equal(settings.length, 5);
    for (const setting of settings) assert.ok(after.includes(setting.urn), setting.type);
    const clock = one(run, "aws:scheduler/schedule:Schedule", "schedule");
    assert.ok(clock.after.includes(function_), "and the clock after the function");
  }
});

test("alarms on everything that somebody has to look at, and a page that shows it", () => {
  const alarms = all(least, "aws:cloudwatch/metricAlarm:MetricAlarm").map(({ name }) => name);
  for (const run of [least, most]) {
    const there = all(run, "aws:cloudwatch/metricAlarm:MetricAlarm").map(({ name }) => name);
    for (const name of functionsOf(run)) {
      for (const what of ["errors", "throttles", "dead-letters"]) assert.ok(there.includes(`${name}-${what}`), name);
    }
    const tells = functionsOf(run).includes("notify");
    for (const name of ["notices-given-up", "no-notices"]) assert.equal(there.includes(name), tells, name);
  }
  const gate = ["pending", "bad-signatures", "token-refused", "table-throttles"];
  for (const name of [...gate, "apply-lag", "deploy-lag", "server-errors", "no-sweep"])
    assert.ok(alarms.includes(name), name);
  const silent = one(least, "aws:cloudwatch/metricAlarm:MetricAlarm", "no-sweep").inputs;
  assert.deepEqual(
    [silent.treatMissingData, silent.comparisonOperator, silent.threshold],
    ["breaching", "LessThanThreshold", 1],
  );
  const forged = one(least, "aws:cloudwatch/metricAlarm:MetricAlarm", "bad-signatures").inputs;
  assert.deepEqual(
    [forged.statistic, forged.comparisonOperator, forged.threshold, forged.period, forged.evaluationPeriods],
    ["Sum", "GreaterThanThreshold", 0, 3600, 1],
    "one wrong signature tells, for an hour",
  );
  assert.equal(one(most, "aws:cloudwatch/metricAlarm:MetricAlarm", "no-sweep").inputs.period, 900);
  const pending = (of: Run) => one(of, "aws:cloudwatch/metricAlarm:MetricAlarm", "pending").inputs;
  assert.equal(pending(most).threshold, 8 * 3600);
  assert.deepEqual([pending(least).period, pending(most).period], [300, 600], "in each period there is a sweep");
  const throttled = one(most, "aws:cloudwatch/metricAlarm:MetricAlarm", "table-throttles").inputs;
  assert.deepEqual([throttled.namespace, throttled.metricName], ["AWS/DynamoDB", "WriteThrottleEvents"]);
  assert.deepEqual(throttled.dimensions, { TableName: "signoff-restored" });
  assert.deepEqual([throttled.statistic, throttled.threshold, throttled.treatMissingData], ["Sum", 0, "notBreaching"]);
  for (const { inputs } of all(most, "aws:cloudwatch/metricAlarm:MetricAlarm")) {
    assert.deepEqual(inputs.alarmActions, MOST.alarms.topics);
  }
  for (const run of [least, most]) {
    const { widgets } = JSON.parse(
      String(one(run, "aws:cloudwatch/dashboard:Dashboard", "dashboard").inputs.dashboardBody),
    ) as {
      widgets: { properties: { metrics: unknown[]; title: string } }[];
    };
    for (const { properties } of widgets) assert.ok(properties.metrics.length > 0, properties.title);
    const shown = widgets.some(({ properties }) => properties.title === "Notices given up");
    assert.equal(shown, functionsOf(run).includes("notify"));
  }
});

test("an alarm on each outcome that somebody has to look at, and each of them is one that is written", () => {
  const found = all(least, "aws:cloudwatch/metricAlarm:MetricAlarm").filter(({ inputs }) => {
    return ["ApplyOutcomes", "DeployOutcomes"].includes(String(inputs.metricName));
  });
  const each = found.map(({ name, inputs }) => [name, inputs.metricName, (inputs.dimensions as Inputs).Outcome]);
  assert.deepEqual(each.sort(), [
    ["apply-applied-in-part", "ApplyOutcomes", "applied-in-part"],
    ["apply-error", "ApplyOutcomes", "error"],
    ["deploy-error", "DeployOutcomes", "error"],
    ["deploy-expired", "DeployOutcomes", "expired"],
    ["deploy-failed", "DeployOutcomes", "failed"],
  ]);
  const source = (file: string) => readFileSync(path.join(__dirname, "../../shared/src", file), "utf8");
  const written = source("request.rs") + source("measure.rs");
  for (const [name, , outcome] of each) assert.ok(written.includes(`"${outcome}"`), String(name));
  for (const { name, inputs } of found) {
    assert.deepEqual([inputs.statistic, inputs.threshold], ["Sum", 0], name);
    assert.match(String(inputs.alarmDescription), /`signoff list` shows /, name);
  }
  const inPart = one(least, "aws:cloudwatch/metricAlarm:MetricAlarm", "apply-applied-in-part").inputs;
  assert.match(String(inPart.alarmDescription), /; the grant stays open until it ends\.$/);
});

test("the console and the services have other addresses in China and in GovCloud", () => {
  const each = ["eu-central-1", "cn-north-1", "us-gov-west-1"].map((region) => [servicesOf(region), consoleOf(region)]);
  assert.deepEqual(each, [
    ["amazonaws.com", "eu-central-1.console.aws.amazon.com"],
    ["amazonaws.com.cn", "cn-north-1.console.amazonaws.cn"],
    ["amazonaws.com", "us-gov-west-1.console.amazonaws-us-gov.com"],
  ]);
  const url = String(least.outputs.dashboardUrl?.value);
  assert.ok(url.startsWith("https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#"), url);
});

test("the outputs say where it is and how to try it, and no secret", () => {
  assert.equal(least.outputs.webhookUrl?.value, `${least.outputs.apiUrl?.value}/webhooks/pulumi`);
  assert.match(String(least.outputs.dashboardUrl?.value), /#dashboards\/dashboard\/signoff-test$/);
  assert.match(String(least.outputs.tryIt?.value), /signoff request/);
  const shown = JSON.stringify([least.outputs, most.outputs]);
  assert.ok(SECRETS.every((secret) => !shown.includes(secret)));
});
