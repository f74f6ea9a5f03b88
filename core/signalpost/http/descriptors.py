"""File descriptors: when few are left, new connections are rejected properly instead of failing midway."""

import contextlib
import logging
import resource
import sys
from collections.abc import Callable

from signalpost.config.model import LimitsConfig
from signalpost.logthrottle import Tally

logger = logging.getLogger("signalpost.serving")

RESERVE = 64
"""Descriptors that no connection may use: for files that routes send, for plugins, and for rejecting connections."""

REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 5\r\n"
    b"Connection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 58\r\n"
    b"\r\n"
    b"There are too many connections; try again in a little bit."
)


def raise_limit(connections: int) -> None:
    """Raise this process's limit of descriptors to the maximum, and warn if it is too low.

    Args:
        connections: that may be open at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems report no limit, and then enforce one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = _allowed()
    if allowed < connections + RESERVE:
        # The default was not chosen by anyone: if it does not fit, that is not worth a warning until it matters.
        logger.log(
            logging.DEBUG if connections == LimitsConfig().connections else logging.WARNING,
            "limits.connections is %d, but %d descriptors are allowed: from about %d connections on, further ones get "
            "503; allow more (ulimit -n), or lower limits.connections",
            connections,
            allowed,
            max(allowed - RESERVE, allowed // 2),
        )


def _allowed() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


class Descriptors:
    """Decides which connections may use a descriptor.

    The kernel assigns the lowest free number to each connection: a high one means that almost all are in use. So
    nothing need be counted, and connections are accepted again as soon as descriptors are free.

    Args:
        call_later: runs a function after a number of seconds (``loop.call_later``), for the log.

    Attributes:
        most: about how many connections have descriptors.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._limit = _allowed()
        # If only a few are allowed at all, connections get half of them.
        self.most = self._limit - min(RESERVE, self._limit // 2)
        self._refused = Tally(self._tell, call_later)
        self._missed = Tally(self._tell_of_files, call_later)

    def admit(self, descriptor: int) -> bool:
        """Return whether a connection with this descriptor may stay; if not, log it, at most one line per second."""
        if descriptor < self.most:
            return True
        self._refused.add()
        return False

    def miss(self) -> None:
        """Log that a file could not be opened, at most one line per second."""
        self._missed.add()

    def _tell_of_files(self, missed: int) -> None:
        logger.error(
            "descriptors have run out: %d requests for files were answered with 503; %d descriptors are allowed "
            "(ulimit -n)",
            missed,
            self._limit,
        )

    def _tell(self, refused: int) -> None:
        logger.warning(
            "descriptors are running out: %d connections refused with 503; %d descriptors are allowed (ulimit -n)",
            refused,
            self._limit,
        )
