"""A reload as connected clients see it: they stay, and the new plan applies from the next message on."""

from collections.abc import Mapping
from dataclasses import dataclass

from signalpost.config.model import EndpointConfig
from signalpost.delivery.client import Client
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import ResolvedPath
from signalpost.sockets.drain import RETURN_RATE
from signalpost.sockets.services import ClientConnection, SocketServices
from signalpost.websocket.frames import CloseCode

NO_ENDPOINT = "this endpoint is gone"
NO_SIGNAL = "this signal is gone"


@dataclass(frozen=True, slots=True)
class ReloadedClients:
    """What happened to the clients: how many stay, and how many are closed."""

    kept: int
    closed: int


class ClientReload:
    """Moves all clients to the current plan of the services and endpoints, in one loop turn.

    Each client is treated as if it reconnected to the same path: its signal, its parameters, its limits. Its groups,
    the frames that wait for it and an unfinished message stay. Compression is negotiated once, at the handshake.

    A client whose signal is no longer declared is closed, even if other paths are re-broadcast: it did not connect for
    that. If it may reconnect it is asked to (``bye``), one client after the other. Who may not connect any more is
    closed, too, and whose token was signed with a key that was taken out.

    Args:
        services: of the new plan.
        successors: by the name of an endpoint of the old plan, the endpoint served at the same socket now.
    """

    def __init__(self, services: SocketServices, successors: Mapping[str, EndpointConfig]) -> None:
        self._services = services
        self._successors = successors
        self._resolved: dict[tuple[str, str], ResolvedPath | None] = {}
        self._moved: list[tuple[ClientConnection, SignalRule]] = []
        self._closed = 0

    def run(self) -> ReloadedClients:
        """Move or close every client."""
        for connection in tuple(self._services.connections):
            if not connection.client.closing or connection.client.heeded:
                self._move(connection)
        for connection, rule in self._moved:
            self._services.node.memory.renew(connection.conversation, rule)
        # Only now: a client that is read from again may send to any path at once, so all must have been moved.
        for connection, rule in self._moved:
            connection.conversation.switch_rule(rule, connection)
        kept = sum(not connection.client.closing for connection, _ in self._moved)
        return ReloadedClients(kept, self._closed)

    def _move(self, connection: ClientConnection) -> None:
        client = connection.client
        endpoint = self._successors.get(client.endpoint.name)
        if endpoint is None:
            self._send_away(client, NO_ENDPOINT)
            return
        resolved = self._resolve(endpoint.name, client.path)
        if resolved is None or (connection.conversation.rule.declared and not resolved.rule.declared):
            self._send_away(client, NO_SIGNAL)
            return
        node, slow = self._services.node, resolved.rule.config.slow
        refusal = node.admitter.outdated(client.identity) or node.admitter.refusal(
            client.identity, resolved, client, connection.conversation.request
        )
        if refusal is not None and not client.heeded:
            client.send_away(refusal.close_code, refusal.detail)
            self._closed += 1
            return
        node.hub.move(client, resolved.path, resolved.place, resolved.ward)
        client.endpoint = endpoint
        client.params = resolved.params
        client.set_outbox(slow.buffer or node.generation.limits.outbox, slow.policy)
        connection.set_limits(node.generation.limits)
        self._moved.append((connection, resolved.rule))

    def _resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Resolve a path, once for all its clients."""
        place = (endpoint, path)
        if place not in self._resolved:
            self._resolved[place] = self._services.node.generation.table.resolve(endpoint, path)
        return self._resolved[place]

    def _send_away(self, client: Client, reason: str) -> None:
        if client.heeded:
            client.dismiss()
            return
        client.send_away(CloseCode.RESTART, reason, round(self._closed * 1000 / RETURN_RATE))
        self._closed += 1
