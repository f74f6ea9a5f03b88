// The client of signalpost, for browsers and node: rooms that stay open, miss nothing, and say so when they must.
//
//     const line = connect();                                    // the page's own server
//     const room = line.open("/rooms/<room>", { room: "blue" });
//     room.on("gap", () => reload());
//     for await (const { value } of room) show(value);
//
// A link is one connection that is opened again whenever it breaks: a WebSocket, or server-sent events where WebSockets
// do not get through. A room is what an app sees of it. With `shared`, the link is in a SharedWorker, whose script is
// this file, too.
//
// The wire is the subprotocol signalpost.v1: every frame is a JSON object whose keys say what it is (welcome, signal,
// gap, ack, reply, error, presence, alive, bye and others). All are handed on: more will come.

const NAME = "signalpost";

const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 20_000;
const FIRST_SPREAD_MS = 2_000; // the first wait is drawn from 0.5 to 2 s, then 4, 8, 16, 20
const LONGEST_BYE_MS = 300_000; // a server's wish beyond five minutes is taken for a mistake
const PATIENCE_MS = 10_000; // until the welcome; browsers themselves wait up to two minutes
const WHEREABOUTS_MS = 5_000; // for the answer to that
const RETRY_MS = 1_000; // for a message that was not accepted, unless the server says otherwise
const SOCKET_TRIES = 2; // WebSockets that fail in a row before events are tried

// A line may be dead without a word: only what comes shows that it is not. An empty text asks for a sign of life.
const QUIET_MS = 15_000; // after this long without a word the server is asked
const SIGN_MS = 20_000; // for anything to come after that
const LOOK_MS = 5_000;
const ASLEEP_MS = 15_000; // between two looks

const ANSWER_MS = 30_000; // for the answer to `ask`, unless the app says otherwise
const LONGEST_TIMER_MS = 2 ** 31; // from here on timers fire at once
const MOST_UNREAD = 10_000; // values that wait for one iterator

const OPEN = 1; // of a WebSocket; here for its size
const BROKEN = 1006; // the code of an end that nobody has explained (RFC 6455 section 7.4.1)
const NO_TOKEN = 4401;
const TAKEN_OVER = 4410;
// The names of states and of some kinds, which stand in several places.
const CONNECTING = "connecting";
const CONNECTED = "connected";
const WAITING = "waiting";
const ONLINE = "online";
const OFFLINE = "offline";
const CLOSED = "closed";
const CLOSE = "close";
const STATE = "state";
const WELCOME = "welcome";
const ERROR = "error";

const WORKER = `${NAME} 1 `; // before the name of the SharedWorker; another number whenever its messages change
const page = globalThis; // a worker and node have one, too

/** Why a message has no good answer: `code` (of the server, or timeout, closed), `pointer`, `detail`. */
export class SignalpostError extends Error {
  constructor(facts) {
    super(facts.detail || facts.code);
    Object.assign(this, facts);
  }
}

/** Say where the server is; nothing is opened yet. Without an address it is the page's own server. */
export function connect(url, options) {
  const base = new URL(url ?? "/", page.location).href;
  return { open: (pattern, params = {}, more) => openRoom(base, fill(pattern, params), { ...options, ...more }) };
}

/** Put values into the places of a path, such as `/rooms/<room>`. */
const fill = (pattern, params) =>
  pattern.replace(/<(\w+)(:\w+)?>/g, (place, name, type) => {
    let text = encodeURIComponent(params[name] ?? "");
    if (type === ":path") text = text.replaceAll("%2F", "/");
    // An address with empty segments or dots would be another one.
    if (/(^|\/)\.{0,2}(\/|$)/.test(text)) throw new TypeError(`${place} needs a value`);
    return text;
  });

