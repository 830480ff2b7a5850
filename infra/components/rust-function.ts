import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { FunctionName } from "../config/settings";
import { alarm } from "../parts/alarm";
import { archiveOf } from "../parts/archive";
import { namespaceOf } from "../parts/metrics";
import { document, type Statement, trust, UNAVOIDABLE } from "../parts/policy";
import type { Site } from "../parts/site";

/** For how long dead letters are kept, in seconds: as long as SQS does. */
const DEAD_LETTERS_KEPT = 14 * 24 * 60 * 60;

export interface RustFunctionArgs {
  site: Site;
  /** What it may do besides writing its log and its dead letters. */
  statements: Statement[];
  environment: Record<string, pulumi.Input<string>>;
  timeoutSeconds: number;
  /** What has to be there before it runs. (A component's own `dependsOn` does not reach what is in it.) */
  after: pulumi.Resource[];
}

/**
 * One function: the archive, a role with exactly the given statements, a log group, a queue for what it could not be woken with, and alarms on
 * errors, throttles and that queue.
 */
export class RustFunction extends pulumi.ComponentResource {
  readonly lambda: aws.lambda.Function;
  readonly role: aws.iam.Role;
  /** The role's policy: what wakes the function by its role comes after it. */
  readonly policy: aws.iam.RolePolicy;
  readonly deadLetters: aws.sqs.Queue;

  constructor(name: FunctionName, args: RustFunctionArgs, opts?: pulumi.ComponentResourceOptions) {
    super("signoff:aws:RustFunction", name, {}, opts);
    const { site, environment, timeoutSeconds } = args;
    const { settings, tags } = site;
    const within = { parent: this };
    const fullName = `${settings.name}-${name}`;

    const logs = new aws.cloudwatch.LogGroup(
      name,
      { name: `/aws/lambda/${fullName}`, retentionInDays: settings.logRetentionDays, tags },
      within,
    );
    this.deadLetters = new aws.sqs.Queue(
      name,
      {
        name: `${fullName}-dead-letters`,
        messageRetentionSeconds: DEAD_LETTERS_KEPT,
        sqsManagedSseEnabled: true,
        tags,
      },
      within,
    );
    this.role = new aws.iam.Role(name, { assumeRolePolicy: trust("lambda.amazonaws.com"), tags }, within);
    const own: Statement[] = [
      {
        sid: "WriteLog",
        actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
        resources: [pulumi.interpolate`${logs.arn}${UNAVOIDABLE.logStreams}`],
      },
      { sid: "DeadLetters", actions: ["sqs:SendMessage"], resources: [this.deadLetters.arn] },
    ];
    this.policy = new aws.iam.RolePolicy(
      name,
      { role: this.role.id, policy: document([...own, ...args.statements]) },
      within,
    );
    const reserved = settings.reservedConcurrency[name];
    this.lambda = new aws.lambda.Function(
      name,
      {
        name: fullName,
        role: this.role.arn,
        runtime: "provided.al2023",
        handler: "bootstrap",
        architectures: [settings.architecture],
        code: new pulumi.asset.FileArchive(archiveOf(name)),
        memorySize: settings.memoryMb,
        timeout: timeoutSeconds,
        ...(reserved === undefined ? {} : { reservedConcurrentExecutions: reserved }),
        environment: {
          variables: { SIGNOFF_LOG: settings.log, SIGNOFF_METRICS_NAMESPACE: namespaceOf(settings), ...environment },
        },
        // The functions write JSON themselves; metrics have to reach the log as they were written.
        loggingConfig: { logFormat: "Text", logGroup: logs.name },
        deadLetterConfig: { targetArn: this.deadLetters.arn },
        tags,
      },
      { ...within, dependsOn: [this.policy, ...args.after] },
    );
    this.watch(site, name);
    this.registerOutputs();
  }

  private watch(site: Site, name: FunctionName): void {
    const within = { parent: this };
    const dimensions = { FunctionName: this.lambda.name };
    const failed = {
      meaning: `${name} fails. Its log says why; what it was to do is due again at a sweep.`,
      namespace: "AWS/Lambda",
      metric: "Errors",
      dimensions,
      statistic: "Sum",
      threshold: 0,
    } as const;
    alarm(site, `${name}-errors`, failed, within);
    const throttled = {
      ...failed,
      meaning: `${name} is throttled: the account's or the function's concurrency is used up.`,
      metric: "Throttles",
    };
    alarm(site, `${name}-throttles`, throttled, within);
    const dead = {
      meaning: `${name} was given up on. Requests go on at a sweep; README, "Dead letters", says how to look into the queue and empty it.`,
      namespace: "AWS/SQS",
      metric: "ApproximateNumberOfMessagesVisible",
      dimensions: { QueueName: this.deadLetters.name },
      statistic: "Maximum",
      threshold: 0,
    } as const;
    alarm(site, `${name}-dead-letters`, dead, within);
  }
}
