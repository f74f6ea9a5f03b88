"""What Pode's WebSockets do, by their numbers; core/docs/coming-from-pode.md has what differs.

That nobody else got a message is shown by the next one: a marker that everyone gets must be the next thing they read.
"""

import asyncio
import socket
import urllib.request
from contextlib import AsyncExitStack
from datetime import datetime

import orjson
import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

LIVE = "{name: live, address: 127.0.0.1, port: 0, protocol: ws}"

PLUGIN = """
from datetime import datetime
from signalpost import hookimpl, signal

@signal("date")
async def date(event):
    asked = isinstance(event.data.message, str) and event.data.message.lower() == "[date]"
    event.broadcast(datetime.now().isoformat() if asked else event.data.message)

@signal("everyone")
async def everyone(event):
    event.broadcast(event.data.message, to="everyone")

@signal("elsewhere")
async def elsewhere(event):
    event.broadcast(event.data.message, path="/b")

@signal("answer")
async def answer(event):
    event.reply(event.data.message)

@signal("ids")
async def ids(event):
    event.broadcast({"sender": event.client.id, "target": event.data.client_id}, to="everyone")

@signal("broken")
async def broken(event):
    if event.data.message == "break":
        raise RuntimeError("the secret of the server")
    event.broadcast(event.data.message)

@signal("nothing")
async def nothing(event):
    event.broadcast(event.data.message and None)
    event.broadcast("")

connections = []

@hookimpl
def client_connected(client):
    connections.append(("connected", client.id, client.path))

@hookimpl
def client_disconnected(client, code):
    connections.append(("disconnected", client.id, code))

@signal("connections")
async def show(event):
    event.reply(connections)
"""

APP = f"""
endpoints: [{LIVE}]
signals:
  - {{path: /msg, handler: date}}
  - {{path: /everyone, handler: everyone}}
  - {{path: /elsewhere, handler: elsewhere}}
  - {{path: /answer, handler: answer}}
  - {{path: /ids, handler: ids}}
  - {{path: /broken, handler: broken}}
  - {{path: /nothing, handler: nothing}}
  - {{path: /connections, handler: connections}}
  - {{path: "/below/<rest:path>", handler: answer}}
limits: {{message: 4MiB}}
"""

MARKER = "the next thing everyone reads"


@pytest.fixture
async def app():
    async with serve(APP, plugins={"handlers": PLUGIN}) as running:
        yield running


@pytest.fixture
async def clients(app):
    """Connect a client to each of the paths named."""
    async with AsyncExitStack() as stack:

        async def connect(*paths):
            return [await stack.enter_async_context(app.connect(path)) for path in paths]

        yield connect


async def read(*clients):
    return [await client.receive() for client in clients]


async def everyone_reads_only(sender, *clients):
    """Send the marker; it is the next thing that all clients read."""
    await sender.send(MARKER)
    for client in clients:
        received = await client.receive()
        assert received == MARKER, f"{client.id} was sent {received!r}"


async def test_1_a_page_and_a_socket_share_one_port(tmp_path):
    (tmp_path / "page.html").write_text("<h1>hello</h1>")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    app = f"""
        endpoints:
          - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
          - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
        routes: [{{path: /, file: page.html}}]
    """
    async with serve(app, folder=tmp_path) as running, running.connect("/") as client:
        assert running.url("web").removeprefix("http") == running.url("live").removeprefix("ws")
        page = await asyncio.to_thread(_get, running.url("web") + "/")
        assert page == b"<h1>hello</h1>"
        await client.send("hi")
        assert await client.receive() == "hi"


async def test_1_a_page_and_a_socket_have_two_ports(tmp_path):
    (tmp_path / "page.html").write_text("<h1>hello</h1>")
    app = f"""
        endpoints:
          - {{name: web, address: 127.0.0.1, port: 0, protocol: http}}
          - {LIVE}
        routes: [{{path: /, file: page.html}}]
    """
    async with serve(app, folder=tmp_path) as running, running.connect("/") as client:
        assert await asyncio.to_thread(_get, running.url("web") + "/") == b"<h1>hello</h1>"
        await client.send("hi")
        assert await client.receive() == "hi"


