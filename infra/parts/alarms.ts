/** The alarms on what the gate does, beside those that each function brings along. */

import type * as aws from "@pulumi/aws";
import type { RustFunction } from "../components/rust-function";
import { alarm } from "./alarm";
import { BAD_OUTCOMES, METRICS, namespaceOf } from "./metrics";
import type { Site } from "./site";

/**
 * For how long one badly signed delivery is told of, in minutes. One is enough: webhooks whose secrets are right send none, and where
 * little is deployed a wrong secret may not show a second time that day. Whoever else knows the address and rings without one is worth a look, too.
 */
const BAD_SIGNATURE_MINUTES = 60;
/** How many answers of 5xx in five minutes are too many. */
const SERVER_ERRORS = 3;

/** What the alarms look at. */
export interface Watched {
  table: aws.dynamodb.Table;
  api: aws.apigatewayv2.Api;
  reconcile: RustFunction;
  /** Only there where there is something to tell. */
  notify: RustFunction | undefined;
}

/** What the bad outcomes mean, and where to look. */
const MEANINGS: { [W in keyof typeof BAD_OUTCOMES]: Record<(typeof BAD_OUTCOMES)[W][number], string> } = {
  apply: {
    error: "A request ended with an error before it was granted. `signoff list` shows which, and its outcome what to do.",
    "applied-in-part":
      "A request ended before it was granted although something of it had been applied: a grant may be live, and nothing came of it. `signoff list` shows which, and its outcome what to do; the grant stays open until it ends.",
  },
  deploy: {
    failed: "A deployment failed. `signoff list` shows of which request, and its outcome what to do.",
    error:
      "A granted request ended with an error: its deployment could not be created, or not be followed. `signoff list` shows which, and its outcome what to do.",
    expired:
      "A deployment was not created before its grant ran out, or before the latest time that was asked for. `signoff list` shows of which request, and its outcome what to do.",
  },
};

/** Sets the alarms of the gate. */
export function gateAlarms(site: Site, { table, api, reconcile, notify }: Watched): void {
  const own = { namespace: namespaceOf(site.settings), threshold: 0, statistic: "Sum" } as const;
  const { sweepMinutes: sweeps } = site.settings;
  const { pendingHours } = site.settings.alarms;
  alarm(site, "pending", {
    ...own,
    meaning: `A request has been open for more than ${pendingHours} h: somebody has to approve it, or take it back.`,
    metric: METRICS.pendingAge,
    statistic: "Maximum",
    threshold: pendingHours * 60 * 60,
    // It is measured at each sweep, and silence ends the alarm: no stretch may be without a sweep.
    minutes: Math.max(5, 2 * sweeps),
  });
  for (const outcome of BAD_OUTCOMES.apply) {
    const ended = { metric: METRICS.applyOutcomes, dimensions: { Outcome: outcome } };
    alarm(site, `apply-${outcome}`, { ...own, ...ended, meaning: MEANINGS.apply[outcome] });
  }
  for (const outcome of BAD_OUTCOMES.deploy) {
    const ended = { metric: METRICS.deployOutcomes, dimensions: { Outcome: outcome } };
    alarm(site, `deploy-${outcome}`, { ...own, ...ended, meaning: MEANINGS.deploy[outcome] });
  }
  alarm(site, "bad-signatures", {
    ...own,
    meaning:
      "A webhook's delivery carried no good signature in the last hour: the two secrets differ (README, rotating it), or somebody else is ringing.",
    metric: METRICS.webhookDeliveries,
    dimensions: { Verdict: "bad-signature" },
    minutes: BAD_SIGNATURE_MINUTES,
  });
  alarm(site, "token-refused", {
    ...own,
    meaning: "Pulumi Cloud refuses a principal's token. Requests wait for a day; README, rotating a token.",
    metric: METRICS.tokenRefused,
  });
  alarm(site, "server-errors", {
    ...own,
    meaning: "The HTTP API answers 5xx: the log of api or receive says why.",
    namespace: "AWS/ApiGateway",
    metric: "5xx",
    dimensions: { ApiId: api.id },
    threshold: SERVER_ERRORS,
  });
  alarm(site, "table-throttles", {
    ...own,
    meaning:
      "Writes to the table are throttled: a sudden burst is more than it has grown to, or the account's quota for a table is used up. Workers come again by themselves, and callers are told to. The table's metrics at DynamoDB show the burst, Service Quotas the quota.",
    namespace: "AWS/DynamoDB",
    metric: "WriteThrottleEvents",
    dimensions: { TableName: table.name },
  });
  alarm(site, "no-sweep", {
    ...own,
    meaning:
      "The clock stands still: nothing looks at what no webhook tells. Is the schedule on, and the role in place?",
    namespace: "AWS/Lambda",
    metric: "Invocations",
    dimensions: { FunctionName: reconcile.lambda.name },
    threshold: 1,
    below: true,
    minutes: Math.max(5, 3 * sweeps),
    silenceIsBad: true,
  });
  if (notify === undefined) return;
  alarm(site, "notices-given-up", {
    ...own,
    meaning:
      "Notices could not be sent for 16 hours, or their receiver is gone: the log of notify says which channel. Requests go on without.",
    metric: METRICS.givenUp,
  });
  alarm(site, "no-notices", {
    ...own,
    meaning: "Nobody is told of anything: notify is not woken. Is its schedule on, and the role in place?",
    namespace: "AWS/Lambda",
    metric: "Invocations",
    dimensions: { FunctionName: notify.lambda.name },
    threshold: 1,
    below: true,
    silenceIsBad: true,
  });
}
