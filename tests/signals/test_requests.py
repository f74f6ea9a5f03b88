"""Requests to the server itself: the history of the client's own path, and who is there."""

from contextlib import asynccontextmanager

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.model import HistoryConfig
from signalpost.history.stream import Entry, Stream
from signalpost.signals.recovery import MOST_BYTES
from signalpost.signals.requests import UnknownPositionError, read_history
from signalpost.testing import serve

V1 = ["signalpost.v1"]
LIVE = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: more, address: 127.0.0.1, port: 0, protocol: ws}
limits: {rate: 0}
"""
SIGNALS = """
signals:
  - {path: /rooms/<room>, rebroadcast: path, history: 50, presence: {every: 1ms, grace: 0}, endpoint: live}
  - {path: /rooms/<room>, rebroadcast: path, history: 50, endpoint: more}
  - {path: /kept, rebroadcast: path, history: {keep: 10, for: 1h}}
  - {path: /others, history: 50, do: [{broadcast: {value: "{{ message }}", path: "{{ path }}", to: others}}]}
  - {path: /bare, rebroadcast: none}
  - {path: /present, rebroadcast: none, presence: {every: 1ms, info: {name: "{{ request.query.name }}"}}}
  - {path: /raw, format: raw, rebroadcast: sender}
  - {path: /schema, history: 10, rebroadcast: path, schema: {type: object, required: [message]}}
"""
HANDLED = "  - {path: /handled, handler: handled, history: 10}\n"
PLUGIN = """
from signalpost import hookimpl, signal

SEEN = []

@signal("handled")
async def handled(event):
    SEEN.append(event.data.document)
    return event.data.document

@hookimpl
def filter_message(message):
    SEEN.append(message.document)
