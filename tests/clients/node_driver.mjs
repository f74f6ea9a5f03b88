// The driver `node`: commands on stdin, results and events on stdout.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

import { begin } from "./driver.js";

const emit = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const run = begin(pathToFileURL(process.argv[2]).href, emit);

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => run(JSON.parse(line)).then(emit));
lines.on("close", () => process.exit());
