"""Observers: everything of a running server that can be counted, in one list."""

import logging

LOG = logging.getLogger(__name__)


class Observer:
    """Hears what happens. Derive from it, and write what is of interest; the rest does nothing.

    It is called in the loop, in the middle of what it hears of: it must neither wait nor raise. Where a server has no
    observer, nothing is paid for it.
    """

    def connected(self, client: str, path: str) -> None:
        """Called when a client has its WebSocket."""

    def rejected(self, endpoint: str, status: int) -> None:
        """Called when a handshake has been answered with an HTTP status instead."""

    def disconnected(self, client: str, path: str, code: int) -> None:
        """Called when a client has gone; `code` is that of RFC 6455 section 7.4."""

    def received(self, client: str, path: str, outcome: str) -> None:
        """Called when a client's message has been decided.

        Args:
            client: its id.
            path: where it is connected.
            outcome: ``deliver``, ``answer``, ``act``, ``invoke``, ``ignore``, or the code of the error that it got.

        """

    def published(self, path: str | None, size: int, matched: int, dropped: int) -> None:
        """Called when a value has been published.

        Args:
            path: where it was sent, else where it came from; None if there is neither.
            size: bytes of it.
            matched: clients of this process that it is for.
            dropped: those of them that were too slow for it.

        """

    def dropped(self, client: str, path: str, code: int) -> None:
        """Called when a client's connection is ended at once: 4008 is too slow, 1006 gone."""

    def job_ran(self, name: str, seconds: float, *, failed: bool) -> None:
        """Called when a run of a timer or schedule is over."""

    def reloaded(self, kept: int, closed: int) -> None:
        """Called when another plan is at work; with how many clients stayed and how many were sent away."""


class DebugLog(Observer):
    """Writes what it hears to the log, at the level debug."""

    def connected(self, client: str, path: str) -> None:
        """See `Observer.connected`."""
        LOG.debug("client %s connected on %s", client, path)

    def rejected(self, endpoint: str, status: int) -> None:
        """See `Observer.rejected`."""
        LOG.debug("a handshake at endpoint %s was answered with %d", endpoint, status)

    def disconnected(self, client: str, path: str, code: int) -> None:
        """See `Observer.disconnected`."""
        LOG.debug("client %s on %s has gone (%d)", client, path, code)

    def received(self, client: str, path: str, outcome: str) -> None:
        """See `Observer.received`."""
        LOG.debug("a message of client %s on %s: %s", client, path, outcome)

    def published(self, path: str | None, size: int, matched: int, dropped: int) -> None:
        """See `Observer.published`."""
        LOG.debug("%d bytes to %s for %d clients, %d too slow", size, path or "everyone", matched, dropped)

    def dropped(self, client: str, path: str, code: int) -> None:
        """See `Observer.dropped`."""
        LOG.debug("client %s on %s was dropped (%d)", client, path, code)

    def job_ran(self, name: str, seconds: float, *, failed: bool) -> None:
        """See `Observer.job_ran`."""
        LOG.debug("job %s %s after %.3f s", name, "failed" if failed else "was done", seconds)

    def reloaded(self, kept: int, closed: int) -> None:
        """See `Observer.reloaded`."""
        LOG.debug("another plan is at work: %d clients kept, %d closed", kept, closed)
