import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { before, test } from "node:test";
import * as schema from "../parts/schema";
import { runOf } from "./configurations";
import { type Allowed, allowed, all, functionsOf } from "./policies";
import type { Run } from "./program";

const TABLES = "arn:aws:dynamodb:eu-central-1:111122223333:table/";

let least: Run;
let most: Run;

before(async () => {
  least = await runOf("least");
  most = await runOf("most");
});

/** What a role may do to items of the table: each action with its leading keys, and each index that it may query, or the part of it. */
function onTable(name: string, run = least): string[] {
  const said: string[] = [];
  const arn = `${TABLES}${all(run, "aws:dynamodb/table:Table")[0]?.name}`;
  for (const { Action, Resource, Condition } of allowed(run, name)) {
    const keys = Condition?.["ForAllValues:StringLike"]?.["dynamodb:LeadingKeys"];
    if (keys !== undefined) {
      assert.deepEqual(Condition?.Null, { "dynamodb:LeadingKeys": "false" }, "there has to be a leading key");
      assert.ok(Array.isArray(keys) && keys.length > 0);
    }
    if (Resource.every((one) => one.startsWith(`${arn}/index/`))) {
      const part = keys === undefined ? "" : ` ${String(keys)}`;
      for (const one of Resource) said.push(`${Action} ${one.slice(`${arn}/index/`.length)}${part}`);
    } else if (Resource.includes(arn)) {
      assert.deepEqual(Resource, [arn]);
      assert.ok(Array.isArray(keys));
      said.push(`${Action} ${keys.join(" ")}`);
    }
  }
  return said.map((one) => one.replace("dynamodb:", "")).sort();
}

test("each function may do to the table what its box in the diagram does, and nothing else", () => {
  assert.deepEqual(onTable("receive"), ["PutItem HOOK#*"]);
  assert.deepEqual(onTable("api"), [
    "BatchGetItem REQ#*",
    "GetItem CONFIG IDEM#* STACK#* REQ#*",
    "PutItem IDEM#* REQ#*",
    "Query REQ#*",
    "Query by-day",
    "Query by-organization",
    "Query due",
    "UpdateItem STACK#* REQ#*",
  ]);
  assert.deepEqual(onTable("apply"), [
    "BatchGetItem REQ#*",
    "GetItem CR#* CONFIG STACK#* REQ#*",
    "PutItem CR#* ONCE#* REQ#*",
    "Query due",
    "UpdateItem STACK#* PRINCIPAL#* REQ#*",
  ]);
  assert.deepEqual(onTable("deploy"), [
    "BatchGetItem REQ#*",
    "GetItem CONFIG STACK#* REQ#*",
    "PutItem REQ#*",
    "UpdateItem STACK#* REQ#*",
  ]);
  assert.deepEqual(onTable("reconcile"), [
    "BatchGetItem REQ#*",
    "GetItem CONFIG",
    "PutItem ONCE#* REQ#*",
    "Query due",
    "UpdateItem REQ#*",
  ]);
});

/** What a function may do to the table in a run beyond the least. */
function more(name: string, run: Run): string[] {
  return onTable(name, run).filter((one) => !onTable(name).includes(one));
}

test("where pushes ask for deployments, the clock has branches looked at", async () => {
  const example = await runOf("example");
  assert.deepEqual(more("reconcile", example), ["PutItem HOOK#*"]);
  assert.deepEqual(more("apply", example), []);
});

test("where refused runs are asked for, the clock has stacks looked at, and each run is asked for once", async () => {
  const other = await runOf("other");
  assert.deepEqual(more("reconcile", other), ["PutItem HOOK#*", "Query by-day"], "the latter for the checkpoints");
  assert.deepEqual(more("apply", other), ["GetItem IDEM#*", "PutItem IDEM#*"]);
});

test("nobody deletes, scans or writes the gates", () => {
  for (const name of functionsOf(most)) {
    for (const statement of allowed(most, name)) {
      for (const action of statement.Action) assert.doesNotMatch(action, /Delete|Scan|PartiQL|BatchWrite|Purge/i);
      const writes = statement.Action.some((action) => /PutItem|UpdateItem/.test(action));
      const keys = statement.Condition?.["ForAllValues:StringLike"]?.["dynamodb:LeadingKeys"] ?? [];
      assert.ok(!writes || (keys.length > 0 && !keys.includes("CONFIG")), `${name} ${statement.Sid}`);
    }
  }
});

test("each secret is read by those that must, and by nobody else", () => {
  const secrets = (name: string) => reading(allowed(most, name)).map((arn) => arn.split(":secret:signoff-test/")[1]);
  const webhooks = ["webhook-3-AbCdEf", "webhook-2-AbCdEf"];
  assert.deepEqual(secrets("receive"), [...webhooks, "github-webhook-2-AbCdEf", "github-webhook-1-AbCdEf"]);
  const tokens = ["principals/default-AbCdEf", "principals/payments-AbCdEf"];
  assert.deepEqual([secrets("apply"), secrets("deploy")], [[...tokens, "github-token-AbCdEf"], tokens]);
  assert.deepEqual([secrets("api"), secrets("reconcile"), secrets("schedule")], [[], [], []]);
  const channels = ["channels/ops-AbCdEf", "channels/audit-AbCdEf"];
  assert.deepEqual(secrets("notify"), [...channels, "github-token-AbCdEf"], "and none of a channel that nobody hears through");
});

