/** What people and Pulumi Cloud call things: the rules of `shared/src/names.rs` and `period.rs`, with the same complaints. */

/** Longest part of a stack or environment name, in characters. */
export const MAX_PART = 100;
/** Longest login, in characters. */
export const MAX_LOGIN = 200;
/** Longest reason, in characters. */
export const MAX_REASON = 1_000;
/** Longest period, in seconds: a year. */
export const MAX_PERIOD_SECONDS = 365 * 24 * 60 * 60;

const PART = /^(?=.*[^.])[A-Za-z0-9._-]{1,100}$/;
/** What no login has: what shows as nothing, turns text round or breaks it, and the Kelvin sign, which would pass for a k. */
const HIDES = /[\p{Cc}\p{White_Space}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB\u212A]/u;
const PATTERN = "a stack pattern is organization/project/stack, where * stands for anything within project or stack";
const UNITS: Record<string, bigint> = { s: 1n, m: 60n, h: 3_600n, d: 86_400n };

/** The three parts of a full name of a stack or an environment. */
export interface FullName {
  organization: string;
  project: string;
  name: string;
}

/** The parts of a full name that was checked before. */
export function partsOf(full: string): FullName {
  const [organization = "", project = "", name = ""] = full.split("/");
  return { organization, project, name };
}

/** What is wrong with a stack's full name. */
export function badStack(text: string): string | undefined {
  return badFullName(text, "a stack (organization/project/stack)");
}

/** What is wrong with an environment's full name. */
export function badEnvironment(text: string): string | undefined {
  return badFullName(text, "an environment (organization/project/environment)");
}

/** What is wrong with a pattern of stacks. */
export function badPattern(text: string): string | undefined {
  // A star can stand for any letter, so a pattern is good if the name that it makes with letters for its stars is.
  if (badStack(text.replaceAll("*", "x")) !== undefined) return PATTERN;
  return partsOf(text).organization.includes("*")
    ? "a stack pattern names one organization: * is for project and stack"
    : undefined;
}

/** What is wrong with a principal's name. */
export function badPrincipal(text: string): string | undefined {
  return /^[a-z][a-z0-9-]{0,39}$/.test(text)
    ? undefined
    : "a principal is a name of lower-case letters, digits and '-', beginning with a letter (40 at most)";
}

/** What is wrong with a login. */
export function badLogin(text: string): string | undefined {
  const length = [...text].length;
  const good = length >= 1 && length <= MAX_LOGIN && !HIDES.test(text);
  return good ? undefined : `a login is 1 to ${MAX_LOGIN} characters that can be seen, without spaces`;
}

/** What is wrong with somebody who may ask: a login, or `machine:` and a machine token's name. */
export function badAsker(text: string): string | undefined {
  if (!text.startsWith("machine:")) return badLogin(text);
  return text === "machine:" ? "machine: is followed by the machine token's name" : undefined;
}

/** What is wrong with a reason. */
export function badReason(text: string): string | undefined {
  const plain = text.replaceAll("\r\n", "\n");
  if ([...plain].length > MAX_REASON || /^\p{White_Space}*$/u.test(plain)) {
    return `a reason is 1 to ${MAX_REASON} characters, and says something`;
  }
  return /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u.test(plain)
    ? "a reason has no control characters but line breaks, and none that change the direction of text"
    : undefined;
}

/** What is wrong with a period such as `90s` or `3d`. */
export function badPeriod(text: string): string | undefined {
  const found = /^([1-9][0-9]*)([smhd])$/.exec(text);
  const unit = UNITS[found?.[2] ?? ""];
  if (found === null || unit === undefined) {
    return "a duration is a whole number without leading zeros and one of s, m, h, d, such as 90s or 3d";
  }
  const seconds = BigInt(found[1] ?? "0") * unit;
  return seconds <= BigInt(MAX_PERIOD_SECONDS) ? undefined : "a duration is a year (365d) at most";
}

/** How long a period is that nothing is wrong with, in seconds. */
export function seconds(period: string): number {
  return Number(period.slice(0, -1)) * Number(UNITS[period.slice(-1)] ?? 0n);
}

/** Whether a pattern covers a stack. */
export function covers(pattern: string, stack: string): boolean {
  const escaped = pattern.split("*").map((piece) => piece.replace(/[.]/g, "\\."));
  return new RegExp(`^${escaped.join("[^/]*")}$`).test(stack);
}

function badFullName(text: string, what: string): string | undefined {
  const parts = text.split("/");
  if (parts.length === 3 && parts.every((part) => PART.test(part))) return undefined;
  return `${what} is three names with slashes between them, each of letters, digits, '-', '_' and '.' (${MAX_PART} at most)`;
}
