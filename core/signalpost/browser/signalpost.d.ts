// The types of signalpost.js, kept by hand beside it.

/** What a signal of routes.yaml takes and gives; `signalpost types` writes one for each path. */
export interface Signal {
  /** The values of the places in its path. */
  params: object;
  /** The whole message of a client, as it is sent. */
  sends: unknown;
  /** A value, as clients read it. */
  receives: unknown;
}

/** The signals of an app, by path: what `signalpost types` writes. */
export type SignalMap<S> = { [P in keyof S]: Signal };

/** The signals of an app that says nothing about them. */
export type AnySignals = Record<string, { params: Record<string, string | number>; sends: any; receives: any }>;

export interface Options {
  /**
   * Called before every connection, and a minute before a token ends: then give another one, which is shown on the same
   * connection. After a refused one (4401) it is called at once.
   */
  token?: () => string | null | undefined | Promise<string | null | undefined>;
  /**
   * Where position and session stay over a page load, such as `sessionStorage`. While a page uses them they are not in
   * the store, so a duplicated tab begins afresh, instead of taking the session away from the first one. Not used with
   * `shared`, unless that falls back.
   */
  store?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | undefined;
  /**
   * One connection for all tabs, in a SharedWorker; where there is none, each has its own. A text keeps apart what must
   * not be shared, such as the tabs of two users. A tab that comes later reads from then on; `history` has the rest.
   */
  shared?: boolean | string | undefined;
  /** The query of the address, for the app. */
  query?: string | URLSearchParams | Record<string, string> | undefined;
}

export interface Line<S extends SignalMap<S> = AnySignals> {
  /** Keep a path open: a pattern and the values of its places, which are percent-encoded, or a plain path. */
  open<P extends keyof S & string>(
    path: P,
    ...more: {} extends S[P]["params"]
      ? [params?: S[P]["params"], options?: Options]
      : [params: S[P]["params"], options?: Options]
  ): Room<S[P]["sends"], S[P]["receives"]>;
}

export interface State {
  name: "connecting" | "connected" | "waiting" | "offline" | "closed";
  /** With waiting: until the next try. */
  seconds?: number;
  /** With closed: of the server. */
  reason?: string;
}

/** A value, where it was sent, and its position if the path has a history. */
export interface Value<T = any> {
  value: T;
  path: string | null;
  at?: string;
}

export interface Welcome {
  clientId: string;
  path: string;
  session: string;
  /** How others know this client, where the signal has `presence`; the name of its token, if it has shown one. */
  user?: string;
  /** Seconds that are left of its token, if that ends. */
  expires?: number;
  at?: string;
  recovered?: boolean;
  missed?: number;
  /** The room was open in another tab already. */
  late?: true;
}

/** Values are missing here that cannot be had: load what they were about from where the app keeps it. */
export interface Gap {
  path: string;
  /** From here signals go on. Not there with `lost`: values were missed that are not kept, and nothing that is. */
  at?: string | null;
  /** unknown: the path has no history. slow: this client did not read fast enough. */
  why: "lost" | "slow" | "too-old" | "unknown";
}

export interface Present {
  /** The number of connections. */
  n: number;
  info: any;
}

export interface Presence {
  path: string;
  version: number;
  count: number;
  users?: Record<string, Present>;
  joined?: Record<string, Present>;
  left?: string[];
}

export interface Fault {
  code: string;
  pointer?: string;
  detail?: string;
  ref?: string | number;
  again?: true;
}

export interface Ack {
  kind: "ack";
  ref?: string | number;
  /** The position of the message, if it was kept. */
  at?: string;
  /** The message had been done already. */
  again?: true;
  /** Of another token that was shown, with the ref `signalpost`: seconds that are left of it. */
  expires?: number;
}

export interface Reply {
  kind: "reply";
  ref?: string | number;
  value: any;
  again?: true;
}

export interface History<T = any> {
  signals: Value<T>[];
  /** The position of the last of them. */
  at?: string;
  /** There are more in the same direction. */
  more: boolean;
}

export interface Events<T = any> {
  /** What the connection is doing. */
  state: State;
  welcome: Welcome;
  signal: Value<T>;
  gap: Gap;
  /** `room.present` and `room.count` have it already. */
  presence: Presence;
  /** Those that no `ask` waits for. */
  reply: Omit<Reply, "kind">;
  ack: Omit<Ack, "kind">;
  /** Also of another token that was refused, with the ref `signalpost`: the present one counts until it ends. */
  error: Fault;
  /** The token ends: in so many seconds the connection is closed (4401), unless `token` gives another one. */
  expiring: { in: number };
  lagged: { missed: number; from?: string; to?: string };
  bye: { retry_ms: number };
  /** A connection has ended. */
  close: { code: number; reason: string };
  /** Every object of the server, also of kinds that this module does not know. */
  frame: { kind: string; body: any };
}

export interface Asking {
  /** Milliseconds until it fails with the code `timeout`; 30,000 if it is not said, `Infinity` for never. */
  timeout?: number | undefined;
}

export interface Room<Sends = any, Receives = any> extends AsyncIterable<Value<Receives>> {
  /** As the server spells it, once it has welcomed this client. */
  readonly path: string;
  readonly state: State;
  /** Who is here, by user, where the signal has `presence`; empty if there are too many to be told. */
  readonly present: ReadonlyMap<string, Present>;
  /** How many are here. */
  readonly count: number | undefined;
  /** How others know this client: by its token, or where the signal has `presence`. */
  readonly user: string | undefined;

  /** Call a listener for each event of a kind; returns a function that ends it. */
  on<K extends keyof Events>(kind: K, listener: (body: Events<Receives>[K]) => void): () => void;
  on(kind: string & {}, listener: (body: any) => void): () => void;

  /** Send one message, without an answer; false if the room is not connected, and nothing is sent then. */
  send(message: Sends): boolean;

  /**
   * Send one message, and wait for its answer. While the room is not connected it waits; after each reconnect it sends
   * the message again, with the same `once`, by which the server does it once. Fails with a `SignalpostError`.
   */
  ask(message: Sends, options?: Asking): Promise<Ack | Reply>;

  /** Ask for what was sent to the path: the newest values, those before a position, or those after one. */
  history(options?: { limit?: number; before?: string; after?: string } & Asking): Promise<History<Receives>>;

  /** Ask for a sign of life: true when the server has all that was sent before, false if the connection breaks. */
  alive(): Promise<boolean>;

  /** Try now, whatever the wait; also after the server has closed the room. */
  reconnect(): void;

  /** Leave for good. */
  close(): void;

  /**
   * The values from here on. They end when the room is closed, by either side. If more than 10,000 wait to be read, the
   * oldest are dropped, and the event `gap` says `slow`.
   */
  [Symbol.asyncIterator](): AsyncIterator<Value<Receives>, undefined>;
}

/** Why a message has no good answer. */
export class SignalpostError extends Error {
  /** Of the server's error; or `timeout`, or `closed`. */
  code: string;
  /** Where in the message. */
  pointer?: string;
  detail?: string;
}

/**
 * Say where the server is; nothing is opened yet.
 *
 * @param url - `ws:` or `wss:` is where its WebSockets are. `http:` or `https:` is asked for that first, and so is the
 *   page's own server without it. Its path is not used.
 */
export function connect<S extends SignalMap<S> = AnySignals>(url?: string | URL, options?: Options): Line<S>;
