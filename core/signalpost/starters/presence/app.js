// Who is here: {users} is everybody, {joined, left} who came and who went since. A user is a tab, and two may have one
// name; {count} alone comes where there are too many to name.

import { join, make, withName } from "./page.js";

const COLOURS = 6; // in app.css
const count = document.getElementById("count");
const people = document.getElementById("people");
const users = new Map(); // names by user
let own = "";

withName(document.getElementById("enter"), (name) => {
  own = name;
  join(`/here?name=${encodeURIComponent(name)}`, () => {}, undefined, (kind, body) => {
    if (kind === "presence") present(body);
  });
});

function present({ users: all, joined, left = [], count: number }) {
  if (!joined) users.clear();
  for (const [user, { info }] of Object.entries(all ?? joined ?? {})) users.set(user, String(info?.name ?? "Somebody"));
  for (const user of left) users.delete(user);
  show([...new Set(users.values())].sort(), number);
}

function show(here, number) {
  const many = here.length || number;
  count.textContent = many === 1 ? "You are alone" : `${many} are here`;
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
