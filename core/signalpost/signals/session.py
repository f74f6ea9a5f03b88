"""A session: one client on one signal. Its messages come in here and are decided, delivered or handed to a handler."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from signalpost.config.model import MessageFormat, Rebroadcast
from signalpost.delivery.client import Client
from signalpost.delivery.frames import Dialect, Opcode, encoding_of
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import EVERYONE
from signalpost.errors import ClientError, ErrorCode, StepFailedError
from signalpost.signals.broadcast import Broadcaster, SenderBroadcast
from signalpost.signals.decide import ACT, ANSWER, Deliver, Invoke, Refuse, decide, relay
from signalpost.signals.event import ClientEvent, HandshakeRequest, MessageData, Shared, SignalEvent
from signalpost.signals.message import ClientMessage, Ref, RefusedMessageError, read_message, read_value
from signalpost.signals.outgoing import RawFrame, ValueFrame, error_frame, plain_frame
from signalpost.signals.places import Places
from signalpost.signals.rule import Program, SignalRule
from signalpost.signals.work import Work

logger = logging.getLogger("signalpost.signals")

MOST_WAITING = 16
"""Messages that may wait for a client's handler before its connection is not read from any more."""

_PLAIN = Dialect.PLAIN  # a look into an Enum's class costs more than the comparison
_TEXT = int(Opcode.TEXT)
_RAW = MessageFormat.RAW
_SENDER = Rebroadcast.SENDER
_BINARY = ClientError(ErrorCode.UNSUPPORTED_FRAME, "this signal takes text, not binary frames")
_TOO_DEEP = ClientError(ErrorCode.BAD_MESSAGE, "the message is nested too deeply", "/message")
_NO_WISH = ClientMessage(None)
_FAILED = ClientError(ErrorCode.HANDLER_FAILED, "the server could not handle this message")


@dataclass(frozen=True, slots=True)
class _Passage:
    """A client's coming or going, and what is to be done then; `code` is that of `ClientEvent`."""

    program: Program
    code: int = 0


_Entry = tuple[ClientMessage | _Passage, datetime, SignalRule, Work]
"""A message, when it came, the rule that it came under, and where it counts as under way."""


@dataclass(slots=True)
class Signals:
    """What all sessions of one server share.

    Attributes:
        work: of the plan at work; another one takes its place when another plan does.
        places: for handlers at work at once.
        running: the tasks of handlers at work, to be waited for when the server stops, with whose messages they handle.

    """

    hub: Hub
    broadcaster: Broadcaster
    shared: Shared
    places: Places
    work: Work = field(default_factory=Work)
    running: dict[asyncio.Task[None], Client] = field(default_factory=dict)


class Source(Protocol):
    """Where a session's messages come from."""

    def read_on(self, on: bool) -> None:
        """Read from the client, or let what it sends wait in the kernel."""


