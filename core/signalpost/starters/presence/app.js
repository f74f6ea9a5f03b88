// Who is here: the client keeps up to date who is present. A user is a tab, and two may have one name; only their number is
// told where there are too many to name.

import { join, make, withName } from "./page.js";

const COLOURS = 6; // in app.css
const count = document.getElementById("count");
const people = document.getElementById("people");
let own = "";

withName(document.getElementById("enter"), (name) => {
  own = name;
  join(`/here?name=${encodeURIComponent(name)}`, () => {}, undefined, (kind, body, room) => {
    if (kind === "presence") present([...room.present.values()], room.count);
  });
});

function present(users, count) {
  const names = users.map(({ info }) => String(info?.name ?? "Somebody"));
  show([...new Set(names)].sort(), count);
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
