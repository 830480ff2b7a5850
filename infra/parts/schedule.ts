/** The clock. */

import * as aws from "@pulumi/aws";
import type { RustFunction } from "../components/rust-function";
import { document, trust } from "./policy";
import type { Site } from "./site";

/** How long a tick is worth anything, in seconds: the next one comes anyway. */
const TICK_AGE_SECONDS = 60;

/** Wakes the function every so often. A tick that does not arrive is not tried again: it goes to the function's dead letters. */
export function everySweep({ settings, tags, account }: Site, target: RustFunction): aws.scheduler.Schedule {
  const { lambda, deadLetters } = target;
  const minutes = settings.sweepMinutes;
  const role = new aws.iam.Role("schedule", { assumeRolePolicy: trust("scheduler.amazonaws.com", account), tags });
  const policy = new aws.iam.RolePolicy("schedule", {
    role: role.id,
    policy: document([
      { sid: "Wake", actions: ["lambda:InvokeFunction"], resources: [lambda.arn] },
      { sid: "DeadLetters", actions: ["sqs:SendMessage"], resources: [deadLetters.arn] },
    ]),
  });
  // The scheduler hands a tick to Lambda's own queue, which would try it again by itself.
  new aws.lambda.FunctionEventInvokeConfig("schedule", {
    functionName: lambda.name,
    maximumRetryAttempts: 0,
    maximumEventAgeInSeconds: TICK_AGE_SECONDS,
  });
  return new aws.scheduler.Schedule(
    "schedule",
    {
      name: settings.name,
      description: "signoff: rings the requests whose next look is due",
      scheduleExpression: minutes === 1 ? "rate(1 minute)" : `rate(${minutes} minutes)`,
      flexibleTimeWindow: { mode: "OFF" },
      target: {
        arn: lambda.arn,
        roleArn: role.arn,
        retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: TICK_AGE_SECONDS },
        deadLetterConfig: { arn: deadLetters.arn },
      },
    },
    { dependsOn: [policy] },
  );
}
