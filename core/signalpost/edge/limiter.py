"""The limits of ``limits.per_address`` and ``limits.per_user``: what the clients of one address or one user have."""

import logging
import math
from collections.abc import Callable, Hashable, Iterable
from time import monotonic
from weakref import WeakValueDictionary

from signalpost.config.addresses import network_of
from signalpost.config.model import LimitsConfig
from signalpost.edge.occupancy import Occupancy
from signalpost.edge.rates import RateTable
from signalpost.logthrottle import LineTally, call_later
from signalpost.observe import Observer
from signalpost.units import Quota
from signalpost.websocket.handshake import HandshakeRejection
from signalpost.words import cut

LOG = logging.getLogger(__name__)

_LATER = 5.0  # seconds after which a client without a place may try again
_LONGEST = 60  # of a name in the log, in characters


class Limiter:
    """Limits what clients of one address, or of one user, do together. All methods cost nothing without a limit.

    Args:
        limits: of the current plan.
        clock: returns monotonic seconds.

    Attributes:
        addresses: open connections by address; a member is a client, or stands for one whose admission is awaited.
        users: open connections by user.
        counts_handshakes: whether handshakes are limited.
        counts_requests: whether requests are limited.
        observer: notified of what is refused; None for no observer.
    """

    def __init__(self, limits: LimitsConfig, clock: Callable[[], float] = monotonic) -> None:
        self.addresses = Occupancy()
        self.users = Occupancy()
        self.observer: Observer | None = None
        self.counts_handshakes = self.counts_requests = False
        self._clock = clock
        self._tables: WeakValueDictionary[Hashable, RateTable] = WeakValueDictionary()
        self._handshakes = RateTable(clock)
        self._requests = RateTable(clock)
        self._log = LineTally(LOG.warning, call_later)
        self._limits = limits
        self.configure(limits, ())

    def configure(self, limits: LimitsConfig, clients: Iterable[tuple[object, str, str | None]]) -> None:
        """Apply the limits of another plan from now on.

        Args:
            limits: of the plan.
            clients: all connections that there are now, each with its address and its user; None is a guest.
        """
        self._limits = limits
        by_address, by_user = limits.per_address, limits.per_user
        begins = (by_address.connections and self.addresses.most is None) or (
            by_user.connections and self.users.most is None
        )
        there = tuple(clients) if begins else ()  # there may be many, and most reloads bring no limit
        self.addresses.limit(by_address.connections, ((each, network_of(address)) for each, address, _ in there))
        self.users.limit(by_user.connections, ((each, user) for each, _, user in there if user is not None))
        self._handshakes.set_quota(by_address.handshakes)
        self._requests.set_quota(by_address.requests)
        self.counts_handshakes = by_address.handshakes is not None
        self.counts_requests = by_address.requests is not None

    def enter(self, member: object, address: str, user: str | None = None) -> None:
        """Count a connection; `leave` ends that."""
        if self.addresses.most is not None:
            self.addresses.add(member, network_of(address))
        if self.users.most is not None and user is not None:
            self.users.add(member, user)

    def leave(self, member: object) -> None:
        """Count a connection no more, if it is counted."""
        self.addresses.remove(member)
        self.users.remove(member)

    def table_of(self, key: Hashable, quota: Quota) -> RateTable:
        """Return the table of a rate; whoever asks for the same key has the same one, while anybody has it."""
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = RateTable(self._clock, quota)
        return table

    def admit_handshake(self, address: str, endpoint: str) -> None:
        """Charge a handshake to its address.

        Raises:
            HandshakeRejection: 429, it has had too many.
        """
        if self._handshakes.quota is not None and (wait := self._handshakes.charge(network_of(address))):
            self._tell("handshakes", endpoint, address, str(self._handshakes.quota))
            raise too_many("This address opens connections faster than this server allows; wait a moment.", wait)

    def admit_connection(self, address: str, endpoint: str) -> None:
        """Check that an address may have another connection.

        Raises:
            HandshakeRejection: 429, it has too many.
        """
        if self.addresses.most is not None and self.addresses.is_full(network_of(address)):
            self._tell("connections", endpoint, address, str(self.addresses.most))
            raise too_many("There are too many connections from this address; close one, or try again in a while.")

    def admit_request(self, address: str, endpoint: str) -> None:
        """Charge a request of plain HTTP to its address.

        Raises:
            HandshakeRejection: 429, it has had too many.
        """
        if self._requests.quota is not None and (wait := self._requests.charge(network_of(address))):
            self._tell("requests", endpoint, address, str(self._requests.quota))
            raise too_many("Requests of this address come faster than this server allows; wait a moment.", wait)

    def admit_user(self, user: str | None, endpoint: str) -> None:
        """Check that a user may have another connection; None is a guest, who always may.

        Raises:
            HandshakeRejection: 429, the user has too many.
        """
        if user is not None and self.users.is_full(user):
            self.note("user-connections", endpoint)
            self._log.add(
                f"endpoint {endpoint}: another connection of the user {_shown(user)} was refused (429): "
                f"limits.per_user.connections is {self.users.most}"
            )
            raise too_many("This user has too many connections; close one, or try again in a while.")

    def _tell(self, limit: str, endpoint: str, address: str, allowed: str) -> None:
        self.note(limit, endpoint)
        what = "requests" if limit == "requests" else "connections"
        self._log.add(
            f"endpoint {endpoint}: {what} of {address or 'a Unix socket'} were refused (429): "
            f"limits.per_address.{limit} is {allowed}"
        )

    def tell_route(self, route: str, endpoint: str, who: str, allowed: str) -> None:
        """Log that a route was asked for too often; `who` is an address or a user, or empty."""
        self.note("route", endpoint)
        of = f" of {_shown(who)}" if who else ""
        self._log.add(f"endpoint {endpoint}: requests{of} for {route} were refused (429): its rate is {allowed}")

    def note(self, limit: str, endpoint: str) -> None:
        """Notify the observer of a refusal."""
        if self.observer is not None:
            self.observer.limited(limit, endpoint)


def too_many(detail: str, wait: float = _LATER) -> HandshakeRejection:
    """Return the answer to a client that has, or does, too much.

    Args:
        detail: one sentence for the author of the client.
        wait: seconds until it may try again.
    """
    return HandshakeRejection(429, detail, {"retry-after": str(max(1, math.ceil(wait)))})


def _shown(text: str) -> str:
    """Return untrusted text in one line of ASCII."""
    return cut(text, _LONGEST).encode("unicode_escape").decode("ascii")
