/** One page that shows how the gate is doing. */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { RustFunction } from "../components/rust-function";
import { FUNCTIONS, type FunctionName } from "../config/settings";
import { METRICS, namespaceOf } from "./metrics";
import type { Site } from "./site";

/** How wide and how high a graph is; the page is 24 wide. */
const WIDTH = 8;
const HEIGHT = 6;

interface Graph {
  title: string;
  metrics: unknown[];
  stat: string;
}

/** The functions that there are. */
export type Functions = Partial<Record<FunctionName, RustFunction>>;

/** Makes the dashboard. */
export function dashboard(site: Site, functions: Functions): aws.cloudwatch.Dashboard {
  const { settings, region } = site;
  const there = (names: readonly FunctionName[]) => names.flatMap((name) => functions[name] ?? []);
  const each = (metric: string, names: readonly FunctionName[] = FUNCTIONS) =>
    there(names).map(({ lambda }) => ["AWS/Lambda", metric, "FunctionName", lambda.name]);
  const namespace = namespaceOf(settings);
  const own = (metric: string) => [[namespace, metric]];
  const by = (metric: string, dimension: string) => eachSeries(namespace, metric, dimension);
  const graphs: Graph[] = [
    { title: "Oldest open request (s)", metrics: own(METRICS.pendingAge), stat: "Maximum" },
    { title: "From asking to approval (s)", metrics: own(METRICS.approvalLatency), stat: "p90" },
    { title: "Requests rung by the clock", metrics: own(METRICS.sweepRung), stat: "Sum" },
    { title: "Applies by outcome", metrics: by(METRICS.applyOutcomes, "Outcome"), stat: "Sum" },
    { title: "Deployments by outcome", metrics: by(METRICS.deployOutcomes, "Outcome"), stat: "Sum" },
    { title: "Webhook deliveries by verdict", metrics: by(METRICS.webhookDeliveries, "Verdict"), stat: "Sum" },
    { title: "Calls to Pulumi Cloud by status", metrics: by(METRICS.cloudCalls, "Status"), stat: "Sum" },
    { title: "Time of calls to Pulumi Cloud (ms)", metrics: own(METRICS.cloudTime), stat: "p90" },
    { title: "Principal's token refused", metrics: own(METRICS.tokenRefused), stat: "Sum" },
    { title: "Errors", metrics: each("Errors"), stat: "Sum" },
    { title: "Throttles", metrics: each("Throttles"), stat: "Sum" },
    { title: "Duration (ms)", metrics: each("Duration"), stat: "p90" },
    { title: "Invocations", metrics: each("Invocations"), stat: "Sum" },
    { title: "Behind the stream (ms)", metrics: each("IteratorAge", ["apply", "deploy"]), stat: "Maximum" },
    {
      title: "Dead letters",
      metrics: there(FUNCTIONS).map(({ deadLetters }) => [
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        "QueueName",
        deadLetters.name,
      ]),
      stat: "Maximum",
    },
  ];
  if (functions.notify !== undefined) {
    graphs.push(
      { title: "Notices by outcome", metrics: by(METRICS.notices, "Outcome"), stat: "Sum" },
      { title: "Notices given up", metrics: own(METRICS.givenUp), stat: "Sum" },
    );
  }
  const widgets = graphs.map(({ title, metrics, stat }, index) => ({
    type: "metric",
    x: (index % 3) * WIDTH,
    y: Math.floor(index / 3) * HEIGHT,
    width: WIDTH,
    height: HEIGHT,
    properties: { title, metrics, stat, region, period: 300, view: "timeSeries" },
  }));
  return new aws.cloudwatch.Dashboard("dashboard", {
    dashboardName: settings.name,
    dashboardBody: pulumi.jsonStringify({ widgets }),
  });
}

/** All series of a metric that has one dimension, whatever its values are, summed up. In quotes, since a namespace is more than letters and digits. */
function eachSeries(namespace: string, metric: string, dimension: string): unknown[] {
  const search = `SEARCH('{"${namespace}",${dimension}} MetricName="${metric}"', 'Sum', 300)`;
  return [[{ expression: search, id: "all" }]];
}
