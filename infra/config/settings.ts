/** Everything that can be set in a stack's configuration, with every default. `Pulumi.example.yaml` shows each key. */

import * as pulumi from "@pulumi/pulumi";
import { BadConfiguration, bool, byName, checked, type Decoder, fields, list, text, whole, word } from "./decode";
import { type Gates, gateOf, hasPushes, principalsOf, readGates, stored } from "./gates";
import { badName, badPolicies } from "./limits";
import { badChannel, badChannelSecret, type Channel } from "./notices";
import { badEnvironment, badLogin, badPrincipal, badStack, partsOf } from "./names";

/** The functions, in the order of the diagram. `notify` is there only where somebody is told of something. */
export const FUNCTIONS = ["receive", "api", "apply", "deploy", "reconcile", "notify"] as const;

/** One of the functions. */
export type FunctionName = (typeof FUNCTIONS)[number];

/** Who may approve: exactly one of the two. */
export type Approver = { user: string } | { team: string };

/** An Open approval ruleset that the program looks after. */
export interface ApprovalRule {
  environment: string;
  approvals: number;
  approvers: Approver[];
}

/** The team through which a principal has its rights. */
export interface Team {
  principal: string;
  name: string;
  members: string[];
  stacks: string[];
}

/** What a stack is configured to be. */
export interface Settings {
  /** What the names of things begin with: project and stack. */
  name: string;
  gates: Gates;
  /** The principals' access tokens, by principal. */
  tokens: ReadonlyMap<string, pulumi.Output<string>>;
  /** The channels' secrets, by channel. They are good ones. */
  channelSecrets: ReadonlyMap<string, pulumi.Output<string>>;
  installation: string;
  pulumiUrl: string | undefined;
  /** The roots of a self-hosted Pulumi Cloud, in PEM. */
  caBundle: string | undefined;
  publicUrl: string | undefined;
  log: string;
  logRetentionDays: number;
  architecture: "x86_64" | "arm64";
  memoryMb: number;
  reservedConcurrency: Partial<Record<FunctionName, number>>;
  sweepMinutes: number;
  parallelization: number;
  throttling: { rate: number; burst: number };
  /** `aws`, `create`, or the ARN of a key, which is none of an alias. */
  encryptionKey: string;
  /** The ARNs of the keys that the functions may use besides. */
  otherKeys: string[];
  checkpoints: { enabled: boolean; retentionDays: number; mode: "GOVERNANCE" | "COMPLIANCE" };
  webhook: { manage: boolean; generation: number; acceptPrevious: boolean };
  /** GitHub: where it is, if it is not github.com, and its webhook's secret. */
  github: { url: string | undefined; generation: number; acceptPrevious: boolean };
  /** The token that reads branches at GitHub. */
  githubToken: pulumi.Output<string> | undefined;
  /** What a gate's environment imports, at any depth, by environment. */
  imports: Record<string, string[]>;
  approvalRules: ApprovalRule[];
  teams: Team[];
  /** The name of a table that was restored; `undefined`: the program makes one. */
  tableName: string | undefined;
  alarms: { topics: string[]; pendingHours: number };
  tags: Record<string, string>;
}

/** The retention times that CloudWatch Logs knows, up to ten years, in days. */
const RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/**
 * How many bytes the gates may have as they are stored: they are one item of the table, which takes 400 KB (409,600 bytes), keys and names of attributes included.
 */
export const MAX_GATES_BYTES = 400_000;

/** How many keys the functions may use beside the one of now: a former one for each change, as long as something is left under it. */
const MAX_OTHER_KEYS = 5;

/** How many topics an alarm may tell (CloudWatch: five actions for each state). */
const MAX_TOPICS = 5;

/** The tags by which the program tells its resources from others', in small letters. */
const OWN_TAGS = ["application", "installation"];

/** How long a bundle of roots may be: all of a function's variables together have 4 KB. */
const MAX_BUNDLE = 3_000;

