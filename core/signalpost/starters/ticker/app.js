// The ticker: {symbol, price, at} comes every second.

import { draw, makeChart } from "./chart.js";
import { join } from "./page.js";

const MOST_PRICES = 120;
const prices = [];
const chart = document.getElementById("chart").appendChild(makeChart());

join("/ticker", ({ symbol, price, at }) => {
  const before = prices.at(-1) ?? price;
  prices.push(price);
  if (prices.length > MOST_PRICES) prices.shift();
  const change = document.getElementById("change");
  document.getElementById("symbol").textContent = symbol;
  document.getElementById("price").textContent = price;
  change.textContent = price === before ? `unchanged at ${at}` : `${price > before ? "▲" : "▼"} ${Math.abs(price - before)} at ${at}`;
  change.dataset.way = String(Math.sign(price - before));
  document.getElementById("range").textContent = `Lowest ${Math.min(...prices)}, highest ${Math.max(...prices)} since this page was opened.`;
  draw(chart, prices);
});
