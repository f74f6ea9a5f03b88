"""The plugins of one plan while the server runs: their contexts, and the hooks of its life and its clients."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any

from signalpost.config.model import LimitsConfig
from signalpost.delivery.client import Client
from signalpost.errors import PluginError
from signalpost.foreign import named
from signalpost.plugins.context import PluginContext
from signalpost.plugins.registry import Implementation, Registry, log_failure, run
from signalpost.signals.event import Broadcast, Shared

PATIENCE = 5.0
"""Seconds that hooks and tasks get at shutdown."""


LIMIT = LimitsConfig().startup
"""Seconds that a `startup` may take."""

NOTICE = 2.0
"""Seconds after which the log says that a `startup` is waited for."""

_CANCEL_GRACE = 1.0  # seconds that a cancelled `startup` gets to clean up

LOG = logging.getLogger(__name__)


class RunningPlugins:
    """Calls hooks; whatever they raise is logged and stops nobody.

    Attributes:
        registry: what is running.
        contexts: by plugin name.
        base: the context in which `startup` is run: what it sets there, clients' code sees.

    """

    def __init__(
        self, registry: Registry, settings: Mapping[str, Mapping[str, Any]], shared: Shared, broadcast: Broadcast
    ) -> None:
        self.registry = registry
        self.base = copy_context()
        self.contexts = {
            plugin.name: PluginContext(plugin.name, settings.get(plugin.name, {}), shared, broadcast)
            for plugin in registry.plugins
        }
        self._connected = tuple(registry.implementations.get("client_connected", ()))
        self._disconnected = tuple(registry.implementations.get("client_disconnected", ()))
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}  # by plugin and client, what came last
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = {plugin.name for plugin in registry.plugins}  # those that know of no start

    async def start(self, limit: float = LIMIT) -> None:
        """Call `startup` of every plugin, one after the other.

        Args:
            limit: seconds that each may take.

        Raises:
            PluginError: a plugin could not start, or not in time. Those behind it have not been called.

        """
        implementations = self.registry.implementations.get("startup", ())
        self._waiting = {implementation.plugin for implementation in implementations}
        for implementation in implementations:
            self._waiting.discard(implementation.plugin)
            await self._start(implementation, limit)

    async def _start(self, implementation: Implementation, limit: float) -> None:
        """Call one `startup`, in a task: one that does not end although it is cancelled is left behind."""
        loop, arguments = asyncio.get_running_loop(), {"context": self.contexts[implementation.plugin]}
        task = loop.create_task(run(implementation, arguments), context=self.base)
        notice = loop.call_later(NOTICE, _tell_slow, implementation, limit)
        try:
            await asyncio.wait((task,), timeout=limit)
        finally:
            notice.cancel()
            in_time = task.done()
            if not in_time:
                task.cancel()
                await asyncio.wait((task,), timeout=_CANCEL_GRACE)
        if not in_time:
            text = f"its startup was not over after {limit:g} s (limits.startup), and was cancelled"
            raise PluginError(implementation.plugin, implementation.where, text)
        if (error := task.result()) is not None:
            text = f"its startup failed: {named(error)}"
            raise PluginError(implementation.plugin, implementation.where, text) from error

    async def stop(self, patience: float = PATIENCE) -> None:
        """Wait for hooks about clients, call `shutdown` in the reverse order, then cancel the plugins' tasks.

        A plugin whose start has not begun is not shut down.

        Args:
            patience: seconds for each of the three; what takes longer is cancelled.

        """
        await self._settle(patience)
        for implementation in reversed(self.registry.implementations.get("shutdown", ())):
            if implementation.plugin in self._waiting:
                continue
            try:
                async with asyncio.timeout(patience):
                    await run(implementation, {"context": self.contexts[implementation.plugin]})
            except TimeoutError as error:
                log_failure(implementation, error)
        await asyncio.gather(*(context.cancel_tasks(patience) for context in self.contexts.values()))

    def client_connected(
        self, client: Client, context: Callable[[], Context] = copy_context
    ) -> Sequence[asyncio.Task[None]]:
        """Tell plugins of a client. Plain functions have run when this returns.

        Args:
            client: has come.
            context: gives the client's own, in which its hooks are run.

        Returns:
            The hooks that wait.

        """
        if not self._connected:
            return ()
        home = context()
        tasks = [self._notify(each, client, {"client": client}, home) for each in self._connected]
        return [task for task in tasks if task is not None]

    def client_disconnected(self, client: Client, code: int, context: Callable[[], Context] = copy_context) -> None:
        """Tell plugins that a client has gone; see `client_connected`."""
        if self._disconnected:
            home = context()
            for each in self._disconnected:
                self._notify(each, client, {"client": client, "code": code}, home)

    def _notify(
        self, implementation: Implementation, client: Client, arguments: Mapping[str, Any], home: Context
    ) -> asyncio.Task[None] | None:
        """Call a hook about a client; what is async waits for what the plugin still does about the same client.

        Returns:
            The task of a hook that waits.

        """
        place = (implementation.plugin, client.id)
        before = self._last.get(place)
        if before is not None:
            return self._follow(place, self._after(before, implementation, arguments), home)
        try:
            # A transport's callbacks share one context with those of all others (uvloop).
            outcome = home.run(implementation.code.call, implementation, arguments)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_failure(implementation, error)
            return None
        if inspect.isawaitable(outcome):
            return self._follow(place, self._finish(implementation, outcome), home)
        return None

    def _follow(
        self, place: tuple[str, str], coroutine: Coroutine[Any, Any, None], home: Context
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, context=home)
        self._last[place] = task
        self._tasks.add(task)

        def forget(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if self._last.get(place) is done:
                del self._last[place]

        task.add_done_callback(forget)
        return task

    async def _after(
        self, before: asyncio.Task[None], implementation: Implementation, arguments: Mapping[str, Any]
    ) -> None:
        await asyncio.wait((before,))
        await run(implementation, arguments)

    async def _finish(self, implementation: Implementation, outcome: Awaitable[Any]) -> None:
        try:
            await implementation.code.wait(outcome)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_failure(implementation, error)

    async def _settle(self, patience: float) -> None:
        """Wait for hooks about clients; cancel those that take too long."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(tuple(self._tasks), timeout=patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=patience)


def _tell_slow(implementation: Implementation, limit: float) -> None:
    LOG.warning(
        "plugin %s: its startup (%s) is not over after %g s; it is waited for, %g s at most (limits.startup)",
        implementation.plugin,
        implementation.where,
        NOTICE,
        limit,
    )
