"""Filters of plugins judge every message and every broadcast: they refuse, change, or say nothing."""

import pytest

from signalpost import Veto
from signalpost.testing import serve

ROUTES = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: /all}
  - {path: /echo, rebroadcast: sender}
  - {path: /raw, format: raw}
  - {path: /rawecho, format: raw, rebroadcast: sender}
  - {path: /do, do: [{broadcast: {value: "{{ message }} {{ data.colour | default('no colour') }}"}}]}
  - {path: /shape, schema: {type: object, properties: {message: {type: string}}}}
"""
HEAD = "from signalpost import *\n"
POLITE = """
@hookimpl
def filter_message(message, client):
    if message.message == "rude":
        raise Veto("too-rude", "Mind your words.", "/message")
    if message.message == "silent":
        raise Veto()
    if message.message == "loud":
        message.message = "LOUD"
    if message.message == "broken":
        raise SystemExit(1)
"""
OUT = """
@hookimpl
def filter_broadcast(outgoing):
    SEEN.append((outgoing.value, outgoing.path, outgoing.client is not None, outgoing.origin))
    if outgoing.value in ("secret", b"secret"):
        raise Veto("secret", "That stays here.")
    if outgoing.value in ("loud", b"loud"):
        outgoing.value = type(outgoing.value)(outgoing.value).upper()

SEEN = []
"""
HANDLER = """
@signal("ask", path="/ask")
async def ask(event):
    receipt = event.broadcast(event.data.message)
    event.reply({"matched": receipt.matched})
"""


@pytest.fixture
async def polite():
    async with serve(ROUTES, plugins={"polite": HEAD + POLITE, "ask": HEAD + HANDLER}) as app:
        yield app


@pytest.fixture
async def keeping():
    async with serve(ROUTES, plugins={"keeping": HEAD + OUT, "ask": HEAD + HANDLER}) as app:
        yield app


@pytest.mark.parametrize("path", ["/all", "/echo", "/do", "/ask", "/undeclared", "/shape"])
async def test_a_message_that_a_filter_refuses_is_told_to_its_sender_with_code_and_detail(polite, path):
    async with polite.connect(path) as client:
        await client.send("rude", ref=7)
        told = await client.receive_json()
        assert told == {"error": {"code": "too-rude", "pointer": "/message", "detail": "Mind your words.", "ref": 7}}
        await client.send("silent")
        await client.send("loud")
        assert (await client.receive()).startswith("LOUD")


@pytest.mark.parametrize("path", ["/raw", "/rawecho"])
async def test_raw_frames_are_filtered_too(polite, path):
    async with polite.connect(path) as client:
        await client.send_raw("rude")
        assert (await client.receive_json())["error"]["code"] == "too-rude"
        await client.send_raw("loud")
        assert await client.receive() == "LOUD"
        await client.send_raw(b"\xff")
        assert await client.receive() == b"\xff"


async def test_a_filter_that_fails_lets_nothing_pass_and_is_logged(polite, caplog):
    async with polite.connect("/all") as client:
        await client.send("broken")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "plugin polite: hook filter_message failed" in caplog.text


async def test_keys_of_the_client_s_own_outlive_a_change_of_the_message(polite):
    async with polite.connect("/do") as client:
        await client.send("loud", colour="red")
        assert await client.receive() == "LOUD red"


@pytest.mark.parametrize("path", ["/all", "/echo", "/undeclared", "/raw", "/rawecho"])
async def test_a_broadcast_of_a_client_s_message_that_a_filter_keeps_back_is_told_to_the_client(keeping, path):
    raw = path.startswith("/raw")
    async with keeping.connect(path) as client:
        for message in ("secret", "loud"):
            await (client.send_raw(message) if raw else client.send(message))
        assert (await client.receive_json())["error"]["code"] == "secret"
        assert await client.receive() == "LOUD"


async def test_a_broadcast_of_a_handler_that_a_filter_keeps_back_reaches_nobody_and_the_receipt_says_so(keeping):
    async with keeping.connect("/ask") as client:
        await client.send("secret")
        assert await client.receive_json() == {"matched": 0}
        await client.send("loud")
        assert await client.receive() == "LOUD"
        assert await client.receive_json() == {"matched": 1}


async def test_a_filter_of_broadcasts_knows_where_they_come_from_and_where_they_go(keeping):
    async with keeping.connect("/ask") as client:
        await client.send("hi", path="/ask")
        assert [await client.receive(), await client.receive_json()] == ["hi", {"matched": 1}]
    (module,) = (each.module for each in keeping.server.plan.registry.plugins if each.name == "keeping")
    assert module.SEEN == [("hi", "/ask", False, "/ask"), ({"matched": 1}, None, True, "/ask")]


async def test_filters_come_and_go_with_a_reload_and_cost_nothing_where_there_are_none():
    async with serve(ROUTES, plugins={"polite": HEAD}) as app, app.connect("/all") as client:
        assert all(rule.filters is None for rule in app.server.plan.signals)
        assert app.server.plan.filters is app.server.node.broadcaster.filter is None
        await client.send("rude")
        assert await client.receive() == "rude"
        await app.reload(plugins={"polite": HEAD + POLITE + OUT})
        await client.send("rude")
        assert (await client.receive_json())["error"]["code"] == "too-rude"
        await app.reload(plugins={"polite": HEAD})
        await client.send("rude")
        assert await client.receive() == "rude"


async def test_a_client_forges_no_error_of_a_plugin_s_own(polite):
    async with polite.connect("/all") as client:
        await client.send({"error": {"code": "too-rude", "pointer": "", "detail": "Not of the server."}})
        assert (await client.receive_json())["error"]["code"] == "bad-message"


@pytest.mark.parametrize("code", ["Too Rude", "-", "a" * 65, "ü"])
def test_a_code_that_no_program_could_rely_on_is_refused(code):
    with pytest.raises(ValueError, match='as in "too-long"'):
        Veto(code)


CARELESS = """
import pathlib
@hookimpl
def filter_message(message, client):
    if message.message in WHAT:
        exec(WHAT[message.message])
