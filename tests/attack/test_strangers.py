"""Clients that speak to paths on which they are not: what a signal forbids its own clients, nobody else gets past."""

import asyncio
import json

import pytest

from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
TWO = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: admin, address: 127.0.0.1, port: 0, protocol: ws}
"""
PLUGIN = """
from signalpost import hookimpl, signal

@hookimpl
def client_connected(client):
    client.join("all")

@signal("send")
async def send(event):
    event.broadcast("from a handler", path=event.data.message)

@signal("wish")
async def wish(event):
    event.broadcast("as you wish")
"""


def error(frame):
    """Give the code and the pointer of an error frame."""
    body = json.loads(frame)["error"]
    return body["code"], body["pointer"]


async def read_by(client, mark):
    """Give what a client reads before a mark."""
    frames = []
    while (frame := await asyncio.wait_for(client.receive(), 10)) != mark:
        frames.append(frame)
    return frames


class TestClosedPaths:
    PRICES = LIVE + (
        "signals: [{path: /prices, rebroadcast: none, targets: [], schema: false}, {path: /wish, handler: wish},"
        " {path: /do, do: [{broadcast: {value: done}}]}, {path: /send, handler: send}]"
    )

    @pytest.mark.parametrize("sender", ["/x", "/wish", "/do"])
    async def test_what_is_sent_to_a_closed_path_or_to_a_client_there_is_refused(self, sender):
        async with (
            serve(self.PRICES, plugins={"p": PLUGIN}) as app,
            app.connect("/prices") as reader,
            app.connect(sender) as stranger,
            app.connect("/send") as server,
        ):
            await stranger.send({"EURUSD": 999}, path="/Prices/")
            assert error(await stranger.receive()) == ("target-not-allowed", "/path")
            await stranger.send({"EURUSD": 999}, clientId=reader.id)
            assert error(await stranger.receive()) == ("target-not-allowed", "/clientId")
            await stranger.send({"EURUSD": 999}, path="/prices", clientId=reader.id, group="all")
            assert error(await stranger.receive()) == ("target-not-allowed", "/path")
            await stranger.send("nobody", clientId="unknown")  # no error, as in Pode
            await server.send("/prices")
            assert await reader.receive() == "from a handler"

    @pytest.mark.parametrize("keys", [{}, {"group": "all"}])
    async def test_what_goes_to_everyone_or_a_group_leaves_a_closed_path_out(self, keys):
        async with (
            serve(self.PRICES, plugins={"p": PLUGIN}) as app,
            app.connect("/prices") as reader,
            app.connect("/prices", subprotocols=["signalpost.v1"]) as modern,
            app.connect("/x") as stranger,
            app.connect("/y") as other,
            app.connect("/send") as server,
        ):
            await stranger.send({"EURUSD": 999}, **keys)
            assert await stranger.receive() == await other.receive() == '{"EURUSD":999}'
            await server.send("/prices")
            assert await read_by(reader, "from a handler") == []
            assert [list(json.loads(await modern.receive())) for _ in range(2)] == [["welcome"], ["signal"]]

    async def test_rooms_of_a_closed_signal_are_closed_to_each_other_though_nobody_else_is_here(self):
        rooms = LIVE + 'signals: [{path: "/rooms/<room>", from_elsewhere: false}]'
        async with serve(rooms) as app, app.connect("/rooms/a") as sender, app.connect("/rooms/b") as neighbour:
            await sender.send("among us")
            assert await sender.receive() == "among us"
            await neighbour.send("marker")
            assert await neighbour.receive() == "marker"

    async def test_a_group_that_a_handler_sends_to_as_its_client_asks_leaves_a_closed_path_out_too(self):
        async with (
            serve(self.PRICES, plugins={"p": PLUGIN}) as app,
            app.connect("/prices") as reader,
            app.connect("/wish") as stranger,
            app.connect("/send") as server,
        ):
            await stranger.send("x", group="all")
            assert await stranger.receive() == "as you wish"
            await stranger.send("x")  # to everyone: that is the app's own
            assert await stranger.receive() == await reader.receive() == "as you wish"
            await server.send("/prices")
            assert await read_by(reader, "from a handler") == []

    async def test_raw_frames_leave_closed_paths_and_paths_with_a_schema_out(self):
        signals = (
            "signals: [{path: /raw, format: raw}, {path: /closed, from_elsewhere: false},"
            " {path: /text, schema: {properties: {message: {type: string}}}}, {path: /open}]"
        )
        async with (
            serve(LIVE + signals) as app,
            app.connect("/raw") as raw,
            app.connect("/closed") as closed,
            app.connect("/text") as text,
            app.connect("/open") as opened,
        ):
            await raw.send_raw("frame")
            assert await raw.receive() == await opened.receive() == "frame"
            await closed.send("of another path")
            assert await closed.receive() == "of another path"
            await text.send("own")
            assert await read_by(text, "own") == ["of another path"]  # which fits its schema

    async def test_a_closed_path_hears_its_own_clients_and_they_are_heard_elsewhere(self):
        signals = "signals: [{path: /rooms/<room>, from_elsewhere: false}]"
        async with (
            serve(LIVE + signals) as app,
            app.connect("/rooms/1") as a,
            app.connect("/rooms/1") as b,
            app.connect("/rooms/2") as c,
            app.connect("/x") as d,
        ):
            await a.send("hi")
            assert [await client.receive() for client in (a, b, d)] == ["hi"] * 3
            await a.send("hi", path="/rooms/2")
            assert error(await a.receive()) == ("target-not-allowed", "/path")
            await a.send("here", path="/rooms/1")
            assert [await client.receive() for client in (a, b)] == ["here"] * 2
            await c.send("c")
            assert await c.receive() == "c"  # and nothing before it

    async def test_others_leaves_the_sender_out_where_paths_are_closed_too(self):
        signals = "signals: [{path: /say, rebroadcast: others}, {path: /closed, rebroadcast: none}]"
        async with (
            serve(LIVE + signals) as app,
            app.connect("/say") as a,
            app.connect("/say") as b,
            app.connect("/closed"),
        ):
            await a.send("1")
            await b.send("2")
            assert [await b.receive(), await a.receive()] == ["1", "2"]

    async def test_a_signal_may_be_open_though_it_re_broadcasts_nothing(self):
        signals = "signals: [{path: /wall, rebroadcast: none, from_elsewhere: true}]"
        async with serve(LIVE + signals) as app, app.connect("/wall") as wall, app.connect("/x") as stranger:
            await stranger.send("hi", path="/wall")
            assert await wall.receive() == "hi"
            assert app.server.node.broadcaster.guard is None

    async def test_a_reload_closes_a_path_to_strangers_and_opens_it_again(self):
        closed = "signals: [{path: /wall, from_elsewhere: false}]"
        async with serve(LIVE) as app, app.connect("/wall") as wall, app.connect("/x") as stranger:
            await wall.send("1")
            assert [await wall.receive(), await stranger.receive()] == ["1"] * 2
            changed = await app.reload(LIVE + closed)
            assert str(changed) == "reloaded: +1 signal, 2 clients kept"
            await stranger.send("2")
            await wall.send("3")
            assert [await wall.receive(), await stranger.receive(), await stranger.receive()] == ["3", "2", "3"]
            assert str(await app.reload(LIVE + closed.replace("false", "true"))).startswith("reloaded: ~1 signal")
            await stranger.send("4")
            assert [await wall.receive(), await stranger.receive()] == ["4"] * 2


class TestSchemas:
    APP = (
        LIVE
        + """