class Session:
    """One client's messages on one signal.

    Handlers run one at a time, in the order of arrival, or as many at once as the rule says; over all sessions, as many
    as there are places. A session without a handler has neither task nor queue.

    Args:
        source: the client's connection.

    """

    __slots__ = ("_barred", "_inbox", "_paused", "_signals", "_source", "_workers", "client", "request", "rule")

    def __init__(
        self,
        client: Client,
        rule: SignalRule,
        request: HandshakeRequest,
        signals: Signals,
        source: Source,
    ) -> None:
        self.client = client
        self.rule = rule
        self.request = request
        self._signals = signals
        self._source = source
        self._inbox: deque[_Entry] | None = None  # messages that wait, if any do
        self._workers = 0  # tasks at work, and places that are waited for
        self._paused = False
        self._barred = False  # paused until nothing waits and nobody is at work

    def follow(self, rule: SignalRule, source: Source) -> None:
        """Take messages by another rule, and from another source, from the next one on.

        What is being handled, and what waits for that, is handled by the rule that it came under: its schema has let
        it pass, and its handler is the one that this schema is for. Nothing that comes now overtakes it.
        """
        self._source = source
        self.rule = rule
        at_once = rule.handler is None or (rule.do is not None and not rule.do.waits)
        self._barred = self._workers > 0 and at_once
        if self._barred and not self._paused:
            self._paused = True
            source.read_on(False)
        elif self._paused and not self._barred:
            self._read_on()

    def connected(self) -> None:
        """Do what the rule does when a client has come."""
        if self.rule.connected is not None:
            self._pass(_Passage(self.rule.connected))

    def disconnected(self, code: int) -> None:
        """Do what the rule does when a client is gone; `code` is how its connection ended."""
        if self.rule.disconnected is not None:
            self._pass(_Passage(self.rule.disconnected, code))

    def receive(self, opcode: int, payload: bytes) -> None:
        """Take a message: text (valid UTF-8) or binary."""
        rule = self.rule
        shortcut = rule.shortcut
        if shortcut is not None and opcode == _TEXT and (value := read_value(payload, rule.gate)) is not None:
            self._deliver(value, shortcut)
        elif rule.format is _RAW:
            self._relay(opcode, payload)
        elif opcode != _TEXT:
            self._refuse(_BINARY, None)
        else:
            self._consider(payload, rule)

    def _consider(self, payload: bytes, rule: SignalRule) -> None:
        """Read a message that has something to decide about it, and do what is decided."""
        try:
            message = read_message(payload, rule.gate)
        except RefusedMessageError as refused:
            self._refuse(refused.error, refused.ref)
            return
        decision = decide(rule, self.client, message, self._signals.broadcaster.spelling)
        try:
            if decision is ANSWER:
                self._deliver(message.message, _SENDER, message.ref)
            elif isinstance(decision, Deliver):
                self._signals.broadcaster.send(message.message, decision.target, self.client.path)
            elif decision is ACT:
                self._act(message)
            elif isinstance(decision, Invoke):
                self._invoke(message)
            elif isinstance(decision, Refuse):
                self._refuse(decision.error, message.ref)
        except TypeError:
            # orjson reads four times as deep as it writes.
            self._refuse(_TOO_DEEP, message.ref)

    def _deliver(self, value: Any, goes: Rebroadcast, ref: Ref | None = None) -> None:
        """Send a value to the sender or to everyone."""
        client = self.client
        try:
            if goes is _SENDER:
                frame = plain_frame(value) if client.dialect is _PLAIN else ValueFrame(value, client.path).v1
                if client.deflate is not None:
                    frame = client.deflate(frame)
                self._signals.hub.send(client, frame, client.path)
            else:
                self._signals.broadcaster.send(value, EVERYONE, client.path)
        except TypeError:
            # orjson reads four times as deep as it writes.
            self._refuse(_TOO_DEEP, ref)

    def _relay(self, opcode: int, payload: bytes) -> None:
        """Re-broadcast a frame as it is, empty ones too: there are no keys in it to ask for anything."""
        client = self.client
        decision, frame = relay(self.rule, client), RawFrame(opcode, payload, client.path)
        if decision is ANSWER:
            self._signals.hub.send(client, encoding_of(frame, client.dialect, client.deflate), client.path)
        elif isinstance(decision, Deliver):
            self._signals.hub.broadcast(frame, decision.target)

    def _refuse(self, error: ClientError, ref: Ref | None) -> None:
        self._signals.hub.send(self.client, error_frame(error, ref))

    # Actions and handlers

    def _act(self, message: ClientMessage) -> None:
        """Do the rule's list of actions."""
        if self.rule.do is None:
            return
        try:
            self.rule.do.run(self._event(message, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self._step_failed(error)
            self._refuse(_FAILED, message.ref)

    def _pass(self, passage: _Passage) -> None:
        """Do a list of actions about the client itself."""
        if passage.program.waits or self._workers:
            self._invoke(passage)
            return
        try:
            passage.program.run(self._passage_event(passage, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self._step_failed(error)

    def _passage_event(self, passage: _Passage, timestamp: datetime, rule: SignalRule) -> ClientEvent:
        client = self.client
        return ClientEvent(
            client=client,
            endpoint=client.endpoint,
            path=client.path,
            params=client.params,
            request=self.request,
            route=rule.pattern.text,
            timestamp=timestamp,
            shared=self._signals.shared,
            broadcast=SenderBroadcast(self._signals.broadcaster, client, _NO_WISH),
            code=passage.code,
        )

    def _event(self, message: ClientMessage, timestamp: datetime, rule: SignalRule) -> SignalEvent:
        client = self.client
        return SignalEvent(
            data=MessageData(
                message.message,
                message.path,
                message.client_id,
                message.group,
                message.direct,
                message.ref,
                message.document or {"message": message.message},
            ),
            client=client,
            endpoint=client.endpoint,
            path=client.path,
            params=client.params,
            request=self.request,
            route=rule.pattern.text,
            timestamp=timestamp,
            shared=self._signals.shared,
            broadcast=SenderBroadcast(self._signals.broadcaster, client, message),
        )

    def _step_failed(self, error: StepFailedError) -> None:
        logger.error("%s (on %s, for client %s)", error, self.client.path, self.client.id, exc_info=error.cause)

    def _invoke(self, message: ClientMessage | _Passage) -> None:
        work = self._signals.work
        work.begin()
        entry = (message, datetime.now(UTC), self.rule, work)
        if self._workers < self.rule.parallel:
            self._workers += 1
            if self._signals.places.take():
                self._start(entry)
                return
            self._signals.places.line_up(self)
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(entry)
        if len(self._inbox) >= MOST_WAITING and not self._paused:
            self._paused = True
            self._source.read_on(False)

    def proceed(self) -> bool:
        """Handle what waits, now that there is a place; False when another task of this session has done so."""
        if not self._inbox:
            self._leave()
            return False
        self._start(self._next(self._inbox))
        return True

    def _start(self, entry: _Entry) -> None:
        task = asyncio.get_running_loop().create_task(self._work(entry))
        self._signals.running[task] = self.client
        task.add_done_callback(self._signals.running.pop)

    def _next(self, inbox: deque[_Entry]) -> _Entry:
        """Take the message that has waited longest, and read on when few are left."""
        entry = inbox.popleft()
        if self._paused:
            self._read_on()
        return entry

    def _read_on(self) -> None:
        """End the pause, if few are left, or none where nothing may overtake them."""
        waiting = len(self._inbox or ())
        if not self._workers if self._barred else waiting <= MOST_WAITING // 2:
            self._paused = self._barred = False
            self._source.read_on(True)

    def _leave(self) -> None:
        """Hear that a worker has gone, and read on if that was the last one to be waited for."""
        self._workers -= 1
        if self._barred:
            self._read_on()

    async def _work(self, entry: _Entry) -> None:
        """Handle a message, and then what waits; but when others wait for a place, only behind them."""
        places = self._signals.places
        try:
            while True:
                await self._handle(*entry)
                if not self._inbox:
                    self._inbox = None
                    return
                if self._workers > self.rule.parallel:  # there were more of them by the rule of before
                    return
                if places.crowded:
                    self._workers += 1
                    places.line_up(self)
                    return
                entry = self._next(self._inbox)
        except asyncio.CancelledError:
            self._inbox = None
            raise
        finally:
            self._leave()
            places.give()

    async def _handle(
        self, message: ClientMessage | _Passage, timestamp: datetime, rule: SignalRule, work: Work
    ) -> None:
        client = self.client
        try:
            if isinstance(message, _Passage):
                await message.program.follow(self._passage_event(message, timestamp, rule))
            elif rule.handler is not None:
                await rule.handler(self._event(message, timestamp, rule))
        except StepFailedError as error:
            self._step_failed(error)
            if isinstance(message, ClientMessage):
                self._refuse(_FAILED, message.ref)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            logger.exception(
                "handler %s of plugin %s failed on %s for client %s",
                rule.handler_name,
                rule.handler_plugin,
                client.path,
                client.id,
            )
            if isinstance(message, ClientMessage):
                self._refuse(_FAILED, message.ref)
        finally:
            work.end()


def _is_cancelled() -> bool:
    """Tell whether the running task was cancelled, rather than something that its handler waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
