// The lobby: {from, text, at} is said (at: Unix seconds), {lines} is what was said before, {came} and {left} are names.

import { append, join, make, onSubmit, withName } from "./page.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const talk = document.getElementById("talk");
let own = "";
let send = () => false;

withName(document.getElementById("enter"), (name) => {
  own = name;
  document.getElementById("lobby").hidden = false;
  send = join(`/lobby/${encodeURIComponent(name)}`, show);
});
onSubmit(document.getElementById("composer"), (text) => send({ message: text }));

function show({ lines, came, left, ...line }) {
  if (lines) {
    talk.replaceChildren(); // they are all there is, after a break, too
    lines.forEach(say);
  } else if (came !== undefined) append(talk, make("li", "event appear", `${came} came in`));
  else if (left !== undefined) append(talk, make("li", "event appear", `${left} has left`));
  else say(line);
}

function say({ from, text, at }) {
  const item = make("li", from === own ? "says own appear" : "says appear");
  const when = new Date(at * 1000);
  item.append(make("span", "who", `${from}, ${clock.format(when)}`), text);
  append(talk, item);
}
