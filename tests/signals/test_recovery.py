"""Recovery on the wire: what a client that comes to a path with a history reads, in which order, whatever it brings."""

import asyncio
import random
import re
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from signalpost.signals.recovery import MOST_BYTES, MOST_ENTRIES
from signalpost.signals.sessions import PREFIX

PATH = """
signals:
  - {path: /r, rebroadcast: path, history: {keep: 5, replay: 2}}
  - {path: /other, rebroadcast: path, history: {keep: 5}}
"""
ARRIVAL = "signals: [{path: /r, rebroadcast: path, history: {keep: %d, replay: 2}, connected: %s}]"
LARGE = "signals: [{path: /r, rebroadcast: path, history: {keep: 5000, replay: %d}}]"
KEPT = "signals: [{path: /r, handler: late, history: {keep: 50, replay: 50}}]"
OTHERS = """
signals:
  - path: /r
    history: {keep: 50, replay: 50}
    do: [{broadcast: {value: "{{ message }}", path: /r, to: others}}]
"""
PLUGIN = """
import asyncio
from signalpost import signal

BEGUN, GO, DONE = asyncio.Event(), asyncio.Event(), asyncio.Event()

@signal("late")
async def late(event):
    BEGUN.set()
    await GO.wait()
    event.broadcast("mine", to="others", path="/r")
    DONE.set()
"""


@asynccontextmanager
async def come(app, at=None, session="", path="/r"):
    """Come with a position and a session; give the client and what its welcome says."""
    offered = ["signalpost.v1", *([PREFIX + session] if session else [])]
    async with app.connect(path if at is None else f"{path}?at={at}", subprotocols=offered) as client:
        yield client, (await client.receive_json())["welcome"]


def publish(app, *values, path="/r"):
    """Send values to a path; give the position of each."""
    streams, positions = app.server.node.memory.streams, []
    for value in values:
        app.server.node.broadcaster(value, path=path)
        positions.append(str(streams.find(path).at))
    return positions


async def rest(app, client):
    """Read everything up to a value that is sent now: values as they are, and of a gap why it is there."""
    (end,) = publish(app, "end")
    read = []
    while True:
        ((kind, body),) = (await client.receive_json()).items()
        if body.get("at") == end:
            return read
        read.append(body["value"] if kind == "signal" else body["why"])


async def plain_rest(app, client):
    publish(app, "end")
    read = []
    while (text := await client.receive()) != "end":
        read.append(text)
    return read


def summary(welcome):
    return {key: welcome[key] for key in ("at", "recovered", "missed") if key in welcome}


class TestOrder:
    """Welcome, what `connected` replies, a gap, what was missed, and then what is sent from now on."""

    @pytest.mark.parametrize("wait", ["", "{wait: 1ms}, "])
    async def test_a_client_reads_its_list_s_replies_then_what_it_has_missed_then_the_present(self, live, wait):
        connected = f"[{{reply: {{value: one}}}}, {wait}{{reply: {{value: two}}}}]"
        async with live(ARRIVAL % (20, connected)) as app:
            ats = publish(app, 1, 2, 3)
            async with come(app, ats[0]) as (client, welcome):
                assert summary(welcome) == {"at": ats[2], "recovered": True, "missed": 2}
                publish(app, "present")
                assert await rest(app, client) == ["one", "two", 2, 3, "present"]

    @pytest.mark.parametrize("wait", ["", "{wait: 1ms}, "])
    async def test_a_gap_is_told_behind_the_replies_and_before_what_is_left(self, live, wait):
        connected = f"[{{reply: {{value: one}}}}, {wait}{{reply: {{value: two}}}}]"
        async with live(ARRIVAL % (3, connected)) as app:
            ats = publish(app, *range(6))
            async with come(app, ats[0]) as (client, welcome):
                assert summary(welcome) == {"at": ats[5], "recovered": False, "missed": 2}
                assert await rest(app, client) == ["one", "two", "too-old", 4, 5]

    async def test_what_its_own_list_broadcasts_to_its_path_is_read_at_its_place_in_the_stream(self, live):
        connected = "[{broadcast: {value: came, path: /r}}, {wait: 1ms}, {reply: {value: hello}}]"
        async with live(ARRIVAL % (20, connected)) as app:
            (at, _) = publish(app, 1, 2)
            async with come(app, at) as (client, welcome):
                assert welcome["missed"] == 1
                assert await rest(app, client) == ["hello", 2, "came"]

    async def test_the_gap_s_position_is_the_one_to_go_on_from(self, live):
        async with live(PATH) as app:
            ats = publish(app, *range(8))
            async with come(app, ats[0]) as (client, _):
                gap = (await client.receive_json())["gap"]
                assert gap == {"path": "/r", "at": ats[5], "why": "too-old"}
            async with come(app, gap["at"]) as (client, welcome):
                assert summary(welcome) == {"at": ats[7], "recovered": True, "missed": 2}
                assert await rest(app, client) == [6, 7]

    @pytest.mark.parametrize(("brings", "reads"), [(1, "34567"), (6, ""), (0, "67"), (None, "67")])
    async def test_a_plain_client_reads_what_it_has_missed_or_the_newest(self, live, brings, reads):
        async with live(PATH) as app:
            ats = publish(app, *"1234567")
            async with app.connect("/r" if brings is None else f"/r?at={ats[brings]}") as client:
                assert await plain_rest(app, client) == [*reads]

    async def test_a_plain_client_with_a_bad_position_reads_the_newest(self, live):
        async with live(PATH) as app:
            publish(app, *"123456")
            async with app.connect("/r?at=x") as client:
                assert await plain_rest(app, client) == [*"56"]


