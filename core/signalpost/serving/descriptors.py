"""File descriptors: when few are left, connections are refused in order rather than failing in the middle."""

import contextlib
import logging
import resource
import sys
from collections.abc import Callable

from signalpost.config.model import LimitsConfig

logger = logging.getLogger("signalpost.serving")

RESERVE = 64
"""Descriptors that no connection gets: for files that routes answer with, for plugins, and for refusing the others."""

PAUSE = 1.0
"""Seconds between two lines of the log about it."""

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
    """Let this process have as many descriptors as it may, and warn if they are too few.

    Args:
        connections: that are to be open at once.

    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems say that there is no limit, and then have one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = _allowed()
    if allowed < connections + RESERVE:
        # Nobody asked for the default: where it does not fit, that is no news until it matters.
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
    """Tells which connections there are descriptors for.

    The kernel gives each connection the lowest number that is free: a high one means that almost all are taken. So
    nothing has to be counted, and connections are taken again as soon as descriptors come back.

    Args:
        clock: gives seconds that only grow, for the log.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit = _allowed()
        # Where only a few are allowed at all, connections get half of them.
        self._first_refused = self._limit - min(RESERVE, self._limit // 2)
        self._refused = 0
        self._told_at: float | None = None

    def admit(self, descriptor: int) -> bool:
        """Tell whether a connection with this descriptor may stay; say so in the log, once a second, if not."""
        if descriptor < self._first_refused:
            return True
        self._refused += 1
        now = self._clock()
        if self._told_at is None or now - self._told_at >= PAUSE:
            logger.warning(
                "descriptors are running out: %d connections refused with 503; %d descriptors are allowed (ulimit -n)",
                self._refused,
                self._limit,
            )
            self._refused, self._told_at = 0, now
        return False
