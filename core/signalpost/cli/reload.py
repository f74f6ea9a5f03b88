"""Reloads while ``signalpost run`` serves: when the app's files change, and on the signal HUP."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any

from signalpost.cli.logkeep import keep_log
from signalpost.cli.record import Recorder
from signalpost.cli.saying import say, say_notes, say_problems
from signalpost.cli.secrets import hide
from signalpost.cli.standing import standing
from signalpost.cli.watch import QUIET, AppFiles, Pace, Stamps, later
from signalpost.cli.wording import installed_plugins
from signalpost.config.endpoints import Listening
from signalpost.errors import ConfigError, OperatorError, PluginError
from signalpost.foreign import unseen_task
from signalpost.http.descriptors import raise_limit
from signalpost.plan import Plan, diff, load_beside
from signalpost.plugins.datafiles import is_own
from signalpost.server import Reloaded, Server
from signalpost.systemd import Notifier

KEPT = "not reloaded: the app goes on as it was"

CUT = 1.0
"""Seconds after the last change in which a save may be incomplete, if it removes something."""

HELD = 5.0
"""Seconds after which even that is accepted, though something still changes."""

_AGAIN = 1.0  # seconds until an attempt that failed unexpectedly is repeated


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command that a reload needs.

    Attributes:
        watch: whether the app's files are watched.
        since: when the first read of the plan began, in nanoseconds since the epoch: later saves are read again.
        home: the working folder then, which names of files are relative to: a plugin may have changed it.
        listening: replaces the addresses of the file.
    """

    watch: bool
    since: int
    home: Path
    listening: Listening


