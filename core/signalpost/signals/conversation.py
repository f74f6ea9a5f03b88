"""A conversation: one client on one signal. Its messages are received, decided, delivered or passed to a handler."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Collection, Mapping
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from signalpost.backplanes.backplane import Once
from signalpost.config.authmodel import Verb
from signalpost.config.model import LatestBy, MessageFormat, Rebroadcast
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import RawPublication, check_size
from signalpost.delivery.target import EVERYONE, ClientId, Published, Receipt, Target
from signalpost.errors import ClientError, ErrorCode, StepFailedError, UnavailableError
from signalpost.events import ClientEvent, HandshakeRequest, MessageData, Shared, SignalEvent
from signalpost.foreign import is_the_task_s, original, overran
from signalpost.history.stream import Stream
from signalpost.jsontext import memory_of
from signalpost.logsubject import SUBJECT, about, subject_of
from signalpost.logthrottle import LineTally
from signalpost.observe import Observer
from signalpost.paths import Place
from signalpost.signals.answers import Answer, Ref
from signalpost.signals.arrival import Arrival
from signalpost.signals.broadcast import Broadcaster, SenderBroadcast, refusing
from signalpost.signals.counts import Counts
from signalpost.signals.decide import (
    ACT,
    ANSWER,
    Act,
    Decision,
    Deliver,
    Ignore,
    Invoke,
    Reject,
    decide,
    relay,
    requested_target,
)
from signalpost.signals.elsewhere import ElsewhereGuard, document_of
from signalpost.signals.expiry import Expiries
from signalpost.signals.inbox import ClientArrival, ClientDeparture, Entry, Inbox, Source
from signalpost.signals.lookalike import frame_looks_like_the_server_s, looks_like_an_error
from signalpost.signals.memory import Memory
from signalpost.signals.message import (
    AWAITED,
    NO_MESSAGE,
    RESERVED,
    ClientMessage,
    RejectedMessageError,
    ReservedKeyError,
    read_message,
    read_value,
)
from signalpost.signals.messagefilters import Filters, Outgoing, Veto
from signalpost.signals.moderation import Moderation
from signalpost.signals.overdue import Deadline, Handling, Overdue
from signalpost.signals.permissions import Permits, Question
from signalpost.signals.recovery import Recovery
from signalpost.signals.renewal import Renewing, renew
from signalpost.signals.requests import (
    TOKEN,
    ServerRequest,
    UnknownPositionError,
    history_body,
    read_history,
    read_request,
)
from signalpost.signals.rule import Call, Do, Program, Relay, SignalRule
from signalpost.signals.sequenced import UNAVAILABLE, answer_later
from signalpost.signals.sessions import Session
from signalpost.signals.slots import HandlerSlots
from signalpost.signals.table import ResolvedPath
from signalpost.signals.work import Work
from signalpost.websocket.frames import CloseCode, Opcode

logger = logging.getLogger("signalpost.signals")

_TEXT = int(Opcode.TEXT)
_BINARY_OPCODE = int(Opcode.BINARY)
_RAW = MessageFormat.RAW
_SENDER = Rebroadcast.SENDER
_MAPPING_BEGINS = "{ \t\r\n\ufeff"
_MAYBE_MAPPING = b"{ \t\r\n\xef"  # how the text of a mapping can begin, a byte order mark included
_BINARY = ClientError(ErrorCode.UNSUPPORTED_FRAME, "this signal takes text, not binary frames")
_TO_ONE = Receipt(1, 1)
_TOO_DEEP = ClientError(ErrorCode.BAD_MESSAGE, "the message is nested too deeply", "/message")
FORGED = ClientError(
    ErrorCode.BAD_MESSAGE, "a message that looks like one of the server's own is not passed on", "/message"
)
_OUTCOMES = {kind: kind.__name__.lower() for kind in (type(ANSWER), Deliver, Act, Invoke, Ignore, Reject)}
"""What a decision is called where messages are counted."""

_CANCELLED = object()
"""In place of the result of a handler that was cancelled, since its client has gone."""

_FAILED = ClientError(ErrorCode.HANDLER_FAILED, "the server could not handle this message")


class Admitting(Renewing, Protocol):
    """What decides who may: a `signalpost.admitting.Admitter`, which documents each."""

    @property
    def failures(self) -> LineTally:
        """The log of expressions in ``may`` that failed."""


class Host(Protocol):
    """What a conversation needs from its surroundings: a `signalpost.node.Node`, which documents each."""

    hub: Hub
    memory: Memory
    moderation: Moderation
    broadcaster: Broadcaster
    shared: Shared
    slots: HandlerSlots
    running: dict[asyncio.Task[None], Client]
    sequencing: "dict[asyncio.Future[Published], Client]"
    base: Context
    overdue: Overdue
    program_observer: Observer | None
    counts: Counts
    alone: bool

    @property
    def admitter(self) -> Admitting:
        """What decides who may."""

    @property
    def expiries(self) -> Expiries:
        """What watches the clients whose identity ends."""

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Return the signal that serves a path at an endpoint."""

    @property
    def work(self) -> Work:
        """What is under way by the current plan."""

    @property
    def patience(self) -> float:
        """Seconds that a client's arrival may take."""


