// The relay: {symbol, price} is a price that the other server has sent, {prices} are the last ones of all.

import { draw, makeChart } from "./chart.js";
import { join } from "./page.js";

const MOST_VALUES = 60; // of a price, that are drawn
const list = document.getElementById("prices");
const template = document.getElementById("price");

/** By symbol: {item, chart, values}. */
const prices = new Map();

join("/prices", (value) => {
  const news = value.prices ? Object.entries(value.prices) : [[value.symbol, value.price]];
  for (const [symbol, price] of news) show(String(symbol), Number(price));
});

function show(symbol, price) {
  const { item, chart, values } = prices.get(symbol) ?? add(symbol);
  const before = values.at(-1) ?? price;
  values.push(price);
  if (values.length > MOST_VALUES) values.shift();
  item.querySelector(".figure").textContent = price;
  item.dataset.way = String(Math.sign(price - before));
  draw(chart, values);
}

/** Make the row of a new symbol; rows stand in the order of their symbols. */
function add(symbol) {
  const item = template.content.firstElementChild.cloneNode(true);
  item.querySelector(".symbol").textContent = symbol;
  const chart = makeChart();
  item.querySelector(".figure").before(chart);
  const price = { item, chart, values: [] };
  prices.set(symbol, price);
  document.getElementById("empty").hidden = true;
  const next = [...prices.keys()].sort().find((other) => other > symbol);
  list.insertBefore(item, next === undefined ? null : prices.get(next).item);
  return price;
}
