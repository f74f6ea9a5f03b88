"""The event loop of ``signalpost run``: uvloop's, which no callback of a plugin can end.

A loop ends if a callback, or a task unknown to the server, raises `SystemExit` or `KeyboardInterrupt`, or calls its
`stop`. While the server runs neither is meant for it: Ctrl-C and SIGTERM do not raise exceptions
(`signalpost.cli.processsignals.ProcessSignals`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar, cast

import uvloop

from signalpost.foreign import unseen

LOG = logging.getLogger(__name__)


Result = TypeVar("Result")

_GRACE = 1.0  # seconds in which cancelled tasks must end


class ServerLoop(uvloop.Loop):
    """Continues until its main task is done."""

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
                # The task keeps its own exception as well: it need not be reported again.
                LOG.error("a callback or task of a plugin wanted to end the server", exc_info=error)  # noqa: TRY400
            else:
                if self._main is None or self._main.done():
                    return
                LOG.error("a plugin has stopped the event loop (loop.stop()); the server goes on")


async def with_an_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Await a coroutine, and end the remaining tasks.

    `asyncio.Runner` waits for them without a limit, so forever for one that ignores its cancellation.
    """
    try:
        return await coroutine
    finally:
        await _end_tasks()


async def _end_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    stuck = (await asyncio.wait(left, timeout=_GRACE))[1] if left else ()
    for task in stuck:
        LOG.warning("the task %s ignores that it is cancelled, and is left behind", task.get_name())
        unseen(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it has just been said
