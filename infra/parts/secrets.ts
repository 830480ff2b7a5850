/** The secrets: the webhooks', which the program generates, and the tokens, which it is given. */

import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { channelsOf, hasPushes, principalsOf } from "../config/gates";
import type { Site } from "./site";

/**
 * For how long a secret that the program deletes can be got back, in days: not at all. Until then its name would be taken, and whoever takes a principal,
 * a channel or the pushes away and puts them back would be refused by AWS. Nothing is lost that can't be had again: what was given stands in the
 * stack's configuration, and what was generated is shared with one webhook, which gets the next one.
 */
const RECOVERY_DAYS = 0;

/**
 * A key that is taken away makes a new secret, since the provider does not tell Secrets Manager of it: the secret would stay under a key that the functions
 * may use no more. The old one goes first, as it has the name. (From one key to another a secret is changed in place.)
 */
const BACK_TO_AWS: pulumi.CustomResourceOptions = { replaceOnChanges: ["kmsKeyId"], deleteBeforeReplace: true };

/** A webhook secret: its value for Pulumi Cloud, and where the receiver reads it. */
export interface WebhookSecret {
  value: pulumi.Output<string>;
  arn: pulumi.Output<string>;
}

/** The webhook's secrets: the one in use, and the one before while both are good. */
export interface WebhookSecrets {
  current: WebhookSecret;
  previous: WebhookSecret | undefined;
}

/** Secrets that have names of ours: each is in Secrets Manager under the prefix and its name. */
export interface Named {
  prefix: string;
  arns: pulumi.Output<string>[];
}

/**
 * The webhook's secrets. Each generation is a secret of its own: whoever counts up gets a new one, and the one before stays as it was for as
 * long as it is to be accepted.
 */
export function webhookSecrets(site: Site): WebhookSecrets {
  const { generation, acceptPrevious } = site.settings.webhook;
  return {
    current: webhookSecret(site, generation),
    previous: acceptPrevious ? webhookSecret(site, generation - 1) : undefined,
  };
}

/** What GitHub's webhook and its branches take. */
export interface GitHubSecrets {
  webhook: WebhookSecrets;
  token: pulumi.Output<string>;
}

/** GitHub's secrets, if a gate names a push: those of its webhook, and the token that reads branches. */
export function githubSecrets(site: Site): GitHubSecrets | undefined {
  const { gates, github, githubToken, name } = site.settings;
  if (!hasPushes(gates) || githubToken === undefined) return undefined;
  const { generation, acceptPrevious } = github;
  return {
    webhook: {
      current: webhookSecret(site, generation, "github-webhook"),
      previous: acceptPrevious ? webhookSecret(site, generation - 1, "github-webhook") : undefined,
    },
    token: stored(site, "github-token", `${name}/github-token`, "token that reads branches at GitHub", githubToken),
  };
}

/** Where the secrets of a webhook are read. */
export function arnsOf({ current, previous }: WebhookSecrets): pulumi.Output<string>[] {
  return previous === undefined ? [current.arn] : [current.arn, previous.arn];
}

/** The tokens of the principals that the gates name. One that no gate names is kept nowhere. */
export function principalTokens(site: Site): Named {
  const prefix = `${site.settings.name}/principals/`;
  const arns = principalsOf(site.settings.gates).flatMap((principal) => {
    const token = site.settings.tokens.get(principal);
    if (token === undefined) return [];
    return [stored(site, `principal-${principal}`, `${prefix}${principal}`, `access token of ${principal}`, token)];
  });
  return { prefix, arns };
}

/** The secrets of the channels through which somebody hears of something. That of another one is kept nowhere. */
export function channelSecrets(site: Site): Named {
  const prefix = `${site.settings.name}/channels/`;
  const arns = channelsOf(site.settings.gates).flatMap(({ name }) => {
    const secret = site.settings.channelSecrets.get(name);
    if (secret === undefined) return [];
    return [stored(site, `channel-${name}`, `${prefix}${name}`, `where notices to ${name} go, or what signs them`, secret)];
  });
  return { prefix, arns };
}

function webhookSecret(site: Site, generation: number, of = "webhook"): WebhookSecret {
  const name = `${of}-${generation}`;
  const { result } = new random.RandomPassword(name, { length: 48, special: false });
  const arn = stored(site, name, `${site.settings.name}/${name}`, `the shared secret of a webhook, ${of}`, result);
  return { value: result, arn };
}

/** Keeps a value; gives where, once it is there. */
function stored(
  { tags, key }: Site,
  name: string,
  path: string,
  description: string,
  value: pulumi.Output<string>,
): pulumi.Output<string> {
  const secret = new aws.secretsmanager.Secret(
    name,
    {
      name: path,
      description: `signoff: ${description}`,
      recoveryWindowInDays: RECOVERY_DAYS,
      ...(key === undefined ? {} : { kmsKeyId: key.arn }),
      tags,
    },
    key === undefined ? BACK_TO_AWS : {},
  );
  return new aws.secretsmanager.SecretVersion(name, { secretId: secret.id, secretString: value }).arn;
}
