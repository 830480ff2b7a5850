/** Gates: the document of `signoff.toml`, here as data in the stack's configuration, under the rules of `shared/src/gate.rs`. */

import { badConditions, badWindow, badZone, type Freeze, freeze, MAX_CONDITIONS } from "./conditions";
import { BadConfiguration, bool, byName, checked, fields, list, maybe, u32, word } from "./decode";
import { badNotices, type Channel, channel, MAX_CHANNELS, type Notice, notice } from "./notices";
import { badGitHubLogin, badPushes, MAX_LOGINS, type Push, push } from "./pushes";
import { badAsker, badEnvironment, badLogin, badPattern, badPeriod, badPrincipal, covers, partsOf, seconds } from "./names";

/** The most gates that a configuration may hold. */
export const MAX_GATES = 500;
/** What may be asked for, in the order in which it is stored. */
export const OPERATIONS = ["update", "preview", "refresh", "destroy"] as const;

/** What a deployment does. */
export type Operation = (typeof OPERATIONS)[number];

/**
 * One gate. What has been there from the beginning is filled in; a newer key that says no more than its default is left out, so that functions of a
 * version that doesn't know it go on while they are replaced.
 */
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
  "time-zone"?: string;
  windows?: string[];
  freezes?: Freeze[];
  wait?: string;
  "pending-extension"?: string;
  "approvals-for"?: Partial<Record<Operation, number>>;
  "break-glass"?: string[];
  pushes?: Push[];
  "newer-push"?: "queue";
  "supersede-approved"?: true;
  "allow-older"?: boolean;
  rescue?: true;
  notices?: Notice[];
}

/**
 * All gates, in order, the switch that holds them all, the freezes of all of them, who is who at GitHub, and where notices go: what the table's item
 * `CONFIG` says.
 */
export interface Gates {
  hold: boolean;
  freezes?: Freeze[];
  "github-logins"?: Record<string, string>;
  channel?: Channel[];
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
    "time-zone": checked(badZone),
    windows: maybe(list(checked(badWindow))),
    freezes: list(freeze),
    wait: maybe(checked(badPeriod)),
    "pending-extension": maybe(checked(badPeriod)),
    "approvals-for": byName(word(...OPERATIONS), u32),
    "break-glass": maybe(list(checked(badLogin))),
    pushes: list(push(OPERATIONS)),
    "newer-push": word("supersede", "queue"),
    "supersede-approved": bool,
    "allow-older": maybe(bool),
    rescue: bool,
    notices: list(notice),
  },
  ["stacks", "environment"],
);

const document = fields("struct Gates", {
  hold: bool,
  freezes: list(freeze),
  "github-logins": byName(checked(badGitHubLogin), checked(badLogin)),
  channel: list(channel),
  gate: list(gate),
});

/** Reads the document, and fills in what is left out. Throws {@link BadConfiguration}. */
export function readGates(value: unknown): Gates {
  const found = document(value, "");
  const gates = found.gate ?? [];
  if (gates.length > MAX_GATES) {
    throw new BadConfiguration("gate", `there are ${gates.length} gates; ${MAX_GATES} is the most`);
  }
  const { freezes = [], "github-logins": logins = {} } = found;
  if (freezes.length > MAX_CONDITIONS) {
    throw new BadConfiguration("freezes", `there are ${freezes.length} freezes; ${MAX_CONDITIONS} is the most`);
  }
  const known = Object.keys(logins).length;
  if (known > MAX_LOGINS) {
    throw new BadConfiguration("github-logins", `there are ${known} logins; ${MAX_LOGINS} is the most`);
  }
  const { channel: channels = [] } = found;
  checkChannels(channels, gates);
  for (const [at, { pushes = [] }] of gates.entries()) {
    for (const { stack } of pushes) {
      const first = gates.findIndex((one) => one.stacks.some((pattern) => covers(pattern, stack)));
      if (first < at) {
        const reason = `${stack} is covered by gate ${first + 1} before this one, gate ${at + 1}`;
        throw new BadConfiguration(`gate[${at}].pushes`, reason);
      }
    }
  }
  return {
    hold: found.hold ?? false,
    ...(freezes.length === 0 ? {} : { freezes }),
    ...(known === 0 ? {} : { "github-logins": logins }),
    ...(channels.length === 0 ? {} : { channel: channels }),
    gate: gates,
  };
}

