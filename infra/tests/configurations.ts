/** Configurations that the tests run the program with. */

import { readFileSync } from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import { type Run, run } from "./program";

/** What the tests take for a principal's token; it must show nowhere. */
export const TOKEN = "pul-0123456789abcdef";

/** What they take for the token that reads branches. */
export const GITHUB_TOKEN = "github_pat_0123456789abcdef";

/** What they take for the address of an incoming webhook, and for a key that signs. */
export const SLACK = "https://hooks.slack.com/services/T0/B0/0123456789abcdef";
export const SIGNS = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/** None of these may show anywhere. */
export const SECRETS = [TOKEN, GITHUB_TOKEN, SLACK, SIGNS, "generated-for"];

/** As little as can be configured. */
export const LEAST = {
  gates: { gate: [{ stacks: ["acme/*/prod"], environment: "acme/credentials/prod" }] },
  tokens: { default: TOKEN },
};

/** Everything that can be. */
export const MOST = {
  gates: {
    hold: true,
    freezes: [{ from: "2026-12-20T18:00", to: "2027-01-04T08:00", reason: "End of the year", "time-zone": "UTC" }],
    "github-logins": { octocat: "alice" },
    channel: [
      { name: "ops", kind: "slack" },
      { name: "audit", kind: "webhook", url: "https://hooks.example.com/signoff" },
      { name: "unheard", kind: "slack" },
    ],
    gate: [
      {
        stacks: ["acme/web/prod", "acme/api/*"],
        environment: "acme/credentials/prod",
        operations: ["refresh", "update"],
        requesters: ["alice", "machine:ci"],
        "time-zone": "Europe/Berlin",
        windows: ["mon-thu 09:00-17:00", "fri 09:00-12:00"],
        freezes: [{ from: "2026-11-27T00:00", to: "2026-12-01T00:00", reason: "Sale" }],
        wait: "15m",
        "pending-extension": "14d",
        "approvals-for": { update: 2 },
        "break-glass": ["dana"],
        pushes: [{ repository: "acme/web", branch: "main", paths: ["infra/**"], stack: "acme/web/prod" }],
        "newer-push": "queue",
        "allow-older": true,
        rescue: true,
        notices: [{ channel: "ops", reminders: true }],
      },
      {
        stacks: ["beta/app/live"],
        environment: "beta/secrets/live",
        principal: "payments",
        notices: [{ channel: "audit", on: ["broken", "over"] }],
      },
    ],
  },
  tokens: { default: TOKEN, payments: `${TOKEN}-payments` },
  installation: "gate-2",
  pulumiUrl: "https://api.pulumi.example.com/",
  caBundle: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  publicUrl: "https://signoff.example.com",
  log: "signoff_core=debug,info",
  logRetentionDays: 365,
  architecture: "arm64",
  memoryMb: 256,
  reservedConcurrency: { receive: 5 },
  sweepMinutes: 5,
  parallelization: 10,
  throttling: { rate: 100 },
  encryptionKey: "create",
  otherKeys: ["arn:aws:kms:eu-central-1:111122223333:key/former"],
  checkpoints: { enabled: true, retentionDays: 3650, mode: "COMPLIANCE" },
  webhook: { generation: 3, acceptPrevious: true },
  github: { url: "https://github.example.com/api/v3", generation: 2, acceptPrevious: true },
  githubToken: GITHUB_TOKEN,
  channelSecrets: { ops: SLACK, audit: SIGNS, unheard: `${SLACK}-unheard` },
  imports: { "acme/credentials/prod": ["acme/shared/aws", "acme/shared/dns"] },
  approvalRules: [
    { environment: "acme/shared/aws", approvers: [{ team: "cloud" }] },
    { environment: "acme/credentials/prod", approvals: 2, approvers: [{ team: "sre" }, { user: "bob" }] },
    { environment: "beta/secrets/live", approvers: [{ user: "carol" }] },
  ],
  teams: [
    { principal: "default", name: "signoff", members: ["signoff-bot"], stacks: ["acme/web/prod"] },
    { principal: "payments", name: "signoff-pay", members: ["pay-bot"], stacks: ["beta/app/live"] },
  ],
  tableName: "signoff-restored",
  alarms: { topics: ["arn:aws:sns:eu-central-1:111122223333:ops"], pendingHours: 8 },
  tags: { team: "platform" },
};

/** A customer's own key, a webhook that somebody else looks after, runs that are asked for when they were refused, and one channel. */
export const OTHER = {
  ...LEAST,
  gates: {
    channel: [{ name: "ops", kind: "slack" }],
    gate: [{ ...LEAST.gates.gate[0], rescue: true, notices: [{ channel: "ops" }] }],
  },
  channelSecrets: { ops: SLACK },
  encryptionKey: "arn:aws:kms:eu-central-1:111122223333:key/0a1b",
  webhook: { manage: false },
  checkpoints: { enabled: true },
};

/** The example in the repository, as it is written. */
export function written(): string {
  return readFileSync(path.join(__dirname, "..", "Pulumi.example.yaml"), "utf8");
}

/** The example in the repository, with a token. */
export function example(): Record<string, unknown> {
  const { config } = parse(written()) as { config: Record<string, unknown> };
  const own = Object.entries(config).filter(([key]) => key.startsWith("signoff:"));
  const plain = Object.fromEntries(own.map(([key, value]) => [key.slice(8), value]));
  const channelSecrets = { ops: SLACK, audit: SIGNS };
  return { ...plain, tokens: { default: TOKEN }, githubToken: GITHUB_TOKEN, channelSecrets };
}

/** The configurations by what they are. */
export const CONFIGURATIONS: Record<string, () => Record<string, unknown>> = {
  least: () => LEAST,
  most: () => MOST,
  other: () => OTHER,
  example,
};

const done = new Map<string, Promise<Run>>();

/** The run of a configuration; it is run once, however many ask. */
export function runOf(name: string): Promise<Run> {
  const configuration = CONFIGURATIONS[name];
  if (configuration === undefined) throw new Error(`there is no configuration ${name}`);
  const earlier = done.get(name) ?? run(configuration());
  done.set(name, earlier);
  return earlier;
}

/** The runs of all configurations, by name. */
export async function runs(): Promise<[string, Run][]> {
  const all: [string, Run][] = [];
  for (const name of Object.keys(CONFIGURATIONS)) all.push([name, await runOf(name)]);
  return all;
}
