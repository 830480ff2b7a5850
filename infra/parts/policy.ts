/** Permissions as data: what a role may do, and every wildcard that can't be avoided. */

import * as pulumi from "@pulumi/pulumi";

/** One permission. Actions and resources are spelled out; there is no way to deny or to name a principal. */
export interface Statement {
  sid: string;
  actions: readonly string[];
  resources: readonly pulumi.Input<string>[];
  conditions?: Record<string, Record<string, pulumi.Input<string> | readonly pulumi.Input<string>[]>>;
}

/**
 * The wildcards that AWS leaves no way around, each as the end of a resource whose beginning is spelled out. Nothing else in a policy ends with a
 * star, or has one elsewhere.
 */
export const UNAVOIDABLE = {
  /** The streams in a log group: Lambda makes and names them. */
  logStreams: ":*",
  /** The streams of one table: the list of them is asked for before the one is known. */
  tableStreams: "/stream/*",
  /** The checkpoints: each is an object of its own. */
  checkpoints: "/checkpoints/*",
  /** What API Gateway calls for the default route: stage, then route. */
  defaultRoute: "/*/$default",
  /** What API Gateway calls for the webhook: stage and method, then path. */
  webhookRoute: "/*/*/webhooks/pulumi",
  /** The same for GitHub's. */
  githubRoute: "/*/*/webhooks/github",
} as const;

/** A policy's document. */
export function document(statements: readonly Statement[]): pulumi.Output<string> {
  return pulumi.jsonStringify({
    Version: "2012-10-17",
    Statement: statements.map(({ sid, actions, resources, conditions }) => ({
      Sid: sid,
      Effect: "Allow",
      Action: actions,
      Resource: resources,
      ...(conditions === undefined ? {} : { Condition: conditions }),
    })),
  });
}

/** The document that lets a service of AWS take a role; `account`: only on behalf of this account. */
export function trust(service: string, account?: pulumi.Output<string>): pulumi.Output<string> {
  return pulumi.jsonStringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: "sts:AssumeRole",
        Principal: { Service: service },
        ...(account === undefined ? {} : { Condition: { StringEquals: { "aws:SourceAccount": account } } }),
      },
    ],
  });
}
