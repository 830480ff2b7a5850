/** What every part of an installation needs to know of the whole. */

import type * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/settings";
import type { EncryptionKey } from "./encryption";

/** An installation: how it is configured, and what is the same everywhere. */
export interface Site {
  settings: Settings;
  /** Each resource that can carry tags carries these. */
  tags: Record<string, string>;
  region: pulumi.Output<string>;
  account: pulumi.Output<string>;
  /** The customer's key; `undefined`: AWS's own keys. */
  key: EncryptionKey | undefined;
}

/** The tags of an installation: the configured ones, and what tells its resources from others'. */
export function tagsOf(settings: Settings): Record<string, string> {
  return { ...settings.tags, application: "signoff", installation: settings.name };
}
