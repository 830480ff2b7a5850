/** The secrets: the webhook's, which the program generates, and the principals' tokens, which it is given. */

import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { principalsOf } from "../config/gates";
import type { Site } from "./site";

/** For how long a secret that is deleted can be got back, in days. */
const RECOVERY_DAYS = 7;

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

/** The principals' tokens in Secrets Manager: each under the prefix and the principal's name. */
export interface PrincipalTokens {
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

/** The tokens of the principals that the gates name. One that no gate names is kept nowhere. */
export function principalTokens(site: Site): PrincipalTokens {
  const prefix = `${site.settings.name}/principals/`;
  const arns = principalsOf(site.settings.gates).flatMap((principal) => {
    const token = site.settings.tokens[principal];
    if (token === undefined) return [];
    return [stored(site, `principal-${principal}`, `${prefix}${principal}`, `access token of ${principal}`, token)];
  });
  return { prefix, arns };
}

function webhookSecret(site: Site, generation: number): WebhookSecret {
  const name = `webhook-${generation}`;
  const { result } = new random.RandomPassword(name, { length: 48, special: false });
  const arn = stored(site, name, `${site.settings.name}/${name}`, "the webhook's shared secret", result);
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
  const secret = new aws.secretsmanager.Secret(name, {
    name: path,
    description: `signoff: ${description}`,
    recoveryWindowInDays: RECOVERY_DAYS,
    ...(key === undefined ? {} : { kmsKeyId: key.arn }),
    tags,
  });
  return new aws.secretsmanager.SecretVersion(name, { secretId: secret.id, secretString: value }).arn;
}
