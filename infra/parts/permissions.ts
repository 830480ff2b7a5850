/** What each function may do to the table: the actions of its box in the diagram, by leading key and by index. */

import type * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { FunctionName } from "../config/settings";
import type { Statement } from "./policy";
import { INDEXES, LEADING, NOTICES, SHARDS } from "./schema";

type Kind = keyof typeof LEADING;
/** The indexes that are asked as a whole: their partitions are named after organizations. */
type Index = Exclude<keyof typeof INDEXES, "due">;

/** What a function does to which items, in DynamoDB's words. A transaction takes the permissions of the writes in it. */
interface Access {
  get?: Kind[];
  batchGet?: Kind[];
  query?: Kind[];
  put?: Kind[];
  update?: Kind[];
  indexes?: Index[];
  /** The partitions of the index `due` that it may ask: requests and notices are not in the same. */
  due?: readonly string[];
}

/** The table of who does what. Nobody deletes anything, nobody scans, and nobody but the program writes the gates. */
export const ACCESS: Record<FunctionName, Access> = {
  receive: { put: ["delivery"] },
  api: {
    get: ["gates", "idempotency", "line", "request"],
    batchGet: ["request"],
    query: ["request"],
    put: ["idempotency", "request"],
    update: ["line", "request"],
    indexes: ["byOrganization", "byDay"],
    due: SHARDS,
  },
  apply: {
    get: ["changeRequest", "gates", "line", "request"],
    batchGet: ["request"],
    put: ["changeRequest", "once", "request"],
    update: ["line", "lock", "request"],
    due: SHARDS,
  },
  deploy: {
    get: ["gates", "line", "request"],
    batchGet: ["request"],
    put: ["request"],
    update: ["line", "request"],
  },
  reconcile: {
    get: ["gates"],
    batchGet: ["request"],
    put: ["once", "request"],
    update: ["request"],
    due: SHARDS,
  },
  notify: {
    get: ["gates"],
    batchGet: ["request"],
    query: ["request"],
    update: ["request"],
    due: [NOTICES],
  },
};

/** What the audit checkpoints take besides: the index tells the organizations' events. */
export const CHECKPOINT_ACCESS: Access = { indexes: ["byDay"] };
/** What the clock takes besides where pushes or refused runs ask for deployments: it has branches and stacks looked at. */
export const POLL_ACCESS: Access = { put: ["delivery"] };
/** What `apply` takes besides where refused runs are asked for: each once, by an idempotency key. */
export const RESCUE_ACCESS: Access = { get: ["idempotency"], put: ["idempotency"] };

const ACTIONS = {
  get: "dynamodb:GetItem",
  batchGet: "dynamodb:BatchGetItem",
  query: "dynamodb:Query",
  put: "dynamodb:PutItem",
  update: "dynamodb:UpdateItem",
} as const;

/** An access as statements on a table. `prefix` tells the statements of several accesses apart. */
export function tableStatements(table: aws.dynamodb.Table, access: Access, prefix = "Table"): Statement[] {
  const statements: Statement[] = [];
  for (const [kind, action] of Object.entries(ACTIONS) as [keyof typeof ACTIONS, string][]) {
    const items = access[kind] ?? [];
    if (items.length === 0) continue;
    statements.push({
      sid: `${prefix}${action.slice("dynamodb:".length)}`,
      actions: [action],
      resources: [table.arn],
      conditions: leading(items.map((item) => LEADING[item])),
    });
  }
  const indexes = access.indexes ?? [];
  if (indexes.length > 0) {
    statements.push({
      sid: `${prefix}QueryIndex`,
      actions: ["dynamodb:Query"],
      resources: indexes.map((index) => pulumi.interpolate`${table.arn}/index/${INDEXES[index].name}`),
    });
  }
  const due = access.due ?? [];
  if (due.length > 0) {
    statements.push({
      sid: `${prefix}QueryDue`,
      actions: ["dynamodb:Query"],
      resources: [pulumi.interpolate`${table.arn}/index/${INDEXES.due.name}`],
      conditions: leading(due),
    });
  }
  return statements;
}

/** Partition keys like these, and no others. */
function leading(keys: readonly string[]): NonNullable<Statement["conditions"]> {
  return {
    "ForAllValues:StringLike": { "dynamodb:LeadingKeys": keys },
    // For all of no values anything holds, so there has to be one.
    Null: { "dynamodb:LeadingKeys": "false" },
  };
}

/** Reading these secrets, and no others; nothing, if there are none. */
export function readSecrets(arns: pulumi.Output<string>[]): Statement[] {
  if (arns.length === 0) return [];
  return [{ sid: "ReadSecrets", actions: ["secretsmanager:GetSecretValue"], resources: arns }];
}
