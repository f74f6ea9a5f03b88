// The dashboard: {name, value} is a figure, {figures} are all that there are.

import { show } from "./cards.js";
import { join } from "./page.js";

const body = JSON.stringify({ name: "orders", value: 12 });
document.getElementById("command").textContent = `curl -d '${body}' ${location.origin}/figures`;

join("/dashboard", (value) => {
  const news = value.figures ? Object.entries(value.figures) : [[value.name, value.value]];
  for (const [name, figure] of news) show(String(name), Number(figure));
});
