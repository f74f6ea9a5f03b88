"""Reload while ``signalpost run`` serves: when the app's files change, and when the system's signal HUP asks for it."""

import asyncio
import logging
import sys
from typing import Any

import click

from signalpost.cli.hiding import hide
from signalpost.cli.record import Recorder
from signalpost.cli.terminal import wants_colour
from signalpost.cli.watching import AppFiles
from signalpost.cli.wording import installed_plugins
from signalpost.config.render import render_problems
from signalpost.errors import ConfigError, OperatorError, PluginError
from signalpost.plan import load_beside
from signalpost.server import Server
from signalpost.serving.descriptors import raise_limit

LOG = logging.getLogger(__name__)

KEPT = "not reloaded: the app goes on as it was"


class Reloader:
    """Reloads a server's plan, and says in a line what that changed, or in full what is wrong with it.

    Args:
        server: at work.
        record: says what it serves.
        asked: is set when a reload is asked for.
        watch: whether the app's files are watched.

    """

    def __init__(self, server: Server, record: Recorder, asked: asyncio.Event, *, watch: bool) -> None:
        self._server = server
        self._record = record
        self._asked = asked
        self._watch = watch
        self._files = AppFiles.of(server.plan)
        self._stamps = self._files.stamps()
        self._notes = frozenset(server.plan.notes)
        self._installed = frozenset(installed_plugins(server.plan))

    async def run(self) -> None:
        """Reload whenever there is a reason to; never ends by itself."""
        while True:
            await self._reason()
            self._asked.clear()
            await self._reload()

    async def _reason(self) -> None:
        """Wait until a reload is asked for, or a file has changed."""
        reasons: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._asked.wait())]
        if self._watch:
            reasons.append(asyncio.ensure_future(self._files.changed(self._stamps)))
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()
            await asyncio.wait(reasons)
        for reason in reasons:
            if not reason.cancelled():
                reason.result()

    async def _reload(self) -> None:
        server = self._server
        # What changes from here on is a reason of its own.
        self._stamps = self._files.stamps()
        connections = server.plan.config.limits.connections
        try:
            plan = await load_beside(server.plan.config.file, server.plan)
            hide(plan)
            done = await server.reload(plan)
        except ConfigError as error:
            self._follow(self._files.and_of((*(problem.file for problem in error.problems), *map(str, error.files))))
            click.echo(render_problems(error.problems, colour=wants_colour(sys.stderr)), err=True)
            click.echo(KEPT, err=True)
        except (OperatorError, PluginError) as error:
            click.echo(f"signalpost: {error}\n{KEPT}", err=True)
        except Exception:
            LOG.exception(KEPT)
        else:
            self._follow(AppFiles.of(plan))
            self._record.write(plan)
            click.echo(str(done))
            for line in installed_plugins(plan):
                if line not in self._installed:
                    click.echo(line)
            for note in (*done.notes, *(note for note in plan.notes if note not in self._notes)):
                click.echo(f"note: {note}")
            self._notes = frozenset(plan.notes)
            self._installed = frozenset(installed_plugins(plan))
            if plan.config.limits.connections != connections:
                raise_limit(plan.config.limits.connections)
        sys.stdout.flush()

    def _follow(self, files: AppFiles) -> None:
        """Watch other files from now on; those that were watched already are compared with what they were."""
        known = {file: stamp for file, stamp in self._stamps.items() if files.cover(file)}
        new = {file: stamp for file, stamp in files.stamps().items() if not self._files.cover(file)}
        self._files, self._stamps = files, known | new
