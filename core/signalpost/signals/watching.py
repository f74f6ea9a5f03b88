"""What became of the last messages on paths that somebody looks at: facts, for whoever words them.

Nothing is recorded on other paths. While nobody looks at any, `SignalCounts.watch` is None, and there is no `Watch` to
ask.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from signalpost.config.authmodel import Verb
from signalpost.delivery.client import Client
from signalpost.delivery.target import Receipt, Target
from signalpost.errors import ClientError
from signalpost.events import Broadcast
from signalpost.signals.decide import Decision
from signalpost.signals.message import ClientMessage
from signalpost.signals.permissions import Judgement
from signalpost.signals.rule import SignalRule

KEPT: Final = 100
"""Messages of a path that are recorded."""

LONGEST: Final = 4_096
"""Bytes of a message that are kept."""

MOST_PATHS: Final = 16
"""Paths that are recorded at once; the one that nobody has looked at for longest gives way."""

LASTS: Final = 15.0
"""Seconds for which a path is recorded after somebody has looked at it."""


@dataclass(slots=True, eq=False)
class Way:
    """One message, and what became of it.

    Attributes:
        number: counts the messages that were recorded, on all paths.
        at: Unix seconds of its arrival.
        client: id of its sender.
        user: of its sender; None is a guest.
        rule: by which it was judged.
        payload: its first `LONGEST` bytes.
        size: of it in bytes.
        binary: whether its frame was binary.
        message: as it was read; None if it could not be.
        judgements: of permissions, in the order in which they were asked.
        decision: what was decided; None if it did not come that far.
        error: what its sender was told; None if nothing.
        stopped: whether a plugin's filter stopped it.
        published: each value that was published because of it, to which target, and for how many clients.
        seconds: that its handler, or its list of actions, took; None if that does not wait, or is under way.
    """

    number: int
    at: float
    client: str
    user: str | None
    rule: SignalRule
    payload: bytes
    size: int
    binary: bool
    message: ClientMessage | None = None
    judgements: list[tuple[Verb, Judgement]] = field(default_factory=list)
    decision: Decision | None = None
    error: ClientError | None = None
    stopped: bool = False
    published: list[tuple[Target, Receipt]] = field(default_factory=list)
    seconds: float | None = None


@dataclass(slots=True)
class _Path:
    """A path that somebody looks at."""

    until: float
    ways: deque[Way] = field(default_factory=lambda: deque(maxlen=KEPT))


class Watch:
    """Records the messages of some paths.

    Args:
        clock: returns the seconds of the loop (``loop.time``).
        wall: returns Unix seconds.

    Attributes:
        current: the message that is being handled now, if it is recorded: what is noted is about that.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.current: Way | None = None
        self._clock = clock
        self._wall = wall
        self._paths: dict[str, _Path] = {}
        self._count = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that are recorded."""
        return tuple(self._paths)

    def look(self, path: str) -> tuple[Way, ...]:
        """Return what was recorded of a path, oldest first, and record it for a while from now on."""
        found = self._paths.pop(path, None) or _Path(0.0)
        if len(self._paths) >= MOST_PATHS:
            del self._paths[next(iter(self._paths))]
        found.until = self._clock() + LASTS
        self._paths[path] = found
        return tuple(found.ways)

    def end_unseen(self) -> None:
        """Forget the paths that nobody has looked at for a while."""
        now = self._clock()
        for path in [path for path, each in self._paths.items() if each.until <= now]:
            del self._paths[path]

    def begin(self, client: Client, rule: SignalRule, payload: bytes, *, binary: bool = False) -> None:
        """Called when a message has arrived, before anything is done with it."""
        self.current = None
        found = self._paths.get(client.path)
        if found is None:
            return
        self._count += 1
        size = len(payload)
        kept = bytes(payload[:LONGEST])
        self.current = Way(self._count, self._wall(), client.id, client.user, rule, kept, size, binary)
        found.ways.append(self.current)

    def end(self) -> None:
        """Called when all that could be done at once with the message was done."""
        self.current = None

    # What becomes of the current message

    def decoded(self, message: ClientMessage) -> None:
        """Called when the message was read, and its schema accepted it."""
        if self.current is not None:
            self.current.message = message

    def judged(self, verb: Verb, judgement: Judgement) -> None:
        """Called when a permission was asked."""
        if self.current is not None:
            self.current.judgements.append((verb, judgement))

    def decided(self, decision: Decision) -> None:
        """Called when it was decided what becomes of the message."""
        if self.current is not None:
            self.current.decision = decision

    def stopped(self) -> None:
        """Called when a plugin's filter has stopped the message."""
        if self.current is not None:
            self.current.stopped = True

    def refused(self, error: ClientError) -> None:
        """Called when its sender is told an error."""
        if self.current is not None:
            self.current.error = error

    def published(self, target: Target, receipt: Receipt) -> None:
        """Called when a value was published because of the message."""
        if self.current is not None:
            self.current.published.append((target, receipt))

    # What becomes of a message later

    def way_of(self, client: Client, message: object) -> Way | None:
        """Return what was recorded of a message that may be handled later; None if it was not recorded."""
        found = self._paths.get(client.path)
        if found is None:
            return None
        return next((way for way in reversed(found.ways) if way.message is message), None)

    def during(self, way: Way, broadcast: Broadcast) -> Broadcast:
        """Return a broadcast whose publications are noted at a message, whenever it is called."""
        return _Noting(self, way, broadcast)


class _Noting:
    """A broadcast that notes what it publishes at one message."""

    __slots__ = ("_broadcast", "_watch", "_way")

    def __init__(self, watch: Watch, way: Way, broadcast: Broadcast) -> None:
        self._watch = watch
        self._way = way
        self._broadcast = broadcast

    def __call__(self, value: Any, **target: Any) -> Receipt:
        """See `signalpost.events.Broadcast`."""
        before, self._watch.current = self._watch.current, self._way
        try:
            return self._broadcast(value, **target)
        finally:
            self._watch.current = before
