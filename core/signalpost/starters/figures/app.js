// The figures, by server-sent events: the browser itself comes back when the line breaks, and brings along what it has
// read last, so that the server sends what was missed.

import { show } from "./cards.js";
import { say } from "./page.js";

const SIGNAL = "/figures";
const body = JSON.stringify({ message: { name: "orders", value: 12 } });
document.getElementById("commands").textContent =
  `curl -d '${body}' ${location.origin}${SIGNAL}\ncurl -N -H 'Accept: text/event-stream' ${location.origin}${SIGNAL}`;

let source = null;

function read() {
  source?.close();
  say({ name: "connecting" });
  source = new EventSource(SIGNAL);
  source.onopen = () => say({ name: "connected" });
  source.onmessage = ({ data }) => {
    const { name, value } = JSON.parse(data);
    show(name, value);
  };
  // It tries again by itself, unless the server has refused it.
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? { name: "closed" } : { name: "connecting" });
}

document.getElementById("reconnect").addEventListener("click", read);
read();
