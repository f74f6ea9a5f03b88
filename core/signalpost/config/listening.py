"""Where a server listens that is told so on the command line: instead of where its routes.yaml says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from signalpost.config.endpoints import clash
from signalpost.config.model import EndpointConfig, ServerConfig
from signalpost.config.words import quoted
from signalpost.errors import OperatorError

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Listening:
    """Another address, another port, or both.

    Attributes:
        host: of all endpoints but those at Unix sockets, which stay where they are; None leaves each where it is.
        port: of the first of them. The others stay as far from it as they are in the file, so that those which share
            a port still do; 0 lets the system choose each. None leaves each where it is.

    """

    host: str | None = None
    port: int | None = None

    def applied(self, config: ServerConfig) -> ServerConfig:
        """Move the endpoints of a configuration.

        Raises:
            OperatorError: there is no such port, no endpoint has one, or two endpoints cannot listen beside each other
                there.

        """
        if not config.endpoints or (self.host is None and self.port is None):
            return config
        first = next((each for each in config.endpoints if not each.socket), None)
        if first is None:
            raise OperatorError(
                f"{self._asked}: every endpoint of {config.file} is at a Unix socket, which has neither host nor port: "
                "give one an address and a port there"
            )
        moved = tuple(
            each if each.socket else replace(each, address=self.host or each.address, port=self._port_of(each, first))
            for each in config.endpoints
        )
        self._check(moved)
        return replace(config, endpoints=moved)

    @property
    def _asked(self) -> str:
        return f"--host {self.host}" if self.port is None else f"--port {self.port}"

    def _port_of(self, endpoint: EndpointConfig, first: EndpointConfig) -> int:
        if self.port is None or endpoint.port == 0:  # a port that the system chooses has no distance from others
            return endpoint.port if self.port is None or endpoint is not first else self.port
        if self.port == 0:
            return 0
        port = self.port + (endpoint.port - first.port if first.port else 0)
        if not 1 <= port <= _LAST_PORT:
            raise OperatorError(
                f"--port {self.port}: the endpoint {quoted(endpoint.name)} would have port {port}, as far from that of "
                f"{quoted(first.name)} as in the file; there are ports 1 to {_LAST_PORT}"
            )
        return port

    def _check(self, endpoints: Sequence[EndpointConfig]) -> None:
        for index, endpoint in enumerate(endpoints):
            for earlier in endpoints[:index]:
                if endpoint.port and endpoint.port == earlier.port and (why := clash(endpoint, earlier)):
                    raise OperatorError(
                        f"{self._asked}: the endpoints {quoted(earlier.name)} and {quoted(endpoint.name)} would both "
                        f"have port {endpoint.port}: {why}"
                    )
