// The table of signals: what each does, with the rates of the last minute.

import { chart, draw } from "./chart.js";
import { button, byId, bytes, count, keyed, make, rate, row, text } from "./elements.js";

const KEPT = 60; // values of a chart

/** Rates: the differences of what the server has counted at two moments. */
export class Rates {
  #before = new Map();
  #kept = new Map();

  /** Return the rates of a count so far, oldest first. */
  of(name, total, now) {
    const before = this.#before.get(name);
    this.#before.set(name, { total, now });
    const kept = this.#kept.get(name) ?? [];
    this.#kept.set(name, kept);
    if (before !== undefined && now > before.now) {
      kept.push(Math.max(0, ((total - before.total) * 1000) / (now - before.now)));
      kept.splice(0, kept.length - KEPT);
    }
    return kept;
  }

  /** Forget what was counted last: nobody knows what was in between. */
  forget() {
    this.#before.clear();
  }
}

export function showSignals(signals, rates, look) {
  const now = performance.now();
  const create = (each) => {
    const made = row("name", "rate", "rate", "number", "number");
    // Of a path without parameters, there is but one.
    const known = each.signal.startsWith("/") && !each.signal.includes("<");
    made.cells[0].append(known ? button(each.signal, () => look(each.signal)) : make("bdi", "", each.signal));
    made.cells[0].append(make("span", "aside"));
    for (const cell of [made.cells[1], made.cells[2]]) {
      cell.append(chart(), make("span", "figure"));
    }
    return made;
  };
  keyed(byId("signals").tBodies[0], signals, (each) => each.signal, create, (made, each) => {
    text(made.cells[0].lastChild, each.does);
    for (const [cell, name] of [[made.cells[1], "messages"], [made.cells[2], "deliveries"]]) {
      const values = rates.of(`${name} ${each.signal}`, each[name], now);
      draw(cell.firstChild, values, KEPT);
      text(cell.lastChild, values.length === 0 ? "–" : rate(values[values.length - 1]));
    }
    text(made.cells[3], count(each.clients));
    text(made.cells[4], each.waiting === 0 ? "–" : bytes(each.waiting));
  });
}
