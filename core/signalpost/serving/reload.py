"""A reload as listeners see it: new parts are prepared while the old ones serve, then all of them change at once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from signalpost.config.model import EndpointConfig
from signalpost.http.services import RouteServices
from signalpost.plan import Plan
from signalpost.serving.listener import Listener, PreparedListener
from signalpost.serving.ports import Port, bind_ports, close_new
from signalpost.sockets.services import SocketServices
from signalpost.systemd import PassedSockets


class ListenerReload:
    """Replaces the listeners of one plan with those of the next. A port of both plans keeps its socket and listener.

    Args:
        listeners: that serve now.
        plan: the next one.
        sockets: what WebSockets need.
        routes_at: returns what the routes of a port need.
        passed: by systemd.

    Attributes:
        ports: of the next plan, in its order.

    Raises:
        ListenError: a new port cannot be bound.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        plan: Plan,
        sockets: SocketServices,
        routes_at: Callable[[Port], RouteServices],
        passed: PassedSockets,
    ) -> None:
        self._before = {listener.port.sock: listener for listener in listeners}
        self._plan = plan
        self._sockets = sockets
        self._routes_at = routes_at
        self._prepared: dict[Listener, PreparedListener] = {}
        self._opened: list[Listener] = []
        self._unused: list[Port] = []
        self.ports = bind_ports(plan.config.endpoints, plan.config.source, self._held, passed)

    @property
    def _held(self) -> list[Port]:
        return [listener.port for listener in self._before.values()]

    @property
    def listeners(self) -> list[Listener]:
        """The listeners of the next plan; complete once they are prepared."""
        return [*self._prepared, *self._opened]

    @property
    def left(self) -> list[Listener]:
        """The listeners that the next plan does not need."""
        return [listener for listener in self._before.values() if listener not in self._prepared]

    async def prepare(self) -> None:
        """Prepare everything, and change nothing.

        Raises:
            OperatorError: a template cannot be used.
            ListenError: a certificate cannot be used.
        """
        self._unused = [port for port in self.ports if port.sock not in self._before]
        for port in self.ports:
            services = self._routes_at(port)
            listener = self._before.get(port.sock)
            if listener is not None:
                # In a thread, since many routes take a while: connected clients do not wait for that.
                prepared = await asyncio.to_thread(listener.prepare, port, self._plan.routes, services)
                self._prepared[listener] = prepared
            else:
                listener = Listener(port, self._plan.routes, services, self._sockets)
                self._opened.append(listener)
                self._unused.remove(port)
                await listener.open()

    def give_up(self) -> None:
        """Discard everything that was prepared."""
        for listener in self._opened:
            listener.stop_accepting()
            listener.stop()
        close_new(self._unused, self._held)

    def swap(self) -> Mapping[str, EndpointConfig]:
        """Switch the listeners that stay to the new plan, and stop the others from accepting.

        Returns:
            The new endpoint of the same kind at the same socket, by the name of the old one, where there is one.
        """
        successors: dict[str, EndpointConfig] = {}
        for listener, prepared in self._prepared.items():
            old, new = listener.port, prepared.port
            for before, after in ((old.sockets, new.sockets), (old.pages, new.pages)):
                if before is not None and after is not None:
                    successors[before.name] = after
            listener.turn_to(prepared)
        for listener in self.left:
            listener.stop_accepting()
        return successors

    async def accept(self) -> None:
        """Accept connections at the new ports."""
        for listener in self._opened:
            await listener.accept()
