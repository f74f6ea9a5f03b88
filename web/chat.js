// The chat: what a person writes goes down the line, what comes up the line goes into the log.
//
// The server re-broadcasts the bare text, to the sender too, and names no author. An own message is shown at once, and
// the first echo with its text is taken for its own. The server answers each message as well (ack), behind its echo.
// Where the path has a history, the ack names the position of the message, so what was a guess is put right: see
// `place`. Elsewhere it says that no echo is to come any more, and only when somebody else sends the very same text in
// the same moment may the two trade places, and then they look alike.
//
// What is not answered when the line breaks is sent again with the same `once`, by which the server knows it: it arrives
// exactly once. The server forgets that in time, or when it is another one; then the person is asked.

import { Line } from "./line.js";
import { Log, asText } from "./log.js";

const ANSWER_MS = 5_000; // after this long without an answer, the server is asked whether it has the message
const ECHO_MS = 30_000; // what is fed from a history may come behind its ack; after this long it is somebody else's
const ONCE_MS = 290_000; // the server knows a repeat for five minutes (`once`), unless routes.yaml says otherwise
const MOST_PLACES = 600; // of values that are shown, by position
const WARN_CHARACTERS = 200; // left before the counter shows
const MOST_DETAIL = 300; // characters of an error's detail that are shown
const TOO_BIG = 1009; // the code of a close for a message that is too long (RFC 6455 section 7.4.1)

const chat = document.getElementById("chat");
const form = document.getElementById("composer");
const field = document.getElementById("text");
const counter = document.getElementById("counter");
const limit = Number(chat.dataset.limit) || Infinity;
const path = new URLSearchParams(location.search).get("path") || chat.dataset.path || "/";

const log = new Log();
const line = new Line(path, { onState, onFrame, onClose });

/** Own messages that are not done yet, oldest first: {text, once, item, delivery, size, answered, and
 *  sentAt, session: when it was sent first, and in which session;
 *  entry: the value that is taken for its echo; ackedAt: when the server was done with it, 0 before}. */
let pending = [];
/** Own messages by the number by which the server answers them. */
const byRef = new Map();
/** Values on the page by their position, of a path with a history: {at, value, item, own}, oldest first. */
const places = new Map();
/** Own messages by the position of an echo that is still to come. */
const awaited = new Map();
let lastRef = 0;
let ownPath = path;
let session = "";
let welcomed = false;
let remembers = false; // the path has a history
let missed = 0; // values that are still to come of what was said before this page came, or was back
let broken = false;

// ---- Sending ----

function submit() {
  const text = wellFormed(field.value.trim());
  if (!text) return;
  field.value = "";
  fieldChanged();
  enqueue(text);
}

function enqueue(text) {
  const message = { text, once: randomId(), item: log.addOwn(text), delivery: "", sentAt: 0, ackedAt: 0 };
  pending = pending.filter((other) => !other.ackedAt || awaitsEcho(other));
  pending.push(message);
  if (!transmit(message)) mark(message, "waiting");
}

function transmit(message) {
  const ref = lastRef + 1;
  const json = JSON.stringify({ message: message.text, ref, once: message.once });
  if (!line.send(json)) return false;
  lastRef = ref;
  byRef.set(ref, message);
  message.size = new TextEncoder().encode(json).length;
  message.answered = false;
  message.sentAt ||= performance.now();
  message.session = session;
  if (!message.entry) mark(message, "sending");
  expectAnswer(message, ref);
  return true;
}

/** A handler may take its time: do not claim to be sending for ever. That the server has a message it says itself: what
 *  has left the browser may have gone nowhere. */
function expectAnswer(message, ref) {
  setTimeout(() => {
    if (!byRef.has(ref)) return;
    line.ask(() => {
      if (byRef.has(ref) && message.delivery === "sending") mark(message, "working");
    });
  }, ANSWER_MS);
}

function retry(message) {
  forget(message);
  log.remove(message.item);
  enqueue(message.text);
  field.focus(); // the focused button has gone with the old message
}

function edit(message) {
  forget(message);
  log.remove(message.item);
  field.value = field.value.trim() ? `${message.text}\n${field.value}` : message.text;
  fieldChanged();
  field.focus();
}

function forget(message) {
  pending = pending.filter((other) => other !== message);
}

function mark(message, delivery, problem) {
  message.delivery = delivery;
  log.mark(message.item, delivery, problem);
}

// ---- Receiving ----

function onFrame(kind, body) {
  if (kind === "signal" && body?.value !== undefined) received(body.value, body.path, body.at);
  else if (kind === "ack") acknowledged(body ?? {});
  else if (kind === "reply" && body?.value !== undefined) replied(body);
  else if (kind === "error") refused(body ?? {});
  else if (kind === "gap") missing(body ?? {});
  else if (kind === "lagged") noteSlow();
  else if (kind === "presence") present(body ?? {});
  else if (kind === "welcome" && typeof body?.path === "string") opened(body);
}

