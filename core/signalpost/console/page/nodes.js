// The nodes of the app, where there is a backplane: those whose plan is another one are marked.

import { byId, count, keyed, make, row, text } from "./elements.js";

export function showNodes(cluster) {
  byId("cluster").hidden = !cluster;
  if (!cluster) {
    return;
  }
  const own = cluster.nodes.find((each) => each.own);
  const create = (each) => {
    const made = row("name", "id", "number");
    made.cells[0].append(make("bdi", "", each.name), make("span", "aside", each.own ? "this one" : each.tag));
    return made;
  };
  keyed(byId("nodes").tBodies[0], cluster.nodes, (each) => each.tag, create, (made, each) => {
    text(made.cells[1], each.plan || "not told");
    made.dataset.other = String(Boolean(own && each.plan && own.plan && each.plan !== own.plan));
    text(made.cells[2], each.own ? "–" : each.there ? `${count(Math.round(each.silent))} s ago` : "gone");
  });
  const here = cluster.here ? "The backplane is there" : "The backplane is away";
  text(byId("backplane"), `${here}; ${count(cluster.healed)} holes healed, ${count(cluster.missed)} values missed.`);
}
