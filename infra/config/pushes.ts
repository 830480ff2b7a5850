/** Which pushes ask for what: the rules of `shared/src/push.rs` and `shared/src/github.rs`, with the same complaints. */

import { checked, type Decoder, fields, list, word } from "./decode";
import { badStack, covers } from "./names";

/** The most pushes that one gate may name. */
export const MAX_PUSHES = 100;
/** The most path patterns that one push may have. */
export const MAX_PATHS = 50;
/** The most GitHub logins that may be mapped. */
export const MAX_LOGINS = 1_000;

/** A push that asks for a deployment. What says no more than its default is left out. */
export interface Push {
  repository: string;
  branch: string;
  paths?: string[];
  stack: string;
  operation?: string;
}

const ACCOUNT = /^(?=.*[^.])[A-Za-z0-9._-]+$/;
const ODD_IN_BRANCH = /[^!-~]|[~^:?*[\]\\#%"]/;

/** What is wrong with a repository's name. */
export function badRepository(text: string): string | undefined {
  const parts = text.split("/");
  const good = parts.length === 2 && parts.every((part) => ACCOUNT.test(part)) && text.length <= 140;
  return good ? undefined : "a repository is owner/name, as GitHub has it";
}

/** What is wrong with a branch's name. */
export function badBranch(text: string): string | undefined {
  const whole = text.length >= 1 && text.length <= 250 && !text.startsWith("refs/") && !ODD_IN_BRANCH.test(text);
  const parts = text.split("/").every((part) => /^[^.-]/.test(part) && !/(\.|\.lock)$/.test(part));
  return whole && parts && !text.includes("..") && !text.includes("@{")
    ? undefined
    : "a branch is one name such as main, without refs/heads/ and without patterns; name each branch by itself";
}

/** What is wrong with a pattern of files. */
export function badPath(text: string): string | undefined {
  const part = (one: string) => one !== "" && one !== "." && one !== ".." && (one === "**" || !one.includes("**"));
  return [...text].length <= 200 && !/[\p{Cc}[\]{}!\\]/u.test(text) && text.split("/").every(part)
    ? undefined
    : "a path pattern is a path within the repository, such as infra/** or *.tf: * stands for anything within one part, ** for any number of parts";
}

/** What is wrong with a login at GitHub. */
export function badGitHubLogin(text: string): string | undefined {
  return /^[a-z0-9_-]{1,100}(\[bot\])?$/.test(text)
    ? undefined
    : "a GitHub login is written in lower-case letters, digits, '-' and '_'";
}

/** A push, for a gate that knows these operations. */
export function push(operations: readonly string[]): Decoder<Push> {
  const written = fields(
    "struct PushRule",
    {
      repository: checked(badRepository),
      branch: checked(badBranch),
      paths: list(checked(badPath)),
      stack: checked(badStack),
      operation: word(...operations),
    },
    ["repository", "branch", "stack"],
  );
  return (value, path) => {
    const { repository = "", branch = "", paths = [], stack = "", operation = "update" } = written(value, path);
    return {
      repository,
      branch,
      ...(paths.length === 0 ? {} : { paths }),
      stack,
      ...(operation === "update" ? {} : { operation }),
    };
  };
}

/** What a gate says about its pushes. */
export interface Pushes {
  pushes: Push[];
  newer: string | undefined;
  supersedeApproved: boolean;
}

/** What is wrong with a gate's pushes together, for the stacks that it covers and the operations that it lets be asked for. */
export function badPushes(told: Pushes, stacks: readonly string[], operations: readonly string[]): string | undefined {
  const { pushes } = told;
  if (pushes.length > MAX_PUSHES) return `pushes: there are ${pushes.length}; ${MAX_PUSHES} is the most`;
  for (const [at, { stack, operation = "update", paths = [] }] of pushes.entries()) {
    if (!stacks.some((pattern) => covers(pattern, stack))) return `pushes: this gate does not cover ${stack}`;
    if (!operations.includes(operation)) return `pushes: this gate does not let ${operation} be asked for`;
    if (paths.length > MAX_PATHS) return `pushes: there are ${paths.length} paths; ${MAX_PATHS} is the most`;
    if (pushes.slice(0, at).some((other) => other.stack === stack)) {
      return `pushes: two of them ask for ${stack}; one is the most`;
    }
  }
  return told.supersedeApproved && told.newer === "queue"
    ? 'supersede-approved: with newer-push = "queue" nothing is superseded'
    : undefined;
}