signals:
  - {path: /numbers, schema: {properties: {message: {type: integer}}, additionalProperties: false}}
  - {path: /words/<word>, schema: {properties: {message: {type: string}}}}
"""
    )

    async def test_what_is_sent_to_a_path_is_held_against_its_schema_too(self):
        async with serve(self.APP) as app, app.connect("/numbers") as reader, app.connect("/x") as stranger:
            await stranger.send("no number", path="/numbers", ref=7)
            refusal = await stranger.receive()
            assert error(refusal) == ("schema-mismatch", "/message")
            assert json.loads(refusal)["error"]["ref"] == 7
            await stranger.send("no number", clientId=reader.id)
            assert error(await stranger.receive()) == ("schema-mismatch", "/message")
            await stranger.send(5, path="/numbers")  # as a client there would send it: without the path
            await stranger.send(6, clientId=reader.id)
            assert [await reader.receive() for _ in range(2)] == ["5", "6"]

    async def test_what_goes_to_everyone_reaches_only_those_whose_schema_it_fits(self):
        async with (
            serve(self.APP, plugins={"p": PLUGIN}) as app,
            app.connect("/numbers") as numbers,
            app.connect("/words/a") as words,
            app.connect("/words/b") as more,
            app.connect("/x") as stranger,
        ):
            for value in ("text", 1, [2]):
                await stranger.send(value)
                await stranger.send(value, group="all")
            assert [await stranger.receive() for _ in range(6)] == ["text", "text", "1", "1", "[2]", "[2]"]
            await words.send("own", path="/words/a")
            await more.send("own", path="/words/b")
            await numbers.send(0)
            assert [await numbers.receive() for _ in range(3)] == ["1", "1", "0"]
            assert await read_by(words, "own") == await read_by(more, "own") == ["text", "text"]

    async def test_each_schema_is_asked_once_a_message_and_only_where_clients_are(self):
        signals = """
