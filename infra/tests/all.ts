/** All tests in one process: loading AWS's SDK takes longer than they do. */

import { readdirSync } from "node:fs";
import * as path from "node:path";

const files = readdirSync(__dirname).filter((file) => file.endsWith(".test.ts"));
for (const file of files.sort()) require(path.join(__dirname, file));
