"""The entries of an inbox at work: a message's handler or list, within its time, and its answer."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from datetime import datetime
from time import perf_counter
from typing import Any, Protocol

from signalpost.delivery.client import Client
from signalpost.delivery.publication import check_size
from signalpost.delivery.target import Receipt, Target
from signalpost.errors import ClientError, StepFailedError, UnavailableError
from signalpost.events import ClientEvent, SignalEvent
from signalpost.foreign import is_the_task_s, original, overran
from signalpost.logsubject import about
from signalpost.signals.answers import Answer, Ref
from signalpost.signals.counts import SignalCounts
from signalpost.signals.host import Host
from signalpost.signals.inbox import FAILED, ClientArrival, ClientDeparture, Entry, Source
from signalpost.signals.message import ClientMessage
from signalpost.signals.messagefilters import Veto
from signalpost.signals.overdue import Deadline, Handling
from signalpost.signals.rule import Call, Do, SignalRule
from signalpost.signals.sequenced import UNAVAILABLE

logger = logging.getLogger("signalpost.signals")

_CANCELLED = object()
"""In place of the result of a handler that was cancelled, since its client has gone."""


class Handled(Protocol):
    """Whose entries these are: a `signalpost.signals.conversation.Conversation`."""

    client: Client
    counts: SignalCounts

    @property
    def source(self) -> Source:
        """The client's connection."""

    def client_event(self, what: ClientArrival | ClientDeparture, timestamp: datetime, rule: SignalRule) -> ClientEvent:
        """Make the event of a list of actions about the client itself."""

    def message_event(self, message: ClientMessage, timestamp: datetime, rule: SignalRule) -> SignalEvent:
        """Make the event of a message."""

    def step_failed(self, error: StepFailedError) -> None:
        """Log that a step failed."""

    def failed(self, message: ClientMessage) -> None:
        """Tell the sender that its message could not be handled."""

    def refuse(self, error: ClientError, ref: Ref | None, answer: Answer | None = None) -> None:
        """Tell the sender that its message was refused, and why."""


