import * as assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import cases from "../../tests/gates/cases.json";
import { MAX_CONDITIONS } from "../config/conditions";
import { BadConfiguration } from "../config/decode";
import { gateOf, MAX_GATES, readGates } from "../config/gates";
import { badLogin, covers } from "../config/names";
import { MAX_CHANNELS, TOPICS } from "../config/notices";

const ONE = { stacks: ["acme/*/prod"], environment: "acme/credentials/prod" };

for (const { name, json, error } of cases) {
  test(`gates: ${name}`, () => {
    if (error === null) {
      const gates = readGates(json);
      assert.deepEqual(readGates(JSON.parse(JSON.stringify(gates))), gates, "what is stored reads as what was meant");
      return;
    }
    const refused = (found: unknown) =>
      found instanceof BadConfiguration && found.path === error.path && found.reason === error.message;
    assert.throws(() => readGates(json), refused);
  });
}

test("there are good cases and bad ones, each of a name of its own", () => {
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
  assert.ok(cases.filter(({ error }) => error === null).length >= 10);
  assert.ok(cases.filter(({ error }) => error !== null).length >= 50);
});

test("what is left out has its default", () => {
  assert.deepEqual(readGates({ gate: [ONE] }), {
    hold: false,
    gate: [
      {
        stacks: ["acme/*/prod"],
        environment: "acme/credentials/prod",
        operations: ["update", "preview", "refresh", "destroy"],
        principal: "default",
        "runs-as": "caller",
        "access-duration": "1h",
        "grant-expiration": "1h",
        "pending-timeout": "72h",
        "self-approval": false,
        commit: "optional",
      },
    ],
  });
});

test("there is a most of gates", () => {
  const gates = (count: number) => ({ gate: Array.from({ length: count }, () => ONE) });
  assert.equal(readGates(gates(MAX_GATES)).gate.length, MAX_GATES);
  assert.throws(() => readGates(gates(501)), { path: "gate", reason: "there are 501 gates; 500 is the most" });
});

test("there is a most of windows and of freezes", () => {
  const freezes = (count: number) => {
    return Array.from({ length: count }, () => ({ from: "2026-12-20T18:00", to: "2027-01-04T08:00", reason: "Audit" }));
  };
  const windows = (count: number) => {
    const two = (number: number) => String(number).padStart(2, "0");
    const minutes = Array.from({ length: count }, (_, at) => `${two(Math.floor(at / 30))}:${two((at % 30) * 2)}`);
    return minutes.map((from) => `daily ${from}-${from.slice(0, 4)}${Number(from.slice(4)) + 1}`);
  };
  const own = (keys: Record<string, unknown>) => () => readGates({ gate: [{ ...ONE, ...keys }] });
  assert.equal(own({ windows: windows(MAX_CONDITIONS) })().gate[0]?.windows?.length, MAX_CONDITIONS);
  assert.equal(own({ freezes: freezes(MAX_CONDITIONS) })().gate[0]?.freezes?.length, MAX_CONDITIONS);
  assert.equal(readGates({ freezes: freezes(MAX_CONDITIONS) }).freezes?.length, MAX_CONDITIONS);
  const most = "there are 101; 100 is the most";
  assert.throws(own({ windows: windows(101) }), { path: "gate[0]", reason: `windows: ${most}` });
  assert.throws(own({ freezes: freezes(101) }), { path: "gate[0]", reason: `freezes: ${most}` });
  const all = () => readGates({ freezes: freezes(101) });
  assert.throws(all, { path: "freezes", reason: "there are 101 freezes; 100 is the most" });
});

test("there is a most of channels and of notices", () => {
  const channel = Array.from({ length: MAX_CHANNELS + 1 }, (_, at) => ({ name: `c${at}`, kind: "slack" }));
  const notices = channel.map(({ name }) => ({ channel: name }));
  const read = (count: number, ...keys: unknown[]) => () =>
    readGates({ channel: channel.slice(0, count), gate: [{ ...ONE, notices: keys[0] ?? notices.slice(0, count) }] });
  assert.equal(read(MAX_CHANNELS)().gate[0]?.notices?.length, MAX_CHANNELS);
  assert.throws(read(MAX_CHANNELS + 1, []), { path: "channel", reason: "there are 51 channels; 50 is the most" });
  assert.throws(read(MAX_CHANNELS, notices), { path: "gate[0]", reason: "notices: there are 51; 50 is the most" });
});

test("a notice is stored with its topics in order, each once, and without what says no more than its default", () => {
  const channel = [{ name: "ops", kind: "slack" }];
  const read = (notice: Record<string, unknown>) =>
    readGates({ channel, gate: [{ ...ONE, notices: [{ channel: "ops", ...notice }] }] }).gate[0]?.notices;
  assert.deepEqual(read({ on: ["broken", "waiting", "broken"], reminders: false }), [
    { channel: "ops", on: ["waiting", "broken"] },
  ]);
  assert.deepEqual(read({ on: [...TOPICS].reverse(), reminders: true }), [{ channel: "ops", reminders: true }]);
});

test("what is empty is not stored, since an empty list of windows would be refused when it is read", () => {
  const [gate] = readGates({ freezes: [], gate: [{ ...ONE, windows: null, freezes: [], "approvals-for": {} }] }).gate;
  const unset = ["requesters", "windows", "freezes", "wait", "approvals-for", "break-glass"];
  assert.deepEqual(
    unset.filter((key) => key in (gate ?? {})),
    [],
  );
  assert.ok(!("freezes" in readGates({ freezes: [] })));
});

test("no login has a character that the functions refuse", () => {
  const source = readFileSync(path.join(__dirname, "../../shared/src/names.rs"), "utf8");
  const body = (name: string) => new RegExp(`pub fn ${name}\\(c: char\\) -> bool \\{(.*?)\\n\\}`, "s").exec(source)?.[1] ?? "";
  const listed = ["hides", "is_invisible", "is_bidirectional"].flatMap((name) => {
    const found = [...body(name).matchAll(/'\\u\{([0-9A-F]+)\}'(?:\.\.='\\u\{([0-9A-F]+)\}')?/g)];
    assert.ok(found.length > 0, name);
    return found.map(([, from = "", to = from]) => [Number.parseInt(from, 16), Number.parseInt(to, 16)] as const);
  });
  for (const [from, to] of listed) {
    for (let code = from; code <= to; code += 1) {
      assert.notEqual(badLogin(`al${String.fromCodePoint(code)}ice`), undefined, code.toString(16));
    }
  }
  assert.ok(listed.some(([from, to]) => from === 0xfff9 && to === 0xfffb), "the list is read as it is written");
  assert.equal(badLogin("Zoë-世界"), undefined);
});

test("a star stands for anything within one part, and the first gate that matches counts", () => {
  assert.ok(covers("acme/*/prod", "acme/web/prod") && covers("acme/web-*/eu-*-1", "acme/web-/eu--1"));
  assert.ok(!covers("acme/*/prod", "acme/web/staging") && !covers("acme/*/prod", "other/web/prod"));
  assert.ok(!covers("acme/a.b/prod", "acme/axb/prod"), "a dot is a dot");
  const gates = readGates({ gate: [ONE, { stacks: ["acme/web/*"], environment: "acme/credentials/other" }] });
  assert.equal(gateOf(gates, "acme/web/prod")?.environment, "acme/credentials/prod");
  assert.equal(gateOf(gates, "acme/web/test")?.environment, "acme/credentials/other");
  assert.equal(gateOf(gates, "acme/api/test"), undefined);
});
