"""The server: a plan at work. Wiring only."""

import asyncio
from collections.abc import Sequence

from signalpost.config.model import EndpointConfig, Scheme
from signalpost.delivery.hub import Hub
from signalpost.delivery.memory import default_outboxes
from signalpost.delivery.shedding import ShedLog
from signalpost.jobs.runner import JobRunner
from signalpost.plan import Plan
from signalpost.plugins.running import RunningPlugins
from signalpost.serving.draining import Farewell, finish_handlers
from signalpost.serving.keepalive import Keepalive
from signalpost.serving.listener import Listener, Port, bind_ports
from signalpost.serving.services import RouteServices
from signalpost.serving.upgrade import SocketServices
from signalpost.signals.broadcast import Broadcaster
from signalpost.signals.event import Shared
from signalpost.signals.places import Places
from signalpost.signals.session import Signals
from signalpost.signals.state import State
from signalpost.signals.table import SignalTable


class Server:
    """One plan at work in one event loop. Two servers in one process do not know each other.

    Args:
        plan: what to do.

    Attributes:
        plan: what it does.

    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._listeners: list[Listener] = []
        self._hub: Hub
        self._signals: Signals
        self._keepalive: Keepalive
        self._plugins: RunningPlugins
        self._jobs: JobRunner

    @property
    def endpoints(self) -> Sequence[EndpointConfig]:
        """Where it listens, in the order of routes.yaml, with the ports that it really has."""
        listening = {endpoint.name: endpoint for listener in self._listeners for endpoint in listener.port.endpoints}
        return [listening[endpoint.name] for endpoint in self.plan.config.endpoints if endpoint.name in listening]

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._hub.clients)

    def url(self, name: str) -> str:
        """Give the URL of an endpoint, such as ``ws://127.0.0.1:8091``; ``*`` is shown as localhost.

        Raises:
            KeyError: no endpoint of this name listens.

        """
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return url_of(endpoint)
        raise KeyError(name)

    async def start(self) -> None:
        """Listen on all endpoints, start plugins, timers and schedules.

        Raises:
            ListenError: an endpoint cannot listen.
            OperatorError: a template cannot be used, or the system's time zone is needed and unknown. Whatever it
                raises, nothing of the server is left behind, and plugins that were started are shut down.

        """
        ports = bind_ports(self.plan.config.endpoints, self.plan.config.source)
        try:
            self._wire(ports)
            await self._plugins.start()
            for listener in self._listeners:
                await listener.start()
            self._keepalive.start()
            self._jobs.start()
        except BaseException:
            try:
                await self.stop()
            finally:
                for port in ports:  # those whose listener could not be made
                    port.sock.close()
            raise

    def _wire(self, ports: Sequence[Port]) -> None:
        plan, config = self.plan, self.plan.config
        loop = asyncio.get_running_loop()
        table = SignalTable(
            plan.signals,
            [endpoint.name for endpoint in config.endpoints if endpoint.scheme.websocket],
            refuse_undeclared=config.undeclared_refused,
        )
        outboxes = config.limits.outboxes or default_outboxes()
        self._hub = Hub(loop.call_soon, outboxes=outboxes, shed=ShedLog(outboxes, loop.call_later))
        broadcaster = Broadcaster(self._hub, table.spelling)
        shared = Shared(asyncio.Lock(), State())
        self._signals = Signals(self._hub, broadcaster, shared, Places(config.limits.handlers))
        self._keepalive = Keepalive(self._hub, loop.time, loop.call_later)
        self._plugins = RunningPlugins(plan.registry, config.plugins.settings, shared, broadcaster)
        self._jobs = JobRunner(plan.jobs, shared, broadcaster)
        sockets = SocketServices(
            signals=self._signals,
            table=table,
            plugins=self._plugins,
            keepalive=self._keepalive,
            limits=config.limits,
            ports=frozenset(endpoint.port for port in ports for endpoint in port.endpoints),
        )
        for port in ports:
            routes = RouteServices(
                shared=shared,
                broadcast=broadcaster,
                endpoint=port.pages or port.endpoints[0],
                folder=config.folder,
                settings=config.plugins.settings,
                message_limit=config.limits.message,
                patience=config.limits.handshake,
            )
            self._listeners.append(Listener(port, plan.routes, routes, sockets))

    async def stop(self) -> None:
        """Stop accepting and end jobs, send clients away while handlers and requests finish, shut plugins down.

        Everything but the last takes ``limits.drain`` at most, and is over as soon as nobody needs it any more.
        """
        loop = asyncio.get_running_loop()
        patience = self.plan.config.limits.drain
        deadline = loop.time() + patience
        running = self._signals.running
        for listener in self._listeners:
            listener.stop_accepting()
        farewell = Farewell(self._hub, patience, running.values, loop.call_later)
        await asyncio.gather(self._jobs.stop(patience), farewell.say())
        await finish_handlers(running, max(0.0, deadline - loop.time()))
        for listener in self._listeners:
            await listener.finish(max(0.0, deadline - loop.time()))
        await self._plugins.stop()
        self._keepalive.stop()
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()


_DEFAULT_PORTS = {Scheme.HTTP: 80, Scheme.HTTPS: 443, Scheme.WS: 80, Scheme.WSS: 443}


def url_of(endpoint: EndpointConfig) -> str:
    """Give the URL of an endpoint, without the path: ``http://127.0.0.1:8090``."""
    host = "localhost" if endpoint.address == "*" else endpoint.address
    host = f"[{host}]" if ":" in host else host
    port = "" if endpoint.port == _DEFAULT_PORTS[endpoint.scheme] else f":{endpoint.port}"
    return f"{endpoint.scheme.value}://{host}{port}"