signals:
  - {path: /a, schema: &s {properties: {message: {type: string}}}}
  - {path: /b, schema: *s}
  - {path: /c, schema: {properties: {message: {maxLength: 3}}}}
"""
        async with serve(LIVE + signals) as app, app.connect("/x") as stranger:
            guard = app.server.node.broadcaster.guard
            asked = []
            guard._gates = tuple((Counting(gate, asked), wards) for gate, wards in guard._gates)
            await stranger.send("none is there")
            assert await stranger.receive() == "none is there"
            assert asked == []
            async with app.connect("/a") as a, app.connect("/a"), app.connect("/b") as b:
                await stranger.send("for both")
                assert [await a.receive(), await b.receive()] == ["for both"] * 2
                assert asked == [{"message": "for both"}]


class Counting:
    def __init__(self, gate, asked):
        self._gate, self._asked = gate, asked

    def accepts(self, document):
        self._asked.append(document)
        return self._gate.accepts(document)


class TestEndpoints:
    """A signal bound to one endpoint, and the same path elsewhere."""

    OPS = "signals: [{path: /ops, endpoint: admin, rebroadcast: path}, {path: /send, handler: send}]"

    async def test_a_path_of_one_endpoint_is_not_that_path_of_another(self):
        async with (
            serve(TWO + self.OPS, plugins={"p": PLUGIN}) as app,
            app.connect("/ops", endpoint="admin") as operator,
            app.connect("/ops", endpoint="live") as intruder,
            app.connect("/x", endpoint="live") as stranger,
            app.connect("/send", endpoint="live") as server,
        ):
            await operator.send("internal")
            assert await operator.receive() == "internal"
            await intruder.send("fake", path="/ops")
            assert await intruder.receive() == "fake"  # to its own /ops, the first thing that it reads
            await stranger.send("also fake", path="/ops")
            assert await intruder.receive() == "also fake"
            await server.send("/ops")  # the server's own reaches where it is declared, and only there
            assert await operator.receive() == "from a handler"
            await operator.send("here", path="/ops")
            assert await operator.receive() == "here"
            await intruder.send("end", path="/ops")
            assert await intruder.receive() == "end"

    @pytest.mark.parametrize(
        "path", ["/ops\nadmin", "\n/ops\nadmin", "/OPS\nadmin", "/ops\nadmin\nlive", "('/ops', ('admin',))"]
    )
    @pytest.mark.parametrize("sender", ["/x", "/ops"])
    async def test_no_text_of_a_path_names_the_audience_of_one_endpoint(self, sender, path):
        closed = self.OPS.replace("rebroadcast: path", "rebroadcast: path, from_elsewhere: false")
        async with (
            serve(TWO + closed, plugins={"p": PLUGIN}) as app,
            app.connect("/ops", endpoint="admin") as operator,
            app.connect(sender, endpoint="live") as stranger,
            app.connect("/send", endpoint="live") as server,
        ):
            await stranger.send("fake", path=path)
            await stranger.send("fake", path=path, group="all")
            await stranger.send("done", path=sender)
            assert await stranger.receive() == "done"
            await server.send("/ops")
            assert await read_by(operator, "from a handler") == []
            # Nor does a handler that sends to whatever path it is told.
            place = app.server.node.hub.clients[operator.id].place
            assert place not in app.server.node.generation.table.places(path)

    async def test_two_signals_at_one_path_are_two_audiences_and_the_server_reaches_both(self):
        signals = """
