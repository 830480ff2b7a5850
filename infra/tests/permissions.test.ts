import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { before, test } from "node:test";
import granted from "../../tests/permissions.json";
import * as schema from "../parts/schema";
import { CONFIGURATIONS, LEAST, runOf } from "./configurations";
import { type Allowed, allowed, all, functionsOf } from "./policies";
import { type Run, run } from "./program";

/** What the policies grant by `tests/permissions.json`, by what is configured; the tests of the functions let nothing else through. */
const GRANTED = granted as Record<string, Partial<Record<string, string[]>>>;
/** What each configuration has beyond the least. */
const CONFIGURED: Record<string, string[]> = {
  least: [],
  example: ["github", "notices"],
  other: ["checkpoints", "notices", "rescue"],
  most: ["checkpoints", "github", "notices", "rescue"],
};
/** What no function calls itself, and what a customer's key takes; other tests look at these. */
const ASIDE = /^(WriteLog|DeadLetters|Key[a-z0-9]+)$/;

let least: Run;
let most: Run;

before(async () => {
  least = await runOf("least");
  most = await runOf("most");
});

/** What a role may do, as the shared file says it. */
function grants(name: string, run: Run): string[] {
  const said = allowed(run, name).filter(({ Sid }) => !ASIDE.test(Sid));
  const theirs = said.flatMap((one) => {
    const at = one.Resource.flatMap((arn) => places(one, arn, run));
    return one.Action.flatMap((action) => at.map((place) => `${action} ${place}`));
  });
  return [...new Set(theirs)].sort();
}

/** The places that a statement means by a resource: leading keys, indexes or parts of them, and names without what is an installation's own. */
function places({ Sid, Condition }: Allowed, arn: string, run: Run): string[] {
  const keys = Condition?.["ForAllValues:StringLike"]?.["dynamodb:LeadingKeys"];
  if (keys !== undefined) {
    assert.deepEqual(Condition?.Null, { "dynamodb:LeadingKeys": "false" }, "there has to be a leading key");
    assert.ok(Array.isArray(keys) && keys.length > 0);
    assert.equal(Object.keys(Condition ?? {}).length, 2, Sid);
  }
  const table = `arn:aws:dynamodb:eu-central-1:111122223333:table/${all(run, "aws:dynamodb/table:Table")[0]?.name}`;
  if (arn === table) return keys === undefined ? ["everything"] : [...keys];
  if (arn.startsWith(`${table}/index/`)) {
    const index = arn.slice(`${table}/`.length);
    return keys === undefined ? [index] : [...keys].map((key) => `${index} ${key}`);
  }
  const prefix = Condition?.StringLike?.["s3:prefix"];
  assert.deepEqual(Object.keys(Condition ?? {}), prefix === undefined ? [] : ["StringLike"], Sid);
  if (arn === `${table}/stream/*`) return ["streams"];
  if (arn.startsWith(`${table}/stream/`)) return ["stream"];
  const secret = /:secret:signoff-test\/(.+)-AbCdEf$/.exec(arn)?.[1];
  if (secret !== undefined) return [secret.replace(/(?<=-)\d+$|(?<=^(principals|channels)\/).+$/, "*")];
  const bucket = all(run, "aws:s3/bucket:Bucket")[0];
  if (bucket !== undefined && arn.startsWith(`arn:aws:s3:::${bucket.name}-`)) {
    return [prefix === undefined ? arn.slice(arn.indexOf("/") + 1) : String(prefix)];
  }
  return [arn.endsWith(":key/checkpoints") ? "checkpoints" : arn];
}

