"""A client that stops reading and then reads on, over a real server, under each policy. Nothing is timed."""

import asyncio
import contextlib
import itertools
import socket

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from signalpost.delivery.outbox import CHUNK
from signalpost.delivery.target import Receipt
from signalpost.testing import serve
from signalpost.websocket.frames import CloseCode

MESSAGE = 8_192
FRAME = MESSAGE + 100  # at most: with the envelope
BUFFER = 256 * 1024
MOST = 4_000  # 32 MB: more than the kernel holds

APP = """
    endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: {protocol}}}]
    signals: [{signal}]
    limits: {limits}
"""


@contextlib.asynccontextmanager
async def server(slow, limits="{}", tls=None):
    protocol = "wss, self_signed: true" if tls else "ws"
    async with (
        serve(APP.format(protocol=protocol, signal=f"{{path: /slow, slow: {slow}}}", limits=limits)) as app,
        app.connect("/a", ssl=tls) as a,
        app.connect("/b", ssl=tls) as b,
    ):
        yield Story(app, {"/a": a, "/b": b}, tls=tls)


class Story:
    """People who talk, each on a path, and read what they get; and somebody on another path who does not.

    Attributes:
        people: by their paths.
        path: of who does not.
        tls: how to speak to a server with a certificate.
        said: what was sent, as (path, number), in order.

    """

    def __init__(self, app, people, path="/slow", tls=None):
        self.app = app
        self.hub = app.server.node.hub
        self.people = people
        self.path = path
        self.tls = tls
        self.said = []

    @contextlib.asynccontextmanager
    async def listen(self, *subprotocols):
        """Connect somebody who reads nothing but what is asked for; give the socket and the server's side."""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.app.server.endpoints[0].port))
            options = {"proxy": None, "compression": None, "max_queue": 1, "ping_interval": None, "close_timeout": 0.1}
            url = self.app.url() + self.path
            async with connect(url, sock=sock, ssl=self.tls, subprotocols=subprotocols or None, **options) as listener:
                yield listener, self.hub.clients[listener.response.headers["X-Signalpost-Client-Id"]]

    async def talk_until(self, enough):
        """Send from all in turns until something has happened."""
        while not enough():
            assert len(self.said) < MOST, "it never happened"
            for path in self.people:
                await self.say(path)

    async def say(self, path):
        """Send; all have read it before the next is sent, so that the order is known."""
        text = f"{len(self.said)} ".ljust(MESSAGE, "-")
        self.said.append((path, len(self.said)))
        person = self.people[path]
        await (person.send_raw if path == "/raw" else person.send)(text)
        for person in self.people.values():
            assert await person.receive() == text

    async def broadcast_until(self, enough):
        """Broadcast from the server until something has happened; give the receipts."""
        receipts = []
        while not enough():
            assert len(receipts) < MOST, "it never happened"
            receipts.append(await self.broadcast(f"{len(receipts)} ".ljust(MESSAGE, "-")))
        return receipts

    async def broadcast(self, text, **target):
        """Broadcast from the server; all people have read it when the receipt is given."""
        receipt = self.app.server.node.broadcaster(text, **target)
        for person in () if target else self.people.values():
            assert await person.receive() == text
        return receipt

    async def heard(self, listener, since=0):
        """Read on until the newest of each path has come; give the numbers that came, and what was said to miss."""
        newest = dict(self.said[since:])
        heard, notices = [], []
        while set(newest.values()) - set(heard):
            frame = await listener.recv()
            if not frame.startswith("{"):
                heard.append(int(frame.split()[0]))
                continue
            kind, body = orjson.loads(frame).popitem()
            if kind == "signal":
                number = int(body["value"].split()[0])
                assert self.said[number] == (body["path"], number)
                heard.append(number)
            elif kind == "lagged":
                notices.append((heard[-1] if heard else -1, body["missed"]))
        return heard, notices


def gaps(heard):
    """Give the numbers that are missing, each run as what was heard before it and how many they are."""
    before = [-1, *heard]
    return [(left, right - left - 1) for left, right in zip(before, heard, strict=False) if right - left > 1]


def has_lost_something(client):
    return lambda: client._outbox is not None and bool(client._outbox._gaps)


