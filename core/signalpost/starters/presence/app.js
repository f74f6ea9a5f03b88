// Who is here: the server sends the list of names whenever it changes.

import { join, make, withName } from "./page.js";

const COLOURS = 6; // in app.css
const count = document.getElementById("count");
const people = document.getElementById("people");
let own = "";

withName(document.getElementById("enter"), (name) => {
  own = name;
  join(`/here/${encodeURIComponent(name)}`, show);
});

function show({ here }) {
  count.textContent = here.length === 1 ? "You are alone" : `${here.length} are here`;
  const before = new Map([...people.children].map((item) => [item.dataset.name, item]));
  people.replaceChildren(...here.map((name) => before.get(name) ?? person(name)));
}

function person(name) {
  const item = make("li", "person appear");
  item.dataset.name = name;
  item.dataset.colour = [...name].reduce((sum, each) => sum + each.codePointAt(0), 0) % COLOURS;
  const letter = make("span", "letter", [...name][0]?.toUpperCase() ?? "?");
  letter.setAttribute("aria-hidden", "true");
  item.append(letter, make("span", "name", name));
  if (name === own) item.append(make("span", "aside", "you"));
  return item;
}