/** The server names the path in its declared spelling. */
function onPath(path) {
  ownPath = path;
  document.getElementById("path").textContent = path;
  for (const hint of document.querySelectorAll("[data-only-path]")) hint.hidden = hint.dataset.onlyPath !== path;
}

function received(value, from, at) {
  const early = at !== undefined && missed > 0;
  if (early) missed -= 1;
  const due = awaited.get(at);
  const own = due ?? pending.find((each) => isEchoOf(each, asText(value), early));
  const entry = { at, value, item: own?.item, own };
  if (own) {
    awaited.delete(at);
    own.entry = entry;
    log.settle(own.item);
    mark(own, "sent");
    if (own.ackedAt) forget(own);
  } else {
    const elsewhere = typeof from === "string" && from !== ownPath;
    if (!elsewhere) answered();
    entry.item = log.addOther(value, elsewhere ? from : "");
    if (early) log.untime(entry.item);
  }
  if (at === undefined) return;
  places.set(at, entry);
  if (places.size > MOST_PLACES) places.delete(places.keys().next().value);
}

/** Whether a value is taken for the echo of an own message. One that is not sent now, since the server may not know it
 *  again, can only have come before. */
function isEchoOf(own, text, early) {
  if (own.entry || own.text !== text || own.delivery === "waiting") return false;
  return own.ackedAt ? awaitsEcho(own) : early || own.delivery !== "unconfirmed";
}

function awaitsEcho(own) {
  return performance.now() - own.ackedAt < ECHO_MS;
}

/** Something else came while a message was under way, and may well be the answer. */
function answered() {
  for (const own of byRef.values()) own.answered = true;
}

/** The server is done with a message. */
function acknowledged({ ref, at, again }) {
  const own = byRef.get(ref);
  if (!own) return;
  byRef.delete(ref);
  own.ackedAt = performance.now();
  if (at !== undefined) place(own, at);
  if (own.entry || at !== undefined) forget(own);
  else done(own, again);
}

/** Note that a message was handled, and that none of what came was its echo. */
function done(own, again) {
  mark(own, own.answered || again ? "received" : "silent");
  if (!remembers) forget(own); // all that it has sent has come: an ack overtakes only what is fed from a history
}

/** Put an own message where the server has it: what was taken for its echo may have been somebody else's. */
function place(own, at) {
  if (own.entry?.at === at) return;
  if (own.entry) vacate(own);
  mark(own, "sent");
  const entry = places.get(at);
  if (!entry) {
    awaited.set(at, own);
    return;
  }
  if (entry.own) vacate(entry.own);
  log.replace(entry.item, own.item);
  Object.assign(entry, { item: own.item, own });
  own.entry = entry;
}

/** Leave a value to whoever sent it. */
function vacate(own) {
  const { entry } = own;
  entry.item = log.standIn(own.item, entry.value);
  entry.own = own.entry = undefined;
  if (!own.ackedAt) mark(own, "sending");
}

/** A list of actions or a handler has an answer for this message alone. */
function replied({ ref, value }) {
  const own = byRef.get(ref);
  if (own) {
    byRef.delete(ref);
    if (!own.entry) mark(own, "received");
    forget(own);
  }
  log.addOther(value);
}

function refused({ code, detail, ref }) {
  const text = String(detail || code || "The server refused the message.").slice(0, MOST_DETAIL);
  const message = byRef.get(ref);
  if (!message) {
    log.addNote(text, { bad: true });
    return;
  }
  byRef.delete(ref);
  forget(message);
  mark(message, "refused", { text, action: "Edit", act: () => edit(message) });
}

const MISSING = {
  unknown: "What others wrote meanwhile is not here.", // the path has no history
  "too-old": "Some of what others wrote meanwhile is not here.",
  lost: "Some of what others wrote meanwhile may be missing here.",
};

function missing({ why }) {
  if (why === "slow") {
    noteSlow();
    return;
  }
  awaited.clear(); // what they wait for may be in the gap
  log.addNote(`${broken ? "Connected again. " : ""}${MISSING[why] ?? MISSING.lost}`);
  broken = false;
}

function noteSlow() {
  log.addNote("Some of what others wrote is not here: it came faster than this page could read it.");
}

function present({ count }) {
  const here = document.getElementById("here");
  here.hidden = !Number.isInteger(count);
  here.textContent = ` · ${count} here`;
}

// ---- The state of the line ----

const STATE_TEXT = {
  connecting: () => "Connecting",
  connected: () => "Connected",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  offline: () => "Offline",
  closed: ({ reason }) => (reason ? `Closed: ${reason}` : "Closed by the server"),
};
/** What a screen reader says: once per state, not once per second or per try. */
const SPOKEN = { ...STATE_TEXT, connecting: () => "", waiting: () => "No connection, trying again" };

