/** The one table, and the gates in it. */

import * as aws from "@pulumi/aws";
import { type Gates, stored } from "../config/gates";
import { EXPIRES, GATES, INDEXES, PK, SK } from "./schema";
import type { Site } from "./site";

/**
 * The table. It is never deleted by the program: it is protected at Pulumi and at AWS, and one that leaves the program stays at AWS. A restored table
 * is a resource of its own, named like the table, so that it can be imported beside the old one; whatever the backup lacks (stream, expiry,
 * recovery, protection) is put back by the next update.
 */
export function stateTable({ settings, tags, key }: Site): aws.dynamodb.Table {
  const indexes = Object.values(INDEXES);
  return new aws.dynamodb.Table(
    settings.tableName ?? "table",
    {
      ...(settings.tableName === undefined ? {} : { name: settings.tableName }),
      billingMode: "PAY_PER_REQUEST",
      hashKey: PK,
      rangeKey: SK,
      attributes: [
        { name: PK, type: "S" },
        { name: SK, type: "S" },
        ...indexes.flatMap(({ hash, range, type }) => [
          { name: hash, type: "S" },
          { name: range, type },
        ]),
      ],
      // (The newer `keySchemas` would do too, but the provider has taken tables apart over it.)
      globalSecondaryIndexes: indexes.map(({ name, hash, range }) => ({
        name,
        hashKey: hash,
        rangeKey: range,
        projectionType: "KEYS_ONLY",
      })),
      streamEnabled: true,
      streamViewType: "NEW_AND_OLD_IMAGES",
      ttl: { attributeName: EXPIRES, enabled: true },
      pointInTimeRecovery: { enabled: true },
      // Encrypted either way: `false` stands for the key that DynamoDB owns, free of charge. With `true` and no ARN a table would stay under the key that it
      // had, since the provider keeps an ARN that is left out, and the functions may use that key no more.
      serverSideEncryption: key === undefined ? { enabled: false } : { enabled: true, kmsKeyArn: key.arn },
      deletionProtectionEnabled: true,
      tags,
    },
    { protect: true, retainOnDelete: true },
  );
}

/** The item that holds the gates. Nothing runs against a table before it has them: without gates open requests would end. */
export function gatesItem(table: aws.dynamodb.Table, gates: Gates): aws.dynamodb.TableItem {
  const item = {
    [PK]: { S: GATES.pk },
    [SK]: { S: GATES.sk },
    [GATES.attribute]: { S: stored(gates) },
  };
  return new aws.dynamodb.TableItem("gates", {
    tableName: table.name,
    hashKey: PK,
    rangeKey: SK,
    item: JSON.stringify(item),
  });
}
