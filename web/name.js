// The name that a person goes by. It is kept in their browser, for all rooms; the server is told when a room is opened.

import { MOST_NAME } from "./value.js";

const KEY = "signalpost.name";

const form = document.getElementById("naming");
const field = document.getElementById("name");
const composer = document.getElementById("composer");

/** The name, or "". */
export let ownName = read();

/** Ask for a name where there is none, in the place of the composer: one may read without. */
export function withName(onName) {
  show();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = clean(field.value);
    if (!name) {
      field.value = "";
      return;
    }
    const changed = name !== ownName;
    ownName = name;
    keep(name);
    close();
    if (changed) onName();
  });
  form.addEventListener("keydown", ({ key }) => key === "Escape" && ownName && close());
  document.getElementById("keep").addEventListener("click", close);
  document.getElementById("rename").addEventListener("click", open);
}

function open() {
  field.value = ownName;
  show(true);
  field.focus();
  field.select();
}

function close() {
  show();
  document.getElementById("text").focus();
}

function show(asking = !ownName) {
  form.hidden = !asking;
  composer.hidden = asking;
  document.getElementById("keep").hidden = !ownName;
  document.getElementById("me").hidden = !ownName;
  document.getElementById("own-name").textContent = ownName;
}

/** One line, as the server takes it. */
function clean(text) {
  const line = text.replace(/\s+/gu, " ").trim();
  return [...(line.toWellFormed?.() ?? line)].slice(0, MOST_NAME).join("").trim();
}

function read() {
  try {
    return clean(localStorage.getItem(KEY) ?? "");
  } catch {
    return ""; // this browser keeps nothing
  }
}

function keep(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {} // then it is asked for again
}
