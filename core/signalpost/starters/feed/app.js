// The feed: {title, at} is news (at: Unix seconds). The line brings what was missed by itself; a gap says what it cannot.

import { join, make, onSubmit, post, prepend, tell } from "./page.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const list = document.getElementById("news");
let newest = 0; // what is not newer is here already: behind a gap the server says again what it knows

const body = JSON.stringify({ title: "Rain at noon" });
document.getElementById("command").textContent = `curl -d '${body}' ${location.origin}/news`;

join("/feed", show, undefined, (kind) => {
  if (kind === "gap") prepend(list, make("li", "missing", "Something may be missing here."));
});

onSubmit(document.getElementById("composer"), (title) => {
  post("/news", { title }).then(({ status, data }) => {
    if (status && status !== 202) tell(data?.detail ?? `The server answered with ${status}.`);
  });
});

function show({ title, at }) {
  if (at <= newest) return;
  newest = at;
  document.getElementById("empty").hidden = true;
  const when = new Date(at * 1000);
  const time = make("time", "", clock.format(when));
  time.dateTime = when.toISOString();
  time.title = calendar.format(when);
  const item = make("li", "item appear");
  item.append(time, make("p", "what", title));
  prepend(list, item);
}