class Wanderer:
    """A client that reads a few values, goes without a word, and comes back with what a browser's would bring."""

    def __init__(self, app, chance):
        self.app = app
        self.chance = chance
        self.read = []
        self.at = self.first = None
        self.gaps = self.visits = 0
        self._session = ""

    async def run(self):
        while not self.read or self.read[-1][1] != "end":
            self.visits += 1
            async with come(self.app, self.at, self._session) as (client, welcome):
                self._session = welcome["session"]
                if self.at is None or not (welcome["missed"] or welcome.get("recovered") is False):
                    assert self.at in (None, welcome["at"])
                    self.at = welcome["at"]
                    self.first = self.first or offset_of(self.at)
                await self._listen(client)
                if self.chance.random() < 0.5:
                    client.socket.transport.abort()

    async def _listen(self, client):
        for _ in range(self.chance.randrange(60)):
            ((kind, body),) = (await client.receive_json()).items()
            if kind == "gap":
                assert offset_of(body["at"]) >= offset_of(self.at)
                self.gaps += 1
            else:
                assert (kind, offset_of(body["at"])) == ("signal", offset_of(self.at) + 1)
                self.read.append((offset_of(body["at"]), body["value"]))
            self.at = body["at"]
            if kind == "signal" and body["value"] == "end":
                return


def offset_of(at):
    return int(at.split(":")[1])


class TestStorm:
    @pytest.mark.parametrize("slow", ["disconnect", "catch_up"])
    @pytest.mark.parametrize("connected", ["", ", connected: [{wait: 1ms}]"], ids=["at once", "waiting"])
    @pytest.mark.parametrize("keep", [10_000, 20])
    async def test_who_reconnects_at_random_reads_each_value_once_and_in_order_or_is_told(
        self, live, slow, connected, keep
    ):
        chance, sent = random.Random(keep), [None]
        signals = f"signals: [{{path: /r, rebroadcast: path, history: {keep}, slow: {{policy: {slow}}}{connected}}}]"

        async def speak(app, name):
            for number in range(200):
                sent.append([name, number, "-" * chance.choice((0, 900))])
                publish(app, sent[-1])
                for _ in range(chance.randrange(40)):
                    await asyncio.sleep(0)

        async with live(signals) as app:
            wanderers = [Wanderer(app, random.Random(number)) for number in range(6)]
            async with asyncio.TaskGroup() as tasks:
                readers = [tasks.create_task(each.run()) for each in wanderers]
                speakers = [tasks.create_task(speak(app, name)) for name in "abc"]
                await asyncio.wait(speakers)
                sent.append("end")
                publish(app, "end")
                await asyncio.wait(readers)
        for each in wanderers:
            assert all(sent[offset] == value for offset, value in each.read)
            if keep > len(sent):
                assert not each.gaps
                assert [offset for offset, _ in each.read] == [*range(each.first + 1, len(sent))]
        assert sum(each.visits for each in wanderers) > 2 * len(wanderers)


