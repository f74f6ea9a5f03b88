"""aiohttp, for comparison: the broadcast loop that its users write, on uvloop.

``python with_aiohttp.py PORT``. A message goes to every client, its sender included, as it came.
"""

import sys

import uvloop
from aiohttp import WSMsgType, web

clients: set[web.WebSocketResponse] = set()


async def everyone(request: web.Request) -> web.WebSocketResponse:
    client = web.WebSocketResponse()
    await client.prepare(request)
    clients.add(client)
    try:
        async for message in client:
            if message.type is WSMsgType.TEXT:
                for other in tuple(clients):  # clients come and go while a send waits
                    try:
                        await other.send_str(message.data)
                    except ConnectionError:
                        clients.discard(other)
    finally:
        clients.discard(client)
    return client


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", everyone)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
