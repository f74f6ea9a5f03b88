// The chat: what a person writes goes to a room, what is said in the room goes into the log. Each part of the page has a
// file of its own; here they meet.

import { connect } from "/signalpost.js";
import { Log } from "./log.js";
import { ownName, withName } from "./name.js";
import { Older } from "./older.js";
import { forgetPeople, showPeople } from "./people.js";
import { asked, showRooms } from "./rooms.js";
import { showState, speak } from "./status.js";
import { Talk } from "./talk.js";
import { countNew } from "./unread.js";
import { makeValue } from "./value.js";

const WARN_CHARACTERS = 200; // left before the counter shows
const TOO_BIG = 1009; // the code of a close for a message that is too long (RFC 6455 section 7.4.1)

const chat = document.getElementById("chat");
const form = document.getElementById("composer");
const field = document.getElementById("text");
const counter = document.getElementById("counter");
const limit = Number(chat.dataset.limit) || Infinity;

const log = new Log();
const talk = new Talk(log, { onEdit: edit, onRest });
const older = new Older(log, (signals) => talk.addOlder(signals));
let room = null;

// ---- The room ----

/** Open the room; again, if the server is to know another name. What was read already does not come again. */
function enter() {
  const left = room;
  const query = { ...(asked.room && ownName && { name: ownName }), ...(talk.at && { at: talk.at }) };
  const ours = connect(undefined, { query }).open(asked.path, asked.params);
  const on = (kind, listener) => ours.on(kind, (body) => ours === room && listener(body ?? {}));
  room = ours;
  talk.left();
  left?.close();
  on("state", onState);
  on("welcome", onWelcome);
  on("close", ({ code, reason }) => code === TOO_BIG && talk.refuseTooLong(reason) && enter());
  on("signal", (signal) => signal.value !== undefined && talk.received(signal));
  on("gap", (gap) => talk.missing(gap));
  on("lagged", () => talk.missing({ why: "slow" }));
  on("error", (error) => talk.failed(error));
  on("presence", () => showPeople(ours.present, ours.count, ours.user));
}

function onState(state) {
  showState(state);
  if (state.name === "connected") return;
  talk.broke();
  older.pause();
  forgetPeople();
}

/** The server names the path in its declared spelling. */
function onWelcome(welcome) {
  if (!asked.room) showPlace(welcome.path);
  talk.opened(room, welcome);
}

/** Called when all has come that was said before. It was not read out; how much of it is new is. */
function onRest(keeps, fresh) {
  if (keeps) older.open(room);
  if (fresh) speak(countNew(fresh));
}

function showPlace(place) {
  document.getElementById("room").textContent = place;
  log.unread.title = `${place} · signalpost`;
  for (const hint of document.querySelectorAll("[data-only-path]")) hint.hidden = hint.dataset.onlyPath !== place;
}

// ---- The composer ----

function submit() {
  const text = wellFormed(field.value.trim());
  if (!text) return;
  field.value = "";
  fieldChanged();
  talk.say(asked.room ? makeValue(ownName, text) : text); // other paths expect a text
}

function edit(text) {
  field.value = field.value.trim() ? `${text}\n${field.value}` : text;
  fieldChanged();
  field.focus();
}

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
document.getElementById("reconnect").addEventListener("click", () => room.reconnect());
document.getElementById("empty").addEventListener("click", ({ target }) => {
  const filler = target.closest("[data-fill]");
  if (!filler) return;
  field.value = filler.dataset.fill;
  fieldChanged();
  field.focus();
});

/** Half a surrogate pair (a cut emoji) is not text: JSON would carry it, and the server would have to refuse it. */
function wellFormed(text) {
  return text.toWellFormed?.() ?? text;
}

// ---- The page ----

const panel = document.getElementById("panel");

/** On a small screen rooms and people are behind a button. */
function openPanel(open) {
  panel.setAttribute("aria-expanded", String(open));
  document.getElementById("side").classList.toggle("open", open);
}

panel.addEventListener("click", () => openPanel(panel.getAttribute("aria-expanded") !== "true"));
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || panel.getAttribute("aria-expanded") !== "true") return;
  openPanel(false);
  panel.focus();
});
chat.addEventListener("focusin", () => openPanel(false));
document.getElementById("rename").addEventListener("click", () => openPanel(false));

/** Safari lays its on-screen keyboard over the page and pans it; shrinking the app keeps header and composer in view.
 *  The scale is multiplied back in, so that pinching zooms instead of shrinking. */
function fitToKeyboard() {
  const { height, scale } = window.visualViewport;
  document.body.style.setProperty("--height", `${Math.round(height * scale)}px`);
  if (scale === 1) window.scrollTo(0, 0);
}

window.visualViewport?.addEventListener("resize", fitToKeyboard);
showPlace(asked.room || asked.path);
showRooms();
if (asked.room) withName(enter);
fieldChanged();
// Elsewhere it would open the keyboard over the page.
if (matchMedia("(pointer: fine)").matches) document.querySelector("#name:not([hidden] *), #text").focus();
enter();
