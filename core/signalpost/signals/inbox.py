"""Messages that wait for a client's handlers, and the tasks that handle them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol

from signalpost.delivery.client import Client
from signalpost.errors import ClientError, ErrorCode
from signalpost.signals.message import ClientMessage
from signalpost.signals.rule import Program, SignalRule
from signalpost.signals.slots import HandlerSlots
from signalpost.signals.work import Work
from signalpost.units import MEBIBYTE

FAILED = ClientError(ErrorCode.HANDLER_FAILED, "the server could not handle this message")
"""What the sender is told of a message whose handler or list has failed."""

NOT_HANDLED = ClientError(ErrorCode.HANDLER_FAILED, "the client had gone before its message was handled")
"""What a repeat of a message is told that was dropped."""

MOST_WAITING = 16
"""Messages that may wait for a client's handler before reading from its connection is paused."""

MOST_WAITING_BYTES = MEBIBYTE
"""Bytes of memory that these messages may use before the same happens; the last one may be larger."""


class ClientArrival(NamedTuple):
    """A client has connected: `program` is the list of actions `connected`."""

    program: Program


class ClientDeparture(NamedTuple):
    """A client has disconnected: `program` is the list of actions `disconnected`, `code` that of `ClientEvent`."""

    program: Program
    code: int


class Entry(NamedTuple):
    """A message, arrival or departure that waits to be handled.

    Attributes:
        timestamp: when it was received.
        rule: under which it was received.
        work: counts it as under way.
        size: about the bytes of memory that it uses.
    """

    what: ClientMessage | ClientArrival | ClientDeparture
    timestamp: datetime
    rule: SignalRule
    work: Work
    size: int = 0


class Source(Protocol):
    """The connection that a conversation's messages come from."""

    def read_on(self, on: bool) -> None:
        """Read from the client, or pause and leave what it sends in the kernel's buffer."""

    def note_waiting(self, change: int) -> None:
        """Note how many more (or fewer) bytes of messages wait for a handler."""

    def charge(self, seconds: float) -> None:
        """Charge the client for work that a task did for its messages."""


class Reading(Enum):
    """Whether the client is read from.

    ::

        ON --16 messages, or a MiB, wait--> FULL --half of that is left--> ON
        ON, FULL --a reload after which nothing is added--> BARRED --nothing waits, nobody is at work--> ON
    """

    ON = 0
    FULL = 1
    BARRED = 2


_ON, _FULL, _BARRED = Reading


def _name_of(entry: Entry) -> str:
    """Return the name of what handles it."""
    match entry.what:
        case ClientArrival():
            return f"connected ({entry.rule.owner})"
        case ClientDeparture():
            return f"disconnected ({entry.rule.owner})"
        case _:
            return entry.rule.work


async def _nothing(_entry: Entry) -> None:
    """Handle nothing."""


