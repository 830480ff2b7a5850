/** The clocks. */

import * as aws from "@pulumi/aws";
import type { RustFunction } from "../components/rust-function";
import { document, trust } from "./policy";
import type { Site } from "./site";

/** How long a tick is worth anything, in seconds: the next one comes anyway. */
const TICK_AGE_SECONDS = 60;
/**
 * How long sending what is due may take, in seconds: longer than one notice may (45 s, and a call of 5 s to each of two), and shorter than it is
 * nobody else's (180 s). What is cut off is due again.
 */
export const TELLING_SECONDS = 120;

/** Something that is done every so often. */
interface Clock {
  /** What its resources are called. */
  name: string;
  /** What the schedule is called at AWS. */
  fullName: string;
  description: string;
  minutes: number;
}

/** Has the requests rung whose next look is due. */
export function everySweep(site: Site, target: RustFunction): aws.scheduler.Schedule {
  const { name: fullName, sweepMinutes: minutes } = site.settings;
  const description = "signoff: rings the requests whose next look is due";
  return ticks(site, { name: "schedule", fullName, description, minutes }, target);
}

/** Has the notices sent that are due. Whoever is to approve waits for them, so it is as often as there is. */
export function everyMinute(site: Site, target: RustFunction): aws.scheduler.Schedule {
  const description = "signoff: sends the notices that are due";
  const fullName = `${site.settings.name}-notify`;
  return ticks(site, { name: "notify-schedule", fullName, description, minutes: 1 }, target);
}

/** Wakes the function every so often. A tick that does not arrive is not tried again: it goes to the function's dead letters. */
function ticks({ tags, account }: Site, clock: Clock, target: RustFunction): aws.scheduler.Schedule {
  const { lambda, deadLetters } = target;
  const { name, fullName, description, minutes } = clock;
  const role = new aws.iam.Role(name, { assumeRolePolicy: trust("scheduler.amazonaws.com", account), tags });
  const policy = new aws.iam.RolePolicy(name, {
    role: role.id,
    policy: document([
      { sid: "Wake", actions: ["lambda:InvokeFunction"], resources: [lambda.arn] },
      { sid: "DeadLetters", actions: ["sqs:SendMessage"], resources: [deadLetters.arn] },
    ]),
  });
  // The scheduler hands a tick to Lambda's own queue, which would try it again by itself.
  new aws.lambda.FunctionEventInvokeConfig(name, {
    functionName: lambda.name,
    maximumRetryAttempts: 0,
    maximumEventAgeInSeconds: TICK_AGE_SECONDS,
  });
  return new aws.scheduler.Schedule(
    name,
    {
      name: fullName,
      description,
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
