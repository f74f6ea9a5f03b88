"""What has come in unfinished, of all clients together: one account, so that many small beginnings are bounded too."""

import logging
from collections.abc import Callable

from signalpost.config.units import format_size
from signalpost.delivery.tally import Tally

LOG = logging.getLogger(__name__)


class Inbound:
    """Counts the bytes of unfinished messages and request bodies of all clients together.

    Whoever keeps bytes of a client takes them from here first, and gives back what it took when the message or the
    request is done, or its connection has ended, whatever comes first.

    Args:
        most: bytes that may be held at once; None is no bound.
        call_later: runs a function after so many seconds (``loop.call_later``), for the log; None logs nothing.

    Attributes:
        most: the same; it may change. Nothing that is held already is taken back.
        held: bytes that are held now.

    """

    __slots__ = ("_refused", "held", "most")

    def __init__(
        self,
        most: int | None = None,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self.most = most
        self.held = 0
        self._refused = None if call_later is None else Tally(self._tell, call_later)

    def take(self, count: int) -> bool:
        """Hold so many bytes more; False holds none of them, and the log says so, a line a second at most."""
        held = self.held + count
        if self.most is not None and held > self.most:
            if self._refused is not None:
                self._refused.add()
            return False
        self.held = held
        return True

    def give(self, count: int) -> None:
        """Give back bytes that were taken."""
        self.held -= count

    def _tell(self, refused: int) -> None:
        LOG.warning(
            "unfinished messages and request bodies refused: %d; more than %s would be held for all clients together "
            "(limits.inbound)",
            refused,
            format_size(self.most or 0),
        )
