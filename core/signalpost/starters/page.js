// What every page here has: a room of the server, and lamps in its head that show how the line to it is.

import { connect } from "/signalpost.js";

const MOST_DETAIL = 300; // characters of what the server says is wrong
const NOTICE_MS = 6_000;

const STATE_TEXT = {
  connecting: () => "Connecting",
  connected: () => "Connected",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  offline: () => "Offline",
  closed: ({ reason }) => (reason ? `Closed: ${reason}` : "Closed by the server"),
  idle: () => "Not connected",
};
/** What a screen reader says: once per state, not once per second or per try. */
const SPOKEN = { ...STATE_TEXT, connecting: () => "", waiting: () => "No connection, trying again" };

const head = document.querySelector(".head");
const notice = document.getElementById("notice");
let noticeTimer = 0;

/**
 * Join a signal, and stay there: the room is opened again whenever its line breaks.
 * @param {string} path of the signal, with a query if it needs one
 * @param {(value: any) => void} onValue gets whatever is sent to this page
 * @param {(clientId: string) => void} onOpen is called each time that the line is good, before the first value
 * @param {(kind: string, body: object, room: object) => void} onOther gets what is no value: presence, gap, ack, reply
 *   and others, and how the line ended: "close" with {code, reason}
 * @returns {Function} sends a message; false if the line is not open. Its `leave` ends the line for good
 */
export function join(path, onValue, onOpen = () => {}, onOther = () => {}) {
  const [name, query] = path.split("?");
  const room = connect(undefined, { query }).open(name);
  let left = false; // what was said just before may still be on its way
  room.on("state", (state) => left || say(state));
  room.on("close", (body) => onOther("close", body, room));
  room.on("frame", ({ kind, body }) => {
    if (kind === "welcome") onOpen(body?.clientId ?? "");
    else if (kind === "signal" && body?.value !== undefined) onValue(body.value);
    else if (kind === "error") tell(String(body?.detail || body?.code).slice(0, MOST_DETAIL));
    else onOther(kind, body ?? {}, room);
  });
  document.getElementById("reconnect").onclick = () => room.reconnect(); // of the room that was joined last
  const send = (message) => {
    const sent = room.send(message);
    if (!sent) tell("There is no connection: nothing was sent.");
    return sent;
  };
  send.leave = () => {
    left = true;
    room.close();
    say({ name: "idle" });
  };
  return send;
}

/** Ask one of the app's routes to do something; its answer is JSON. */
export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, data: await answer.json() };
  } catch {
    tell(answer ? `The server answered with ${answer.status}.` : "The server does not answer.");
    return { status: 0, data: null };
  }
}

/** Say something to the person in front of the page for a moment; nothing takes it away. */
export function tell(text) {
  clearTimeout(noticeTimer);
  notice.textContent = text;
  notice.hidden = !text;
  noticeTimer = setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

/** Make an element with a class and a text: text never becomes markup. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Let a form with a text be sent: by Enter, by its button, and never empty. */
export function onSubmit(form, send) {
  const field = form.querySelector("input");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (text && send(text.toWellFormed?.() ?? text) !== false) field.value = "";
    field.focus(); // keeps the on-screen keyboard open
  });
}

/** Name the page's own name, as `?name=` in the address has it; whoever has none is asked for one. */
export function withName(form, enter) {
  const name = new URLSearchParams(location.search).get("name");
  form.hidden = Boolean(name);
  if (name) {
    enter(name);
    return;
  }
  onSubmit(form, (text) => {
    const address = new URL(location.href);
    address.searchParams.set("name", text);
    history.replaceState(null, "", address);
    form.hidden = true;
    enter(text);
  });
}

/** Keep a list short, its newest item first. */
export function prepend(list, item, most = 100) {
  list.prepend(item);
  while (list.children.length > most) list.lastElementChild.remove();
}

/** Keep a list short, its newest item last and in view, unless somebody reads further up. */
export function append(list, item, most = 200) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.append(item);
  while (list.children.length > most) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Say how the line is: {name, seconds?, reason?}, name being one of STATE_TEXT. */
export function say(state) {
  const changed = head.dataset.state !== state.name;
  head.dataset.state = state.name;
  document.getElementById("state").textContent = STATE_TEXT[state.name](state);
  if (!changed) return;
  const spoken = SPOKEN[state.name](state);
  if (spoken) document.getElementById("status").textContent = spoken;
  document.getElementById("reconnect").hidden = ["connected", "connecting", "idle"].includes(state.name);
}
