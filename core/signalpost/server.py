"""The server: runs a plan. Wiring only."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from signalpost.cluster.census import census
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.opening import cluster_of
from signalpost.cluster.parts import add_parts
from signalpost.config.backplane import refuse_without_package
from signalpost.config.model import EndpointConfig
from signalpost.config.monitor import refuse_without_metrics
from signalpost.config.viewtemplates import Additions
from signalpost.control.server import ControlServer
from signalpost.delivery.hub import Hub
from signalpost.delivery.inbound import Inbound
from signalpost.delivery.overload import ShedLog
from signalpost.delivery.ring import open_writer
from signalpost.delivery.strain import Strain
from signalpost.delivery.writers import Writer
from signalpost.errors import OperatorError
from signalpost.feeds.pace import Pace
from signalpost.feeds.runner import FeedRunner
from signalpost.foreign import unseen_task
from signalpost.history.keeper import KeptHistory
from signalpost.http.intake import Intake
from signalpost.http.private import Private
from signalpost.http.restraint import Restraint
from signalpost.http.services import OwnRoute, RouteServices
from signalpost.jobs.runner import JobRunner
from signalpost.jobs.scheduler import Clock
from signalpost.memory import default_inbound, default_outboxes
from signalpost.monitoring.monitor import Monitor
from signalpost.monitoring.occurrences import Occurrences
from signalpost.monitoring.pulse import Pulse
from signalpost.monitoring.readings import Readings
from signalpost.node import NO_SEAMS, Generation, Node, NodeView, Seams
from signalpost.operations.operator import Operator
from signalpost.plan import Changes, Plan, diff
from signalpost.plan.diff import lasting, unchanged_feeds, unchanged_jobs
from signalpost.serving.listener import Listener
from signalpost.serving.ports import Port, bind_ports
from signalpost.serving.reload import ListenerReload
from signalpost.signals.work import Work
from signalpost.sockets.drain import ClientDrain, finish_handlers
from signalpost.sockets.keepalive import SILENCE, Keepalive
from signalpost.sockets.reload import ClientReload, ReloadedClients
from signalpost.sockets.services import ClientConnection, SocketServices
from signalpost.state.state import State
from signalpost.systemd import PassedSockets

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The result of a reload; as text one line, ``reloaded: +1 signal, ~1 timer, 42 clients kept``.

    Attributes:
        changes: between the two plans.
        kept: how many clients stayed.
        closed: how many were closed: their endpoint or their signal no longer exists.
        notes: which parts of the old plan remain, and for which clients.
    """

    changes: Changes
    kept: int
    closed: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        counts = ((self.kept, "kept"), (self.closed, "closed")) if self.changes or self.closed else ()
        words = [f"{count} client{'' if count == 1 else 's'} {what}" for count, what in counts if count]
        return ", ".join((f"reloaded: {self.changes}", *words))


