// The line: one WebSocket to the server that is opened again whenever it breaks.
//
// It speaks the subprotocol signalpost.v1: every frame is a JSON object with one key that says what it is
// (welcome, signal, error, bye). Keys that it does not know are left alone: more will come.

const PROTOCOL = "signalpost.v1";

const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 20_000;
const FIRST_SPREAD_MS = 2_000; // the first wait is drawn from 0.5 to 2 s, then 4, 8, 16, 20
const LONGEST_BYE_MS = 300_000; // a server's wish beyond five minutes is taken for a mistake
const PATIENCE_MS = 10_000; // for a handshake; browsers themselves wait up to two minutes

// The server meant it: it refused this client by policy (1008), or a handler sent it away (4009).
const FINAL_CODES = new Set([1008, 4009]);

/** Says what the line is doing: {name, seconds?, reason?}, name being one of
 *  connecting | connected | waiting (seconds until the next try) | offline | closed (reason). */
export class Line {
  #url;
  #onState;
  #onFrame;
  #socket = null;
  #state = "closed";
  #failures = 0;
  #leastWait = LEAST_WAIT_MS;
  #notBefore = 0;
  #timer = 0;

  /**
   * @param {URL} url
   * @param {{onState: (state: object) => void, onFrame: (kind: string, body: any) => void}} listeners
   */
  constructor(url, { onState, onFrame }) {
    this.#url = url;
    this.#onState = onState;
    this.#onFrame = onFrame;
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
  reconnect() {
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#say("connecting");
    const socket = new WebSocket(this.#url, PROTOCOL);
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

  /** Send one message; false when the line is not open. */
  send(message) {
    if (this.#state !== "connected" || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Whether everything sent has left the browser. */
  get flushed() {
    return !this.#socket || this.#socket.bufferedAmount === 0;
  }

  #read(data) {
    for (const [kind, body] of frameEntries(data)) {
      if (kind === "welcome") {
        // Only now is the line good: a server that accepts and drops at once must not reset the waits.
        this.#failures = 0;
        this.#leastWait = LEAST_WAIT_MS;
        this.#notBefore = 0;
        this.#say("connected");
      } else if (kind === "bye" && Number.isFinite(body?.retry_ms)) {
        this.#leastWait = Math.min(Math.max(body.retry_ms, LEAST_WAIT_MS), LONGEST_BYE_MS);
        this.#notBefore = performance.now() + this.#leastWait;
      }
      this.#onFrame(kind, body);
    }
  }

  #broken(code, reason) {
    this.#socket = null;
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
    const idle = this.#state === "waiting" || this.#state === "offline";
    if (!idle) return;
    clearTimeout(this.#timer);
    if (performance.now() < this.#notBefore) this.#countDown(this.#notBefore);
    else this.reconnect();
  }

  #hangUp() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#say("offline");
  }

  /** A machine without a network still reaches itself. */
  #networkIsGone() {
    const { hostname } = this.#url;
    const loopback = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
    return !navigator.onLine && !loopback;
  }

  #say(name, more = {}) {
    this.#state = name;
    this.#onState({ name, ...more });
  }
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
