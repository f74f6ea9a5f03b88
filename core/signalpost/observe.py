"""Observers: everything in a running server that can be counted, in one list."""

import logging

LOG = logging.getLogger(__name__)


class Observer:
    """Base class of observers. Override the methods of interest; the others do nothing.

    Methods are called in the loop, in the middle of the event: they must neither wait nor raise. A server without an
    observer has no overhead for it.
    """

    def connected(self, client: str, path: str) -> None:
        """Called when a client has connected its WebSocket."""

    def rejected(self, endpoint: str, status: int) -> None:
        """Called when a handshake has been answered with an HTTP status instead."""

    def identified(self, outcome: str) -> None:
        """Called when it was asked who a client is that comes, where anything can tell.

        Args:
            outcome: ``user``, ``guest`` or ``program``; ``refused`` for what is shown and not good; ``no-keys``, as
                those of tokens have not come yet; ``undecided``, as a plugin failed.
        """

    def limited(self, limit: str, endpoint: str) -> None:
        """Called when something was answered with 429 for a limit of an address, a user or a route.

        Args:
            limit: ``handshakes``, ``connections`` and ``requests`` of an address, ``user-connections`` and
                ``user-rate``, ``route``, or ``posts``: messages by POST, by ``limits.rate``.
            endpoint: name of the one that answered.
        """

    def disconnected(self, client: str, path: str, code: int) -> None:
        """Called when a client has disconnected; `code` is from RFC 6455 section 7.4."""

    def received(self, client: str, path: str, outcome: str) -> None:
        """Called when a client's message has been decided.

        Args:
            client: its id.
            path: of its connection.
            outcome: ``deliver``, ``answer``, ``act``, ``invoke``, ``ignore``, or the code of its error.
        """

    def published(self, path: str | None, size: int, matched: int, dropped: int) -> None:
        """Called when a value has been published.

        Args:
            path: of its target, else of its sender; None if neither has one.
            size: of the value in bytes.
            matched: clients of this process that it reaches.
            dropped: those of them that were too slow for it.
        """

    def dropped(self, client: str, path: str, code: int) -> None:
        """Called when a client's connection is aborted: 4008 is too slow, 1006 gone."""

    def missed(self, client: str, path: str, why: str) -> None:
        """Called when a client misses values of its path, whether its protocol tells it or not.

        Args:
            client: its id.
            path: of its connection.
            why: ``lost``, ``too-old`` or ``slow`` (`signalpost.history.stream.Why`).
        """

    def kicked(self, code: int, count: int) -> None:
        """Called when clients have been sent away on purpose: 4009 kicked, 4403 banned, 4401 their tokens revoked."""

    def job_ran(self, name: str, seconds: float, *, failed: bool) -> None:
        """Called when a run of a timer or schedule is over."""

    def feed_connected(self, name: str) -> None:
        """Called when a feed has been connected."""

    def feed_lost(self, name: str) -> None:
        """Called when the connection of a feed has ended, or could not be made; it is tried again."""

    def feed_handled(self, name: str, seconds: float, *, failed: bool) -> None:
        """Called when a message of a feed has been handled."""

    def reloaded(self, kept: int, closed: int) -> None:
        """Called when a new plan serves, with the numbers of clients that stayed and that were closed."""

    def reload_failed(self) -> None:
        """Called when a new plan has problems, or cannot serve: the old one is kept."""


class DebugLog(Observer):
    """Writes all calls to the log, at the level debug."""

    def connected(self, client: str, path: str) -> None:
        """See `Observer.connected`."""
        LOG.debug("client %s connected on %s", client, path)

    def rejected(self, endpoint: str, status: int) -> None:
        """See `Observer.rejected`."""
        LOG.debug("a handshake at endpoint %s was answered with %d", endpoint, status)

    def identified(self, outcome: str) -> None:
        """See `Observer.identified`."""
        LOG.debug("it was asked who a client is: %s", outcome)

    def limited(self, limit: str, endpoint: str) -> None:
        """See `Observer.limited`."""
        LOG.debug("something at endpoint %s was answered with 429: its limit of %s is reached", endpoint, limit)

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

    def missed(self, client: str, path: str, why: str) -> None:
        """See `Observer.missed`."""
        LOG.debug("client %s on %s misses values: %s", client, path, why)

    def kicked(self, code: int, count: int) -> None:
        """See `Observer.kicked`."""
        LOG.debug("%d clients were sent away (%d)", count, code)

    def job_ran(self, name: str, seconds: float, *, failed: bool) -> None:
        """See `Observer.job_ran`."""
        LOG.debug("job %s %s after %.3f s", name, "failed" if failed else "was done", seconds)

    def feed_connected(self, name: str) -> None:
        """See `Observer.feed_connected`."""
        LOG.debug("feed %s is connected", name)

    def feed_lost(self, name: str) -> None:
        """See `Observer.feed_lost`."""
        LOG.debug("feed %s is not connected", name)

    def feed_handled(self, name: str, seconds: float, *, failed: bool) -> None:
        """See `Observer.feed_handled`."""
        LOG.debug("a message of feed %s %s after %.3f s", name, "failed" if failed else "was done", seconds)

    def reloaded(self, kept: int, closed: int) -> None:
        """See `Observer.reloaded`."""
        LOG.debug("another plan is at work: %d clients kept, %d closed", kept, closed)

    def reload_failed(self) -> None:
        """See `Observer.reload_failed`."""
        LOG.debug("another plan cannot be used: the old one is kept")
