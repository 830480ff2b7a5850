import * as assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { archiveOf } from "../parts/archive";
import { pack, packaged } from "./archives";
import { LEAST } from "./configurations";
import { run } from "./program";

/** Runs the program beside these archives, and expects it to say this. */
async function refused(beside: string, architecture: string, said: string): Promise<void> {
  await assert.rejects(run({ ...LEAST, architecture }, undefined, beside), { message: `signoff:architecture: ${said}` });
}

test("archives for another processor stop the preview, with the command that makes the right ones", async () => {
  await refused(
    packaged("x86_64"),
    "arm64",
    "../target/lambda/receive/bootstrap.zip is for x86_64, and the functions are to be arm64; in the repository's root say: make package ARCH=arm64",
  );
  await refused(
    packaged("arm64"),
    "x86_64",
    "../target/lambda/receive/bootstrap.zip is for arm64, and the functions are to be x86_64; in the repository's root say: make package ARCH=x86_64",
  );
  await refused(
    pack("arm64", { deploy: "x86_64" }),
    "arm64",
    "../target/lambda/deploy/bootstrap.zip is for x86_64, and the functions are to be arm64; in the repository's root say: make package ARCH=arm64",
  );
});

test("what no function can start from stops it too", async () => {
  const again = "; in the repository's root say: make package ARCH=x86_64";
  await refused(pack("x86_64", { api: "riscv" }), "x86_64", `${archiveOf("api")} holds no program for Lambda${again}`);
  const beside = pack("x86_64", {});
  const archive = path.join(beside, archiveOf("apply"));
  const whole = readFileSync(archive);
  for (const broken of [Buffer.alloc(0), whole.subarray(0, 40), Buffer.alloc(5_000, "PK\x03\x04")]) {
    writeFileSync(archive, broken);
    await refused(beside, "x86_64", `${archiveOf("apply")} holds no program for Lambda${again}`);
  }
  rmSync(archive);
  await refused(beside, "x86_64", `there is no ${archiveOf("apply")}${again}`);
});

test("an archive that is not uploaded is not looked at", async () => {
  await run(LEAST, undefined, pack("x86_64", { notify: "arm64" }));
});
