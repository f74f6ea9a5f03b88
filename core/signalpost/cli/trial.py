"""A trial: sends a message through a plan, with simulated clients.

Everything is real except the sockets: hub, conversations, schemas, actions, state. Plugins' code runs only on request,
since its side effects are unknown.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from time import time
from typing import Any
from urllib.parse import quote

from signalpost.actions.execution import WebRequest
from signalpost.actions.steps import Branch, Leaf, Loop, Step
from signalpost.auth.identity import Identity
from signalpost.cli.imagined import Imagined
from signalpost.config.authmodel import Verb
from signalpost.config.model import EndpointConfig
from signalpost.delivery.client import Client
from signalpost.delivery.codec import PLAIN
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import ClientId
from signalpost.delivery.transport import RecordingTransport
from signalpost.errors import ClientError, OperatorError, PluginError, StepFailedError
from signalpost.events import HandshakeRequest, RouteEvent
from signalpost.http.restraint import RouteBroadcast
from signalpost.node import Node, Seams
from signalpost.paths import Params, path_of
from signalpost.plan import Plan, RouteRule
from signalpost.plan.rulings import said
from signalpost.signals.admission import Accept, ConnectRequest
from signalpost.signals.conversation import FORGED, Conversation
from signalpost.signals.decide import Answer, Decision, Deliver, Reject
from signalpost.signals.elsewhere import document_of
from signalpost.signals.lookalike import looks_like_an_error
from signalpost.signals.message import ClientMessage
from signalpost.signals.permissions import Asker, Judgement, Question
from signalpost.signals.rule import Call, Do, Reaction, SignalRule
from signalpost.signals.sends import UnexpectedValue
from signalpost.signals.table import ResolvedPath
from signalpost.state.state import State
from signalpost.websocket.frames import Opcode

NOT_CALLED = "not called"
"""The outcome of a step of a plugin."""

FAILED = "failed"
"""In place of a response."""

_LOG = logging.getLogger(__name__)
_CALLS = "--call calls it, and starts the plugins first"
_CALLS_NOT = "it is given a request of the web server's, and there is no server here"
_PEER = ("127.0.0.1", 50000)
_LENGTH_16, _LENGTH_64 = 126, 127


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that ran; the fields are those of a `Trace` call. A plugin's step may have been left out."""

    name: str
    where: str
    values: Any
    outcome: Any


@dataclass(slots=True)
class Outcome:
    """The results of a trial.

    Attributes:
        steps: in the order in which they ran; empty without actions.
        left_out: plugins' code that would have been called, and how to call it: a sentence each.
        log: lines of the server's log, without those of ``log`` steps.
    """

    steps: list[Taken] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def trace(self, step: str, where: str, values: Any, outcome: Any) -> None:
        """Record a step."""
        self.steps.append(Taken(step, where, values, outcome))


