/** The policies that a run declared, as data. */

import type { Declared, Run } from "./program";

/** A statement of a policy. */
export interface Allowed {
  Sid: string;
  Effect: string;
  Action: string[];
  Resource: string[];
  Condition?: Record<string, Record<string, string | string[]>>;
}

/** All resources of a type. */
export function all(run: Run, type: string): Declared[] {
  return run.resources.filter((one) => one.type === type);
}

/** The one resource of a type and a name. */
export function one(run: Run, type: string, name: string): Declared {
  const found = all(run, type).find((other) => other.name === name);
  if (found === undefined) throw new Error(`there is no ${type} of the name ${name}`);
  return found;
}

/** What the role of this name may do. */
export function allowed(run: Run, role: string): Allowed[] {
  const { inputs } = one(run, "aws:iam/rolePolicy:RolePolicy", role);
  return (JSON.parse(String(inputs.policy)) as { Statement: Allowed[] }).Statement;
}

/** The names of the functions that there are. */
export function functionsOf(run: Run): string[] {
  return all(run, "aws:lambda/function:Function").map(({ name }) => name);
}

/** The names of all roles. */
export function roles(run: Run): string[] {
  return all(run, "aws:iam/role:Role").map(({ name }) => name);
}
