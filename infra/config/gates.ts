/** Gates: the document of `signoff.toml`, here as data in the stack's configuration, under the rules of `shared/src/gate.rs`. */

import { BadConfiguration, bool, checked, fields, list, maybe, word } from "./decode";
import { badAsker, badEnvironment, badPattern, badPeriod, badPrincipal, covers, partsOf } from "./names";

/** The most gates that a configuration may hold. */
export const MAX_GATES = 500;
/** What may be asked for, in the order in which it is stored. */
export const OPERATIONS = ["update", "preview", "refresh", "destroy"] as const;

/** What a deployment does. */
export type Operation = (typeof OPERATIONS)[number];

/** One gate, with nothing left out but `requesters`. */
export interface Gate {
  stacks: string[];
  environment: string;
  operations: Operation[];
  principal: string;
  "runs-as": "caller" | "stack";
  "access-duration": string;
  "grant-expiration": string;
  "pending-timeout": string;
  "self-approval": boolean;
  commit: "optional" | "required";
  requesters?: string[];
}

/** All gates, in order, and the switch that holds them all: what the table's item `CONFIG` says. */
export interface Gates {
  hold: boolean;
  gate: Gate[];
}

const written = fields(
  "struct Draft",
  {
    stacks: list(checked(badPattern)),
    environment: checked(badEnvironment),
    operations: maybe(list(word(...OPERATIONS))),
    principal: checked(badPrincipal),
    "runs-as": maybe(word("caller", "stack")),
    "access-duration": maybe(checked(badPeriod)),
    "grant-expiration": maybe(checked(badPeriod)),
    "pending-timeout": maybe(checked(badPeriod)),
    "self-approval": bool,
    commit: maybe(word("optional", "required")),
    requesters: maybe(list(checked(badAsker))),
  },
  ["stacks", "environment"],
);

const document = fields("struct Gates", { hold: bool, gate: list(gate) });

/** Reads the document, and fills in what is left out. Throws {@link BadConfiguration}. */
export function readGates(value: unknown): Gates {
  const found = document(value, "");
  const gates = found.gate ?? [];
  if (gates.length > MAX_GATES) {
    throw new BadConfiguration("gate", `there are ${gates.length} gates; ${MAX_GATES} is the most`);
  }
  return { hold: found.hold ?? false, gate: gates };
}

/** The gate of a stack: the first that matches. */
export function gateOf(gates: Gates, stack: string): Gate | undefined {
  return gates.gate.find((one) => one.stacks.some((pattern) => covers(pattern, stack)));
}

/** The principals that the gates name, each once, in the order of their names. */
export function principalsOf(gates: Gates): string[] {
  return [...new Set(gates.gate.map((one) => one.principal))].sort();
}

/** The organizations whose stacks are gated, each once, in the order of their names. */
export function organizationsOf(gates: Gates): string[] {
  return [...new Set(gates.gate.map((one) => partsOf(one.environment).organization))].sort();
}

function gate(value: unknown, path: string): Gate {
  const found = written(value, path);
  const { stacks = [], environment = "", operations = [...OPERATIONS], requesters } = found;
  if (stacks.length === 0) throw new BadConfiguration(path, "stacks: a gate covers at least one stack");
  const organization = partsOf(environment).organization;
  const stranger = stacks.find((pattern) => partsOf(pattern).organization !== organization);
  if (stranger !== undefined) {
    const reason = `environment: ${environment} is in another organization than the stacks ${stranger}`;
    throw new BadConfiguration(path, reason);
  }
  if (operations.length === 0) {
    throw new BadConfiguration(path, "operations: a gate lets at least one operation be asked for");
  }
  if (requesters?.length === 0) {
    const reason = "requesters: an empty list lets nobody ask; leave the key out to let everyone who may";
    throw new BadConfiguration(path, reason);
  }
  return {
    stacks,
    environment,
    operations: OPERATIONS.filter((one) => operations.includes(one)),
    principal: found.principal ?? "default",
    "runs-as": found["runs-as"] ?? "caller",
    "access-duration": found["access-duration"] ?? "1h",
    "grant-expiration": found["grant-expiration"] ?? "1h",
    "pending-timeout": found["pending-timeout"] ?? "72h",
    "self-approval": found["self-approval"] ?? false,
    commit: found.commit ?? "optional",
    ...(requesters === undefined ? {} : { requesters }),
  };
}
