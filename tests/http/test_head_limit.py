"""How long the head of a request may be (`limits.head`), for requests and handshakes alike."""

import asyncio

import pytest

from signalpost.testing import serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
    routes: [{path: /, method: GET, do: [{respond: {text: here}}]}]
"""
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
)


async def status(app, endpoint, size, *, pieces=1):
    """Ask with a cookie of so many bytes; give the answer's status."""
    port = next(each.port for each in app.server.endpoints if each.name == endpoint)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = HANDSHAKE if endpoint == "live" else ""
    data = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Cookie: token={'a' * size}\r\n\r\n".encode()
    step = -(-len(data) // pieces)
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
        await writer.drain()
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(("endpoint", "fine"), [("web", 200), ("live", 101)])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_head_with_large_cookies_is_answered_and_a_larger_one_refused(endpoint, fine, pieces):
    async with serve(APP) as app:
        assert await status(app, endpoint, 12_000, pieces=pieces) == fine
        assert await status(app, endpoint, 16_384, pieces=pieces) == 413


async def test_a_reload_changes_how_long_a_head_may_be_and_other_servers_of_the_process_keep_their_limit():
    async with serve(APP) as app, serve(APP) as other:
        await app.reload(APP + "    limits: {head: 128KiB}\n")
        for endpoint, fine in (("web", 200), ("live", 101)):
            assert await status(app, endpoint, 100_000) == fine
            assert await status(other, endpoint, 100_000) == 413
        await app.reload(APP + "    limits: {head: 4KiB}\n")
        assert await status(app, "web", 5_000) == 413
