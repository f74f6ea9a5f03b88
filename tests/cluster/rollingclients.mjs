// Clients of a rolling restart, with the JavaScript client: see rollingclients.py, which says what is asked and answered.

import { createInterface } from "node:readline";

import { connect } from "../../core/signalpost/browser/signalpost.js";

const AT_ONCE = 50;
const PATIENCE_MS = 60_000;

const { url, seconds, clients } = JSON.parse(process.argv[2]);
const line = connect(url);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
let halted = false;

function open([kind, path, name]) {
  const counts = { missing: 0, doubled: 0, byes: 0, tries: 0, refused: 0 };
  const tally = { kind, path, last: {}, gaps: [], nodes: [], came: [], ends: [], ...counts };
  const room = line.open(path);
  const client = { tally, room, name, sent: 0, isConnected: false };
  room.on("state", (state) => {
    client.isConnected = state.name === "connected";
    tally.tries += state.name === "connecting";
  });
  room.on("bye", () => (tally.byes += 1));
  room.on("close", ({ code }) => tally.ends.push(code));
  room.on("gap", ({ why }) => tally.gaps.push(why));
  room.on("signal", ({ value }) => {
    const at = value.lastIndexOf(" ");
    const from = value.slice(0, at);
    const number = Number(value.slice(at + 1));
    const last = tally.last[from] ?? 0;
    if (number <= last) {
      tally.doubled += 1;
    } else {
      tally.missing += number - last - 1;
      tally.last[from] = number;
    }
  });
  client.opened = new Promise((resolve) =>
    room.on("welcome", ({ clientId }) => {
      tally.nodes.push(clientId.split("-")[0]);
      tally.came.push(Date.now() / 1000);
      resolve();
    }),
  );
  return client;
}

async function publish(client) {
  const began = performance.now();
  while (!halted) {
    try {
      await client.room.ask({ message: `${client.name} ${client.sent + 1}` }, { timeout: Infinity });
    } catch {
      client.tally.refused += 1;
      continue;
    }
    client.sent += 1;
    const due = began + client.sent * seconds * 1000;
    while (!halted && performance.now() < due) await pause(Math.min(50, due - performance.now()));
  }
}

const hasAll = ({ tally }, sent) => Object.entries(sent[tally.path]).every(([name, last]) => tally.last[name] >= last);

const made = [];
for (let begin = 0; begin < clients.length; begin += AT_ONCE) {
  const some = clients.slice(begin, begin + AT_ONCE).map(open);
  made.push(...some);
  await Promise.all(some.map(({ opened }) => opened));
}
const publishing = [];
say({ connected: made.length });
for await (const text of createInterface({ input: process.stdin })) {
  const command = JSON.parse(text);
  if (command.do === "go") publishing.push(...made.filter(({ name }) => name).map(publish));
  if (command.do === "connected") say({ connected: made.filter(({ isConnected }) => isConnected).length });
  if (command.do === "halt") {
    halted = true;
    await Promise.all(publishing);
    const sent = {};
    for (const { tally, name, sent: count } of made) if (name) (sent[tally.path] ??= {})[name] = count;
    say({ sent });
  }
  if (command.do === "finish") {
    const until = performance.now() + PATIENCE_MS;
    while (performance.now() < until && !made.every((each) => hasAll(each, command.sent))) await pause(100);
    say({ clients: made.map(({ tally }) => tally) });
  }
}
process.exit();
