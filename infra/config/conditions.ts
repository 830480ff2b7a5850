/** When an approved request may be applied, and what else it takes: the rules of `shared/src/conditions.rs`, with the same complaints. */

import { BadConfiguration, checked, type Decoder, fields, maybe } from "./decode";
import { badReason } from "./names";

/** The most windows, and the most freezes, that one list may hold. */
export const MAX_CONDITIONS = 100;
/** The most people that a gate may ask for. */
export const MAX_APPROVALS = 100;

/** A time in which nothing is applied, and why. Without a time zone, the clocks of the gate count. */
export interface Freeze {
  from: string;
  to: string;
  reason: string;
  "time-zone"?: string;
}

/** What a gate says about its conditions; what it leaves out is `undefined`. */
export interface Conditions {
  windows: string[] | undefined;
  freezes: Freeze[] | undefined;
  /** How many people have to approve an operation, in the order of the operations. */
  approvalsFor: [operation: string, people: number][];
  breakGlass: string[] | undefined;
}

interface Window {
  days: boolean[];
  from: number;
  to: number;
}

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_A_DAY = 24 * 60;

/**
 * Names that `Intl` takes beside IANA's of today, in small letters. The functions do not know them, and some (`IST`, `BST`) mean one thing here and
 * another there.
 */
const NOT_IANA =
  /^(act|aet|agt|art|ast|bet|bst|cat|cnt|cst|ctt|eat|ect|iet|ist|jst|mit|net|nst|plt|pnt|prt|pst|sst|vst|systemv\/.*|us\/pacific-new|canada\/east-saskatchewan)$/;

/** What is wrong with the name of a time zone. */
export function badZone(text: string): string | undefined {
  const plain = text.toLowerCase();
  // An offset such as +01:00 is a time zone to a newer `Intl`, and no name.
  const named = /^[a-z][a-z0-9_+/-]*$/.test(plain) && !NOT_IANA.test(plain);
  return named && isKnown(text) ? undefined : `there is no time zone ${text}; give an IANA name such as Europe/Berlin`;
}

/** What is wrong with a window such as `mon-fri 09:00-17:00`. */
export function badWindow(text: string): string | undefined {
  const window = windowOf(text);
  if (window === undefined) {
    return "a window is days and hours, such as mon-fri 09:00-17:00, sat,sun 10:00-12:00 or daily 22:00-24:00";
  }
  if (window.from === window.to) return `the window ${text} has no length and would never let anything through`;
  return window.from > window.to
    ? `the window ${text} ends before it begins; give two for a night, such as fri 22:00-24:00 and sat 00:00-06:00`
    : undefined;
}

/** What is wrong with the beginning or the end of a freeze, such as `2026-12-20T18:00`. */
export function badLocal(text: string): string | undefined {
  const moment = /^(-00)?\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text) ? momentOf(text) : Number.NaN;
  // A day that its month does not have, or the hour 24, is shown again as another one.
  const good = !Number.isNaN(moment) && new Date(moment).toISOString() === `${text}:00.000Z`;
  return good ? undefined : "a freeze begins and ends at a date and time such as 2026-12-20T18:00";
}

const draft = fields(
  "struct FreezeDraft",
  {
    from: checked(badLocal),
    to: checked(badLocal),
    reason: checked(badReason),
    "time-zone": maybe(checked(badZone)),
  },
  ["from", "to", "reason"],
);

/** A freeze. */
export const freeze: Decoder<Freeze> = (value, path) => {
  const { from = "", to = "", reason = "", "time-zone": zone } = draft(value, path);
  if (momentOf(from) >= momentOf(to)) {
    throw new BadConfiguration(path, `the freeze from ${from} to ${to} ends before it begins, or has no length`);
  }
  return { from, to, reason, ...(zone === undefined ? {} : { "time-zone": zone }) };
};

/** What is wrong with a gate's conditions together, for the operations that it lets be asked for. */
export function badConditions(conditions: Conditions, operations: readonly string[]): string | undefined {
  const { windows, freezes = [], approvalsFor, breakGlass } = conditions;
  if (windows?.length === 0) {
    return "windows: an empty list would never let anything through; leave the key out to let it through at any time";
  }
  for (const [at, window] of (windows ?? []).entries()) {
    const other = windows?.slice(0, at).find((earlier) => overlap(earlier, window));
    if (other !== undefined) return `windows: ${other} and ${window} overlap`;
  }
  for (const [name, count] of [["windows", windows?.length ?? 0] as const, ["freezes", freezes.length] as const]) {
    if (count > MAX_CONDITIONS) return `${name}: there are ${count}; ${MAX_CONDITIONS} is the most`;
  }
  for (const [operation, people] of approvalsFor) {
    if (!operations.includes(operation)) return `approvals-for: this gate does not let ${operation} be asked for`;
    if (people < 1 || people > MAX_APPROVALS) {
      return `approvals-for: ${operation} takes from 1 to ${MAX_APPROVALS} people`;
    }
  }
  if (breakGlass?.some((login) => login.startsWith("machine:")) === true) {
    return "break-glass: a machine has no judgement to break the glass with; name people by their logins";
  }
  return breakGlass?.length === 0
    ? "break-glass: an empty list names nobody; leave the key out to let nobody lift anything"
    : undefined;
}

function isKnown(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

function windowOf(text: string): Window | undefined {
  const found = /^(\S+) (\d\d:\d\d)-(\d\d:\d\d)$/.exec(text);
  const [days, from, to] = [daysOf(found?.[1] ?? ""), clockOf(found?.[2] ?? ""), clockOf(found?.[3] ?? "")];
  return days === undefined || from === undefined || to === undefined ? undefined : { days, from, to };
}

function daysOf(text: string): boolean[] | undefined {
  if (text === "daily") return DAYS.map(() => true);
  const days = DAYS.map(() => false);
  for (const part of text.split(",")) {
    const ends = part.split("-").map((day) => DAYS.indexOf(day));
    const [first = -1, last = first] = ends;
    if (ends.length > 2 || first < 0 || last < 0) return undefined;
    // A range may go round the end of the week.
    const length = (last + 7 - first) % 7;
    for (let step = 0; step <= length; step += 1) days[(first + step) % 7] = true;
  }
  return days;
}

function clockOf(text: string): number | undefined {
  if (text === "") return undefined;
  const [hour = 0, minute = 0] = text.split(":").map(Number);
  const minutes = hour * 60 + minute;
  return minute < 60 && minutes <= MINUTES_OF_A_DAY ? minutes : undefined;
}

function overlap(one: string, other: string): boolean {
  const [a, b] = [windowOf(one), windowOf(other)];
  if (a === undefined || b === undefined) return false;
  return a.days.some((on, day) => on && b.days[day] === true) && a.from < b.to && b.from < a.to;
}

/** A date and time as a number to compare with others of the same clocks. */
function momentOf(text: string): number {
  return Date.parse(`${text}Z`);
}
