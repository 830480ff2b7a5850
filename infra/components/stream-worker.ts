import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import filters from "../../functions/stream-filters.json";
import { alarm } from "../parts/alarm";
import { type Statement, UNAVOIDABLE } from "../parts/policy";
import { RustFunction, type RustFunctionArgs } from "./rust-function";

/** How many records a batch has at most. They are worked on all at once, so that a batch takes as long as its longest look. */
const BATCH = 10;
/** How often a record that could not be handled is tried again. One fails only when the table does not answer, and is due at a sweep anyway. */
const RETRIES = 5;
/** How old a record may get, in seconds; what is older is left to the sweep. */
const MAX_AGE_SECONDS = 15 * 60;
/**
 * How long a worker may take, in seconds: longer than a look's budget (60 s) and two calls (10 s each) after it, so that no call outlives the function.
 */
const TIMEOUT_SECONDS = 120;
/** How far behind the stream a worker may be, in milliseconds. */
const MAX_LAG_MS = 5 * 60 * 1000;

export interface StreamWorkerArgs extends Omit<RustFunctionArgs, "timeoutSeconds"> {
  table: aws.dynamodb.Table;
}

/**
 * A function that the table's stream wakes, through the filters that `signoff local` applies too: one failed record comes again alone, a bad batch
 * is halved, retries and age are bounded, and what is given up on goes to the queue.
 */
export class StreamWorker extends pulumi.ComponentResource {
  readonly function: RustFunction;

  constructor(name: keyof typeof filters, args: StreamWorkerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("signoff:aws:StreamWorker", name, {}, opts);
    const { site, table } = args;
    const { settings, tags } = site;
    this.function = new RustFunction(
      name,
      { ...args, timeoutSeconds: TIMEOUT_SECONDS, statements: [...args.statements, ...readStream(table)] },
      { parent: this },
    );
    const { lambda, policy, deadLetters } = this.function;
    new aws.lambda.EventSourceMapping(
      name,
      {
        eventSourceArn: table.streamArn,
        functionName: lambda.arn,
        startingPosition: "TRIM_HORIZON",
        filterCriteria: { filters: filters[name].map((pattern) => ({ pattern: JSON.stringify(pattern) })) },
        batchSize: BATCH,
        parallelizationFactor: settings.parallelization,
        functionResponseTypes: ["ReportBatchItemFailures"],
        bisectBatchOnFunctionError: true,
        maximumRetryAttempts: RETRIES,
        maximumRecordAgeInSeconds: MAX_AGE_SECONDS,
        destinationConfig: { onFailure: { destinationArn: deadLetters.arn } },
        tags,
      },
      { parent: this, dependsOn: [policy] },
    );
    const lag = {
      meaning: `${name} is behind the table's stream: it fails again and again, or has too little concurrency.`,
      namespace: "AWS/Lambda",
      metric: "IteratorAge",
      dimensions: { FunctionName: lambda.name },
      statistic: "Maximum",
      threshold: MAX_LAG_MS,
    } as const;
    alarm(site, `${name}-lag`, lag, { parent: this });
    this.registerOutputs();
  }
}

function readStream(table: aws.dynamodb.Table): Statement[] {
  return [
    {
      sid: "ReadStream",
      actions: ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
      resources: [table.streamArn],
    },
    {
      sid: "ListStreams",
      actions: ["dynamodb:ListStreams"],
      resources: [pulumi.interpolate`${table.arn}${UNAVOIDABLE.tableStreams}`],
    },
  ];
}
