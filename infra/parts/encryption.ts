/** The key under which the table, the secrets and the checkpoints are encrypted, if it is not one of AWS's own. */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/settings";
import type { Statement } from "./policy";

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

/** What a role needs for what is encrypted; nothing, if AWS's own keys do it. */
export function useKey(
  key: EncryptionKey | undefined,
  region: pulumi.Output<string>,
  ...through: Through[]
): Statement[] {
  if (key === undefined) return [];
  return through.map((service) => ({
    sid: `Key${service}`,
    actions: ACTIONS[service],
    resources: [key.arn],
    conditions: { StringEquals: { "kms:ViaService": pulumi.interpolate`${service}.${region}.amazonaws.com` } },
  }));
}