def _get(url):
    with urllib.request.urlopen(url) as response:
        return response.read()


async def test_2_the_101_carries_a_unique_client_id(clients):
    ids = {client.id for client in await clients("/", "/", "/x")}
    assert len(ids) == 3
    assert "" not in ids


async def test_3_without_a_signal_a_message_goes_to_everyone_as_it_is(clients):
    a, b = await clients("/a", "/b")
    await a.send("hi")
    assert await read(a, b) == ["hi", "hi"]


async def test_4_and_5_a_path_narrows_to_its_clients_and_the_root_is_an_ordinary_path(clients):
    root, x, y = await clients("/", "/x", "/y")
    await y.send("for x", path="/x")
    assert await x.receive() == "for x"
    await y.send("for the root", path="/")
    assert await root.receive() == "for the root"
    await everyone_reads_only(y, root, x, y)


async def test_6_a_client_id_narrows_to_that_client_on_any_path(clients):
    a, b, c = await clients("/a", "/b", "/b")
    await a.send("for b", clientId=b.id)
    assert await b.receive() == "for b"
    await everyone_reads_only(a, a, b, c)


async def test_7_a_path_and_a_client_id_intersect(clients):
    a, b = await clients("/a", "/b")
    await a.send("nobody", path="/a", clientId=b.id)
    await a.send("for b", path="/b", clientId=b.id)
    assert await b.receive() == "for b"
    await everyone_reads_only(a, a, b)


async def test_8_direct_goes_to_the_sender_alone(clients):
    a, b = await clients("/a", "/b")
    await a.send("for me", direct=True)
    assert await a.receive() == "for me"
    await everyone_reads_only(a, a, b)


async def test_9_and_30_a_mapping_arrives_as_compact_json_and_a_string_verbatim(clients):
    (a,) = await clients("/a")
    await a.send({"b": [1, 2.5, None, True], "c": "ü"})
    assert await a.receive() == '{"b":[1,2.5,null,true],"c":"ü"}'
    await a.send('a "quoted"\n line')
    assert await a.receive() == 'a "quoted"\n line'


@pytest.mark.parametrize("text", ['{"Message":"x"}', '{"MESSAGE":"x"}', '{"message":"x","MESSAGE":"y"}'])
async def test_10_keys_count_without_case_and_the_exact_one_wins(clients, text):
    (a,) = await clients("/a")
    await a.send_raw(text)
    assert await a.receive() == "x"


@pytest.mark.parametrize("key", ["Path", "PATH", "path"])
async def test_10_the_keys_of_targets_count_without_case_too(clients, key):
    a, b = await clients("/a", "/b")
    await a.send("for b", **{key: "/b"})
    assert await b.receive() == "for b"
    await everyone_reads_only(a, a, b)


@pytest.mark.parametrize("text", ["{}", '{"message":null}', '{"message":""}', '{"path":"/a"}'])
async def test_11_a_missing_or_empty_message_is_nothing_and_the_connection_stays(clients, text):
    a, b = await clients("/a", "/b")
    await a.send_raw(text)
    await everyone_reads_only(a, a, b)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (False, "false"), ([], "[]"), ({}, "{}"), (" ", " ")])
async def test_11_zero_false_and_empty_containers_are_something(clients, value, text):
    (a,) = await clients("/a")
    await a.send(value)
    assert await a.receive() == text


async def test_12_invalid_json_is_answered_to_its_sender_and_the_next_message_works(clients):
    a, b = await clients("/a", "/b")
    await a.send_raw("{not json")
    error = (await a.receive_json())["error"]
    assert error["code"] == "bad-message"
    await everyone_reads_only(a, a, b)