const bundle = checked((given) => {
  if (given.length > MAX_BUNDLE) return `a function takes ${MAX_BUNDLE} characters at most; leave out all but the root`;
  return /^\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/.test(given)
    ? undefined
    : "certificates in PEM have to stand here, and nothing else";
});
const oneWord = checked((given) =>
  /^[A-Za-z0-9._-]{1,60}$/.test(given) ? undefined : "one word of letters, digits, '-', '_' and '.' has to stand here",
);
const url = checked((given) =>
  /^https:\/\/[^\s/?#]+\/?$/.test(given) ? undefined : "an address begins with https:// and has no path",
);
const githubUrl = checked((given) =>
  /^https:\/\/[^\s?#]+$/.test(given)
    ? undefined
    : "the address of GitHub's API begins with https://, such as https://github.example.com/api/v3",
);
const arn = (service: string) =>
  checked((given) =>
    new RegExp(`^arn:[a-z-]+:${service}:[a-z0-9-]+:[0-9]{12}:[^\\s*]+$`).test(given)
      ? undefined
      : `an ARN of ${service} has to stand here`,
  );
function badKeyArn(given: string, others = ""): string | undefined {
  if (/^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+$/.test(given)) return undefined;
  if (!/^(arn:.*:)?alias\//.test(given)) return `${others}the ARN of a key, arn:aws:kms:…:key/…, has to stand here`;
  const why = "this is an alias, which IAM does not resolve in a policy: the functions would be denied the key";
  return `${why}; give the ARN of the key itself (aws kms describe-key --key-id ALIAS --query KeyMetadata.Arn)`;
}
const key = checked((given) => {
  if (given === "aws" || given === "create") return undefined;
  return badKeyArn(given, "aws, create or ");
});
const tag = checked((given) => {
  const plain = given.toLowerCase();
  if (plain.startsWith("aws:")) return "AWS keeps tags that begin with aws: for itself; give it another name";
  return OWN_TAGS.includes(plain)
    ? `the program sets ${OWN_TAGS.join(" and ")} itself, and IAM compares the keys of tags without regard to case; give it another name`
    : undefined;
});
const retention: Decoder<number> = (value, path) => {
  const days = whole(1, 3653)(value, path);
  if (RETENTIONS.includes(days)) return days;
  throw new BadConfiguration(path, `CloudWatch Logs knows these retention times: ${RETENTIONS.join(", ")} days`);
};
const login = checked(badLogin);
const team = checked((given) =>
  /^[A-Za-z0-9_-]{1,100}$/.test(given) ? undefined : "a team's name has letters, digits, '-' and '_'",
);
const approver: Decoder<Approver> = (value, path) => {
  const { user, team: group } = fields("an approver", { user: login, team })(value, path);
  if (user !== undefined && group === undefined) return { user };
  if (group !== undefined && user === undefined) return { team: group };
  throw new BadConfiguration(path, "an approver is either a user or a team");
};
const rule = fields(
  "an approval rule",
  { environment: checked(badEnvironment), approvals: whole(1, 10), approvers: list(approver) },
  ["environment", "approvers"],
);
const group = fields(
  "a team",
  { principal: checked(badPrincipal), name: team, members: list(login), stacks: list(checked(badStack)) },
  ["principal", "name", "members", "stacks"],
);

/** The keys, but `gates` and the secret ones. */
const keys = {
  installation: oneWord,
  pulumiUrl: url,
  caBundle: bundle,
  publicUrl: url,
  log: text,
  logRetentionDays: retention,
  architecture: word("x86_64", "arm64"),
  memoryMb: whole(128, 10_240),
  reservedConcurrency: byName(word(...FUNCTIONS), whole(1, 1_000)),
  sweepMinutes: whole(1, 60),
  parallelization: whole(1, 10),
  throttling: fields("throttling", { rate: whole(1, 10_000), burst: whole(1, 5_000) }),
  encryptionKey: key,
  otherKeys: list(checked((given) => badKeyArn(given))),
  checkpoints: fields("checkpoints", {
    enabled: bool,
    retentionDays: whole(1, 36_500),
    mode: word("GOVERNANCE", "COMPLIANCE"),
  }),
  webhook: fields("webhook", { manage: bool, generation: whole(1, 10_000), acceptPrevious: bool }),
  github: fields("github", { url: githubUrl, generation: whole(1, 10_000), acceptPrevious: bool }),
  imports: byName(checked(badEnvironment), list(checked(badEnvironment))),
  approvalRules: list(rule),
  teams: list(group),
  tableName: checked((given) =>
    /^[A-Za-z0-9_.-]{3,255}$/.test(given) ? undefined : "a table's name has 3 to 255 letters, digits, '-', '_' and '.'",
  ),
  alarms: fields("alarms", { topics: list(arn("sns")), pendingHours: whole(1, 8_760) }),
  tags: byName(tag, text),
};

/** The secret ones. */
const SECRETS = ["tokens", "githubToken", "channelSecrets"];

/** Those whose value is a text as it stands; the others are data. */
const TEXTS = [
  "installation",
  "pulumiUrl",
  "caBundle",
  "publicUrl",
  "log",
  "architecture",
  "encryptionKey",
  "tableName",
];

/** Reads the stack's configuration, all of it. What is wrong or unknown stops the preview, with the key and the reason. */
export function readSettings(): Settings {
  const bad = badName(pulumi.getProject(), pulumi.getStack());
  if (bad !== undefined) throw new pulumi.RunError(bad);
  const config = new pulumi.Config("signoff");
  try {
    return checkedTogether(read(config), new pulumi.Config("aws").get("region"));
  } catch (error) {
    if (error instanceof BadConfiguration) throw new pulumi.RunError(`signoff:${error.message}`);
    throw error;
  }
}

function read(config: pulumi.Config): Settings {
  const names = Object.keys(pulumi.runtime.allConfig())
    .filter((name) => name.startsWith("signoff:"))
    .map((name) => name.slice("signoff:".length));
  const raw: Record<string, unknown> = {};
  for (const name of names.filter((one) => !["gates", ...SECRETS].includes(one))) {
    raw[name] = TEXTS.includes(name) ? config.require(name) : data(config, name);
  }
  const found = fields("the configuration", keys)(raw, "");
  const gates = at("gates", () => readGates(data(config, "gates")));
  return {
    name: `${pulumi.getProject()}-${pulumi.getStack()}`,
    gates,
    tokens: tokens(config),
    channelSecrets: channelSecrets(config, gates.channel ?? []),
    installation: found.installation ?? "signoff",
    pulumiUrl: found.pulumiUrl?.replace(/\/$/, ""),
    caBundle: found.caBundle,
    publicUrl: found.publicUrl?.replace(/\/$/, ""),
    log: found.log ?? "info",
    logRetentionDays: found.logRetentionDays ?? 90,
    architecture: found.architecture ?? "x86_64",
    memoryMb: found.memoryMb ?? 128,
    reservedConcurrency: found.reservedConcurrency ?? {},
    sweepMinutes: found.sweepMinutes ?? 1,
    parallelization: found.parallelization ?? 2,
    throttling: { rate: 20, burst: 50, ...found.throttling },
    encryptionKey: found.encryptionKey ?? "aws",
    otherKeys: found.otherKeys ?? [],
    checkpoints: { enabled: false, retentionDays: 400, mode: "GOVERNANCE", ...found.checkpoints },
    webhook: { manage: true, generation: 1, acceptPrevious: false, ...found.webhook },
    github: { url: undefined, generation: 1, acceptPrevious: false, ...found.github },
    githubToken: githubToken(config),
    imports: found.imports ?? {},
    approvalRules: (found.approvalRules ?? []).map(({ environment = "", approvals = 1, approvers = [] }) => {
      return { environment, approvals, approvers };
    }),
    teams: (found.teams ?? []).map(({ principal = "", name = "", members = [], stacks = [] }) => {
      return { principal, name, members, stacks };
    }),
    tableName: found.tableName,
    alarms: { topics: [], pendingHours: 24, ...found.alarms },
    tags: found.tags ?? {},
  };
}

/** What has to hold between the keys, and with the region, where the configuration says which that is. */
function checkedTogether(settings: Settings, region: string | undefined): Settings {
  const { gates, webhook } = settings;
  const bytes = Buffer.byteLength(stored(gates));
  if (bytes > MAX_GATES_BYTES) {
    const size = `the gates take ${bytes} bytes as they are stored, and an item of the table holds ${MAX_GATES_BYTES}`;
    throw new BadConfiguration("gates", `${size}: let one gate cover several stacks (acme/*/prod), or say less in each`);
  }
  const without = principalsOf(gates).find((principal) => !settings.tokens.has(principal));
  if (without !== undefined) {
    throw new BadConfiguration("tokens", `the principal ${without} of a gate has no token`);
  }
  checkKeys(settings);
  checkTopics(settings.alarms.topics);
  checkTags(settings.tags);
  if (region !== undefined) checkRegion(settings, region);
  const tooMany = badPolicies(settings);
  if (tooMany !== undefined) throw new BadConfiguration("gates", tooMany);
  if (webhook.acceptPrevious && webhook.generation === 1) {
    throw new BadConfiguration("webhook.acceptPrevious", "there is no secret before that of generation 1");
  }
  if (settings.github.acceptPrevious && settings.github.generation === 1) {
    throw new BadConfiguration("github.acceptPrevious", "there is no secret before that of generation 1");
  }
  if (hasPushes(gates) && settings.githubToken === undefined) {
    throw new BadConfiguration("githubToken", "a gate names pushes, and there is no token to read branches with");
  }
  const gated = gates.gate.map((gate) => gate.environment);
  for (const [environment, imported] of Object.entries(settings.imports)) {
    const path = `imports.${environment}`;
    if (!gated.includes(environment)) throw new BadConfiguration(path, `${environment} is no gate's environment`);
    const { organization } = partsOf(environment);
    const astray = imported.find((one) => one === environment || partsOf(one).organization !== organization);
    if (astray !== undefined) {
      throw new BadConfiguration(path, `${astray}: an environment imports others, of its own organization`);
    }
  }
  settings.approvalRules.forEach(({ environment, approvals, approvers }, index) => {
    const path = `approvalRules[${index}]`;
    if (![...gated, ...Object.values(settings.imports).flat()].includes(environment)) {
      throw new BadConfiguration(path, `environment: ${environment} is no gate's, and in imports of none`);
    }
    if (settings.approvalRules.findIndex((other) => other.environment === environment) !== index) {
      throw new BadConfiguration(path, `environment: ${environment} has a rule already`);
    }
    if (approvers.length === 0) throw new BadConfiguration(path, "approvers: without one nobody can approve");
    const people = approvers.every((one) => "user" in one);
    if (people && approvers.length < approvals) {
      throw new BadConfiguration(path, `approvers: ${approvers.length} can't give ${approvals} approvals`);
    }
    // Who carries a deployment out does not count; a rule that lets them approve would only mislead.
    const own = settings.teams.find((one) => approvers.some((who) => "team" in who && who.team === one.name));
    if (own !== undefined) throw new BadConfiguration(path, `approvers: ${own.name} is a principal's team`);
  });
  settings.teams.forEach(({ principal, name, members, stacks }, index) => {
    const path = `teams[${index}]`;
    if (!principalsOf(gates).includes(principal)) {
      throw new BadConfiguration(path, `principal: no gate names ${principal}`);
    }
    if (settings.teams.findIndex((other) => other.principal === principal || other.name === name) !== index) {
      throw new BadConfiguration(path, "a principal has one team, and a team one principal");
    }
    if (members.length === 0) throw new BadConfiguration(path, "members: the principal's own login has to stand here");
    const twice = stacks.find((stack, at) => stacks.indexOf(stack) < at);
    if (twice !== undefined) throw new BadConfiguration(path, `stacks: ${twice} is there twice`);
    const astray = stacks.find((stack) => gateOf(gates, stack)?.principal !== principal);
    if (astray !== undefined) {
      throw new BadConfiguration(path, `stacks: the gate of ${astray} is not one of the principal ${principal}`);
    }
    const environments = gates.gate.filter((gate) => gate.principal === principal).map((gate) => gate.environment);
    const organizations = new Set([...stacks, ...environments].map((full) => partsOf(full).organization));
    if (organizations.size > 1) throw new BadConfiguration(path, "a team is in one organization");
  });
  return settings;
}

function checkKeys({ encryptionKey, otherKeys }: Settings): void {
  if (otherKeys.length > MAX_OTHER_KEYS) {
    throw new BadConfiguration("otherKeys", `there are ${otherKeys.length} keys; ${MAX_OTHER_KEYS} is the most`);
  }
  const twice = otherKeys.find((one, at) => otherKeys.indexOf(one) < at);
  if (twice !== undefined) throw new BadConfiguration("otherKeys", `${twice} is there twice`);
  if (!otherKeys.includes(encryptionKey)) return;
  throw new BadConfiguration("otherKeys", `${encryptionKey} is the encryptionKey; here stand those that are used besides`);
}

function checkTopics(topics: readonly string[]): void {
  if (topics.length <= MAX_TOPICS) return;
  throw new BadConfiguration("alarms.topics", `there are ${topics.length} topics; CloudWatch tells ${MAX_TOPICS} at most`);
}

function checkTags(tags: Settings["tags"]): void {
  const keys = Object.keys(tags);
  const plain = keys.map((one) => one.toLowerCase());
  const twice = keys.find((_, at) => plain.indexOf(plain[at] ?? "") < at);
  if (twice === undefined) return;
  const other = keys[plain.indexOf(twice.toLowerCase())];
  throw new BadConfiguration(`tags.${twice}`, `IAM takes ${other} and ${twice} for the same key; leave one of them out`);
}

/** CloudWatch and the services that encrypt take nothing from another region. */
function checkRegion({ alarms, encryptionKey, otherKeys }: Settings, region: string): void {
  const each = [
    ...alarms.topics.map((arn, at) => [`alarms.topics[${at}]`, arn] as const),
    ["encryptionKey", encryptionKey] as const,
    ...otherKeys.map((arn, at) => [`otherKeys[${at}]`, arn] as const),
  ];
  for (const [path, arn] of each) {
    const there = arn.split(":")[3];
    if (there === undefined || there === region) continue;
    throw new BadConfiguration(path, `this is in ${there}, and aws:region is ${region}; one of ${region} has to stand here`);
  }
}

/** The tokens. They have to be secret in the configuration. */
function tokens(config: pulumi.Config): Settings["tokens"] {
  const written = data(config, "tokens");
  if (written === undefined) return new Map();
  if (!isSecret("signoff:tokens")) {
    throw new BadConfiguration(
      "tokens",
      "a token stands here in plain text; set it with --secret, and revoke this one",
    );
  }
  const good = checked((given) => (given.trim() === "" ? "an empty token is a missing one" : undefined));
  const found = byName(checked(badPrincipal), good)(written, "tokens");
  // A map, since a principal may be called `constructor`, and any object has something of that name. So may a channel.
  return new Map(Object.entries(found).map(([principal, token]) => [principal, pulumi.secret(token)]));
}

/** The secrets of these channels, one for each. They have to be secret in the configuration. */
function channelSecrets(config: pulumi.Config, channels: readonly Channel[]): Settings["channelSecrets"] {
  const written = data(config, "channelSecrets") ?? {};
  if (config.get("channelSecrets") !== undefined && !isSecret("signoff:channelSecrets")) {
    throw new BadConfiguration(
      "channelSecrets",
      "a secret stands here in plain text; set it with --secret, and have a new one made",
    );
  }
  const found = new Map(Object.entries(byName(checked(badChannel), text)(written, "channelSecrets")));
  const astray = [...found.keys()].find((name) => !channels.some((one) => one.name === name));
  if (astray !== undefined) throw new BadConfiguration("channelSecrets", `there is no channel ${astray}`);
  const secrets = channels.map((one): [string, pulumi.Output<string>] => {
    const secret = found.get(one.name)?.trim();
    const bad = badChannelSecret(one, secret === "" ? undefined : secret);
    if (bad !== undefined) throw new BadConfiguration("channelSecrets", bad);
    return [one.name, pulumi.secret(secret ?? "")];
  });
  return new Map(secrets);
}

/** The token for GitHub. It has to be secret in the configuration. */
function githubToken(config: pulumi.Config): Settings["githubToken"] {
  const token = config.get("githubToken")?.trim() ?? "";
  if (token === "") return undefined;
  if (!isSecret("signoff:githubToken")) {
    throw new BadConfiguration(
      "githubToken",
      "a token stands here in plain text; set it with --secret, and revoke this one",
    );
  }
  return pulumi.secret(token);
}

/** Whether a key is secret in the configuration. The SDK knows, and does not declare that it says so: its version is pinned, and a test asks. */
function isSecret(name: string): boolean {
  return (pulumi.runtime as unknown as { isConfigSecret(key: string): boolean }).isConfigSecret(name);
}

/** A value of the configuration that is data. */
function data(config: pulumi.Config, name: string): unknown {
  const written = pulumi.runtime.allConfig()[`signoff:${name}`];
  if (written === undefined) return undefined;
  try {
    return JSON.parse(written);
  } catch {
    // A bare word, such as a number that is none: it is shown as the text that it is, unless it may be a token.
    if (name === "tokens") throw new BadConfiguration(name, "principals' names with their tokens have to stand here");
    if (name === "channelSecrets") {
      throw new BadConfiguration(name, "channels' names with their secrets have to stand here");
    }
    return config.require(name);
  }
}

function at<T>(prefix: string, inner: () => T): T {
  try {
    return inner();
  } catch (error) {
    if (!(error instanceof BadConfiguration)) throw error;
    throw new BadConfiguration(error.path === "" ? prefix : `${prefix}.${error.path}`, error.reason);
  }
}
