// What is said in a room: each message once, in the server's order, whoever it is from.
//
// The server re-broadcasts a value to everyone in the room, to its sender too, and names no author. An own message is
// shown at once, and the first echo with its value is taken for its own. The answer to it (ack) comes behind its echo, or
// before it, for what is fed from a history. Where the path has a history, the ack names the position of the message, so
// what was a guess is put right: see `#place`. Elsewhere it says that no echo is to come any more. Of two bare texts that
// are the same and are sent in one moment, one may be taken for the other there, and then they look alike; messages of
// this page have a time in them, and are never mistaken.
//
// The client repeats a message after each reconnect until it is answered, and the server knows a repeat by its `once`. A
// server that has restarted does not: then a message may be kept twice, and is shown once (by its key, see value.js).

import { isOwn, rememberOwn } from "./own.js";
import { readValue } from "./value.js";

const WORKING_MS = 5_000; // after this long without an answer, the server is asked whether it has the message
const ECHO_MS = 30_000; // what is fed from a history may come behind its ack; after this long it is somebody else's
const ONCE_MS = 290_000; // the server knows a repeat for five minutes (`once`), unless routes.yaml says otherwise
const MOST_PLACES = 2_000; // of values that are shown, by position and by key: more than the log has
const MOST_DETAIL = 300; // characters of an error's detail that are shown

const MISSING = {
  unknown: "What others wrote meanwhile is not kept.", // the path has no history
  "too-old": "Some of what others wrote meanwhile is not kept any more.",
  lost: "Some of what others wrote meanwhile may be lost.",
  slow: "It came faster than this page could read it.",
};

export class Talk {
  at = ""; // the position that was read last
  #log;
  #onEdit;
  #onRest;
  #room = null;
  #isOpen = false;
  #path = "";
  #remembers = false; // the path has a history
  #missed = 0; // values that are still to come of what was said before this page came, or was back
  #wasHere = false; // this page was connected before
  #fresh = 0; // of what was said while it was away, new to the reader
  /** Own messages that are not done yet, oldest first: {value, saying, item, delivery, size, answered, and
   *  room: in which it is under way, null if it is not; refused: the room is to be sent no more of it;
   *  entry: the value that is taken for its echo; ackedAt: when the server was done with it, 0 before}. */
  #pending = [];
  /** Values on the page by their position, of a path with a history: {at, saying, item, own}, oldest first. */
  #places = new Map();
  /** Items of values that can be told from others, by key, oldest first. */
  #keys = new Map();
  /** Own messages by the position of an echo that is still to come. */
  #awaited = new Map();

  /**
   * @param {import("./log.js").Log} log
   * @param {{onEdit: (text: string) => void, onRest: (keeps: boolean, fresh: number) => void}} listeners
   *   onEdit: a message is to be written anew; onRest: all has come that was said before, and so many are new to the
   *   reader; keeps: the server has what is older
   */
  constructor(log, { onEdit, onRest }) {
    this.#log = log;
    this.#onEdit = onEdit;
    this.#onRest = onRest;
  }

  // ---- Sending ----

  /** Say something: it is shown at once, and sent as soon as the line is open. */
  say(value) {
    const saying = readValue(value);
    const message = { value, saying, item: this.#log.addOwn(saying), room: null, ackedAt: 0 };
    message.size = new TextEncoder().encode(JSON.stringify(value)).length;
    if (saying.key) {
      this.#note(this.#keys, saying.key, message.item);
      rememberOwn(saying.key);
    }
    this.#pending = this.#pending.filter((other) => !other.ackedAt || awaitsEcho(other));
    this.#pending.push(message);
    if (this.#isOpen) this.#ask(message);
    else this.#mark(message, "waiting");
  }

  async #ask(message) {
    const room = this.#room;
    message.room = room;
    message.answered = false;
    if (!message.entry) this.#mark(message, "sending");
    this.#expectAnswer(message, room);
    try {
      const answer = await room.ask({ message: message.value }, { timeout: ONCE_MS });
      message.room = null;
      if (answer.kind === "reply") this.#replied(message, answer);
      else this.#acknowledged(message, answer);
    } catch (error) {
      message.room = null;
      if (message.refused) return;
      if (room !== this.#room) this.#wait(message);
      else this.#failed(message, error);
    }
  }

  /** A handler may take its time: do not claim to be sending for ever. That the server has a message it says itself: what
   *  has left the browser may have gone nowhere. */
  #expectAnswer(message, room) {
    setTimeout(async () => {
      if (message.room !== room || !(await room.alive())) return;
      if (message.room === room && message.delivery === "sending") this.#mark(message, "working");
    }, WORKING_MS);
  }

  /** A message whose room was left before it was answered is sent in the next. */
  #wait(message) {
    if (message.entry) return;
    this.#mark(message, "waiting");
    if (this.#isOpen) this.#ask(message);
  }

  #failed(message, { code, detail }) {
    if (message.entry || !message.saying.key) this.#forget(message); // else it is known, should it come after all
    if (message.entry) return;
    const sendAgain = { action: "Send again", act: () => this.#sendAgain(message) };
    if (code === "timeout") {
      this.#mark(message, "unconfirmed", { text: "The line broke: it may have arrived or not.", ...sendAgain });
    } else if (code === "closed") {
      this.#mark(message, "undelivered", { text: "The server has closed the line.", ...sendAgain });
    } else {
      this.#refuse(message, asDetail(code, detail));
    }
  }

  #sendAgain(message) {
    this.#forget(message);
    this.#log.remove(message.item);
    this.say(message.value);
  }

