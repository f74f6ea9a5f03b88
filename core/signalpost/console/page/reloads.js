// The last reloads, newest first, with the problems of those that were not done.

import { byId, clock, keyed, make } from "./elements.js";

export function showReloads(reloads) {
  byId("no-reloads").hidden = reloads.length > 0;
  keyed(byId("reloads"), reloads, (each) => `${each.at} ${each.told}`, create, () => {});
}

function create(each) {
  const item = make("li", "", make("time", "", clock(each.at)), make("span", "text", each.told));
  item.dataset.failed = String(each.problems.length > 0);
  if (each.problems.length > 0) {
    item.append(make("ul", "problems", ...each.problems.map((problem) => make("li", "", problem))));
  }
  return item;
}
