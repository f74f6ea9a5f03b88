"""A session: one client on one signal. Its messages come in here and are decided, delivered or handed to a handler."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from signalpost.config.model import MessageFormat, Rebroadcast
from signalpost.delivery.client import Client
from signalpost.delivery.frames import Dialect, Opcode, encoding_of
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import EVERYONE, Target
from signalpost.errors import ClientError, ErrorCode, StepFailedError
from signalpost.signals.broadcast import Broadcaster, SenderBroadcast
from signalpost.signals.decide import ACT, ANSWER, Deliver, Invoke, Refuse, decide, relay
from signalpost.signals.event import ClientEvent, HandshakeRequest, MessageData, Shared, SignalEvent
from signalpost.signals.inbox import Entry, Inbox, Passage, Source
from signalpost.signals.jsontext import memory_of
from signalpost.signals.message import ClientMessage, Ref, RefusedMessageError, read_message, read_value
from signalpost.signals.outgoing import RawFrame, ValueFrame, error_frame, plain_frame
from signalpost.signals.places import Places
from signalpost.signals.rule import SignalRule
from signalpost.signals.work import Work

logger = logging.getLogger("signalpost.signals")

_PLAIN = Dialect.PLAIN  # a look into an Enum's class costs more than the comparison
_TEXT = int(Opcode.TEXT)
_RAW = MessageFormat.RAW
_SENDER = Rebroadcast.SENDER
_BINARY = ClientError(ErrorCode.UNSUPPORTED_FRAME, "this signal takes text, not binary frames")
_TOO_DEEP = ClientError(ErrorCode.BAD_MESSAGE, "the message is nested too deeply", "/message")
_NO_WISH = ClientMessage(None)
_FAILED = ClientError(ErrorCode.HANDLER_FAILED, "the server could not handle this message")


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


class Session:
    """One client's messages on one signal.

    What needs no waiting is done where it is received; only what needs a handler has an `Inbox`, made when needed.

    Args:
        source: the client's connection.

    """

    __slots__ = ("_inbox", "_signals", "_source", "client", "request", "rule")

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
        self._inbox: Inbox | None = None

    def follow(self, rule: SignalRule, source: Source) -> None:
        """Take messages by another rule, and from another source, from the next one on.

        What is being handled, and what waits for that, is handled by the rule that it came under: its schema has let
        it pass, and its handler is the one that this schema is for. Nothing that comes now overtakes it.
        """
        self._source = source
        self.rule = rule
        if self._inbox is not None:
            at_once = rule.handler is None or (rule.do is not None and not rule.do.waits)
            self._inbox.follow(source, rule.parallel, last=at_once)

    def connected(self) -> None:
        """Do what the rule does when a client has come."""
        if self.rule.connected is not None:
            self._pass(Passage(self.rule.connected))

    def disconnected(self, code: int) -> None:
        """Do what the rule does when a client is gone; `code` is how its connection ended."""
        if self.rule.disconnected is not None:
            self._pass(Passage(self.rule.disconnected, code))

    def receive(self, opcode: int, payload: bytes) -> None:
        """Take a message: text (valid UTF-8) or binary."""
        rule = self.rule
        shortcut = rule.shortcut
        if shortcut is not None and opcode == _TEXT and (value := read_value(payload, rule.gate)) is not None:
            self._deliver(value, None if shortcut is _SENDER else EVERYONE)
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
        if decision is ANSWER:
            self._deliver(message.message, None, message.ref)
        elif isinstance(decision, Deliver):
            self._deliver(message.message, decision.target, message.ref)
        elif decision is ACT:
            self._act(message)
        elif isinstance(decision, Invoke):
            self._invoke(message, memory_of(payload))
        elif isinstance(decision, Refuse):
            self._refuse(decision.error, message.ref)

    def _deliver(self, value: Any, target: Target | None, ref: Ref | None = None) -> None:
        """Send a value to a target; None is the sender alone, who needs no looking up."""
        client = self.client
        try:
            if target is None:
                frame = plain_frame(value) if client.dialect is _PLAIN else ValueFrame(value, client.path).v1
                if client.deflate is not None:
                    frame = client.deflate(frame)
                self._signals.hub.send(client, frame, client.path)
            else:
                self._signals.broadcaster.send(value, target, client.path)
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

    def _pass(self, passage: Passage) -> None:
        """Do a list of actions about the client itself."""
        if passage.program.waits or (self._inbox is not None and self._inbox.busy):
            self._invoke(passage)
            return
        try:
            passage.program.run(self._passage_event(passage, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self._step_failed(error)

    def _passage_event(self, passage: Passage, timestamp: datetime, rule: SignalRule) -> ClientEvent:
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

    def _invoke(self, what: ClientMessage | Passage, size: int = 0) -> None:
        signals = self._signals
        if self._inbox is None:
            self._inbox = Inbox(
                self.client,
                self._source,
                self.rule.parallel,
                self._handle,
                places=signals.places,
                running=signals.running,
            )
        signals.work.begin()
        self._inbox.add(Entry(what, datetime.now(UTC), self.rule, signals.work, size))

    async def _handle(self, entry: Entry) -> None:
        message, timestamp, rule, work, _ = entry
        client = self.client
        try:
            if isinstance(message, Passage):
                await message.program.follow(self._passage_event(message, timestamp, rule), charge=self._source.charge)
            elif rule.do is not None:
                await rule.do.follow(self._event(message, timestamp, rule), charge=self._source.charge)
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
