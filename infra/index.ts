/**
 * signoff on AWS:
 *
 *   Pulumi Cloud's webhooks ──▶ receive ──┐                                ┌──▶ apply  ──▶ Pulumi Cloud
 *   people, CI ───────────────▶ api ──────┼──▶ one table ──────stream──────┤
 *   the clock ────────────────▶ reconcile ┘                                └──▶ deploy ──▶ Pulumi Cloud
 *   another clock ────────────▶ notify ───────▶ what is to be told of it ──────────────────▶ Slack, webhooks, GitHub
 */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { RustFunction } from "./components/rust-function";
import { StreamWorker } from "./components/stream-worker";
import { hasRescue, tells } from "./config/gates";
import { FUNCTIONS, readSettings } from "./config/settings";
import { gateAlarms } from "./parts/alarms";
import { checkArchives } from "./parts/archive";
import { checkpointStore, writeCheckpoints } from "./parts/checkpoints";
import { dashboard } from "./parts/dashboard";
import { encryptionKey, useKeys } from "./parts/encryption";
import { ANSWER_SECONDS, httpApi, publicUrl, routes } from "./parts/http";
import {
  ACCESS,
  CHECKPOINT_ACCESS,
  POLL_ACCESS,
  readSecrets,
  RESCUE_ACCESS,
  tableStatements,
} from "./parts/permissions";
import { approvalRule, principalTeam, provider, webhooks } from "./parts/pulumi-cloud";
import { consoleOf } from "./parts/region";
import { everyMinute, everySweep, TELLING_SECONDS } from "./parts/schedule";
import { arnsOf, channelSecrets, githubSecrets, principalTokens, webhookSecrets } from "./parts/secrets";
import { type Site, tagsOf } from "./parts/site";
import { gatesItem, stateTable } from "./parts/table";

const settings = readSettings();
checkArchives(
  FUNCTIONS.filter((name) => name !== "notify" || tells(settings.gates)),
  settings.architecture,
);
const tags = tagsOf(settings);
const region = aws.getRegionOutput().region;
const account = aws.getCallerIdentityOutput().accountId;
const site: Site = { settings, tags, region, account, key: encryptionKey(settings, tags) };

// What is remembered. The gates come before whatever reads them.
const table = stateTable(site);
const gates = gatesItem(table, settings.gates);
const after = [gates];

const secrets = webhookSecrets(site);
const tokens = principalTokens(site);
const github = githubSecrets(site);
const channels = channelSecrets(site);
const rescues = hasRescue(settings.gates);
const checkpoints = checkpointStore(site);

// Where it is reached.
const http = httpApi(site);
const url = publicUrl(site, http);

const all = { SIGNOFF_TABLE: table.name };
const clock = { SIGNOFF_SWEEP_SECONDS: String(settings.sweepMinutes * 60) };
const cloud = {
  ...(settings.pulumiUrl === undefined ? {} : { SIGNOFF_PULUMI_URL: settings.pulumiUrl }),
  ...(settings.caBundle === undefined ? {} : { SIGNOFF_CA_BUNDLE: settings.caBundle }),
};
const reached = { SIGNOFF_PUBLIC_URL: url };
const atGitHub =
  github === undefined
    ? {}
    : {
        SIGNOFF_GITHUB_TOKEN_ID: github.token,
        ...(settings.github.url === undefined ? {} : { SIGNOFF_GITHUB_URL: settings.github.url }),
      };

