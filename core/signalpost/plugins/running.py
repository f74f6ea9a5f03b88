"""The plugins of one plan while the server runs: their contexts, and their hooks for startup, shutdown and clients."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any

from signalpost.config.model import LimitsConfig
from signalpost.delivery.client import Client
from signalpost.errors import PluginError, UnauthorizedError
from signalpost.events import (
    Broadcast,
    Callee,
    FeedEvent,
    HandshakeRequest,
    PluginView,
    RouteEvent,
    Shared,
    SignalEvent,
    TickEvent,
)
from signalpost.foreign import Code, named
from signalpost.handlers import HandlerKind
from signalpost.plugins.context import PluginContext
from signalpost.plugins.registry import Implementation, Registry, log_failure, run
from signalpost.plugins.returns import untold
from signalpost.signals.messagefilters import Veto

PATIENCE = 5.0
"""Seconds for hooks and tasks at shutdown."""


LIMIT = LimitsConfig().startup
"""Seconds that a `startup` may take."""

NOTICE = 2.0
"""Seconds after which a slow `startup` is logged."""

_CANCEL_GRACE = 1.0  # seconds in which a cancelled `startup` may clean up

LOG = logging.getLogger(__name__)

ON_ERROR = "on_error"

_EVENTS: Mapping[HandlerKind, type] = {
    HandlerKind.SIGNAL: SignalEvent,
    HandlerKind.ROUTE: RouteEvent,
    HandlerKind.TIMER: TickEvent,
    HandlerKind.SCHEDULE: TickEvent,
    HandlerKind.FEED: FeedEvent,
}

_SERVER_ERROR = 500


class RunningPlugins:
    """Calls hooks; their exceptions are logged, and stop nothing else.

    Attributes:
        registry: of the running plugins.
        contexts: by plugin name.
        kept: the plugins whose instances continue from the plan before.
        base: the context in which `startup` runs; clients' code sees the variables that it sets.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Mapping[str, Mapping[str, Any]],
        shared: Shared,
        broadcast: Broadcast,
        before: "RunningPlugins | None" = None,
    ) -> None:
        self.registry = registry
        self._shared = shared
        self.base: Context = copy_context() if before is None else before.base.copy()
        self._before = before
        self.kept = frozenset() if before is None else frozenset(before.serving(registry, settings))
        self.contexts: dict[str, PluginContext] = {
            plugin.name: before.contexts[plugin.name]
            if before is not None and plugin.name in self.kept
            else PluginContext(plugin.name, settings.get(plugin.name, {}), shared, broadcast)
            for plugin in registry.plugins
        }
        self._seats = {plugin.name: plugin.seat for plugin in registry.plugins}
        self._settled: set[str] = set()  # plugins that were shut down, or that continue for another plan
        self._replacing = () if before is None else tuple(before.in_the_way_of(registry, self.kept))
        self._replaced: list[str] = []
        self._connected = tuple(registry.implementations.get("client_connected", ()))
        self._disconnected = tuple(registry.implementations.get("client_disconnected", ()))
        # By plugin and client: the latest task.
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {} if before is None else before._last  # noqa: SLF001
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = set(self.contexts) - self.kept  # plugins whose start has not begun

    async def start(self, limit: float = LIMIT) -> None:
        """Call `startup` of every plugin that does not serve already, one after the other.

        Plugins that cannot run beside their previous instance come last: that instance is shut down first.

        Args:
            limit: seconds that each may take.

        Raises:
            PluginError: a plugin could not start, or not in time. Later ones have not been called.
        """
        if self._before is None:
            self._serve()
        hooks = [each for each in self.registry.implementations.get("startup", ()) if each.plugin not in self.kept]
        self._waiting = {implementation.plugin for implementation in hooks} | set(self._replacing)
        for implementation in hooks:
            if implementation.plugin not in self._replacing:
                self._waiting.discard(implementation.plugin)
                await self._start(implementation, limit)
        for name in self._replacing:
            await self._replace(name, [each for each in hooks if each.plugin == name], limit)

    @property
    def is_replacing(self) -> bool:
        """Whether `start` shuts an instance down before its successor starts."""
        return bool(self._replacing)

    async def _replace(self, name: str, hooks: Sequence[Implementation], limit: float) -> None:
        """Shut the previous instance down, and then start its successor."""
        if self._before is not None:
            self._replaced.append(name)
            await self._before.shut_down(name, PATIENCE)
        self._waiting.discard(name)
        for implementation in hooks:
            await self._start(implementation, limit)

    def serving(self, registry: Registry, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        """Yield the plugins whose instance continues for another plan: those with the same code and settings."""
        for plugin in registry.plugins:
            context = self.contexts.get(plugin.name)
            same = context is not None and context.settings == settings.get(plugin.name, {})
            if same and self._seats[plugin.name] is plugin.seat:
                yield plugin.name

    def in_the_way_of(self, registry: Registry, kept: Collection[str]) -> Iterator[str]:
        """Yield the plugins that must be shut down before their successors start.

        These are the ones with the hook `exclusive`, and those that share the module with their successor, since only
        their settings have changed.
        """
        exclusive = {plugin.name for plugin in self.registry.plugins if plugin.exclusive}
        for plugin in registry.plugins:
            if plugin.name in kept or plugin.name not in self.contexts:
                continue
            if plugin.exclusive or plugin.name in exclusive or self._seats[plugin.name] is plugin.seat:
                yield plugin.name

    def take_over(self) -> None:
        """Serve from now on, and release the previous plugins whose instances continue."""
        for name, seat in self._seats.items():
            seat.context = self.contexts[name]
        self._serve()
        if self._before is not None:
            self._before.hand_over(self.kept)
        self._before = None

    def hand_over(self, kept: Collection[str]) -> None:
        """Leave instances to the plugins of another plan: they are not shut down with these."""
        self._settled.update(kept)

    async def give_up(self, limit: float = LIMIT) -> None:
        """Shut down what was started, and restart what was shut down for that."""
        self.hand_over(self.kept)
        await self.stop()
        if self._before is not None:
            for name in self._replaced:
                await self._before.start_again(name, limit)

    async def start_again(self, name: str, limit: float) -> None:
        """Restart an instance that was shut down for a successor that could not start."""
        self._settled.discard(name)
        self._seats[name].context = self.contexts[name]
        for implementation in self.registry.implementations.get("startup", ()):
            if implementation.plugin == name:
                try:
                    await self._start(implementation, limit)
                except PluginError as error:
                    LOG.error("%s; it was to go on, since its successor could not start", error)  # noqa: TRY400

    async def _start(self, implementation: Implementation, limit: float) -> None:
        """Call one `startup`, in a task: one that ignores its cancellation is abandoned."""
        context = self.contexts[implementation.plugin]
        self._seats[implementation.plugin].context = context
        loop, arguments = asyncio.get_running_loop(), {"context": context}
        task = loop.create_task(run(implementation, arguments), name=str(implementation.code), context=self.base)
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
            implementation.code.overran(f"took longer than limits.startup ({limit:g} s)", implementation, arguments)
            text = f"its startup was not over after {limit:g} s (limits.startup), and was cancelled"
            raise PluginError(implementation.plugin, implementation.where, text)
        if (error := task.result()) is not None:
            text = f"its startup failed: {named(error)}"
            raise PluginError(implementation.plugin, implementation.where, text) from error

    async def finish_spawned(self, patience: float) -> None:
        """Wait for what events have spawned, except in plugins that continue."""
        left = [context for name, context in self.contexts.items() if name not in self._settled]
        await asyncio.gather(*(context.finish_spawned(patience) for context in left))

    async def stop(self, patience: float = PATIENCE) -> None:
        """Wait for hooks about clients, call `shutdown` in reverse order, then cancel the plugins' tasks.

        A plugin whose start has not begun is not shut down.

        Args:
            patience: seconds for each of the three steps; what takes longer is cancelled.
        """
        await self._settle(patience)
        hooks = self.registry.implementations.get("shutdown", ())
        for implementation in reversed(hooks):
            if implementation.plugin not in self._waiting | self._settled:
                await self._shut_down(implementation, patience)
        left = [context for name, context in self.contexts.items() if name not in self._settled]
        await asyncio.gather(*(context.cancel_tasks(patience) for context in left))

    async def shut_down(self, name: str, patience: float) -> None:
        """Shut one plugin down, and cancel its tasks."""
        self._settled.add(name)
        await self.contexts[name].finish_spawned(patience)
        for implementation in self.registry.implementations.get("shutdown", ()):
            if implementation.plugin == name:
                await self._shut_down(implementation, patience)
        await self.contexts[name].cancel_tasks(patience)

    async def _shut_down(self, implementation: Implementation, patience: float) -> None:
        """Call one `shutdown`, in a task: one that ignores its cancellation is abandoned."""
        arguments = {"context": self.contexts[implementation.plugin]}
        loop, name = asyncio.get_running_loop(), str(implementation.code)
        task = loop.create_task(run(implementation, arguments), name=name, context=self.base)
        try:
            await asyncio.wait((task,), timeout=patience)
        finally:
            in_time = task.done()
            if not in_time:
                task.cancel()
        if in_time:
            return
        await asyncio.wait((task,), timeout=_CANCEL_GRACE)
        text = f"took longer than {patience:g} s"
        implementation.code.overran(text, implementation, arguments)
        log_failure(implementation, TimeoutError(text))

    def _serve(self) -> None:
        """Use these handlers for calls between plugins, and these hooks for errors."""
        services = self._shared.services
        services.handlers.clear()
        services.handlers.update(self._callees())
        services.tell_error = self._tell_error if self.registry.implementations.get(ON_ERROR) else None

    def _callees(self) -> Iterator[tuple[str, Callee]]:
        """Yield the handlers in the form in which plugins call those of others."""
        for name, handler in self.registry.handlers.items():
            yield name, Callee(untold(handler.function), _EVENTS[handler.kind], handler.code)

    def _tell_error(self, code: Code, error: BaseException, args: Sequence[Any]) -> None:
        """Call `on_error` of all plugins; an exception of the hook itself is only logged."""
        if code.what == f"hook {ON_ERROR}" or _is_an_answer(error):
            return
        first = args[0] if args else None
        event = first if isinstance(first, PluginView) else None
        told = next((each for each in args if isinstance(each, Mapping)), {})
        arguments = {
            "error": error,
            "what": str(code),
            "plugin": code.plugin,
            "event": event,
            "client": told.get("client", getattr(event, "client", None)),
        }
        for implementation in self.registry.implementations.get(ON_ERROR, ()):
            try:
                outcome = implementation.code.call(implementation, arguments)
            except Exception as failure:  # noqa: BLE001 - a plugin may raise anything
                log_failure(implementation, failure)
                continue
            if inspect.isawaitable(outcome):
                task = asyncio.get_running_loop().create_task(self._finish(implementation, outcome, arguments))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def client_connected(
        self, client: Client, context: Callable[[], Context] = copy_context, request: HandshakeRequest | None = None
    ) -> Sequence[asyncio.Task[None]]:
        """Call the hooks for a new client. Plain functions have run when this returns.

        Args:
            client: that has connected.
            context: returns the client's own, in which its hooks run.
            request: its handshake.

        Returns:
            The hooks that wait.
        """
        if not self._connected:
            return ()
        home = context()
        arguments = {"client": client, "request": request}
        tasks = [self._notify(each, client, arguments, home) for each in self._connected]
        return [task for task in tasks if task is not None]

    def client_disconnected(self, client: Client, code: int, context: Callable[[], Context] = copy_context) -> None:
        """Call the hooks for a client that has disconnected; see `client_connected`."""
        if self._disconnected:
            home = context()
            for each in self._disconnected:
                self._notify(each, client, {"client": client, "code": code}, home)

    def _notify(
        self, implementation: Implementation, client: Client, arguments: Mapping[str, Any], home: Context
    ) -> asyncio.Task[None] | None:
        """Call a hook about a client; an async one waits for the plugin's earlier hook for the same client.

        Returns:
            The task of a hook that waits.
        """
        place = (implementation.plugin, client.id)
        before = self._last.get(place)
        if before is not None:
            return self._follow(place, self._after(before, implementation, arguments), home, str(implementation.code))
        try:
            # All callbacks of transports share one context (uvloop).
            outcome = home.run(implementation.code.call, implementation, arguments)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_failure(implementation, error)
            return None
        if inspect.isawaitable(outcome):
            return self._follow(place, self._finish(implementation, outcome, arguments), home, str(implementation.code))
        return None

    def _follow(
        self, place: tuple[str, str], coroutine: Coroutine[Any, Any, None], home: Context, name: str
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name, context=home)
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

    async def _finish(
        self, implementation: Implementation, outcome: Awaitable[Any], arguments: Mapping[str, Any]
    ) -> None:
        try:
            await implementation.code.wait(outcome, implementation, arguments)
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


def _is_an_answer(error: BaseException) -> bool:
    """Return whether an exception is a response: a filter's, or that of a route's handler, such as Sanic's NotFound."""
    if isinstance(error, Veto | UnauthorizedError):
        return True
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and status < _SERVER_ERROR


def _tell_slow(implementation: Implementation, limit: float) -> None:
    LOG.warning(
        "plugin %s: its startup (%s) is not over after %g s; it is waited for, %g s at most (limits.startup)",
        implementation.plugin,
        implementation.where,
        NOTICE,
        limit,
    )
