// Reads a JSON list of AsyncAPI documents (texts) from stdin, and prints for each what AsyncAPI's parser makes of it.
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";

const parser = new Parser();
const found = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const { document, diagnostics } = await parser.parse(text);
  const channels = document === undefined ? [] : document.channels().all();
  found.push({
    accepted: document !== undefined,
    told: diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join("/") })),
    channels: channels.map((channel) => ({
      id: channel.id(),
      address: channel.address(),
      messages: channel.messages().all().map((message) => message.id()),
      operations: channel.operations().all().map((operation) => operation.id()),
    })),
  });
}
process.stdout.write(JSON.stringify(found));
