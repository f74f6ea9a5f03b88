"""What plugins and templates read of a history, and what becomes of what a handler returns."""

import logging
from contextlib import asynccontextmanager

import pytest

from signalpost.testing import feed_event, route_event, serve, signal_event, tick_event

V1 = ["signalpost.v1"]
APP = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: /rooms/<room>, rebroadcast: path, history: 100}
  - {path: /kept, handler: ask, history: 5}
  - {path: /bare, handler: ask}
  - {path: /others, history: 10, do: [{broadcast: {value: "{{ message }}", path: "{{ path }}", to: others}}]}
  - {path: /template, do: [{reply: {value: "{{ history(message[0], message[1]) }}"}}]}
  - {path: /hundred, do: [{reply: {value: "{{ history(message) | length }}"}}]}
  - {path: /returns, handler: returns}
  - {path: /kept_return, handler: returns, history: 5}
  - {path: /receipts, handler: receipts, history: 5}
timers: [{name: tick, every: 1h, handler: ticks}]
"""
PLUGIN = """
from dataclasses import asdict
from signalpost import Veto, hookimpl, signal, timer

KEPT = {}

def read(history, options):
    try:
        found = history(**options)
    except BaseException as error:
        base = "ValueError" if isinstance(error, ValueError) else type(error).__name__
        return [base, type(error).__name__, str(error)]
    return asdict(found)

@hookimpl
def startup(context):
    KEPT["context"] = context

@signal("ask")
async def ask(event):
    if event.data.message == "say":
        event.broadcast(event.data.document["value"], path=event.path)
        return None
    return read(event.history, event.data.message)

@signal("returns")
async def returns(event):
    message = event.data.message
    return tuple(message["tuple"]) if isinstance(message, dict) and "tuple" in message else message

@signal("receipts")
async def receipts(event):
    if event.data.message == "reply":
        return event.reply("told")
    return event.broadcast("value", path=event.path)

@timer("ticks")
async def ticks(event):
    KEPT["own"] = read(event.history, {})
    KEPT["other"] = read(event.history, {"path": "/kept"})

@hookimpl
def filter_broadcast(outgoing):
    if outgoing.value == "secret":
        raise Veto
    if outgoing.value == "code":
        raise Veto("not-now", "later")
    if outgoing.value == "change":
        outgoing.value = "changed"
    if outgoing.value == "nothing":
        outgoing.value = ""