class TestPositions:
    """What a stranger may bring as a position."""

    @pytest.fixture
    async def app(self, live):
        async with live(PATH) as app:
            self.ats = publish(app, *range(8))
            yield app

    async def test_the_position_of_each_kept_value_and_of_the_one_before_them_is_believed(self, app):
        for offset in range(2, 8):
            async with come(app, self.ats[offset]) as (client, welcome):
                assert summary(welcome) == {"at": self.ats[7], "recovered": True, "missed": 7 - offset}
                missed = [(await client.receive_json())["signal"] for _ in range(7 - offset)]
                assert [each["value"] for each in missed] == [*range(offset + 1, 8)]
                assert [each["at"] for each in missed] == self.ats[offset + 1 :]

    async def test_one_that_no_server_gave_is_never_an_error_and_never_believed(self, app, live):
        (elsewhere,) = publish(app, "there", path="/other")
        async with live(PATH) as server:
            foreign = publish(server, *range(8))[7]
        newest, kept, before = self.ats[7], self.ats[5], self.ats[2]
        bad = [
            elsewhere,
            foreign,
            *(flipped(at) for at in (newest, kept, before)),
            *(at[:7] + "99" + at[8:] for at in (newest, kept)),
            *(at[:7] + "9" * 18 + at[8:] for at in (newest,)),
            newest[:7] + "9" * 400 + newest[8:],
            newest[:7] + "-1" + newest[8:],
            newest[:7] + "0" + newest[7:],
            newest.upper() if newest.upper() != newest else "X",
            "",
            "x",
            ":",
            "::",
            "\0",
            "9" * 10_000,
            newest + "0" * 10_000,
            newest + "\n",
            " " + newest,
            "ü" * 100,
            "1٣:1:0000",
            newest.replace(":8:", ":٨:"),
            '{"at":1}',
        ]
        for text in bad:
            async with come(app, quote(text, safe="")) as (client, welcome):
                assert summary(welcome) == {"at": newest, "recovered": False, "missed": 2}, text
                gap = (await client.receive_json())["gap"]
                assert gap == {"path": "/r", "at": self.ats[5], "why": "lost"}, text
                assert [(await client.receive_json())["signal"]["value"] for _ in range(2)] == [6, 7], text

    async def test_bytes_that_are_no_utf8_are_no_position(self, app):
        for text in ("%ff%fe", "%", "%zz", "%c3%28", self.ats[7] + "%00"):
            async with come(app, text) as (_, welcome):
                assert welcome["recovered"] is False

    async def test_one_that_is_older_than_what_is_kept_is_too_old(self, app):
        for at in self.ats[:2]:
            async with come(app, at) as (client, welcome):
                assert summary(welcome) == {"at": self.ats[7], "recovered": False, "missed": 2}
                assert (await client.receive_json())["gap"]["why"] == "too-old"
                assert [(await client.receive_json())["signal"]["value"] for _ in range(2)] == [6, 7]

    async def test_who_brings_none_reads_the_newest_and_is_told_of_no_gap(self, app):
        async with come(app) as (client, welcome):
            assert summary(welcome) == {"at": self.ats[7], "missed": 2}
            assert await rest(app, client) == [6, 7]

    async def test_a_path_without_history_says_nothing_of_a_position(self, live):
        async with live("signals: [{path: /r, history: 5, rebroadcast: path}, {path: /none}]") as app:
            (at,) = publish(app, 1)
            async with come(app, at, path="/none") as (_, welcome):
                assert summary(welcome) == {}

    @pytest.mark.parametrize("signals", [PATH, LARGE % 2], ids=["another path has one", "no path has one"])
    async def test_one_from_before_a_time_without_history_is_lost(self, live, signals):
        async with live(signals) as app:
            (at,) = publish(app, 1)
            text = (app.folder / "routes.yaml").read_text()
            await app.reload(re.sub(r"history: \{.*?\}", "once: 5m", text, count=1))
            app.server.node.broadcaster("not kept", path="/r")
            await app.reload(text)
            async with come(app, at) as (client, welcome):
                assert welcome["recovered"] is False
                assert await rest(app, client) == ["lost"]


def flipped(at):
    """Give a position with another id."""
    return at[:-1] + ("0" if at[-1] != "0" else "1")