function onState(state) {
  const { name } = state;
  const head = document.querySelector(".head");
  const changed = head.dataset.state !== name;
  head.dataset.state = name;
  document.getElementById("state").textContent = STATE_TEXT[name](state);
  if (!changed) return;

  const status = document.getElementById("status");
  const spoken = SPOKEN[name](state);
  if (spoken && status.textContent !== spoken) status.textContent = spoken;
  const button = document.getElementById("reconnect");
  if (button === document.activeElement) field.focus();
  button.hidden = name === "connected" || name === "connecting";
  if (name !== "connecting" && name !== "connected") lineBroke(name);
}

/** The server has welcomed this page, or welcomed it back. */
function opened(welcome) {
  onPath(welcome.path);
  remembers = welcome.at !== undefined;
  missed = welcome.missed ?? 0;
  if (welcome.recovered) broken = false;
  welcomed = true;
  session = welcome.session;
  const since = performance.now() - ONCE_MS;
  for (const message of [...pending]) {
    if (message.ackedAt) continue;
    const known = message.session && message.session === session && message.sentAt > since;
    if (message.delivery === "waiting" || known) transmit(message);
    else if (message.entry) forget(message); // its echo came: that is all that is known
    else askToRetry(message);
  }
}

function onClose({ code, reason }) {
  if (code === TOO_BIG) refuseTooLong(reason);
}

/** The server reads in order, and no further than the message that is too long for it. Which one that is follows from
 *  the number in its reason, and for want of that is the longest. */
function refuseTooLong(reason) {
  const limit = Number(/\d+/.exec(reason)?.[0] ?? Infinity);
  const sending = pending.filter(({ delivery }) => delivery === "sending");
  const longest = sending.reduce((most, { size }) => Math.max(most, size), 0);
  const index = sending.findIndex(({ size }) => size > limit || (size === longest && longest <= limit));
  if (index < 0) return;
  const [message, ...unread] = sending.slice(index);
  const text = reason ? `Too long: ${reason}.` : "Too long for the server.";
  pending = pending.filter((other) => other !== message);
  mark(message, "refused", { text, action: "Edit", act: () => edit(message) });
  for (const own of unread) mark(own, "waiting");
}

function lineBroke(name) {
  broken = welcomed;
  document.getElementById("here").hidden = true;
  byRef.clear();
  for (const message of pending) {
    if (message.delivery !== "sending" && message.delivery !== "working" && message.delivery !== "unconfirmed") continue;
    if (name === "closed") askToRetry(message);
    else if (message.delivery !== "unconfirmed") mark(message, "unconfirmed");
  }
}

function askToRetry(message) {
  const text = "The line broke: it may have arrived or not.";
  mark(message, "unconfirmed", { text, action: "Retry", act: () => retry(message) });
}

// ---- The composer ----

function fieldChanged() {
  field.parentElement.dataset.text = field.value; // chat.css gives the field its height by it
  const left = limit - [...field.value.trim()].length; // characters as JSON Schema counts them, not UTF-16 units
  counter.textContent = left < 0 ? `${-left} too many` : left <= WARN_CHARACTERS ? `${left} left` : "";
  counter.classList.toggle("over", left < 0);
  field.setAttribute("aria-invalid", String(left < 0));
}

field.addEventListener("input", fieldChanged);
field.addEventListener("keydown", (event) => {
  // While an input method composes, Enter picks a word (Safari reports it with key code 229 alone).
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  field.focus(); // keeps the on-screen keyboard open
});
document.getElementById("reconnect").addEventListener("click", () => line.reconnect());
document.getElementById("empty").addEventListener("click", ({ target }) => {
  const filler = target.closest("[data-fill]");
  if (!filler) return;
  field.value = filler.dataset.fill;
  fieldChanged();
  field.focus();
});

// ---- Small things ----

/** Half a surrogate pair (a cut emoji) is not text: JSON would carry it, and the server would have to refuse it. */
function wellFormed(text) {
  return text.toWellFormed?.() ?? text;
}

/** As `crypto.randomUUID` is, which browsers keep from pages that came without TLS. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

/** Safari lays its on-screen keyboard over the page and pans it; shrinking the app keeps header and composer in view.
 *  The scale is multiplied back in, so that pinching zooms instead of shrinking. */
function fitToKeyboard() {
  const { height, scale } = window.visualViewport;
  document.body.style.setProperty("--height", `${Math.round(height * scale)}px`);
  if (scale === 1) window.scrollTo(0, 0);
}

window.visualViewport?.addEventListener("resize", fitToKeyboard);
onPath(ownPath);
fieldChanged();
if (matchMedia("(pointer: fine)").matches) field.focus(); // elsewhere it would open the keyboard over the page
line.start();
