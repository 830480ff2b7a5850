/**
 * From data that somebody wrote to typed values. What is wrong is said in the words that the Rust side uses (those of serde), so that one
 * mistake reads the same wherever it is found.
 */

/** A configuration that can't be used: where, and why. */
export class BadConfiguration extends Error {
  constructor(
    /** Where it is: `gate[0].access-duration`; empty for the whole document. */
    readonly path: string,
    /** What is wrong. */
    readonly reason: string,
  ) {
    super(path === "" ? reason : `${path}: ${reason}`);
  }
}

/** Takes a value at a path, gives what it stands for, or throws {@link BadConfiguration}. */
export type Decoder<T> = (value: unknown, path: string) => T;

/** The keys of an object, each with its decoder. */
export type Fields = Record<string, Decoder<unknown>>;

/** What the fields that are there decode to. */
export type Found<F extends Fields> = { -readonly [K in keyof F]?: ReturnType<F[K]> };

/** A text. */
export const text: Decoder<string> = (value, path) => {
  if (typeof value === "string") return value;
  throw wrongType(value, path, "a string");
};

/** `true` or `false`. */
export const bool: Decoder<boolean> = (value, path) => {
  if (typeof value === "boolean") return value;
  throw wrongType(value, path, "a boolean");
};

/** A whole number between two bounds, both of which are good. */
export function whole(least: number, most: number): Decoder<number> {
  return (value, path) => {
    if (typeof value !== "number") throw wrongType(value, path, "a number");
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new BadConfiguration(path, `a whole number from ${least} to ${most} has to stand here`);
  };
}

/** A whole number of 32 bits without a sign. */
export const u32: Decoder<number> = (value, path) => {
  if (typeof value !== "number" || !Number.isInteger(value)) throw wrongType(value, path, "u32");
  if (value >= 0 && value < 2 ** 32) return value;
  throw new BadConfiguration(path, `invalid value: ${shown(value)}, expected u32`);
};

/** One of these words. */
export function word<const W extends string>(...words: readonly W[]): Decoder<W> {
  return (value, path) => {
    const given = text(value, path);
    const found = words.find((one) => one === given);
    if (found !== undefined) return found;
    throw new BadConfiguration(path, `unknown variant \`${given}\`, expected ${choice(words)}`);
  };
}

/** A text for which a check has no complaint. */
export function checked(complaint: (text: string) => string | undefined): Decoder<string> {
  return (value, path) => {
    const given = text(value, path);
    const reason = complaint(given);
    if (reason === undefined) return given;
    throw new BadConfiguration(path, reason);
  };
}

/** A list. */
export function list<T>(item: Decoder<T>): Decoder<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrongType(value, path, "a sequence");
    return value.map((one, at) => item(one, `${path}[${at}]`));
  };
}

/** Something that may also be null, which stands for nothing. */
export function maybe<T>(inner: Decoder<T>): Decoder<T | undefined> {
  return (value, path) => (value === null || value === undefined ? undefined : inner(value, path));
}

/** An object with these keys and no others. Every key may be missing; `needed` says which may not. */
export function fields<F extends Fields>(what: string, known: F, needed: readonly (keyof F & string)[] = []) {
  return (value: unknown, path: string): Found<F> => {
    if (!isObject(value)) throw wrongType(value, path, what);
    const found: Found<F> = {};
    for (const [key, one] of Object.entries(value)) {
      const decoder = Object.hasOwn(known, key) ? known[key] : undefined;
      const at = path === "" ? key : `${path}.${key}`;
      if (decoder === undefined) {
        throw new BadConfiguration(at, `unknown field \`${key}\`, expected ${choice(Object.keys(known))}`);
      }
      found[key as keyof F] = decoder(one, at) as Found<F>[keyof F];
    }
    const missing = needed.find((key) => found[key] === undefined);
    if (missing !== undefined) throw new BadConfiguration(path, `missing field \`${missing}\``);
    return found;
  };
}

/** An object whose keys are names of something, and whose values are all alike. */
export function byName<T>(name: Decoder<string>, item: Decoder<T>): Decoder<Record<string, T>> {
  return (value, path) => {
    if (!isObject(value)) throw wrongType(value, path, "a map");
    const each = Object.entries(value).map(([key, one]) => {
      const at = path === "" ? key : `${path}.${key}`;
      return [name(key, at), item(one, at)] as const;
    });
    return Object.fromEntries(each);
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrongType(value: unknown, path: string, expected: string): BadConfiguration {
  return new BadConfiguration(path, `invalid type: ${shown(value)}, expected ${expected}`);
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "sequence";
  switch (typeof value) {
    case "boolean":
      return `boolean \`${value}\``;
    case "number":
      return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
    case "string":
      return `string ${JSON.stringify(value)}`;
    default:
      return "map";
  }
}

function choice(words: readonly string[]): string {
  const quoted = words.map((one) => `\`${one}\``);
  return quoted.length <= 2 ? quoted.join(" or ") : `one of ${quoted.join(", ")}`;
}
