"""The plugins of one plan while the server runs: their contexts, and the hooks of its life and its clients."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any

from signalpost.delivery.client import Client
from signalpost.errors import PluginError
from signalpost.plugins.context import PluginContext
from signalpost.plugins.registry import Implementation, Registry, log_failure, run
from signalpost.signals.arrival import is_the_task_s
from signalpost.signals.event import Broadcast, Shared

PATIENCE = 5.0
"""Seconds that hooks and tasks get at shutdown."""


class RunningPlugins:
    """Calls hooks; whatever they raise is logged and stops nobody.

    Attributes:
        registry: what is running.
        contexts: by plugin name.

    """

    def __init__(
        self, registry: Registry, settings: Mapping[str, Mapping[str, Any]], shared: Shared, broadcast: Broadcast
    ) -> None:
        self.registry = registry
        self.contexts = {
            plugin.name: PluginContext(plugin.name, settings.get(plugin.name, {}), shared, broadcast)
            for plugin in registry.plugins
        }
        self._connected = tuple(registry.implementations.get("client_connected", ()))
        self._disconnected = tuple(registry.implementations.get("client_disconnected", ()))
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}  # by plugin and client, what came last
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = {plugin.name for plugin in registry.plugins}  # those that know of no start

    async def start(self, *, strict: bool = False) -> None:
        """Call `startup` of every plugin, one after the other.

        Args:
            strict: whether a failure ends it, rather than being logged alone.

        Raises:
            PluginError: a plugin could not start; only when `strict`.

        """
        implementations = self.registry.implementations.get("startup", ())
        self._waiting = {implementation.plugin for implementation in implementations}
        for implementation in implementations:
            self._waiting.discard(implementation.plugin)
            error = await run(implementation, {"context": self.contexts[implementation.plugin]})
            if strict and error is not None:
                text = f"its startup failed: {type(error).__name__}: {error}".rstrip(": ")
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
            outcome = home.run(implementation, arguments)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, and no client passes it by that
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
            await outcome
        except BaseException as error:  # SystemExit, too, which would end the loop
            if is_the_task_s(error):
                raise
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