class Reloader:
    """Reloads a server's plan, and prints the changes in one line, or all problems.

    Args:
        server: that runs.
        record: of what it serves.
        asked: set when a reload is requested.
        wishes: of the command.
        notifier: is told how each reload went.

    Attributes:
        problems: of the last reload; 0 if its plan is served.
    """

    def __init__(
        self, server: Server, record: Recorder, asked: asyncio.Event, wishes: Wishes, notifier: Notifier
    ) -> None:
        self.problems = 0
        self._server = server
        self._record = record
        self._asked = asked
        self._wishes = wishes
        self._notifier = notifier
        self._pace = Pace()
        self._files = AppFiles(frozenset())
        self._stamps: Stamps = {}
        self._since = wishes.since
        self._notes = frozenset(server.plan.notes)
        self._installed = frozenset(installed_plugins(server.plan))

    async def begin(self) -> None:
        """Read the state of the files before the server starts: later saves cause a reload."""
        with standing("the app's files cannot be looked at"):
            await self._follow(AppFiles.of(self._server.plan))

    async def run(self) -> None:
        """Reload whenever there is a reason; never ends by itself, whatever fails."""
        while True:
            done = False
            with standing(KEPT):
                await self._reason()
                self._asked.clear()
                await self._reload()
                done = True
            if not done:
                await asyncio.sleep(_AGAIN)

    async def _reason(self) -> None:
        """Wait until a reload is requested, or a file has changed."""
        reasons: list[asyncio.Task[Any]] = [unseen_task(self._asked.wait())]
        if self._wishes.watch:
            reasons.append(unseen_task(self._change()))
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()
            await asyncio.wait(reasons)
        for reason in reasons:
            if not reason.cancelled():
                reason.result()

    async def _change(self) -> None:
        """Wait until a file has changed."""
        while True:
            with standing("the app's files cannot be watched"):
                await self._files.changed(self._stamps, self._pace)
                if not await self._are_own():
                    return
                continue
            await asyncio.sleep(_AGAIN)

    async def _are_own(self) -> bool:
        """Return whether this process has written the changes itself; then they are known from now on."""
        stamps = await self._files.look()
        moved = [file for file in stamps.keys() | self._stamps.keys() if stamps.get(file) != self._stamps.get(file)]
        if not all(file in self._files.data and is_own(file) for file in moved):
            return False
        self._stamps = stamps
        return True

    def _failed(self, problems: int) -> None:
        self.problems = problems
        if (observer := self._server.node.observer) is not None:
            observer.reload_failed()

    async def _reload(self) -> None:
        """Reload, and say how that went; whoever waits for the end of the reload is told of every end."""
        status = KEPT
        self._notifier.reloading()
        try:
            status = await self._attempt()
        finally:
            self._notifier.ready(status)

    async def _attempt(self) -> str:
        """Reload, or print why not; return the outcome in a line."""
        server = self._server
        connections = server.plan.config.limits.connections
        try:
            plan = await self._load()
            hide(plan.config.source)
            done = await server.reload(plan)
        except ConfigError as error:
            self._failed(len(error.problems))
            faulty = (*(problem.file for problem in error.problems), *map(str, error.files))
            await self._follow(self._files.and_of(str(self._wishes.home / name) for name in faulty))
            say_problems(error.problems)
            say(KEPT, err=True, failed=True)
            more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
            return f"{KEPT}: {error.problems[0]}{more}"
        except (OperatorError, PluginError) as error:
            self._failed(1)
            say(f"signalpost: {error}", err=True, failed=True)
            say(KEPT, err=True, failed=True)
            return f"{KEPT}: {error}"
        else:
            self.problems = 0
            with standing("this is reloaded, but what follows it has failed"):
                keep_log()
                await self._follow(AppFiles.of(plan))
                self._say(plan, done)
                await asyncio.to_thread(self._record.write, plan)
                if plan.config.limits.connections != connections:
                    raise_limit(plan.config.limits.connections)
            return str(done)

    def _say(self, plan: Plan, done: Reloaded) -> None:
        say(str(done))
        for line in installed_plugins(plan):
            if line not in self._installed:
                say(line)
        say_notes((*done.notes, *(note for note in plan.notes if note not in self._notes)))
        sys.stdout.flush()
        self._notes = frozenset(plan.notes)
        self._installed = frozenset(installed_plugins(plan))

    async def _load(self) -> Plan:
        """Load the plan again.

        A plan that cannot be used, or lacks something, may come from an incomplete save. It is accepted when the files
        have not changed for a while, else read again.

        Raises:
            ConfigError: it cannot be used.
        """
        clock = asyncio.get_running_loop().time
        latest = clock() + HELD
        while True:
            # Later changes are a separate reason for a reload.
            self._since, self._stamps = time_ns(), await self._files.look()
            plan: Plan | None = None
            try:
                # Files are read in a thread, and only changed ones are imported: the loop waits only for that.
                before = self._server.plan
                plan = await load_beside(before.config.file, before, self._wishes.listening)
                if not await asyncio.to_thread(_takes_away, self._server.plan, plan) or await self._rests(latest):
                    loaded, plan = plan, None
                    return loaded
            except ConfigError:
                if await self._rests(latest):
                    raise
            finally:
                if plan is not None:
                    plan.registry.unload()

    async def _rests(self, latest: float) -> bool:
        """Wait until the newest of the files is old enough to be complete; return whether all are as they were read."""
        clock = asyncio.get_running_loop().time
        newest = max((stamp[0] for stamp in self._stamps.values()), default=0)
        until = min(latest, clock() + CUT - max(0, time_ns() - newest) / 1e9)
        while clock() < until:
            await asyncio.sleep(QUIET)
            if await self._files.look() != self._stamps:
                return clock() >= latest
        return True

    async def _follow(self, files: AppFiles) -> None:
        """Watch other files from now on.

        Files watched before are compared with their earlier state; others count as changed if they were saved since
        they were read.
        """
        known = {file: stamp for file, stamp in self._stamps.items() if files.cover(file)}
        new = {file: stamp for file, stamp in (await files.look()).items() if not self._files.cover(file)}
        fresh = later(new, self._since)
        self._files, self._stamps = files, known | {file: new[file] for file in new if file not in fresh}


def _takes_away(old: Plan, new: Plan) -> bool:
    """Return whether a plan lacks something that another one has, as it would with a truncated file."""
    changes = diff(old, new)
    return any(part.removed for part in changes.parts().values())