@pytest.mark.parametrize("subprotocols", [(), ("signalpost.v1",)], ids=["plain", "v1"])
@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
@pytest.mark.parametrize("protocol", ["ws", "wss"])
async def test_who_reads_on_gets_what_the_policy_kept_and_is_told_what_is_missing(
    policy, protocol, subprotocols, trusting
):
    async with (
        server(f"{{policy: {policy}, buffer: {BUFFER}}}", tls=trusting if protocol == "wss" else None) as story,
        story.listen(*subprotocols) as (listener, client),
    ):
        # A chunk that the transport has not written yet takes its room.
        least, most = {"drop_oldest": ((BUFFER - CHUNK) // FRAME - 1, BUFFER // MESSAGE - 1), "latest": (1, 2)}[policy]
        await story.talk_until(has_lost_something(client))
        await story.talk_until(lambda: client._outbox.size >= least * MESSAGE)
        waited = client._outbox.size // MESSAGE
        assert waited <= most
        heard, notices = await story.heard(listener)
        assert heard == sorted(set(heard))
        assert gaps(heard)
        assert notices == (gaps(heard) if subprotocols else [])
        assert heard[-waited:] == list(range(len(story.said) - waited, len(story.said)))
        # It has caught up, and gets everything again.
        before = len(story.said)
        await story.say("/a")
        assert await story.heard(listener, before) == ([before], [])


async def test_disconnect_drops_at_the_buffer_of_the_signal():
    async with server("{policy: disconnect, buffer: 64KiB}") as story, story.listen() as (listener, client):
        await story.talk_until(lambda: client.closing)
        assert client.close_code == CloseCode.TOO_SLOW
        with pytest.raises(ConnectionClosed):
            await story.heard(listener)


async def test_over_what_all_outboxes_may_hold_the_slowest_goes_whatever_its_policy(caplog):
    slow, limits = "{policy: drop_oldest}", "{message: 64KiB, outboxes: 256KiB}"
    async with server(slow, limits) as story, story.listen() as (_, slower):
        await story.talk_until(lambda: slower.waiting > 100_000)
        async with story.listen() as (listener, slow):
            await story.talk_until(lambda: slower.closing or slow.closing)
            assert slower.close_code == CloseCode.TOO_SLOW
            assert not slow.closing
            (line,) = caplog.messages
            assert line.startswith("clients dropped with 4008, the slowest first: 1; more than 256KiB waited")
            heard, _ = await story.heard(listener)
            assert len(gaps(heard)) == 1  # what was said before it came


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["ws", "wss"])
@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "latest"])
async def test_a_receipt_counts_whom_a_value_was_queued_for_and_whom_not(policy, protocol, trusting):
    slow, tls = f"{{policy: {policy}, buffer: {BUFFER}}}", trusting if protocol == "wss" else None
    async with server(slow, tls=tls) as story, story.listen() as (_, client):
        enough = (lambda: client.closing) if policy == "disconnect" else has_lost_something(client)
        receipts = await story.broadcast_until(enough)
        if policy == "disconnect":
            # It is not queued for whom it is too much, and who is gone is not matched.
            assert receipts.pop() == Receipt(matched=3, queued=2, dropped=1)
            after = Receipt(matched=2, queued=2)
        else:
            # What gives way was queued, and so is what it gives way to; only what fits nowhere is not.
            after = Receipt(matched=3, queued=3)
            assert await story.broadcast("x" * BUFFER) == Receipt(matched=3, queued=2, dropped=1)
            assert not client.closing
        assert set(receipts) == {Receipt(matched=3, queued=3)}
        assert await story.broadcast("and on it goes") == after
        alone = await story.broadcast("to it alone", client=client.id)
        assert alone == Receipt(after.matched - 2, after.queued - 2)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["ws", "wss"])
@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest"])
async def test_who_goes_for_the_sake_of_all_others_goes_when_the_receipt_is_there(policy, protocol, trusting):
    slow, limits = f"{{policy: {policy}}}", "{message: 64KiB, outboxes: 256KiB}"
    async with (
        server(slow, limits, trusting if protocol == "wss" else None) as story,
        story.listen() as (_, one),
        story.listen() as (_, other),
    ):
        receipts = await story.broadcast_until(lambda: one.closing or other.closing)
        assert CloseCode.TOO_SLOW in (one.close_code, other.close_code)
        assert set(receipts) == {Receipt(matched=4, queued=4)}
        assert await story.broadcast("and on it goes") == Receipt(matched=3, queued=3)


async def test_frames_that_are_relayed_raw_are_values_of_the_path_they_come_from():
    signal = "{path: /raw, format: raw, rebroadcast: path, slow: {policy: latest, buffer: 64KiB}}"
    async with serve(APP.format(protocol="ws", signal=signal, limits="{}")) as app, app.connect("/raw") as talking:
        story = Story(app, {"/raw": talking}, "/raw")
        async with story.listen() as (listener, client):
            await story.talk_until(has_lost_something(client))
            await story.talk_until(lambda: client._outbox.size > 0)
            heard, _ = await story.heard(listener)
            assert len(gaps(heard)) == 1
            assert gaps(heard)[0][0] == heard[-2]


@pytest.mark.parametrize("by", ["broadcasts", "messages"])
async def test_of_each_thing_that_the_key_tells_apart_the_newest_arrives(by):
    slow = f"{{policy: latest, key: of.user, buffer: {BUFFER}}}"
    async with server(slow) as story, story.listen() as (listener, client):
        newest = {}

        async def move(number):
            value = {"of": {"user": f"person {number % 10}"}, "x": number, "more": "-" * MESSAGE}
            newest[value["of"]["user"]] = number
            if by == "messages":
                await story.people["/a"].send(value)
            else:
                story.app.server.node.broadcaster(value)
            for person in story.people.values():
                assert (await person.receive_json())["x"] == number

        numbers = iter(range(MOST))
        while not has_lost_something(client)():
            await move(next(numbers))
        for number in itertools.islice(numbers, 25):
            await move(number)
        heard = {}
        while heard != newest:
            value = orjson.loads(await listener.recv())
            heard[value["of"]["user"]] = value["x"]
