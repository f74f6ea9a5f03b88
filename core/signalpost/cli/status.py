"""What the line at the bottom of the terminal of ``signalpost run`` says: clients, messages, problems."""

import asyncio
from collections.abc import Callable

from signalpost.cli.screen import Screen
from signalpost.cli.standing import standing
from signalpost.observe import DebugLog, Observer
from signalpost.problemtext import count_problems

EVERY = 1.0
"""Seconds between two looks."""


class Tally(Observer):
    """Counts messages.

    Attributes:
        taken: messages of clients.
        sent: values sent to clients, each client counted.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.sent = 0

    def received(self, client: str, path: str, outcome: str) -> None:
        """See `Observer.received`."""
        self.taken += 1
        super().received(client, path, outcome)

    def published(self, path: str | None, size: int, matched: int, dropped: int) -> None:
        """See `Observer.published`."""
        self.sent += matched - dropped
        super().published(path, size, matched, dropped)


class LoggingTally(Tally, DebugLog):
    """Counts messages, and logs all that is observed."""


class StatusLine:
    """Keeps the line up to date. It writes nothing while nothing changes.

    Args:
        screen: that has the line.
        logs: whether all that is observed is also logged.

    Attributes:
        tally: observes the server.
    """

    def __init__(self, screen: Screen, *, logs: bool) -> None:
        self.tally = LoggingTally() if logs else Tally()
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        self._before = (self._loop.time(), 0, 0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self, clients: Callable[[], int], problems: Callable[[], int]) -> None:
        """Show the line, and what has become of it each second.

        Args:
            clients: returns how many are connected.
            problems: returns how many the last save has, so that it is not served.
        """
        self._timer = self._loop.call_later(EVERY, self.start, clients, problems)
        now, taken, sent = self._loop.time(), self.tally.taken, self.tally.sent
        then, taken_before, sent_before = self._before
        self._before = now, taken, sent
        seconds = max(now - then, EVERY)
        with standing("the line at the bottom cannot be shown"):
            received, delivered = (taken - taken_before) / seconds, (sent - sent_before) / seconds
            self._screen.show(status_text(clients(), received, delivered, problems()))

    def end(self) -> None:
        """Take the line away."""
        if self._timer is not None:
            self._timer.cancel()
        self._screen.show("")


def status_text(clients: int, received: float, sent: float, problems: int) -> str:
    """Return the line: ``3 clients; 12 messages/s in, 504/s out; 1 problem: the last save is not served``.

    Args:
        clients: connected now.
        received: messages of clients per second.
        sent: values to clients per second, each client counted.
        problems: of the last save.
    """
    who = f"{clients:,} client{'' if clients == 1 else 's'}; {received:,.0f} messages/s in, {sent:,.0f}/s out"
    return f"{who}; {count_problems(problems)}: the last save is not served" if problems else who
