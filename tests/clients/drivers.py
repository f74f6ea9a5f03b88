"""Drivers: one client library each, behind one protocol, so that all of them are held to the same scenarios.

A driver is a process. It reads commands on stdin and writes results and events on stdout, a JSON object a line each.
It must write nothing else there; what it has to say beside that goes to stderr. It ends when stdin ends.

Commands
--------
::

    > {"id": 1, "do": "open", "room": "r", "url": "ws://127.0.0.1:8091", "path": "/a/<b>", "params": {"b": "blue"}}
    < {"id": 1, "result": null}
    > {"id": 2, "do": "ask", "room": "r", "message": {"message": "hi"}, "timeout": 5}
    < {"id": 2, "result": {"kind": "ack", "at": "6bvws1:1:fwzv"}}
    > {"id": 3, "do": "history", "room": "r", "before": "x"}
    < {"id": 3, "error": {"code": "unknown-position", "pointer": "/before", "detail": "…"}}

`id` is of the command, and results come in any order: a command that waits does not hold up the next one. Commands are
begun in the order in which they come. `room` is a name of the test's choice for what `open` opens.

=========== ================================== =====================================================================
do          options                            result
=========== ================================== =====================================================================
clock       random                             null. The first command, if it is given at all. From here on the time
                                               of the client stands still until `advance` moves it, and its source of
                                               random numbers for waits gives `random`: a number from 0 to 1, or a
                                               list of them, used in turn, again and again. Sockets go on as ever.
advance     seconds, until                     ``{"now": …}``. Move the clock on by so many seconds, from one timer to
                                               the next, each run at its time. With `until`, the name of a state, stop
                                               at the moment at which a room comes into it.
open        room, url, path, params, query,    null, at once: opening goes on behind it. `path` may have places
            tokens                             ``<name>`` that `params` fills; `query` is a mapping. With `tokens`, a
                                               list, there is a token function, which gives the next one at each call
                                               (the last one again and again).
send        room, message                      true if the message was given to a connection, else false
ask         room, message, timeout             ``{"kind": "ack", "at", "again"}`` or
                                               ``{"kind": "reply", "value", "again"}``, keys without a value left out.
                                               `timeout` is in seconds.
history     room, limit, before, after         ``{"signals": [{"path", "value", "at"}], "at", "more"}``
present     room                               ``{"user", "count", "present": {user: {"n", "info"}}}``, as known now,
                                               null where nothing is known
alive       room                               null, when the server has shown that it has all that was sent before
iterate     room                               null. Make an iterator of the room, which is not read yet.
read        room, count                        the next values of that iterator, ``[{"path", "value", "at"}]``; fewer
                                               if it ends
reconnect   room                               null
close       room                               null
=========== ================================== =====================================================================

A command that fails has an error instead: `code` (of the server's error; ``timeout`` if no answer came in time,
``closed`` if the room is closed), `pointer` and `detail`, null where there is none.

Events
------
::

    < {"event": "signal", "room": "r", "now": 0.0, "body": {"path": "/a/blue", "value": "hi", "at": "6bvws1:1:fwzv"}}

`now` is the clock of the command `clock` in seconds, 0 where there is none. Of each room:

=========== ==========================================================================================================
event       body
=========== ==========================================================================================================
state       ``{"name": "connecting" | "connected" | "waiting" | "offline" | "closed", "seconds", "reason"}``: `seconds`
            until the next try with waiting, `reason` with closed
welcome     as on the wire
signal      ``{"path", "value", "at"}``: at null where it has none
gap         ``{"path", "at", "why"}``, the client's own ones (``unknown``, ``slow``), too
presence    as on the wire, told when `present` has what it says
reply       as on the wire; one that no `ask` waits for. The same with `error` and `ack`.
lagged, bye as on the wire; so is expiring
close       ``{"code", "reason"}``: a connection has ended (1006 if nothing better is known)
token       ``{}``: the token function was called. A token that is null in the list is one that it fails to give.
=========== ==========================================================================================================

More events are allowed, and ignored. Where a wait is chosen, it is the difference between the `now` of ``waiting`` and
the `now` of ``connecting``.

The drivers
-----------
``node`` and ``chromium`` share `driver.js`, which knows the JavaScript client. ``python`` is `python_driver.py`.
A driver that stays for many tests (``chromium``) knows a further command, ``fresh``, which forgets everything.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "core" / "signalpost" / "browser" / "signalpost.js"
PATIENCE = 20.0
NODE = ("node", "--experimental-websocket", "--no-warnings", str(HERE / "node_driver.mjs"), str(MODULE))
CHROMIUM = (sys.executable, "-u", str(HERE / "chromium_driver.py"), str(MODULE))
PYTHON = (sys.executable, "-u", str(HERE / "python_driver.py"))


def chromium() -> str | None:
    """Return where Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing(name: str) -> str | None:
    """Return why a driver cannot run here, None if it can."""
    if name == "node" and shutil.which("node") is None:
        return "node is not installed"
    if name == "chromium" and chromium() is None:
        return "there is no Chromium on the PATH (Debian: apt install chromium)"
    if name == "python" and not Path(PYTHON[-1]).exists():
        return "there is no driver of the Python client"
    return None