class Trial:
    """A server without sockets, for one message. Needs a running loop.

    Args:
        plan: of the app.
        endpoint: where all clients are connected.
        state: for actions and handlers.
        call: whether plugins' code is called; then they are started first, and shut down at the end.

    Attributes:
        outcome: what has happened since the message was sent.
        unexpected: the values so far that are not what ``sends`` of their signal says, each once.
    """

    def __init__(self, plan: Plan, endpoint: EndpointConfig, state: dict[str, Any], *, call: bool) -> None:
        self._endpoint = endpoint
        self._call = call
        original = plan
        if not call:  # the filters of plugins are plugins' code, too
            plan = replace(plan, filters=None)
            plan = replace(plan, signals=tuple(map(_without_authorize, plan.signals)))
        self._authorizes = any(rule.permits is not None and rule.permits.authorize for rule in original.signals)
        self.unexpected: dict[UnexpectedValue, None] = {}
        seams = Seams(unexpected=self.unexpected.setdefault)
        self._node = Node(plan, Hub(lambda _: None), State(state), seams)
        self._conversations: dict[str, Conversation] = {}
        self._transports: dict[str, _Recording] = {}
        self.outcome = Outcome()

    @property
    def clients(self) -> tuple[Client, ...]:
        """All connected clients, in the order in which they connected."""
        return tuple(self._node.hub.clients.values())

    @property
    def state(self) -> dict[str, Any]:
        """The state for actions and handlers."""
        return dict(self._node.shared.state.view)

    @property
    def kept(self) -> list[tuple[str, int, Any]]:
        """The kept values, with the path that each was sent to, and its number there."""
        return [
            (path_of(stream.place) or "", number, entry.value)
            for stream in self._node.memory.streams
            for number, entry in stream.after(0)
        ]

    def resolve(self, path: str) -> ResolvedPath | None:
        """Return the signal of a path; None if the path is rejected."""
        return self._node.generation.table.resolve(self._endpoint.name, path)

    def canonical_path(self, path: str) -> str:
        """Convert a target's path to the spelling of clients' paths."""
        return self._node.generation.table.canonical_path(path)

    @asynccontextmanager
    async def running(self, clients: Iterable[Imagined]) -> AsyncIterator[None]:
        """Start the plugins, if they are called at all, and connect clients; shut the plugins down at the end.

        Raises:
            OperatorError: a plugin cannot start, or a client cannot be connected.
        """
        try:
            await (self._node.start() if self._call else self._node.open())
            for each in clients:
                await self.connect(each)
            yield
        except PluginError as error:
            raise OperatorError(str(error)) from None
        finally:
            if self._call:
                await self._node.stop()
            self._node.memory.presence.stop()

    def refusal(self, imagined: Imagined) -> str:
        """Return why a client would not be let in; empty if it would be."""
        resolved = self.resolve(imagined.path)
        if resolved is None:
            return ""
        asker = Asker(imagined.id, resolved.path, frozenset(imagined.groups))
        permits, request = resolved.rule.permits, self._request(imagined)
        rejection = self._node.admitter.refusal(imagined.identity, resolved, asker, request)
        if rejection is None or permits is None:
            return ""
        question = Question(imagined.identity, resolved.path, resolved.params, self._node.shared, asker, request.seen)
        why = said(Verb.CONNECT, permits.judge(Verb.CONNECT, question))
        return f"refused with {rejection.status} (4{rejection.status} to clients of signalpost.v1): {why}"

    def judged(self, sender: Client, message: ClientMessage, rule: SignalRule) -> Iterator[tuple[Verb, Judgement]]:
        """Yield what is judged of a message before it is decided about."""
        if self._authorizes and not self._call:
            self._leave_out(f"the hooks authorize of plugins; {_CALLS}")
        if rule.permits is None:
            return
        question = self._conversations[sender.id].question(message)
        verbs = (Verb.PUBLISH, Verb.TARGET) if message.targeted and not message.direct else (Verb.PUBLISH,)
        for verb in verbs:
            if rule.permits.decides(verb):
                yield verb, rule.permits.judge(verb, question)

    def _request(self, imagined: Imagined) -> HandshakeRequest:
        head = f"GET {quote(imagined.path)} HTTP/1.1\r\nHost: {self._endpoint.host}".encode()
        return HandshakeRequest(head, _PEER)

    async def connect(self, imagined: Imagined) -> Client:
        """Connect a client, and run what its signal does then.

        Raises:
            OperatorError: no signal serves its path, or its id exists already.
        """
        resolved = self.resolve(imagined.path)
        if resolved is None:
            raise OperatorError(
                f"client {imagined.id}: the server refuses the path {imagined.path} (undeclared: refuse)"
            )
        request = ConnectRequest(self._endpoint, imagined.path, self._request(imagined), imagined.identity)
        accept = Accept(request, ClientId(imagined.id), replace(resolved, rule=self._traced(resolved.rule)))
        transport = self._transports[imagined.id] = _Recording()
        conversation = self._node.attach(transport, accept, PLAIN, transport)
        client = conversation.client
        self._node.memory.receive(conversation)
        try:
            self._node.hub.add(client)
        except ValueError as error:
            raise OperatorError(str(error)) from None
        for group in imagined.groups:
            client.join(group)
        self._conversations[imagined.id] = conversation
        conversation.arrive()
        await self._finish()
        return client

    def decide(self, sender: Client, message: ClientMessage, rule: SignalRule) -> Decision:
        """Decide what happens to a message, as the server does.

        Args:
            sender: of the message.
            message: that the schema accepted.
            rule: of the plan, for the sender's path.
        """
        decision = self._conversations[sender.id].decide(message, rule)
        if isinstance(decision, Deliver | Answer) and looks_like_an_error(message.message):
            return Reject(FORGED)
        return decision

    def left_out(self, sender: Client, message: ClientMessage, decision: Decision) -> tuple[str, ...]:
        """Return the paths of clients elsewhere whose signals do not accept a message that is to be re-broadcast."""
        guard = self._node.broadcaster.guard
        if guard is None or not isinstance(decision, Deliver) or decision.target.path or decision.target.client:
            return ()
        refused = guard.refused(self._conversations[sender.id].question(message), document_of(message))
        others = (client for client in self._node.hub.clients.values() if client.place != sender.place)
        return tuple(dict.fromkeys(client.path for client in others if client.ward in refused))

    async def send(self, sender: Client, text: str) -> None:
        """Send a text frame as a client, and wait until all its consequences are done."""
        with self._afresh():
            self._conversations[sender.id].receive(int(Opcode.TEXT), text.encode(errors="surrogatepass"))
            await self._finish()

    async def ask(self, rule: RouteRule, request: WebRequest, params: Params, identity: Identity) -> Any:
        """Request a route with actions, and wait until everything is done.

        A handler called by a step is always left out: it would need a request of the web server.

        Returns:
            A `signalpost.actions.execution.Response`; None without one; and `FAILED` if a step failed.
        """
        event = RouteEvent(
            identity=identity,
            request=None,
            path=request.seen["path"],
            params=params,
            route=rule.config.path.text,
            endpoint=self._endpoint,
            _seconds=time(),
            shared=self._node.shared,
            broadcast=RouteBroadcast(self._node.broadcaster),
        )
        program = self._without_code(rule.do, handlers=False)
        with self._afresh():
            try:
                run = await program.run_async(event, request=request, trace=self.outcome.trace)
            except StepFailedError as error:
                cause = None if isinstance(error.cause, ClientError) else error.cause
                _LOG.error("%s (on %s)", error, request.seen["path"], exc_info=cause)
                return FAILED
            finally:
                await self._finish()
        return run.answer

    def request_judged(self, rule: RouteRule, seen: Mapping[str, Any], params: Params, identity: Identity) -> str:
        """Return why a request would not be answered; empty if it would be."""
        permits = rule.permits
        if permits is None or (permits.authorize is not None and not self._call and not permits.rules):
            return ""
        if not self._call:
            permits = replace(permits, authorize=None)
        question = Question(identity, seen["path"], params, self._node.shared, seen=lambda: seen)
        judgement = permits.judge(Verb.REQUEST, question)
        if judgement.allowed:
            return ""
        return f"refused with {401 if identity.user is None else 403}: {said(Verb.REQUEST, judgement)}"

    @contextmanager
    def _afresh(self) -> Iterator[None]:
        """Discard what clients have received so far, and record what happens now."""
        self._node.hub.flush()
        for transport in self._transports.values():
            transport.written.clear()
        self.outcome = Outcome()
        with _listening(self.outcome.log):
            yield

    def received(self, client: str) -> list[str]:
        """Return the texts that a client has received since the message was sent, and how it was closed."""
        return list(_texts(bytes(self._transports[client].written)))

    async def _finish(self) -> None:
        while self._node.running:
            await asyncio.wait(tuple(self._node.running))
        self._node.hub.flush()

    # Replacements for a rule's own actions and handler

    def _traced(self, rule: SignalRule) -> SignalRule:
        """Return a rule whose steps are recorded, and whose plugins' code is left out unless it is to be called."""
        if rule.filters is not None and not self._call:
            self._leave_out(f"the filters of plugins; {_CALLS}")
            rule = replace(rule, filters=None)
        connected = None if rule.connected is None else self._without_code(rule.connected)
        match rule.reaction:
            case Do(program=program):
                reaction: Reaction = Do(_Traced(self._without_code(program), self))
            case Call(handler=handler) if not self._call:

                async def leave_out(_event: Any) -> None:
                    self._leave_out(f'handler "{handler.name}" of plugin {handler.plugin}; {_CALLS}')

                reaction = Call(replace(handler, function=leave_out))
            case as_it_is:
                reaction = as_it_is
        return replace(rule, reaction=reaction, connected=connected)

    def _without_code(self, program: Any, *, handlers: bool = True) -> Any:
        """Return a program without plugins' code, unless that is to be called; handlers may always be left out."""
        return replace(program, steps=tuple(self._step(step, handlers=handlers) for step in program.steps))

    def _step(self, step: Step, *, handlers: bool) -> Step:
        match step:
            case Branch(then=then, otherwise=otherwise):
                return replace(
                    step,
                    then=tuple(self._step(each, handlers=handlers) for each in then),
                    otherwise=tuple(self._step(each, handlers=handlers) for each in otherwise),
                )
            case Loop(body=body):
                return replace(step, body=tuple(self._step(each, handlers=handlers) for each in body))
            case Leaf(code=code) if code:
                callable_here = handlers or step.name != "call"
                if self._call and callable_here:
                    return step
                text = f"{code}; {_CALLS if callable_here else _CALLS_NOT}"
                return replace(step, waits=False, effect=lambda _run, _options: self._leave_out(text))
        return step

    def _leave_out(self, text: str) -> str:
        self.outcome.left_out.append(text)
        return NOT_CALLED


