// The chat: what a person writes goes down the line, what comes up the line goes into the log.
//
// The server re-broadcasts the bare text to everyone, the sender included, and names no author. An own message is
// known again by its place in line: it is shown at once, waits in `pending`, and the first echo with its text
// settles it. The server keeps each client's order and gives all clients one order, so this is exact; only when
// somebody else sends the very same text in the same moment may the two trade places, and then they look alike.

import { Line } from "./line.js";
import { Log, asText } from "./log.js";

const ECHO_MS = 5_000; // after this long without an echo, the server is asked whether it has the message
const FORGET_MS = 30_000; // after this long, the same text is somebody else's
const MOST_REFS = 200; // messages that an error may still name
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

/** Own messages without an echo yet, oldest first: {text, item, delivery, sentAt, answered}. */
let pending = [];
/** Own messages by the number the server knows them by. */
const byRef = new Map();
let lastRef = 0;
let ownPath = path;
let welcomed = false;
let broken = false;

// ---- Sending ----

function submit() {
  const text = wellFormed(field.value.trim());
  if (!text) return;
  field.value = "";
  fieldChanged();
  enqueue({ text, item: log.addOwn(text), delivery: "", sentAt: 0 });
}

function enqueue(message) {
  pending.push(message);
  if (!transmit(message)) mark(message, "waiting");
}

function transmit(message) {
  const ref = lastRef + 1;
  const json = JSON.stringify({ message: message.text, ref });
  if (!line.send(json)) return false;
  lastRef = ref;
  message.size = new TextEncoder().encode(json).length;
  message.answered = false;
  byRef.set(ref, message);
  byRef.delete(ref - MOST_REFS);
  message.sentAt = performance.now();
  mark(message, "sending");
  expectEcho(message);
  return true;
}

/** A signal need not echo (`[date]` on /messages is answered with the date): do not claim to be sending for ever. That
 *  the server has a message it says itself: what has left the browser may have gone nowhere. */
function expectEcho(message) {
  setTimeout(() => {
    if (message.delivery !== "sending") return;
    line.ask(() => {
      if (message.delivery === "sending") mark(message, message.answered ? "received" : "silent");
    });
  }, ECHO_MS);
}

function retry(message) {
  log.remove(message.item);
  enqueue({ text: message.text, item: log.addOwn(message.text), delivery: "", sentAt: 0 });
  field.focus(); // the focused button has gone with the old message
}

function edit(message) {
  log.remove(message.item);
  field.value = field.value.trim() ? `${message.text}\n${field.value}` : message.text;
  fieldChanged();
  field.focus();
}

function mark(message, delivery, problem) {
  message.delivery = delivery;
  log.mark(message.item, delivery, problem);
}

// ---- Receiving ----

function onFrame(kind, body) {
  if (kind === "signal" && body?.value !== undefined) received(body.value, body.path);
  else if (kind === "error") refused(body ?? {});
  else if (kind === "welcome" && typeof body?.path === "string") onPath(body.path);
}

/** The server names the path in its declared spelling. */
function onPath(path) {
  ownPath = path;
  document.getElementById("path").textContent = path;
  for (const hint of document.querySelectorAll("[data-only-path]")) hint.hidden = hint.dataset.onlyPath !== path;
}

function received(value, from) {
  const text = asText(value);
  const forgotten = performance.now() - FORGET_MS;
  const index = pending.findIndex((own) => own.text === text && own.sentAt > forgotten && own.delivery !== "waiting");
  if (index >= 0) {
    const [own] = pending.splice(index, 1);
    log.settle(own.item);
    mark(own, "sent");
    return;
  }
  const elsewhere = typeof from === "string" && from !== ownPath;
  if (!elsewhere) answered();
  log.addOther(value, elsewhere ? from : "");
}

/** Something else came instead of an echo, and may well be the answer. */
function answered() {
  for (const own of pending) {
    if (own.delivery === "waiting") continue;
    own.answered = true;
    if (own.delivery === "silent") mark(own, "received");
  }
}

function refused({ code, detail, ref }) {
  const text = String(detail || code || "The server refused the message.").slice(0, MOST_DETAIL);
  const message = byRef.get(ref);
  if (!message) {
    log.addNote(text, { bad: true });
    return;
  }
  pending = pending.filter((other) => other !== message);
  mark(message, "refused", { text, action: "Edit", act: () => edit(message) });
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
  if (name === "connected") lineOpened();
  else if (name !== "connecting") lineBroke();
}

function lineOpened() {
  welcomed = true;
  if (broken) {
    log.addNote("Connected again. What others wrote meanwhile is not here.");
    broken = false;
  }
  for (const message of pending) transmit(message);
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

function lineBroke() {
  broken = welcomed;
  for (const message of pending) {
    if (message.delivery !== "sending") continue;
    const text = "The line broke: it may have arrived or not.";
    mark(message, "unconfirmed", { text, action: "Retry", act: () => retry(message) });
  }
  pending = pending.filter(({ delivery }) => delivery === "waiting");
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
