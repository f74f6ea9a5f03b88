"""Stock Sanic, for comparison: the broadcast loop that its users write.

``python stock_sanic.py PORT``. On ``/`` a message goes to every client, its sender included; on ``/echo`` back
to its sender. The text is passed on as it came: no JSON is read, nothing is checked.
"""

import sys

from sanic import Request, Sanic, Websocket
from sanic.exceptions import WebsocketClosed

clients: set[Websocket] = set()
app = Sanic("stock")


@app.websocket("/")
async def everyone(_request: Request, ws: Websocket) -> None:
    clients.add(ws)
    try:
        while (message := await ws.recv()) is not None:
            for client in tuple(clients):  # clients come and go while a send waits
                try:
                    await client.send(message)
                except WebsocketClosed:
                    clients.discard(client)
    finally:
        clients.discard(ws)


@app.websocket("/echo")
async def echo(_request: Request, ws: Websocket) -> None:
    while (message := await ws.recv()) is not None:
        await ws.send(message)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, motd=False)
