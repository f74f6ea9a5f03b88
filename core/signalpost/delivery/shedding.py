"""The log of clients that were dropped for the sake of all others: whoever runs the server must hear of them."""

import logging
from collections.abc import Callable

from signalpost.tally import Tally
from signalpost.units import format_size

LOG = logging.getLogger(__name__)


class ShedLog:
    """Says how many clients were dropped, a line a second at most.

    Args:
        outboxes: bytes that may wait for all clients together.
        call_later: runs a function after so many seconds (``loop.call_later``).

    """

    __slots__ = ("_outboxes", "_tally")

    def __init__(self, outboxes: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._outboxes = outboxes
        self._tally = Tally(self._tell, call_later)

    def __call__(self, clients: int) -> None:
        """Hear that so many clients were dropped."""
        self._tally.add(clients)

    def _tell(self, clients: int) -> None:
        LOG.warning(
            "clients dropped with 4008, the slowest first: %d; more than %s waited for all together (limits.outboxes)",
            clients,
            format_size(self._outboxes),
        )