  #refuse(message, text) {
    const act = () => {
      this.#log.remove(message.item);
      this.#onEdit(message.saying.text);
    };
    this.#forget(message);
    this.#mark(message, "refused", { text, action: "Edit", act });
  }

  /** The server reads in order, and no further than the message that is too long for it, at which it closes the line.
   *  Which one that is follows from the number in its reason, and for want of that is the longest.
   *  @returns {boolean} whether there is one: the room would send it again and again */
  refuseTooLong(reason) {
    const limit = Number(/\d+/.exec(reason)?.[0] ?? Infinity);
    const sending = this.#pending.filter(({ room, entry }) => room && !entry);
    const longest = sending.reduce((most, { size }) => Math.max(most, size), 0);
    const message = sending.find(({ size }) => size > limit || (size === longest && longest <= limit));
    if (!message) return false;
    message.refused = true;
    this.#refuse(message, reason ? `Too long: ${reason}.` : "Too long for the server.");
    return true;
  }

  #forget(message) {
    this.#pending = this.#pending.filter((other) => other !== message);
  }

  #mark(message, delivery, problem) {
    message.delivery = delivery;
    this.#log.mark(message.item, delivery, problem);
  }

  // ---- The line ----

  /** Called when the server has welcomed this page, or welcomed it back. */
  opened(room, { path, at, missed = 0 }) {
    this.#room = room;
    this.#isOpen = true;
    this.#path = path;
    this.#remembers = at !== undefined;
    this.#missed = missed;
    this.#fresh = 0;
    if (at && !missed) this.at = at;
    this.#log.quiet = true;
    for (const message of this.#pending) {
      if (message.room === room && !message.entry && !message.ackedAt) this.#mark(message, "sending");
    }
    // Behind what the client repeats, which it does when all have heard of the welcome.
    queueMicrotask(() => {
      if (room !== this.#room) return;
      for (const message of this.#pending) if (message.delivery === "waiting" && !message.room) this.#ask(message);
    });
    this.#restIfAllCame();
  }

  /** Called when the room is left for another one. */
  left() {
    this.#room = null;
    this.broke();
  }

  /** Called when the line is open no longer. */
  broke() {
    this.#isOpen = false;
    for (const message of this.#pending) {
      if (["sending", "working"].includes(message.delivery)) this.#mark(message, "unconfirmed");
    }
  }

  #restIfAllCame() {
    if (this.#missed) return;
    this.#wasHere = true;
    this.#log.quiet = false;
    this.#log.unread.rest();
    this.#onRest(this.#remembers, this.#fresh);
  }

  // ---- Receiving ----

  received({ value, path, at }) {
    const early = at !== undefined && this.#missed > 0;
    if (at !== undefined) this.at = at;
    this.#take(readValue(value), path, at, early);
    if (!early) return;
    this.#missed -= 1;
    this.#restIfAllCame();
  }

  #take(saying, path, at, early) {
    const own = this.#awaited.get(at) ?? this.#pending.find((each) => isEchoOf(each, saying));
    if (own) {
      this.#awaited.delete(at);
      const entry = { at, saying, item: own.item, own };
      own.entry = entry;
      this.#log.settle(own.item, at);
      this.#mark(own, "sent");
      if (own.ackedAt) this.#forget(own);
      this.#putPlace(entry);
      return;
    }
    if (this.#isShown(saying, at)) return;
    const elsewhere = typeof path === "string" && path !== this.#path;
    if (!elsewhere) this.#noteAnswered();
    const ours = isOwn(saying.key);
    const via = elsewhere ? path : "";
    const item = this.#log.add(saying, { at, own: ours, via, early, missed: early && this.#wasHere });
    if (ours) this.#log.mark(item, "sent");
    else if (early && this.#wasHere) this.#fresh += 1;
    this.#putPlace({ at, saying, item });
  }

  /** Behind a gap the server says again what this page may know; and see above, of servers that have restarted. */
  #isShown({ key }, at) {
    return Boolean(this.#places.get(at)?.item.isConnected || this.#keys.get(key)?.isConnected);
  }

  #putPlace(entry) {
    if (entry.at !== undefined) this.#note(this.#places, entry.at, entry);
    if (entry.saying.key) this.#note(this.#keys, entry.saying.key, entry.item);
  }

  #note(map, key, value) {
    map.delete(key);
    map.set(key, value);
    if (map.size > MOST_PLACES) map.delete(map.keys().next().value);
  }

  /** Add what was said before all that is shown. */
  addOlder(signals) {
    const read = signals.map(({ value, at }) => ({ at, saying: readValue(value) }));
    const fresh = read.filter(({ saying, at }) => !this.#isShown(saying, at));
    const olds = fresh.map((each) => ({ ...each, own: isOwn(each.saying.key) }));
    this.#log.addOlder(olds).forEach((item, index) => {
      const { at, saying, own } = olds[index];
      if (own) this.#log.mark(item, "sent");
      this.#putPlace({ at, saying, item });
    });
  }

  /** Something else came while a message was under way, and may well be the answer. */
  #noteAnswered() {
    for (const own of this.#pending) own.answered = true;
  }

  /** The server is done with a message. */
  #acknowledged(own, { at, again }) {
    own.ackedAt = performance.now();
    if (at !== undefined) this.#place(own, at);
    if (own.entry || at !== undefined) this.#forget(own);
    else this.#done(own, again);
  }

  /** Note that a message was handled, and that none of what came was its echo. */
  #done(own, again) {
    this.#mark(own, own.answered || again ? "received" : "silent");
    if (!this.#remembers) this.#forget(own); // all has come: an ack overtakes only what is fed from a history
  }

  /** Put an own message where the server has it: what was taken for its echo may have been somebody else's. */
  #place(own, at) {
    if (own.entry && (own.entry.at === at || own.saying.key)) return;
    if (own.entry) this.#vacate(own);
    this.#mark(own, "sent");
    const entry = this.#places.get(at);
    if (!entry) {
      this.#awaited.set(at, own);
      return;
    }
    if (entry.own) this.#vacate(entry.own);
    this.#log.replace(entry.item, own.item);
    Object.assign(entry, { item: own.item, own });
    own.entry = entry;
  }

  /** Leave a value to whoever sent it. */
  #vacate(own) {
    const { entry } = own;
    entry.item = this.#log.standIn(own.item, entry.saying);
    entry.own = own.entry = undefined;
    if (!own.ackedAt) this.#mark(own, "sending");
  }

  /** A list of actions or a handler has an answer for this message alone. */
  #replied(own, { value }) {
    if (!own.entry) this.#mark(own, "received");
    this.#forget(own);
    this.#log.add(readValue(value), {});
  }

  /** An error that is about none of the messages. */
  failed({ code, detail }) {
    this.#log.addNote(asDetail(code, detail));
  }

  /** Something is missing here. */
  missing({ why, at }) {
    if (at !== undefined) this.at = at ?? "";
    if (why !== "slow") this.#awaited.clear(); // what they wait for may be in the gap
    this.#log.addGap(MISSING[why] ?? MISSING.lost);
  }
}

/** Whether a value is taken for the echo of an own message. */
function isEchoOf(own, { text, key, data }) {
  if (own.entry || own.delivery === "waiting") return false;
  if (own.saying.key ? own.saying.key !== key : key || data || own.saying.text !== text) return false;
  return !own.ackedAt || awaitsEcho(own);
}

function awaitsEcho(own) {
  return performance.now() - own.ackedAt < ECHO_MS;
}

function asDetail(code, detail) {
  return String(detail || code || "The server refused the message.").slice(0, MOST_DETAIL);
}
