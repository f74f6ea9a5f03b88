"""The opening handshake, rule by rule of RFC 6455 section 4.2.1: as functions, and over a real socket what matters."""

import asyncio
import base64
import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from signalpost.testing import serve
from signalpost.websocket import crosssite
from signalpost.websocket.handshake import (
    HandshakeRejection,
    choose_protocol,
    is_upgrade,
    read_offer,
    write_101,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of the example in RFC 6455 section 1.3
GOOD = {
    "Host": "server.example.com:8091",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def headers(changes=()):
    """Give the headers of a good handshake with changes: None leaves one out, a list gives it several times."""
    found = CIMultiDict()
    for name, value in {**GOOD, **dict(changes)}.items():
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            found.add(name, each)
    return found


@dataclass(frozen=True)
class Rule:
    """A rule of the handshake, and one that keeps or breaks it.

    Attributes:
        item: of RFC 6455 section 4.2.1, or another section.
        status: 101 where it is accepted.

    """

    item: str
    what: str
    changes: dict
    status: int
    method: str = "GET"
    version: str = "1.1"
    body: bytes = b""


def one(item, name, rows):
    """Give a rule for each value of one header."""
    return [Rule(item, f"{name} {what}", {name: value}, status) for what, value, status in rows]


RULES = [
    Rule("1", "a good handshake", {}, 101),
    *(Rule("1", f"the method is GET, not {method}", {}, 405, method=method) for method in ("POST", "HEAD", "get")),
    *(Rule("1", f"HTTP/1.1, not {version}", {}, 400, version=version) for version in ("1.0", "0.9", "2")),
    *one(
        "2",
        "Host",
        [
            ("is missing", None, 400),
            ("is empty", "", 400),
            ("is blank", "  ", 400),
            ("has no name", ":8091", 400),
            ("stands twice", ["a", "a"], 400),
            ("is broken", "[::1", 400),
            ("holds a path", "a/b", 400),
            ("holds a user", "a@b", 400),
            ("holds a query", "a?b", 400),
            ("holds two names", "a, b", 400),
            ("has a port that is none", "a:b", 400),
            ("has no port", "a", 101),
            ("is an IPv4 address", "127.0.0.1:80", 101),
            ("is an IPv6 address", "[::1]:8091", 101),
        ],
    ),
    *one(
        "4",
        "Connection",
        [
            ("is missing", None, 400),
            ("is keep-alive", "keep-alive", 400),
            ("has it within another word", "Upgrades", 400),
            ("has it in any case", "uPgRaDe", 101),
            ("has it last", "keep-alive, Upgrade", 101),
            ("has it between others, with any space", "keep-alive ,\tUPGRADE,close", 101),
            ("has it in the second of two", ["keep-alive", "upgrade"], 101),
        ],
    ),
    *one(
        "5",
        "Sec-WebSocket-Key",
        [
            ("is missing", None, 400),
            ("is empty", "", 400),
            ("stands twice", [KEY, KEY], 400),
            ("is 15 bytes", base64.b64encode(bytes(15)).decode(), 400),
            ("is 17 bytes", base64.b64encode(bytes(17)).decode(), 400),
            ("is not base64", "!" * 22 + "==", 400),
            ("has a character of base64url", "-" * 22 + "==", 400),
            ("lacks its padding", KEY[:-2], 400),
            ("has something behind it", KEY + "AAAA", 400),
            ("is not ASCII", "é" * 22 + "==", 400),
            ("has space around it", f" {KEY} ", 101),
            ("is all zeros", base64.b64encode(bytes(16)).decode(), 101),
        ],
    ),
    *one(
        "6",
        "Sec-WebSocket-Version",
        [
            ("is missing", None, 426),
            ("is 8", "8", 426),
            ("is 14", "14", 426),
            ("is 013", "013", 426),
            ("is empty", "", 426),
            ("is two at once", "13, 8", 426),
            ("stands twice", ["13", "13"], 426),
            ("has space around it", " 13 ", 101),
        ],
    ),
    Rule("RFC 9112 6.3", "there is no body: Content-Length 0", {"Content-Length": "0"}, 101),
    Rule("RFC 9112 6.3", "there is no body: Content-Length 5", {"Content-Length": "5"}, 400),
    Rule("RFC 9112 6.3", "there is no body: two lengths", {"Content-Length": ["0", "5"]}, 400),
    Rule("RFC 9112 6.3", "there is no body: chunks", {"Transfer-Encoding": "chunked"}, 400),
    Rule("7", "Origin stands at most once", {"Origin": ["http://a", "http://a"]}, 400),
    *one(
        "8",
        "Sec-WebSocket-Protocol",
        [
            ("has any names", "chat, superchat", 101),
            ("has empty places", ",chat,, superchat,", 101),
            ("stands twice, once without a name", ["chat", ""], 101),
            ("is empty (4.3: 1#token)", "", 400),
            ("has only empty places", ", ,", 400),
            ("has a space in a name", "chat superchat", 400),
            ("has a separator in a name", "chat/1", 400),
            ("has a name in quotes", '"chat"', 400),
            ("is not ASCII", "ch\u00e4t", 400),
        ],
    ),
    *one(
        "9",
        "Sec-WebSocket-Extensions",
        [
            ("offers one", "permessage-deflate", 101),
            ("offers one that nobody knows, in a grammar that everybody does", 'x; y="z", a;b', 101),
            ("is empty (9.1: 1#extension)", "", 400),
            ("is not of the grammar (9.1): no name", "permessage-deflate;", 400),
            ("is not of the grammar (9.1): quotes", 'x; y="z', 400),
        ],
    ),
    Rule("10", "other headers are ignored", {"Cookie": "a=b", "X-Anything": "at all"}, 101),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.item}: {rule.what}")
def test_a_handshake_is_judged_by_the_rules(rule):
    if rule.status == 101:
        assert read_offer(rule.method, rule.version, headers(rule.changes)).key
        return
    with pytest.raises(HandshakeRejection) as refused:
        read_offer(rule.method, rule.version, headers(rule.changes))
    assert refused.value.status == rule.status
    assert refused.value.detail.endswith(".")


def test_a_wrong_version_is_told_the_right_one():
    with pytest.raises(HandshakeRejection) as refused:
        read_offer("GET", "1.1", headers({"Sec-WebSocket-Version": "8"}))
    assert refused.value.headers == {"sec-websocket-version": "13", "upgrade": "websocket"}


def test_a_wrong_method_is_told_the_right_one():
    with pytest.raises(HandshakeRejection) as refused:
        read_offer("POST", "1.1", headers())
    assert refused.value.headers == {"allow": "GET"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        ("", False),
        ("h2c", False),
        ("websockets", False),
        ("websocket/13", False),
        ("websocket", True),
        ("WebSocket", True),
        ("h2c, WEBSOCKET", True),
        ("websocket ,h2c", True),
        (["h2c", "websocket"], True),
        ("websoc\u212aet", False),  # the Kelvin sign, whose lower case is a k
    ],
)
def test_a_request_asks_for_a_websocket_by_its_upgrade_header(value, expected):
    assert is_upgrade(headers({"Upgrade": value})) is expected


def test_an_offer_holds_what_the_client_said():
    offer = read_offer(
        "GET",
        "1.1",
        headers(
            {
                "Host": "Server.EXAMPLE.com:8091",
                "Origin": " http://example.com ",
                "Sec-WebSocket-Protocol": ["chat ,", " superchat,v1"],
            }
        ),
    )
    assert (offer.key, offer.host, offer.origin) == (KEY, "server.example.com", "http://example.com")
    assert offer.subprotocols == ("chat", "superchat", "v1")


# The answer


def offer(**changes):
    return read_offer("GET", "1.1", headers({name.replace("_", "-"): value for name, value in changes.items()}))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, ""),
        ("chat", ""),
        ("Signalpost.V1", ""),
        ("signalpost.v1x", ""),
        ("signalpost.v1", "signalpost.v1"),
        ("chat, signalpost.v1", "signalpost.v1"),
        (["chat", "signalpost.v1"], "signalpost.v1"),
        ("a," * 63 + "signalpost.v1," + "a," * 3_000, "signalpost.v1"),
        ("a," * 64 + "signalpost.v1", ""),  # beyond those that are read
    ],
)
def test_the_subprotocol_is_chosen_if_it_is_offered(offered, chosen):
    assert choose_protocol(offer(Sec_WebSocket_Protocol=offered), ("signalpost.v1",)) == chosen


