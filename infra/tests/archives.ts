/** Archives as `make package` leaves them, of programs that are nothing but a header. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { FUNCTIONS, type Settings } from "../config/settings";

/** The machine that a program of an architecture names, and one of which Lambda knows nothing. */
const MACHINES = { x86_64: 62, arm64: 183, riscv: 243 };

const done = new Map<string, string>();
const root = mkdtempSync(path.join(tmpdir(), "signoff-infra-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));

/** A directory to run the program from, with all functions packaged for this architecture. It is made once. */
export function packaged(architecture: Settings["architecture"]): string {
  const earlier = done.get(architecture) ?? pack(architecture, {});
  done.set(architecture, earlier);
  return earlier;
}

/** The same, made anew, with some of the programs for another machine. */
export function pack(usual: keyof typeof MACHINES, others: Partial<Record<string, keyof typeof MACHINES>>): string {
  const here = mkdtempSync(path.join(root, `${usual}-`));
  for (const name of FUNCTIONS) {
    const directory = path.join(here, "target", "lambda", name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, "bootstrap"), program(others[name] ?? usual));
  }
  const script = path.resolve(__dirname, "../../scripts/archive.py");
  execFileSync("python3", [script, "2.34", path.join(here, "target", "lambda")]);
  const infra = path.join(here, "infra");
  mkdirSync(infra);
  return infra;
}

/** The beginning of a program of 64 bits, and enough after it for the compression to have something to do. */
function program(machine: keyof typeof MACHINES): Buffer {
  const bytes = Buffer.alloc(100_000);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(MACHINES[machine], 18);
  for (let at = 64; at < bytes.length; at += 1) bytes[at] = (at * at) % 251;
  return bytes;
}
