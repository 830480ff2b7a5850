/** The key under which the table, the secrets and the checkpoints are encrypted, if it is not one of AWS's own. */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/settings";
import type { Statement } from "./policy";
import { servicesOf } from "./region";
import type { Site } from "./site";

/** A key of the customer's. */
export interface EncryptionKey {
  arn: pulumi.Output<string>;
}

/** Which service uses the key for a role. A role can use it through these alone. */
export type Through = "dynamodb" | "secretsmanager" | "s3";

const ACTIONS: Record<Through, readonly string[]> = {
  dynamodb: [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
  ],
  secretsmanager: ["kms:Decrypt"],
  s3: ["kms:Decrypt", "kms:GenerateDataKey"],
};

/** The key that is configured: a new one, somebody's, or none. */
export function encryptionKey(settings: Settings, tags: Record<string, string>): EncryptionKey | undefined {
  if (settings.encryptionKey === "aws") return undefined;
  if (settings.encryptionKey !== "create") return { arn: pulumi.output(settings.encryptionKey) };
  // Without it nothing of the trail can be read any more, so it goes as reluctantly as the table.
  return new aws.kms.Key(
    "encryption",
    {
      description: `${settings.name}: table, secrets, checkpoints`,
      enableKeyRotation: true,
      deletionWindowInDays: 30,
      tags,
    },
    { protect: true, retainOnDelete: true },
  );
}

/**
 * What a role needs for what is encrypted; nothing, if AWS's own keys do it. The other keys are used as the one of now is: a checkpoint stays under the
 * key that it was written with, and a table changes over before its functions' policies do.
 */
export function useKeys({ key, settings, region }: Site, ...through: Through[]): Statement[] {
  const resources = [...(key === undefined ? [] : [key.arn]), ...settings.otherKeys];
  if (resources.length === 0) return [];
  return through.map((service) => ({
    sid: `Key${service}`,
    actions: ACTIONS[service],
    resources,
    conditions: {
      StringEquals: { "kms:ViaService": region.apply((name) => `${service}.${name}.${servicesOf(name)}`) },
    },
  }));
}
