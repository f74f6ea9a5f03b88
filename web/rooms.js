// Which room: ?room=tea in the address, or any path of the server's as ?path=/messages. index.html lists rooms, and says
// which path they have.

const MOST_NAME = 40; // characters
const { rooms, room: first } = document.getElementById("chat").dataset;
const address = new URLSearchParams(location.search);
const [before, behind] = rooms.split("<room>");

/** What the address asks for: {path, params} to open, and the name of the room, "" on a path that is none. */
export const asked = readAddress();

/** The name of a room by its path, or "". */
export function roomOf(path) {
  if (!path.startsWith(before) || !path.endsWith(behind)) return "";
  const name = path.slice(before.length, path.length - behind.length);
  try {
    return name.includes("/") ? "" : decodeURIComponent(name);
  } catch {
    return ""; // it has a % that means nothing
  }
}

function readAddress() {
  const path = address.get("path");
  const room = path ? roomOf(path) : wanted(address.get("room")) || first;
  if (room) return { path: rooms, params: { room }, room };
  return { path: path.replaceAll("<", "%3C"), params: {}, room: "" }; // it has no places to fill in
}

/** A name as a room may have it: something, and nothing that an address would take for a way to elsewhere. */
function wanted(name) {
  const room = [...(name ?? "").trim()].slice(0, MOST_NAME).join("");
  return /^\.{0,2}$/.test(room) || room.includes("/") ? "" : (room.toWellFormed?.() ?? room);
}

/** Mark where one is, and let one go to any other room. */
export function showRooms() {
  const list = document.getElementById("rooms");
  const links = [...list.querySelectorAll("a")];
  const here = new URLSearchParams(asked.room ? { room: asked.room } : { path: asked.path });
  const isHere = (link) => [...here].every(([key, value]) => new URL(link.href).searchParams.get(key) === value);
  const current = links.find(isHere) ?? addRoom(list, asked.room || asked.path, here);
  current.setAttribute("aria-current", "page");

  const form = document.getElementById("go");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const room = wanted(form.elements.room.value);
    if (room) location.search = new URLSearchParams({ room });
    else form.elements.room.value = "";
  });
}

function addRoom(list, name, query) {
  const link = document.createElement("a");
  const item = document.createElement("li");
  const shown = document.createElement("bdi");
  link.href = `?${query}`;
  shown.textContent = name;
  link.append(shown);
  item.append(link);
  list.append(item);
  return link;
}
