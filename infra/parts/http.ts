/** The way in: one HTTP API with a route for each webhook and one for the rest. */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { RustFunction } from "../components/rust-function";
import { UNAVOIDABLE } from "./policy";
import type { Site } from "./site";

/** The route of Pulumi Cloud's webhook. Every method, so that a wrong one is answered by the receiver and not by API Gateway. */
export const WEBHOOK_ROUTE = "ANY /webhooks/pulumi";
/** The route of GitHub's webhook; only there if a gate names a push. */
export const GITHUB_ROUTE = "ANY /webhooks/github";
/** The route of everything else: what there is not is answered by the API too, as a problem that a program can read. */
export const DEFAULT_ROUTE = "$default";
/** How long API Gateway waits for a function, in milliseconds: longer than the functions' own time-outs, and less than its limit of 30 s. */
const PATIENCE_MS = 29_000;
/** How long the functions behind it may take, in seconds. */
export const ANSWER_SECONDS = 28;

/** What is logged of a call: who called what, and what came of it. No header, no query, no body. */
const ACCESS = {
  requestId: "$context.requestId",
  time: "$context.requestTime",
  ip: "$context.identity.sourceIp",
  method: "$context.httpMethod",
  path: "$context.path",
  route: "$context.routeKey",
  status: "$context.status",
  bytes: "$context.responseLength",
  milliseconds: "$context.responseLatency",
  error: "$context.integrationErrorMessage",
} as const;

/** The API as it is before anything is behind it: its address is what the functions are told. */
export function httpApi({ settings, tags }: Site): aws.apigatewayv2.Api {
  return new aws.apigatewayv2.Api("http", { name: settings.name, protocolType: "HTTP", tags });
}

/** Where people and Pulumi Cloud reach it: the configured address, or API Gateway's. */
export function publicUrl({ settings }: Site, api: aws.apigatewayv2.Api): pulumi.Output<string> {
  return settings.publicUrl === undefined ? api.apiEndpoint : pulumi.output(settings.publicUrl);
}

/** Puts the two functions behind their routes. Gives the stage: once it is there, calls arrive. */
export function routes(
  { settings, tags }: Site,
  api: aws.apigatewayv2.Api,
  behind: { receive: RustFunction; api: RustFunction },
  pushes: boolean,
): aws.apigatewayv2.Stage {
  const webhook = route(api, "receive", WEBHOOK_ROUTE, UNAVOIDABLE.webhookRoute, behind.receive);
  const github = pushes ? [route(api, "github", GITHUB_ROUTE, UNAVOIDABLE.githubRoute, behind.receive)] : [];
  const rest = route(api, "api", DEFAULT_ROUTE, UNAVOIDABLE.defaultRoute, behind.api);
  const logs = new aws.cloudwatch.LogGroup("http", {
    name: `/aws/apigateway/${settings.name}`,
    retentionInDays: settings.logRetentionDays,
    tags,
  });
  const limits = {
    throttlingRateLimit: settings.throttling.rate,
    throttlingBurstLimit: settings.throttling.burst,
  };
  return new aws.apigatewayv2.Stage(
    "http",
    {
      apiId: api.id,
      name: "$default",
      autoDeploy: true,
      // Each route has its own share, so that a flood on one leaves the other open.
      defaultRouteSettings: limits,
      routeSettings: [WEBHOOK_ROUTE, ...(pushes ? [GITHUB_ROUTE] : [])].map((routeKey) => ({ routeKey, ...limits })),
      accessLogSettings: { destinationArn: logs.arn, format: JSON.stringify(ACCESS) },
      tags,
    },
    { dependsOn: [webhook, ...github, rest] },
  );
}

function route(
  api: aws.apigatewayv2.Api,
  name: string,
  routeKey: string,
  calls: string,
  target: RustFunction,
): aws.apigatewayv2.Route {
  const permission = new aws.lambda.Permission(name, {
    action: "lambda:InvokeFunction",
    function: target.lambda.name,
    principal: "apigateway.amazonaws.com",
    sourceArn: pulumi.interpolate`${api.executionArn}${calls}`,
  });
  const integration = new aws.apigatewayv2.Integration(name, {
    apiId: api.id,
    integrationType: "AWS_PROXY",
    integrationUri: target.lambda.arn,
    payloadFormatVersion: "2.0",
    timeoutMilliseconds: PATIENCE_MS,
  });
  return new aws.apigatewayv2.Route(
    name,
    { apiId: api.id, routeKey, target: pulumi.interpolate`integrations/${integration.id}` },
    { dependsOn: [permission] },
  );
}
