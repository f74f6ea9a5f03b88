"""Clients of a rolling restart that are written in Python; `rollingrestart` starts them as a process, and asks them.

The argument is JSON: ``{"url": …, "seconds": …, "clients": [[kind, path, name], …]}``. A client with a name publishes
texts ``NAME NUMBER``, numbered from 1, one in so many seconds. Kinds are ``python``, the client of this project, and
``plain``, which is what an author writes who has read of `?at=` in the guide, and nothing else.

A line of JSON on stdin is answered with one on stdout::

    > {"do": "go"}                        publishing begins
    > {"do": "connected"}                 < {"connected": 700}
    > {"do": "halt"}                      < {"sent": {"PATH": {"NAME": 117}}}; all of these are answered
    > {"do": "finish", "sent": {…}}       < {"clients": [Tally, …]}, once all that was sent has been read, or in vain

`rollingclients.mjs` is the same for the JavaScript client.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress

from websockets.asyncio.client import connect as connect_plainly
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from signalpost.client import RefusedError, connect

AT_ONCE = 50  # handshakes in the beginning
PATIENCE = 60  # seconds for the last values
LEAST_WAIT = 0.5


class Tally:
    """What one client has read, and how often it came.

    Attributes:
        last: the newest number of each publisher.
        missing, doubled: how many values were.
        gaps: why, of each one that it was told of.
        nodes: the tag of each one that has welcomed it, in order.
        came: when that was, in seconds since 1970.
        byes: how often it was asked to come back later.
        ends: codes of ended connections.
        tries: handshakes that it began.
        refused: messages that it had to send once more, since the server would not have them.
    """

    def __init__(self, kind, path):
        self.kind = kind
        self.path = path
        self.last = Counter()
        self.missing = 0
        self.doubled = 0
        self.gaps = []
        self.nodes = []
        self.came = []
        self.byes = 0
        self.ends = []
        self.tries = 0
        self.refused = 0
        self.is_connected = False

    def read(self, value):
        name, number = value.rsplit(" ", 1)
        number, last = int(number), self.last[name]
        if number <= last:
            self.doubled += 1
        else:
            self.missing += number - last - 1
            self.last[name] = number

    def welcomed(self, client_id):
        self.is_connected = True
        self.nodes.append(client_id.partition("-")[0])
        self.came.append(time.time())

    def ended(self, code):
        self.is_connected = False
        self.ends.append(code)

    def has(self, sent):
        return all(self.last[name] >= number for name, number in sent.items())


class Library:
    """A room of the client of this project."""

    def __init__(self, url, path, name):
        self.tally = tally = Tally("python", path)
        self.name = name
        self.sent = 0
        self.room = connect(url + path)
        self.room.on("state", self._state)
        self.room.on("welcome", lambda body: tally.welcomed(body["clientId"]))
        self.room.on("bye", lambda _: setattr(tally, "byes", tally.byes + 1))
        self.room.on("close", lambda body: tally.ended(body["code"]))
        self.room.on("gap", lambda gap: tally.gaps.append(gap.why))

    def _state(self, state):
        self.tally.tries += state.name == "connecting"

    async def run(self, opened):
        async with self.room:
            opened.set_result(None)
            async for signal in self.room:
                self.tally.read(signal.value)

    async def publish(self, seconds, halted):
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not halted.is_set():
            message = {"message": f"{self.name} {self.sent + 1}"}
            try:
                await self.room.ask(message, timeout=None)
            except RefusedError:
                self.tally.refused += 1
                continue
            self.sent += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(halted.wait(), max(0, began + self.sent * seconds - loop.time()))


class Plain:
    """A WebSocket that brings back its position."""

    name = None

    def __init__(self, url, path):
        self.tally = Tally("plain", path)
        self._url = url + path
        self._at = None

    async def run(self, opened):
        tally = self.tally
        while True:
            self._wait = None
            tally.tries += 1
            at = "" if self._at is None else f"?at={self._at}"
            try:
                async with connect_plainly(
                    self._url + at, subprotocols=["signalpost.v1"], compression=None, proxy=None
                ) as socket:
                    async for frame in socket:
                        self._take(json.loads(frame))
                        if not opened.done():
                            opened.set_result(None)
                    tally.ended(socket.close_code)
            except ConnectionClosed as closed:
                tally.ended(closed.rcvd.code if closed.rcvd else 1006)
            except (OSError, InvalidHandshake, TimeoutError):
                tally.ended(None)
            await asyncio.sleep(LEAST_WAIT * (1 + random.random()) if self._wait is None else self._wait)

    def _take(self, frame):
        for kind, body in frame.items():
            if kind == "welcome":
                self.tally.welcomed(body["clientId"])
                if self._at is None or not body["missed"]:
                    self._at = body["at"]
            elif kind == "signal":
                self._at = body.get("at", self._at)
                self.tally.read(body["value"])
            elif kind == "gap":
                self._at = body.get("at", self._at)
                self.tally.gaps.append(body["why"])
            elif kind == "bye":
                self.tally.byes += 1
                self._wait = body["retry_ms"] / 1000


class Party:
    """All clients of this process. A method answers the command of its name."""

    def __init__(self, url, seconds, clients):
        self.clients = [
            Library(url, path, name) if kind == "python" else Plain(url, path) for kind, path, name in clients
        ]
        self._seconds = seconds
        self._halted = asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._running = []
        self._publishing = []

    async def begin(self, client):
        async with self._free:
            opened = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(client.run(opened))
            self._running.append(task)
            await asyncio.wait({opened, task}, return_when="FIRST_COMPLETED")
            if task.done():
                task.result()

    async def go(self):
        publishers = [each for each in self.clients if each.name]
        self._publishing = [asyncio.ensure_future(each.publish(self._seconds, self._halted)) for each in publishers]

    async def connected(self):
        say(connected=sum(each.tally.is_connected for each in self.clients))

    async def halt(self):
        self._halted.set()
        await asyncio.gather(*self._publishing)
        sent = {}
        for each in self.clients:
            if each.name:
                sent.setdefault(each.tally.path, {})[each.name] = each.sent
        say(sent=sent)

    async def finish(self, sent):
        for _ in range(PATIENCE * 10):
            if all(each.tally.has(sent[each.tally.path]) for each in self.clients):
                break
            await asyncio.sleep(0.1)
        say(clients=[vars(each.tally) for each in self.clients])

    async def end(self):
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def main(given):
    party = Party(**given)
    await asyncio.gather(*map(party.begin, party.clients))
    say(connected=len(party.clients))
    lines = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        await getattr(party, command.pop("do"))(**command)
    await party.end()


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
