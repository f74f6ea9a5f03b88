"""The Python client behind the protocol of `drivers.py`."""

import asyncio
import itertools
import json
import sys
from contextlib import suppress
from urllib.parse import quote

from signalpost.client import Answer, ClosedError, ConnectError, DisconnectedError, RefusedError
from signalpost.client.address import parse_address
from signalpost.client.clock import SystemClock
from signalpost.client.room import Room
from signalpost.client.settings import Settings

SETTLING = 30  # turns of the loop after which what a timer has begun has come to rest, or waits for the network


class StandingClock:
    """A clock that only `advance` moves."""

    def __init__(self):
        self.time = 0.0
        self._timers = []
        self._order = itertools.count()

    def now(self):
        return self.time

    def call_later(self, seconds, callback):
        timer = (self.time + seconds, next(self._order), callback)
        self._timers.append(timer)
        return lambda: timer in self._timers and self._timers.remove(timer)

    async def advance(self, seconds, reached):
        """Move from one timer to the next; end early once `reached` returns true."""
        end = self.time + seconds
        await settled()
        while not reached():
            due = min((each for each in self._timers if each[0] <= end), default=None)
            if due is None:
                self.time = end
                return
            self.time = max(self.time, due[0])
            self._timers.remove(due)
            due[2]()
            await settled()


class Drawn:
    """A source of random numbers that draws what it was told."""

    def __init__(self, numbers):
        self._numbers = itertools.cycle(numbers if isinstance(numbers, list) else [numbers])

    def random(self):
        return next(self._numbers)


async def settled():
    for _ in range(SETTLING):
        await asyncio.sleep(0)


def write(document):
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def shown(signal):
    return {"path": signal.path, "value": signal.value, "at": signal.at}


class OpenRoom:
    """A room of the test, and what is told of it."""

    def __init__(self, driver, name, room):
        self.driver = driver
        self.name = name
        self.room = room
        self.iterator = None  # of the test
        self._signs = []
        self._presence = None
        room.on("frame", self._frame)
        room.on("presence", self._present)
        room.on("gap", lambda gap: self.tell("gap", {"path": gap.path, "at": gap.at, "why": gap.why}))
        room.on("state", self._state)
        room.on("close", lambda body: self.tell("close", body))
        room.on("error", self._refused)
        for kind in ("welcome", "lagged", "bye", "expiring"):
            room.on(kind, lambda body, kind=kind: self.tell(kind, body))
        self.opening = asyncio.ensure_future(self._open())
        self.pump = asyncio.ensure_future(self._pump())

    def tell(self, event, body):
        write({"event": event, "room": self.name, "now": self.driver.now(), "body": body})

    async def _open(self):
        with suppress(ConnectError):
            await self.room.__aenter__()

    async def _pump(self):
        """Read as a loop of an app does, and tell what is read."""
        with suppress(ClosedError, ConnectError):
            async for signal in self.room:
                self.tell("signal", shown(signal))

    def _state(self, state):
        if state.name == self.driver.awaited:
            self.driver.reached = True
        seconds = {"seconds": state.seconds} if state.name == "waiting" else {}
        reason = {"reason": state.reason} if state.name == "closed" else {}
        self.tell("state", {"name": state.name, **seconds, **reason})

    def _present(self, _):
        if self._presence is not None:
            self.tell("presence", self._presence)
            self._presence = None

    def _frame(self, kind, body):
        if kind == "alive" and self._signs:
            self._signs.pop(0).set_result(None)
        elif kind == "presence":
            self._presence = body
        elif kind in ("ack", "reply", "error") and (
            "expires" in body or body.get("ref") not in self.room._asks._by_ref
        ):
            self.tell(kind, body)

    def _refused(self, error):
        """Tell of another token that was refused; all other errors are frames that nobody waits for."""
        if error.pointer == "/signalpost/token":
            self.tell("error", {"code": error.code, "pointer": error.pointer, "detail": error.detail})

    async def alive(self):
        sign = asyncio.get_running_loop().create_future()
        self._signs.append(sign)
        await self.room.send_raw("")
        await sign

    async def iterate(self):
        self.pump.cancel()
        with suppress(asyncio.CancelledError):
            await self.pump
        self.iterator = aiter(self.room)

    async def read(self, count):
        taken = []
        with suppress(ClosedError, StopAsyncIteration):
            while len(taken) < count:
                taken.append(shown(await anext(self.iterator)))
        return taken


