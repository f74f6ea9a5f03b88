// The last messages of the path that somebody looks at, each with its way.

import { byId, clock, count, keyed, make, text } from "./elements.js";

const MOST_NAMES = 12;

export function showPath(found, clients, signals) {
  offer(clients, signals);
  byId("watched").hidden = byId("unwatch").hidden = found === null;
  if (found === null) {
    byId("messages").replaceChildren();
    text(byId("held"), "");
    return;
  }
  text(byId("present"), presence(found.presence));
  byId("none").hidden = found.messages.length > 0;
  const list = byId("messages");
  if (list.querySelector("details[open]") === null || found.path !== list.dataset.path) {
    list.dataset.path = found.path;
    keyed(list, found.messages, (each) => each.number, create, update);
    text(byId("held"), "");
  } else {
    hold(list, found.messages);
  }
}

/** Leave the list as it is while a message is open: on a busy path, nobody could read it else. */
function hold(list, messages) {
  const shown = new Map(Array.from(list.children, (child) => [child.dataset.key, child]));
  let newer = 0;
  for (const each of messages) {
    const child = shown.get(String(each.number));
    if (child === undefined) {
      newer += 1;
    } else {
      update(child, each);
    }
  }
  const many = newer === messages.length ? `${count(newer)} or more` : count(newer);
  text(byId("held"), newer === 0 ? "" : `${many} newer: they are shown when no message is open.`);
}

/** Offer the paths that there are. */
function offer(clients, signals) {
  const plain = signals.map((each) => each.signal).filter((name) => name.startsWith("/") && !name.includes("<"));
  const paths = new Set([...clients.map((each) => each.path), ...plain]);
  keyed(byId("paths"), paths, (path) => path, (path) => Object.assign(make("option"), { value: path }), () => {});
}

function presence(found) {
  if (found === null || found.count === 0) {
    return "";
  }
  const names = found.users.slice(0, MOST_NAMES).map((each) => each.user);
  const more = found.count > names.length ? ` and ${count(found.count - names.length)} more` : "";
  return `Present: ${names.join(", ")}${more}`;
}

function create(each) {
  const more = make("details");
  const sender = make("bdi", "sender", each.user ?? each.client);
  const moment = make("time", "", clock(each.at));
  const shown = each.text === "" ? "(empty)" : each.text + (each.cut ? " …" : "");
  more.append(make("summary", "", moment, sender, make("bdi", "text", shown)), make("dl", "way"));
  const item = make("li", "", more);
  item.title = `client ${each.client}, ${count(each.size)} bytes`;
  return item;
}

function update(item, each) {
  item.dataset.refused = String(each.refused);
  const way = item.querySelector(".way");
  const told = JSON.stringify(each.way);
  if (way.dataset.told === told) {
    return;
  }
  way.dataset.told = told;
  way.replaceChildren(...each.way.flatMap(([label, words]) => [make("dt", "", label), make("dd", "", words)]));
}
