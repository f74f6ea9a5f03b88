// The nodes of the app, where there is a backplane: those whose plan differs from this one's say in what.

import { byId, count, distance, keyed, make, row, text } from "./elements.js";

const SILENT = 10; // seconds after which a node counts as dead

export function showNodes(cluster) {
  byId("cluster").hidden = cluster === null;
  if (cluster === null) {
    return;
  }
  const own = cluster.nodes.find((each) => each.node === cluster.node);
  const create = (each) => {
    const made = row("name", "", "id", "number", "number");
    made.cells[0].append(make("bdi", "", `${each.host}, process ${each.process}`), make("span", "aside"));
    return made;
  };
  keyed(byId("nodes").tBodies[0], cluster.nodes, (each) => each.node, create, (made, each) => {
    const differing = own === undefined ? [] : differences(own.plan, each.plan);
    text(made.cells[0].lastChild, each === own ? `${each.node}, this one` : each.node);
    text(made.cells[1], each.version);
    text(made.cells[2], planOf(each, differing));
    text(made.cells[3], count(each.clients));
    text(made.cells[4], each.silent > SILENT ? "does not answer" : `${distance(each.silent)} ago`);
    made.dataset.other = String(differing.length > 0);
  });
  const words = cluster.here ? "" : "The backplane is away: nobody knows the other nodes.";
  text(byId("backplane"), words);
}

/** Return the kinds of things by which two plans differ; none if a digest is not made yet. */
function differences(one, other) {
  const kinds = new Set([...Object.keys(one), ...Object.keys(other)]);
  if (Object.keys(one).length === 0 || Object.keys(other).length === 0) {
    return [];
  }
  return [...kinds].filter((kind) => one[kind] !== other[kind]).sort();
}

function planOf(each, differing) {
  const digests = Object.values(each.plan);
  if (digests.length === 0) {
    return "not told yet";
  }
  const shown = digests.map((digest) => digest.slice(0, 4)).join(" ");
  return differing.length === 0 ? shown : `${shown}: other ${differing.join(", ")}`;
}
