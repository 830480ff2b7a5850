import * as assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_NAME, MAX_POLICY } from "../config/limits";
import { readSettings } from "../config/settings";
import { LEAST, MOST, SIGNS } from "./configurations";
import { all, roles } from "./policies";
import { configure, type Run, run } from "./program";

/** The longest that a stack of this project may be called, and one that is a letter longer. */
const LONG = "x".repeat(MAX_NAME - "signoff-".length);
const TOO_LONG = `${LONG}x`;

/** Where names are longest at AWS, and what the mocks make up that is longer there. */
const ELSEWHERE: [string, string][] = [
  ["arn:aws:", "arn:aws-us-gov:"],
  ["eu-central-1", "ap-southeast-1"],
  ["table/table", "table/table-1a2b3c4"],
  ["key/checkpoints", "key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"],
];

/** The longest names that a principal or a channel may have. */
function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index}-`.padEnd(40, "x"));
}

/** Everything that makes policies long, with so many principals, and so many channels that hear something. */
function crowded(principals: number, channels: number, tableName?: string): Record<string, unknown> {
  const [first, second] = MOST.gates.gate;
  const more = names(principals - 1).map((principal) => ({ ...second, principal, notices: [] }));
  const channel = names(channels).map((name) => ({ name, kind: "webhook", url: "https://hooks.example.com/signoff" }));
  const notices = channel.map(({ name }) => ({ channel: name }));
  const others = Object.entries(MOST).filter(([key]) => !["approvalRules", "tableName", "teams"].includes(key));
  return {
    ...Object.fromEntries(others),
    gates: { channel, gate: [{ ...first, notices }, ...more] },
    tokens: Object.fromEntries(["default", ...names(principals - 1)].map((principal) => [principal, "pul-1"])),
    channelSecrets: Object.fromEntries(channel.map(({ name }) => [name, SIGNS])),
    encryptionKey: `arn:aws:kms:eu-central-1:111122223333:key/mrk-${"0".repeat(32)}`,
    // As long as elsewhere already, since these are counted as they are.
    otherKeys: ["1", "2", "3", "4", "5"].map((digit) => `arn:aws-us-gov:kms:ap-southeast-1:111122223333:key/mrk-${digit.repeat(32)}`),
    ...(tableName === undefined ? {} : { tableName }),
  };
}

/** How long each role's inline policies are together, wherever they are longest. */
function lengths(of: Run): Map<string, number> {
  const each = roles(of).map((role): [string, number] => {
    const theirs = all(of, "aws:iam/rolePolicy:RolePolicy").filter(({ inputs }) => inputs.role === `${role}-id`);
    assert.ok(theirs.length > 0, role);
    const written = theirs.map(({ inputs }) => String(inputs.policy)).join("").replaceAll(/\s/g, "");
    return [role, ELSEWHERE.reduce((text, [from, to]) => text.replaceAll(from, to), written).length];
  });
  return new Map(each);
}

/** The most that is taken of something. */
function most(config: (count: number) => Record<string, unknown>): number {
  const taken = (count: number) => {
    configure(config(count), ["tokens", "githubToken", "channelSecrets"]);
    try {
      readSettings();
      return true;
    } catch (error) {
      assert.match(String(error), /and the polic(y|ies) of /);
      return false;
    }
  };
  let count = 0;
  while (taken(count + 1)) count += 1;
  return count;
}

for (const [where, tableName] of [["in a new table", undefined], ["in one of the longest name", "t".repeat(255)]]) {
  test(`the policies of as many principals and channels as are taken are no longer than IAM lets them be, ${where}`, async () => {
    // From then on the stack has the longest name.
    await run(LEAST, undefined, undefined, LONG);
    const principals = most((count) => crowded(count, 1, tableName));
    const channels = most((count) => crowded(1, count, tableName));
    const crowd = (more: number, others: number) =>
      run(crowded(principals + more, channels + others, tableName), undefined, undefined, LONG);
    const found = lengths(await crowd(0, 0));
    for (const [role, length] of found) assert.ok(length <= MAX_POLICY, `${role}: ${length}`);
    // What is said of one more is what it would be, or a little above.
    const refused = async (more: number, others: number, said: string) => {
      const pattern = new RegExp(`^Error: signoff:gates: ${said}: that may take (\\d+) characters, and IAM gives a role's policies 10240; `);
      const error = await crowd(more, others).then(() => assert.fail("it was taken"), String);
      return Number(pattern.exec(error)?.[1] ?? assert.fail(error));
    };
    const many = `there are ${principals + 1} principals, and the policies of apply and deploy name the token of each`;
    const told = `notices go to ${channels + 1} channels, and the policy of notify names the secret of each`;
    const another = (kind: string) => `"arn:aws-us-gov:secretsmanager:ap-southeast-1:111122223333:secret:signoff-${LONG}/${kind}/-AbCdEf",`.length + 40;
    const above = [
      (await refused(1, 0, many)) - Number(found.get("apply")) - another("principals"),
      (await refused(0, 1, told)) - Number(found.get("notify")) - another("channels"),
    ];
    for (const characters of above) assert.ok(characters >= 0 && characters < 50, String(above));
  });
}

test("dozens of principals fit under usual names", async () => {
  await run(LEAST, undefined, undefined, "prod");
  const principals = most((count) => {
    const each = Array.from({ length: count }, (_, index) => `team-${index}`);
    const gate = each.map((principal) => ({ ...LEAST.gates.gate[0], principal }));
    return { gates: { gate }, tokens: Object.fromEntries(each.map((principal) => [principal, "pul-1"])) };
  });
  assert.ok(principals >= 50, String(principals));
});

test("a stack whose name can't begin those of functions and queues is refused", async () => {
  for (const bad of ["web.prod", TOO_LONG]) {
    const said = `the stack ${bad} can't be installed: names of functions, queues and schedules begin with signoff-${bad}: letters, digits, '-' and '_', 54 at most; `;
    await assert.rejects(run(LEAST, undefined, undefined, bad), (error: Error) => {
      return (error.message.startsWith(said) && error.message.includes("pulumi stack rename")) || assert.fail(error.message);
    });
  }
});

test("under the longest name that a stack may have, nothing has a name that AWS refuses", async () => {
  const { resources } = await run(MOST, undefined, undefined, LONG);
  const limits: Record<string, [key: string, most: number]> = {
    "aws:lambda/function:Function": ["name", 64],
    "aws:sqs/queue:Queue": ["name", 80],
    "aws:scheduler/schedule:Schedule": ["name", 64],
    "aws:apigatewayv2/api:Api": ["name", 128],
    "aws:cloudwatch/metricAlarm:MetricAlarm": ["name", 255],
    "aws:cloudwatch/dashboard:Dashboard": ["dashboardName", 255],
  };
  for (const [type, [key, longest]] of Object.entries(limits)) {
    const found = resources.filter((one) => one.type === type).map(({ inputs }) => String(inputs[key]));
    assert.ok(found.length > 0, type);
    for (const name of found) assert.ok(/^[A-Za-z0-9_-]+$/.test(name) && name.length <= longest, name);
  }
  const functions = resources.filter(({ type }) => type === "aws:lambda/function:Function");
  assert.ok(functions.some(({ inputs }) => String(inputs.name).length === 64), "a longer one would be too long");
});