"""


def text(document):
    return orjson.dumps(document).decode()


@asynccontextmanager
async def asker(app, path, endpoint="live"):
    async with app.connect(path, endpoint=endpoint, subprotocols=V1) as client:
        await client.receive_json()
        yield client


async def answer(client, document, ref="r"):
    """Send an object; give what carries its ref."""
    await client.send_raw(text({**document, "ref": ref}))
    while True:
        frame = await client.receive_json()
        ((_, body),) = frame.items()
        if body.get("ref") == ref and type(body.get("ref")) is type(ref):
            return frame


async def history(client, **options):
    return (await answer(client, {"signalpost": {"history": options}}))["history"]


async def say(client, *values):
    for value in values:
        assert "ack" in await answer(client, {"message": value})


def said(found):
    return [each["value"] for each in found["signals"]]


@pytest.fixture
def app():
    return serve(LIVE + SIGNALS)


class TestHistory:
    async def test_the_newest_values_come_oldest_first_each_as_a_signal(self, app):
        async with app as running, asker(running, "/kept") as client:
            await say(client, "a", {"n": 1}, "c", [None])
            found = await history(client, limit=3)
            assert found.keys() == {"ref", "path", "signals", "at", "more"}
            assert found["path"] == "/kept"
            assert said(found) == [{"n": 1}, "c", [None]]
            assert all(each.keys() == {"path", "at", "value"} for each in found["signals"])
            assert found["at"] == found["signals"][-1]["at"]
            assert found["more"] is True

    async def test_positions_are_those_with_which_the_values_came(self, app):
        async with app as running, asker(running, "/kept") as client:
            came = []
            for number in range(3):
                await client.send(number)
                came.append((await client.receive_json())["signal"])
            assert (await history(client))["signals"] == came

    async def test_an_empty_history_has_the_position_of_the_beginning(self, app):
        async with app as running, running.connect("/kept", subprotocols=V1) as client:
            at = (await client.receive_json())["welcome"]["at"]
            for options in ({}, {"after": at}, {"before": at}):
                found = await history(client, **options)
                assert (said(found), found["at"], found["more"]) == ([], at, False)

    async def test_a_hundred_come_without_a_limit_and_a_thousand_at_most(self):
        signals = "signals: [{path: /, rebroadcast: path, history: 2000}]"
        async with serve(LIVE + signals) as running, asker(running, "/") as client:
            for number in range(1_200):
                await client.send(number)
            await say(client, "last")
            assert said(await history(client)) == [*range(1_101, 1_200), "last"]
            assert len(said(await history(client, limit=1_000))) == 1_000

    async def test_no_more_than_a_mebibyte_comes_at_once_and_one_value_at_least(self):
        signals = "signals: [{path: /, rebroadcast: path, history: 20}]"
        larger = LIVE.replace("rate: 0", "rate: 0, message: 4MiB") + signals
        async with serve(larger) as running, asker(running, "/") as client:
            await say(client, "x" * 2**21)
            found = await history(client)
            assert (len(said(found)), found["more"]) == (1, False)
            for letter in "abcdef":
                await say(client, letter * 300_000)
            found = await history(client)
            assert [each[0] for each in said(found)] == ["d", "e", "f"]
            assert found["more"] is True

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
    async def test_paging_back_and_forward_reads_each_value_of_the_window_once(self, app, limit):
        async with app as running, asker(running, "/kept") as client:
            await say(client, *range(25))
            found = await history(client, limit=limit)
            pages = [said(found)]
            while found["more"]:
                found = await history(client, before=found["signals"][0]["at"], limit=limit)
                pages.insert(0, said(found))
            assert [value for page in pages for value in page] == list(range(15, 25))
            assert all(0 < len(page) <= limit for page in pages)
            first = (await history(client, limit=10))["signals"][0]["at"]
            found = await history(client, after=first, limit=limit)
            pages = [said(found)]
            while found["more"]:
                found = await history(client, after=found["at"], limit=limit)
                pages.append(said(found))
            assert [value for page in pages for value in page] == list(range(16, 25))
            found = await history(client, after=found["at"])
            assert (said(found), found["more"]) == ([], False)
            await say(client, "new")
            assert said(await history(client, after=found["at"])) == ["new"]

    async def test_what_leaves_the_client_out_is_skipped(self, app):
        async with app as running, asker(running, "/others") as one, asker(running, "/others") as two:
            for number in range(10):
                await say(one if number % 3 else two, number)
            mine = [number for number in range(10) if number % 3]
            assert said(await history(two)) == mine
            assert said(await history(one)) == [number for number in range(10) if not number % 3]
            found, read = await history(two, limit=2), []
            while True:
                read = said(found) + read
                if not found["more"]:
                    break
                found = await history(two, limit=2, before=found["signals"][0]["at"])
            assert read == mine

    async def test_more_is_false_if_all_others_leave_the_client_out(self, app):
        async with app as running, asker(running, "/others") as one, asker(running, "/others") as two:
            await say(one, "of its own")
            await say(two, "a", "b")
            assert (await history(one, limit=2))["more"] is False

    async def test_what_is_too_old_is_not_in_it(self, app, make_clock):
        async with app as running, asker(running, "/kept") as client:
            streams = running.server.node.memory.streams
            clock = streams._clock = make_clock(streams._clock())
            await say(client, "old")
            clock.advance(3_000)
            await say(client, "new")
            clock.advance(1_000)
            assert said(await history(client)) == ["new"]

    async def test_a_position_before_the_window_has_nothing_before_it_and_an_unknown_end(self, app):
        async with app as running, asker(running, "/kept") as client:
            await say(client, *range(5))
            at = (await history(client))["signals"][0]["at"]
            await say(client, *range(20))
            found = await history(client, before=at)
            assert (said(found), found["more"]) == ([], False)
            error = (await answer(client, {"signalpost": {"history": {"after": at}}}))["error"]
            assert (error["code"], error["pointer"]) == ("unknown-position", "/signalpost/history/after")
            assert error["detail"] == "the history does not know this position (too-old): ask without it"

    async def test_the_paths_of_a_pattern_and_of_two_endpoints_have_histories_of_their_own(self, app):
        async with app as running, asker(running, "/rooms/blue") as blue, asker(running, "/rooms/red") as red:
            await say(blue, "b")
            await say(red, "r")
            assert said(await history(blue)) == ["b"]
            assert said(await history(red)) == ["r"]

    async def test_a_request_is_answered_behind_what_was_sent_before_it(self, app):
        async with app as running, asker(running, "/kept") as client:
            await client.send("a")
            await client.send_raw('{"signalpost":{"history":{}}}')
            assert "signal" in await client.receive_json()
            found = (await client.receive_json())["history"]
            assert "ref" not in found
            assert said(found) == ["a"]


class TestPresence:
    async def test_the_whole_is_what_is_asked_for(self, app):
        async with app as running, asker(running, "/present?name=Ann") as client:
            found = (await answer(client, {"signalpost": {"presence": {}}}, 4))["presence"]
            assert found.keys() == {"ref", "path", "version", "count", "users"}
            assert (found["path"], found["count"]) == ("/present", 1)
            assert found["users"] == {client.id: {"n": 1, "info": {"name": "Ann"}}}

    async def test_a_request_without_ref_is_answered_without_one(self, app):
        async with app as running, asker(running, "/present") as client:
            await client.receive_json()  # the whole, when it comes
            await client.receive_json()  # the difference that has it
            for ref in ("", ',"ref":null'):
                await client.send_raw(f'{{"signalpost":{{"presence":{{}}}}{ref}}}')
                found = (await client.receive_json())["presence"]
                assert "ref" not in found
                assert found["users"].keys() == {client.id}


class TestOwnPath:
    @pytest.mark.parametrize("path", ["/rooms/blue", "/ROOMS/blue", "/Rooms/blue", None])
    @pytest.mark.parametrize("kind", ["history", "presence"])
    async def test_a_clients_own_path_in_any_spelling_is_allowed(self, app, path, kind):
        async with app as running, asker(running, "/rooms/blue") as client:
            found = await answer(client, {"signalpost": {kind: {"path": path}}})
            assert found[kind]["path"] == "/rooms/blue"

    @pytest.mark.parametrize(
        "path", ["/rooms/red", "/kept", "/nowhere", "", "/", "rooms/blue", "/rooms", "/rooms/<room>", "/rooms/blue/x"]
    )
    @pytest.mark.parametrize("kind", ["history", "presence"])
    async def test_another_path_is_forbidden(self, app, path, kind):
        async with app as running, asker(running, "/rooms/red"), asker(running, "/rooms/blue") as client:
            error = (await answer(client, {"signalpost": {kind: {"path": path}}}, 5))["error"]
            assert error == {
                "ref": 5,
                "code": "forbidden",
                "pointer": f"/signalpost/{kind}/path",
                "detail": "a client may ask for its own path only",
            }

    async def test_the_same_path_at_another_endpoint_cannot_be_read(self, app):
        async with (
            app as running,
            asker(running, "/rooms/blue") as here,
            asker(running, "/rooms/blue", "more") as there,
        ):
            await say(here, "secret")
            found = await history(there, path="/rooms/blue")
            own = running.server.node.hub.clients[here.id].place != running.server.node.hub.clients[there.id].place
            assert (said(found) == []) is own
            error = (await answer(there, {"signalpost": {"presence": {}}}))["error"]
            assert error["code"] == "unknown-request"


ONE = 'it holds one request, such as {"history": {"limit": 10}}, not '
KNOWN = "(known: history, presence, token)"
POSITION = "a position is a text that came with a value, as at"
LIMIT = "limit is a whole number from 1 to 1,000"
ALONE = 'the key "signalpost" is a request of its own: send it without others but ref'
LOST = "the history does not know this position (lost): ask without it"
REFUSED = [
    ({"signalpost": 5}, "unknown-request", "", ONE + "a number"),
    ({"signalpost": None}, "unknown-request", "", ONE + "null"),
    ({"signalpost": "history"}, "unknown-request", "", ONE + "a string"),
    ({"signalpost": []}, "unknown-request", "", ONE + "a list"),
    ({"signalpost": {}}, "unknown-request", "", ONE + "an empty mapping"),
    ({"signalpost": {"history": {}, "presence": {}}}, "unknown-request", "", ONE + "2"),
    (
        {"signalpost": {"histroy": {}}},
        "unknown-request",
        "",
        f'no request named "histroy"; did you mean "history"? {KNOWN}',
    ),
    ({"signalpost": {"HISTORY": {}}}, "unknown-request", "", 'no request named "HISTORY"'),
    ({"signalpost": {"": {}}}, "unknown-request", "", 'no request named ""'),
    ({"signalpost": {"history": None}}, "bad-message", "/history", "history is a mapping, not null"),
    ({"signalpost": {"history": [1]}}, "bad-message", "/history", "history is a mapping, not a list"),
    ({"signalpost": {"presence": True}}, "bad-message", "/presence", "presence is a mapping, not true"),
    ({"signalpost": {"history": {"limt": 1}}}, "bad-message", "/history", 'did you mean "limit"?'),
    ({"signalpost": {"presence": {"limit": 1}}}, "bad-message", "/presence", 'no option named "limit" (known: path)'),
    *(
        ({"signalpost": {"history": {"limit": limit}}}, "bad-message", "/history/limit", LIMIT)
        for limit in (0, -1, 1_001, 10**18, 1.0, 1.5, True, False, "5", None, [], {})
    ),
    *(
        ({"signalpost": {"history": {name: at}}}, "bad-message", f"/history/{name}", POSITION)
        for name in ("before", "after")
        for at in ("", "x", 5, True, [], {}, "aaaaaa:1:00", "aaaaaa:01:0000", "aaaaaa:-1:0000", "a" * 5_000)
    ),
    (
        {"signalpost": {"history": {"before": "aaaaaa:1:0000", "after": "aaaaaa:1:0000"}}},
        "bad-message",
        "/history/after",
        "before and after exclude each other: leave one out",
    ),
    *(
        ({"signalpost": {"history": {name: "aaaaaa:1:0000"}}}, "unknown-position", f"/history/{name}", LOST)
        for name in ("before", "after")
    ),
    ({"signalpost": {"history": {"path": 5}}}, "bad-message", "/history/path", "path is a string, not a number"),
    ({"signalpost": {"presence": {"path": []}}}, "bad-message", "/presence/path", "path is a string, not a list"),
    ({"signalpost": {"history": {}}, "message": "x"}, "bad-message", "", ALONE),
    ({"signalpost": {"history": {}}, "Message": None}, "bad-message", "", ALONE),
    ({"signalpost": {"history": {}}, "once": "x"}, "bad-message", "", ALONE),
    ({"signalpost": {"history": {}}, "own": 1}, "bad-message", "", ALONE),
    ({"signalpost": 5, "message": "x"}, "bad-message", "", ALONE),
]


class TestRefused:
    @pytest.mark.parametrize(("document", "code", "pointer", "detail"), REFUSED)
    async def test_what_is_no_request_is_an_error_that_says_why_and_where(self, app, document, code, pointer, detail):
        async with app as running, asker(running, "/kept") as client:
            error = (await answer(client, document, 7))["error"]
            assert (error["code"], error["pointer"]) == (code, f"/signalpost{pointer}")
            assert detail in error["detail"]
            await client.send_raw(text(document))
            error.pop("ref")
            assert await client.receive_json() == {"error": error}, "and without ref none is told"
            assert said(await history(client)) == [], "nothing was sent"

    @pytest.mark.parametrize("ref", [[], {}, 1.5, True, "r" * 65])
    async def test_what_is_no_ref_is_an_error_without_one(self, app, ref):
        async with app as running, asker(running, "/kept") as client:
            await client.send_raw(text({"signalpost": {"history": {}}, "ref": ref}))
            error = (await client.receive_json())["error"]
            assert (error["code"], error["pointer"], "ref" in error) == ("bad-message", "/ref", False)

    @pytest.mark.parametrize("ref", [0, -5, 2**53, "", "r" * 64, "é"])
    async def test_any_ref_comes_back(self, app, ref):
        async with app as running, asker(running, "/kept") as client:
            found = await answer(client, {"signalpost": {"history": {}}}, ref)
            assert found["history"]["ref"] == ref

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            *((path, kind) for path in ("/bare", "/undeclared") for kind in ("history", "presence")),
            ("/kept", "presence"),
            ("/present", "history"),
        ],
    )
    async def test_a_signal_without_it_says_so(self, app, path, kind):
        async with app as running, asker(running, path) as client:
            error = (await answer(client, {"signalpost": {kind: {}}}, 1))["error"]
            assert error == {
                "ref": 1,
                "code": "unknown-request",
                "pointer": f"/signalpost/{kind}",
                "detail": f"this signal has no {kind}",
            }

    async def test_a_schema_does_not_judge_requests(self, app):
        async with app as running, asker(running, "/schema") as client:
            assert said(await history(client)) == []

    async def test_another_spelling_of_the_key_is_no_request(self, app):
        async with app as running, asker(running, "/kept") as client:
            assert "ack" in await answer(client, {"Signalpost": {"history": {}}, "message": "x"})
            assert said(await history(client)) == ["x"]

    async def test_a_raw_signal_reads_no_requests(self, app):
        async with app as running, running.connect("/raw", subprotocols=V1) as client:
            await client.receive()
            await client.send_raw('{"signalpost":{"history":{}},"ref":1}')
            assert await client.receive() == '{"signalpost":{"history":{}},"ref":1}'

    async def test_a_request_reaches_no_filter_and_no_handler(self):
        async with (
            serve(LIVE + SIGNALS + HANDLED, plugins={"h": PLUGIN}) as running,
            asker(running, "/handled") as client,
        ):
            await history(client)
            await answer(client, {"signalpost": {"nothing": {}}})
            (plugin,) = (each.module for each in running.server.plan.registry.plugins if each.name == "h")
            assert plugin.SEEN == []


class TestPlainClients:
    @pytest.mark.parametrize("own", [{"history": {}}, {"presence": {}}, 5, None, "x"])
    async def test_their_key_signalpost_is_the_apps_own_and_reaches_the_handler(self, own):
        app = serve(LIVE + SIGNALS + HANDLED, plugins={"h": PLUGIN})
        async with app as running, running.connect("/handled") as plain, asker(running, "/bare") as other:
            (plugin,) = (each.module for each in running.server.plan.registry.plugins if each.name == "h")
            await plain.send_raw(text({"message": "m", "signalpost": own, "once": ["a"], "ref": 3}))
            await plain.send_raw(text({"signalpost": own}))
            await plain.send_raw("no JSON")
            error = (await plain.receive_json())["error"]
            assert error["code"] == "bad-message", "nothing else came before"
            assert plugin.SEEN[0] == {"message": "m", "signalpost": own, "once": ["a"]}
            await answer(other, {"message": "x"})
            assert {"signalpost": own} in plugin.SEEN


PATH = "/a"


def stream_of(left_out, keep=1_000):
    stream = Stream(PATH, HistoryConfig(keep))
    for number, session in enumerate(left_out):
        stream.append(Entry(b"%d" % number, False, session, number + 1, 0.0))
    return stream


def numbers(found):
    return [int(entry.data) for _, entry in found.values]


class TestPages:
    @given(st.lists(st.sampled_from([None, "me", "you"]), max_size=40), st.integers(1, 12), st.integers(1, 50))
    def test_pages_of_any_size_have_all_that_is_meant_for_the_client_in_both_directions(self, left_out, limit, keep):
        stream = stream_of(left_out, keep)
        kept = [number for number, each in enumerate(left_out) if each != "me"]
        kept = [number for number in kept if number >= len(left_out) - keep]
        read, before = [], None
        while True:
            found = read_history(stream, "me", limit, before=before)
            assert len(found.values) <= limit
            assert found.at == (found.values[-1][0] if found.values else stream.at)
            read = numbers(found) + read
            if not found.more:
                break
            before = found.values[0][0]
        assert read == kept
        read, after = [], stream.position(stream.first - 1)
        while True:
            found = read_history(stream, "me", limit, after=after)
            read += numbers(found)
            after = found.at
            if not found.more:
                break
        assert read == kept
        assert numbers(read_history(stream, None, 1_000)) == list(range(max(0, len(left_out) - keep), len(left_out)))

    @given(st.lists(st.integers(1, MOST_BYTES), max_size=8))
    def test_a_page_has_a_mebibyte_at_most_unless_one_value_has_more(self, sizes):
        stream = Stream(PATH, HistoryConfig(100))
        for number, size in enumerate(sizes):
            stream.append(Entry(bytes(size), False, None, number, 0.0))
        found = read_history(stream, None, 1_000)
        total = sum(len(entry.data) for _, entry in found.values)
        assert total <= MOST_BYTES or len(found.values) == 1
        assert found.more is (len(found.values) < len(sizes))

    @given(st.integers(0, 5), st.integers(0, 99))
    def test_a_position_of_another_stream_is_never_taken_for_one_of_this(self, offset, found):
        stream, other = stream_of([None] * 5), stream_of([None] * 5)
        position = other.position(offset)._replace(id=found)
        for options in ({"before": position}, {"after": position}):
            with pytest.raises(UnknownPositionError):
                read_history(stream, None, 5, **options)