class TestBounds:
    async def test_a_thousand_values_are_read_and_one_more_is_too_old(self, live):
        async with live(LARGE % 3) as app:
            ats = publish(app, *range(MOST_ENTRIES + 2))
            async with come(app, ats[1]) as (client, welcome):
                assert summary(welcome) == {"at": ats[-1], "recovered": True, "missed": MOST_ENTRIES}
                assert await rest(app, client) == [*range(2, MOST_ENTRIES + 2)]
            async with come(app, ats[1]) as (client, welcome):
                assert summary(welcome)["recovered"] is False
                assert welcome["missed"] == 3
                assert await rest(app, client) == ["too-old", MOST_ENTRIES, MOST_ENTRIES + 1, "end"]

    async def test_a_mebibyte_is_read_and_one_byte_more_is_too_old(self, live):
        async with live(LARGE % 2) as app:
            ats = publish(app, "a", "b" * (MOST_BYTES - 1), "c")
            async with come(app, ats[0]) as (client, welcome):
                assert (welcome["recovered"], welcome["missed"]) == (True, 2)
                assert [len(each) for each in await rest(app, client)] == [MOST_BYTES - 1, 1]
            async with come(app, ats[0]) as (client, welcome):  # the "end" has come to it
                assert (welcome["recovered"], welcome["missed"]) == (False, 2)
                assert await rest(app, client) == ["too-old", "c", "end"]

    async def test_a_replay_is_no_more_than_that_either(self, live):
        async with live(LARGE % MOST_ENTRIES) as app:
            publish(app, *range(1_500))
            async with come(app) as (client, welcome):
                assert welcome["missed"] == MOST_ENTRIES
                assert await rest(app, client) == [*range(500, 1_500)]
            publish(app, "b" * MOST_BYTES, "c")
            async with come(app) as (client, welcome):
                assert welcome["missed"] == 1
                assert await rest(app, client) == ["c"]

    async def test_a_value_over_a_mebibyte_alone_is_too_old_for_who_missed_it(self, live):
        async with live(LARGE % 2) as app:
            ats = publish(app, "a", "b" * (MOST_BYTES + 1))
            async with come(app, ats[0]) as (client, welcome):
                assert summary(welcome) == {"at": ats[1], "recovered": False, "missed": 0}
                gap = (await client.receive_json())["gap"]
                assert (gap["at"], gap["why"]) == (ats[1], "too-old")


class TestOthers:
    async def history(self, client):
        await client.send_raw('{"signalpost":{"history":{}},"ref":"h"}')
        while "history" not in (frame := await client.receive_json()):
            pass
        return [each["value"] for each in frame["history"]["signals"]]

    async def test_its_sender_reads_it_neither_later_nor_in_the_history_and_all_else_do(self, live):
        async with live(OTHERS) as app, come(app) as (listener, _):
            async with come(app) as (client, first):
                await client.send("mine", ref=1)
                assert (await client.receive_json()) == {"ack": {"ref": 1}}
            assert (await listener.receive_json())["signal"]["value"] == "mine"
            await listener.send("theirs")
            while app.server.node.memory.streams.find("/r").top < 2:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            async with come(app, first["at"], first["session"]) as (client, welcome):
                assert (welcome["session"], welcome["recovered"], welcome["missed"]) == (first["session"], True, 1)
                assert await self.history(client) == ["theirs"]
                assert await rest(app, client) == []
            async with come(app, None, first["session"]) as (client, welcome):
                assert welcome["missed"] == 2
                assert await rest(app, client) == ["theirs", "end"]
            async with come(app, first["at"]) as (client, welcome):
                assert welcome["missed"] == 4
                assert await rest(app, client) == ["mine", "theirs", "end", "end"]
            assert await self.history(listener) == ["mine", "end", "end", "end"]

    async def test_a_handler_that_broadcasts_after_its_sender_has_gone_leaves_it_out(self, live):
        async with live(KEPT, plugins={"late": PLUGIN}) as app:
            module = next(each.module for each in app.server.plan.registry.plugins if each.name == "late")
            async with come(app) as (client, first):
                await client.send("go")
                await module.BEGUN.wait()
            while app.server.node.hub.clients:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            module.GO.set()
            await module.DONE.wait()
            async with come(app, first["at"], first["session"]) as (client, welcome):
                assert (welcome["recovered"], welcome["missed"]) == (True, 0)
                assert await self.history(client) == []
                assert await rest(app, client) == []
            async with come(app, first["at"]) as (client, welcome):
                assert welcome["missed"] == 2
                assert await rest(app, client) == ["mine", "end"]

    async def test_it_is_left_out_for_who_comes_back_while_the_handler_runs(self, live):
        async with live(KEPT, plugins={"late": PLUGIN}) as app, come(app) as (listener, _):
            module = next(each.module for each in app.server.plan.registry.plugins if each.name == "late")
            async with come(app) as (client, first):
                await client.send("go")
                await module.BEGUN.wait()
            async with come(app, first["at"], first["session"]) as (client, _):
                module.GO.set()
                assert (await listener.receive_json())["signal"]["value"] == "mine"
                assert await rest(app, client) == []

    async def test_a_plain_sender_does_not_read_its_own_and_a_plain_listener_does(self, live):
        async with live(OTHERS) as app, app.connect("/r") as listener, app.connect("/r") as sender:
            await sender.send("mine")
            assert await listener.receive() == "mine"
            await listener.send("theirs")
            assert await sender.receive() == "theirs"
            assert await plain_rest(app, sender) == []
