"""The event loop of ``signalpost run``: uvloop's, which no callback of a plugin's ends.

A loop ends where a callback, or a task that the server does not know, raises `SystemExit` or `KeyboardInterrupt`, and
where one calls its `stop`.
While the server runs neither is meant for it: Ctrl-C and SIGTERM are no exceptions
(`signalpost.cli.running.ProcessSignals`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar, cast

import uvloop

from signalpost.foreign import unseen

LOG = logging.getLogger(__name__)


Result = TypeVar("Result")


class ServerLoop(uvloop.Loop):
    """Goes on until what it runs is done."""

    _main: "asyncio.Future[Any] | None" = None

    def run_until_complete(self, future: Generator[Any, None, Result] | Awaitable[Result]) -> Result:
        """Run until the future is done."""
        main: asyncio.Future[Result]
        main = self._main = asyncio.ensure_future(cast("Awaitable[Result]", future), loop=self)
        if isinstance(main, asyncio.Task):
            unseen(main)
        try:
            result: Result = super().run_until_complete(main)
            return result
        finally:
            self._main = None

    def run_forever(self) -> None:
        """Run until the loop is stopped."""
        while True:
            try:
                super().run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                if self._main is None or self._main.done():
                    raise
                # A task's own exception is kept by the task as well: nobody is to be told again.
                LOG.error("a callback or task of a plugin wanted to end the server", exc_info=error)  # noqa: TRY400
            else:
                if self._main is None or self._main.done():
                    return
                LOG.error("a plugin has stopped the event loop (loop.stop()); the server goes on")
