// The driver of the JavaScript client, for node and for pages: see drivers.py.
//
// `begin(module, emit)` returns a function that takes a command and returns a promise of its result. The module is
// imported by its address, so that the clock can be taken over before.

/** Timers, clock and random numbers of the client, which stand still until they are moved. */
class Clock {
  now = 0;
  #timers = new Map();
  #last = 0;

  constructor(random) {
    const numbers = [random].flat();
    const { setTimeout, clearTimeout } = globalThis;
    const now = performance.now.bind(performance);
    let drawn = 0;
    Math.random = () => numbers[drawn++ % numbers.length];
    performance.now = () => (isClients() ? this.now : now());
    globalThis.setTimeout = (job, ms = 0, ...more) => {
      if (!isClients()) return setTimeout(job, ms, ...more);
      this.#last -= 1; // never a timer of the system
      this.#timers.set(this.#last, { due: this.now + ms, job });
      return this.#last;
    };
    globalThis.clearTimeout = (timer) => this.#timers.delete(timer) || clearTimeout(timer);
  }

  /** Run what falls due, each at its time, until so many milliseconds have passed, or `isThere`. */
  async advance(ms, isThere) {
    const end = this.now + ms;
    while (!isThere()) {
      const due = [...this.#timers].filter(([, timer]) => timer.due <= end).sort(([, a], [, b]) => a.due - b.due)[0];
      if (!due) {
        this.now = end;
        break;
      }
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].due);
      due[1].job();
      await settled();
    }
  }
}

/** What has been promised is done, and what listens has heard of it. */
const settled = () =>
  new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(0);
  });

/** Whether the client calls; node's own WebSockets use the same globals. */
const isClients = () => new Error().stack.split("\n")[3].includes("signalpost.js");

const KINDS =
  "state welcome signal gap presence reply error ack lagged bye expiring close".split(" ");

export function begin(module, emit, more = {}) {
  const rooms = {};
  const iterators = {};
  let clock = null;
  const told = (event, room, body) => emit({ event, room, now: (clock?.now ?? 0) / 1000, body });
  let states = [];

  function watch(name, room) {
    rooms[name] = room;
    for (const kind of KINDS) {
      room.on(kind, (body) => {
        if (kind === "state") states.push(body.name);
        told(kind, name, kind === "signal" ? { at: null, ...body } : body);
      });
    }
  }

  const commands = {
    clock({ random = 0.5 }) {
      clock = new Clock(random);
    },
    async advance({ seconds, until }) {
      states = [];
      await clock.advance(seconds * 1000, () => states.includes(until));
      return { now: clock.now / 1000 };
    },
    async open({ room, url, path, params, query, tokens, shared, store }) {
      const { connect } = await import(module);
      const token =
        tokens &&
        (async () => {
          told("token", room, {});
          const given = tokens.length > 1 ? tokens.shift() : tokens[0];
          if (given === null) throw new Error("there is no token now");
          return given;
        });
      const options = { token, query, shared, store: store && sessionStorage };
      watch(room, connect(url, options).open(path, params));
    },
    send: ({ room, message }) => rooms[room].send(message),
    ask: ({ room, message, timeout }) => rooms[room].ask(message, { timeout: timeout && timeout * 1000 }),
    history: ({ room, limit, before, after }) => rooms[room].history({ limit, before, after }),
    present({ room }) {
      const { user = null, count = null, present } = rooms[room];
      return { user, count, present: Object.fromEntries(present) };
    },
    async alive({ room }) {
      if (!(await rooms[room].alive())) throw Object.assign(new Error("the line has broken"), { code: "broken" });
    },
    iterate({ room }) {
      iterators[room] = rooms[room][Symbol.asyncIterator]();
    },
    async read({ room, count }) {
      const values = [];
      while (values.length < count) {
        const { value, done } = await iterators[room].next();
        if (done) break;
        values.push({ at: null, ...value });
      }
      return values;
    },
    reconnect: ({ room }) => rooms[room].reconnect(),
    close: ({ room }) => rooms[room].close(),
    ...more,
  };

  return async ({ id, do: name, ...options }) => {
    try {
      const result = await commands[name](options);
      return { id, result: result ?? null };
    } catch (error) {
      const { code = String(error), pointer = null, message } = error;
      return { id, error: { code, pointer, detail: error.detail ?? message } };
    }
  };
}
