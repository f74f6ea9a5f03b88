"""permessage-deflate between a server and clients of another library, on real sockets."""

import asyncio

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from signalpost.testing import serve

APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: PROTOCOL, COMPRESSION}]
    limits: {message: 4MiB}
    signals:
      - {path: /}
      - {path: /echo, rebroadcast: sender}
      - {path: /raw, format: raw, rebroadcast: sender}
      - {path: /relay, format: raw}
"""
ON = "compression: true"
OFFERS = {
    "the library's own": {"compression": "deflate"},
    "no takeover": {"extensions": [ClientPerMessageDeflateFactory(client_no_context_takeover=True)]},
    "the smallest windows": {"extensions": [ClientPerMessageDeflateFactory(False, False, 9, 9)]},
    "windows of the server's choosing": {"extensions": [ClientPerMessageDeflateFactory()]},
    "the largest windows, of necessity": {"extensions": [ClientPerMessageDeflateFactory(client_max_window_bits=None)]},
}


def app(compression=ON, protocol="ws"):
    return APP.replace("COMPRESSION", compression).replace("PROTOCOL", protocol)


def extensions(client):
    return client.socket.response.headers.get("Sec-WebSocket-Extensions", "")


@pytest.mark.slow
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
async def test_text_binary_large_and_many_messages_come_back(offer):
    large = "".join(f"line {index} of a large message\n" for index in range(100_000))[: 3 << 20]
    async with serve(app()) as running:
        async with running.connect("/raw", **offer) as raw:
            assert "server_no_context_takeover" in extensions(raw)
            for message in ("short", "long " * 1_000, b"\0\xff" * 5_000, large, b"", "end"):
                await raw.send_raw(message)
                assert await raw.receive() == message
        async with running.connect("/echo", **offer) as echo:
            for index in range(1_000):
                await echo.send(f"{index}" * (index % 7 + 1))
            for index in range(1_000):
                assert await echo.receive() == f"{index}" * (index % 7 + 1)
            await echo.send(large)
            assert await echo.receive() == large


async def test_clients_with_and_without_the_extension_read_one_broadcast():
    long = {"rows": [{"number": index, "name": "a row of many"} for index in range(200)]}
    async with (
        serve(app()) as running,
        running.connect("/") as plain,
        running.connect("/", subprotocols=["signalpost.v1"]) as v1,
        running.connect("/", compression="deflate") as packed,
        running.connect("/", subprotocols=["signalpost.v1"], compression="deflate") as packed_v1,
        running.connect("/", extensions=[ClientPerMessageDeflateFactory(server_max_window_bits=9)]) as narrow,
    ):
        assert [bool(extensions(each)) for each in (plain, v1, packed, packed_v1, narrow)] == [0, 0, 1, 1, 1]
        for each in (v1, packed_v1):
            assert "welcome" in await each.receive_json()
        for sender, value in ((plain, long), (packed, "short"), (narrow, long)):
            await sender.send(value)
            for reader in (plain, packed, narrow):
                got = await (reader.receive() if isinstance(value, str) else reader.receive_json())
                assert got == value
            for reader in (v1, packed_v1):
                assert (await reader.receive_json())["signal"]["value"] == value


async def test_compression_works_over_tls(trusting):
    async with (
        serve(app(ON + ", self_signed: true", "wss")) as running,
        running.connect("/raw", compression="deflate", ssl=trusting) as raw,
    ):
        for _ in range(2):
            await raw.send_raw("long " * 10_000)
            assert await raw.receive() == "long " * 10_000


async def open_socket(running, path):
    """Open a WebSocket without a library, which would not show what is compressed; give its streams and the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url().rpartition(":")[2]))
    writer.write(
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n" % path.encode()
    )
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_what_crosses_the_wire_is_compressed_from_the_threshold_on():
    async with serve(app("compression: {level: 9, threshold: 100}")) as running:
        reader, writer, answer = await open_socket(running, "/relay")
        expected = b"permessage-deflate; server_no_context_takeover; client_max_window_bits=12"
        assert b"\r\nSec-WebSocket-Extensions: " + expected + b"\r\n" in answer
        async with running.connect("/relay") as sender:
            await sender.send_raw("x" * 99)
            await sender.send_raw("x" * 100)
        assert await reader.readexactly(101) == b"\x81\x63" + b"x" * 99
        first, size = await reader.readexactly(2)
        assert (first, size < 20) == (0xC1, True)
        await reader.readexactly(size)
        writer.write(b"\x89\x82\0\0\0\0hi")  # pongs are never compressed
        assert await reader.readexactly(4) == b"\x8a\x02hi"
        writer.close()


@pytest.mark.parametrize(("path", "message"), [("/raw", b"x" * 100), ("/echo", b'{"message":"%b"}' % (b"x" * 100))])
async def test_an_answer_to_the_sender_alone_is_compressed_too(path, message):
    async with serve(app("compression: {threshold: 100}")) as running:
        reader, writer, _ = await open_socket(running, path)
        writer.write(bytes((0x81, 0x80 | len(message))) + bytes(4) + message)
        first, size = await reader.readexactly(2)
        assert (first, size < 20) == (0xC1, True)
        writer.close()


@pytest.mark.parametrize(("compression", "offered"), [("compression: false", True), (ON, False)])
async def test_nothing_is_negotiated_where_one_side_does_not_want_it(compression, offered):
    options = {"compression": "deflate"} if offered else {}
    async with serve(app(compression)) as running, running.connect("/raw", **options) as raw:
        assert extensions(raw) == ""
        await raw.send_raw("long " * 1_000)
        assert await raw.receive() == "long " * 1_000


async def test_a_decompression_bomb_ends_its_connection_alone():
    async with (
        serve(app()) as running,
        running.connect("/relay", compression="deflate") as other,
        running.connect("/relay", compression="deflate") as bomber,
    ):
        await bomber.send_raw(bytes(64 << 20))  # 64 KB on the wire
        await bomber.socket.wait_closed()
        assert bomber.socket.close_code == 1009
        await other.send_raw("still here")
        assert await other.receive() == "still here"
