"""Handshakes that are refused, and what the log says of them: who runs the server is told what to write."""

import asyncio
import logging

import pytest

from signalpost.testing import serve

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13")
APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://good.example"]}
      - {name: open, address: "*", port: 0, protocol: ws, hosts: [chat.example]}
      - {name: files, address: 127.0.0.1, port: 0, protocol: ws, origins: [null, "file://"]}
    undeclared: refuse
    signals: [{path: /}]
"""


@pytest.fixture(scope="module")
async def app():
    async with serve(APP) as app:
        yield app


@pytest.fixture
def lines(caplog):
    """Give the log's lines about an endpoint of an app; what another app has counted may be told late."""
    caplog.set_level(logging.WARNING)

    def lines(app, name):
        told = [each.getMessage() for each in caplog.records]
        return [line for line in told if str(app.server.plan.config.folder) in line and f"endpoint {name}: " in line]

    return lines


async def shake_hands(app, endpoint, *fields, host="", path="/", version="1.1"):
    """Send a handshake; give the status."""
    port = next(each.port for each in app.server.endpoints if each.name == endpoint)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"GET {path} HTTP/{version}", f"Host: {host or f'127.0.0.1:{port}'}", *(fields or UPGRADE), "", ""]
    writer.write("\r\n".join(head).encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


def page(origin):
    return (*UPGRADE, f"Origin: {origin}")


# What a proxy passes on


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("localhost:9000", "http://localhost:9000"),
        ("localhost", "https://localhost"),
        ("127.0.0.1", "http://127.0.0.1:9000"),  # nginx: $host
        ("192.0.2.7:9000", "http://192.0.2.7:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
    ],
)
async def test_a_page_of_the_address_that_a_proxy_passes_on_opens_its_socket(app, host, origin):
    assert await shake_hands(app, "live", *page(origin), host=host) == 101


async def test_a_public_name_at_a_loopback_address_is_421_with_a_line_and_101_once_it_is_listed(app, lines):
    asked = {"host": "chat.example:9000"}
    assert await shake_hands(app, "live", *page("http://chat.example:9000"), **asked) == 421
    told = next(line for line in lines(app, "live") if "(421)" in line)
    assert told.endswith("write hosts: [chat.example]")
    assert await shake_hands(app, "open", *page("http://chat.example:9000"), **asked) == 101


async def test_a_name_that_leads_here_and_is_of_one_origin_with_itself_is_still_refused(app):
    for host in ("evil.test", "evil.test:9000"):
        for endpoint in ("live", "open", "files"):
            assert await shake_hands(app, endpoint, *page(f"http://{host}"), host=host) == 421


async def test_pages_of_files_and_sandboxes_come_in_where_they_are_listed(app):
    for origin in ("null", "file://"):
        assert await shake_hands(app, "files", *page(origin)) == 101
        assert await shake_hands(app, "live", *page(origin)) == 403


# What the log says

REFUSED = [
    ("a foreign page", page("http://evil.test"), {}, 403, "if it is yours, write origins: [http://evil.test]"),
    ("a foreign page, beside others", page("http://evil.test"), {}, 403, " beside those that are there; "),
    ("a page of another name", page("http://evil.test"), {}, 403, "(nginx: proxy_set_header Host $http_host)"),
    (
        "a page at another port of this host",
        page("http://localhost:5173"),
        {"host": "localhost:8091"},
        403,
        "write origins: [http://localhost:5173] beside those that are there, as for the port of a development server",
    ),
    ("a sandboxed page", page("null"), {}, 403, 'write origins: ["null"] beside'),
    ("a file", page("file://"), {}, 403, 'write origins: ["file://"] beside'),
    ("no signal", UPGRADE, {"path": "/nowhere"}, 404, 'write {path: "/nowhere"} under signals'),
    (
        "what nginx makes of a handshake by itself",
        ("Connection: close", KEY, "Sec-WebSocket-Version: 13"),
        {"version": "1.0"},
        426,
        "proxy_set_header Upgrade $http_upgrade",
    ),
    ("an upgrade by HTTP/1.0", UPGRADE, {"version": "1.0"}, 400, "nginx: proxy_http_version 1.1"),
    (
        "no Connection: Upgrade",
        ("Upgrade: websocket", KEY, "Sec-WebSocket-Version: 13"),
        {},
        400,
        "proxy_set_header Connection upgrade",
    ),
    ("another version", (*UPGRADE[:3], "Sec-WebSocket-Version: 8"), {}, 426, "version 13"),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused[0])
async def test_each_refused_handshake_is_a_line_that_says_what_to_do(lines, refused):
    _, fields, how, status, says = refused
    async with serve(APP) as app:  # whose log has told of nothing yet
        assert await shake_hands(app, "live", *fields, **how) == status
    (line,) = lines(app, "live")
    assert f"was refused ({status}" in line
    assert says in line


async def test_a_port_without_websockets_says_where_they_are(app, lines):
    assert await shake_hands(app, "web") == 400
    live = next(each.port for each in app.server.endpoints if each.name == "live")
    assert f"WebSockets are elsewhere (live has port {live}, open has port " in lines(app, "web")[0]


async def test_over_the_limit_of_connections_the_line_names_the_limit(lines):
    async with serve(APP + "    limits: {connections: 1}\n") as app, app.connect("/", endpoint="live"):
        assert await shake_hands(app, "live") == 503
    assert lines(app, "live")[0].endswith(": limits.connections is 1")


async def test_pages_that_are_refused_within_a_second_are_each_told(lines):
    async with serve(APP) as app:
        for origin in ("http://one.test", "http://two.test", "http://one.test"):
            assert await shake_hands(app, "live", *page(origin)) == 403
        told = lines(app, "live")
    assert [origin for origin in ("one", "two") if any(f"http://{origin}.test" in line for line in told)] == [
        "one",
        "two",
    ]


async def test_thousands_of_refusals_are_few_lines_and_none_hides_one_of_another_kind(lines):
    async with serve(APP) as app:
        await asyncio.gather(*(shake_hands(app, "live", path=f"/nowhere/{number}") for number in range(100)))
        assert await shake_hands(app, "live", *page("http://evil.test")) == 403
        told = lines(app, "live")
    assert len(told) < 10
    assert any("http://evil.test" in line for line in told)


async def test_what_strangers_write_is_one_line_of_ascii_and_short(lines):
    async with serve(APP) as app:
        await shake_hands(app, "live", *page("http://\xe9" + "y" * 5_000), path="/a%0d%0aforged")
    (line,) = lines(app, "live")
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 1_000
