/** The table's keys and indexes as `functions/src/dynamo/keys.rs` spells them. A test reads that file and compares. */

export const PK = "pk";
export const SK = "sk";
/** The attribute by which items expire. */
export const EXPIRES = "expires";

/** Each index, keys only: its name, its partition key, its sort key and the sort key's type. */
export const INDEXES = {
  byOrganization: { name: "by-organization", hash: "org", range: "id", type: "S" },
  byDay: { name: "by-day", hash: "day", range: "at", type: "S" },
  due: { name: "due", hash: "shard", range: "due", type: "N" },
} as const;

/** The partitions of the index `due` that open requests are in. */
export const SHARDS = ["0", "1", "2", "3"] as const;
/** The partition of the index `due` that notices are in, and nothing else. */
export const NOTICES = "notices";

/** What the partition keys begin with; with a star, as a policy says it. */
export const LEADING = {
  request: "REQ#*",
  delivery: "HOOK#*",
  line: "STACK#*",
  lock: "PRINCIPAL#*",
  changeRequest: "CR#*",
  idempotency: "IDEM#*",
  once: "ONCE#*",
  gates: "CONFIG",
} as const;

/** Where the gates are, and under which attribute. */
export const GATES = { pk: "CONFIG", sk: "GATES", attribute: "gates" } as const;