def _without_authorize(rule: SignalRule) -> SignalRule:
    permits = rule.permits
    if permits is None or permits.authorize is None:
        return rule
    return replace(rule, permits=replace(permits, authorize=None) if permits.rules else None)


class _Traced:
    """A list of actions whose steps are recorded in the outcome of a trial (`signalpost.signals.rule.Program`)."""

    def __init__(self, program: Any, trial: Trial) -> None:
        self._program = program
        self._trial = trial
        self.waits: bool = program.waits
        self.foreign: bool = program.foreign
        self.calls: frozenset[str] = program.calls

    def run(self, event: Any) -> Any:
        return self._program.run(event, trace=self._trial.outcome.trace)

    async def run_async(self, event: Any, *, charge: Callable[[float], None] | None = None) -> Any:
        return await self._program.run_async(event, trace=self._trial.outcome.trace, charge=charge)


class _Recording(RecordingTransport):
    """The transport of a simulated client, and the source for its conversation: records what is written."""

    def read_on(self, on: bool) -> None:
        """Do nothing; a client that sends one message is not paused."""

    def note_waiting(self, change: int) -> None:
        """Do nothing; there are no other clients to protect."""

    def charge(self, seconds: float) -> None:
        """Do nothing; a client that sends one message has no limit."""


def _texts(data: bytes) -> Iterator[str]:
    """Decode what a server has written to one client: whole frames without masks (RFC 6455 section 5.2)."""
    while data:
        opcode, length, start = data[0] & 0x0F, data[1], 2
        if length in (_LENGTH_16, _LENGTH_64):
            start = 4 if length == _LENGTH_16 else 10
            length = int.from_bytes(data[2:start])
        payload, data = data[start : start + length], data[start + length :]
        if opcode == Opcode.CLOSE:
            reason = payload[2:].decode()
            yield f"closed with {int.from_bytes(payload[:2])}" + (f": {reason}" if reason else "")
        elif opcode == Opcode.TEXT:
            yield payload.decode()


@contextmanager
def _listening(lines: list[str]) -> Iterator[None]:
    """Record the warnings and errors of the server's log."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != "signalpost.log":
                cause = record.exc_info[1] if record.exc_info else None
                lines.append(record.getMessage() + (f": {type(cause).__name__}: {cause}" if cause else ""))

    root, listener = logging.getLogger(), Listener(logging.WARNING)
    before, root.handlers[:] = list(root.handlers), [listener]
    try:
        yield
    finally:
        root.handlers[:] = before