class FailedError(Exception):
    """A command has failed; `code`, `pointer` and `detail` say how."""

    def __init__(self, code: str | None, pointer: str | None, detail: str | None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.pointer, self.detail = code, pointer, detail


class Process:
    """The process of a driver; it may outlive tests, so it is of no event loop.

    Args:
        command: that runs it.

    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1
        )
        self.take: Callable[[dict[str, Any] | None], None] = lambda _: None
        """Called with each line, in a thread of its own; None is the end."""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def write(self, command: dict[str, Any]) -> None:
        """Write a command."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process by ending its stdin."""
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.take(json.loads(line))
        self.take(None)


class Driver:
    """A driver for one test. Its commands are methods: ``await driver.ask("r", message={…}, timeout=5)``.

    Args:
        name: of the driver, as in ``node``.
        process: that it talks to.

    Attributes:
        log: all events so far.

    """

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.log: list[dict[str, Any]] = []
        self._process = process
        self._last = 0
        self._results: dict[int, asyncio.Future[Any]] = {}
        self._taken: dict[tuple[str, str], int] = defaultdict(int)
        self._news = asyncio.Event()
        self._ended = False
        loop = asyncio.get_running_loop()

        def take(line: dict[str, Any] | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._take, line)

        process.take = take

    def begin(self, do: str, room: str | None = None, **options: Any) -> "asyncio.Future[Any]":
        """Write a command; return the future of its result."""
        self._last += 1
        future = self._results[self._last] = asyncio.get_running_loop().create_future()
        given = {"id": self._last, "do": do, "room": room, **options}
        self._process.write({key: value for key, value in given.items() if value is not None})
        return future

    async def do(self, do: str, room: str | None = None, **options: Any) -> Any:
        """Write a command; return its result, or raise `FailedError`."""
        async with asyncio.timeout(PATIENCE):
            return await self.begin(do, room, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the command of that name."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda room=None, **options: self.do(name, room, **options)

    async def next(self, kind: str, room: str = "r", **where: Any) -> Any:
        """Wait for the next event of a kind whose body has these values; return the body, with `now`.

        Those of the same kind before it are skipped: each is given at most once.
        """
        place = (kind, room)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    while self._taken[place] < len(self.log):
                        event = self.log[self._taken[place]]
                        self._taken[place] += 1
                        body = event.get("body") or {}
                        if (event["event"], event.get("room")) == place and where.items() <= body.items():
                            return {**body, "now": event.get("now", 0.0)}
                    if self._ended:
                        raise EOFError("the driver has ended")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = "\n".join(map(json.dumps, self.log[-40:]))
            raise AssertionError(f"{self.name}: no {kind} {where} came; the last events:\n{told}") from None

    def events(self, *kinds: str, room: str = "r") -> list[Any]:
        """Return the bodies of all events of these kinds so far, in order."""
        return [each["body"] for each in self.log if each["event"] in kinds and each.get("room") == room]

    def _take(self, line: dict[str, Any] | None) -> None:
        if line is None:
            self._ended = True
            for future in self._results.values():
                future.cancelled() or future.set_exception(EOFError("the driver has ended"))
            self._results.clear()
        elif "event" in line:
            self.log.append(line)
        elif (future := self._results.pop(line["id"], None)) is not None and not future.done():
            if "error" in line:
                error = line["error"]
                future.set_exception(FailedError(error.get("code"), error.get("pointer"), error.get("detail")))
            else:
                future.set_result(line.get("result"))
        self._news.set()


def must_not_be_missing(reason: str, skip: Callable[[str], None], fail: Callable[[str], None]) -> None:
    """Skip a test for a reason, or fail it where all tests must run."""
    (fail if os.environ.get("CI") else skip)(reason)
