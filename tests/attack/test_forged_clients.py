"""Clients that would like to be somebody else, or nobody: headers by which they say who they are, at bare sockets."""

import asyncio

import pytest

from signalpost.testing import serve

SEEN = "{{ request.peer[0] }} {{ request.scheme }} {{ request.host }}"
APP = f"""
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http, proxies: [127.0.0.1, 10.0.0.0/8], fallbacks: [sse]}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws, proxies: [127.0.0.1, 10.0.0.0/8]}}
  - {{name: open, address: 127.0.0.1, port: 0, protocol: http}}
signals: [{{path: /hello, rebroadcast: none, connected: [{{reply: {{value: "{SEEN}"}}}}]}}]
routes: [{{path: /seen, method: GET, do: [{{respond: {{text: "{SEEN}"}}}}]}}]
limits: {{head: 256KiB, per_address: {{connections: 50, handshakes: 1000/s, requests: 1000/s}}}}
"""
CLIENT = "203.0.113.7"
ADDED = f"X-Forwarded-For: {CLIENT}".encode()
LAST = f"{CLIENT} http localhost"
SHAKE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

# What a client sends; the proxy appends a line of its own, or an element to the last line.
FORGED = [
    ("nothing", b""),
    ("an address", b"X-Forwarded-For: 6.6.6.6\r\n"),
    ("the address of a proxy", b"X-Forwarded-For: 10.0.0.1\r\n"),
    ("its own end of the loop", b"X-Forwarded-For: 127.0.0.1, ::1, localhost\r\n"),
    ("many lines", b"X-Forwarded-For: 6.6.6.6\r\n" * 20),
    ("many addresses", b"X-Forwarded-For: " + b"6.6.6.6, " * 10_000 + b"10.0.0.1\r\n"),
    ("many commas", b"X-Forwarded-For: " + b"," * 100_000 + b"\r\n"),
    ("something huge", b"X-Forwarded-For: " + b"1" * 100_000 + b"\r\n"),
    ("no ASCII", "X-Forwarded-For: ٦.٦.٦.٦, \u00e9\r\n".encode()),
    ("no UTF-8", b"X-Forwarded-For: \xff\xfe\r\n"),
    ("an open quote", b'X-Forwarded-For: "6.6.6.6\r\n'),
    ("another case", b"x-FORWARDED-for: 6.6.6.6\r\n"),
    ("an empty line of it", b"X-Forwarded-For:\r\nX-Forwarded-For: ,\r\n"),
    ("the standard's header", b"Forwarded: for=6.6.6.6;proto=https;host=evil.example\r\n"),
    ("an underscore", b"X_Forwarded_For: 6.6.6.6\r\nX_Forwarded_Host: evil.example\r\n"),
    (
        "other names",
        b"X-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nClient-IP: 6.6.6.6\r\n",
    ),
    (
        "other names of the host",
        b"X-Host: evil.example\r\nX-Original-Host: evil.example\r\nX-Forwarded-Server: evil\r\n",
    ),
]
CASES = pytest.mark.parametrize("forged", [case[1] for case in FORGED], ids=[case[0] for case in FORGED])


async def ask(app, endpoint, path, lines):
    """Return the status and the body (or the first frame) of the answer."""
    port = int(app.url(endpoint).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000_000)
    writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (path.encode(), lines))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 101:
            return status, (await reader.readexactly(2 + (await peek(reader))))[2:].decode()
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        return status, (await reader.readexactly(length)).decode()
    finally:
        writer.close()


async def peek(reader):
    """Return the length of a short frame, which stays in the reader."""
    while len(reader._buffer) < 2:
        await reader._wait_for_data("peek")
    return reader._buffer[1]


@CASES
async def test_behind_a_proxy_nothing_that_a_client_sends_makes_it_another_one(forged):
    async with serve(APP) as app:
        own_line = forged + ADDED + b"\r\n"
        assert await ask(app, "web", "/seen", own_line) == (200, LAST)
        assert await ask(app, "live", "/hello", SHAKE + own_line) == (101, LAST)
        assert await ask(app, "live", "/hello", own_line + SHAKE) == (101, LAST)
        if b"Forwarded-For" in forged:
            one_line = forged[:-2] + f", {CLIENT}\r\n".encode()
            assert await ask(app, "web", "/seen", one_line) == (200, LAST)
            assert await ask(app, "live", "/hello", SHAKE + one_line) == (101, LAST)


@CASES
async def test_without_a_proxy_they_say_nothing(forged):
    async with serve(APP) as app:
        assert await ask(app, "open", "/seen", forged) == (200, "127.0.0.1 http localhost")


@pytest.mark.parametrize(
    "said",
    [
        b"X-Forwarded-Host: evil.example\r\n evil",
        b"X-Forwarded-For : 6.6.6.6",
        b"X-Forwarded-For: 6.6.6.6\nX-Forwarded-Host: evil.example",
        b"X-Forwarded-For: 6.6.6.6\x00",
        b"X-Forwarded-Host: a\x0bb",
    ],
    ids=["a folded line", "a blank before the colon", "a bare line break", "a null", "a control character"],
)
async def test_what_is_no_header_is_400_and_no_client(said):
    async with serve(APP) as app:
        for endpoint, path, more in (("web", "/seen", b""), ("live", "/hello", SHAKE)):
            status, _ = await ask(app, endpoint, path, more + said + b"\r\n" + ADDED + b"\r\n")
            assert status == 400


@pytest.mark.parametrize(
    "host", [b"evil.example/x", b"a b", b"@evil", b"a,b c", b"[::1", b"\xc3\xa9", b"a:b", b"", b"<script>", b'"x"']
)
async def test_a_host_that_is_none_is_not_believed(host):
    async with serve(APP) as app:
        said = b"X-Forwarded-Host: %b\r\n" % host
        assert await ask(app, "web", "/seen", ADDED + b"\r\n" + said) == (200, LAST)
        assert await ask(app, "live", "/hello", SHAKE + ADDED + b"\r\n" + said) == (101, LAST)


async def test_whoever_has_many_addresses_makes_nothing_grow():
    async with serve(APP.replace("1000/s", "5/h")) as app:
        app.server.node.limiter._requests._most = app.server.node.limiter._handshakes._most = 100
        reader, writer = await asyncio.open_connection("127.0.0.1", int(app.url("web").rpartition(":")[2]))
        for number in range(1, 501):
            said = f"X-Forwarded-For: 2001:db8:{number:x}::1\r\n".encode()
            writer.write(b"GET /seen HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % said)
            assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"200"
            await reader.readexactly(len(f"2001:db8:{number:x}::1 http localhost"))
            assert len(app.server.node.limiter._requests) <= 100
        writer.close()