class Entries:
    """Handles the entries of one client's inbox.

    Args:
        conversation: of the client.
        host: its surroundings.
    """

    __slots__ = ("_cancellable", "_conversation", "_deadline", "_host")

    def __init__(self, conversation: Handled, host: Host) -> None:
        self._conversation = conversation
        self._host = host
        self._cancellable: set[asyncio.Task[None]] | None = None  # running in a handler with cancel_when_gone
        self._deadline: Deadline | None = None  # once the client is gone

    def hurry(self) -> None:
        """Cancel what is handled for a disconnected client after it has been gone for too long."""
        if self._deadline is None:
            self._deadline = self._host.overdue.leave(self._conversation.client.id)

    def cancel(self) -> None:
        """Cancel the handlers that want it: the client has gone."""
        cancelled, self._cancellable = self._cancellable, None
        for task in cancelled or ():
            task.cancel()

    async def handle(self, entry: Entry) -> None:
        """Handle a message, an arrival or a departure; raise only when cancelled."""
        message, _, rule, work, _ = entry
        if isinstance(message, ClientMessage) and self._is_void:
            _drop(message)
            work.end()
            return
        conversation, overdue = self._conversation, self._host.overdue
        scope = asyncio.timeout(rule.config.timeout if isinstance(message, ClientMessage) else None)
        handling = overdue.begin(scope, conversation.client, rule)
        begun = perf_counter() if conversation.counts.on else None
        try:
            async with scope:
                is_told = await self._handle_in_time(entry)
            if scope.expired() and not is_told:  # the handler caught its cancellation and ran to its end
                self._overran(handling, message, None)
        except TimeoutError as error:
            self._overran(handling, message, error)
        finally:
            overdue.end(handling)
            if isinstance(message, ClientMessage):
                if begun is not None:
                    self._note_time(message, perf_counter() - begun)
                _drop(message)
            work.end()

    @property
    def _is_void(self) -> bool:
        """Whether nothing more is handled of what the client has sent: it may not, or it has been gone for too long."""
        client = self._conversation.client
        if self._deadline is None:
            return client.refused
        return self._deadline.is_over or self._host.moderation.refusal(client.identity) is not None

    def _note_time(self, message: ClientMessage, seconds: float) -> None:
        """Note how long a message was handled."""
        client, counts = self._conversation.client, self._conversation.counts
        counts.handled(seconds)
        if (watch := counts.watch) is not None and (way := watch.way_of(client, message)) is not None:
            way.seconds = seconds

    def _overran(
        self, handling: Handling, message: ClientMessage | ClientArrival | ClientDeparture, error: TimeoutError | None
    ) -> None:
        """Report to the log, the hooks `on_error` and the sender that the time for a message was over."""
        rule, text = handling.rule, "was cancelled, since its client had gone"
        if not handling.is_told:
            text = f"took longer than {rule.config.timeout or 0.0:g} s"
            logger.warning("%s %s and was cancelled", handling, text, extra=about(handling.client))
        if error is not None:
            overran(error, text)
        elif rule.code is not None:
            rule.code.overran(text)
        if isinstance(message, ClientMessage):
            self._conversation.failed(message)

    async def _handle_in_time(self, entry: Entry) -> bool:
        """Handle an entry; return whether it failed and the failure was reported."""
        message, _, rule, _, _ = entry
        conversation, client = self._conversation, self._conversation.client
        try:
            await self._run(entry)
        except StepFailedError as failed:
            conversation.step_failed(failed)
        except UnavailableError as unavailable:
            logger.error(  # noqa: TRY400 - nothing of it is the plugin's
                "%s failed on %s for client %s: %s", rule.work, client.path, client.id, unavailable, extra=about(client)
            )
            if isinstance(message, ClientMessage):
                conversation.refuse(UNAVAILABLE, message.ref, message.answer)
            return True
        except BaseException as error:  # SystemExit, too: it would end the event loop
            if is_the_task_s(error):
                raise
            logger.error(  # noqa: TRY400 - of what the plugin really raised
                "%s failed on %s for client %s",
                rule.work,
                client.path,
                client.id,
                exc_info=original(error),
                extra=about(client),
            )
        else:
            return False
        if isinstance(message, ClientMessage):
            conversation.failed(message)
        return True

    async def _run(self, entry: Entry) -> None:
        """Run the list or the handler of an entry, and answer its message."""
        message, timestamp, rule, _, _ = entry
        conversation, charge = self._conversation, self._conversation.source.charge
        result: Any = None
        if not isinstance(message, ClientMessage):
            event = conversation.client_event(message, timestamp, rule)
            await message.program.run_async(event, charge=charge)
            return
        if isinstance(rule.reaction, Do):
            await rule.reaction.program.run_async(conversation.message_event(message, timestamp, rule), charge=charge)
        elif isinstance(rule.reaction, Call):
            handler = rule.reaction.handler
            handling = rule.reaction.code.run(handler.function, conversation.message_event(message, timestamp, rule))
            result = await (self._run_cancellable(handling) if handler.cancel_when_gone else handling)
        if message.answer is not None and result is not _CANCELLED:
            self._conclude(message.answer, result)

    async def _run_cancellable(self, handling: Awaitable[Any]) -> Any:
        """Await a handler that is cancelled when the client disconnects, without ending the task in which it runs."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine is run by one
        cancellable = self._cancellable = self._cancellable or set()
        cancellable.add(task)
        try:
            return await handling
        except asyncio.CancelledError:
            if self._cancellable is cancellable or not task.cancelling() or task.uncancel():
                raise  # the cancellation is not for the client's handler, or not for it alone
            return _CANCELLED
        finally:
            cancellable.discard(task)

    def _conclude(self, answer: Answer, result: Any) -> None:
        """Answer with what a handler has returned, unless it has replied.

        Raises:
            TypeError: the result is not JSON.
            ValueError: it is too large.
        """
        client = self._conversation.client
        if not (result is None or result == "" or isinstance(result, Receipt) or answer.done):
            check_size(result)
            with contextlib.suppress(Veto):
                broadcaster = self._host.broadcaster
                broadcaster.reply(broadcaster.outgoing(result, Target(client=client.id), client), answer, client)
        answer.acknowledge()


def _drop(message: ClientMessage) -> None:
    """Note that a message is not handled any more; without effect if it is answered."""
    if message.answer is not None:
        message.answer.drop(FAILED)