async def test_13_an_unknown_path_or_id_is_no_error_and_no_delivery(clients):
    a, b = await clients("/a", "/b")
    await a.send("lost", path="/nowhere")
    await a.send("lost", clientId="nobody")
    await a.send("lost", group="none")
    await everyone_reads_only(a, a, b)


async def test_14_a_signal_replaces_the_rebroadcast_on_its_path_and_only_there(clients):
    answer, other = await clients("/answer", "/other")
    await answer.send("only me")
    assert await answer.receive() == "only me"
    await everyone_reads_only(other, answer, other)


@pytest.mark.parametrize("text", ["[date]", "[DATE]", "[Date]"])
async def test_15_and_16_the_date_route_answers_with_the_date_in_any_case(clients, text):
    a, b = await clients("/msg", "/b")
    await a.send(text)
    for answer in await read(a, b):
        assert datetime.fromisoformat(answer).year >= 2026


@pytest.mark.parametrize("path", ["/MSG", "/Msg", "/msg/"])
async def test_17_a_signal_takes_its_path_in_any_case(clients, path):
    (a,) = await clients(path)
    await a.send("[date]")
    assert datetime.fromisoformat(await a.receive())


async def test_17_a_target_path_counts_in_any_case_where_a_signal_declares_it(clients):
    a, b = await clients("/Msg", "/b")
    await b.send("for msg", path="/mSG")
    assert await a.receive() == "for msg"
    await everyone_reads_only(b, a, b)


@pytest.mark.parametrize("path", ["/below/a", "/below/a/b/c"])
async def test_18_a_wildcard_signal_takes_what_is_below_its_prefix(clients, path):
    a, b = await clients(path, "/b")
    await a.send("answered")
    assert await a.receive() == "answered"
    await everyone_reads_only(b, a, b)


@pytest.mark.parametrize("wish", ["path", "clientId", "direct"])
async def test_19_a_broadcast_without_a_target_honours_the_clients_wish(clients, wish):
    a, b, c = await clients("/msg", "/b", "/c")
    keys = {"path": {"path": "/b"}, "clientId": {"clientId": b.id}, "direct": {"direct": True}}[wish]
    await a.send("as asked", **keys)
    assert await (a if wish == "direct" else b).receive() == "as asked"
    await everyone_reads_only(c, a, b, c)


async def test_20_told_to_ignore_the_event_a_broadcast_goes_to_everyone(clients):
    a, b, c = await clients("/everyone", "/b", "/c")
    await a.send("all", path="/b")
    assert await read(a, b, c) == ["all", "all", "all"]


async def test_21_explicit_targets_win_over_the_clients(clients):
    a, b, c = await clients("/elsewhere", "/b", "/c")
    await a.send("to b", path="/c")
    assert await b.receive() == "to b"
    await everyone_reads_only(c, a, b, c)


async def test_22_a_reply_goes_to_the_sender_whatever_the_client_asks(clients):
    a, b = await clients("/answer", "/b")
    await a.send("mine", path="/b")
    assert await a.receive() == "mine"
    await everyone_reads_only(b, a, b)


async def test_23_the_event_tells_the_sender_from_the_target(clients):
    a, b = await clients("/ids", "/b")
    await a.send("x", clientId=b.id)
    assert await b.receive_json() == {"sender": a.id, "target": b.id}


async def test_24_a_handler_that_raises_is_logged_and_the_connection_survives(clients, caplog):
    a, b = await clients("/broken", "/b")
    await a.send("break", ref=7)
    assert await a.receive_json() == {
        "error": {
            "code": "handler-failed",
            "pointer": "",
            "detail": "the server could not handle this message",
            "ref": 7,
        }
    }
    await everyone_reads_only(a, a, b)
    (record,) = [record for record in caplog.records if record.name == "signalpost.signals"]
    assert "handler broken of plugin handlers" in record.getMessage()
    assert a.id in record.getMessage()
    assert "the secret of the server" in str(record.exc_info[1])


