// One message as an item of the log; index.html holds its markup.

import { withLinks } from "./links.js";

const MOST_CHARACTERS = 10_000; // of one message; any client may send a megabyte to everyone
const COLOURS = 6; // of names, in chat.css

const DELIVERY = {
  waiting: ["waiting", "It is sent as soon as the line is open."],
  sending: ["sending", ""],
  sent: ["sent", ""],
  working: ["at work", "The server has it, and is not done with it yet."],
  received: ["received", "The server has it, and has sent this page no echo of it."],
  silent: ["no echo", "The server has it, and has sent nothing back to this page."],
  unconfirmed: ["not confirmed", "The line broke before the server had answered."],
  undelivered: ["not delivered", ""],
  refused: ["refused", ""],
};

const template = document.getElementById("message");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/**
 * Make the item of a message.
 * @param {{text: string, name?: string, data?: boolean}} saying as value.js reads it
 * @param {{own?: boolean, via?: string, when?: Date}} more when: nobody knows, without it; via: the path that it came from
 */
export function makeMessage({ text, name, data }, { own, via = "", when }) {
  const item = template.content.firstElementChild.cloneNode(true);
  const part = (selector) => item.querySelector(selector);
  item.classList.toggle("own", own === true);
  part(".who bdi").textContent = own ? "You" : (name ?? "Someone");
  part(".who").classList.toggle("visually-hidden", own === true || name === undefined);
  if (name !== undefined) item.dataset.colour = colourOf(name);
  part(".text").append(...withLinks(shortened(text)));
  part(".text").classList.toggle("data", data === true);
  part(".via").textContent = via;
  if (when) showTime(part("time"), when);
  else part("time").replaceWith(earlier());
  return item;
}

/**
 * Show how far an own message has come.
 * @param {keyof DELIVERY} delivery
 * @param {{text: string, action: string, act: () => void}} [problem] what is wrong and the way out of it
 */
export function markDelivery(item, delivery, problem) {
  const [word, meaning] = DELIVERY[delivery];
  item.dataset.delivery = delivery;
  const label = item.querySelector(".delivery");
  label.textContent = word;
  label.title = meaning;
  item.querySelector(".problem")?.remove();
  if (problem) item.append(problemBox(problem));
}

/** The same for the same name, on every page. */
export function colourOf(name) {
  return String([...name].reduce((sum, each) => (sum * 31 + each.codePointAt(0)) % 65_521, 7) % COLOURS);
}

function showTime(time, when) {
  time.dateTime = when.toISOString();
  time.title = calendar.format(when);
  time.textContent = clock.format(when);
}

function earlier() {
  const word = document.createElement("span");
  word.textContent = "earlier";
  word.title = "It was sent before this page was connected.";
  return word;
}

function shortened(text) {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS)}…\n(cut here: ${text.length.toLocaleString()} characters)`;
}

function problemBox({ text, action, act }) {
  const box = document.createElement("div");
  box.className = "problem";
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = action;
  button.addEventListener("click", act, { once: true });
  box.append(words, button);
  return box;
}