class Conversation:
    """One client's messages on one signal.

    A message that need not wait is handled where it is received; only one that needs a handler goes to an `Inbox`,
    which is created on demand.

    Args:
        client: that speaks.
        rule: of its signal.
        request: its handshake.
        host: its surroundings.
        source: the client's connection.
        session: of a client that converses.

    Attributes:
        recovery: what the client reads when it is admitted; None once it is, or without a history.
        present: the place where others see the client; None if they do not.
        renewing: looks at another token of the client, which needs a key that is fetched; None if there is none.
    """

    __slots__ = (
        "_arrival",
        "_cancellable",
        "_context",
        "_counts",
        "_deadline",
        "_host",
        "_inbox",
        "_source",
        "client",
        "present",
        "recovery",
        "renewing",
        "request",
        "rule",
        "session",
    )

    def __init__(
        self,
        client: Client,
        rule: SignalRule,
        request: HandshakeRequest,
        host: Host,
        source: Source,
        *,
        session: Session | None = None,
    ) -> None:
        self.client = client
        self.rule = rule
        self.request = request
        self.session = session
        self.recovery: Recovery | None = None
        self.present: Place | None = None
        self.renewing: asyncio.Task[None] | None = None
        self._host = host
        self._counts = host.counts.of(rule)  # asked for each message
        self._source = source
        self._inbox: Inbox | None = None
        self._arrival: Arrival | None = None
        self._context: Context | None = None
        self._cancellable: set[asyncio.Task[None]] | None = None  # running in a handler with cancel_when_gone
        self._deadline: Deadline | None = None  # once the client is gone

    def switch_rule(self, rule: SignalRule, source: Source) -> None:
        """Handle messages by another rule, and from another source, from the next one on.

        Messages that are being handled or wait stay with the rule under which they were received: its schema accepted
        them, and that schema belongs to its handler. No later message overtakes them.
        """
        self._source = source
        self.rule = rule
        self._counts = self._host.counts.of(rule)
        if self._inbox is not None:
            match rule.reaction:
                case Relay():
                    at_once = True
                case Do(program=program):
                    at_once = not program.waits
                case _:
                    at_once = False
            self._inbox.switch_source(source, rule.config.parallel, last=at_once)

    def context(self) -> Context:
        """Return the client's own context, in which plugins' code runs for it."""
        if self._context is None:
            self._context = self._host.base.copy()
            self._context.run(SUBJECT.set, subject_of(self.client))
        return self._context

    def arrive(self, hooks: Collection[asyncio.Task[None]] = ()) -> None:
        """Run what the rule does when a client has connected.

        If that waits, the client is in no audience meanwhile, and nothing is read from it; see
        `signalpost.signals.arrival`.

        Args:
            hooks: of plugins, to be awaited; the rule's list runs after them.
        """
        program = self.rule.connected
        if hooks or (program is not None and program.waits):
            host = self._host
            host.hub.hold(self.client)
            self._source.read_on(False)
            self._arrival = Arrival(self, hooks)
            self._arrival.begin(host.work, host.running, host.patience)
        elif self.client.closing:  # a hook has rejected it
            self._arrival = Arrival(self)
        elif program is not None:
            self._run_list(ClientArrival(program))
        if self._arrival is None and (self.recovery is not None or self.rule.config.presence is not None):
            self._host.memory.admit(self)

    def arrived(self, arrival: Arrival) -> None:
        """Read from the client if it is still there: its arrival is done or was abandoned.

        Args:
            arrival: if it never started the rule's list, the list for the client's departure does not run either.
        """
        if arrival.begun:
            self._arrival = None
        self._host.memory.admit(self)
        if arrival.left is not None:
            self.disconnected(arrival.left)
        else:
            self._source.read_on(True)

    @property
    def user(self) -> str:
        """How others know the client: as its user, or by its session's first client: no reconnect changes either."""
        return self.client.identity.user or (self.client.id if self.session is None else self.session.user)

    def expire_soon(self, seconds: float) -> None:
        """Tell the client that its identity ends, if its kind of client is told at all."""
        notice = self.client.encoding.noticed("expiring", {"in": math.ceil(seconds)})
        if notice and not self.client.closing:
            self.client.send(notice)

    def expire(self) -> None:
        """Close the client: its identity has ended."""
        if not self.client.closing:
            self.client.send_away(CloseCode.UNAUTHORIZED, "the token has expired")

    @property
    def awaits_answer(self) -> bool:
        """Whether a message gets exactly one answer; one that is relayed unread gets none."""
        return self.rule.config.format is not _RAW

    @property
    def waits(self) -> bool:
        """Whether messages wait for a handler."""
        return bool(self._inbox)

    def left(self) -> bool:
        """Called when the client has disconnected; return whether its messages are still handled.

        They are not if the signal has `cancel_when_gone`: then the running handler is cancelled.
        """
        if self._host.shared.waits:
            self._host.shared.gone(self.client)
        if self._inbox is not None and self._inbox.busy:
            self.hurry()
        cancelled, self._cancellable = self._cancellable, None
        for task in cancelled or ():
            task.cancel()
        if self.rule.cancel_when_gone:
            self.abandon()
        return not self.rule.cancel_when_gone

    def hurry(self) -> None:
        """Cancel what is handled for a disconnected client after it has been gone for too long."""
        if self._deadline is None:
            self._deadline = self._host.overdue.leave(self.client.id)

    def abandon(self) -> None:
        """Drop the messages that wait for a handler."""
        if self._inbox is not None:
            self._inbox.abandon()

    def disconnected(self, code: int) -> None:
        """Run what the rule does when a client has disconnected, after all of its messages; no more can arrive.

        Args:
            code: with which its connection ended.
        """
        arrival = self._arrival
        if arrival is None:
            if self.rule.disconnected is not None:
                self._run_list(ClientDeparture(self.rule.disconnected, code))
        elif arrival.under_way:
            arrival.left = code
            return
        # These refer to the conversation: free them now instead of waiting for the garbage collector.
        self._arrival = None
        if self._inbox is not None:
            self._inbox.end()

    def receive(self, opcode: int, payload: bytes) -> None:
        """Receive a message: text (valid UTF-8) or binary."""
        rule = self.rule
        shortcut = rule.shortcut
        if shortcut is not None and opcode == _TEXT and (value := read_value(payload, rule.gate)) is not None:
            counts = self._counts
            if counts.on:
                outcome = "answer" if shortcut is _SENDER else "deliver"
                counts.messages[outcome] += 1  # not by `_observe`: a call is measurable
                if self._host.program_observer is not None:
                    self._host.program_observer.received(self.client.id, self.client.path, outcome)
            self._deliver(value, None if shortcut is _SENDER else EVERYONE, None)
        elif rule.config.format is _RAW:
            self._relay(opcode, payload)
        elif opcode != _TEXT:
            self._reject(_BINARY, None)
        else:
            self._consider(payload, rule)

    def receive_awaited(self, opcode: int, payload: bytes) -> None:
        """Receive a message that is answered even if it has no ``ref``: that of a POST."""
        if opcode == _TEXT and self.rule.config.format is not _RAW:
            self._consider(payload, self.rule, AWAITED)
        else:
            self.receive(opcode, payload)

    def _consider(self, payload: bytes, rule: SignalRule, ref: Ref | None = None) -> None:  # noqa: C901, PLR0912 - calls are measurable
        """Read a message that needs a decision, and do what is decided."""
        converses = self.session is not None
        try:
            message = read_message(payload, rule.gate, converses=converses, names_users=rule.names_users)
        except RejectedMessageError as refused:
            alive = b"" if payload else self.client.encoding.codec.alive()
            if alive:
                self.client.send(alive)
            else:
                self._reject(refused.error, refused.ref)
            return
        except ReservedKeyError as asked:
            self._serve(asked.document)
            return
        if ref is not None and message.ref is None:
            message.ref = ref
        if converses and (message.ref is not None or message.once is not None) and not self._expect(message, rule):
            return
        if rule.filters is not None and not self._passes(message, rule.filters):
            return
        decision = self.decide(message, rule)
        if self._counts.on and not isinstance(decision, Reject):
            outcome = _OUTCOMES[type(decision)]
            self._counts.messages[outcome] += 1  # not by `_observe`: a call is measurable
            if self._host.program_observer is not None:
                self._host.program_observer.received(self.client.id, self.client.path, outcome)
        sent: Receipt | None = None
        if decision is ANSWER:
            alone = None if rule.filters is None else Target(client=self.client.id)
            self._deliver(message.message, alone, message)
        elif isinstance(decision, Deliver):
            sent = self._deliver(message.message, decision.target, message)
        elif decision is ACT:
            self._act(message)
        elif isinstance(decision, Invoke):
            self._invoke(message, memory_of(payload))
            return
        elif isinstance(decision, Reject):
            self._reject(decision.error, message.ref, message.answer)
        if sent is not None and sent.later is not None:
            answer_later(sent.later, message.answer, partial(self._reject, ref=message.ref, answer=message.answer))
            if message.answer is not None and not sent.later.done():
                self._host.sequencing[sent.later] = self.client
                sent.later.add_done_callback(self._host.sequencing.pop)
        elif message.answer is not None:
            at = self._host.memory.at(decision.target) if sent is not None and isinstance(decision, Deliver) else None
            message.answer.acknowledge(at)

    def _expect(self, message: ClientMessage, rule: SignalRule) -> bool:
        """Prepare the answer to a message; return False if it is a repeat, which is answered already."""
        client, session = self.client, self.session
        if session is None or message.once is None or not session.lasting:
            message.answer = Answer(client, message.ref)
        else:
            seconds = rule.config.once
            message.answer = self._host.memory.repeats.answer(client, session, message.ref, message.once, seconds)
        return message.answer is not None

    def _serve(self, document: Mapping[str, Any]) -> None:
        """Answer a request to the server itself."""
        try:
            request = read_request(document)
            if request.kind == TOKEN:
                renew(self, self._host, request)
                return
            body = self._answer(request)
        except RejectedMessageError as refused:
            self._reject(refused.error, refused.ref)
            return
        if self._counts.on:
            self._observe(request.kind)
        ref = {} if request.ref is None else {"ref": request.ref}
        self.client.send(self.client.encoding.noticed(request.kind, {**ref, **body}))

    def _answer(self, request: ServerRequest) -> Mapping[str, Any]:
        """Return what a client is told that asks for the history, or who is there.

        Raises:
            RejectedMessageError: it may not ask for that, or there is none.
        """
        client, memory = self.client, self._host.memory
        place = self._asked_place(request)
        body: Mapping[str, Any] | None = None
        if request.kind == "presence":
            try:
                body = memory.presence.whole(place)
            except UnavailableError:
                raise _not_yet(request) from None
        elif (stream := self._stream_of(place, request)) is not None:
            try:
                found = read_history(stream, client.session, request.limit, request.before, request.after)
            except UnknownPositionError as error:
                pointer = f"/{RESERVED}/history/{'after' if request.before is None else 'before'}"
                unknown = ClientError(ErrorCode.UNKNOWN_POSITION, str(error), pointer)
                raise RejectedMessageError(unknown, request.ref) from None
            body = history_body(stream, found)
        if body is None:
            text = f"this signal has no {request.kind}"
            none = ClientError(ErrorCode.UNKNOWN_REQUEST, text, f"/{RESERVED}/{request.kind}")
            raise RejectedMessageError(none, request.ref)
        return body

    def _stream_of(self, place: Place, request: ServerRequest) -> Stream | None:
        """Return the stream that a request asks for; None if nothing is kept there.

        Raises:
            RejectedMessageError: it has yet to be read from the backplane.
        """
        try:
            return self._host.memory.stream_of(self.client, place)
        except UnavailableError:
            raise _not_yet(request) from None

    def _asked_place(self, request: ServerRequest) -> Place:
        """Return the place that a request asks for: the client's own, or another one whose signal says who may.

        Raises:
            RejectedMessageError: the client may not ask for it.
        """
        client, verb = self.client, Verb(request.kind)
        own = request.path is None or self._host.broadcaster.canonical_path_for(client)(request.path) == client.place
        if own and self.may(verb):
            return client.place
        there = None if own or request.path is None else self._host.resolve(client.endpoint.name, request.path)
        permits = None if there is None else there.rule.permits
        if there is not None and permits is not None and verb in permits.rules:
            question = replace(self.question(), path=there.path, params=there.params)
            if permits.allow(verb, question, self._host.admitter.failures.add):
                return there.place
        text = (
            f"you may not ask for the {request.kind} of this path" if own else "a client may ask for its own path only"
        )
        pointer = f"/{RESERVED}/{request.kind}{'' if own else '/path'}"
        raise RejectedMessageError(ClientError(ErrorCode.FORBIDDEN, text, pointer), request.ref)

    def _passes(self, message: ClientMessage, filters: Filters) -> bool:
        """Call plugins' filters, which may change a message; return whether they accept it."""
        if filters.message is None:
            return True
        data = message.data
        document = data.document
        try:
            self.context().run(filters.message, data, self.client)
        except Veto as veto:
            self._vetoed(veto, message)
            return False
        message.message, message.path, message.client_id = data.message, data.path, data.client_id
        message.group, message.direct = data.group, data.direct
        message.targeted = bool(message.requested())
        if data.document is not document:
            message.document = dict(data.document)
        elif data.message is not document.get("message"):
            message.document = {**document, "message": data.message}
        if data.user != message.user:
            message.user = data.user
            message.targeted = bool(message.requested())
            message.document = {**(message.document or document), "user": data.user}
        return True

    def _vetoed(self, veto: Veto, message: ClientMessage | None) -> None:
        """Report to the sender why its message was dropped, if the plugin's veto has a code."""
        answer = None if message is None else message.answer
        if veto.code:
            ref = None if message is None else message.ref
            self._reject(ClientError(veto.code, veto.detail, veto.pointer), ref, answer)
        elif answer is not None:
            answer.acknowledge()  # nobody is told

    def decide(self, message: ClientMessage, rule: SignalRule) -> Decision:
        """Decide what happens to a message, by the client's rule and by those of the paths that it requests."""
        broadcaster = self._host.broadcaster
        if rule.permits is not None and (forbidden := self._forbidden(message, rule.permits)) is not None:
            return Reject(forbidden)
        decision = decide(rule, self.client, message, broadcaster.canonical_path_for(self.client))
        if message.targeted and broadcaster.guard is not None and not isinstance(decision, Reject | Ignore):
            judged = isinstance(decision, Deliver)
            error = broadcaster.guard.refusal(message, self.question(message), judged=judged)
            decision = decision if error is None else Reject(error)
            many = message.group is not None or message.user is not None
            if not judged and (many or (message.client_id and broadcaster.guard.is_beyond(message.client_id))):
                message.shut = broadcaster.guard.forbidden(self.question(message))
        if message.targeted and broadcaster.levels is not None and not isinstance(decision, Reject | Ignore):
            target = requested_target(message, self.client, broadcaster.canonical_path_for(self.client))
            error = broadcaster.levels.refusal(target, rule)
            decision = decision if error is None else Reject(error)
        return decision

    def question(self, message: ClientMessage | None = None) -> Question:
        """Return the question whether this client may do something on its path."""
        client, data = self.client, None if message is None else message.data
        shared = self._host.shared
        return Question(client.identity, client.path, client.params, shared, client, self.request.seen, data)

    def may(self, verb: Verb, rule: SignalRule | None = None) -> bool:
        """Return whether the client may do something, other than with a message, on its path.

        Args:
            verb: that is asked about.
            rule: by which; None is its own.
        """
        permits = (rule or self.rule).permits
        return permits is None or self._allowed(permits, verb)

    def reconsider(self) -> None:
        """Called when the client has another identity: what it is told unasked is for who it is now."""
        if self.present is not None:
            self._host.memory.reconsider(self, self.rule)

    def _allowed(self, permits: Permits, verb: Verb, message: ClientMessage | None = None) -> bool:
        may = permits.at_once(verb, self.client.identity)
        return permits.allow(verb, self.question(message), self._host.admitter.failures.add) if may is None else may

    def _forbidden(self, message: ClientMessage, permits: Permits) -> ClientError | None:
        """Return why the client may not send a message, or not to the target that it requests; None if it may."""
        if not self._allowed(permits, Verb.PUBLISH, message):
            return ClientError(ErrorCode.FORBIDDEN, "you may not publish here")
        if message.targeted and not message.direct and not self._allowed(permits, Verb.TARGET, message):
            pointer = f"/{message.requested()[0].value}"
            return ClientError(ErrorCode.FORBIDDEN, "you may not choose who receives a message here", pointer)
        return None

    def _deliver(self, value: Any, target: Target | None, message: ClientMessage | None) -> Receipt | None:
        """Send a client's value to a target; None is the sender alone, which needs no lookup.

        Args:
            value: of the message.
            target: where it goes.
            message: None if it has only the value.

        Returns:
            What happened to it; None if it was not sent.
        """
        client = self.client
        ref, answer = (None, None) if message is None else (message.ref, message.answer)
        kind = type(value)
        if ((kind is str and value[:1] in _MAPPING_BEGINS) or kind is dict) and looks_like_an_error(value):
            self._reject(FORGED, ref, answer)
            return None
        try:
            if target is None:
                path = client.path
                frame = client.encoding.alone(value, path)
                if (sends := self._host.broadcaster.sends) is not None:
                    sends.to_client(value, client)
                if type(client.policy) is LatestBy:
                    path = self._host.broadcaster.slot(value, path)
                return _TO_ONE if self._host.hub.send(client, frame, path) else None
            if target.client is not None and not self._may_be_there(target.client):
                return None
            if (guard := self._host.broadcaster.guard) is not None and target.path is None:
                return self._deliver_beyond(value, target, message, guard)
            if value is not None and value != "":
                once = None if message is None or self._host.alone else self._once(message, target)
                return self._host.broadcaster.send_one(value, target, client.path, once)
        except TypeError:
            # orjson parses four times as deep as it serializes.
            self._reject(_TOO_DEEP, ref, answer)
        except Veto as veto:
            self._vetoed(veto, message)
        return None

    def _once(self, message: ClientMessage, target: Target) -> Once | None:
        """Return by what other nodes know a repeat of a message, if it has a `once` and its value is kept."""
        session = self.session
        if message.once is None or session is None or not session.lasting or target.whole is None:
            return None
        return Once(f"{session.key}:{message.once}", self.rule.config.once)

    def _may_be_there(self, client: ClientId) -> bool:
        """Return whether a client is here, or may be elsewhere; other clients do not reach an arriving client."""
        hub = self._host.hub
        return hub.find(client) is not None or (not self._host.alone and client not in hub.clients)

    def _deliver_beyond(
        self, value: Any, target: Target, message: ClientMessage | None, guard: ElsewhereGuard
    ) -> Receipt:
        """Send a value to clients on other paths that accept it; a message to a client's id was checked before."""
        client, broadcaster = self.client, self._host.broadcaster
        if target.client is not None and self._host.hub.find(target.client) is not None:
            return broadcaster.send(value, (target,), client.path)
        document = {"message": value} if message is None else document_of(message)
        return broadcaster.relay(value, target, client, guard.refused(self.question(message), document))

    def _decide_frame(self, opcode: int, payload: bytes) -> Decision:
        """Decide what happens to a frame of ``format: raw``."""
        permits = self.rule.permits
        if permits is not None and (permits.decides(Verb.PUBLISH) or self.client.identity.program):
            text = payload.decode() if opcode == _TEXT else payload
            if (forbidden := self._forbidden(ClientMessage(text), permits)) is not None:
                return Reject(forbidden)
        return relay(self.rule, self.client)

    def _relay(self, opcode: int, payload: bytes) -> None:
        """Re-broadcast a frame as it is, even an empty one: it has no keys that could request a target."""
        client = self.client
        if opcode == _TEXT and not payload and (alive := client.encoding.codec.alive()):
            client.send(alive)
            return
        if self.rule.filters is not None:
            try:
                opcode, payload = self._filtered_frame(opcode, payload, self.rule.filters)
            except Veto as veto:
                self._vetoed(veto, None)
                return
        if (
            opcode == _TEXT
            and payload
            and payload[0] in _MAYBE_MAPPING
            and frame_looks_like_the_server_s(payload.decode())
        ):
            self._reject(FORGED, None)
            return
        decision, path = self._decide_frame(opcode, payload), client.path
        if isinstance(decision, Reject):
            self._reject(decision.error, None)
            return
        if self._counts.on:
            self._observe(_OUTCOMES[type(decision)])
        if decision is ANSWER:
            self._host.hub.send(client, RawPublication(opcode, payload, path).encoded(client.encoding), path)
        elif isinstance(decision, Deliver):
            guard, target = self._host.broadcaster.guard, decision.target
            if guard is not None and target.path is None:
                target = refusing(target, client, guard.refused(self.question(), None))
            receipt = self._host.broadcaster.publish(RawPublication(opcode, payload, path, target, path))
            answer_later(receipt.later, None, partial(self._reject, ref=None))

    def _filtered_frame(self, opcode: int, payload: bytes, filters: Filters) -> tuple[int, bytes]:
        """Return a frame as the plugins' filters pass it on.

        Raises:
            Veto: a filter stops it.
        """
        value: Any = payload.decode() if opcode == _TEXT else payload
        if filters.message is not None:
            data = MessageData(value)
            self.context().run(filters.message, data, self.client)
            value = data.message
        if filters.broadcast is not None:
            outgoing = Outgoing(value, origin=self.client.path, raw=True)
            filters.broadcast(outgoing)
            value = outgoing.value
        if isinstance(value, str):
            return _TEXT, value.encode(errors="replace")
        if isinstance(value, bytes | bytearray | memoryview):
            return _BINARY_OPCODE, bytes(value)
        raise Veto

    def refuse(self, error: ClientError, ref: Ref | None) -> None:
        """Tell the client that a request to the server was refused, and why."""
        self._reject(error, ref)

    def acknowledge(self, request: ServerRequest, body: Mapping[str, Any]) -> None:
        """Tell the client that a request to the server was done."""
        if self._counts.on:
            self._observe(request.kind)
        ref = {} if request.ref is None else {"ref": request.ref}
        self.client.send(self.client.encoding.noticed("ack", {**ref, **body}))

    def _reject(self, error: ClientError, ref: Ref | None, answer: Answer | None = None) -> None:
        """Tell the sender that its message was refused, and why."""
        if answer is not None:
            answer.refuse(error)
        self._say(error, ref, answer)

    def _say(self, error: ClientError, ref: Ref | None, answer: Answer | None) -> None:
        """Note an error, and tell the sender, unless it has been answered."""
        if self._counts.on:
            self._observe(error.code)
        if (answer is None or not answer.wanted) and (told := self.client.encoding.codec.error(error, ref)):
            self.client.send(told)

    def _failed(self, message: ClientMessage) -> None:
        """Tell the sender that its message could not be handled."""
        if message.answer is not None:
            message.answer.fail(_FAILED)
        self._say(_FAILED, message.ref, message.answer)

    def _observe(self, outcome: str) -> None:
        """Count a message; only called while something counts."""
        self._counts.messages[outcome] += 1
        observer = self._host.program_observer
        if observer is not None:
            observer.received(self.client.id, self.client.path, outcome)

    # Actions and handlers

    def _act(self, message: ClientMessage) -> None:
        """Run the rule's list of actions."""
        program = self.rule.do
        if program is None:
            return
        try:
            self._run(program, self._event(message, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self.step_failed(error)
            self._failed(message)

    def _run(self, program: Program, event: SignalEvent | ClientEvent) -> None:
        """Run a list that does not wait; plugins' code in it runs in the client's own context."""
        if program.foreign:
            self.context().run(program.run, event)
        else:
            program.run(event)

    def _run_list(self, what: ClientArrival | ClientDeparture) -> None:
        """Run a list of actions about the client itself."""
        if what.program.waits or (self._inbox is not None and self._inbox.busy):
            self._invoke(what)
            return
        try:
            self._run(what.program, self.client_event(what, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self.step_failed(error)

    def arrival_event(self) -> ClientEvent:
        """Make the event of the client's arrival, for what others see of it."""
        return self._client_event(0, datetime.now(UTC), self.rule)

    def client_event(self, what: ClientArrival | ClientDeparture, timestamp: datetime, rule: SignalRule) -> ClientEvent:
        """Make the event of a list of actions about the client itself."""
        return self._client_event(what.code if isinstance(what, ClientDeparture) else 0, timestamp, rule)

    def _client_event(self, code: int, timestamp: datetime, rule: SignalRule) -> ClientEvent:
        client = self.client
        return ClientEvent(
            client=client,
            endpoint=client.endpoint,
            path=client.path,
            params=client.params,
            request=self.request,
            route=rule.config.path.text,
            timestamp=timestamp,
            shared=self._host.shared,
            broadcast=SenderBroadcast(self._host.broadcaster, client, NO_MESSAGE, self.session),
            code=code,
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
                message.own_ref,
                message.document or {"message": message.message},
                message.user,
            ),
            client=client,
            endpoint=client.endpoint,
            path=client.path,
            params=client.params,
            request=self.request,
            route=rule.config.path.text,
            timestamp=timestamp,
            shared=self._host.shared,
            broadcast=SenderBroadcast(self._host.broadcaster, client, message, self.session),
            _seat=rule.reaction.handler.seat if isinstance(rule.reaction, Call) else None,
        )

    def step_failed(self, error: StepFailedError) -> None:
        """Log that a step failed."""
        client = self.client
        logger.error(
            "%s (on %s, for client %s)", error, client.path, client.named, exc_info=error.cause, extra=about(client)
        )

    def _invoke(self, what: ClientMessage | ClientArrival | ClientDeparture, size: int = 0) -> None:
        host = self._host
        if self._inbox is None:
            self._inbox = Inbox(
                self.client,
                self._source,
                self.rule.config.parallel,
                self._handle,
                slots=host.slots,
                running=host.running,
                context=self.context(),
            )
        host.work.begin()
        entry = Entry(what, datetime.now(UTC), self.rule, host.work, size)
        if isinstance(what, ClientMessage):
            self._inbox.add(entry)
        else:
            self._inbox.finish(entry)

    async def _handle_cancellable(self, handling: Awaitable[Any]) -> Any:
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

    async def _handle(self, entry: Entry) -> None:
        message, _, rule, work, _ = entry
        client, overdue = self.client, self._host.overdue
        if isinstance(message, ClientMessage) and self._is_void:
            self._drop(message)
            work.end()
            return
        scope = asyncio.timeout(rule.config.timeout if isinstance(message, ClientMessage) else None)
        handling = overdue.begin(scope, client, rule)
        begun = perf_counter() if self._counts.on else None
        try:
            async with scope:
                is_told = await self._handle_entry(entry)
            if scope.expired() and not is_told:  # the handler caught its cancellation and ran to its end
                self._overran(handling, message, None)
        except TimeoutError as error:
            self._overran(handling, message, error)
        finally:
            overdue.end(handling)
            if isinstance(message, ClientMessage):
                if begun is not None:
                    self._counts.handled(perf_counter() - begun)
                self._drop(message)
            work.end()

    @property
    def _is_void(self) -> bool:
        """Whether nothing more is handled of what the client has sent: it may not, or it has been gone for too long."""
        if self._deadline is None:
            return self.client.refused
        return self._deadline.is_over or self._host.moderation.refusal(self.client.identity) is not None

    def _drop(self, message: ClientMessage) -> None:
        """Note that a message is not handled any more; without effect if it is answered."""
        if message.answer is not None:
            message.answer.drop(_FAILED)

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
            self._failed(message)

    async def _handle_entry(self, entry: Entry) -> bool:
        """Handle a message, an arrival or a departure; return whether it failed and the failure was reported."""
        message, _, rule, _, _ = entry
        try:
            await self._run_entry(entry)
        except StepFailedError as failed:
            self.step_failed(failed)
        except UnavailableError as unavailable:
            logger.error(  # noqa: TRY400 - nothing of it is the plugin's
                "%s failed on %s for client %s: %s",
                rule.work,
                self.client.path,
                self.client.id,
                unavailable,
                extra=about(self.client),
            )
            if isinstance(message, ClientMessage):
                self._reject(UNAVAILABLE, message.ref, message.answer)
            return True
        except BaseException as error:  # SystemExit, too: it would end the event loop
            if is_the_task_s(error):
                raise
            logger.error(  # noqa: TRY400 - of what the plugin really raised
                "%s failed on %s for client %s",
                rule.work,
                self.client.path,
                self.client.id,
                exc_info=original(error),
                extra=about(self.client),
            )
        else:
            return False
        if isinstance(message, ClientMessage):
            self._failed(message)
        return True

    async def _run_entry(self, entry: Entry) -> None:
        """Run the list or the handler of an entry, and answer its message."""
        message, timestamp, rule, _, _ = entry
        result: Any = None
        if not isinstance(message, ClientMessage):
            await message.program.run_async(self.client_event(message, timestamp, rule), charge=self._source.charge)
            return
        if isinstance(rule.reaction, Do):
            await rule.reaction.program.run_async(self._event(message, timestamp, rule), charge=self._source.charge)
        elif isinstance(rule.reaction, Call):
            handler = rule.reaction.handler
            handling = rule.reaction.code.run(handler.function, self._event(message, timestamp, rule))
            result = await (self._handle_cancellable(handling) if handler.cancel_when_gone else handling)
        if message.answer is not None and result is not _CANCELLED:
            self._conclude(message.answer, result)

    def _conclude(self, answer: Answer, result: Any) -> None:
        """Answer with what a handler has returned, unless it has replied.

        Raises:
            TypeError: the result is not JSON.
            ValueError: it is too large.
        """
        client = self.client
        if not (result is None or result == "" or isinstance(result, Receipt) or answer.done):
            check_size(result)
            with contextlib.suppress(Veto):
                broadcaster = self._host.broadcaster
                broadcaster.reply(broadcaster.outgoing(result, Target(client=client.id), client), answer, client)
        answer.acknowledge()


def _not_yet(request: ServerRequest) -> RejectedMessageError:
    """Return the answer to a request for what is being read from the backplane."""
    later = ClientError(ErrorCode.UNAVAILABLE, "this is not known here yet; ask again in a moment")
    return RejectedMessageError(later, request.ref)
