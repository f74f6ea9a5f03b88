// The line: one WebSocket to the server that is opened again whenever it breaks.
//
// Where it leads, the server says (WHEREABOUTS), so that no page knows a port.
//
// It speaks the subprotocol signalpost.v1: every frame is a JSON object with one key that says what it is
// (welcome, signal, gap, ack, reply, error, presence, alive, bye and others). All are handed on: more will come.
//
// Who comes back goes on where they were: the line offers the session that its last welcome named, and the position of
// the last value that it has read. Where a path has no history, or the server cannot say what was missed, a gap is
// handed on, so that a page need only listen to that.

const PROTOCOL = "signalpost.v1";
const SESSION = "signalpost.session."; // before a session, beside PROTOCOL: never in the address, which is logged

const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 20_000;
const FIRST_SPREAD_MS = 2_000; // the first wait is drawn from 0.5 to 2 s, then 4, 8, 16, 20
const LONGEST_BYE_MS = 300_000; // a server's wish beyond five minutes is taken for a mistake
const PATIENCE_MS = 10_000; // for a handshake; browsers themselves wait up to two minutes
const WHEREABOUTS = "/.well-known/signalpost";
const WHEREABOUTS_MS = 5_000; // for the answer to that

// A line may be dead without a word: only what comes up it shows that it is not. An empty text asks for a sign of life.
const ASK = "";
const QUIET_MS = 15_000; // after this long without a word the server is asked
const SIGN_MS = 20_000; // for anything to come after that
const LOOK_MS = 5_000;

// The server meant it: it refused this client by policy (1008), a handler sent it away (4009), or another connection
// has the session now (4410), and would lose it again if this one came back.
const FINAL_CODES = new Set([1008, 4009, 4410]);

/** Says what the line is doing: {name, seconds?, reason?}, name being one of
 *  connecting | connected | waiting (seconds until the next try) | offline | closed (reason). */
export class Line {
  #path;
  #query;
  #session = ""; // of the last welcome
  #at = ""; // the position of what was read last
  #known = false; // welcomed before
  #url = null; // where it leads; null: the server is to be asked
  #lastUrl = null; // where it led when it was good
  #onState;
  #onFrame;
  #onClose;
  #socket = null;
  #attempt = 0;
  #welcomed = false;
  #heardAt = 0;
  #askedAt = 0; // 0: it owes no sign of life
  #lookedAt = 0;
  #asking = []; // who waits for one, in the order in which they asked
  #watch = 0;
  #state = "closed";
  #failures = 0;
  #leastWait = LEAST_WAIT_MS;
  #notBefore = 0;
  #timer = 0;

  /**
   * @param {string} path of the signal
   * @param {{onState: (state: object) => void, onFrame: (kind: string, body: any) => void,
   *          onClose: (end: {code: number, reason: string}) => void}} listeners
   * @param {string} query of the address, such as `name=Ada`
   */
  constructor(path, { onState, onFrame, onClose }, query = "") {
    this.#path = path;
    this.#query = query;
    this.#onState = onState;
    this.#onFrame = onFrame;
    this.#onClose = onClose;
  }