test("who sends notices sees those that are due, and nothing else of that index", () => {
  assert.deepEqual(onTable("notify", most), [
    "BatchGetItem REQ#*",
    "GetItem CONFIG",
    "Query REQ#*",
    "Query due notices",
    "UpdateItem REQ#*",
  ]);
  // What makes a notice due puts it into its request's partition, in the transaction that records the event.
  for (const name of ["api", "apply", "deploy"]) {
    assert.ok(onTable(name).some((one) => /^PutItem .*REQ#\*/.test(one)), name);
  }
});

test("the stream is read by the two workers alone", () => {
  const readers = functionsOf(most).filter((name) =>
    allowed(most, name).some(({ Action }) => Action.includes("dynamodb:GetRecords")),
  );
  assert.deepEqual(readers.sort(), ["apply", "deploy"]);
});

test("a function writes its own log and its own dead letters", () => {
  for (const name of functionsOf(most)) {
    const of = (sid: string) => allowed(most, name).find(({ Sid }) => Sid === sid);
    const log = `arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/signoff-test-${name}:*`;
    assert.deepEqual(of("WriteLog")?.Resource, [log]);
    assert.deepEqual(of("DeadLetters")?.Resource, [
      `arn:aws:sqs:eu-central-1:111122223333:signoff-test-${name}-dead-letters`,
    ]);
  }
});

test("checkpoints are written, read and signed by reconcile, and by nobody else, and deleted by nobody", () => {
  const own = (action: string) => action.startsWith("s3:") || ["kms:GetPublicKey", "kms:Sign"].includes(action);
  for (const name of functionsOf(most)) {
    const used = allowed(most, name).flatMap(({ Action }) => Action.filter(own));
    const needed = ["s3:PutObject", "s3:GetObject", "s3:ListBucket", "kms:GetPublicKey", "kms:Sign"];
    assert.deepEqual(used, name === "reconcile" ? needed : []);
  }
  for (const name of functionsOf(least)) {
    assert.deepEqual(allowed(least, name).flatMap(({ Action }) => Action.filter(own)), []);
  }
  const of = (sid: string) => allowed(most, "reconcile").find(({ Sid }) => Sid === sid);
  const bucket = of("ListCheckpoints")?.Resource[0];
  assert.deepEqual(of("ListCheckpoints")?.Condition, { StringLike: { "s3:prefix": "checkpoints/*" } });
  for (const sid of ["WriteCheckpoints", "ReadCheckpoints"]) {
    assert.deepEqual(of(sid)?.Resource, [`${bucket}/checkpoints/*`]);
  }
  assert.equal(of("SignCheckpoints")?.Resource.length, 1);
  const source = readFileSync(path.join(__dirname, "../../functions/src/checkpoint/bucket.rs"), "utf8");
  assert.ok(source.includes('const FOLDER: &str = "checkpoints/";'), "the functions write elsewhere");
});

test("a customer's key is used through AWS's services alone", () => {
  for (const name of functionsOf(most)) {
    for (const { Sid, Action, Condition } of allowed(most, name)) {
      if (Action.every((action) => !action.startsWith("kms:")) || Sid === "SignCheckpoints") continue;
      assert.match(
        String(Condition?.StringEquals?.["kms:ViaService"]),
        /^(dynamodb|secretsmanager|s3)\.eu-central-1\.amazonaws\.com$/,
      );
    }
    assert.ok(
      allowed(most, name).some(({ Sid }) => Sid === "Keydynamodb"),
      name,
    );
  }
  for (const name of functionsOf(least)) {
    assert.ok(!allowed(least, name).some(({ Action }) => Action.some((action) => action.startsWith("kms:"))), name);
  }
});

test("keys, indexes and attributes are those of the functions", () => {
  const source = readFileSync(path.join(__dirname, "../../functions/src/dynamo/keys.rs"), "utf8");
  const constant = (name: string) => new RegExp(`const ${name}: &str = "([^"]+)"`).exec(source)?.[1];
  assert.deepEqual([constant("PK"), constant("SK"), constant("EXPIRES")], [schema.PK, schema.SK, schema.EXPIRES]);
  assert.equal(constant("NOTICES"), schema.NOTICES);
  const { byOrganization, byDay, due } = schema.INDEXES;
  const index = (...names: string[]) => names.map(constant);
  assert.deepEqual(index("BY_ORGANIZATION", "ORGANIZATION", "ID"), [
    byOrganization.name,
    byOrganization.hash,
    byOrganization.range,
  ]);
  assert.deepEqual(index("BY_DAY", "DAY", "AT"), [byDay.name, byDay.hash, byDay.range]);
  assert.deepEqual(index("DUE_INDEX", "SHARD", "DUE"), [due.name, due.hash, due.range]);
  assert.equal(constant("GATES"), schema.GATES.attribute);
  assert.ok(source.includes(`Self::new("${schema.GATES.pk}", "${schema.GATES.sk}")`));
  assert.equal(constant("REQUESTS"), schema.LEADING.request.replace("*", ""));
  const prefixes = [...source.matchAll(/Self::new\(format!\("([A-Z]+#)/g)].map((found) => `${found[1]}*`);
  const known = Object.values(schema.LEADING).filter(
    (key) => key !== schema.LEADING.request && key !== schema.GATES.pk,
  );
  assert.deepEqual(prefixes.sort(), [...known].sort());
});

function reading(statements: Allowed[]): string[] {
  return statements
    .filter(({ Action }) => Action.includes("secretsmanager:GetSecretValue"))
    .flatMap(({ Resource }) => Resource);
}
