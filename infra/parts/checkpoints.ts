/** Signed checkpoints of the audit trail, in a bucket that nobody can rewrite: against somebody who rewrites the whole table. */

import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { useKeys } from "./encryption";
import { type Statement, UNAVOIDABLE } from "./policy";
import type { Site } from "./site";

/** Where checkpoints go, and what signs them. */
export interface Checkpoints {
  bucket: aws.s3.Bucket;
  key: aws.kms.Key;
  /** What makes the bucket one that nobody can rewrite. Whoever writes into it comes after: an object keeps what held when it was written. */
  settings: pulumi.Resource[];
}

/**
 * The bucket and the key, if checkpoints are configured. Like the table, neither is ever deleted by the program; and the bucket's settings stay with
 * it, since what is in it hangs on them.
 */
export function checkpointStore({ settings, tags, key: encryption }: Site): Checkpoints | undefined {
  const { enabled, retentionDays, mode } = settings.checkpoints;
  if (!enabled) return undefined;
  const stays = { retainOnDelete: true };
  const kept = { ...stays, protect: true };
  const key = new aws.kms.Key(
    "checkpoints",
    {
      description: `${settings.name}: signs checkpoints of the audit trail`,
      customerMasterKeySpec: "ECC_NIST_P256",
      keyUsage: "SIGN_VERIFY",
      deletionWindowInDays: 30,
      tags,
    },
    kept,
  );
  const bucket = new aws.s3.Bucket("checkpoints", { objectLockEnabled: true, tags }, kept);
  const on = { bucket: bucket.id };
  const versions = new aws.s3.BucketVersioning(
    "checkpoints",
    { ...on, versioningConfiguration: { status: "Enabled" } },
    stays,
  );
  const lock = new aws.s3.BucketObjectLockConfiguration(
    "checkpoints",
    { ...on, rule: { defaultRetention: { mode, days: retentionDays } } },
    { ...stays, dependsOn: [versions] },
  );
  const shut = new aws.s3.BucketPublicAccessBlock(
    "checkpoints",
    { ...on, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
    stays,
  );
  const owner = new aws.s3.BucketOwnershipControls(
    "checkpoints",
    { ...on, rule: { objectOwnership: "BucketOwnerEnforced" } },
    stays,
  );
  const algorithm =
    encryption === undefined ? { sseAlgorithm: "AES256" } : { sseAlgorithm: "aws:kms", kmsMasterKeyId: encryption.arn };
  const encrypted = new aws.s3.BucketServerSideEncryptionConfiguration(
    "checkpoints",
    { ...on, rules: [{ applyServerSideEncryptionByDefault: algorithm, bucketKeyEnabled: encryption !== undefined }] },
    stays,
  );
  return { bucket, key, settings: [versions, lock, shut, owner, encrypted] };
}

/** What the names of checkpoints begin with, as `functions/src/checkpoint/bucket.rs` has it. */
const FOLDER = "checkpoints/*";

/**
 * What writing checkpoints takes, besides the table. They can be written and, to go on where their chain ends, listed and read; nobody deletes one, and
 * the object lock keeps the one that is there when its name is written again.
 */
export function writeCheckpoints(site: Site, { bucket, key: signing }: Checkpoints): Statement[] {
  return [
    {
      sid: "WriteCheckpoints",
      actions: ["s3:PutObject"],
      resources: [pulumi.interpolate`${bucket.arn}${UNAVOIDABLE.checkpoints}`],
    },
    {
      sid: "ReadCheckpoints",
      actions: ["s3:GetObject"],
      resources: [pulumi.interpolate`${bucket.arn}${UNAVOIDABLE.checkpoints}`],
    },
    {
      sid: "ListCheckpoints",
      actions: ["s3:ListBucket"],
      resources: [bucket.arn],
      conditions: { StringLike: { "s3:prefix": FOLDER } },
    },
    { sid: "SignCheckpoints", actions: ["kms:GetPublicKey", "kms:Sign"], resources: [signing.arn] },
    ...useKeys(site, "s3"),
  ];
}
