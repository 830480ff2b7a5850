/** Limits of AWS that only show when everything is put together: how long names get, and how much a role's policies hold. */

import { channelsOf, type Gates, principalsOf } from "./gates";

/**
 * How long project and stack may be together, with the hyphen between them. The shortest limit is that of a function's name, 64 characters; `-reconcile` is
 * the longest end. (Queues take 80, and `-reconcile-dead-letters` is 23 of them; schedules take 64, dashboards 255.)
 */
export const MAX_NAME = 54;

/** What is wrong with project and stack as the beginning of names. */
export function badName(project: string, stack: string): string | undefined {
  const name = `${project}-${stack}`;
  if (/^[A-Za-z0-9_-]+$/.test(name) && name.length <= MAX_NAME) return undefined;
  const rule = `names of functions, queues and schedules begin with ${name}: letters, digits, '-' and '_', ${MAX_NAME} at most`;
  return `the stack ${stack} can't be installed: ${rule}; give the stack another name (pulumi stack rename), or the project (Pulumi.yaml)`;
}

/** How long all inline policies of a role may be together, in characters without white space (IAM). Each role has one. */
export const MAX_POLICY = 10_240;

/** What a policy has beside the secrets of which there may be many. */
interface Beside {
  /** Everything but names that somebody chose. */
  rest: number;
  /** How often the table's name is in it. */
  tables: number;
  /** How often the installation's name is in it. */
  names: number;
}

/**
 * What is in the policies with many secrets: with a customer's key, pushes and rescues, in whatever region, so that none of these is what makes one too long.
 * (That of `deploy` is shorter than that of `apply`; the other keys are counted as they are.) A test declares the longest and counts; who grants more counts anew.
 */
const BESIDE = {
  apply: { rest: 3_500, tables: 9, names: 3 },
  notify: { rest: 2_520, tables: 5, names: 3 },
};
/** What the ARN of a secret has beside its name, with quotes and a comma. */
const SECRET_ARN = 75;
/** In how many statements of these policies the keys are named, and what an ARN has there beside itself: quotes and a comma. */
const KEYS = { statements: 2, beside: 3 };
/** How long a table's name is that Pulumi makes up: `table-` and seven digits. */
const TABLE_NAME = 13;

/** What is named in the policies. */
interface Named {
  name: string;
  tableName: string | undefined;
  otherKeys: readonly string[];
  gates: Gates;
}

/** What is wrong with how many secrets the policies have to name: each one that a function may read, and no other. */
export function badPolicies(named: Named): string | undefined {
  const principals = principalsOf(named.gates).map((one) => `principals/${one}`);
  const acting = lengthOf(named, BESIDE.apply, principals);
  if (acting > MAX_POLICY) {
    const what = `there are ${principals.length} principals, and the policies of apply and deploy name the token of each`;
    return `${what}: ${tooLong(acting)}; let several gates have one principal, or install some gates as another stack`;
  }
  const channels = channelsOf(named.gates).map((one) => `channels/${one.name}`);
  const telling = lengthOf(named, BESIDE.notify, channels);
  if (telling <= MAX_POLICY) return undefined;
  const what = `notices go to ${channels.length} channels, and the policy of notify names the secret of each`;
  return `${what}: ${tooLong(telling)}; let several gates have one channel, or install some gates as another stack`;
}

/** How long a policy may get that names these secrets of an installation. */
function lengthOf({ name, tableName, otherKeys }: Named, { rest, tables, names }: Beside, secrets: readonly string[]): number {
  const keys = otherKeys.reduce((sum, key) => sum + KEYS.statements * (key.length + KEYS.beside), 0);
  const beside = rest + keys + tables * (tableName?.length ?? TABLE_NAME) + names * name.length;
  return secrets.reduce((sum, secret) => sum + SECRET_ARN + `${name}/${secret}`.length, beside);
}

function tooLong(length: number): string {
  return `that may take ${length} characters, and IAM gives a role's policies ${MAX_POLICY}`;
}