class Server:
    """Runs one plan in one event loop. Two servers in one process are independent.

    Args:
        plan: to run.
        clock: for timers and schedules; by default the system's.
        seams: parts of the node that a program supplies.
        pace: time and chance for feeds; by default the system's.
        control: listens for commands; the server closes it. None for no commands.
        passed: sockets that it serves instead of binding some; it leaves these open.

    Attributes:
        plan: that it runs.
        node: its clients, state and handlers, once it has started.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock | None = None,
        seams: Seams = NO_SEAMS,
        pace: Pace | None = None,
        *,
        control: socket.socket | None = None,
        passed: PassedSockets | None = None,
    ) -> None:
        self.plan = plan
        self.node: Node
        self._clock = clock
        self._seams = seams
        self._pace = pace
        self._listening = control
        self._passed = passed or PassedSockets()
        self._control: ControlServer | None = None
        self._cluster: Cluster | None = None
        self._operator: Operator
        self._idempotency: Any = None  # once there is an API
        self._monitor: Monitor
        self._occurrences = Occurrences(seams.observer)
        self._listeners: list[Listener] = []
        self._writer: Writer
        self._sockets: SocketServices
        self._jobs: JobRunner
        self._feeds: FeedRunner
        self._reloading = asyncio.Lock()
        self._stopping = False
        self._leaving: list[Listener] = []  # listeners that no plan has any more, while their requests finish
        self._replaced: list[Work] = []  # of old plans, while they have something under way
        self._ending: set[asyncio.Task[None]] = set()  # the tasks that end these two

    @property
    def endpoints(self) -> Sequence[EndpointConfig]:
        """Where it listens, in the order of routes.yaml, with the actual ports."""
        listening = {endpoint.name: endpoint for listener in self._listeners for endpoint in listener.port.endpoints}
        return [listening[endpoint.name] for endpoint in self.plan.config.endpoints if endpoint.name in listening]

    @property
    def jobs(self) -> JobRunner:
        """Its timers and schedules."""
        return self._jobs

    @property
    def feeds(self) -> FeedRunner:
        """Its feeds."""
        return self._feeds

    @property
    def clients(self) -> int:
        """Number of connected clients."""
        return len(self.node.hub.clients)

    def inspect(self) -> NodeView:
        """Return the connected clients, and what waits."""
        return self.node.inspect()

    def under_way(self) -> list[str]:
        """Return what a stop waits for, with counts: ``handler shout of plugin chat on /chat (2 messages)``."""
        running, hub = self.node.running, self.node.hub
        counts = Counter(("message", f"{task.get_name()} on {client.path}") for task, client in running.items())
        for listener in self._listeners:
            counts.update(("request", f"{work} on {path}") for work, path in listener.under_way)
        counts.update(("run", run.get_name()) for run in self._jobs.under_way())
        counts.update(("message", message.get_name()) for message in self._feeds.under_way())
        told = [f"{what} ({_counted(count, noun)})" for (noun, what), count in counts.most_common()]
        leaving = len(hub.clients) + len(hub.closing) - len(set(running.values()))
        return [*told, *([f"{_counted(leaving, 'client')} to go"] if leaving > 0 else ())]

    def url(self, name: str) -> str:
        """Return the URL of an endpoint, such as ``ws://127.0.0.1:8091``; ``*`` is shown as localhost.

        Raises:
            KeyError: no endpoint of this name listens.
        """
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint.url
        raise KeyError(name)

    async def start(self) -> None:
        """Listen on all endpoints, start plugins, timers, schedules and feeds.

        Raises:
            ConfigError: the package of its backplane is not installed.
            ListenError: an endpoint cannot listen.
            StateFileError: the file of the state cannot be used.
            HistoryFileError: the file of the history cannot be used.
            PluginError: a plugin could not start.
            OperatorError: a template cannot be used, or the system's time zone is needed and unknown. Whatever is
                raised, nothing of the server remains, and plugins that were started are shut down.
        """
        config = self.plan.config
        refuse_without_package(config)
        refuse_without_metrics(config)
        ports = bind_ports(config.endpoints, config.source, passed=self._passed)
        try:
            state = State.open(config.state, config.source)
            try:
                kept = KeptHistory.open(config.history, config.source)
            except BaseException:
                state.close()
                raise
        except BaseException:
            for port in ports:
                port.close()
            raise
        try:
            try:
                self._wire(ports, state)
            except BaseException:
                if kept is not None:
                    kept.close()
                raise
            if kept is not None:
                self.node.memory.restore(kept)
            await self.node.start()
            self._watch(self.plan)
            for listener in self._listeners:
                await listener.start()
            await self._begin()
        except BaseException:
            try:
                await self.stop()
            finally:
                for port in ports:  # those whose listener could not be created
                    port.close()
            raise

    async def _begin(self) -> None:
        self._sockets.keepalive.start()
        self._jobs.start()
        self._feeds.start()
        if self._control is not None:
            await self._control.start()

    def _wire(self, ports: Sequence[Port], state: State) -> None:
        plan, limits = self.plan, self.plan.config.limits
        loop = asyncio.get_running_loop()
        outboxes = limits.outboxes or default_outboxes()
        self._writer = open_writer()
        hub = Hub(loop.call_soon, outboxes=outboxes, shed=ShedLog(outboxes, loop.call_later), writer=self._writer)
        hub.strain = Strain(loop.time, loop.call_later, hub.flush)
        self._cluster = cluster = cluster_of(plan.config.backplane, self._seams.backplane)
        self.node = node = Node(plan, hub, state, self._seams if cluster is None else cluster.joined_to(self._seams))
        if cluster is not None:
            cluster.serve(node)
            add_parts(cluster)
        tag, nodes = ("", None) if cluster is None else (cluster.origin.tag, partial(census, cluster))
        self._operator = Operator(node, tag, nodes)
        if self._listening is not None:
            self._control = ControlServer(self._listening, self._operator)
        pulse = Pulse(loop.time, loop.call_later)
        self._monitor = Monitor(Readings(node, self._occurrences, pulse, cluster, lambda: self._stopping))
        connections: set[ClientConnection] = set()
        keepalive = Keepalive(hub, connections, loop.time, loop.call_later)
        keepalive.shortest = _shortest_silence(plan)
        observer = self._seams.observer
        self._jobs = JobRunner(
            plan.jobs,
            node.shared,
            node.broadcaster,
            work=node.work,
            clock=self._clock,
            observer=observer,
            leases=None if cluster is None else cluster.leases,
        )
        node.shared.services.jobs = self._jobs
        self._feeds = FeedRunner(
            plan.feeds, node.shared, node.broadcaster, work=node.work, pace=self._pace, observer=observer
        )
        inbound = Inbound(limits.inbound or default_inbound(), loop.call_later)
        self._sockets = SocketServices(
            node=node,
            connections=connections,
            keepalive=keepalive,
            ports=_numbers_of(ports),
            endpoints=_endpoints_of(ports),
            intake=Intake.open(limits, inbound, partial(getattr, node, "occupied"), loop, self._seams.access),
            inbound=inbound,
        )
        for port in ports:
            services = self._routes_at(port, node.generation)
            self._listeners.append(Listener(port, plan.routes, services, self._sockets))

    def _watch(self, plan: Plan) -> None:
        """Count what a plan wants counted, and only that."""
        observer = self._occurrences if plan.config.counts else self._seams.observer
        for each in (self.node, self._jobs, self._feeds):
            each.observe(observer)
        self._monitor.configure(plan.config.monitor)

    def _routes_at(self, port: Port, generation: Generation) -> RouteServices:
        node, plan = self.node, generation.plan
        endpoint = port.pages or port.endpoints[0]
        return RouteServices(
            shared=node.shared,
            broadcast=node.broadcaster,
            endpoint=endpoint,
            folder=plan.config.folder,
            settings=plan.config.plugins.settings,
            constants=plan.config.constants,
            additions=Additions(plan.registry.template_globals, plan.registry.template_filters),
            message_limit=plan.config.limits.message,
            patience=plan.config.limits.handshake,
            answer_time=plan.config.limits.response,
            work=generation.work,
            out_of_descriptors=self._sockets.intake.descriptors.miss,
            private=Private(plan.config.private),
            restraint=Restraint(node.hub),
            endpoints=_endpoints_for(plan, self._sockets),
            identification=generation.identification,
            refusal=node.moderation.refusal,
            permission_failed=node.admitter.failures.add,
            limiter=node.limiter,
            sender=node.sender,
            own=self._own_routes(plan, port),
            pages=self._monitor.pages(plan.config.monitor, endpoint.name),
        )

    def _own_routes(self, plan: Plan, port: Port) -> Sequence[OwnRoute]:
        """Return the routes of the API, if a port serves it."""
        api, auth = plan.config.api, plan.config.auth
        if api is None or auth is None or port.pages is None or port.pages.name not in api.endpoints:
            return ()
        from signalpost.api.idempotency import Idempotency  # most apps have no API
        from signalpost.api.routes import Api

        if self._idempotency is None:
            self._idempotency = Idempotency()
        limiter, name = self.node.limiter, port.pages.name
        return Api(api, auth.api_keys, self._operator, limiter, self._idempotency, endpoint=name).routes()

    async def reload(self, plan: Plan) -> Reloaded:
        """Switch to another plan, and keep all clients that it still serves.

        New parts are prepared first: ports are bound, templates and certificates read, plugins started, all while the
        old plan serves. Then everything switches to the new plan in one loop turn. Work under way finishes under the
        old plan. After that its plugins are shut down and its registry is unloaded, as is the registry of a rejected
        plan.

        Returns:
            What has changed. If nothing was under way, the old plugins have been shut down by then.

        Raises:
            OperatorError: the new plan cannot be used (an endpoint that cannot listen, a time zone that is
                needed and unknown, a server that stops); the old one continues.
            PluginError: a plugin of the new plan could not start; the old plan continues.
        """
        async with self._reloading:
            refuse_without_metrics(plan.config)
            node, old = self.node, self.node.generation
            # Steps that are slow with a large plan run in threads: connected clients do not wait for them.
            changes, lasts, unchanged, same_feeds = await asyncio.to_thread(_compared, self.plan, plan)
            generation = await asyncio.to_thread(node.prepare, plan, old.plugins)
            held = 0
            reload: ListenerReload | None = None
            try:
                reload = ListenerReload(
                    self._listeners,
                    plan,
                    self._sockets,
                    lambda port: self._routes_at(port, generation),
                    self._passed,
                )
                await reload.prepare()
                held = old.limits.handlers if generation.plugins.is_replacing else 0
                node.slots.resize(-held)  # no handler begins while an instance is down whose successor is not up
                await generation.plugins.start(generation.limits.startup)
                self._refuse_if_stopping()
                # The last step that can fail; if it does, it changes nothing.
                self._jobs.reload(plan.jobs, unchanged, generation.work)
                self._feeds.reload(plan.feeds, same_feeds, generation.work)
            except BaseException:
                if reload is not None:
                    reload.give_up()
                await generation.plugins.give_up(old.limits.startup)
                node.slots.resize(held)
                plan.registry.unload()
                raise
            clients = self._swap(generation, reload)
            node.slots.resize(held)
            for listener in reload.left:
                self._leaving.append(listener)
                self._go_on(self._let_go(listener, old.limits.drain))
            self._replaced.append(old.work)
            retiring = self._go_on(self._retire(old))
            await reload.accept()
            if not old.work.open:
                await asyncio.shield(retiring)
            if node.observer is not None:
                node.observer.reloaded(clients.kept, clients.closed)
            return Reloaded(changes, clients.kept, clients.closed, lasts)

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise OperatorError("the server stops; it loads nothing any more")

    def _swap(self, generation: Generation, reload: ListenerReload) -> ReloadedClients:
        """Replace the current plan with a prepared one: nothing here waits, and nothing fails."""
        self.plan = generation.plan
        before, limits = self.node.turn_to(generation).limits, generation.limits
        self._watch(generation.plan)
        if self._cluster is not None:
            self._cluster.reload()
        if limits.outboxes != before.outboxes:
            outboxes = limits.outboxes or default_outboxes()
            self.node.hub.bound_outboxes(outboxes, ShedLog(outboxes, asyncio.get_running_loop().call_later))
        sockets = self._sockets
        sockets.intake.limits = limits
        sockets.inbound.most = limits.inbound or default_inbound()
        sockets.keepalive.shortest = _shortest_silence(generation.plan)
        sockets.ports, sockets.endpoints = _numbers_of(reload.ports), _endpoints_of(reload.ports)
        successors = reload.swap()
        self._listeners = reload.listeners
        return ClientReload(sockets, successors).run()

    def _go_on(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """End a part of an old plan in the background; the server's stop waits for it."""
        task = unseen_task(coroutine)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _let_go(self, listener: Listener, patience: float) -> None:
        await listener.finish(patience)
        if listener in self._leaving:  # else the server stops
            self._leaving.remove(listener)
            listener.stop()

    async def _retire(self, old: Generation) -> None:
        """Shut the plugins of an old plan down, once nothing under way may need them."""
        plugins, work, patience = old.plugins, old.work, old.limits.drain
        if not await work.over(patience):
            LOG.warning("old plugins are shut down after a reload while %d of their runs go on", work.open)
        self._replaced.remove(work)
        await plugins.finish_spawned(patience)
        await plugins.stop()
        plugins.registry.unload()

    async def stop(self) -> None:
        """Stop accepting, end jobs and feeds, close clients while handlers and requests finish, then shut plugins down.

        Everything except the last step takes at most ``limits.drain``, and ends early when nothing is left to wait for.
        """
        loop = asyncio.get_running_loop()
        patience = self.plan.config.limits.drain
        deadline = loop.time() + patience
        node, running = self.node, self.node.running
        self._stopping = True
        if self._control is not None:
            await self._control.stop()
        listeners = [*self._listeners, *self._leaving]
        self._leaving.clear()
        for listener in listeners:
            listener.stop_accepting()
        drain = ClientDrain(node.hub, patience, node.busy, loop.call_later)
        await asyncio.gather(self._jobs.stop(patience), self._feeds.stop(patience), drain.say())
        await finish_handlers(running, max(0.0, deadline - loop.time()))
        await node.generation.plugins.finish_spawned(max(0.0, deadline - loop.time()))
        for listener in listeners:
            await listener.finish(max(0.0, deadline - loop.time()))
        for work in self._replaced:
            work.abandon()
        await asyncio.gather(*self._ending)
        await node.stop()
        await asyncio.to_thread(node.state.close)
        self._monitor.stop()
        self._sockets.refused.stop()
        self._sockets.keepalive.stop()
        node.overdue.stop()
        for listener in listeners:
            listener.stop()
        self._listeners.clear()
        self._writer.close()


def _compared(old: Plan, new: Plan) -> tuple[Changes, tuple[str, ...], frozenset[str], frozenset[str]]:
    """Return what a new plan changes, what remains of the old one, and the names of unchanged jobs and feeds."""
    return diff(old, new), lasting(old, new), unchanged_jobs(old, new), unchanged_feeds(old, new)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _endpoints_for(plan: Plan, sockets: SocketServices) -> Callable[[], Sequence[EndpointConfig]] | None:
    """Return the callable that returns a plan's endpoints, if one serves signals; a reload replaces them."""
    has_signals = any(endpoint.signals for endpoint in plan.config.endpoints)
    return partial(getattr, sockets, "endpoints") if has_signals else None


def _endpoints_of(ports: Sequence[Port]) -> list[EndpointConfig]:
    return [endpoint for port in ports for endpoint in port.endpoints]


def _shortest_silence(plan: Plan) -> float:
    endpoints = [endpoint for endpoint in plan.config.endpoints if endpoint.signals]
    return min((endpoint.keepalive.every for endpoint in endpoints), default=SILENCE)


def _numbers_of(ports: Sequence[Port]) -> frozenset[int]:
    return frozenset(endpoint.port for endpoint in _endpoints_of(ports) if not endpoint.socket)
