"""A client's arrival that has to wait: for hooks of plugins, or for its signal's list of actions `connected`.

    101, welcome -> held -> hooks -> connected -> admitted, read from
                      |       |          |
                      +-------+----------+------> refused or gone: it never was in an audience

Meanwhile the client is in no audience, and nothing is read from it. It receives what is sent to it alone and what its
own list broadcasts. No other client waits for it, and it uses no slot of `limits.handlers`.
"""

import asyncio
import logging
from collections.abc import Collection
from contextvars import Context
from datetime import UTC, datetime
from typing import Protocol

from signalpost.delivery.client import Client
from signalpost.errors import StepFailedError
from signalpost.events import ClientEvent
from signalpost.foreign import is_the_task_s, overran_in
from signalpost.logsubject import about
from signalpost.signals.inbox import ClientArrival
from signalpost.signals.rule import SignalRule
from signalpost.signals.work import Work
from signalpost.websocket.frames import CloseCode

logger = logging.getLogger("signalpost.signals")

_HOOKS = "client_connected of a plugin"
TOO_LATE = "the server could not let this client in in time"


class Arriving(Protocol):
    """The conversation of the client that arrives: a `signalpost.signals.conversation.Conversation`."""

    client: Client
    rule: SignalRule

    def context(self) -> Context:
        """Return the client's own context."""

    def client_event(self, what: ClientArrival, timestamp: datetime, rule: SignalRule) -> ClientEvent:
        """Make the event of a list of actions about the client itself."""

    def step_failed(self, error: StepFailedError) -> None:
        """Log that a step failed."""

    def arrived(self, arrival: "Arrival") -> None:
        """Continue after the arrival."""


class Arrival:
    """Runs what a client waits for before it is admitted, by the rule under which it connected.

    Args:
        conversation: of the client.
        hooks: of plugins, already running.

    Attributes:
        begun: whether the rule's list was started; hooks may have rejected the client before.
        left: how the connection ended, if it has.
        under_way: whether the arrival is not finished yet.
    """

    __slots__ = ("_conversation", "_hooks", "_rule", "begun", "left", "under_way")

    def __init__(self, conversation: Arriving, hooks: Collection[asyncio.Task[None]] = ()) -> None:
        self._conversation = conversation
        self._rule = conversation.rule
        self._hooks = hooks
        self.begun = False
        self.left: int | None = None
        self.under_way = False

    def begin(self, work: Work, running: dict[asyncio.Task[None], Client], patience: float) -> None:
        """Start the hooks and the list.

        Args:
            work: counts it as under way.
            running: receives its task.
            patience: seconds that it may take; after them the client is closed with 1011.
        """
        conversation, loop = self._conversation, asyncio.get_running_loop()
        work.begin()
        self.under_way = True
        name = _HOOKS if self._hooks else self._own_list
        task = loop.create_task(self._run(), name=name, context=conversation.context())
        running[task] = conversation.client
        timer = loop.call_later(patience, self._expire, task, patience)

        def over(task: asyncio.Task[None]) -> None:
            timer.cancel()
            running.pop(task)
            work.end()

        task.add_done_callback(over)

    @property
    def _own_list(self) -> str:
        return f"connected ({self._rule.owner})"

    async def _run(self) -> None:
        conversation, rule = self._conversation, self._rule
        try:
            await self._do(conversation.client)
        except StepFailedError as error:
            conversation.step_failed(error)
        except BaseException as error:  # SystemExit, too: it would end the event loop
            client = conversation.client
            if is_the_task_s(error):
                client.close(CloseCode.SERVER_ERROR, TOO_LATE)
                raise
            logger.exception(
                "connected (%s) failed on %s for client %s",
                rule.owner,
                client.path,
                client.named,
                extra=about(client),
            )
        finally:
            for hook in self._hooks:
                hook.cancel()
            self._hooks = ()
            self.under_way = False
            conversation.arrived(self)

    async def _do(self, client: Client) -> None:
        if self._hooks:
            await asyncio.wait(self._hooks)
        if client.closing and not client.heeded:
            return
        self.begun = True
        task = asyncio.current_task()
        if task is not None:
            task.set_name(self._own_list)
        program = self._rule.connected
        if program is not None:
            await program.run_async(
                self._conversation.client_event(ClientArrival(program), datetime.now(UTC), self._rule)
            )

    def _expire(self, task: asyncio.Task[None], patience: float) -> None:
        """Reject the client first: a plugin may do anything when it is cancelled."""
        client, late = self._conversation.client, [hook for hook in self._hooks if not hook.done()]
        logger.warning(
            "client %s on %s was closed: %s took longer than limits.handshake (%g s)",
            client.named,
            client.path,
            self._own_list if self.begun else ", ".join(sorted(hook.get_name() for hook in late)),
            patience,
            extra=about(client),
        )
        client.close(CloseCode.SERVER_ERROR, TOO_LATE)
        for waiting in (task, *late):
            waiting.add_done_callback(
                lambda over: overran_in(over, f"took longer than limits.handshake ({patience:g} s)")
            )
        task.cancel()
