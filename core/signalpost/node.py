"""The node: clients, state and handlers of one process. It knows no port and no protocol.

A plan at work is a `Generation`; a reload replaces it whole (`Node.turn_to`). `signalpost try` has a node of its own,
whose clients have transports that only record.
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from signalpost.config.model import LimitsConfig
from signalpost.delivery.broker import Broker, LocalBroker
from signalpost.delivery.client import Client
from signalpost.delivery.codec import Codec, Encoding, Encodings
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Publication
from signalpost.delivery.target import ClientId, Receipt
from signalpost.delivery.transport import Transport
from signalpost.events import Services, Shared
from signalpost.foreign import original
from signalpost.observe import Observer
from signalpost.plan import Plan
from signalpost.plugins.running import RunningPlugins
from signalpost.signals.admission import Accept, Admission, AdmissionHook, ConnectRequest
from signalpost.signals.broadcast import Broadcaster
from signalpost.signals.elsewhere import ElsewhereGuard, guard_for
from signalpost.signals.inbox import Source
from signalpost.signals.overdue import Overdue
from signalpost.signals.session import Session
from signalpost.signals.slots import HandlerSlots
from signalpost.signals.table import SignalTable
from signalpost.signals.work import Work
from signalpost.state.state import State, configure
from signalpost.websocket.handshake import HandshakeRejection

LOG = logging.getLogger(__name__)

_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Generation:
    """What one plan brings while it serves; a reload replaces it whole.

    Attributes:
        table: which signal takes which path.
        guard: judges messages for the signals of other paths; None where no signal asks for that.
        plugins: their instances, and hooks.
        work: what is under way by it.

    """

    plan: Plan
    table: SignalTable
    guard: ElsewhereGuard | None
    plugins: RunningPlugins
    work: Work = field(default_factory=Work)

    @property
    def limits(self) -> LimitsConfig:
        """What the plan says that a client, and all clients together, may have."""
        return self.plan.config.limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What a program may give a node from outside.

    Attributes:
        broker: brings publications to the nodes; None is a node that is alone.
        codecs: of further subprotocols.
        admission: asked about each client, one after the other.
        observer: hears what happens.

    """

    broker: Broker | None = None
    codecs: Sequence[Codec] = ()
    admission: Sequence[AdmissionHook] = ()
    observer: Observer | None = None


NO_SEAMS = Seams()


@dataclass(frozen=True, slots=True)
class ClientView:
    """One client, as it is just now.

    Attributes:
        endpoint: the name of the one where it is connected.
        groups: those it has joined, in order.
        protocol: its subprotocol, if that has a codec; else empty.
        waiting: bytes that wait for it to read.
        arriving: whether what is done when it comes is still under way.

    """

    id: str
    path: str
    endpoint: str
    groups: tuple[str, ...]
    protocol: str
    waiting: int
    arriving: bool


@dataclass(frozen=True, slots=True)
class NodeView:
    """Who is connected, and what waits.

    Attributes:
        clients: in the order in which they came.
        closing: connections that are being closed.
        handling: what is being handled, a text for each: ``handler shout of plugin chat on /chat``.
        under_way: messages, requests and runs of jobs that have begun, or wait for their turn, by the plan at work.
        asking: clients about whom an admission hook is still being asked.

    """

    clients: tuple[ClientView, ...]
    closing: int
    handling: tuple[str, ...]
    under_way: int
    asking: int