/** The gates as the table's item has them. */
export function stored(gates: Gates): string {
  return JSON.stringify(gates);
}

function checkChannels(channels: readonly Channel[], gates: readonly Gate[]): void {
  if (channels.length > MAX_CHANNELS) {
    throw new BadConfiguration("channel", `there are ${channels.length} channels; ${MAX_CHANNELS} is the most`);
  }
  const names = channels.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) < at);
  if (twice !== undefined) throw new BadConfiguration("channel", `two channels have the name ${twice}`);
  for (const [at, { notices = [] }] of gates.entries()) {
    const astray = notices.find((one) => !names.includes(one.channel));
    if (astray === undefined) continue;
    throw new BadConfiguration(`gate[${at}].notices`, `there is no channel ${astray.channel}`);
  }
}

/** The gate of a stack: the first that matches. */
export function gateOf(gates: Gates, stack: string): Gate | undefined {
  return gates.gate.find((one) => one.stacks.some((pattern) => covers(pattern, stack)));
}

/** The principals that the gates name, each once, in the order of their names. */
export function principalsOf(gates: Gates): string[] {
  return [...new Set(gates.gate.map((one) => one.principal))].sort();
}

/** Whether a push asks for anything. */
export function hasPushes(gates: Gates): boolean {
  return gates.gate.some((one) => one.pushes !== undefined);
}

/** The channels that hear of something, in order. */
export function channelsOf(gates: Gates): Channel[] {
  const heard = gates.gate.flatMap(({ notices = [] }) => notices.map((one) => one.channel));
  return (gates.channel ?? []).filter(({ name }) => heard.includes(name));
}

/** Whether anybody is told of anything: a channel, or GitHub beside the commit that was pushed. */
export function tells(gates: Gates): boolean {
  return hasPushes(gates) || channelsOf(gates).length > 0;
}

/** Whether a run that was refused is asked for anywhere. */
export function hasRescue(gates: Gates): boolean {
  return gates.gate.some((one) => one.rescue === true);
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
  const { wait, "pending-timeout": pending = "72h" } = found;
  if (wait !== undefined && seconds(wait) >= seconds(pending)) {
    const told = `${wait} is not shorter than the pending-timeout of ${pending}`;
    throw new BadConfiguration(path, `wait: a request would expire before it is over; ${told}`);
  }
  if (requesters?.length === 0) {
    const reason = "requesters: an empty list lets nobody ask; leave the key out to let everyone who may";
    throw new BadConfiguration(path, reason);
  }
  const { "time-zone": zone = "UTC", "pending-extension": extension } = found;
  const { windows, freezes = [], "approvals-for": people = {}, "break-glass": breakGlass } = found;
  const approvalsFor = OPERATIONS.flatMap((one): [Operation, number][] => {
    const count = people[one];
    return count === undefined ? [] : [[one, count]];
  });
  const reason = badConditions({ windows, freezes, approvalsFor, breakGlass }, operations);
  if (reason !== undefined) throw new BadConfiguration(path, reason);
  const { pushes = [], "newer-push": newer, "supersede-approved": supersedeApproved = false } = found;
  const bad = badPushes({ pushes, newer, supersedeApproved }, stacks, operations);
  if (bad !== undefined) throw new BadConfiguration(path, bad);
  const { "allow-older": allowOlder, rescue = false, notices = [] } = found;
  const wrong = badNotices(notices);
  if (wrong !== undefined) throw new BadConfiguration(path, wrong);
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
    ...(zone === "UTC" ? {} : { "time-zone": zone }),
    ...(windows === undefined ? {} : { windows }),
    ...(freezes.length === 0 ? {} : { freezes }),
    ...(wait === undefined ? {} : { wait }),
    ...(extension === undefined ? {} : { "pending-extension": extension }),
    ...(approvalsFor.length === 0 ? {} : { "approvals-for": Object.fromEntries(approvalsFor) }),
    ...(breakGlass === undefined ? {} : { "break-glass": breakGlass }),
    ...(pushes.length === 0 ? {} : { pushes }),
    ...(newer === "queue" ? { "newer-push": newer } : {}),
    ...(supersedeApproved ? { "supersede-approved": true } : {}),
    ...(allowOlder === undefined ? {} : { "allow-older": allowOlder }),
    ...(rescue ? { rescue: true } : {}),
    ...(notices.length === 0 ? {} : { notices }),
  };
}
