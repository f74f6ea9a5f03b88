"""How a room is connected to: the arguments of `connect`, and what only tests and commands set."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random, SystemRandom
from ssl import SSLContext

from signalpost.client.address import Address
from signalpost.client.clock import Clock, SystemClock

Token = str | Callable[[], str | Awaitable[str]]

OPEN_TIMEOUT = 10.0
MOST_UNREAD = 1000
MOST_SIZE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a room is connected to.

    Attributes:
        address: where it is.
        token: see `connect`, as `headers`, `at`, `ssl`, `open_timeout`, `unread` and `max_size`.
        offers_v1: whether signalpost.v1 is offered to the server.
        accepts_plain: whether a server that does not take it is good enough: its frames are then values.
        events: whether server-sent events are tried where WebSockets do not come through.
        one_try: whether each way is tried once only, as long as no welcome came.
        clock: time for waits and for the watch over a connection.
        random: draws the waits.
    """

    address: Address
    token: Token | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: str = ""
    ssl: SSLContext | None = None
    open_timeout: float | None = OPEN_TIMEOUT
    unread: int = MOST_UNREAD
    max_size: int | None = MOST_SIZE
    offers_v1: bool = True
    accepts_plain: bool = False
    events: bool = True
    one_try: bool = False
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=SystemRandom)