/** Keep a path of the server open; returns it as an app sees it. */
function openRoom(base, path, { token, store, shared, query }) {
  const listeners = {};
  const asks = new Map(); // by their ref
  const readers = new Set(); // iterators
  const leaving = new AbortController();
  const seat = { base, path, query: `${new URLSearchParams(query)}`, token: token && true };
  const key = `${NAME} ${path}?${seat.query}`;
  const memory = {}; // of a link of its own: at, session, known
  let signs = []; // who waits for a sign of life
  let version; // of presence; NaN: the whole was asked for

  const room = {
    path,
    present: new Map(),
    state: { name: CONNECTING },

    /** Call a listener for each event of a kind; returns a function that ends it. */
    on(kind, listener) {
      (listeners[kind] ??= new Set()).add(listener);
      return () => listeners[kind].delete(listener);
    },

    /** Send one message, without an answer; false when the room is not connected. */
    send: (message) => isIn(CONNECTED) && link("send", message) !== false,

    /** Send one message, and wait for its answer; it is sent again after each reconnect, and done once. */
    ask: (message, { timeout = ANSWER_MS } = {}) =>
      new Promise((resolve, reject) => {
        const ref = randomId();
        const whole = { once: ref, ...message, ref };
        const settle = (kind, body) => {
          clearTimeout(timer);
          asks.delete(ref);
          if (kind === ERROR) reject(new SignalpostError(body));
          else resolve({ kind, ...body });
        };
        const timer = timeout < LONGEST_TIMER_MS && setTimeout(() => settle(ERROR, { code: "timeout" }), timeout);
        asks.set(ref, { whole, settle });
        if (isIn(CLOSED)) end();
        else room.send(whole);
      }),

    /** Ask for what was sent to the path before: {signals, at, more}. */
    history: ({ timeout, ...options } = {}) =>
      room.ask({ [NAME]: { history: options }, once: undefined }, { timeout }), // requests have no `once`

    /** Ask for a sign of life: true when the server has all that was sent before, false if the line breaks. */
    alive: () => new Promise((resolve) => (room.send("") ? signs.push(resolve) : resolve(false))),

    /** Try now, whatever the wait. */
    reconnect: () => link("open", seat),

    /** Leave for good. */
    close() {
      quit(CLOSED);
      leaving.abort();
    },

    /** Read the values that come from here on. */
    [Symbol.asyncIterator]() {
      const reader = {
        next: () => stream.read(),
        return: async () => ({ done: readers.delete(reader) }),
      };
      const stream = new ReadableStream(
        { start: (queue) => (reader.queue = queue) },
        { highWaterMark: MOST_UNREAD },
      ).getReader();
      readers.add(reader);
      return reader;
    },
  };
  const isIn = (name) => room.state.name === name;
  /** Call who listens: each on its own, since the fault of one must not keep others, or the link, from going on. */
  const emit = (kind, body) => listeners[kind]?.forEach((listener) => queueMicrotask(() => listener(body)));
  const tellGap = (why) => emit("gap", { path: room.path, why });

  function hand(signal) {
    for (const reader of readers) {
      const left = reader.queue.desiredSize;
      if (left < 1) {
        reader.next(); // the oldest is nobody's
        if (!reader.slow) tellGap("slow");
      }
      reader.slow = left < 1 || (reader.slow && left < MOST_UNREAD);
      reader.queue.enqueue(signal);
    }
  }

  function end() {
    for (const { settle } of asks.values()) settle(ERROR, { code: CLOSED, detail: room.state.reason });
    for (const { queue } of readers) queue.close();
    readers.clear();
  }

  /** Called with each object of the server, and with what the link says itself. */
  function hear(kind, body) {
    if (leaving.signal.aborted) return;
    const facts = Object(body);
    const ask = asks.get(facts.ref);
    if (kind === STATE) {
      room.state = body;
      if (!isIn(CONNECTED)) for (const resolve of signs.splice(0)) resolve(false);
      if (isIn(CLOSED)) end();
    } else if (kind === "sign") {
      signs.shift()?.(true);
    } else if (kind !== CLOSE) {
      emit("frame", { kind, body });
    }
    if (kind === WELCOME) {
      room.path = facts.path;
      room.user = facts.user;
      for (const { whole } of asks.values()) room.send(whole);
      // Other tabs have had the link all the time, and it brings nothing again.
      if (facts.late) {
        if (facts.user) askWhoIsThere();
        if (memory.known) tellGap("unknown");
      }
      memory.known = true;
    }
    if (kind === "signal") hand(facts);
    if (kind === "presence") meet(facts);
    if (ask) ask.settle(kind, facts);
    else emit(kind, body);
  }

  /** Keep up to date who is there: the whole, then differences, of which none may be missing. */
  function meet({ version: now, count, users, joined, left }) {
    const next = version + 1;
    version = now;
    room.count = count;
    if (users || !joined) {
      room.present = new Map(Object.entries(users ?? {}));
    } else if (now === next) {
      for (const user of left) room.present.delete(user);
      for (const user in joined) room.present.set(user, joined[user]);
    } else {
      askWhoIsThere();
    }
  }

  function askWhoIsThere() {
    version = NaN;
    room.send({ [NAME]: { presence: {} }, ref: randomId() }); // after a reconnect it comes unasked
  }

  function quit(name) {
    link(CLOSE);
    hear(STATE, { name });
  }

  try {
    // What is in use is not in the store: a copy of this tab must not find it there.
    Object.assign(memory, JSON.parse(store.getItem(key)));
    store.removeItem(key);
  } catch {} // there is no store, or it is not open to this page

  const listen = (kind, listener) => page.addEventListener?.(kind, listener, leaving);
  const passOn = ({ type }) => link(type);
  listen(ONLINE, passOn);
  listen(OFFLINE, passOn);
  listen("visibilitychange", () => document.hidden || link(ONLINE));
  listen("pagehide", ({ persisted }) => {
    if (persisted && !isIn(CLOSED)) quit(OFFLINE); // an open socket keeps a page from being shown again as it was
    store?.setItem(key, JSON.stringify({ ...memory, known: memory.at }));
  });
  listen("pageshow", () => {
    if (!isIn(OFFLINE)) return;
    store?.removeItem(key);
    link("open", seat);
  });

  let link = () => {};
  const alone = () => {
    const own = makeLink({ ...seat, token, memory }, hear);
    link = (what, detail) => own[what](detail);
    own.open();
  };
  // Who opens a room can listen first.
  queueMicrotask(() => {
    if (isIn(CLOSED)) return;
    try {
      link = share(shared, token, hear, alone);
      link("open", seat);
    } catch {
      alone();
    }
  });
  return room;
}

