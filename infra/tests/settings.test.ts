import * as assert from "node:assert/strict";
import { test } from "node:test";
import { type Node, parseDocument, type Scalar, type YAMLMap } from "yaml";
import { readGates, stored } from "../config/gates";
import { MAX_GATES_BYTES, readSettings } from "../config/settings";
import { example, GITHUB_TOKEN, LEAST, MOST, OTHER, runOf, SECRETS, SIGNS, SLACK, TOKEN, written } from "./configurations";
import { configure, run } from "./program";

const RULE = { environment: "acme/credentials/prod", approvers: [{ user: "bob" }] };
const KEY = "arn:aws:kms:eu-central-1:111122223333:key/0a1b";
const TOPIC = "arn:aws:sns:eu-central-1:111122223333:ops";
const TEAM = { principal: "default", name: "signoff", members: ["signoff-bot"], stacks: ["acme/web/prod"] };

/** What is changed in the least configuration, and what is said to it. */
const BAD: [Record<string, unknown>, RegExp][] = [
  [{ gate: [] }, /^signoff:gate: unknown field `gate`, expected one of `installation`/],
  [
    { gates: { gate: [{ stacks: ["acme/web"], environment: "acme/a/b" }] } },
    /^signoff:gates\.gate\[0\]\.stacks\[0\]: a stack pattern is/,
  ],
  [{ gates: "hold" }, /^signoff:gates: invalid type: string "hold", expected struct Gates$/],
  [
    { gates: { hold: true, gates: [] } },
    /^signoff:gates\.gates: unknown field `gates`, expected one of `hold`, `freezes`, `github-logins`, `channel`, `gate`$/,
  ],
  [{ freezes: [] }, /^signoff:freezes: unknown field `freezes`, expected one of `installation`/],
  [
    { gates: { freezes: [{ from: "2026-12-20T18:00", to: "2026-12-20T18:00", reason: "Audit" }] } },
    /^signoff:gates\.freezes\[0\]: the freeze from 2026-12-20T18:00 to 2026-12-20T18:00 ends before it begins/,
  ],
  [
    { gates: { gate: [{ ...LEAST.gates.gate[0], "time-zone": "+01:00" }] } },
    /^signoff:gates\.gate\[0\]\.time-zone: there is no time zone \+01:00; give an IANA name such as Europe\/Berlin$/,
  ],
  [{ architecture: "x86" }, /^signoff:architecture: unknown variant `x86`, expected `x86_64` or `arm64`$/],
  [{ memoryMb: 64 }, /^signoff:memoryMb: a whole number from 128 to 10240/],
  [{ memoryMb: "much" }, /^signoff:memoryMb: invalid type: string "much", expected a number$/],
  [{ logRetentionDays: 100 }, /^signoff:logRetentionDays: CloudWatch Logs knows/],
  [{ reservedConcurrency: { worker: 1 } }, /^signoff:reservedConcurrency\.worker: unknown variant/],
  [{ pulumiUrl: "http://api.pulumi.example.com" }, /^signoff:pulumiUrl: an address begins with https/],
  [
    { caBundle: "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----" },
    /^signoff:caBundle: certificates in PEM have to stand here, and nothing else$/,
  ],
  [{ caBundle: "/etc/ssl/own.pem" }, /^signoff:caBundle: certificates in PEM/],
  [
    { publicUrl: "https://a.example.com/signoff" },
    /^signoff:publicUrl: an address begins with https:\/\/ and has no path$/,
  ],
  [{ installation: "two words" }, /^signoff:installation: one word/],
  ...["alias/mine", "arn:aws:kms:eu-central-1:111122223333:alias/mine"].map((encryptionKey): (typeof BAD)[number] => [
    { encryptionKey },
    /^signoff:encryptionKey: this is an alias, which IAM does not resolve in a policy: the functions would be denied the key; give the ARN of the key itself/,
  ]),
  ...["*", "key/*", "key/", "key/0a1b/2c", "key/0a_1b"].map((rest): (typeof BAD)[number] => [
    { encryptionKey: `arn:aws:kms:eu-central-1:111122223333:${rest}` },
    /^signoff:encryptionKey: aws, create or the ARN of a key, arn:aws:kms:…:key\/…, has to stand here$/,
  ]),
  [{ encryptionKey: "0a1b2c3d" }, /^signoff:encryptionKey: aws, create or the ARN of a key/],
  [{ encryptionKey: "arn:aws:sns:eu-central-1:111122223333:key/0a1b" }, /^signoff:encryptionKey: aws, create or the ARN/],
  [{ otherKeys: KEY }, /^signoff:otherKeys: invalid type: string .*, expected a sequence$/],
  [{ otherKeys: ["alias/mine"] }, /^signoff:otherKeys\[0\]: this is an alias, which IAM does not resolve/],
  ...["aws", "create", `${KEY}/*`, TOPIC].map((other): (typeof BAD)[number] => [
    { otherKeys: [KEY, other] },
    /^signoff:otherKeys\[1\]: the ARN of a key, arn:aws:kms:…:key\/…, has to stand here$/,
  ]),
  [{ otherKeys: [KEY, `${KEY}-2`, KEY] }, /^signoff:otherKeys: arn:.*:key\/0a1b is there twice$/],
  [{ encryptionKey: KEY, otherKeys: [KEY] }, /^signoff:otherKeys: arn:.*:key\/0a1b is the encryptionKey; here stand/],
  [{ otherKeys: [1, 2, 3, 4, 5, 6].map((at) => `${KEY}-${at}`) }, /^signoff:otherKeys: there are 6 keys; 5 is the most$/],
  [{ "aws:region": "eu-west-1", encryptionKey: KEY }, /^signoff:encryptionKey: this is in eu-central-1, and aws:region is eu-west-1; one of eu-west-1 has to/],
  [{ "aws:region": "eu-west-1", otherKeys: [KEY] }, /^signoff:otherKeys\[0\]: this is in eu-central-1, and aws:region is eu-west-1/],
  [
    { "aws:region": "eu-central-1", alarms: { topics: [TOPIC, "arn:aws:sns:us-east-1:111122223333:ops"] } },
    /^signoff:alarms\.topics\[1\]: this is in us-east-1, and aws:region is eu-central-1/,
  ],
  [
    { alarms: { topics: [1, 2, 3, 4, 5, 6].map((at) => `${TOPIC}-${at}`) } },
    /^signoff:alarms\.topics: there are 6 topics; CloudWatch tells 5 at most$/,
  ],
  ...["application", "Application", "INSTALLATION"].map((own): (typeof BAD)[number] => [
    { tags: { [own]: "x" } },
    new RegExp(`^signoff:tags\\.${own}: the program sets application and installation itself, .*; give it another name$`),
  ]),
  ...["aws:team", "AWS:team"].map((own): (typeof BAD)[number] => [
    { tags: { [own]: "x" } },
    new RegExp(`^signoff:tags\\.${own}: AWS keeps tags that begin with aws: for itself; give it another name$`),
  ]),
  [
    { tags: { team: "a", other: "b", Team: "c" } },
    /^signoff:tags\.Team: IAM takes team and Team for the same key; leave one of them out$/,
  ],
  [
    { checkpoints: { enabled: "yes" } },
    /^signoff:checkpoints\.enabled: invalid type: string "yes", expected a boolean$/,
  ],
  [{ webhook: { acceptPrevious: true } }, /^signoff:webhook\.acceptPrevious: there is no secret before/],
  [
    { approvalRules: [{ ...RULE, environment: "acme/credentials/test" }] },
    /^signoff:approvalRules\[0\]: environment: .* is no gate's, and in imports of none$/,
  ],
  [{ approvalRules: [RULE, RULE] }, /^signoff:approvalRules\[1\]: environment: .* has a rule already$/],
  [{ approvalRules: [{ ...RULE, approvers: [] }] }, /^signoff:approvalRules\[0\]: approvers: without one/],
  [{ approvalRules: [{ ...RULE, approvals: 2 }] }, /^signoff:approvalRules\[0\]: approvers: 1 can't give 2 approvals$/],
  [
    { approvalRules: [{ ...RULE, approvers: [{ user: "bob", team: "sre" }] }] },
    /approvers\[0\]: an approver is either a user or a team$/,
  ],
  [
    { approvalRules: [{ ...RULE, approvers: [{ team: "signoff" }] }], teams: [TEAM] },
    /approvers: signoff is a principal's team$/,
  ],
  [{ approvalRules: [{ ...RULE, selfApproval: true }] }, /^signoff:approvalRules\[0\]\.selfApproval: unknown field/],
  [
    { imports: { "acme/credentials/test": ["acme/shared/aws"] } },
    /^signoff:imports\.acme\/credentials\/test: acme\/credentials\/test is no gate's environment$/,
  ],
  [
    { imports: { "acme/credentials/prod": ["acme/shared/aws", "beta/shared/aws"] } },
    /^signoff:imports\.acme\/credentials\/prod: beta\/shared\/aws: an environment imports others, of its own organization$/,
  ],
  [{ imports: { "acme/credentials/prod": ["acme/credentials/prod"] } }, /: an environment imports others/],
  [
    { imports: { "acme/credentials/prod": ["shared/aws"] } },
    /^signoff:imports\.acme\/credentials\/prod\[0\]: an environment \(organization\/project\/environment\) is three names/,
  ],
  [{ teams: [{ ...TEAM, principal: "other" }] }, /^signoff:teams\[0\]: principal: no gate names other$/],
  [
    { teams: [{ ...TEAM, stacks: ["acme/web/test"] }] },
    /^signoff:teams\[0\]: stacks: the gate of acme\/web\/test is not one of/,
  ],
  [{ teams: [{ ...TEAM, stacks: [...TEAM.stacks, ...TEAM.stacks] }] }, /^signoff:teams\[0\]: stacks: acme\/web\/prod is there twice$/],
  [{ teams: [{ ...TEAM, members: [] }] }, /^signoff:teams\[0\]: members: the principal's own login/],
  [{ tableName: "a b" }, /^signoff:tableName: a table's name/],
  [{ alarms: { topics: ["ops"] } }, /^signoff:alarms\.topics\[0\]: an ARN of sns/],
  [{ tokens: { default: "" } }, /^signoff:tokens\.default: an empty token is a missing one$/],
  [{ tokens: { Default: "x" } }, /^signoff:tokens\.Default: a principal is a name of lower-case letters/],
];

for (const [change, said] of BAD) {
  test(`refused: ${JSON.stringify(change)}`, async () => {
    await assert.rejects(
      run({ ...LEAST, ...change }),
      (error: Error) => said.test(error.message) || assert.fail(error.message),
    );
  });
}

test("the gates fit into one item of the table, or the preview says by how much they don't", async () => {
  const gate = { ...LEAST.gates.gate[0], requesters: Array.from({ length: 2_000 }, (_, index) => `somebody-${index}-of-zürich`) };
  const gates = (count: number) => ({ gate: Array.from({ length: count }, () => gate) });
  const size = (count: number) => Buffer.byteLength(stored(readGates(gates(count))));
  const most = Math.floor(MAX_GATES_BYTES / size(1));
  assert.ok(size(most) <= MAX_GATES_BYTES && MAX_GATES_BYTES < size(most + 1) && size(1) > stored(readGates(gates(1))).length);
  await run({ ...LEAST, gates: gates(most) });
  const said = `signoff:gates: the gates take ${size(most + 1)} bytes as they are stored, and an item of the table holds 400000: `;
  await assert.rejects(run({ ...LEAST, gates: gates(most + 1) }), (error: Error) => {
    return error.message.startsWith(said) || assert.fail(error.message);
  });
});

test("without gates there is nothing to install", async () => {
  await assert.rejects(
    run({ tokens: LEAST.tokens }),
    /^Error: signoff:gates: invalid type: null, expected struct Gates$/,
  );
});

test("a token in plain text is refused, and not shown", async () => {
  await assert.rejects(run(LEAST, []), (error: Error) => {
    return /^signoff:tokens: a token stands here in plain text/.test(error.message) && !error.message.includes(TOKEN);
  });
});

test("a token for GitHub in plain text is refused, and one that is missing is said", async () => {
  await assert.rejects(run({ ...LEAST, githubToken: GITHUB_TOKEN }, ["tokens"]), (error: Error) => {
    return /^signoff:githubToken: a token stands here/.test(error.message) && !error.message.includes(GITHUB_TOKEN);
  });
  const [gate] = MOST.gates.gate;
  await assert.rejects(
    run({ ...LEAST, gates: { gate: [{ ...gate, notices: [] }] } }),
    /signoff:githubToken: a gate names pushes, and there is no token to read branches with$/,
  );
});

test("each channel needs a secret that is one, and a secret a channel", async () => {
  const gates = { ...LEAST.gates, channel: OTHER.gates.channel };
  const audit = { name: "audit", kind: "webhook", url: "https://hooks.example.com/signoff" };
  const refused = (channel: unknown[], channelSecrets: unknown, said: RegExp, secretKeys?: string[]) =>
    assert.rejects(run({ ...LEAST, gates: { ...gates, channel }, channelSecrets }, secretKeys), (error: Error) => {
      const shown = SECRETS.some((secret) => error.message.includes(secret));
      return (said.test(error.message) && !shown) || assert.fail(error.message);
    });
  const missing = (of: string, what: string) =>
    new RegExp(`^signoff:channelSecrets: the channel ${of} has no secret; set ${what}.*: pulumi config set --secret --path signoff:channelSecrets.${of}$`);
  await assert.rejects(run({ ...LEAST, gates }), (error: Error) => missing("ops", "the address").test(error.message));
  await refused(gates.channel, { ops: " " }, missing("ops", "the address of the incoming webhook at Slack"));
  await refused([...gates.channel, audit], { ops: SLACK }, missing("audit", "the key that signs its webhooks, whsec_ and"));
  await refused(gates.channel, { ops: SLACK, audit: SIGNS }, /^signoff:channelSecrets: there is no channel audit$/);
  await refused(gates.channel, { ops: SLACK, Audit: SIGNS }, /^signoff:channelSecrets\.Audit: a channel is a name/);
  await refused(gates.channel, { ops: SIGNS }, /^signoff:channelSecrets: what stands here for the channel ops is not the address/);
  for (const bad of [SLACK, "whsec_c2hvcnQ=", SIGNS.slice(6), `${SIGNS} x`, `${SIGNS}=`]) {
    await refused([audit], { audit: bad }, /^signoff:channelSecrets: what stands here for the channel audit is not the key/);
  }
  await refused(gates.channel, { ops: SLACK }, /^signoff:channelSecrets: a secret stands here in plain text/, ["tokens"]);
  await refused(gates.channel, SLACK, /^signoff:channelSecrets: channels' names with their secrets have to stand here$/);
  await run({ ...LEAST, gates: { ...gates, channel: [audit] }, channelSecrets: { audit: `${SIGNS} ${SIGNS}` } });
});

test("a principal of a gate needs a token", async () => {
  const gates = { gate: [{ ...LEAST.gates.gate[0], principal: "payments" }] };
  await assert.rejects(run({ ...LEAST, gates }), /signoff:tokens: the principal payments of a gate has no token/);
});

test("a principal and a channel may be called as something that every object has", async () => {
  const gate = { ...LEAST.gates.gate[0], principal: "constructor", notices: [{ channel: "constructor" }] };
  const gates = { channel: [{ name: "constructor", kind: "slack" }], gate: [gate] };
  const channelSecrets = { constructor: SLACK };
  await assert.rejects(run({ ...LEAST, gates, channelSecrets }), /signoff:tokens: the principal constructor of a gate has no token/);
  const tokens = { constructor: TOKEN };
  await assert.rejects(run({ ...LEAST, gates, tokens }), /signoff:channelSecrets: the channel constructor has no secret; /);
  const { resources } = await run({ ...LEAST, gates, tokens, channelSecrets });
  const names = resources.filter(({ type }) => type.endsWith(":SecretVersion")).map(({ name }) => name);
  assert.deepEqual(names.sort(), ["channel-constructor", "principal-constructor", "webhook-1"]);
});

test("what is in the configured region is taken, and anything if the configuration names none", async () => {
  await runOf("least");
  const all = { encryptionKey: KEY, otherKeys: [`${KEY}-2`], alarms: { topics: [TOPIC] }, tags: { "cost-center": "4711", Team: "a" } };
  const regions = [{ "aws:region": "eu-central-1" }, {}];
  for (const region of regions) {
    configure({ ...LEAST, ...all, ...region }, ["tokens"]);
    const { encryptionKey, otherKeys, tags } = readSettings();
    assert.deepEqual({ encryptionKey, otherKeys, tags }, { encryptionKey: KEY, otherKeys: all.otherKeys, tags: all.tags });
  }
});

test("the example is good, and shows every key", async () => {
  const { resources } = await runOf("example");
  assert.ok(resources.length > 80);
  const shown = new Set(Object.keys(example()));
  const commented = ["githubToken", "channelSecrets", "pulumiUrl", "caBundle", "publicUrl", "reservedConcurrency", "tableName"];
  for (const key of [...Object.keys(MOST)]) assert.ok(shown.has(key) || commented.includes(key), key);
  const { freezes, gate } = example().gates as { freezes: object[]; gate: object[] };
  assert.ok(freezes.length > 0);
  const every = ["principal", "runs-as", "access-duration", "grant-expiration", "pending-timeout", "self-approval", "commit"];
  for (const key of [...every, ...Object.keys(MOST.gates.gate[0] ?? {})]) assert.ok(key in (gate[0] ?? {}), key);
});

test("a key in several regions is a key, and logs may be kept for ten years", async () => {
  await runOf("least");
  const settings = (config: Record<string, unknown>) => {
    configure({ ...LEAST, ...config }, ["tokens"]);
    return readSettings();
  };
  const encryptionKey = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d";
  assert.equal(settings({ encryptionKey }).encryptionKey, encryptionKey);
  assert.equal(settings({ logRetentionDays: 3653 }).logRetentionDays, 3653);
});

/** The keys of a part of the example that say nothing of a default, with their values. */
function unsaid(...part: (string | number)[]): [string, unknown][] {
  const map = parseDocument(written()).getIn(part) as YAMLMap<Scalar<string>, Node>;
  return map.items
    .filter(({ key, value }) => ![key.commentBefore, value?.commentBefore, value?.comment].some((said) => /default/i.test(said ?? "")))
    .map(({ key, value }) => [key.value, value?.toJSON()]);
}

test("what the example shows is the default, unless it says otherwise", async () => {
  await runOf("least");
  const settings = (config: Record<string, unknown>) => {
    configure({ ...LEAST, ...config }, ["tokens"]);
    const { tokens, ...rest } = readSettings();
    assert.ok(tokens.has("default"));
    return rest;
  };
  const keys = unsaid("config").filter(([key]) => key.startsWith("signoff:"));
  for (const [key, value] of keys) assert.deepEqual(settings({ [key.slice(8)]: value }), settings({}), key);
  const [one] = LEAST.gates.gate;
  const gates = (of: Record<string, unknown>, more: object = {}) => readGates({ gate: [{ ...one, ...of }], ...more });
  const top = unsaid("config", "signoff:gates").filter(([key]) => key !== "gate");
  for (const [key, value] of top) assert.deepEqual(gates({}, { [key]: value }), gates({}), key);
  const each = unsaid("config", "signoff:gates", "gate", 0).filter(([key]) => !["stacks", "environment"].includes(key));
  for (const [key, value] of each) assert.deepEqual(gates({ [key]: value }), gates({}), key);
  assert.ok(keys.length > 8 && top.length > 0 && each.length > 6, "there is something to compare");
});