@pytest.mark.parametrize(
    ("protocols", "offered", "chosen"),
    [
        (["mqtt"], "mqtt", "mqtt"),
        (["mqtt"], "mqttv3.1, mqtt", "mqtt"),
        (["mqtt", "mqttv3.1"], "mqttv3.1, mqtt", "mqtt"),  # the server's order, not the client's
        (["bearer"], "bearer, eyJhbGciOiJIUzI1NiJ9.e30.t0k3n", "bearer"),
        (["bearer"], "eyJhbGciOiJIUzI1NiJ9.e30.t0k3n, bearer", "bearer"),
        (["bearer"], "eyJhbGciOiJIUzI1NiJ9.e30.t0k3n", ""),
        (["bearer"], "Bearer", ""),
        (["signalpost.v1", "bearer"], "bearer, token, signalpost.v1", "signalpost.v1"),
        (["bearer", "signalpost.v1"], "signalpost.v1, bearer, token", "bearer"),
        (["bearer"], [], ""),
    ],
)
def test_of_the_subprotocols_that_a_signal_names_the_first_that_is_offered_is_chosen(protocols, offered, chosen):
    assert choose_protocol(offer(Sec_WebSocket_Protocol=offered), protocols) == chosen


def test_the_answer_is_that_of_the_rfcs_example():
    assert write_101(offer(), "", "c1") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Signalpost-Client-Id: c1\r\n\r\n"
    )


