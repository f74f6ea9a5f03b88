"""websockets, for comparison: its own ``broadcast()``, on uvloop.

``python with_websockets.py PORT``. A message goes to every client, its sender included, as it came. broadcast()
encodes a frame once, and skips clients whose socket is full rather than waiting for them.
"""

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def everyone(client: ServerConnection) -> None:
    clients.add(client)
    try:
        async for message in client:
            broadcast(clients, message)
    finally:
        clients.discard(client)


async def main() -> None:
    async with serve(everyone, "127.0.0.1", int(sys.argv[1]), backlog=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
