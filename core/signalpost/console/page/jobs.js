// The table of timers and schedules.

import { button, byId, clock, count, distance, keyed, make, row, text } from "./elements.js";

export function showJobs(jobs, deed) {
  byId("jobs").hidden = jobs.length === 0;
  byId("no-jobs").hidden = jobs.length > 0;
  const now = Date.now() / 1000;
  const create = (each) => {
    const made = row("name", "", "", "number", "deeds");
    made.cells[0].append(make("bdi", "", each.name), make("span", "aside"));
    const run = button("Run now", () => deed("run", { job: each.name }));
    run.setAttribute("aria-label", `Run ${each.name} now`);
    made.cells[4].append(run);
    return made;
  };
  keyed(byId("jobs").tBodies[0], jobs, (each) => each.name, create, (made, each) => {
    text(made.cells[0].lastChild, each.when || each.kind);
    const next = each.next === null ? "never" : `in ${distance(Date.parse(each.next) / 1000 - now)}`;
    text(made.cells[1], each.paused ? "paused" : next);
    text(made.cells[2], last(each));
    made.cells[2].dataset.failed = String(each.last !== null && each.last.error !== null);
    text(made.cells[3], each.failed ? `${count(each.runs)}, ${count(each.failed)} failed` : count(each.runs));
  });
}

function last(each) {
  if (each.running > 0) {
    return "running";
  }
  if (each.last === null) {
    return "–";
  }
  const took = each.last.seconds === null ? "" : `, ${each.last.seconds.toFixed(2)} s`;
  const where = each.last.elsewhere ? `, by ${each.last.node || "another node"}` : "";
  const error = each.last.error === null ? "" : `: ${each.last.error}`;
  return `${clock(Date.parse(each.last.at) / 1000)}${took}${where}${error}`;
}
