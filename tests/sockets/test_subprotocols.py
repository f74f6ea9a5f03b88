"""Subprotocols that a signal names, as browsers and other clients ask for them."""

import asyncio

import pytest
from websockets.asyncio.client import connect

from signalpost.testing import serve

APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals:
      - {path: /plain}
      - {path: /mqtt, protocols: [mqtt], format: raw, rebroadcast: sender}
      - path: /private
        protocols: bearer
        do: [{reply: {value: "{{ request.headers['sec-websocket-protocol'] }}"}}]
      - {path: /ordered, protocols: [graphql-transport-ws, signalpost.v1]}
"""
HANDSHAKE = (
    b"GET /private HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: t0ken\r\nSec-WebSocket-Protocol: bearer\r\n\r\n"
)
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("path", "offered", "chosen"),
    [
        ("/plain", ["bearer", TOKEN], None),
        ("/plain", ["mqtt", "signalpost.v1"], "signalpost.v1"),
        ("/mqtt", ["mqtt"], "mqtt"),
        ("/private", ["bearer", TOKEN], "bearer"),
        ("/private", [TOKEN, "bearer"], "bearer"),
        ("/private", ["signalpost.v1", "bearer", TOKEN], "signalpost.v1"),
        ("/ordered", ["signalpost.v1", "graphql-transport-ws"], "graphql-transport-ws"),
        ("/ordered", ["signalpost.v1"], "signalpost.v1"),
    ],
)
async def test_the_answer_names_what_the_signal_speaks_and_nothing_else_that_was_offered(path, offered, chosen):
    async with serve(APP) as app, connect(app.url() + path, subprotocols=offered, proxy=None) as client:
        assert client.subprotocol == chosen
        assert TOKEN not in str(client.response.headers)


async def test_a_token_that_came_as_a_subprotocol_is_read_from_the_request():
    async with serve(APP) as app, app.connect("/private", subprotocols=["bearer", TOKEN]) as client:
        await client.send("who am I")
        assert await client.receive() == f"bearer, {TOKEN}"


async def test_a_handshake_that_comes_in_pieces_is_answered_alike():
    async with serve(APP) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.server.endpoints[0].port)
        for piece in (HANDSHAKE[:20], HANDSHAKE[20:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.to_thread(int)  # another segment
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nSec-WebSocket-Protocol: bearer\r\n" in answer
        assert b"t0ken" not in answer
        writer.close()
