// The wall: each text that comes is a shout; the form posts to the route that programs post to.

import { join, make, onSubmit, post, prepend, tell } from "./page.js";

const MOST_SHOUTS = 12;
const wall = document.getElementById("wall");
const body = JSON.stringify({ text: "hello" });
document.getElementById("command").textContent = `curl -d '${body}' ${location.origin}/shout`;

join("/wall", (text) => {
  document.getElementById("empty").hidden = true;
  prepend(wall, make("li", "shout appear", String(text)), MOST_SHOUTS);
});

onSubmit(document.getElementById("composer"), (text) => {
  post("/shout", { text }).then(({ status, data }) => {
    if (status === 404) tell("Nobody has heard that.");
    else if (status && status !== 202) tell(data?.detail ?? `The server answered with ${status}.`);
  });
});
