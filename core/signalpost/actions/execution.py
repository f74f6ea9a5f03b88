"""A run: what the steps of one list share while they are done for one event."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from signalpost.actions.given import OptionError
from signalpost.delivery.target import Receipt
from signalpost.events import TickEvent
from signalpost.templates.clock import WorkClock, too_long
from signalpost.units import MEBIBYTE, format_duration, format_size

LONGEST_WAIT = 60.0
"""Seconds that the steps of a run may wait, all together."""

MOST_ITERATIONS = 100_000
"""How often the bodies of all loops of one run may be done."""

LONGEST_WORK = 0.03
"""Seconds that the steps of a run may work before they let others have their turn, which only steps that wait do."""

LONGEST_JOB = 1.0
"""The same for a timer or a schedule: no client can make its list work more, or more often."""

MOST_WRITTEN = 64 * MEBIBYTE
"""Bytes that the loops of a run may send, each counted for every client that gets it."""

MOST_MADE = 64 * MEBIBYTE
"""Bytes of the values that the steps of a run may send, each counted once, however many get it."""


class Trace(Protocol):
    """Is told of every step that is done; see `signalpost.actions.program.Program.run`."""

    def __call__(self, step: str, where: str, values: Any, outcome: Any) -> None:
        """Hear of a step.

        Args:
            step: the action's name.
            where: its place: ``routes.yaml:14:9``.
            values: its options, rendered; of an ``if`` the condition, of a ``for`` the list.
            outcome: a `Receipt` of what was sent; of an ``if`` ``"then"`` or ``"else"``; else None.

        """


@dataclass(slots=True)
class WebRequest:
    """What templates see of a request on a route.

    Attributes:
        seen: its method, path, query, headers and peer; empty if no template asks for them.
        data: its body: JSON or a form; None without a body.
        address: where it comes from.

    """

    seen: Mapping[str, Any]
    data: Any = None
    address: str = ""


@dataclass(slots=True)
class Response:
    """The answer to a request, as a ``respond`` gives it.

    Attributes:
        status: 200 to 599.
        body: encoded.
        headers: further ones, of which some may stand several times; sound.

    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Run:
    """One event on its way through a list of steps.

    Args:
        event: what happened; effects go through it.
        request: of a route.
        trace: is told of every step.

    Attributes:
        matched: how many clients the last broadcast or reply reached.
        clock: of the work of its steps, and of all that is rendered for them.
        answer: of a route: a `Response`, or what a handler returned; None so far.
        variables: of the loops around, and those that steps have given, by name.
        deserted: the client has gone for whom it was done, and so the rest is not.

    """

    __slots__ = (
        "_left",
        "_made",
        "_now",
        "_waits",
        "_written",
        "answer",
        "clock",
        "deserted",
        "event",
        "matched",
        "request",
        "trace",
        "variables",
    )

    def __init__(self, event: Any, request: WebRequest | None = None, trace: Trace | None = None) -> None:
        self.event = event
        self.request = request
        self.trace = trace
        self.matched = 0
        self.answer: Any = None
        self.variables: dict[str, Any] = {}
        self._left = MOST_ITERATIONS
        self._made = 0  # bytes of the values that were sent
        self._written = 0  # the same, each for every client that got it
        self.clock = WorkClock(LONGEST_JOB if isinstance(event, TickEvent) else LONGEST_WORK)
        self._now: datetime | None = None
        self._waits = 0.0  # seconds that its steps wait, all together
        self.deserted = False

    @property
    def now(self) -> datetime:
        """The moment of the run, in the system's zone, to the second."""
        return self._moment.replace(microsecond=0)

    @property
    def timestamp(self) -> float:
        """The moment of the run in Unix seconds, to the millisecond."""
        return math.floor(self._moment.timestamp() * 1000) / 1000

    @property
    def _moment(self) -> datetime:
        if self._now is None:
            self._now = datetime.now().astimezone()
        return self._now

    def wait(self, seconds: float) -> None:
        """Take some of the time that a run may wait.

        Raises:
            OptionError: so much is not left.

        """
        self._waits += max(seconds, LONGEST_WORK)  # after each wait its steps may work as long as that
        if self._waits > LONGEST_WAIT:
            raise OptionError(f"the steps of one run wait {format_duration(LONGEST_WAIT)} at most, together")

    def count(self, receipt: Receipt) -> Receipt:
        """Keep what a broadcast reached, and what it costs.

        Raises:
            OptionError: the run has sent more than one may; this value was the last.

        """
        self.matched = receipt.matched
        self._written += receipt.matched * receipt.size
        self._made += receipt.size
        if self._made > MOST_MADE:
            raise OptionError(f"the steps of one run send {format_size(MOST_MADE)} at most, together")
        return receipt

    def spend(self, iterations: int) -> None:
        """Take as many of the iterations that a run has.

        Raises:
            OptionError: not so many are left.

        """
        if iterations > self._left:
            raise OptionError(f"the loops of one run are done {MOST_ITERATIONS:,} times at most, together")
        self._left -= iterations

    def turn(self) -> None:
        """Look at what the run has sent so far, before each iteration of a loop.

        Raises:
            OptionError: it is more than its loops may send.

        """
        if self._written > MOST_WRITTEN:
            raise OptionError(
                f"the loops of one run send {format_size(MOST_WRITTEN)} at most, counted for each client that gets them"
            )

    def tick(self) -> None:
        """Look at the clock, before each step and while one works.

        Raises:
            OptionError: the steps have worked too long.

        """
        if self.clock.is_over():
            raise OptionError(too_long(self.clock))

    def rest(self) -> None:
        """Begin to count the time anew: others have had their turn."""
        self.clock.restart()


class Names(dict[str, Any]):
    """What the templates of a step may name, and the clock of the run that they are a part of.

    Args:
        clock: of the run.

    Attributes:
        clock: the same.

    """

    __slots__ = ("clock",)

    def __init__(self, clock: WorkClock) -> None:
        self.clock = clock
