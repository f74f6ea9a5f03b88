// The chat: texts such as "Ada: hello", "Ada came in", and "You are Ada now" to those who have taken a name.

import { append, join, make, onSubmit } from "./page.js";

const ROOMS = ["blue", "green", "red"]; // any other name is a room, too: ?room=kitchen
const room = new URLSearchParams(location.search).get("room") || ROOMS[0];
const talk = document.getElementById("talk");
const field = document.getElementById("name");
let own = "";

document.getElementById("room").textContent = room;
for (const name of new Set([...ROOMS, room])) {
  const link = make("a", "", name);
  link.href = `?room=${encodeURIComponent(name)}`;
  if (name === room) link.setAttribute("aria-current", "page");
  document.getElementById("rooms").append(link);
}

const send = join(`/rooms/${encodeURIComponent(room)}`, received, (id) => {
  const wanted = own && !own.startsWith("guest ") ? own : "";
  own = `guest ${id.slice(0, 4)}`; // as routes.yaml calls those who have no name yet
  field.placeholder = own;
  if (wanted) send({ message: `/nick ${wanted}` });
});

onSubmit(document.getElementById("composer"), (text) => send({ message: text }));
onSubmit(document.getElementById("nick"), (name) => send({ message: `/nick ${name}` }));

function received(value) {
  const text = String(value);
  const named = /^You are (.*) now$/s.exec(text);
  if (named) {
    own = named[1];
    field.placeholder = own;
  }
  const [name, ...rest] = text.split(": ");
  if (named || !rest.length) {
    append(talk, make("li", "event appear", text));
    return;
  }
  const item = make("li", name === own ? "says own appear" : "says appear");
  item.append(make("span", "who", name), rest.join(": "));
  append(talk, item);
}
