"""A plugin's context between startup and shutdown: its settings, the server's state, a broadcast, and its tasks."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from signalpost.events import Broadcast, History, Jobs, Present, Shared, SharedView, moderator_of, recollection_of
from signalpost.foreign import Code, Seat, original
from signalpost.units import parse_duration

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginContext(SharedView):
    """One plugin's view of the server.

    Attributes:
        plugin: the plugin's name.
        settings: the mapping under ``plugins: settings:`` for this plugin in routes.yaml; empty if there is none.
        shared: by all events of the server.
        own: what the plugin stores for its handlers and its `shutdown`, by names of its choice. It is this instance's:
            a plugin that has changed has two instances for a while.
        broadcast: see `signalpost.events.Broadcast`; without a target it goes to everyone.
    """

    plugin: str
    settings: Mapping[str, Any] = field(repr=False)
    shared: Shared
    broadcast: Broadcast
    own: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set, repr=False, compare=False)
    _spawned: set[asyncio.Task[Any]] = field(default_factory=set, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The app's folder, which contains routes.yaml; absolute."""
        return self.shared.services.folder

    @property
    def jobs(self) -> Jobs:
        """The timers and schedules of the server: `run`, `pause`, `resume`, `status` by name, and all `names`.

        Raises:
            RuntimeError: none run here (`signalpost try`).
        """
        jobs = self.shared.services.jobs
        if jobs is None:
            raise RuntimeError("there are no jobs here: they run while a server does")
        return jobs

    def history(self, path: str, *, since: str | None = None, limit: int = 100) -> History:
        """Return kept values of a path; see `signalpost.events.PluginView.history`."""
        return recollection_of(self.shared).history(path, since, limit)

    def presence(self, path: str) -> Sequence[Present]:
        """Return who is on a path; see `signalpost.events.PluginView.presence`."""
        return recollection_of(self.shared).present(path)

    def kick(
        self,
        *,
        user: str | None = None,
        client_id: str | None = None,
        path: str | None = None,
        group: str | None = None,
        code: int = 4009,
        reason: str = "",
    ) -> int:
        """Close the connections of clients that match all that is given, and return how many.

        Their sessions end. They may connect again; clients of signalpost do not by themselves.

        Args:
            user: of this name.
            client_id: with this id.
            path: connected on this path.
            group: of this group.
            code: of the close frame (RFC 6455 section 7.4); 4009 is "kicked".
            reason: for people; cut to 123 bytes.

        Raises:
            TypeError: nothing is given, or a name is no text.
            ValueError: a name is empty, or the code must not be sent.
        """
        moderator = moderator_of(self.shared)
        return moderator.kick(
            by=self._who, user=user, client_id=client_id, path=path, group=group, code=code, reason=reason
        )

    def ban(self, user: str, duration: str | float = "1d", reason: str = "") -> int:
        """Let nobody of this name in for a while, whatever its token; close its connections, and return how many.

        A second ban never shortens the first.

        Args:
            user: its name.
            duration: ``"1h"``, or seconds.
            reason: for people; cut to 123 bytes.

        Raises:
            TypeError: the name is no text.
            ValueError: the name is empty or longer than 1,024 characters, or the duration is none.
            RevocationsFullError: there are 100,000 bans and revocations.
        """
        return moderator_of(self.shared).ban(user, parse_duration(duration), reason, by=self._who)

    def unban(self, user: str) -> bool:
        """End a ban; return whether there was one."""
        return moderator_of(self.shared).unban(user, by=self._who)

    def revoke(
        self,
        *,
        user: str | None = None,
        token_id: str | None = None,
        before: datetime | None = None,
        duration: str | float = "1d",
    ) -> int:
        """Refuse tokens from now on; close the connections that were made with them, and return how many.

        Args:
            user: whose tokens; those that do not say when they were issued are among them.
            token_id: of the one token (``jti``); either this or a user is given.
            before: only tokens of the user that were issued before this moment; aware. By default, now.
            duration: ``"1d"``, or seconds: at least as long as such tokens are good.

        Raises:
            TypeError: neither a user nor a token is given, or both.
            ValueError: a name is empty or longer than 1,024 characters, or the duration is none, or `before` is naive.
            RevocationsFullError: there are 100,000 bans and revocations.
        """
        if before is not None and before.tzinfo is None:
            raise ValueError("before= is an aware datetime: datetime.now(UTC)")
        return moderator_of(self.shared).revoke(
            by=self._who,
            user=user,
            token_id=token_id,
            before=None if before is None else before.timestamp(),
            seconds=parse_duration(duration),
        )

    def unrevoke(self, *, user: str | None = None, token_id: str | None = None) -> bool:
        """End a revocation; return whether there was one."""
        return moderator_of(self.shared).unrevoke(by=self._who, user=user, token_id=token_id)

    @property
    def _who(self) -> str:
        return f"plugin {self.plugin}"

    def create_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run a coroutine in the background until it ends or the server stops.

        A reference to the task is stored (asyncio itself would allow its garbage collection); what it raises is logged
        with the plugin's name; after the plugin's `shutdown` it is cancelled.

        Args:
            coroutine: to run.
            name: for the log; by default the coroutine's own name.
        """
        called = name or getattr(coroutine, "__qualname__", None)
        seat = Seat()
        seat.context = self
        code = Code(f"task {called}", self.plugin, "create_task", seat)
        task = asyncio.get_running_loop().create_task(code.wait(coroutine), name=called)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run a coroutine that ends by itself: a stop waits for it before `shutdown`; see `create_task`.

        Args:
            coroutine: to run.
            name: for the log; by default the coroutine's own name.
        """
        task = self.create_task(coroutine, name=name)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    async def finish_spawned(self, patience: float) -> None:
        """Wait for spawned tasks, and cancel those that are not done in time; called by the server."""
        if not self._spawned:
            return
        _, late = await asyncio.wait(tuple(self._spawned), timeout=patience)
        for task in late:
            LOG.warning("plugin %s: the task %s was cancelled, since it was not over", self.plugin, task.get_name())
            task.cancel()

    def failed(self, code: Code, error: BaseException, args: Sequence[Any]) -> None:
        """Call the hooks `on_error` of all plugins: this plugin's code has raised an exception; called by the server.

        Args:
            code: that raised it.
            error: as it was raised.
            args: of its call.
        """
        tell = self.shared.services.tell_error
        if tell is not None:
            tell(code, error, args)

    async def cancel_tasks(self, patience: float) -> None:
        """Cancel what still runs and wait for it; called by the server.

        Args:
            patience: seconds to wait for tasks that ignore their cancellation.
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
