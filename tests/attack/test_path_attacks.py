"""Paths that are written so as to get past the rule of a signal or route, over a real socket."""

import asyncio
import re

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.model import Rebroadcast, SignalConfig
from signalpost.paths import PathPattern, join_segments, path_segments, path_text, split_path
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import SignalTable
from signalpost.testing import serve

APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
    routes:
      - {path: /secret, method: GET, do: [{respond: {text: secret}}]}
      - {path: /u/<name>, method: GET, do: [{respond: {json: "{{ params.name }}"}}]}
    signals:
      - path: /secret
        rebroadcast: path
        connected: [{close: {code: 4403}}]
      - path: /pass
        connected: [{close: {code: 4403}}]
      - {path: /u/<name>, connected: [{reply: {value: "{{ params.name }}"}}], rebroadcast: path}
      - path: /room/7
        connected: [{close: {code: 4403}}]
      - {path: /room/<n:int>, rebroadcast: path}
"""
DECLARED = ["/secret", "/pass", "/u/<name>", "/room/7", "/room/<n:int>", "/files/<rest:path>", "/files/<x>/top"]

# What a client asks for, in spellings of the declared path: each is that signal, with what it does when one comes.
SAME = ["/secret", "/SECRET/", "/%73ecret", "/s%65cret/?x=1", "/room/7", "/room/007", "/room/%37", "/room/0%37"]
# And what only looks like it: no path at all, or another one.
OTHERS = [
    "/secret//",
    "//secret",
    "/secret/%2F",
    "/secret%2F",
    "/secret%2f%2f",
    "/%2Fsecret",
    "/secret/.",
    "/secret/%2e",
    "/./secret",
    "/x/../secret",
    "/x/%2e%2e/secret",
    "/secret;x",
    "/secret%3F",
    "/secret%00",
    "/secret%0a",
    "/secret%20",
    "/secret%5C",
    "/secret%252F",
    "/secret%C2%A0",
    "/%C5%BFecret",
    "/pa%C3%9F",
    "/pa%E1%BA%9E",
    "/pa%C5%BF%C5%BF",
    "/%EF%BD%93ecret",
    "/secret%C0%AF",
    "/secret%E2%80%A8",
    "/%E2%80%8Bsecret",
    "/room/%D9%A7",
    "/room/+7",
    "/room/7_",
]


@pytest.fixture(scope="module")
async def app():
    async with serve(APP) as app:
        yield app


async def connect(app, streams, path):
    """Shake hands with a bare socket for a path that no client library would leave as it is; give the status."""
    reader, writer = streams
    port = next(each.port for each in app.server.endpoints if each.name == "live")
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    writer.write(head.encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    identity = re.search(r"X-Signalpost-Client-Id: (\w+)", answer)
    return int(answer.split()[1]), identity and identity[1]


@pytest.fixture
async def bare(app):
    """Open a connection of bytes to the port of the signals."""
    port = next(each.port for each in app.server.endpoints if each.name == "live")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()


@pytest.mark.parametrize("path", SAME)
async def test_another_spelling_of_a_path_is_its_signal_with_all_that_it_does(app, bare, path):
    status, _ = await connect(app, bare, path)
    assert status == 101
    frame = await bare[0].readexactly(4)
    assert (frame[0] & 0x0F, int.from_bytes(frame[2:4], "big")) == (8, 4403)


@pytest.mark.parametrize("path", OTHERS)
async def test_what_only_looks_like_a_declared_path_is_never_in_its_audience(app, bare, path):
    status, identity = await connect(app, bare, path)
    assert status in {101, 404}
    if status == 101:
        client = app.server.node.hub.clients[identity]
        audiences = {app.server.node.generation.table.canonical_path(each) for each in ("/secret", "/pass", "/room/7")}
        assert client.path not in audiences
        assert app.server.node.generation.table.canonical_path(client.path) == client.path


@pytest.mark.parametrize("path", OTHERS)
async def test_http_finds_no_route_by_what_only_looks_like_its_path(app, path):
    port = next(each.port for each in app.server.endpoints if each.name == "web")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("/u/a%2Fb", "a/b"),
        ("/u/a%2fb", "a/b"),
        ("/U/a%252Fb", "a%2Fb"),
        ("/u/%2F", "/"),
        ("/u/50%25", "50%"),
        ("/u/%25", "%"),
        ("/u/a%5Cb;c", "a\\b;c"),
        ("/u/%E2%80%8D%C2%A0", "\u200d\xa0"),
        ("/u/%C5%BF", "\u017f"),
    ],
)
async def test_a_slash_in_a_parameter_stays_in_it_in_both_worlds(app, asked, name):
    async with app.connect(asked) as client, app.connect(asked) as other:
        assert [await client.receive(), await other.receive()] == [name, name]
        path = app.server.node.hub.clients[client.id].path
        # What the server calls the path reaches those who are on it, and so does a message among them.
        await client.send("hello", path=path)
        assert await other.receive() == "hello"
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(app.url("web") + asked.replace("/U/", "/u/"))
    assert answer.json() == name


async def test_a_parameter_with_a_slash_is_in_no_audience_of_a_longer_path(app):
    async with app.connect("/u/a%2Fb") as within, app.connect("/u/a/b") as longer, app.connect("/u/a%252Fb") as encoded:
        await within.receive()
        await encoded.receive()
        paths = {app.server.node.hub.clients[each.id].path for each in (within, longer, encoded)}
        assert len(paths) == 3


def table():
    rules = [
        SignalRule(SignalConfig((), PathPattern.parse(text), rebroadcast=Rebroadcast.PATH), text, frozenset({"live"}))
        for text in DECLARED
    ]
    return SignalTable(rules, ["live"], undeclared=["live"])


TABLE = table()
PIECES = (
    "secret SECRET pass u room files top x 7 07 -0 %2F %2f %25 %252F / // . .. %2e %00 ; \\ % 2F 25 <name> "
    "\u017f \u00df \u212a %C5%BF \u0667 \u00e9"
)
pieces = st.sampled_from(PIECES.split())
asked_paths = st.lists(pieces, max_size=8).map(lambda parts: "/" + "".join(parts)) | st.lists(pieces, max_size=6).map(
    lambda parts: "/" + "/".join(parts)
)


@pytest.mark.slow
@given(st.text() | asked_paths)
def test_the_one_form_of_a_path_is_its_own_one_form(text):
    once = TABLE.canonical_path(text)
    assert TABLE.canonical_path(once) == once


@given(asked_paths)
def test_who_shares_an_audience_with_a_declared_signal_is_that_signals(asked):
    text = path_text(asked)
    if text is None:
        assert path_segments(asked) is None
        return
    resolved = TABLE.resolve("live", text)
    # The path is an audience, and a target by that name: both are the same rule's, with the same parameters.
    assert TABLE.canonical_path(resolved.path) == resolved.path == TABLE.canonical_path(text)
    again = TABLE.resolve("live", resolved.path)
    assert (again.rule.owner, again.path, again.params) == (resolved.rule.owner, resolved.path, resolved.params)
    assert again.rule.declared == resolved.rule.declared


@given(asked_paths, asked_paths)
def test_two_clients_share_an_audience_only_by_the_same_rule_and_parameters(one, other):
    texts = path_text(one), path_text(other)
    if None in texts:
        return
    here, there = (TABLE.resolve("live", text) for text in texts)
    if here.path == there.path:
        assert (here.rule.owner, here.params) == (there.rule.owner, there.params)
        if not here.rule.declared:
            assert texts[0] == texts[1]


@given(st.lists(st.text(min_size=1, max_size=6), max_size=4))
def test_any_segments_have_a_text_of_their_own(segments):
    assert split_path(join_segments(segments)) == segments


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/x/", "/x"),
        ("//x", "//x"),
        ("/x//", "/x//"),
        ("//", "//"),
        ("//elsewhere.test/%78", "//elsewhere.test/x"),
        ("/x/%2F", "/x/%2F"),
        ("/x%2f/", "/x%2F"),
        ("/X", "/X"),
    ],
)
async def test_an_undeclared_path_is_an_audience_of_its_own(app, bare, asked, path):
    """Any path may be connected to, as in Pode."""
    status, identity = await connect(app, bare, asked)
    assert (status, app.server.node.hub.clients[identity].path) == (101, path)
    async with app.connect("/anywhere") as other:
        await other.send("for one path", path=path)
        frame = await bare[0].readexactly(2)
        assert await bare[0].readexactly(frame[1]) == b"for one path"


@pytest.mark.parametrize("key", ["me\u017f\u017fage", "me\u017fsage", "mesSage\u200b", "\uff4dessage", "message\x00"])
async def test_a_key_that_only_looks_like_a_known_one_is_another_key(app, key):
    async with app.connect("/anywhere") as client:
        await client.socket.send(orjson.dumps({key: "forged", "ref": 1}).decode())
        error = (await client.receive_json())["error"]
        assert (error["code"], error["ref"]) == ("bad-message", 1)
        assert 'no key "message" in it' in error["detail"]
        await client.socket.send(orjson.dumps({"MESSAGE": "said", "Direct": True}).decode())
        assert await client.receive() == "said"


async def test_a_wish_that_only_looks_like_a_known_one_asks_for_nothing(app):
    async with app.connect("/anywhere") as client, app.connect("/elsewhere") as other:
        await client.socket.send(
            orjson.dumps({"message": "to all", "cl\u0131entId": client.id, "\uff30ATH": "/x"}).decode()
        )
        assert await other.receive() == "to all"
