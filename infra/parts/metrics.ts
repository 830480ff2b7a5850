/** The metrics that the functions write, as the dashboard and the alarms name them. */

import type { Settings } from "../config/settings";

/** The namespace of all of them: an installation's own, so that two in one account and region don't hear each other's alarms. */
export function namespaceOf({ name }: Settings): string {
  return `signoff/${name}`;
}

/** Each metric by what it says. */
export const METRICS = {
  /** Age of the oldest open request, in seconds, at each sweep. */
  pendingAge: "PendingAge",
  /** From the asking to enough approvals, in seconds. */
  approvalLatency: "ApprovalLatency",
  /**
   * What became of requests that were to be applied, by `Outcome`: `granted`, or the state in which one ended before that; `applied-in-part`, if one
   * did, otherwise than in `error`, although something had been applied.
   */
  applyOutcomes: "ApplyOutcomes",
  /** What became of granted requests, by `Outcome`: the state in which one ended. */
  deployOutcomes: "DeployOutcomes",
  /** Deliveries of the webhook, by `Kind` and `Verdict`, and by `Verdict` alone. */
  webhookDeliveries: "WebhookDeliveries",
  /** Calls to Pulumi Cloud, by `Status`. */
  cloudCalls: "PulumiCloudCalls",
  /** How long they took, in milliseconds. */
  cloudTime: "PulumiCloudTime",
  /** Calls that were answered 401 with a principal's token, or not made since there was none to be had. */
  tokenRefused: "TokenRefused",
  /** How many requests a sweep rang. */
  sweepRung: "SweepRung",
  /** Messages to channels, by `Outcome`: `sent`, or `failed` and tried again. */
  notices: "Notices",
  /** Those that could not be sent for 16 hours, or whose receiver is gone. */
  givenUp: "NoticesGivenUp",
} as const;

/** The outcomes that somebody has to look at, by worker. Those that people bring about, such as `rejected`, are none. */
export const BAD_OUTCOMES = {
  apply: ["error", "applied-in-part"],
  deploy: ["failed", "error", "expired"],
} as const;
/** What becomes of a delivery. */
export const VERDICTS = ["accepted", "duplicate", "bad-signature", "refused"] as const;