"""


class Asker:
    def __init__(self, client, welcome):
        self.client = client
        self.welcome = welcome
        self.refs = 0

    async def ask(self, message, **keys):
        """Send a message with a ref; give what answers it."""
        self.refs += 1
        await self.client.send(message, ref=self.refs, **keys)
        while True:
            ((kind, body),) = (await self.client.receive_json()).items()
            if body.get("ref") == self.refs:
                return kind, body

    async def value(self, message, **keys):
        kind, body = await self.ask(message, **keys)
        assert kind == "reply", body
        return body["value"]


@asynccontextmanager
async def asker(app, path):
    async with app.connect(path, subprotocols=V1) as client:
        yield Asker(client, (await client.receive_json())["welcome"])


@pytest.fixture
def app():
    return serve(APP, plugins={"p": PLUGIN})


def kept_of(app):
    return next(each.module for each in app.server.plan.registry.plugins if each.name == "p").KEPT


class TestEvents:
    async def test_without_a_path_the_clients_own_is_meant(self, app):
        async with app as running, asker(running, "/kept") as one:
            positions = []
            for value in ("a", {"n": 1}, [2], 0):
                await one.ask("say", value=value)
            found = await one.value({})
            positions = [each["at"] for each in found["values"]]
            assert [each["value"] for each in found["values"]] == ["a", {"n": 1}, [2], 0]
            assert (found["path"], found["at"], found["more"]) == ("/kept", positions[-1], False)
            assert len(set(positions)) == 4

    async def test_the_newest_come_oldest_first_and_more_says_that_there_are_older_ones(self, app):
        async with app as running, asker(running, "/kept") as one:
            for number in range(9):
                await one.ask("say", value=number)
            found = await one.value({"limit": 2})
            assert ([each["value"] for each in found["values"]], found["more"]) == ([7, 8], True)
            found = await one.value({"limit": 5})
            assert ([each["value"] for each in found["values"]], found["more"]) == ([4, 5, 6, 7, 8], False)

    async def test_with_since_the_oldest_behind_it_come_and_more_says_that_there_are_newer_ones(self, app):
        async with app as running, asker(running, "/kept") as one:
            begin = one.welcome["at"]
            assert await one.value({"since": begin}) == {"path": "/kept", "values": [], "at": begin, "more": False}
            for number in range(5):
                await one.ask("say", value=number)
            read, since, more = [], begin, True
            while more:
                found = await one.value({"since": since, "limit": 2})
                read += [each["value"] for each in found["values"]]
                since, more = found["at"], found["more"]
            assert read == [0, 1, 2, 3, 4]
            assert (await one.value({"since": since}))["values"] == []

    @pytest.mark.parametrize(
        ("options", "kind", "said"),
        [
            ({"limit": 0}, "ValueError", "limit=0: at least one value is asked for"),
            ({"limit": -5}, "ValueError", "limit=-5: at least one value is asked for"),
            ({"limit": "x"}, "TypeError", ""),
            ({"limit": None}, "TypeError", ""),
            ({"limit": [1]}, "TypeError", ""),
            ({"since": ""}, "ValueError", "'' is no position"),
            ({"since": "yesterday"}, "ValueError", "'yesterday' is no position"),
            ({"since": "aaaaaa:1:0000"}, "UnknownPositionError", "does not know this position (lost)"),
            ({"since": 5}, "TypeError", ""),
            ({"since": ["x"]}, "TypeError", ""),
            ({"path": "/bare"}, "LookupError", "nothing is kept of /bare: its signal has no history"),
            ({"path": "/nowhere"}, "LookupError", "nothing is kept of /nowhere"),
            ({"path": "kept"}, "LookupError", "nothing is kept of kept"),
            ({"path": ""}, "LookupError", "nothing is kept of "),
            ({"path": 5}, "TypeError", "path= is a string, not 5; without it, the path of the event's client is meant"),
            ({"path": ["/kept"]}, "TypeError", "path= is a string"),
        ],
    )
    async def test_what_cannot_be_read_raises_what_is_documented(self, app, options, kind, said):
        async with app as running, asker(running, "/kept") as one:
            base, name, text = await one.value(options)
            assert name == kind
            assert base == ("ValueError" if kind == "UnknownPositionError" else kind)
            assert said in text

    async def test_half_a_value_cannot_be_asked_for(self, app):
        async with app as running, asker(running, "/kept") as one:
            for number in range(5):
                await one.ask("say", value=number)
            found = await one.value({"limit": 2.5})
            assert isinstance(found, list) or len(found["values"]) <= 2

    async def test_a_position_whose_values_are_gone_raises(self, app):
        async with app as running, asker(running, "/kept") as one:
            begin = one.welcome["at"]
            for number in range(6):
                await one.ask("say", value=number)
            assert (await one.value({"since": begin}))[1:] == [
                "UnknownPositionError",
                "the history does not know this position (too-old): ask without it",
            ]

    async def test_an_event_on_a_path_without_history_can_read_another_in_any_spelling(self, app):
        async with app as running, asker(running, "/bare") as one, asker(running, "/Rooms/blue") as room:
            assert (await one.value({}))[1] == "LookupError"
            await room.ask("hi")
            for path in ("/rooms/blue", "/ROOMS/blue"):
                found = await one.value({"path": path})
                assert (found["path"], found["values"][0]["value"]) == ("/rooms/blue", "hi")
            assert (await one.value({"path": "/rooms/red"}))["values"] == []

    async def test_the_app_reads_what_leaves_a_client_out_as_well(self, app):
        async with app as running, asker(running, "/others") as sender, asker(running, "/bare") as one:
            await sender.ask("x")
            assert [each["value"] for each in (await one.value({"path": "/others"}))["values"]] == ["x"]

    async def test_an_event_without_a_client_needs_a_path(self, app):
        async with app as running, asker(running, "/kept") as one:
            await one.ask("say", value="x")
            await running.run_job("tick")
            kept = kept_of(running)
            assert kept["own"][1] == "TypeError"
            assert [each["value"] for each in kept["other"]["values"]] == ["x"]

    async def test_a_context_reads_the_same(self, app):
        async with app as running, asker(running, "/kept") as one:
            for value in "abc":
                await one.ask("say", value=value)
            context = kept_of(running)["context"]
            found = context.history("/KEPT", limit=2)
            assert ([each.value for each in found.values], found.more) == (["b", "c"], True)
            assert context.history("/kept", since=found.values[0].at).values == found.values[1:]
            with pytest.raises(LookupError, match="nothing is kept of /bare"):
                context.history("/bare")

    async def test_values_that_are_read_cannot_change_what_is_kept(self, app):
        async with app as running, asker(running, "/kept") as one:
            await one.ask("say", value={"list": [1]})
            context = kept_of(running)["context"]
            context.history("/kept").values[0].value["list"].append(2)
            assert context.history("/kept").values[0].value == {"list": [1]}

    def test_without_a_server_nothing_is_remembered(self):
        for event in (signal_event("hi"), route_event(), tick_event(), feed_event()):
            with pytest.raises(RuntimeError, match="nothing is remembered before a server runs"):
                event.history("/kept")
            with pytest.raises(RuntimeError, match="nothing is remembered before a server runs"):
                event.presence("/kept")


class TestTemplates:
    async def test_a_list_reads_the_newest_values_of_a_path(self, app):
        async with app as running, asker(running, "/rooms/blue") as room, asker(running, "/template") as one:
            assert await one.value(["/rooms/blue", 5]) == []
            for value in ("a", {"n": 1}, None, 3):
                await room.ask(value)
            assert await one.value(["/rooms/blue", 2]) == [{"n": 1}, 3]
            assert await one.value(["/Rooms/blue", 1_000_000]) == ["a", {"n": 1}, 3]
            assert await one.value(["/rooms/red", 1]) == []

    async def test_a_hundred_come_unless_the_list_says_how_many(self, app):
        async with app as running, asker(running, "/rooms/blue") as room, asker(running, "/hundred") as one:
            for number in range(120):
                await room.ask(number)
            assert await one.value("/rooms/blue") == 100

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (["/bare", 5], "nothing is kept of /bare: its signal has no history"),
            (["/nowhere", 5], "nothing is kept of /nowhere"),
            (["/kept", 0], "limit=0: at least one value is asked for"),
            (["/kept", -1], "limit=-1"),
            (["/kept", "x"], ""),
            (["/kept", None], ""),
            (["/kept", {}], ""),
            ([5, 5], "path= is a string, not 5"),
            ([None, 5], ""),
            ([["/kept"], 5], "path= is a string"),
        ],
    )
    async def test_what_cannot_be_read_fails_its_step_and_its_message(self, app, failures, asked, said):
        async with app as running, asker(running, "/template") as one:
            kind, body = await one.ask(asked)
            assert (kind, body["code"]) == ("error", "handler-failed")
            (line,) = failures()
            assert "routes.yaml:8:" in line
            assert said in line
            assert await one.value(["/kept", 1]) == [], "the next one is answered"


class TestReturned:
    @pytest.mark.parametrize("value", ["text", 0, False, [], {}, [1, {"a": None}], 1.5, {"tuple": [1, 2]}])
    async def test_what_a_handler_returns_answers_the_ref_and_is_sent_to_nobody_else(self, app, value):
        async with app as running, asker(running, "/returns") as one, asker(running, "/returns") as other:
            expected = value["tuple"] if isinstance(value, dict) and value else value
            assert await one.value(value) == expected
            assert await other.ask("mark") == ("reply", {"ref": 1, "value": "mark"}), "nothing came before"

    async def test_without_ref_it_goes_nowhere_and_the_log_says_so_once(self, app, caplog):
        caplog.set_level(logging.WARNING)
        async with app as running, asker(running, "/returns") as one, running.connect("/returns") as plain:
            await one.client.send("unasked")
            await plain.send("unasked", ref=1)
            assert await one.ask("asked") == ("reply", {"ref": 1, "value": "asked"})
            await plain.send_raw("no JSON")
            assert "error" in await plain.receive_json(), "nothing came before"
        (line,) = caplog.messages
        assert 'handler "returns" of plugin p' in line
        assert "returned a value (str) that nobody gets" in line

    async def test_it_goes_through_the_filter_of_what_goes_out(self, app):
        async with app as running, asker(running, "/returns") as one:
            assert await one.value("change") == "changed"
            assert await one.ask("secret") == ("ack", {"ref": 2})
            assert await one.ask("code") == ("ack", {"ref": 3})
            kind, body = await one.ask("nothing")
            assert (kind, body.get("value", "")) in (("ack", ""), ("reply", ""))

    async def test_what_is_kept_is_what_the_filter_made_of_it(self, app):
        async with app as running, asker(running, "/kept") as one:
            await one.ask("say", value="change")
            assert [each["value"] for each in (await one.value({}))["values"]] == ["changed"]

    async def test_it_is_not_kept(self, app):
        async with app as running, asker(running, "/kept_return") as one:
            assert await one.value("x") == "x"
            assert kept_of(running)["context"].history("/kept_return").values == ()

    async def test_a_receipt_is_no_answer(self, app, caplog):
        caplog.set_level(logging.WARNING)
        async with app as running, asker(running, "/receipts") as one:
            assert await one.ask("reply") == ("reply", {"ref": 1, "value": "told"})
            assert await one.ask("broadcast") == ("ack", {"ref": 2})
        assert caplog.messages == []