def test_the_answer_names_the_subprotocol_only_if_one_was_chosen():
    assert b"\r\nSec-WebSocket-Protocol: signalpost.v1\r\n" in write_101(offer(), "signalpost.v1", "c1")
    assert b"Protocol:" not in write_101(offer(), "", "c1")


# Origin


ORIGINS = [
    ("absent", None, True),
    ("same host, a served port", "http://127.0.0.1:8090", True),
    ("same host, the other served port", "https://127.0.0.1:443", True),
    ("same host, a served port by default", "https://127.0.0.1", True),
    ("same host, a port that is not served", "http://127.0.0.1:9999", False),
    ("same host, not served by default", "http://127.0.0.1", False),
    ("another host", "http://evil.example:8090", False),
    ("null, as of a sandboxed frame or a file", "null", False),
    ("the host as the beginning of another", "http://127.0.0.1.evil.example:8090", False),
    ("the host as the beginning of another, with its port", "http://127.0.0.1:8090.evil.example", False),
    ("the host as the end of another", "http://evil127.0.0.1:8090", False),
    ("the host as a user", "http://127.0.0.1:8090@evil.example:8090", False),
    ("a user at the host", "http://evil@127.0.0.1:8090", False),
    ("the host in a path", "http://evil.example:8090/127.0.0.1:8090", False),
    ("a path behind the host", "http://127.0.0.1:8090/evil.example", False),
    ("a query behind the host", "http://127.0.0.1:8090?evil", False),
    ("a fragment behind the host", "http://127.0.0.1:8090#evil", False),
    ("no scheme", "127.0.0.1:8090", False),
    ("a scheme that has no pages", "ftp://127.0.0.1:8090", False),
    ("a port that is none", "http://127.0.0.1:port", False),
    ("a port that is too high", "http://127.0.0.1:78090", False),
    ("several in one", "http://127.0.0.1:8090 http://evil.example", False),
    ("a broken address", "http://[::1", False),
    ("listed", "https://good.example", True),
    ("listed, in another case", "HTTPS://Good.EXAMPLE", True),
    ("listed, with its default port", "https://good.example:443", True),
    ("listed, under another scheme", "http://good.example", False),
    ("listed, with another port", "https://good.example:8443", False),
    ("listed with a port", "http://dev.example:3000", True),
    ("listed with a port, and without", "http://dev.example", False),
    ("listed, below it", "https://very.good.example", False),
    ("an app's scheme, not listed", "capacitor://127.0.0.1", False),
    ("an app's scheme, listed", "tauri://localhost", True),
    ("an app's scheme, listed, with a port", "tauri://localhost:80", False),
    ("no scheme but slashes", "//127.0.0.1:8090", False),
]


def check_origin(offered, ports, allowed, at=None):
    site = crosssite.Site((offered.host, offered.port), ports, allowed, at)
    crosssite.check_origin(offered.origin, CIMultiDict(), site)


