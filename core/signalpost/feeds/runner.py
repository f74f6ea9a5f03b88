"""Runs the feeds of a plan while the server runs."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from signalpost.events import Broadcast, Shared
from signalpost.feeds.pace import Pace
from signalpost.foreign import unseen_task
from signalpost.observe import Observer
from signalpost.plan import Feed
from signalpost.signals.work import Work
from signalpost.words import did_you_mean

if TYPE_CHECKING:
    from signalpost.feeds.link import FeedStatus, Link  # which loads websockets

GRACE = 5.0
"""Seconds in which messages under way may finish when the server stops."""

_DONE, _GOING_AWAY = 1000, 1001


class FeedRunner:
    """Keeps feeds connected, each independently of the others.

    Args:
        feeds: of a plan; their names are unique.
        shared: by their events and those of signals and routes.
        broadcast: sends their broadcasts.
        work: counts their messages as under way.
        pace: time and chance.
        observer: notified of what happens; None for no observer.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        shared: Shared,
        broadcast: Broadcast,
        *,
        work: Work | None = None,
        pace: Pace | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._feeds = tuple(feeds)
        self._shared = shared
        self._broadcast = broadcast
        self._work = work or Work()
        self._pace = pace or Pace()
        self._observer = observer
        self._runs = False
        self._links: dict[str, Link] = {}
        self._left: list[Link] = []  # of removed feeds, until they have ended
        self._ending: set[asyncio.Task[None]] = set()  # the tasks that end those

    def start(self) -> None:
        """Begin to connect all feeds; a feed that is away is tried until it is there. Needs a running loop."""
        self._runs = True
        self._links = {feed.name: self._begin(feed, self._work) for feed in self._feeds}

    def reload(self, feeds: Sequence[Feed], unchanged: Collection[str], work: Work) -> None:
        """Run the feeds of another plan from now on; nothing here waits, and nothing fails.

        Unchanged feeds stay connected, and their next message is handled as the new plan defines. The others are closed
        when the message under way is done, and new ones are connected.

        Args:
            feeds: all of the new plan.
            unchanged: names of the feeds that are the same in both.
            work: counts messages as under way from now on.
        """
        if not self._runs:
            return
        left, self._links = self._links, {}
        for feed in feeds:
            if feed.name in unchanged and (link := left.pop(feed.name, None)) is not None:
                link.feed, link.work = feed, work
                self._links[feed.name] = link
            else:
                self._links[feed.name] = self._begin(feed, work)
        for link in left.values():
            self._left.append(link)
            self._go_on(self._let_go(link))

    def observe(self, observer: Observer | None) -> None:
        """Notify another observer from now on."""
        self._observer = observer
        for link in self._links.values():
            link.observer = observer

    def _begin(self, feed: Feed, work: Work) -> "Link":
        from signalpost.feeds.link import Link  # loads websockets

        link = Link(feed, self._shared, self._broadcast, work, self._pace, self._observer)
        link.start()
        return link

    async def _let_go(self, link: "Link") -> None:
        await link.end(_DONE)
        self._left.remove(link)

    def _go_on(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = unseen_task(coroutine)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def stop(self, grace: float = GRACE) -> None:
        """Take no further messages, wait for those under way, and close all connections with 1001.

        Args:
            grace: seconds for all of it; then what is under way is cancelled.
        """
        self._runs = False
        links = [*self._links.values(), *self._left]
        await asyncio.gather(*(link.end(_GOING_AWAY, grace) for link in links))
        await asyncio.gather(*self._ending)

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """Return the tasks of the messages that are being handled."""
        links = (*self._links.values(), *self._left)
        return tuple(link.running for link in links if link.running is not None)

    def names(self) -> Sequence[str]:
        """Return the names of all feeds, in the order of the plan."""
        return tuple(self._links) or tuple(feed.name for feed in self._feeds)

    def status(self, name: str) -> "FeedStatus":
        """Return the status of a feed.

        Raises:
            LookupError: there is no feed of that name, or none has been started yet.
        """
        link = self._links.get(name)
        if link is None:
            raise LookupError(f'no feed is named "{name}"{did_you_mean(name, self.names())}')
        return link.status

    def statuses(self) -> "tuple[FeedStatus, ...]":
        """Return the status of all feeds, in the order of the plan; empty before the start."""
        return tuple(link.status for link in self._links.values())
