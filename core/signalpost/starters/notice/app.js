// The notice board: what comes is the notice of the day, as text that begins with its weekday.

import { join, make, onSubmit, post, prepend, tell } from "./page.js";

const when = document.getElementById("notice-title");
const what = document.getElementById("what");
const list = document.getElementById("list");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
let current = "";

join("/office", (notice) => {
  if (notice === current) return; // it is read again by whoever connects again
  if (current) {
    prepend(list, make("li", "", current));
    document.getElementById("earlier").hidden = false;
  }
  current = String(notice);
  const [day, ...rest] = current.split(": ");
  when.textContent = `${day}, ${clock.format(new Date())}`;
  what.textContent = rest.join(": ");
  what.parentElement.classList.add("fresh");
});

onSubmit(document.getElementById("composer"), (text) => {
  post("/notice", { text }).then(({ status, data }) => {
    if (status && status !== 202) tell(data?.detail ?? `The server answered with ${status}.`);
  });
});