// What comes in.
const receive = new RustFunction("receive", {
  site,
  after,
  timeoutSeconds: ANSWER_SECONDS,
  statements: [
    ...tableStatements(table, ACCESS.receive),
    ...readSecrets([secrets, ...(github === undefined ? [] : [github.webhook])].flatMap(arnsOf)),
    ...useKeys(site, "dynamodb", "secretsmanager"),
  ],
  environment: {
    ...all,
    SIGNOFF_WEBHOOK_SECRET_ID: secrets.current.arn,
    ...(secrets.previous === undefined ? {} : { SIGNOFF_WEBHOOK_SECRET_PREVIOUS_ID: secrets.previous.arn }),
    ...(github === undefined ? {} : { SIGNOFF_GITHUB_SECRET_ID: github.webhook.current.arn }),
    ...(github?.webhook.previous === undefined
      ? {}
      : { SIGNOFF_GITHUB_SECRET_PREVIOUS_ID: github.webhook.previous.arn }),
  },
});
const api = new RustFunction("api", {
  site,
  after,
  timeoutSeconds: ANSWER_SECONDS,
  statements: [...tableStatements(table, ACCESS.api), ...useKeys(site, "dynamodb")],
  environment: { ...all, ...clock, ...cloud, ...reached },
});
const reconcile = new RustFunction("reconcile", {
  site,
  after: [...after, ...(checkpoints?.settings ?? [])],
  timeoutSeconds: 55,
  statements: [
    ...tableStatements(table, ACCESS.reconcile),
    ...useKeys(site, "dynamodb"),
    ...(github === undefined && !rescues ? [] : tableStatements(table, POLL_ACCESS, "Poll")),
    ...(checkpoints === undefined
      ? []
      : [...tableStatements(table, CHECKPOINT_ACCESS, "Checkpoints"), ...writeCheckpoints(site, checkpoints)]),
  ],
  environment: {
    ...all,
    ...clock,
    ...(checkpoints === undefined
      ? {}
      : { SIGNOFF_CHECKPOINT_BUCKET: checkpoints.bucket.bucket, SIGNOFF_CHECKPOINT_KEY: checkpoints.key.arn }),
  },
});
const stage = routes(site, http, { receive, api }, github !== undefined);
everySweep(site, reconcile);

// What acts, woken by the stream. These alone can read the principals' tokens.
const acts = {
  site,
  after,
  table,
  environment: {
    ...all,
    ...clock,
    ...cloud,
    ...reached,
    SIGNOFF_INSTALLATION: settings.installation,
    SIGNOFF_TOKEN_PREFIX: tokens.prefix,
  },
};
const mayUse = useKeys(site, "dynamodb", "secretsmanager");
const apply = new StreamWorker("apply", {
  ...acts,
  statements: [
    ...tableStatements(table, ACCESS.apply),
    ...(rescues ? tableStatements(table, RESCUE_ACCESS, "Rescue") : []),
    ...readSecrets([...tokens.arns, ...(github === undefined ? [] : [github.token])]),
    ...mayUse,
  ],
  environment: { ...acts.environment, ...atGitHub },
});
const deploy = new StreamWorker("deploy", {
  ...acts,
  statements: [...tableStatements(table, ACCESS.deploy), ...readSecrets(tokens.arns), ...mayUse],
});

// What tells people, where there is somebody to tell. It alone can read the channels' secrets.
const notify = tells(settings.gates)
  ? new RustFunction("notify", {
      site,
      after,
      timeoutSeconds: TELLING_SECONDS,
      statements: [
        ...tableStatements(table, ACCESS.notify),
        ...readSecrets([...channels.arns, ...(github === undefined ? [] : [github.token])]),
        ...mayUse,
      ],
      environment: { ...all, ...cloud, ...reached, ...atGitHub, SIGNOFF_CHANNEL_PREFIX: channels.prefix },
    })
  : undefined;
if (notify !== undefined) everyMinute(site, notify);

// At Pulumi Cloud.
const own = provider(site);
const there = own === undefined ? {} : { provider: own };
const ringsAt = pulumi.interpolate`${url}/webhooks/pulumi`;
webhooks(site, ringsAt, secrets.current.value, { ...there, dependsOn: [receive, stage] });
for (const rule of settings.approvalRules) approvalRule(rule, there);
for (const team of settings.teams) principalTeam(site, team, there);

// For those who look after it.
gateAlarms(site, { table, api: http, reconcile, notify });
const functions = { receive, api, apply: apply.function, deploy: deploy.function, reconcile };
const page = dashboard(site, notify === undefined ? functions : { ...functions, notify });

export const apiUrl = url;
export const webhookUrl = ringsAt;
export const githubWebhookUrl = github === undefined ? undefined : pulumi.interpolate`${url}/webhooks/github`;
export const githubWebhookSecret = github?.webhook.current.arn;
export const tableName = table.name;
export const checkpointBucket = checkpoints?.bucket.bucket;
export const checkpointKey = checkpoints?.key.arn;
export const dashboardUrl = pulumi.interpolate`https://${region.apply(consoleOf)}/cloudwatch/home?region=${region}#dashboards/dashboard/${page.dashboardName}`;
export const tryIt = pulumi.interpolate`curl -sS ${url}/healthz
export SIGNOFF_URL=${url}
signoff gates --organization ORGANIZATION
signoff request ORGANIZATION/PROJECT/STACK update --reason "Try the gate" --wait`;