test("each function may do what the shared file says, and nothing else", async () => {
  for (const [name, sections] of Object.entries(CONFIGURED)) {
    const run = await runOf(name);
    for (const role of functionsOf(run)) {
      const said = ["always", ...sections].flatMap((section) => GRANTED[section]?.[role] ?? []);
      assert.deepEqual(grants(role, run), [...new Set(said)].sort(), `${role}, ${name}`);
    }
  }
  assert.deepEqual(Object.keys(CONFIGURED).sort(), Object.keys(CONFIGURATIONS).sort(), "every configuration");
  const known = functionsOf(most);
  for (const [section, functions] of Object.entries(GRANTED)) {
    for (const name of Object.keys(functions)) assert.ok(known.includes(name), `${section} ${name}`);
  }
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

test("who looks for requests sees no notices, and who looks for notices no requests", () => {
  const asked = functionsOf(most).map((name) => {
    const due = allowed(most, name).filter(({ Resource }) => Resource.some((arn) => arn.endsWith("/index/due")));
    return [name, due.flatMap(({ Condition }) => Condition?.["ForAllValues:StringLike"]?.["dynamodb:LeadingKeys"] ?? "all")];
  });
  const { SHARDS: requests, NOTICES } = schema;
  assert.deepEqual(Object.fromEntries(asked), {
    receive: [],
    api: [...requests],
    apply: [...requests],
    deploy: [],
    reconcile: [...requests],
    notify: [NOTICES],
  });
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

test("the other keys are used as the customer's own is, and where AWS's own keys encrypt, too", async () => {
  const others = ["first", "second"].map((id) => `arn:aws:kms:eu-central-1:111122223333:key/${id}`);
  const own = "arn:aws:kms:eu-central-1:111122223333:key/0a1b";
  const checkpoints = { enabled: true };
  const found = async (config: Record<string, unknown>, region?: string) => {
    const done = await run({ ...LEAST, checkpoints, ...config }, undefined, undefined, undefined, region);
    return functionsOf(done).map((name) => [name, allowed(done, name).filter(({ Sid }) => Sid.startsWith("Key"))] as const);
  };
  const through = { dynamodb: 5, secretsmanager: 3, s3: 1 };
  for (const [config, keys] of [
    [{ otherKeys: others }, others],
    [{ otherKeys: others, encryptionKey: own }, [own, ...others]],
  ] as const) {
    const each = await found(config);
    for (const [service, roles] of Object.entries(through)) {
      const theirs = each.flatMap(([, said]) => said.filter(({ Sid }) => Sid === `Key${service}`));
      assert.equal(theirs.length, roles, service);
      for (const { Resource, Condition } of theirs) {
        assert.deepEqual(Resource, keys);
        assert.deepEqual(Condition, { StringEquals: { "kms:ViaService": `${service}.eu-central-1.amazonaws.com` } });
      }
    }
    for (const [name, said] of each) assert.ok(said.every(({ Sid }) => Object.keys(through).includes(Sid.slice(3))), name);
  }
  assert.deepEqual((await found({})).flatMap(([, said]) => said), []);
  const inChina = (await found({ otherKeys: others }, "cn-north-1")).flatMap(([, said]) => said);
  const services = inChina.map(({ Condition }) => String(Condition?.StringEquals?.["kms:ViaService"]));
  assert.deepEqual([...new Set(services)].sort(), Object.keys(through).map((one) => `${one}.cn-north-1.amazonaws.com.cn`).sort());
});

test("keys, indexes and attributes are those of the functions", () => {
  const source = readFileSync(path.join(__dirname, "../../functions/src/dynamo/keys.rs"), "utf8");
  const constant = (name: string) => new RegExp(`const ${name}: &str = "([^"]+)"`).exec(source)?.[1];
  assert.deepEqual([constant("PK"), constant("SK"), constant("EXPIRES")], [schema.PK, schema.SK, schema.EXPIRES]);
  assert.equal(constant("NOTICES"), schema.NOTICES);
  const shards = /const SHARDS: \[&str; \d+\] = (\[[^\]]+\]);/.exec(source)?.[1] ?? "";
  assert.deepEqual(JSON.parse(shards), schema.SHARDS);
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
