// Who is here: the names that people go by. The server has not checked them.

import { colourOf } from "./message.js";
import { NOBODY, shownName } from "./value.js";

const MOST_NAMES = 200;

const list = document.getElementById("people");
const counts = document.querySelectorAll("[data-here]");
const order = new Intl.Collator();

/**
 * Show who is here.
 * @param {Map<string, {n: number, info: any}>} present by user; empty where only the number is told
 * @param {number} [count] of users
 * @param {string} [own] which user this page is
 */
export function showPeople(present, count, own) {
  const many = count ?? present.size;
  for (const each of counts) each.textContent = many.toLocaleString() + (each.dataset.here && ` ${each.dataset.here}`);
  const people = [...byName(present, own)].sort(([a, one], [b, other]) => other.own - one.own || order.compare(a, b));
  const items = people.slice(0, MOST_NAMES).map(([name, { n, own }]) => makePerson(name, n, own));
  const named = people.slice(0, MOST_NAMES).reduce((sum, [, { users }]) => sum + users, 0);
  if (many > named) items.push(makeNote(named ? `and ${(many - named).toLocaleString()} more` : `${many} people`));
  list.replaceChildren(...items);
}

/** Nobody knows who is here while there is no line. */
export function forgetPeople() {
  list.replaceChildren();
  for (const each of counts) each.textContent = "";
}

/** Two who go by one name are counted together, and so are the connections of one. */
function byName(present, ownUser) {
  const people = new Map();
  for (const [user, { n, info }] of present) {
    const name = shownName(info?.name ?? NOBODY);
    const person = people.get(name) ?? { n: 0, users: 0, own: false };
    person.n += n;
    person.users += 1;
    person.own ||= user === ownUser;
    people.set(name, person);
  }
  return people;
}

function makePerson(name, n, own) {
  const item = document.createElement("li");
  const shown = document.createElement("bdi");
  item.className = "person";
  item.dataset.colour = colourOf(name);
  shown.textContent = name;
  item.append(shown);
  if (n > 1) item.append(makeAside(`× ${n.toLocaleString()}`));
  if (own) item.append(makeAside("you"));
  return item;
}

function makeAside(text) {
  const aside = document.createElement("span");
  aside.className = "aside";
  aside.textContent = text;
  return aside;
}

function makeNote(text) {
  const item = document.createElement("li");
  item.className = "aside";
  item.textContent = text;
  return item;
}
