"""What a plugin holds between startup and shutdown: its settings, the server's state, a broadcast, and its tasks."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from signalpost.foreign import Code, original
from signalpost.signals.event import Broadcast, Shared, SharedView

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginContext(SharedView):
    """One plugin's view of the server.

    Attributes:
        plugin: the plugin's name.
        settings: what routes.yaml says under ``plugins: settings:`` for this plugin; empty if nothing.
        shared: what all events of the server share.
        own: what the plugin keeps for its handlers and its `shutdown`, by names of its choice. It is this instance's:
            of a plugin that has changed, two are there for a while.
        broadcast: see `signalpost.signals.event.Broadcast`; without a target it goes to everyone.

    """

    plugin: str
    settings: Mapping[str, Any] = field(repr=False)
    shared: Shared
    broadcast: Broadcast
    own: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set, repr=False, compare=False)

    def create_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run a coroutine in the background until it ends or the server stops.

        The task is kept (asyncio itself would let it be collected); what it raises is logged with the plugin's name;
        after the plugin's `shutdown` it is cancelled.

        Args:
            coroutine: what to run.
            name: for the log; the coroutine's own name when nothing is said.

        """
        called = name or getattr(coroutine, "__qualname__", None)
        code = Code(f"task {called}", self.plugin, "create_task")
        task = asyncio.get_running_loop().create_task(code.wait(coroutine), name=called)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel_tasks(self, patience: float) -> None:
        """Cancel what still runs and wait for it; called by the server.

        Args:
            patience: seconds to wait for tasks that do not let themselves be cancelled.

        """
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        if not running:
            return
        _, stuck = await asyncio.wait(running, timeout=patience)
        for task in stuck:
            LOG.warning("plugin %s: the task %s does not end when it is cancelled", self.plugin, task.get_name())

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("plugin %s: the task %s failed", self.plugin, task.get_name(), exc_info=original(error))
