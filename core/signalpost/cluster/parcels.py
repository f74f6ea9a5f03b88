"""Parcels: what this node has asked the backplane to carry, and has no answer about yet."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from signalpost.backplanes.backplane import AwayError
from signalpost.cluster.interest import Interest
from signalpost.errors import UnavailableError
from signalpost.units import MEBIBYTE

MOST_WAITING = 16 * MEBIBYTE
"""Bytes of parcels that wait for an answer, or for the backplane."""

_PARCEL = 300  # bytes that one counts for besides its body


class Parcel(Protocol):
    """A body on its way.

    Attributes:
        channel: on which it travels.
        size: bytes that it counts for.
    """

    channel: str
    size: int

    def hand_over(self) -> "asyncio.Future[Any]":
        """Ask the backplane to carry it; called again if the connection was lost before the answer."""

    def arrived(self, answer: Any, /) -> None:
        """Called with the backplane's answer: how many nodes heard it, or a `Kept`."""

    def lost(self, error: Exception, /) -> None:
        """Called when it is not carried: nobody elsewhere hears it."""


class Parcels:
    """Hands parcels over in their order, and keeps those without an answer while the backplane is away.

    ::

        here, all is well   handed over at once, except behind one whose own channel is not heard here yet
        away                they wait in order, for the patience of the node; what has no answer is handed over again
        given up            those that wait are lost, and each that comes, until the backplane is there again

    Args:
        interest: knows which channels are heard.
        patience: seconds.
        call_later: runs a function after a number of seconds; None is that of the running loop.

    Attributes:
        given_up: whether the backplane has been away for longer than the patience.
    """

    def __init__(
        self,
        interest: Interest,
        patience: float,
        call_later: Callable[[float, Callable[[], None]], asyncio.Handle] | None = None,
    ) -> None:
        self._interest = interest
        self._patience = patience
        self._call_later = call_later
        self._open: dict[Parcel, None] = {}  # without an answer, in their order
        self._next: deque[Parcel] = deque()  # of these, those that are not handed over
        self._size = 0
        self._here = False
        self._held = False  # until a channel is heard
        self._timer: asyncio.Handle | None = None
        self._empty: asyncio.Future[None] | None = None
        self.given_up = False

    def __len__(self) -> int:
        """Return how many have no answer yet."""
        return len(self._open)

    @property
    def size(self) -> int:
        """Bytes for which these count."""
        return self._size

    def send(self, parcel: Parcel) -> None:
        """Hand a parcel over, behind all before it; nothing raises, the parcel is told what becomes of it."""
        if self.given_up or self._size + parcel.size > MOST_WAITING:
            parcel.lost(UnavailableError("the backplane is away" if self.given_up else "too much waits already"))
            return
        self._open[parcel] = None
        self._size += parcel.size
        self._next.append(parcel)
        self._go_on()

    def backplane_lost(self) -> None:
        """Called when the backplane is away."""
        self._here = False
        if self._timer is None and not self.given_up:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(self._patience, self._give_up)

    def backplane_here(self) -> None:
        """Called when the backplane is there (again)."""
        self.given_up = False
        self._stop_timer()
        self._here = True
        self._next = deque(self._open)
        self._go_on()

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        self._give_up()

    async def settled(self, seconds: float) -> None:
        """Wait until all have an answer, so many seconds at most."""
        if self._open:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._empty}, timeout=seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self.given_up = True
        lost, self._open = self._open, {}
        self._next.clear()
        self._size = 0
        self._note_empty()
        for parcel in lost:
            parcel.lost(UnavailableError("the backplane is away"))

    def _note_empty(self) -> None:
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _go_on(self) -> None:
        while self._next and self._here and not self._held:
            heard = self._interest.pending(self._next[0].channel)
            if heard is not None:  # what is sent there must come back here, too
                self._held = True
                heard.add_done_callback(self._heard)
                return
            parcel = self._next.popleft()
            parcel.hand_over().add_done_callback(partial(self._answered, parcel))

    def _heard(self, _: "asyncio.Future[None]") -> None:
        self._held = False
        self._go_on()

    def _answered(self, parcel: Parcel, answer: "asyncio.Future[Any]") -> None:
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if isinstance(error, AwayError) or parcel not in self._open:
            return  # it is handed over again when the backplane is back, or has been lost
        del self._open[parcel]
        self._size -= parcel.size
        if not self._open:
            self._note_empty()
        if error is None:
            parcel.arrived(answer.result())
        else:
            parcel.lost(UnavailableError(f"the backplane does not take it: {error}"))