class Node:
    """Serves the clients of one process by one plan after the other.

    Args:
        plan: the first one.
        hub: delivers to the clients.
        state: shared by all handlers and actions.
        seams: given from outside.

    Attributes:
        hub: see above, likewise `state`.
        generation: the plan at work.
        broadcaster: sends values.
        shared: what all events share.
        slots: for handlers at work at once.
        running: the tasks of handlers at work, with whose messages they handle.
        base: what contexts of clients are copies of.
        overdue: the messages that are being handled.
        encodings: of all clients.
        observer: hears what happens; None if nobody wants to.
        asking: clients about whom an admission hook is still being asked.
        admits_at_once: whether no admission hook waits.

    """

    def __init__(self, plan: Plan, hub: Hub, state: State, seams: Seams = NO_SEAMS) -> None:
        self.hub = hub
        self.state = state
        self.shared = Shared(asyncio.Lock(), state, hub.clients, services=Services(plan.config.folder))
        self.observer = hub.observer = seams.observer
        self._broker: Broker = seams.broker or LocalBroker()
        self.broadcaster = Broadcaster(hub, self._broker.publish if seams.observer is None else self.publish)
        self.slots = HandlerSlots(plan.config.limits.handlers)
        self.running: dict[asyncio.Task[None], Client] = {}
        self.base: Context = copy_context()
        self.overdue = Overdue()
        self.encodings = Encodings(seams.codecs)
        self.asking = 0
        self._admission = tuple(seams.admission)
        self.admits_at_once = not any(map(inspect.iscoroutinefunction, self._admission))
        self.generation = self.prepare(plan)
        self._address()

    @property
    def work(self) -> Work:
        """What is under way by the plan at work."""
        return self.generation.work

    @property
    def patience(self) -> float:
        """Seconds that a client's arrival may take."""
        return self.generation.limits.handshake

    # Generations

    def prepare(self, plan: Plan, before: RunningPlugins | None = None) -> Generation:
        """Make what a plan needs to be at work, and change nothing.

        Args:
            plan: the next one.
            before: the plugins of the plan at work, of which those that have not changed go on.

        """
        names = [endpoint.name for endpoint in plan.config.endpoints if endpoint.scheme.websocket]
        refused = plan.config.undeclared_refused
        table = SignalTable(plan.signals, names, refuse_undeclared=refused, filters=plan.filters)
        settings = plan.config.plugins.settings
        plugins = RunningPlugins(plan.registry, settings, self.shared, self.broadcaster, before)
        return Generation(plan, table, guard_for(table, self.hub), plugins)

    async def open(self) -> None:
        """Begin to publish.

        Raises:
            OperatorError: the broker cannot begin.

        """
        await self._broker.start(self.hub.deliver)

    async def start(self) -> None:
        """Begin to publish, and start the plugins.

        Raises:
            OperatorError: the broker cannot begin.
            PluginError: a plugin could not start.

        """
        await self.open()
        plugins = self.generation.plugins
        await plugins.start(self.generation.limits.startup)
        plugins.take_over()
        self.base = plugins.base.copy()  # what plugins have set at the start, clients' code sees

    async def stop(self) -> None:
        """Shut the plugins down, and publish nothing any more."""
        await self.generation.plugins.stop()
        await self._broker.stop()

    def turn_to(self, generation: Generation) -> Generation:
        """Put a generation whose plugins are up to work, and return the one before; nothing waits, nothing fails."""
        before, self.generation = self.generation, generation
        generation.plugins.take_over()
        self.base = generation.plugins.base.copy()
        configure(self.state, generation.plan.config.state)
        self.slots.resize(generation.limits.handlers - before.limits.handlers)
        self._address()
        return before

    def _address(self) -> None:
        generation, filters = self.generation, self.generation.plan.filters
        self.broadcaster.address_by(generation.table, generation.guard)
        self.broadcaster.filter = None if filters is None else filters.broadcast

    # Clients

    @property
    def occupied(self) -> int:
        """How many connections are WebSockets or about to be, those that are being closed included."""
        return len(self.hub.clients) + len(self.hub.closing) + self.asking

    def admit(self, request: ConnectRequest) -> Admission:
        """Decide about a client.

        Raises:
            HandshakeRejection: it is not let in.

        """
        accept = self._resolve(request)
        for number, hook in enumerate(self._admission):
            verdict = _asked(hook, request)
            if inspect.isawaitable(verdict):
                return self._admit_later(accept, verdict, self._admission[number + 1 :])
            if isinstance(verdict, HandshakeRejection):
                raise verdict
        return accept

    async def _admit_later(
        self, accept: Accept, waits: Awaitable[HandshakeRejection | None], further: Sequence[AdmissionHook]
    ) -> Accept:
        """Decide about a client when hooks that wait have answered."""
        self.asking += 1
        try:
            async with asyncio.timeout(self.patience):
                verdict = await waits
                for hook in further:
                    if verdict is not None:
                        break
                    answer = _asked(hook, accept.request)
                    verdict = await answer if inspect.isawaitable(answer) else answer
        except TimeoutError:
            LOG.warning("a client on %s was rejected: its admission took too long", accept.request.path)
            verdict = HandshakeRejection(503, "The server could not decide in time whether to let this client in.")
        except Exception as error:  # noqa: BLE001 - a hook may raise anything
            verdict = _failed(error)
        finally:
            self.asking -= 1
        if verdict is not None:
            raise verdict
        return self._resolve(accept.request)  # another plan may be at work by now

    def _resolve(self, request: ConnectRequest) -> Accept:
        resolved = self.generation.table.resolve(request.endpoint.name, request.path)
        if resolved is None:
            raise HandshakeRejection(404, "There is no signal at this path.")
        return Accept(request, ClientId(secrets.token_hex(_ID_BYTES)), resolved)

    def attach(self, transport: Transport, accept: Accept, encoding: Encoding, source: Source) -> Session:
        """Make the session of a client that was let in; it is in no audience before its transport's owner adds it.

        Args:
            transport: writes to the client.
            accept: what was decided.
            encoding: how the client reads.
            source: where its messages come from.

        """
        resolved, slow = accept.resolved, accept.resolved.rule.config.slow
        client = Client(
            accept.client_id,
            resolved.path,
            accept.request.endpoint,
            transport,
            self.hub,
            limit=slow.buffer or self.generation.limits.outbox,
            policy=slow.policy,
            params=resolved.params,
            encoding=encoding,
            place=resolved.place,
            ward=resolved.ward,
        )
        return Session(client, resolved.rule, accept.request.handshake, self, source)

    def publish(self, publication: Publication) -> Receipt:
        """Publish, and let the observer hear of it."""
        receipt = self._broker.publish(publication)
        if self.observer is not None:
            self.observer.published(publication.path or None, publication.size, receipt.matched, receipt.dropped)
        return receipt

    # Who is there

    def inspect(self) -> NodeView:
        """Return who is connected, and what waits."""
        return NodeView(
            clients=tuple(_view(client) for client in self.hub.clients.values()),
            closing=len(self.hub.closing),
            handling=tuple(f"{task.get_name()} on {client.path}" for task, client in self.running.items()),
            under_way=self.work.open,
            asking=self.asking,
        )


def _view(client: Client) -> ClientView:
    return ClientView(
        client.id,
        client.path,
        client.endpoint.name,
        tuple(sorted(client.groups)),
        client.encoding.codec.name,
        client.waiting,
        client.arriving,
    )


def _asked(
    hook: AdmissionHook, request: ConnectRequest
) -> HandshakeRejection | Awaitable[HandshakeRejection | None] | None:
    """Ask a hook; what it raises is a rejection, and logged."""
    try:
        return hook(request)
    except Exception as error:  # noqa: BLE001 - a hook may raise anything
        return _failed(error)


def _failed(error: Exception) -> HandshakeRejection:
    if isinstance(error, HandshakeRejection):
        return error
    LOG.error("an admission hook failed, so the client was rejected", exc_info=original(error))
    return HandshakeRejection(500, "The server could not decide whether to let this client in.")
