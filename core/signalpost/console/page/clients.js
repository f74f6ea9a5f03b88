// The table of clients: those for which most waits come first.

import { button, byId, bytes, count, keyed, row, sureButton, text } from "./elements.js";

export function showClients(clients, look, deed) {
  const { shown, found } = clients;
  const some = shown.length < found ? `, ${count(shown.length)} shown` : "";
  text(byId("client-count"), found === clients.count ? `${count(found)}${some}` : `${count(found)} of ${count(clients.count)}${some}`);
  const create = (each) => {
    const made = row("id", "", "name", "", "", "number", "deeds");
    made.cells[2].append(button(each.path, () => look(each.path)));
    const kick = sureButton("Kick", () => deed("kick", { client: each.id }));
    kick.setAttribute("aria-label", `Kick ${each.user ?? each.id}`);
    made.cells[6].append(kick);
    return made;
  };
  keyed(byId("clients").tBodies[0], shown, (each) => `${each.id} ${each.path}`, create, (made, each) => {
    text(made.cells[0], each.id);
    text(made.cells[1], each.user ?? "–");
    text(made.cells[3], each.groups.join(", ") || "–");
    text(made.cells[4], each.protocol || "plain");
    text(made.cells[5], each.waiting === 0 ? "–" : bytes(each.waiting));
  });
}
