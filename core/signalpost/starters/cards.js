// Cards: one for each figure, in the order of their names, with a chart of its last values.

import { draw, makeChart } from "./chart.js";

const MOST_VALUES = 60; // of a figure, that are drawn
const list = document.getElementById("figures");
const template = document.getElementById("figure");
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** By name: {item, chart, values}. */
const figures = new Map();

/** Show the newest value of a figure. */
export function show(name, value) {
  const { item, chart, values } = figures.get(name) ?? add(name);
  const before = values.at(-1);
  values.push(value);
  if (values.length > MOST_VALUES) values.shift();
  item.querySelector(".value").textContent = number.format(value);
  item.querySelector(".change").textContent = changed(value - (before ?? value));
  draw(chart, values);
}

function changed(by) {
  return by === 0 ? "unchanged" : `${by > 0 ? "▲" : "▼"} ${number.format(Math.abs(by))}`;
}

/** Make the card of a new figure; cards stand in the order of their names. */
function add(name) {
  const item = template.content.firstElementChild.cloneNode(true);
  item.querySelector(".name").textContent = name;
  const figure = { item, chart: item.appendChild(makeChart()), values: [] };
  figures.set(name, figure);
  document.getElementById("empty").hidden = true;
  const next = [...figures.keys()].sort().find((other) => other > name);
  list.insertBefore(item, next === undefined ? null : figures.get(next).item);
  return figure;
}
