"""A run: shared by the steps of one list while they run for one event."""

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
"""Seconds that the steps of a run may wait in total."""

MOST_ITERATIONS = 100_000
"""How often the bodies of all loops of one run may be repeated."""

LONGEST_WORK = 0.03
"""Seconds that the steps of a run may work before they yield to others, which only steps that wait do."""

LONGEST_JOB = 1.0
"""The same for a timer or a schedule: no client can make its list work more, or more often."""

MOST_WRITTEN = 64 * MEBIBYTE
"""Bytes that the loops of a run may send, counted once for each receiving client."""

MOST_MADE = 64 * MEBIBYTE
"""Bytes of the values that the steps of a run may send, counted once, however many clients receive them."""


class Trace(Protocol):
    """Called for every step that ran; see `signalpost.actions.program.Program.run`."""

    def __call__(self, step: str, where: str, values: Any, outcome: Any) -> None:
        """Record a step.

        Args:
            step: the action's name.
            where: its place: ``routes.yaml:14:9``.
            values: its options, rendered; for an ``if`` the condition, for a ``for`` the list.
            outcome: a `Receipt` of what was sent; for an ``if`` ``"then"`` or ``"else"``; else None.
        """


@dataclass(slots=True)
class WebRequest:
    """A request on a route, as templates see it.

    Attributes:
        seen: its method, path, query, headers and peer; empty if no template uses them.
        data: its body: JSON or a form; None without a body.
        address: of the client.
    """

    seen: Mapping[str, Any]
    data: Any = None
    address: str = ""


@dataclass(slots=True)
class Response:
    """The response to a request, from a ``respond``.

    Attributes:
        status: 200 to 599.
        body: encoded.
        headers: additional ones, possibly repeated; valid.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Run:
    """The run of a list of steps for one event.

    Args:
        event: what happened; effects act through it.
        request: of a route.
        trace: called for every step.

    Attributes:
        matched: how many clients the last broadcast or reply reached.
        clock: of the work of its steps, and of their templates.
        answer: of a route: a `Response`, or the result of a handler; None at first.
        variables: of the enclosing loops, and of steps such as ``let``, by name.
        deserted: whether the rest was abandoned because its client has disconnected.
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
        self._made = 0  # bytes of the sent values
        self._written = 0  # the same, counted once for each receiving client
        self.clock = WorkClock(LONGEST_JOB if isinstance(event, TickEvent) else LONGEST_WORK)
        self._now: datetime | None = None
        self._waits = 0.0  # total of seconds that its steps wait
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
        """Use some of the time that a run may wait.

        Raises:
            OptionError: less than that is left.
        """
        self._waits += max(seconds, LONGEST_WORK)  # after each wait its steps may work for the full time again
        if self._waits > LONGEST_WAIT:
            raise OptionError(f"the steps of one run wait {format_duration(LONGEST_WAIT)} at most, together")

    def count(self, receipt: Receipt) -> Receipt:
        """Record how many clients a broadcast reached, and its cost.

        Raises:
            OptionError: the run has sent more than its limit; this value was the last.
        """
        self.matched = receipt.matched
        self._written += receipt.matched * receipt.size
        self._made += receipt.size
        if self._made > MOST_MADE:
            raise OptionError(f"the steps of one run send {format_size(MOST_MADE)} at most, together")
        return receipt

    def spend(self, iterations: int) -> None:
        """Use a number of the iterations that a run may have.

        Raises:
            OptionError: fewer than that are left.
        """
        if iterations > self._left:
            raise OptionError(f"the loops of one run are done {MOST_ITERATIONS:,} times at most, together")
        self._left -= iterations

    def turn(self) -> None:
        """Check what the run has sent so far, before each iteration of a loop.

        Raises:
            OptionError: it is more than its loops may send.
        """
        if self._written > MOST_WRITTEN:
            raise OptionError(
                f"the loops of one run send {format_size(MOST_WRITTEN)} at most, counted for each client that gets them"
            )

    def tick(self) -> None:
        """Check the clock, before each step and during one.

        Raises:
            OptionError: the steps have worked too long.
        """
        if self.clock.is_over():
            raise OptionError(too_long(self.clock))

    def rest(self) -> None:
        """Restart the clock: others have had their turn."""
        self.clock.restart()


class Names(dict[str, Any]):
    """The names for the templates of a step, and the clock of their run.

    Args:
        clock: of the run.

    Attributes:
        clock: the same.
    """

    __slots__ = ("clock",)

    def __init__(self, clock: WorkClock) -> None:
        self.clock = clock