// ---- The link ----

/** Make a connection that is opened again whenever it breaks. It tells of each object of the server, by its
 *  kind, and of
 *  state   {name, seconds?, reason?}: connecting | connected | waiting (seconds until the next try) | offline | closed
 *  close   {code, reason}
 *  sign    of life, for which somebody asked */
function makeLink({ base, path, query, token, memory = {} }, tell) {
  let where = null; // the server is; null: it is to be asked
  let lastWhere; // when it was good
  let transport;
  let streams; // it is events
  let misses = 0; // WebSockets in a row that brought no welcome
  let attempt = 0;
  let welcomed;
  let refused; // for its token, and not welcomed since
  let stale; // another token is to be shown
  let heardAt;
  let askedAt = 0; // 0: it owes no sign of life
  let lookedAt;
  let asking; // who waits for one, in the order in which they asked
  let state;
  let failures = 0;
  let leastWait = LEAST_WAIT_MS;
  let notBefore = 0;
  let told; // how the server says that events end
  let timer; // what is about to be done

  const now = () => performance.now();
  const later = (ms, job) => {
    clearTimeout(timer);
    timer = setTimeout(job, ms);
  };
  /** A machine without a network still reaches itself. */
  const networkIsGone = () =>
    page.navigator?.onLine === false && !/^\w+:\/\/(127\.|\[::1|[^/]*localhost[:/])/.test(base);
  const say = (name, more) => {
    state = name;
    tell(STATE, { name, ...more });
  };

  /** Try now, whatever the wait. */
  async function open() {
    giveUp();
    const ours = attempt;
    // What was given up is nobody's business any more.
    const end = (how) => ours === attempt && broken(told ?? how);
    const take = (frame, text) => ours === attempt && read(frame, text);
    say(CONNECTING);
    told = welcomed = null;
    later(PATIENCE_MS, end);
    try {
      const found = where ?? (await whereabouts(base, lastWhere));
      const bearer = await token?.();
      if (ours !== attempt) return;
      const [socket, stream] = (where = found);
      streams = misses >= SOCKET_TRIES && stream;
      const url = new URL(streams || socket);
      url.pathname = path; // not part of a text: `//elsewhere` must not become a host
      url.search = query;
      const address = new URL(url);
      if (memory.at) address.searchParams.set("at", memory.at);
      transport = (streams ? openStream : openSocket)(address, memory, bearer, take, end, url);
    } catch (error) {
      end({ reason: `${error}` }); // no token, or none that can be sent
    }
  }

  /** Send a message. An empty one asks for a sign of life, by which the server has all that was sent before. */
  function send(message, onSign = () => tell("sign")) {
    if (state !== CONNECTED) return false;
    if (!message) {
      asking.push(onSign);
      askedAt ||= now();
    }
    transport.send(typeof message === "string" ? message : JSON.stringify(message), message);
    return !(transport.readyState > OPEN); // events have none
  }

  /** Show another token on the connection that there is. If none can be had now, or judged, the next look tries it. */
  async function renew() {
    const ours = attempt;
    stale = false;
    try {
      const bearer = await token?.();
      if (bearer && ours === attempt) send({ [NAME]: { token: bearer }, ref: NAME });
    } catch {
      stale = true;
    }
  }

  /** Something changed for the better (network, attention): do not sit out the wait, unless the server asked for it. */
  function online() {
    if (!askedAt) send("", () => {}); // the machine may have slept, or moved
    if (state === WAITING || state === OFFLINE) countDown(notBefore);
  }

  /** A dead network is noticed by TCP after minutes only, so the browser's word is taken for it. */
  function offline() {
    if (!networkIsGone() || state === CLOSED) return;
    giveUp();
    say(OFFLINE);
  }

  function close() {
    giveUp();
    state = CLOSED;
  }

  /** Take in a frame, or a text that may be one, which is a sign of life whatever it holds. */
  function read(frame, text) {
    if (!frame) {
      heardAt = now();
      askedAt = 0;
      try {
        frame = JSON.parse(text);
      } catch {} // such as a binary frame
    }
    for (const kind in frame) {
      const body = frame[kind];
      const { at, path, missed, session, recovered, retry_ms, ref, code } = Object(body);
      let lost;
      if (kind === "alive") asking.shift()?.();
      // The position is that of the last value that was read, and of nothing else: an ack names one, too, but may
      // overtake values that come before it. A gap that names none is of values that are not kept.
      if (kind === "signal" ? at : kind === "gap" && at !== undefined) memory.at = at;
      if (kind === WELCOME) {
        lost = memory.known && recovered === undefined; // else the server itself says what is missing
        memory.known = true;
        // What lies between the old position and this one is still to come, each with its own, unless nothing does.
        if (!at || !memory.at || !missed) memory.at = at;
        memory.session = session;
        // Only now is the line good: a server that accepts and drops at once must not reset the waits.
        failures = notBefore = refused = stale = 0;
        leastWait = LEAST_WAIT_MS;
        welcomed = true;
        if (!streams) misses = 0;
        lastWhere = where;
        say(CONNECTED);
        look();
      }
      if (kind === "expiring") renew();
      if (ref === NAME) stale = code === "unavailable"; // its keys have not come yet
      if (kind === "bye") {
        leastWait = Math.min(retry_ms > LEAST_WAIT_MS ? retry_ms : LEAST_WAIT_MS, LONGEST_BYE_MS);
        notBefore = now() + leastWait;
      }
      if (kind === CLOSE) told = body;
      else tell(kind, body);
      if (lost) tell("gap", { path, why: "unknown" });
    }
  }

  /** Look again and again whether the line is alive. */
  function look() {
    // Hidden tabs and closed laptops sleep: what came may be unread.
    if (askedAt && now() - lookedAt > ASLEEP_MS) askedAt = now();
    lookedAt = now();
    later(LOOK_MS, look);
    if (stale) renew();
    if (lookedAt - heardAt > QUIET_MS) online();
    if (askedAt && lookedAt - askedAt > SIGN_MS) {
      where = null;
      broken();
    }
  }

  function broken({ code = BROKEN, reason = "", type } = {}) {
    giveUp(type); // of an event of a WebSocket, which has ended: node 20 fails if it is closed again
    if (!welcomed) {
      where = null;
      // A code of the server's own came by a WebSocket that works.
      misses = streams ? 0 : misses + (code < 4000);
    }
    tell(CLOSE, { code, reason });
    // The server meant it: it refused this client by policy (1008, 4403), a handler sent it away (4009), or another
    // connection has the session now (4410), and would lose it again if this one came back.
    if ([1008, 4009, 4403, TAKEN_OVER].includes(code)) {
      if (code === TAKEN_OVER) memory.session = "";
      say(CLOSED, { reason });
    } else if (code === NO_TOKEN && !refused) {
      refused = true;
      open(); // with another token
    } else if (networkIsGone()) {
      say(OFFLINE);
    } else {
      // Full jitter: anywhere between the least wait and a bound that doubles, so that the thousand clients of a
      // restarted server do not come back in one moment. A server's wish is a floor; jitter goes on top.
      const most = Math.max(Math.min(FIRST_SPREAD_MS * 2 ** failures++, MOST_WAIT_MS), 2 * leastWait);
      countDown(now() + leastWait + Math.random() * (most - leastWait));
    }
  }

  function countDown(due) {
    const left = due - now();
    if (left > 0) {
      say(WAITING, { seconds: Math.ceil(left / 1000) });
      later(Math.min(left, 1000), () => countDown(due));
    } else {
      open();
    }
  }

  /** Let go of the transport, of who asks it, and of whatever was about to be done. */
  function giveUp(ended) {
    clearTimeout(timer);
    asking = [];
    askedAt = 0;
    attempt += 1; // before the close, which node 20 tells at once
    if (!ended) transport?.close();
  }

  return { open, send, online, offline, close };
}

/** Ask the server where its WebSockets and, if it has them, its events are. An address that is one says so itself. */
async function whereabouts(base, last) {
  const socket = base.replace(/^http/, "ws");
  const stream = base.replace(/^ws/, "http");
  const own = [socket, stream];
  if (base !== socket) {
    try {
      const signal = AbortSignal.timeout(WHEREABOUTS_MS);
      const answer = await fetch(new URL(`/.well-known/${NAME}`, base), { signal }); // no cache has it
      last = own; // if it answers something else, nothing is known
      const told = await answer.json();
      last = [beside(told.url, socket), "sse" in told && beside(told.sse, stream)];
    } catch {} // there is no answer
  }
  return last ?? own;
}

/** Where a server says that something is; none is the page's own address, as behind a proxy. A page that came by TLS
 *  may not go on without: then something in front speaks TLS for the server. */
const beside = (told, own) => (told?.startsWith(own.split(":")[0]) ? told : own);

// ---- Transports: they tell of what is read, and of their end ----

function openSocket(address, { session }, bearer, read, end) {
  // A session and a token stand beside the protocol, and never in the address, which is logged.
  const protocols = [`${NAME}.v1`, session && `${NAME}.session.${session}`, bearer && `${NAME}.bearer.${bearer}`];
  const socket = new WebSocket(address, protocols.filter((each) => each)); // those that there are
  socket.onmessage = ({ data }) => read(0, data);
  socket.onclose = socket.onerror = end; // of a connection that fails, node 20 tells an error alone
  return socket;
}

/** Events by fetch: an EventSource has no headers. What is sent goes by requests of its own, one after the other. */
function openStream(address, memory, bearer, read, end, url) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const retryMs = (response) => response.headers.get("Retry-After") * 1000;
  const request = (where, headers, more) => {
    if (memory.session) headers["Signalpost-Session"] = memory.session;
    if (bearer) headers.Authorization = `Bearer ${bearer}`;
    return fetch(where, { headers, signal, ...more });
  };

  /** Read an event stream (HTML, section 9.2.6); only data matters here, since positions are in it. Returns how it
   *  ended, if that is known. */
  async function listen() {
    address.searchParams.set("v", 1);
    const response = await request(address, { Accept: "text/event-stream" });
    if (!response.ok) {
      read({ bye: { retry_ms: retryMs(response) } });
      return { code: 4000 + response.status };
    }
    const decoder = new TextDecoder();
    const body = response.body.getReader();
    let rest = "";
    let data = "";
    for (let part; !(part = await body.read()).done; ) {
      read();
      // A piece may end between the two characters of one end of a line.
      const lines = (rest + decoder.decode(part.value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data += line.slice(5) + "\n";
        if (line) continue;
        read(0, data);
        data = "";
      }
    }
  }

  async function post(text, message) {
    const { ref, once, [NAME]: { token } = {} } = message;
    let response = {};
    let answer;
    try {
      response = await request(url, { "Content-Type": "application/json" }, { method: "POST", body: text });
      answer = await response.json();
    } catch {} // it has broken, or the answer is none
    const { status = 0, ok } = response;
    if (status === 401 && !token) end({ code: NO_TOKEN });
    if (ok && token) bearer = token;
    if (signal.aborted) return;
    // What has a `once` may be sent again even if it has arrived.
    if (status ? status === 429 || status === 503 : once) {
      await new Promise((resolve) => setTimeout(resolve, (status && retryMs(response)) || RETRY_MS));
      return post(text, message);
    }
    const { signals = [], ...rest } = Object(answer);
    for (const signal of signals) read({ signal });
    if (!ok) rest.error = { code: `http-${status}`, ...rest.error };
    for (const kind in rest) read({ [kind]: { ref, ...rest[kind] } });
  }

  listen().then(end, () => end());
  let sent = Promise.resolve();
  return {
    send(text, message) {
      sent = sent.then(() => (text ? post(text, message) : read({ alive: {} })));
    },
    close: () => leaving.abort(),
  };
}

/** As `crypto.randomUUID` is, which browsers keep from pages that came without TLS. */
const randomId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

// ---- One link for all tabs ----

/** Have a link in the SharedWorker; it throws where there is none. If its script does not load, `replace` is called. */
function share(name, token, hear, replace) {
  if (!name) throw name;
  const worker = new SharedWorker(import.meta.url, { type: "module", name: WORKER + name });
  worker.onerror = replace;
  const { port } = worker;
  const post = (...told) => port.postMessage(told);
  port.onmessage = async ({ data: [kind, body] }) => {
    if (kind === "token") post(kind, await token());
    else hear(kind, body);
  };
  return post;
}

function makeHost(seat) {
  const ports = new Set();
  const owners = new Map(); // lists of the port that is to be answered, by the ref
  let state;
  let welcome;
  let giveToken;
  const post = (told, among = ports) => among.forEach((port) => port.postMessage(told));
  const askForToken = () => {
    post(["token"]); // a tab may have gone without a word, so all are asked
    return new Promise((resolve) => (giveToken = resolve));
  };
  const link = makeLink({ ...seat, token: seat.token && askForToken }, (...told) => {
    const [kind, body] = told;
    if (kind === STATE) {
      state = told;
      welcome = null;
      owners.clear();
    }
    if (kind === WELCOME) welcome = [WELCOME, { ...body, late: true }];
    post(told, owners.get(Object(body).ref));
  });
  return {
    ...link,
    open(port) {
      const join = ports.size && !ports.has(port);
      ports.add(port);
      if (!join) return link.open();
      post(state, [port]);
      if (welcome) post(welcome, [port]);
    },
    close(port) {
      ports.delete(port);
      if (!ports.size) link.close();
    },
    send(port, message) {
      if (message.ref) owners.set(message.ref, [port]);
      link.send(message, () => post(["sign"], [port]));
    },
    token: (port, token) => giveToken(token),
  };
}

// In the worker: keep a link for each seat, and the ports of the tabs that have it.
if (page.name?.startsWith(WORKER)) {
  const hosts = {};
  page.onconnect = ({ ports: [port] }) => {
    let host;
    port.onmessage = ({ data: [what, detail] }) => {
      if (what === "open") host = hosts[JSON.stringify(detail)] ??= makeHost(detail);
      host[what](port, detail);
    };
  };
}
