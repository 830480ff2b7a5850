/** Who hears what of requests: the rules of `shared/src/notice.rs`, with the same complaints. */

import { BadConfiguration, bool, checked, type Decoder, fields, list, maybe, text, word } from "./decode";

/** The most channels that a configuration may have, and the most notices of a gate. */
export const MAX_CHANNELS = 50;
/** What a channel can hear of, in the order in which it is stored. */
export const TOPICS = ["waiting", "approved", "running", "over", "broken"] as const;

/** What people can hear of a request. */
export type Topic = (typeof TOPICS)[number];

/** Where notices go. */
export type Channel = { name: string; kind: "slack" } | { name: string; kind: "webhook"; url: string };

/** Which channel hears what of a gate's requests. What says no more than its default is left out. */
export interface Notice {
  channel: string;
  on?: Topic[];
  reminders?: true;
}

/** What the secret of a channel is, by its kind. */
const SECRET = {
  slack: "the address of the incoming webhook at Slack",
  webhook: "the key that signs its webhooks, whsec_ and 24 to 64 bytes in base64",
} as const;

const MACHINES = ["127.0.0.1", "localhost", "[::1]"];

/** What is wrong with a channel's name. */
export function badChannel(name: string): string | undefined {
  return /^[a-z0-9-]{1,40}$/.test(name)
    ? undefined
    : "a channel is a name of lower-case letters, digits and '-' (40 at most)";
}

/** Whether notices may go there: nobody is to read them on the way. */
function isAddress(url: string): boolean {
  const [, scheme = "", rest = ""] = /^(.*?):\/\/(.*)$/s.exec(url) ?? [];
  const [host = ""] = rest.split(/[/?]/);
  const machine = host.replace(/:\d+$/, "");
  const plain = url.length <= 2_000 && /^[!-~]*$/.test(url) && !/[#\\"]/.test(url);
  const safe = scheme === "https" || (scheme === "http" && MACHINES.includes(machine));
  return plain && safe && machine !== "" && !host.includes("@");
}

/** Whether every word of a text is a key that signs: one, or several while it is being replaced. */
function isKeys(secret: string): boolean {
  return secret.split(/\s+/).every((word) => {
    const [, coded = ""] = /^whsec_(.*)$/.exec(word) ?? [];
    const bytes = Buffer.from(coded, "base64");
    return bytes.toString("base64") === coded && bytes.length >= 24 && bytes.length <= 64;
  });
}

/** What is wrong with the secret of a channel; the text doesn't show it. */
export function badChannelSecret({ name, kind }: Channel, secret: string | undefined): string | undefined {
  if (secret === undefined) {
    const how = `pulumi config set --secret --path signoff:channelSecrets.${name}`;
    return `the channel ${name} has no secret; set ${SECRET[kind]}: ${how}`;
  }
  const good = kind === "slack" ? isAddress(secret) : isKeys(secret);
  return good ? undefined : `what stands here for the channel ${name} is not ${SECRET[kind]}`;
}

const draft = fields(
  "struct DraftChannel",
  { name: checked(badChannel), kind: word("slack", "webhook"), url: maybe(text) },
  ["name", "kind"],
);

/** A channel. */
export const channel: Decoder<Channel> = (value, path) => {
  const { name = "", kind = "slack", url } = draft(value, path);
  if (kind === "slack") {
    if (url === undefined) return { name, kind };
    const reason = "whoever knows the address of an incoming webhook can post to it; it is the secret of the channel";
    throw new BadConfiguration(path, `url: ${reason} ${name}`);
  }
  if (url === undefined) throw new BadConfiguration(path, `url: the channel ${name} leads nowhere without one`);
  if (isAddress(url)) return { name, kind, url };
  const rule = "is one of https, or of http on this very machine, without user, spaces and fragment";
  throw new BadConfiguration(path, `url: the address of the channel ${name} ${rule}`);
};

const written = fields(
  "struct NoticeRule",
  { channel: checked(badChannel), on: list(word(...TOPICS)), reminders: bool },
  ["channel"],
);

/** Which channel hears what. */
export const notice: Decoder<Notice> = (value, path) => {
  const { channel: name = "", on = TOPICS, reminders = false } = written(value, path);
  const heard = TOPICS.filter((topic) => on.includes(topic));
  return {
    channel: name,
    ...(heard.length === TOPICS.length ? {} : { on: heard }),
    ...(reminders ? { reminders: true } : {}),
  };
};

/** What is wrong with a gate's notices together. Whether there are such channels is seen where those are. */
export function badNotices(notices: readonly Notice[]): string | undefined {
  if (notices.length > MAX_CHANNELS) return `notices: there are ${notices.length}; ${MAX_CHANNELS} is the most`;
  for (const [at, { channel: name, on }] of notices.entries()) {
    if (notices.slice(0, at).some((other) => other.channel === name)) {
      return `notices: two of them are for ${name}; one is the most`;
    }
    if (on?.length === 0) return `notices: ${name} would hear of nothing; leave on out to let it hear of everything`;
  }
  return undefined;
}
