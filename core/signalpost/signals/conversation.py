"""A conversation: one client on one signal. Its messages are received, decided, delivered or passed to a handler."""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping
from contextvars import Context
from datetime import UTC, datetime
from functools import partial
from typing import Any

from signalpost.backplanes.backplane import Once
from signalpost.config.authmodel import Verb
from signalpost.config.model import LatestBy, MessageFormat, Rebroadcast
from signalpost.delivery.client import Client
from signalpost.delivery.publication import RawPublication
from signalpost.delivery.target import EVERYONE, ClientId, Receipt, Target, target_at
from signalpost.errors import ClientError, ErrorCode, StepFailedError
from signalpost.events import Broadcast, ClientEvent, HandshakeRequest, MessageData, SignalEvent
from signalpost.jsontext import memory_of
from signalpost.logsubject import SUBJECT, about, subject_of
from signalpost.paths import Place
from signalpost.signals.answers import Answer, Ref
from signalpost.signals.arrival import Arrival
from signalpost.signals.asking import answer
from signalpost.signals.broadcast import SenderBroadcast, refusing
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
from signalpost.signals.entries import Entries
from signalpost.signals.host import Host
from signalpost.signals.inbox import FAILED, ClientArrival, ClientDeparture, Entry, Inbox, Source
from signalpost.signals.lookalike import frame_looks_like_the_server_s, looks_like_an_error
from signalpost.signals.message import (
    AWAITED,
    NO_MESSAGE,
    ClientMessage,
    RejectedMessageError,
    ReservedKeyError,
    read_message,
    read_value,
)
from signalpost.signals.messagefilters import Filters, Outgoing, Veto
from signalpost.signals.permissions import Permits, Question
from signalpost.signals.recovery import Recovery
from signalpost.signals.renewal import renew
from signalpost.signals.requests import TOKEN, ServerRequest, read_request
from signalpost.signals.rule import Call, Do, Program, Relay, SignalRule
from signalpost.signals.sequenced import answer_later
from signalpost.signals.sessions import Session
from signalpost.signals.watching import Watch
from signalpost.websocket.frames import CloseCode, Opcode

logger = logging.getLogger("signalpost.signals")