@hookimpl
def filter_broadcast(outgoing):
    if outgoing.value in SENT:
        exec(SENT[outgoing.value])
WHAT = {
    "number": "message.path = 5",
    "pathlib": "message.path = pathlib.Path('/all')",
    "empty": "message.group = ''",
    "client": "message.client_id = client",
    "nothing": "del message.message",
    "set": "message.message = {1}",
    "direct": "message.direct = 'x'",
    "mark": "message.ref = 'mine'",
    "document": "message.document = []",
}
SENT = {
    "sent set": "outgoing.value = {1}",
    "sent bytes": "outgoing.value = b'x'",
    "sent path": "outgoing.path = '/elsewhere'",
}
"""
FRAMES = """
@hookimpl
def filter_message(message, client):
    if message.message == "mapping":
        message.message = {}
    if message.message == "bytes":
        message.message = b"bytes"
"""
CASES = [
    ("number", "message.path is a str or None, not int"),
    ("pathlib", "message.path is a str or None, not PosixPath"),
    ("empty", "message.group is empty; None takes it away"),
    ("client", "message.client_id is a str or None, not Client"),
    ("nothing", "'MessageData' object has no attribute 'message'"),
    ("set", "message.message is no JSON (set)"),
    ("direct", "message.direct is True or False, not str"),
    ("mark", "message.ref is the client's own mark"),
    ("document", "message.document is a mapping, not list"),
    ("sent set", "outgoing.value is no JSON (set)"),
    ("sent bytes", "outgoing.value is no JSON (bytes)"),
    ("sent path", "outgoing.path is not changed by a filter: only outgoing.value is"),
]


@pytest.mark.parametrize(("message", "said"), CASES, ids=[case[0] for case in CASES])
async def test_what_a_filter_leaves_behind_that_cannot_be_is_the_failure_of_that_filter(message, said, caplog):
    async with serve(ROUTES, plugins={"careless": HEAD + CARELESS}) as app, app.connect("/all") as client:
        await client.send(message)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        await client.send("hi")
        assert await client.receive() == "hi"
    hook = "filter_broadcast" if message.startswith("sent") else "filter_message"
    assert f"plugin careless: hook {hook} failed" in caplog.text
    assert said in caplog.text


async def test_of_a_raw_frame_a_filter_makes_text_or_bytes(caplog):
    async with serve(ROUTES, plugins={"frames": HEAD + FRAMES}) as app, app.connect("/raw") as client:
        await client.send_raw("mapping")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        await client.send_raw("bytes")
        assert await client.receive() == b"bytes"
    assert "message.message is a str or bytes with `format: raw`, not dict" in caplog.text


def test_a_filter_that_would_wait_is_a_problem(app):
    app.write("a.py", "from signalpost import hookimpl\n\n@hookimpl\nasync def filter_message(message): ...\n")
    (error,) = app.load().errors
    assert error.text == "filter_message decides at once, while everybody waits: make it a plain def"
