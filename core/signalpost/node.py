"""The node: clients, state and handlers of one process. It has no port and no protocol.

A plan that serves is a `Generation`; a reload replaces it as a whole (`Node.turn_to`). `signalpost try` uses a node of
its own, whose clients have transports that only record.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from time import time
from typing import TYPE_CHECKING

from signalpost.accesslog import AccessLog
from signalpost.admitting import Admitter
from signalpost.auth.identity import GUEST, Identity
from signalpost.backplanes.backplane import Backplane
from signalpost.config.model import LimitsConfig
from signalpost.delivery.broker import Broker, LocalBroker, Publish
from signalpost.delivery.client import Client
from signalpost.delivery.codec import Codec, Encoding, Encodings
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Published, Receipt
from signalpost.delivery.transport import Transport
from signalpost.edge.limiter import Limiter
from signalpost.events import Services, Shared
from signalpost.observe import Observer
from signalpost.plan import Plan
from signalpost.plugins.authentication import Authentication
from signalpost.plugins.identification import Identification
from signalpost.plugins.running import RunningPlugins
from signalpost.signals.admission import Accept, AdmissionHook
from signalpost.signals.broadcast import Broadcaster, Sender, SenderBroadcast
from signalpost.signals.conversation import Conversation
from signalpost.signals.counts import Counts, SignalView, groups_of, views
from signalpost.signals.elsewhere import ElsewhereGuard, guard_for
from signalpost.signals.expiry import Expiries
from signalpost.signals.grouping import Grouping
from signalpost.signals.inbox import Source
from signalpost.signals.levels import levels_of
from signalpost.signals.memory import Memory
from signalpost.signals.message import NO_MESSAGE
from signalpost.signals.moderation import Moderation
from signalpost.signals.overdue import Overdue
from signalpost.signals.sends import SendsCheck, UnexpectedValue
from signalpost.signals.sessions import Session
from signalpost.signals.slots import HandlerSlots
from signalpost.signals.table import ResolvedPath, SignalTable, served_at
from signalpost.signals.work import Work
from signalpost.state.state import State, configure, writer_of

if TYPE_CHECKING:
    from signalpost.auth.authority import TokenAuthority  # which loads PyJWT


@dataclass(frozen=True, slots=True)
class Generation:
    """The objects of one plan while it serves; a reload replaces them as a whole.

    Attributes:
        table: which signal serves which path.
        guard: checks messages for the signals of other paths; None if no signal requires that.
        plugins: their instances and hooks.
        identification: finds out who clients are; None if nothing can tell.
        authority: judges tokens; None if none are taken.
        limits: of the plan.
        work: what is under way by it.
    """

    plan: Plan
    table: SignalTable
    guard: ElsewhereGuard | None
    plugins: RunningPlugins
    identification: Identification | None
    authority: "TokenAuthority | None" = None
    work: Work = field(default_factory=Work)
    limits: LimitsConfig = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", self.plan.config.limits)  # looked up for each handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """Parts that a program may supply to a node.

    Attributes:
        broker: carries publications to the nodes; None for a single node.
        backplane: that the nodes of the app share, in place of the one that the file names; None for that one, if any.
        codecs: of additional subprotocols.
        admission: hooks called for each client, one after the other.
        observer: notified of what happens.
        access: called with each answered handshake and request, and whom it is about. None costs nothing.
        unexpected: called with each value that clients receive and the key ``sends`` of their signal does not allow.
            None checks nothing, and costs nothing.
        clock: returns the seconds since 1970, by which identities end; None is the system's.
    """

    broker: Broker | None = None
    backplane: Backplane | None = None
    codecs: Sequence[Codec] = ()
    admission: Sequence[AdmissionHook] = ()
    observer: Observer | None = None
    access: AccessLog | None = None
    unexpected: Callable[[UnexpectedValue], None] | None = None
    clock: Callable[[], float] | None = None


NO_SEAMS = Seams()


@dataclass(frozen=True, slots=True)
class ClientView:
    """One client at this moment.

    Attributes:
        endpoint: name of the one where it is connected.
        groups: that it has joined, sorted.
        protocol: its subprotocol, if that has a codec, or ``sse`` or ``sse.v1``; else empty.
        waiting: bytes that wait until it reads.
        arriving: whether its arrival is still under way.
        user: who it is; None is a guest.
    """

    id: str
    path: str
    endpoint: str
    groups: tuple[str, ...]
    protocol: str
    waiting: int
    arriving: bool
    user: str | None = None


@dataclass(frozen=True, slots=True)
class NodeView:
    """The connected clients, and what waits.

    Attributes:
        clients: in the order in which they connected.
        closing: connections that are being closed.
        handling: what is being handled, a text for each: ``handler shout of plugin chat on /chat``.
        under_way: messages, requests and runs of jobs of the current plan that have begun, or wait for their turn.
        asking: clients that wait until it is decided whether they are let in.
    """

    clients: tuple[ClientView, ...]
    closing: int
    handling: tuple[str, ...]
    under_way: int
    asking: int


class Node:
    """Serves the clients of one process, with one plan after the other.

    Args:
        plan: the first one.
        hub: delivers to the clients.
        state: shared by all handlers and actions.
        seams: supplied by the program.

    Attributes:
        hub: see above, also for `state`.
        memory: what is remembered for the clients.
        moderation: sends clients away, and keeps them away.
        grouping: lets clients join and leave groups.
        generation: of the current plan.
        broadcaster: sends values.
        shared: by all events.
        slots: for handlers that run at once.
        running: the tasks of running handlers, with the senders of their messages.
        sequencing: values whose place in the order of all nodes is awaited, with the senders of their messages.
        base: the context that contexts of clients are copied from.
        overdue: the messages that are being handled.
        encodings: of all clients.
        observer: notified of what happens, except of each message and publication; None for no observer.
        program_observer: the one of the seams, which is notified of these, too.
        counts: of its signals.
        limiter: of what one address or one user has.
        alone: whether all clients there are are connected here.
        admitter: decides which clients are let in.
        expiries: watches the clients whose identity ends.
    """

    def __init__(self, plan: Plan, hub: Hub, state: State, seams: Seams = NO_SEAMS) -> None:
        self.hub = hub
        self.state = state
        self.shared = Shared(asyncio.Lock(), state, hub.clients, services=Services(plan.config.folder))
        self.observer = self.program_observer = hub.observer = seams.observer
        self.counts = Counts()
        self._broker: Broker = seams.broker or LocalBroker()
        self.broadcaster = Broadcaster(hub, self.publish)
        self.broadcaster.sends = None if seams.unexpected is None else SendsCheck(hub, seams.unexpected)
        self.memory = Memory(hub, plan.config)
        self.shared.services.memory = self.memory
        self.limiter = Limiter(plan.config.limits)
        self.limiter.observer = seams.observer
        self.moderation = Moderation(hub, self.broadcaster.targets, seams.observer, seams.clock or time)
        self.shared.services.moderator = self.moderation
        self.grouping = Grouping(hub)
        self.admitter = Admitter(seams.admission, self.shared, self.moderation, self.limiter)
        self.admitter.observer = seams.observer
        if (writer := writer_of(state)) is not None:
            self.moderation.revocations.keep(writer)
        self.slots = HandlerSlots(plan.config.limits.handlers)
        self.running: dict[asyncio.Task[None], Client] = {}
        self.sequencing: dict[asyncio.Future[Published], Client] = {}
        self.base: Context = copy_context()
        self.overdue = Overdue()
        self.encodings = Encodings(seams.codecs)
        self.alone = self._broker.alone
        self._opened = False
        self._clock = seams.clock or time
        self.expiries = Expiries(self._clock)
        self.generation = self.prepare(plan)
        self._address()

    @property
    def work(self) -> Work:
        """What is under way by the current plan."""
        return self.generation.work

    @property
    def patience(self) -> float:
        """Seconds that a client's arrival may take."""
        return self.generation.limits.handshake

    # Generations

    def prepare(self, plan: Plan, before: RunningPlugins | None = None) -> Generation:
        """Create what a plan needs to serve, and change nothing.

        Args:
            plan: the next one.
            before: the plugins of the current plan; the unchanged ones are kept.
        """
        names, undeclared = served_at(plan.config)
        table = SignalTable(plan.signals, names, undeclared=undeclared, filters=plan.filters)
        settings = plan.config.plugins.settings
        plugins = RunningPlugins(plan.registry, settings, self.shared, self.broadcaster, before)
        guard = guard_for(table, self.hub, alone=self.alone, tell=self.admitter.failures.add)
        authority = self._authority_for(plan)
        return Generation(plan, table, guard, plugins, identification_of(plan, authority), authority)

    def _authority_for(self, plan: Plan) -> "TokenAuthority | None":
        """Return what judges tokens by a plan: the present one, which keeps what it can, or a new one."""
        auth = plan.config.auth
        if auth is None or auth.tokens is None:
            return None
        present: Generation | None = getattr(self, "generation", None)  # the first plan has none before it
        if present is not None and present.authority is not None:
            return present.authority
        from signalpost.auth.authority import TokenAuthority  # loads PyJWT

        return TokenAuthority(auth.tokens, clock=self._clock)

    async def open(self) -> None:
        """Start publishing.

        Raises:
            OperatorError: the broker cannot start.
        """
        deliver = self.deliver if self.broadcaster.sends is None else self._deliver_checked
        await self._broker.start(deliver if self.alone else partial(self._deliver_heard, deliver))
        self._opened = True
        if self.program_observer is not None:
            self.count()
        self._choose_way()

    async def start(self) -> None:
        """Start publishing, and start the plugins.

        Raises:
            OperatorError: the broker cannot start.
            PluginError: a plugin could not start.
        """
        await self.open()
        self.memory.start()
        if self.generation.authority is not None:
            self.generation.authority.start()
        plugins = self.generation.plugins
        await plugins.start(self.generation.limits.startup)
        plugins.take_over()
        self.base = plugins.base.copy()  # clients' code sees what plugins have set at the start

    async def stop(self) -> None:
        """Shut the plugins down, and stop publishing."""
        if self.generation.authority is not None:
            self.generation.authority.stop()
        self.expiries.stop()
        await self.generation.plugins.stop()
        await self._broker.stop()
        await self.memory.stop()

    def turn_to(self, generation: Generation) -> Generation:
        """Switch to a generation whose plugins are started, and return the one before; nothing waits, nothing fails."""
        before, self.generation = self.generation, generation
        self._turn_authority(before.authority)
        generation.plugins.take_over()
        self.base = generation.plugins.base.copy()
        configure(self.state, generation.plan.config.state)
        there = chain(self.hub.clients.values(), self.hub.closing)
        self.limiter.configure(
            generation.limits, ((each, each.address, each.user) for each in there if not each.visiting)
        )
        self.slots.resize(generation.limits.handlers - before.limits.handlers)
        self._address()
        return before

    def _turn_authority(self, before: "TokenAuthority | None") -> None:
        """Judge tokens by the present plan from now on."""
        authority, auth = self.generation.authority, self.generation.plan.config.auth
        if before is not None and before is not authority:
            before.stop()
        if authority is None or auth is None or auth.tokens is None:
            return
        if authority is before:
            authority.reload(auth.tokens)
        else:
            authority.start()

    def _address(self) -> None:
        generation, filters = self.generation, self.generation.plan.filters
        self.counts.configure(generation.table)
        self.admitter.serving, self.admitter.patience = generation, generation.limits.handshake
        self.expiries.leeway = leeway_of(generation.plan)
        levels = levels_of(generation.table, generation.plan.config.broadest)
        self.broadcaster.address_by(generation.table, generation.guard, levels)
        self.memory.configure(generation.table, generation.plan.config)
        if self.broadcaster.sends is not None:
            self.broadcaster.sends.configure(generation.table, generation.plan.config.source)
        self.broadcaster.filter = None if filters is None else filters.broadcast

    # Clients

    @property
    def occupied(self) -> int:
        """Number of connections that are WebSockets or about to be, including those that are being closed."""
        return len(self.hub.clients) + len(self.hub.closing) + self.admitter.waiting

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Return the signal that serves a path at an endpoint; None if there is none."""
        return self.generation.table.resolve(endpoint, path)

    def attach(
        self, transport: Transport, accept: Accept, encoding: Encoding, source: Source, offered: str = ""
    ) -> Conversation:
        """Create the conversation of an admitted client; it is in no audience before its transport's owner adds it.

        Args:
            transport: of the client.
            accept: the decision.
            encoding: of the client.
            source: of its messages.
            offered: the session that it offers; empty if it offers none.
        """
        session: Session | None = None
        if encoding.codec.converses:
            user = accept.request.identity.user
            session = self.memory.open_session(offered, accept.resolved.place, accept.client_id, user)
        client = self._client(transport, accept, encoding, "" if session is None else session.key)
        if session is not None:
            client.groups = session.groups
        return self._conversation(client, accept, source, session)

    def visit(
        self, transport: Transport, accept: Accept, encoding: Encoding, source: Source, offered: str
    ) -> Conversation:
        """Let an admitted client come for one message: it is in no audience, and its session stays with who has it.

        The arguments are those of `attach`. `Conversation.arrive` has begun; if it waits, the source is told.
        """
        client = self._client(transport, accept, encoding, "")
        client.visiting = True
        session = self.memory.lend_session(offered, accept.resolved.place, client)
        conversation = self._conversation(client, accept, source, session)
        self.hub.add(client)
        if self.observer is not None:
            self.observer.connected(client.id, client.path)
        self._arrive(conversation)
        return conversation

    def sender(self, session: str, identity: Identity = GUEST) -> Sender | None:
        """Return the connected client that a plain request names by its session; None if there is none.

        Args:
            session: as the request names it.
            identity: of the request.
        """
        client = self.memory.sessions.client_of(session, identity)
        return None if client is None else Sender(client, SenderBroadcast(self.broadcaster, client, NO_MESSAGE))

    def _client(self, transport: Transport, accept: Accept, encoding: Encoding, session: str) -> Client:
        resolved, slow = accept.resolved, accept.resolved.rule.config.slow
        return Client(
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
            session=session,
            identity=accept.request.identity,
            address=accept.request.handshake.peer[0],
        )

    def _conversation(self, client: Client, accept: Accept, source: Source, session: Session | None) -> Conversation:
        return Conversation(client, accept.resolved.rule, accept.request.handshake, self, source, session=session)

    def welcome(self, conversation: Conversation) -> None:
        """Add a client whose transport is ready, greet it, and do what is done when a client comes."""
        client = conversation.client
        more = self.memory.receive(conversation)
        if self.counts.on:
            self._count_recovery(conversation)
        self.hub.add(client)
        self.limiter.enter(client, client.address, client.user)
        if self.observer is not None:
            self.observer.connected(client.id, client.path)
        codec, expires = client.encoding.codec, client.identity.expires
        if expires is not None:
            self.expiries.watch(conversation)
            if codec.converses:
                more = {**more, "expires": self.expiries.left(expires)}
        welcome = codec.notice("welcome", {"clientId": client.id, "path": client.path, **more})
        if greeting := welcome or codec.welcome(client.id, client.path):
            client.send(greeting)
        if client.identity is not GUEST and (refusal := self.moderation.refusal(client.identity)) is not None:
            client.close(refusal.code, refusal.reason)  # since it was admitted
        self._arrive(conversation)

    def _count_recovery(self, conversation: Conversation) -> None:
        recovery, stream = conversation.recovery, conversation.client.stream
        if recovery is not None and stream is not None and conversation.request.position is not None:
            self.counts.of(conversation.rule).came_back(recovery.why, stream.top - recovery.offset)

    def _arrive(self, conversation: Conversation) -> None:
        client = conversation.client
        conversation.arrive(
            self.generation.plugins.client_connected(client, conversation.context, conversation.request)
        )

    def forget(self, client: Client) -> None:
        """Called when the connection of a client has ended, after `report_gone`."""
        self.hub.forget(client)
        self.limiter.leave(client)

    def report_gone(self, conversation: Conversation, *, sent_away: bool = False) -> None:
        """Report that a client has gone, which the hub knows already.

        Args:
            conversation: of the client.
            sent_away: whether the server ended its connection.
        """
        client = conversation.client
        if client.identity.expires is not None:
            self.expiries.forget(conversation)
        if self.observer is not None:
            self.observer.disconnected(client.id, client.path, client.close_code)
        self.memory.leave(conversation, sent_away=sent_away)
        self.generation.plugins.client_disconnected(client, client.close_code, conversation.context)

    def deliver(self, publication: Publication) -> Receipt:
        """Deliver a publication to the clients of this process, and keep it if its path has a history."""
        return self.memory.deliver(publication) if self.memory.keeps else self.hub.deliver(publication)

    def _deliver_checked(self, publication: Publication) -> Receipt:
        if self.broadcaster.sends is not None:
            self.broadcaster.sends.published(publication)
        return self.deliver(publication)

    def _deliver_heard(self, deliver: Publish, publication: Publication) -> Receipt:
        """Deliver what a broker brings, from whichever node, and count it."""
        receipt = deliver(publication)
        if self.counts.on:
            self.counts.at(publication.path).delivered(receipt)
        return receipt

    def _choose_way(self) -> None:
        """Let publications take the shortest way: without counts, straight to the broker."""
        if self._opened:
            self.broadcaster.publish = self.publish if self.counts.on else self._broker.publish

    def publish(self, publication: Publication) -> Receipt:
        """Publish, count, and notify the observer."""
        receipt, path = self._broker.publish(publication), publication.path
        counts = self.counts.by_path.get(path) or self.counts.at(path)
        counts.broadcasts += 1
        if self.alone:
            queued = receipt.queued
            counts.deliveries += queued
            counts.delivered_bytes += queued * receipt.size
        if counts.watch is not None:
            counts.watch.published(publication.target, receipt)
        observer = self.program_observer
        if observer is not None:
            observer.published(publication.path or None, publication.size, receipt.matched, receipt.dropped)
        return receipt

    def busy(self) -> set[Client]:
        """Return the clients whose messages are being handled: they wait for answers."""
        return {*self.running.values(), *self.sequencing.values()}

    # Inspection

    def count(self, *, on: bool = True) -> None:
        """Begin to count what the signals do, or end that, unless an observer is there; it costs little."""
        if on or self.program_observer is not None:
            self.counts.begin()
        else:
            self.counts.end()
        self._choose_way()

    def observe(self, observer: Observer | None) -> None:
        """Notify another observer from now on; of messages and publications, the program's is still notified."""
        self.observer = self.hub.observer = self.limiter.observer = self.moderation.observer = observer
        self.admitter.observer = observer

    def signals(self) -> tuple[SignalView, ...]:
        """Return what each signal does, for tables and charts: rates are the differences of two answers.

        The first call begins to count. It looks at all clients, which takes one to five milliseconds for each thousand.
        """
        self.count()
        return views(self.counts, groups_of(self.hub, self.generation.table))

    def inspect(self) -> NodeView:
        """Return the connected clients, and what waits."""
        return NodeView(
            clients=tuple(_view(client) for client in self.hub.clients.values()),
            closing=len(self.hub.closing),
            handling=tuple(f"{task.get_name()} on {client.path}" for task, client in self.running.items()),
            under_way=self.work.open,
            asking=self.admitter.waiting,
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
        client.user,
    )


def identification_of(plan: Plan, authority: "TokenAuthority | None") -> Identification | None:
    """Return what finds out who clients are; None if nothing can tell, to avoid any cost."""
    auth, authentication = plan.config.auth, Authentication(plan.registry)
    return Identification(auth, authority, authentication) if authentication or auth is not None else None


def leeway_of(plan: Plan) -> float:
    """Return the seconds by which the end of an identity may be missed."""
    auth = plan.config.auth
    return 0.0 if auth is None or auth.tokens is None else auth.tokens.leeway