_TEXT = int(Opcode.TEXT)
_BINARY_OPCODE = int(Opcode.BINARY)
_RAW = MessageFormat.RAW
_EVERYONE, _SENDER = Rebroadcast.EVERYONE, Rebroadcast.SENDER
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
        counts: what is counted of its signal; asked for each message.
        recovery: what the client reads when it is admitted; None once it is, or without a history.
        present: the place where others see the client; None if they do not.
        renewing: looks at another token of the client, which needs a key that is fetched; None if there is none.
    """

    __slots__ = (
        "_arrival",
        "_context",
        "_entries",
        "_host",
        "_inbox",
        "_source",
        "client",
        "counts",
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
        self.counts = host.counts.of(rule)
        self._source = source
        self._inbox: Inbox | None = None
        self._arrival: Arrival | None = None
        self._context: Context | None = None
        self._entries: Entries | None = None

    def switch_rule(self, rule: SignalRule, source: Source) -> None:
        """Handle messages by another rule, and from another source, from the next one on.

        Messages that are being handled or wait stay with the rule under which they were received: its schema accepted
        them, and that schema belongs to its handler. No later message overtakes them.
        """
        self._source = source
        self.rule = rule
        self.counts = self._host.counts.of(rule)
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
    def source(self) -> Source:
        """The client's connection."""
        return self._source

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
        if self._entries is not None:
            self._entries.cancel()
        if self.rule.cancel_when_gone:
            self.abandon()
        return not self.rule.cancel_when_gone

    def hurry(self) -> None:
        """Cancel what is handled for a disconnected client after it has been gone for too long."""
        self._handling().hurry()

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
        self._arrival = self._entries = None
        if self._inbox is not None:
            self._inbox.end()

    def receive(self, opcode: int, payload: bytes) -> None:
        """Receive a message: text (valid UTF-8) or binary."""
        rule = self.rule
        shortcut = rule.shortcut
        if shortcut is not None and opcode == _TEXT and (value := read_value(payload, rule.gate)) is not None:
            counts = self.counts
            if counts.on:
                outcome = "answer" if shortcut is _SENDER else "deliver"
                counts.messages[outcome] += 1  # not by `_observe`: a call is measurable
                if self._host.program_observer is not None:
                    self._host.program_observer.received(self.client.id, self.client.path, outcome)
            place = self.client.place
            target = None if shortcut is _SENDER else EVERYONE if shortcut is _EVERYONE else target_at(place)
            if counts.watch is None:
                sent = self._deliver(value, target, None)
            else:
                sent = self._deliver_watched(value, payload, target, counts.watch)
            if sent is not None and sent.later is not None:
                answer_later(sent.later, None, partial(self.refuse, ref=None))
        elif self.counts.watch is not None:
            self._receive_watched(opcode, payload, self.counts.watch)
        elif rule.config.format is _RAW:
            self._relay(opcode, payload)
        elif opcode != _TEXT:
            self.refuse(_BINARY, None)
        else:
            self._consider(payload, rule)

    def receive_awaited(self, opcode: int, payload: bytes) -> None:
        """Receive a message that is answered even if it has no ``ref``: that of a POST."""
        if self.counts.watch is not None:
            self._receive_watched(opcode, payload, self.counts.watch, AWAITED)
        elif opcode == _TEXT and self.rule.config.format is not _RAW:
            self._consider(payload, self.rule, AWAITED)
        else:
            self.receive(opcode, payload)

    def _deliver_watched(self, value: Any, payload: bytes, target: Target | None, watch: Watch) -> Receipt | None:
        """Deliver a message that needs no decision, and record it; see `_deliver`."""
        watch.begin(self.client, self.rule, payload)
        watch.decoded(ClientMessage(value))
        watch.decided(ANSWER if target is None else Deliver(target))
        sent = self._deliver(value, target, None)
        watch.end()
        return sent

    def _receive_watched(self, opcode: int, payload: bytes, watch: Watch, ref: Ref | None = None) -> None:
        """Receive a message, and record it."""
        watch.begin(self.client, self.rule, payload, binary=opcode != _TEXT)
        try:
            if self.rule.config.format is _RAW:
                self._relay(opcode, payload)
            elif opcode != _TEXT:
                self.refuse(_BINARY, None)
            else:
                self._consider(payload, self.rule, ref)
        finally:
            watch.end()

    def _consider(self, payload: bytes, rule: SignalRule, ref: Ref | None = None) -> None:  # noqa: C901, PLR0912 - calls are measurable
        """Read a message that needs a decision, and do what is decided."""
        converses = self.session is not None
        try:
            message = read_message(payload, rule.gate, converses=converses, names_users=rule.names_users)
        except RejectedMessageError as refused:
            if self.counts.watch is not None and refused.message is not None:
                self.counts.watch.decoded(refused.message)
            alive = b"" if payload else self.client.encoding.codec.alive()
            if alive:
                self.client.send(alive)
            else:
                self.refuse(refused.error, refused.ref)
            return
        except ReservedKeyError as asked:
            self._serve(asked.document)
            return
        if ref is not None and message.ref is None:
            message.ref = ref
        if self.counts.watch is not None:
            self.counts.watch.decoded(message)
        if converses and (message.ref is not None or message.once is not None) and not self._expect(message, rule):
            return
        if rule.filters is not None and not self._passes(message, rule.filters):
            return
        decision = self.decide(message, rule)
        if self.counts.on and not isinstance(decision, Reject):
            outcome = _OUTCOMES[type(decision)]
            self.counts.messages[outcome] += 1  # not by `_observe`: a call is measurable
            if self._host.program_observer is not None:
                self._host.program_observer.received(self.client.id, self.client.path, outcome)
            if self.counts.watch is not None:
                self.counts.watch.decided(decision)
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
            self.refuse(decision.error, message.ref, message.answer)
        if sent is not None and sent.later is not None:
            answer_later(sent.later, message.answer, partial(self.refuse, ref=message.ref, answer=message.answer))
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
            body = answer(self, self._host, request)
        except RejectedMessageError as refused:
            self.refuse(refused.error, refused.ref)
            return
        if self.counts.on:
            self._observe(request.kind)
        ref = {} if request.ref is None else {"ref": request.ref}
        self.client.send(self.client.encoding.noticed(request.kind, {**ref, **body}))

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
        if self.counts.watch is not None:
            self.counts.watch.stopped()
        answer = None if message is None else message.answer
        if veto.code:
            ref = None if message is None else message.ref
            self.refuse(ClientError(veto.code, veto.detail, veto.pointer), ref, answer)
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
        if message is not None and self.counts.watch is not None:
            return self._judged(permits, verb, message, self.counts.watch)
        may = permits.at_once(verb, self.client.identity)
        return permits.allow(verb, self.question(message), self._host.admitter.failures.add) if may is None else may

    def _judged(self, permits: Permits, verb: Verb, message: ClientMessage, watch: Watch) -> bool:
        """Return whether the client may send a message, and note what decided that."""
        if not permits.decides(verb) and not self.client.identity.program:
            return True
        judgement = permits.judge_aloud(verb, self.question(message), self._host.admitter.failures.add)
        watch.judged(verb, judgement)
        return judgement.allowed

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
        if (
            ("error" in value and len(value) == 1) if kind is dict else kind is str and value[:1] in _MAPPING_BEGINS
        ) and looks_like_an_error(value):
            self.refuse(FORGED, ref, answer)
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
            broadcaster = self._host.broadcaster
            if target.path is None and (guard := broadcaster.guard) is not None and guard.concerns(client):
                return self._deliver_beyond(value, target, message, guard)
            if value is not None and value != "":
                once = None if message is None or self._host.alone else self._once(message, target)
                return broadcaster.send_one(value, target, client.path, once)
        except TypeError:
            # orjson parses four times as deep as it serializes.
            self.refuse(_TOO_DEEP, ref, answer)
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
            self.refuse(FORGED, None)
            return
        decision, path = self._decide_frame(opcode, payload), client.path
        if isinstance(decision, Reject):
            self.refuse(decision.error, None)
            return
        if self.counts.on:
            self._observe(_OUTCOMES[type(decision)], decision)
        if decision is ANSWER:
            self._host.hub.send(client, RawPublication(opcode, payload, path).encoded(client.encoding), path)
        elif isinstance(decision, Deliver):
            guard, target = self._host.broadcaster.guard, decision.target
            if guard is not None and target.path is None:
                target = refusing(target, client, guard.refused(self.question(), None))
            receipt = self._host.broadcaster.publish(RawPublication(opcode, payload, path, target, path))
            answer_later(receipt.later, None, partial(self.refuse, ref=None))

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

    def acknowledge(self, request: ServerRequest, body: Mapping[str, Any]) -> None:
        """Tell the client that a request to the server was done."""
        if self.counts.on:
            self._observe(request.kind)
        ref = {} if request.ref is None else {"ref": request.ref}
        self.client.send(self.client.encoding.noticed("ack", {**ref, **body}))

    def refuse(self, error: ClientError, ref: Ref | None, answer: Answer | None = None) -> None:
        """Tell the sender that its message was refused, and why."""
        if answer is not None:
            answer.refuse(error)
        self._say(error, ref, answer)

    def _say(self, error: ClientError, ref: Ref | None, answer: Answer | None) -> None:
        """Note an error, and tell the sender, unless it has been answered."""
        if self.counts.on:
            self._observe(error.code)
            if self.counts.watch is not None:
                self.counts.watch.refused(error)
        if (answer is None or not answer.wanted) and (told := self.client.encoding.codec.error(error, ref)):
            self.client.send(told)

    def failed(self, message: ClientMessage) -> None:
        """Tell the sender that its message could not be handled."""
        if (watch := self.counts.watch) is not None and (way := watch.way_of(self.client, message)) is not None:
            way.error = FAILED
        if message.answer is not None:
            message.answer.fail(FAILED)
        self._say(FAILED, message.ref, message.answer)

    def _observe(self, outcome: str, decision: Decision | None = None) -> None:
        """Count a message; only called while something counts."""
        self.counts.messages[outcome] += 1
        if decision is not None and self.counts.watch is not None:
            self.counts.watch.decided(decision)
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
            self._run(program, self.message_event(message, datetime.now(UTC), self.rule))
        except StepFailedError as error:
            self.step_failed(error)
            self.failed(message)

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

    def message_event(self, message: ClientMessage, timestamp: datetime, rule: SignalRule) -> SignalEvent:
        """Make the event of a message."""
        client = self.client
        broadcast: Broadcast = SenderBroadcast(self._host.broadcaster, client, message, self.session)
        if (watch := self.counts.watch) is not None and (way := watch.way_of(client, message)) is not None:
            broadcast = watch.during(way, broadcast)
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
            broadcast=broadcast,
            _seat=rule.reaction.handler.seat if isinstance(rule.reaction, Call) else None,
        )

    def step_failed(self, error: StepFailedError) -> None:
        """Log that a step failed."""
        client = self.client
        logger.error(
            "%s (on %s, for client %s)", error, client.path, client.named, exc_info=error.cause, extra=about(client)
        )

    def _handling(self) -> Entries:
        if self._entries is None:
            self._entries = Entries(self, self._host)
        return self._entries

    def _invoke(self, what: ClientMessage | ClientArrival | ClientDeparture, size: int = 0) -> None:
        host = self._host
        if self._inbox is None:
            self._inbox = Inbox(
                self.client,
                self._source,
                self.rule.config.parallel,
                self._handling().handle,
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
