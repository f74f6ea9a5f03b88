// The console: it asks the server once a second while somebody looks, and shows what it says.

import { sendDeed, read } from "./server.js";
import { showClients } from "./clients.js";
import { showJobs } from "./jobs.js";
import { showNodes } from "./nodes.js";
import { showPath } from "./path.js";
import { showReloads } from "./reloads.js";
import { Rates, showSignals } from "./signals.js";
import { byId, tell, text } from "./elements.js";

const EVERY = 1000; // ms between two questions

const rates = new Rates();
let timer = 0;
let asking = false;

function path() {
  return new URLSearchParams(location.search).get("path") ?? "";
}

/** Look at a path from now on; empty is none. The address says which, so that it can be passed on. */
function look(chosen) {
  const address = new URL(location.href);
  address.search = chosen === "" ? "" : new URLSearchParams({ path: chosen }).toString();
  history.replaceState(null, "", address);
  byId("path").value = chosen;
  ask();
}

async function ask() {
  clearTimeout(timer);
  if (document.hidden) {
    return; // until it is seen again
  }
  if (asking) {
    timer = setTimeout(ask, EVERY / 4);
    return;
  }
  asking = true;
  try {
    const found = await read({ path: path(), clients: byId("sought").value.trim() });
    show(found);
    state("here", "Live");
  } catch (error) {
    rates.forget();
    state(error.status === undefined ? "away" : "refused", error.message);
  } finally {
    asking = false;
    timer = setTimeout(ask, EVERY);
  }
}

function state(name, words) {
  const head = byId("head");
  if (head.dataset.state !== name || byId("state").textContent !== words) {
    head.dataset.state = name;
    text(byId("state"), words);
  }
}

function show(found) {
  text(byId("you"), found.you);
  text(byId("version"), `signalpost ${found.version}`);
  showSignals(found.signals, rates, look);
  showPath(found.path, found.clients.shown, found.signals);
  showClients(found.clients, look, deed);
  showJobs(found.jobs, deed);
  showReloads(found.reloads);
  showNodes(found.cluster);
}

/** Ask the server to do something, and tell how that went. */
async function deed(name, body) {
  try {
    tell((await sendDeed(name, body)).told, "done");
    ask();
    return true;
  } catch (error) {
    tell(error.message, "failed");
    return false;
  }
}

byId("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  look(byId("path").value.trim());
});
byId("unwatch").addEventListener("click", () => {
  look("");
  byId("path").focus();
});
byId("seek").addEventListener("submit", (event) => event.preventDefault());
byId("sought").addEventListener("input", ask);
byId("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("value");
  if (await deed("publish", { path: path(), value: valueOf(field.value) })) {
    field.value = "";
    field.focus();
  }
});
byId("value").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    byId("publish").requestSubmit();
  }
});
document.addEventListener("visibilitychange", ask);

/** Return what somebody has written: JSON where it is that, else the text itself. */
function valueOf(written) {
  try {
    return JSON.parse(written);
  } catch {
    return written;
  }
}

byId("path").value = path();
ask();
