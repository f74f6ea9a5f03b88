"""Unfinished input of all clients together: one account, so that many small beginnings are limited too."""

import logging
from collections.abc import Callable
from typing import Protocol

from signalpost.logthrottle import Tally
from signalpost.units import format_size

LOG = logging.getLogger(__name__)


class Holder(Protocol):
    """A connection that holds unfinished input."""

    def give_up_inbound(self) -> None:
        """End the connection, and release what it holds."""


class Inbound:
    """Counts the bytes of unfinished messages and request bodies of all clients together.

    Code that buffers a client's bytes reserves them here first, and releases them when the message or the request is
    done or its connection has ended, whichever comes first.

    Args:
        most: bytes that may be held at once; None is no limit.
        call_later: runs a function after a number of seconds (``loop.call_later``), for the log; None logs nothing.

    Attributes:
        most: the same; it may change. Bytes already held stay held.
        held: bytes held now.
    """

    __slots__ = ("_holders", "_refused", "held", "most")

    def __init__(
        self,
        most: int | None = None,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self.most = most
        self.held = 0
        self._holders: dict[Holder, int] = {}  # the longest holder comes first
        self._refused = None if call_later is None else Tally(self._tell, call_later)

    @property
    def roomy(self) -> bool:
        """Whether less than half of the bytes are held: then it is fine to buffer what could wait elsewhere."""
        return self.most is None or self.held * 2 < self.most

    def acquire(self, count: int) -> bool:
        """Reserve a number of bytes; False reserves none and is logged, at most one line per second."""
        if self._holders:
            self._make_room(count)
        held = self.held + count
        if self.most is not None and held > self.most:
            if self._refused is not None:
                self._refused.add()
            return False
        self.held = held
        return True

    def hold(self, holder: Holder, count: int) -> None:
        """Note how many bytes of unfinished input a connection holds in total; 0 forgets it.

        If there is no room, the connections that have held input longest are ended: an honest message is soon complete.
        """
        before = self._holders.get(holder, 0)
        if count:
            self._holders[holder] = count
        elif before:
            del self._holders[holder]
        self.held += count - before
        if self.most is not None and self.held > self.most:
            self._make_room(0)

    def release(self, holder: Holder) -> None:
        """Forget what a connection holds."""
        self.held -= self._holders.pop(holder, 0)

    def _make_room(self, count: int) -> None:
        """End the connections that have held input longest, until there is room for `count` more bytes."""
        while self._holders and self.most is not None and self.held + count > self.most:
            holder = next(iter(self._holders))
            self.release(holder)
            if self._refused is not None:
                self._refused.add()
            holder.give_up_inbound()

    def release_bytes(self, count: int) -> None:
        """Release bytes that were reserved."""
        self.held -= count

    def _tell(self, refused: int) -> None:
        LOG.warning(
            "unfinished messages and request bodies refused: %d; more than %s would be held for all clients together "
            "(limits.inbound)",
            refused,
            format_size(self.most or 0),
        )
