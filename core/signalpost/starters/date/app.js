// The bot: what one says, all read; what was "[date]" comes as the date.

import { append, join, make, onSubmit } from "./page.js";

const QUESTION = "[date]"; // as in routes.yaml, which does not care for capitals
const talk = document.getElementById("talk");
/** Own texts that have not come back yet, oldest first: the server keeps their order. */
let pending = [];

const send = join(
  "/messages",
  (value) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const own = pending.indexOf(text);
    if (own >= 0) pending.splice(0, own + 1);
    append(talk, make("li", own >= 0 ? "says own appear" : "says appear", text));
  },
  () => (pending = []),
);

onSubmit(document.getElementById("composer"), say);
document.getElementById("ask").addEventListener("click", () => say(QUESTION));

function say(text) {
  const asks = text.toLowerCase() === QUESTION;
  if (!send({ message: text })) return false;
  if (asks) append(talk, make("li", "event appear", "You asked for the date"));
  else pending.push(text);
  return true;
}