def test_25_two_signals_on_one_path_are_an_error_that_names_both(tmp_path):
    app = f"""
        endpoints: [{LIVE}]
        signals:
          - {{path: /a}}
          - {{path: /A}}
    """
    with pytest.raises(ConfigError) as caught:
        load_app(app, tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.keys) == (5, "signals[1].path")
    assert "routes.yaml:4" in problem.text


async def test_26_a_post_can_broadcast_to_everyone():
    app = f"""
        endpoints: [{{name: web, address: 127.0.0.1, port: 0, protocol: http}}, {LIVE}]
        routes: [{{path: /bell, method: POST, broadcast: {{value: ding}}}}]
    """
    async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
        await asyncio.to_thread(_post, running.url("web") + "/bell")
        assert await read(a, b) == ["ding", "ding"]


def _post(url):
    with urllib.request.urlopen(urllib.request.Request(url, data=b"", method="POST")) as response:
        return response.read()


async def test_27_a_timers_broadcast_reaches_everyone_repeatedly():
    app = f"""
        endpoints: [{LIVE}]
        timers: [{{name: tick, every: 10ms, broadcast: {{value: tick}}}}]
    """
    async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
        for _ in range(3):
            assert await read(a, b) == ["tick", "tick"]


async def test_28_a_schedules_broadcast_can_reach_one_path():
    app = f"""
        endpoints: [{LIVE}]
        schedules: [{{name: each, cron: "* * * * * *", broadcast: {{value: second, path: /b}}}}]
    """
    async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
        assert await b.receive() == "second"
        await a.send("marker", path="/a")
        assert await a.receive() == "marker"


async def test_29_a_null_or_empty_value_is_a_no_op(clients):
    a, b = await clients("/nothing", "/b")
    await a.send("x")
    await a.send("y")
    await everyone_reads_only(b, a, b)


@pytest.mark.parametrize("size", [32 * 1024, 3_000_000])
async def test_31_long_messages_come_back_whole(clients, size):
    a, b = await clients("/a", "/b")
    text = "0123456789abcdef" * (size // 16)
    await a.send(text)
    assert await read(a, b) == [text, text]


async def test_32_after_a_disconnect_the_rest_still_receive_and_the_event_fires_once(app, clients):
    watcher, stays = await clients("/connections", "/b")
    async with app.connect("/gone") as gone:
        pass
    await stays.send("still here", path="/b")
    assert await stays.receive() == "still here"
    await watcher.send("show")
    events = [event for event in orjson.loads(await watcher.receive()) if event[1] == gone.id]
    assert events == [["connected", gone.id, "/gone"], ["disconnected", gone.id, 1000]]


async def test_33_the_connect_event_carries_path_and_client_id(clients):
    watcher, b = await clients("/connections", "/b")
    await watcher.send("show")
    assert ["connected", b.id, "/b"] in orjson.loads(await watcher.receive())


async def test_groups_are_joined_in_handlers_and_reached_by_clients_that_ask():
    plugin = """
        from signalpost import signal

        @signal("member")
        async def member(event):
            word, _, group = event.data.message.partition(" ")
            (event.client.join if word == "join" else event.client.leave)(group)
            event.reply(sorted(event.client.groups))
    """
    app = f"endpoints: [{LIVE}]\nsignals: [{{path: /member, handler: member}}]"
    async with (
        serve(app, plugins={"groups": plugin}) as running,
        running.connect("/member") as a,
        running.connect("/member") as b,
        running.connect("/other") as c,
    ):
        await a.send("join red")
        assert await a.receive_json() == ["red"]
        await a.send("join blue")
        assert await a.receive_json() == ["blue", "red"]
        await c.send("for red", group="red")
        assert await a.receive() == "for red"
        await a.send("leave red")
        assert await a.receive_json() == ["blue"]
        await c.send("for red", group="red")
        await everyone_reads_only(c, a, b, c)
