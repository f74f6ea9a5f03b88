// The board: {of, x, y} is where somebody points, {of, gone} that somebody has left.

import { join, make } from "./page.js";

const SIZE = 10_000; // of the board, either way, as in routes.yaml
const STEP = 250; // of an arrow key
const COLOURS = 6; // in app.css
const pad = document.getElementById("pad");
const cursors = new Map();
const at = { x: SIZE / 2, y: SIZE / 2 };
let own = "";
let due = 0;

const send = join("/board", show, (id) => {
  own = id;
  cursors.clear(); // who has gone meanwhile has not said so here
  pad.replaceChildren();
});

pad.addEventListener("pointermove", (event) => {
  const box = pad.getBoundingClientRect();
  pointAt(((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE);
});
pad.addEventListener("keydown", (event) => {
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (!x && !y) return;
  event.preventDefault();
  pointAt(at.x + x * STEP, at.y + y * STEP);
});

/** Send where this page points, once a frame at most. */
function pointAt(x, y) {
  at.x = Math.round(Math.min(Math.max(x, 0), SIZE));
  at.y = Math.round(Math.min(Math.max(y, 0), SIZE));
  due ||= requestAnimationFrame(() => {
    due = 0;
    send({ message: at });
  });
}

function show({ of, x, y, gone }) {
  if (gone) {
    cursors.get(of)?.remove();
    cursors.delete(of);
  } else {
    const cursor = cursors.get(of) ?? add(of);
    cursor.style.left = `${(x / SIZE) * 100}%`;
    cursor.style.top = `${(y / SIZE) * 100}%`;
  }
  const count = cursors.size;
  document.getElementById("count").textContent =
    count === 0 ? "Nobody points yet." : count === 1 ? "One cursor." : `${count} cursors.`;
}

function add(id) {
  const cursor = make("div", "cursor");
  cursor.dataset.colour = [...id].reduce((sum, each) => sum + each.codePointAt(0), 0) % COLOURS;
  cursor.append(make("span", "label", id === own ? "you" : id.slice(0, 4)));
  pad.append(cursor);
  cursors.set(id, cursor);
  return cursor;
}
