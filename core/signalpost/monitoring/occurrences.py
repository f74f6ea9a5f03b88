"""Occurrences: what seldom happens, counted by an observer. Messages and publications are counted by the node."""

from collections import Counter

from signalpost.history.stream import Why
from signalpost.observe import Observer
from signalpost.websocket.frames import CloseCode


class Occurrences(Observer):
    """Counts, and notifies another observer.

    Args:
        program: the observer that the program has given; None if there is none.

    Attributes:
        handshakes: by their outcome: ``accepted``, or the HTTP status.
        identities: clients of whom it was asked who they are, by the outcome (`Observer.identified`).
        disconnected_clients: by the code of their close.
        dropped_clients: whose connection was aborted, by the code.
        kicked_clients: that were sent away on purpose, by the code.
        gaps: clients that miss values, by why.
        limits: what was answered with 429, by the limit.
        jobs: runs that have ended, by name and outcome: ``done`` or ``failed``.
        job_seconds: that the runs of a job took together, by name.
        feeds: messages of feeds, by name and outcome, as of jobs.
        feed_seconds: that the messages of a feed took together, by name.
        feed_losses: how often the connection of a feed ended, or could not be made, by name.
        connected_feeds: names of feeds that are connected.
        reloads: by their outcome: ``done`` or ``failed``.
    """

    def __init__(self, program: Observer | None = None) -> None:
        self._program = program or Observer()
        self.handshakes: Counter[str] = Counter({"accepted": 0})
        self.identities: Counter[str] = Counter()
        self.disconnected_clients: Counter[str] = Counter()
        self.dropped_clients: Counter[str] = Counter()
        self.kicked_clients: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter({why.value: 0 for why in Why})
        self.limits: Counter[str] = Counter()
        self.jobs: Counter[tuple[str, str]] = Counter()
        self.job_seconds: Counter[str] = Counter()
        self.feeds: Counter[tuple[str, str]] = Counter()
        self.feed_seconds: Counter[str] = Counter()
        self.feed_losses: Counter[str] = Counter()
        self.connected_feeds: set[str] = set()
        self.reloads: Counter[str] = Counter({"done": 0, "failed": 0})

    def connected(self, client: str, path: str) -> None:
        """See `Observer.connected`."""
        self.handshakes["accepted"] += 1
        self._program.connected(client, path)

    def rejected(self, endpoint: str, status: int) -> None:
        """See `Observer.rejected`."""
        self.handshakes[str(status)] += 1
        self._program.rejected(endpoint, status)

    def identified(self, outcome: str) -> None:
        """See `Observer.identified`."""
        self.identities[outcome] += 1
        self._program.identified(outcome)

    def limited(self, limit: str, endpoint: str) -> None:
        """See `Observer.limited`."""
        self.limits[limit] += 1
        self._program.limited(limit, endpoint)

    def disconnected(self, client: str, path: str, code: int) -> None:
        """See `Observer.disconnected`."""
        self.disconnected_clients[_code(code)] += 1
        self._program.disconnected(client, path, code)

    def dropped(self, client: str, path: str, code: int) -> None:
        """See `Observer.dropped`."""
        self.dropped_clients[_code(code)] += 1
        self._program.dropped(client, path, code)

    def missed(self, client: str, path: str, why: str) -> None:
        """See `Observer.missed`."""
        self.gaps[why] += 1
        self._program.missed(client, path, why)

    def kicked(self, code: int, count: int) -> None:
        """See `Observer.kicked`."""
        self.kicked_clients[_code(code)] += count
        self._program.kicked(code, count)

    def job_ran(self, name: str, seconds: float, *, failed: bool) -> None:
        """See `Observer.job_ran`."""
        self.jobs[name, _outcome(failed=failed)] += 1
        self.job_seconds[name] += seconds  # type: ignore[assignment] # a Counter adds fractions, too
        self._program.job_ran(name, seconds, failed=failed)

    def feed_connected(self, name: str) -> None:
        """See `Observer.feed_connected`."""
        self.connected_feeds.add(name)
        self._program.feed_connected(name)

    def feed_lost(self, name: str) -> None:
        """See `Observer.feed_lost`."""
        self.connected_feeds.discard(name)
        self.feed_losses[name] += 1
        self._program.feed_lost(name)

    def feed_handled(self, name: str, seconds: float, *, failed: bool) -> None:
        """See `Observer.feed_handled`."""
        self.feeds[name, _outcome(failed=failed)] += 1
        self.feed_seconds[name] += seconds  # type: ignore[assignment] # as above
        self._program.feed_handled(name, seconds, failed=failed)

    def reload_failed(self) -> None:
        """See `Observer.reload_failed`."""
        self.reloads["failed"] += 1
        self._program.reload_failed()

    def reloaded(self, kept: int, closed: int) -> None:
        """See `Observer.reloaded`."""
        self.reloads["done"] += 1
        self._program.reloaded(kept, closed)


_CODES = frozenset(CloseCode)


def _code(code: int) -> str:
    """Return a code as a label: a peer may choose any of thousands, and labels must stay few."""
    return str(code) if code in _CODES else "other"


def _outcome(*, failed: bool) -> str:
    return "failed" if failed else "done"