def admitted(origin, host="127.0.0.1:8091"):
    try:
        check_origin(
            offer(Host=host, Origin=origin),
            {443, 8090, 8091},
            ["https://good.example", "http://dev.example:3000", "tauri://localhost"],
        )
    except HandshakeRejection as refusal:
        return refusal.status != 403
    return True


@pytest.mark.parametrize(("what", "origin", "expected"), ORIGINS, ids=[what for what, *_ in ORIGINS])
def test_pages_of_this_host_and_of_listed_origins_are_admitted(what, origin, expected):
    assert admitted(origin) is expected


OWN = [
    ("the very address that was asked for", "http://chat.example:9000", "chat.example:9000", True),
    ("another port than was asked for", "http://chat.example:9001", "chat.example:9000", False),
    ("by default ports, behind a proxy with TLS", "https://chat.example", "chat.example", True),
    ("by default ports, behind a proxy without", "http://chat.example", "chat.example", True),
    ("a default port that is written out", "https://chat.example", "chat.example:443", True),
    ("a default port of the other scheme", "http://chat.example", "chat.example:444", False),
    ("another name at the same port", "http://evil.example:9000", "chat.example:9000", False),
    ("a name that begins alike", "http://chat.example.evil.example:9000", "chat.example:9000", False),
    ("an IPv6 address", "http://[::1]:9000", "[::1]:9000", True),
    ("an empty port, as a default one", "http://chat.example", "chat.example:", True),
    ("a port that is none", "http://chat.example:90000", "chat.example:900000", False),
    ("a scheme that has no pages", "ftp://chat.example:9000", "chat.example:9000", False),
]


@pytest.mark.parametrize(("what", "origin", "host", "expected"), OWN, ids=[what for what, *_ in OWN])
def test_pages_of_the_very_address_that_was_asked_for_are_admitted_as_proxies_pass_it_on(what, origin, host, expected):
    assert admitted(origin, host=host) is expected


@pytest.mark.parametrize(
    ("origin", "at", "expected"),
    [
        ("http://chat.example:9000", 8091, True),
        ("http://chat.example:9000", 80, False),  # a browser asks there without a port
        ("http://chat.example:9000", 443, False),
        ("http://evil.example:9000", 8091, False),
    ],
)
def test_a_host_whose_port_a_proxy_has_left_out_stands_for_any_port(origin, at, expected):
    offered = offer(Host="chat.example", Origin=origin)
    with contextlib.nullcontext() if expected else pytest.raises(HandshakeRejection):
        check_origin(offered, {8091}, [], at)


@pytest.mark.parametrize("origin", ["null", "file://"])
def test_origins_without_a_host_are_admitted_where_they_are_listed_and_nowhere_else(origin):
    offered = offer(Host="127.0.0.1:8091", Origin=origin)
    check_origin(offered, {8091}, ["https://good.example", origin])
    for listed in ([], ["https://good.example"], [{"null": "file://", "file://": "null"}[origin]]):
        with pytest.raises(HandshakeRejection):
            check_origin(offered, {8091}, listed)


def test_hosts_are_compared_without_case_and_ipv6_by_its_address():
    assert admitted("http://Chat.Example:8090", host="chat.EXAMPLE:8091")
    assert admitted("http://[::1]:8090", host="[::1]:8091")
    assert not admitted("http://[::2]:8090", host="[::1]:8091")


def test_no_letter_of_unicode_stands_for_one_of_ascii_in_an_origin_or_a_host():
    kelvin, long_s = "\u212a", "\u017f"
    assert admitted("http://kiosk.example:8090", host="kiosk.example")
    for origin, host in [
        (f"http://{kelvin}iosk.example:8090", "kiosk.example"),
        (f"http{long_s}://kiosk.example:8090", "kiosk.example"),
        (f"http://{long_s}hop.example:8090", f"{long_s}hop.example"),
    ]:
        with pytest.raises(HandshakeRejection):
            check_origin(offer(Host=host, Origin=origin), {443, 8090}, ["https://kiosk.example"])


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_origin_at_all_makes_the_check_fail(origin):
    assert admitted(origin) in {True, False}
    assert not admitted("http://127.0.0.1:8090" + origin) or not origin.strip(" \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\xa0")


# Over a real socket


APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://good.example"]}]
"""


async def ask(app, changes=(), *, request="GET / HTTP/1.1", body=b""):
    """Send a handshake; give the answer's status and headers."""
    port = app.server.endpoints[0].port
    lines = [request, *(f"{name}: {value}" for name, value in headers(changes).items()), "", ""]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    writer.transport.abort()
    status, *fields = head.rstrip().split("\r\n")
    answered = CIMultiDict(field.split(": ", 1) for field in fields)
    return int(status.split()[1]), answered


WIRE = [
    Rule("1", "a good handshake", {}, 101),
    Rule("1", "POST", {}, 405, method="POST"),
    Rule("1", "HTTP/1.0", {}, 400, version="1.0"),
    Rule("2", "no Host", {"Host": None}, 400),
    Rule("2", "two Hosts", {"Host": ["127.0.0.1", "127.0.0.1"]}, 400),
    Rule("2", "an empty Host", {"Host": ""}, 400),
    Rule("3", "another Upgrade", {"Upgrade": "h2c"}, 426),
    Rule("3", "two Upgrades", {"Upgrade": ["h2c", "websocket"]}, 101),
    Rule("4", "no Connection: Upgrade", {"Connection": "keep-alive"}, 400),
    Rule("4", "tokens in any case and place", {"Connection": "Keep-Alive, UPGRADE", "Upgrade": "h2c, WebSocket"}, 101),
    Rule("5", "no key", {"Sec-WebSocket-Key": None}, 400),
    Rule("5", "two keys", {"Sec-WebSocket-Key": [KEY, KEY]}, 400),
    Rule("6", "version 8", {"Sec-WebSocket-Version": "8"}, 426),
    Rule("7", "a foreign origin", {"Origin": "http://127.0.0.1.evil.example"}, 403),
    Rule("7", "null", {"Origin": "null"}, 403),
    Rule("7", "a listed origin", {"Origin": "https://good.example"}, 101),
    Rule("8", "a subprotocol that is no token", {"Sec-WebSocket-Protocol": "signalpost v1"}, 400),
    Rule("9", "extensions where none are taken", {"Sec-WebSocket-Extensions": "permessage-deflate"}, 101),
    Rule("9", "extensions that are malformed (9.1)", {"Sec-WebSocket-Extensions": "permessage-deflate;"}, 400),
    Rule("RFC 9112 6.3", "chunks", {"Transfer-Encoding": "chunked"}, 400, body=b"0\r\n\r\n"),
    Rule("RFC 9112 6.3", "a body", {"Content-Length": "5"}, 400, body=b"\x81\x80abc"),
]


@pytest.fixture
async def app():
    async with serve(APP) as running:
        yield running


@pytest.mark.parametrize("rule", WIRE, ids=lambda rule: f"{rule.item}: {rule.what}")
async def test_a_server_answers_by_the_rules(app, rule):
    host = {"Host": f"127.0.0.1:{app.server.endpoints[0].port}"}
    request = f"{rule.method} / HTTP/{rule.version}"
    status, answered = await ask(app, {**host, **rule.changes}, request=request, body=rule.body)
    assert status == rule.status
    if rule.status == 426:
        assert answered["Sec-WebSocket-Version" if rule.item == "6" else "Upgrade"] in {"13", "websocket"}
    if rule.status == 101:
        assert answered["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answered["X-Signalpost-Client-Id"]
        assert "Sec-WebSocket-Extensions" not in answered
    else:
        assert app.server.clients == 0


async def test_a_page_of_any_port_that_the_app_serves_is_admitted():
    endpoints = "\n".join(
        f"  - {{name: {name}, address: 127.0.0.1, port: 0, protocol: {protocol}}}"
        for name, protocol in [("live", "ws"), ("web", "http")]
    )
    async with serve(f"endpoints:\n{endpoints}\n") as running:
        live, web = (endpoint.port for endpoint in running.server.endpoints)
        for port, expected in [(live, 101), (web, 101), (1, 403)]:
            status, _ = await ask(running, {"Host": f"127.0.0.1:{live}", "Origin": f"http://127.0.0.1:{port}"})
            assert status == expected


async def test_client_ids_are_unique_and_the_server_knows_them(app):
    async with app.connect() as a, app.connect() as b:
        assert a.id != b.id
        assert set(app.server.node.hub.clients) == {a.id, b.id}