signals:
  - path: /Ops/<n>
    endpoint: admin
    rebroadcast: path
    connected: &came [{broadcast: {value: "{{ path }}", path: "{{ path }}"}}]
  - {path: /ops/<n>, endpoint: live, rebroadcast: path, connected: *came}
  - {path: /send, handler: send}
"""
        async with (
            serve(TWO + signals, plugins={"p": PLUGIN}) as app,
            app.connect("/ops/1", endpoint="admin") as admin,
            app.connect("/ops/1", endpoint="live") as live,
            app.connect("/ops/1", endpoint="live", subprotocols=["signalpost.v1"]) as modern,
            app.connect("/send") as server,
        ):
            assert await admin.receive() == "/Ops/1"  # of its own list; that of the others stays among them
            assert [await live.receive() for _ in range(2)] == ["/ops/1"] * 2
            await admin.send("a")
            await live.send("b")
            assert [await admin.receive(), await live.receive()] == ["a", "b"]
            await server.send("/OPS/1")
            assert [await admin.receive(), await live.receive()] == ["from a handler"] * 2
            frames = [json.loads(await modern.receive()) for _ in range(4)]
            assert [frame["signal"]["path"] for frame in frames[1:]] == ["/ops/1"] * 3

    async def test_a_signal_of_all_endpoints_is_one_audience(self):
        signals = "signals: [{path: /ops, endpoint: [admin, live], rebroadcast: path}]"
        async with (
            serve(TWO + signals) as app,
            app.connect("/ops", endpoint="admin") as a,
            app.connect("/ops", endpoint="live") as b,
            app.connect("/y", endpoint="admin") as c,
            app.connect("/y", endpoint="live") as d,
        ):
            await a.send("1")
            assert [await a.receive(), await b.receive()] == ["1"] * 2
            await c.send("2", path="/y")
            assert [await c.receive(), await d.receive()] == ["2"] * 2

    async def test_a_reload_that_binds_a_signal_parts_its_audience(self):
        before = "signals: [{path: /ops, rebroadcast: path}]"
        after = before + "\nundeclared: rebroadcast\n"
        async with (
            serve(TWO + before) as app,
            app.connect("/ops", endpoint="admin") as a,
            app.connect("/ops", endpoint="live") as b,
        ):
            await a.send("1")
            assert [await a.receive(), await b.receive()] == ["1"] * 2
            signal = "{{path: /ops, endpoint: {}, rebroadcast: path}}".format
            await app.reload(f"{TWO}signals: [{signal('admin')}, {signal('live')}]")
            await a.send("2")
            await b.send("3")
            assert [await a.receive(), await b.receive()] == ["2", "3"]
            await app.reload(TWO + after)
            await a.send("4")
            assert [await a.receive(), await b.receive()] == ["4"] * 2


FORGED = {"error": {"code": "handler-failed", "pointer": "", "detail": "send your password again"}}


class TestForgedErrors:
    @pytest.mark.parametrize(
        "value",
        [
            FORGED,
            {"error": {"code": "bad-message"}},
            json.dumps(FORGED),
            " \n\t" + json.dumps(FORGED) + "\r\n",
            '{"\\u0065rror": {"code": "handler\\u002dfailed"}}',
            '{"error": {"code": "handler-failed", "detail": "\\ud800"}}',
            '{"error": {"code": "handler-failed", "detail": ' + "[" * 2000 + "]" * 2000 + "}}",
            '{"x": 1, "error": 1, "x": 2}'.replace('"x": 1, ', "")
            .replace(', "x": 2', "")
            .replace("1}", '{"code": "unsupported-frame"}}'),
        ],
    )
    @pytest.mark.parametrize("keys", [{}, {"path": "/b"}])
    async def test_a_message_that_looks_like_the_server_s_own_error_is_not_passed_on(self, value, keys):
        async with serve(LIVE) as app, app.connect("/a") as sender, app.connect("/b") as reader:
            await sender.send(value, **keys)
            assert error(await sender.receive()) == ("bad-message", "/message")
            await reader.send("next", path="/b")
            assert await reader.receive() == "next"

    @pytest.mark.parametrize(
        "value",
        [
            {"error": {"code": "of our own"}},
            {"error": "handler-failed"},
            {"error": {"code": ["handler-failed"]}},
            {**FORGED, "more": 1},
            {"nested": FORGED},
            [FORGED],
            "an error: " + json.dumps(FORGED),
            '{"error": {"code": "of our own"}}',
            "{",
            "{}",
            '{"error": oops}',
            " { no json with an error }",
        ],
    )
    async def test_whatever_else_speaks_of_errors_is_passed_on_as_it_is(self, value):
        async with serve(LIVE) as app, app.connect("/a") as sender:
            await sender.send(value)
            frame = await sender.receive()
            assert (frame if isinstance(value, str) else json.loads(frame)) == value

    @pytest.mark.parametrize(
        "frame",
        [
            '{"signal":{"path":"/bank","value":"pay"}}',
            '\ufeff {"signal" : {"value": 1, "path": null}}\n',
            '{"welcome":{"clientId":"0","path":"/raw"}}',
            '{"b\\u0079e":{"retry_ms":0}}',
            '{"lagged":{"missed":1}}',
            '{"alive":{}}',
            '{"signal":{"path":"\\ud800","value":1}}',
            '{"sign\\u0061l":{"path":"/","value":' + "[" * 2000 + "]" * 2000 + "}}",
        ],
    )
    async def test_a_raw_frame_is_neither_an_envelope_nor_a_notice_of_the_server_s(self, frame):
        """A client of signalpost.v1 reads raw frames as they are."""
        async with (
            serve(LIVE + "signals: [{path: /raw, format: raw}]") as app,
            app.connect("/raw") as sender,
            app.connect("/raw", subprotocols=["signalpost.v1"]) as reader,
        ):
            await reader.receive()
            await sender.send_raw(frame)
            assert error(await sender.receive()) == ("bad-message", "/message")
            for other in ('{"signal":{"type":"offer"}}', '{"bye":1}', '{"signal":{"path":1,"value":2},"x":3}', "{bye}"):
                await sender.send_raw(other)
                assert await reader.receive() == other

    async def test_raw_frames_of_text_are_held_to_the_same_and_binary_ones_are_no_errors(self):
        async with (
            serve(LIVE + "signals: [{path: /raw, format: raw}]") as app,
            app.connect("/raw") as sender,
            app.connect("/b") as reader,
        ):
            await sender.send_raw(json.dumps(FORGED))
            assert error(await sender.receive()) == ("bad-message", "/message")
            for frame in (json.dumps(FORGED).encode(), '{"error": 1}', ""):
                await sender.send_raw(frame)
                assert await reader.receive() == frame
