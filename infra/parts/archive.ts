/** The archives that are uploaded, and whether they are for the processor that the functions are to run on. */

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { constants, inflateRawSync } from "node:zlib";
import * as pulumi from "@pulumi/pulumi";
import type { FunctionName, Settings } from "../config/settings";

type Architecture = Settings["architecture"];

/** Where `make package` puts a function's archive. */
export function archiveOf(name: FunctionName): string {
  return `../target/lambda/${name}/bootstrap.zip`;
}

/** How a program says in its header whom it is for. */
const MACHINES = new Map<number, Architecture>([
  [62, "x86_64"],
  [183, "arm64"],
]);
/** How much of an archive is read: the entry's header and the beginning of the program. */
const BEGINNING = 4_096;
/** Where the parts of the header of a zip archive's first entry are, and how long it is without name and extras. */
const ZIP = { method: 8, nameLength: 26, extraLength: 28, name: 30, deflated: 8 };
/** Where a program's header says for which machine it is. */
const ELF_MACHINE = 18;

/**
 * Stops the preview unless these functions' archives are there, and for the architecture that is configured. Nobody else would notice: Lambda takes any
 * archive, and fails when it is to start it.
 */
export function checkArchives(names: readonly FunctionName[], architecture: Architecture): void {
  const command = `make package ARCH=${architecture}`;
  for (const path of names.map(archiveOf)) {
    if (!existsSync(path)) throw refused(`there is no ${path}`, command);
    const found = architectureOf(path);
    if (found === undefined) throw refused(`${path} holds no program for Lambda`, command);
    if (found === architecture) continue;
    throw refused(`${path} is for ${found}, and the functions are to be ${architecture}`, command);
  }
}

/** Whom the program in an archive is for; `undefined`, if that is nobody whom Lambda knows. Read from the archive, since that is what is uploaded. */
export function architectureOf(path: string): Architecture | undefined {
  const start = beginningOf(path);
  if (start.length < ZIP.name || start.toString("latin1", 0, 4) !== "PK\x03\x04") return undefined;
  const data = ZIP.name + start.readUInt16LE(ZIP.nameLength) + start.readUInt16LE(ZIP.extraLength);
  const named = start.toString("latin1", ZIP.name, ZIP.name + start.readUInt16LE(ZIP.nameLength));
  if (named !== "bootstrap" || start.readUInt16LE(ZIP.method) !== ZIP.deflated) return undefined;
  const program = inflated(start.subarray(data));
  if (program.length < ELF_MACHINE + 2 || program.toString("latin1", 0, 4) !== "\x7fELF") return undefined;
  return MACHINES.get(program.readUInt16LE(ELF_MACHINE));
}

function refused(what: string, command: string): pulumi.RunError {
  return new pulumi.RunError(`signoff:architecture: ${what}; in the repository's root say: ${command}`);
}

function beginningOf(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(BEGINNING);
    return buffer.subarray(0, readSync(file, buffer, 0, BEGINNING, 0));
  } finally {
    closeSync(file);
  }
}

/** What the beginning of compressed data stands for; nothing, if it is none. */
function inflated(data: Buffer): Buffer {
  try {
    return inflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    return Buffer.alloc(0);
  }
}