class Inbox:
    """One client's queue of messages for a handler: one at a time, in the order of arrival, or `parallel` at once.

    Over all clients, as many are handled at once as there are slots. While 16 messages or 1 MiB wait, reading from the
    client is paused.

    Args:
        client: their sender.
        source: the connection that they come from.
        parallel: how many may be handled at once.
        handle: handles one; raises only when it is cancelled.
        slots: shared by all clients.
        running: receives each task that handles messages here.
        context: the client's own. Messages are handled in it; if several may be handled at once, each task uses a copy.
    """

    __slots__ = (
        "_client",
        "_context",
        "_ended",
        "_handle",
        "_last",
        "_parallel",
        "_reading",
        "_running",
        "_slots",
        "_source",
        "_waiting",
        "_waiting_bytes",
        "_workers",
    )

    def __init__(
        self,
        client: Client,
        source: Source,
        parallel: int,
        handle: Callable[[Entry], Awaitable[None]],
        *,
        slots: HandlerSlots,
        running: dict[asyncio.Task[None], Client],
        context: Context | None = None,
    ) -> None:
        self._context = context
        self._client = client
        self._source = source
        self._parallel = parallel
        self._handle = handle
        self._slots = slots
        self._running = running
        self._waiting: deque[Entry] | None = None  # only while any wait: an empty deque is larger than all else here
        self._waiting_bytes = 0
        self._workers = 0  # running tasks, and slots that are waited for
        self._reading = _ON
        self._ended = False  # nothing more will be added
        self._last: Entry | None = None

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting or ())

    @property
    def busy(self) -> bool:
        """Whether a message is being handled or waits."""
        return self._workers > 0

    def add(self, entry: Entry) -> None:
        """Handle a message now, or when its turn comes."""
        if self._workers < self._parallel:
            self._workers += 1
            if self._slots.acquire():
                self._start(entry)
                return
            self._slots.line_up(self)
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(entry)
        self._weigh(entry.size)
        if self._is_full and self._reading is _ON:
            self._reading = _FULL
            self._source.read_on(False)

    def finish(self, entry: Entry) -> None:
        """Handle this after all that is here, whatever `parallel` is; nothing more is added."""
        if self.busy:
            self._last = entry
        else:
            self.add(entry)

    def abandon(self) -> None:
        """Drop the messages that wait; the one that is being handled continues."""
        self._drop_waiting()
        self._read_on()

    def switch_source(self, source: Source, parallel: int, *, last: bool) -> None:
        """Continue with another source, and with another number of messages at once.

        Args:
            source: the connection that messages come from now.
            parallel: how many may be handled at once now.
            last: no more will be added; nothing is read until all is done, so that no message overtakes these.
        """
        self._source = source
        self._parallel = parallel
        was_on = self._reading is _ON
        if last and self.busy:
            self._reading = _BARRED
            if was_on:
                source.read_on(False)
        elif not was_on:
            self._reading = _FULL
            self._read_on()

    def end(self) -> None:
        """Drop the conversation, which holds this inbox, once all that is here is done; nothing more is added."""
        self._ended = True
        if not self._workers:
            self._handle = _nothing

    def proceed(self) -> bool:
        """Handle what waits, now that a slot is free; return False if another task of this inbox has done so."""
        if not self._waiting:
            self._leave()
            return False
        self._start(self._next(self._waiting))
        return True

    def _start(self, entry: Entry) -> None:
        context = self._context
        if context is not None and self._parallel > 1:
            context = context.copy()
        # A stop logs the name of the task. With a name asyncio need not generate one, which is slower.
        task = asyncio.get_running_loop().create_task(self._work(entry), name=_name_of(entry), context=context)
        self._running[task] = self._client
        task.add_done_callback(self._running.pop)

    def _next(self, waiting: deque[Entry]) -> Entry:
        """Remove the message that has waited longest, and resume reading when few are left."""
        entry = waiting.popleft()
        self._weigh(-entry.size)
        self._read_on()
        return entry

    def _read_on(self) -> None:
        """End the pause if that is possible now (`Reading`)."""
        if self._reading is _ON:
            return
        if not self._workers if self._reading is _BARRED else self._is_half_empty:
            self._reading = _ON
            self._source.read_on(True)

    @property
    def _is_full(self) -> bool:
        return len(self) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    @property
    def _is_half_empty(self) -> bool:
        return len(self) <= MOST_WAITING // 2 and self._waiting_bytes <= MOST_WAITING_BYTES // 2

    def _weigh(self, change: int) -> None:
        if change:
            self._waiting_bytes += change
            self._source.note_waiting(change)

    def _drop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        for entry in waiting or ():
            if isinstance(entry.what, ClientMessage) and entry.what.answer is not None:
                entry.what.answer.drop(NOT_HANDLED)
            entry.work.end()
        self._weigh(-self._waiting_bytes)

    def _leave(self) -> None:
        """Called when a worker has ended; continue if it was the last one to wait for."""
        self._workers -= 1
        if self._reading is _BARRED:
            self._read_on()
        if self._last is not None and not self._workers:
            last, self._last = self._last, None
            self.add(last)
        if self._ended and not self._workers:
            self._handle = _nothing

    async def _work(self, entry: Entry) -> None:
        """Handle a message, and then those that wait; if others wait for a slot, only after them."""
        try:
            while True:
                await self._handle(entry)
                if not self._waiting:
                    self._waiting = None
                    return
                if self._workers > self._parallel:  # `parallel` was larger before
                    return
                if self._slots.crowded:
                    self._workers += 1
                    self._slots.line_up(self)
                    return
                entry, before = self._next(self._waiting), entry
                if entry.rule is not before.rule or type(entry.what) is not type(before.what):
                    task = asyncio.current_task()
                    if task is not None:
                        task.set_name(_name_of(entry))
        except asyncio.CancelledError:
            self._drop_waiting()
            raise
        finally:
            self._leave()
            self._slots.release()
