/** Alarms as data. */

import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Site } from "./site";

/** Something to be told about. */
export interface Watch {
  /** What it means and what to do, for whoever is woken. */
  meaning: string;
  namespace: string;
  metric: string;
  dimensions?: Record<string, pulumi.Input<string>>;
  statistic: "Sum" | "Maximum" | "Minimum" | "SampleCount";
  /** More than this is bad; for `below`, less. */
  threshold: number;
  below?: boolean;
  /** Over how many minutes; 5 if nothing is said. */
  minutes?: number;
  /** Whether silence is bad too. */
  silenceIsBad?: boolean;
}

/** Makes an alarm, which goes to the configured topics, and tells them too when it is over. */
export function alarm(
  { settings, tags }: Site,
  name: string,
  watch: Watch,
  opts?: pulumi.CustomResourceOptions,
): aws.cloudwatch.MetricAlarm {
  const { topics } = settings.alarms;
  return new aws.cloudwatch.MetricAlarm(
    name,
    {
      name: `${settings.name}-${name}`,
      alarmDescription: watch.meaning,
      namespace: watch.namespace,
      metricName: watch.metric,
      dimensions: watch.dimensions ?? {},
      statistic: watch.statistic,
      period: (watch.minutes ?? 5) * 60,
      evaluationPeriods: 1,
      threshold: watch.threshold,
      comparisonOperator: watch.below === true ? "LessThanThreshold" : "GreaterThanThreshold",
      treatMissingData: watch.silenceIsBad === true ? "breaching" : "notBreaching",
      alarmActions: topics,
      okActions: topics,
      tags,
    },
    opts,
  );
}