  /** Open the line and keep it open. */
  start() {
    addEventListener("online", () => this.#nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.#nudge());
    addEventListener("offline", () => {
      // A dead network is noticed by TCP after minutes only, so the browser's word is taken for it.
      if (this.#networkIsGone() && this.#state !== "closed") this.#hangUp();
    });
    this.reconnect();
  }

  /** Try now, whatever the wait. */
  async reconnect() {
    const attempt = this.#giveUp();
    this.#say("connecting");
    const url = this.#url ?? (await whereabouts()) ?? this.#lastUrl ?? ownAddress();
    if (attempt !== this.#attempt) return;
    this.#url = url;
    url.pathname = this.#path; // not part of a text: `//elsewhere` from the address bar must not become a host
    url.search = this.#query;
    if (this.#at) url.searchParams.set("at", this.#at);
    this.#welcomed = false;
    const socket = new WebSocket(url, this.#session ? [PROTOCOL, SESSION + this.#session] : [PROTOCOL]);
    this.#socket = socket;
    const patience = setTimeout(() => socket.close(), PATIENCE_MS);
    // Events of a socket that was given up are nobody's business any more.
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      clearTimeout(patience);
      this.#read(data);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      clearTimeout(patience);
      if (socket === this.#socket) this.#broken(code, reason);
    });
  }

  /** Send one message, a text of JSON; false when the line is not open. */
  send(text) {
    if (this.#state !== "connected" || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Ask the server for a sign of life, and hear of it: it has all that was sent before. Of a line that breaks
   *  meanwhile nothing is heard. */
  ask(onSign) {
    if (!this.send(ASK)) return;
    this.#asking.push(onSign);
    this.#askedAt ||= performance.now();
  }

  #read(data) {
    this.#heardAt = performance.now();
    this.#askedAt = 0;
    for (const [kind, body] of frameEntries(data)) {
      if (kind === "alive") {
        this.#asking.shift()?.();
      } else if (kind === "welcome") {
        // Only now is the line good: a server that accepts and drops at once must not reset the waits.
        this.#failures = 0;
        this.#leastWait = LEAST_WAIT_MS;
        this.#notBefore = 0;
        this.#welcomed = true;
        this.#lastUrl = this.#url;
        this.#say("connected");
        this.#look();
      } else if (kind === "bye" && Number.isFinite(body?.retry_ms)) {
        this.#leastWait = Math.min(Math.max(body.retry_ms, LEAST_WAIT_MS), LONGEST_BYE_MS);
        this.#notBefore = performance.now() + this.#leastWait;
      }
      this.#onFrame(kind, body);
      this.#remember(kind, body ?? {});
    }
  }

  /** Keep what the next handshake needs. The position is that of the last value that was read, and of nothing else: an
   *  ack names one, too, but may overtake values that come before it. */
  #remember(kind, body) {
    if ((kind === "signal" || kind === "gap") && typeof body.at === "string") {
      this.#at = body.at;
    } else if (kind === "welcome") {
      const at = typeof body.at === "string" ? body.at : "";
      // What lies between the old position and this one is still to come, each value with its own, unless nothing does.
      if (!at || body.missed === 0) this.#at = at;
      this.#session = typeof body.session === "string" ? body.session : "";
      const lost = this.#known && body.recovered === undefined; // else the server itself says what is missing
      this.#known = true;
      if (lost) this.#onFrame("gap", { path: body.path, why: "unknown" });
    }
  }

  /** Look again and again whether the line is alive. */
  #look() {
    clearTimeout(this.#watch);
    if (this.#state !== "connected") return;
    const now = performance.now();
    const slept = now - this.#lookedAt > 3 * LOOK_MS; // as hidden tabs and closed laptops do: what came may be unread
    this.#lookedAt = now;
    if (this.#askedAt && slept) this.#askedAt = now;
    if (this.#askedAt && now - this.#askedAt > SIGN_MS) {
      this.#url = null;
      this.#hangUp();
      this.#timer = setTimeout(() => this.reconnect(), this.#nextWait());
      return;
    }
    if (!this.#askedAt && now - this.#heardAt > QUIET_MS) this.ask(() => {});
    this.#watch = setTimeout(() => this.#look(), LOOK_MS);
  }

  #broken(code, reason) {
    this.#giveUp();
    if (!this.#welcomed) this.#url = null;
    this.#onClose({ code, reason });
    if (FINAL_CODES.has(code)) {
      this.#say("closed", { reason });
    } else if (this.#networkIsGone()) {
      this.#say("offline");
    } else {
      this.#countDown(performance.now() + this.#nextWait());
    }
  }

  /** Full jitter: anywhere between the least wait and a bound that doubles, so that the thousand clients of a
   *  restarted server do not come back in one moment. */
  #nextWait() {
    const spread = Math.min(FIRST_SPREAD_MS * 2 ** this.#failures, MOST_WAIT_MS);
    this.#failures += 1;
    const most = Math.max(spread, 2 * this.#leastWait); // a server's wish is a floor; jitter goes on top
    return this.#leastWait + Math.random() * (most - this.#leastWait);
  }

  #countDown(due) {
    const left = due - performance.now();
    if (left <= 0) {
      this.reconnect();
      return;
    }
    this.#say("waiting", { seconds: Math.ceil(left / 1000) });
    this.#timer = setTimeout(() => this.#countDown(due), Math.min(left, 1000));
  }

  /** Something changed for the better (network, attention): do not sit out the wait, unless the server asked for it. */
  #nudge() {
    if (this.#state === "connected") {
      if (!this.#askedAt) this.ask(() => {}); // the machine may have slept, or come to another network
      return;
    }
    const idle = this.#state === "waiting" || this.#state === "offline";
    if (!idle) return;
    clearTimeout(this.#timer);
    if (performance.now() < this.#notBefore) this.#countDown(this.#notBefore);
    else this.reconnect();
  }

  #hangUp() {
    this.#giveUp();
    this.#say("offline");
  }

  /** Let go of the socket, of who asks it, and of whatever was about to be done; returns the number of what comes next. */
  #giveUp() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#asking = [];
    this.#askedAt = 0;
    socket?.close();
    this.#attempt += 1;
    return this.#attempt;
  }

  /** A machine without a network still reaches itself. */
  #networkIsGone() {
    const { hostname } = location;
    const loopback = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
    return !navigator.onLine && !loopback;
  }

  #say(name, more = {}) {
    this.#state = name;
    this.#onState({ name, ...more });
  }
}

/** Ask the server where its WebSockets are; null if there is no answer. */
async function whereabouts() {
  let answer;
  try {
    answer = await fetch(WHEREABOUTS, { cache: "no-store", signal: AbortSignal.timeout(WHEREABOUTS_MS) });
  } catch {
    return null;
  }
  const own = ownAddress();
  try {
    const told = new URL((await answer.json()).url ?? own); // none is where the page came from, as behind a proxy
    // A page that came by TLS may not go on without: then something in front speaks TLS for the server.
    return told.protocol === "wss:" || (told.protocol === "ws:" && own.protocol === "ws:") ? told : own;
  } catch {
    return own; // it has no WebSockets, or is none of ours
  }
}

function ownAddress() {
  return new URL(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`);
}

/** The keys and values of a frame; none for what is not a JSON object, such as a binary frame. */
function frameEntries(data) {
  try {
    const frame = JSON.parse(data);
    return frame && typeof frame === "object" ? Object.entries(frame) : [];
  } catch {
    return [];
  }
}
