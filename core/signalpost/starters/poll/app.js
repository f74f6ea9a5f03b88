// The poll: a choice is sent as a message, and the tally comes back to everyone.

import { join, make } from "./page.js";

const choices = [...document.querySelectorAll("[data-choice]")];
const total = document.getElementById("total");

const vote = join("/poll", show, () => choose("")); // a line that is new has no vote yet

for (const button of choices) {
  const figures = make("span", "figures");
  button.append(figures);
  button.addEventListener("click", () => vote({ message: button.dataset.choice }) && choose(button.dataset.choice));
}
choose("");
show({});

/** Show a tally, such as {"tea": 2, "coffee": 0, "water": 1}. */
function show(tally) {
  const sum = Object.values(tally).reduce((before, each) => before + each, 0);
  const most = Math.max(1, ...Object.values(tally));
  for (const button of choices) {
    const votes = tally[button.dataset.choice] ?? 0;
    const share = sum ? votes / sum : 0;
    button.style.setProperty("--share", share);
    button.classList.toggle("leads", votes === most);
    button.querySelector(".figures").textContent = sum ? `${votes} · ${Math.round(share * 100)} %` : "";
  }
  total.textContent = sum === 0 ? "Nobody has voted yet." : sum === 1 ? "One vote." : `${sum} votes.`;
}

function choose(choice) {
  for (const button of choices) button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
}
