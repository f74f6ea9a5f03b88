// socket.io on Node, for comparison: rooms, as its own documentation writes them.
// `node socketio.mjs PORT [REDIS_URL]`. With a URL, nodes share its Redis streams adapter. Connection state recovery is on
// in both cases. A client joins the room of its query, and a message goes to all in that room, its sender included.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, url] = process.argv.slice(2);
const options = { transports: ["websocket"], connectionStateRecovery: { maxDisconnectionDuration: 600_000 } };

if (url) {
  const redis = createClient({ url });
  await redis.connect();
  options.adapter = createAdapter(redis, { maxLen: 100_000 }); // as many as 100 paths with 1,000 each
}

const server = createServer();
const io = new Server(server, options);

io.on("connection", (socket) => {
  const { room } = socket.handshake.query;
  if (!socket.recovered) socket.join(room);
  socket.on("m", (value) => io.to(room).emit("m", value));
});

const begin = () => server.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
setTimeout(begin, url ? 1000 : 0); // the adapter does not say when it has begun to read its stream
