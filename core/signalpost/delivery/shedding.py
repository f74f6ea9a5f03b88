"""The log of clients that were dropped for the sake of all others: whoever runs the server must hear of them."""

import logging
from collections.abc import Callable

from signalpost.config.units import format_size

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two lines of the log, at least."""


class ShedLog:
    """Says how many clients were dropped: at once, and after that once a second at most. None is left out.

    Args:
        outboxes: bytes that may wait for all clients together.
        call_later: runs a function after so many seconds (``loop.call_later``).

    """

    __slots__ = ("_call_later", "_dropped", "_outboxes", "_quiet")

    def __init__(self, outboxes: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._outboxes = outboxes
        self._call_later = call_later
        self._dropped = 0
        self._quiet = False  # a line was written less than a second ago

    def __call__(self, clients: int) -> None:
        """Hear that so many clients were dropped."""
        self._dropped += clients
        if not self._quiet:
            self._tell()

    def _tell(self) -> None:
        self._quiet = self._dropped > 0
        if self._quiet:
            LOG.warning(
                "clients dropped with 4008, the slowest first: %d; more than %s waited for all together "
                "(limits.outboxes)",
                self._dropped,
                format_size(self._outboxes),
            )
            self._dropped = 0
            self._call_later(PAUSE, self._tell)
