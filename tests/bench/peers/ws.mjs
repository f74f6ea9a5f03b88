// ws on Node, for comparison: the broadcast loop of its own README.
// `node ws.mjs PORT`. A message goes to every client, its sender included, as it came.
import WebSocket, { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });

server.on("connection", (sender) => {
  sender.on("error", () => {}); // a close follows
  sender.on("message", (message, isBinary) => {
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(message, { binary: isBinary });
    }
  });
});