class Driver:
    def __init__(self):
        self.clock = None
        self.random = None
        self.rooms = {}
        self.awaited = None
        self.reached = False

    def now(self):
        return 0.0 if self.clock is None else self.clock.now()

    async def run(self, command):
        try:
            result = {"result": await getattr(self, f"do_{command['do']}")(command)}
        except RefusedError as error:
            result = {"error": {"code": error.code, "pointer": error.pointer, "detail": error.detail}}
        except TimeoutError as error:
            result = {"error": {"code": "timeout", "pointer": None, "detail": str(error)}}
        except (ClosedError, ConnectError) as error:
            result = {"error": {"code": "closed", "pointer": None, "detail": str(error)}}
        except Exception as error:  # noqa: BLE001 - the test is told
            result = {"error": {"code": type(error).__name__, "pointer": None, "detail": str(error)}}
        write({"id": command["id"], **result})

    async def do_clock(self, command):
        self.clock = StandingClock()
        self.random = Drawn(command.get("random", 0.5))

    async def do_advance(self, command):
        self.awaited, self.reached = command.get("until"), False
        await self.clock.advance(command["seconds"], lambda: self.reached)
        self.awaited = None
        return {"now": self.now()}

    async def do_open(self, command):
        path = command["path"]
        for name, value in (command.get("params") or {}).items():
            path = path.replace(f"<{name}>", quote(str(value), safe=""))
        address = parse_address(command["url"] + path, command.get("query"))
        tokens = command.get("tokens")
        seams = {} if self.clock is None else {"clock": self.clock, "random": self.random}
        if self.clock is None:
            seams = {"clock": SystemClock()}
        name = command["room"]

        def token():
            write({"event": "token", "room": name, "now": self.now(), "body": {}})
            given = tokens.pop(0) if len(tokens) > 1 else tokens[0]
            if given is None:
                raise RuntimeError("there is no token now")
            return given

        room = Room(Settings(address=address, token=token if tokens else None, open_timeout=None, **seams))
        self.rooms[name] = OpenRoom(self, name, room)

    async def do_send(self, command):
        try:
            await self.rooms[command["room"]].room.send(command["message"])
        except DisconnectedError:
            return False
        return True

    async def do_ask(self, command):
        options = {} if command.get("timeout") is None else {"timeout": command["timeout"]}
        answer = await self.rooms[command["room"]].room.ask(command["message"], **options)
        return self._answer(answer)

    @staticmethod
    def _answer(answer: Answer):
        told = {"kind": answer.kind}
        if answer.kind == "reply":
            told["value"] = answer.value
        if answer.at is not None:
            told["at"] = answer.at
        if answer.again:
            told["again"] = True
        return told

    async def do_history(self, command):
        options = {key: command[key] for key in ("limit", "before", "after") if command.get(key) is not None}
        found = await self.rooms[command["room"]].room.history(**options)
        return {"signals": [shown(each) for each in found.signals], "at": found.at, "more": found.more}

    async def do_present(self, command):
        room = self.rooms[command["room"]].room
        present = {user: {"n": member.n, "info": member.info} for user, member in room.present.items()}
        return {"user": room.user, "count": room.count, "present": present}

    async def do_alive(self, command):
        await self.rooms[command["room"]].alive()

    async def do_iterate(self, command):
        await self.rooms[command["room"]].iterate()

    async def do_read(self, command):
        return await self.rooms[command["room"]].read(command["count"])

    async def do_reconnect(self, command):
        self.rooms[command["room"]].room.reconnect()

    async def do_close(self, command):
        await self.rooms[command["room"]].room.close()

    async def do_fresh(self, _):
        await self.forget()
        self.__init__()

    async def forget(self):
        for each in self.rooms.values():
            each.pump.cancel()
            await each.room.close()


async def main():
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    driver = Driver()
    tasks = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(driver.run(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await driver.forget()


if __name__ == "__main__":
    asyncio.run(main())
