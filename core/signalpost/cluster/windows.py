"""Windows: the streams of the paths that this node has clients on, as the backplane keeps them.

::

    opening   it is read; clients that come wait meanwhile
       |
      open    a value that follows the newest one is delivered; one that is known is ignored; any other is a hole
       |  ^
       v  |
    healing   what is missing is read, and delivered in order; what is heard meanwhile waits

A hole that cannot be filled is told to the clients, as a gap. Nobody is told more than is known.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeVar

from signalpost.backplanes.backplane import AwayError, Backplane, Slice, Top
from signalpost.cluster.channels import channel_of_place
from signalpost.cluster.healing import Outcome, base_of, compare, last_common
from signalpost.delivery.publication import Publication
from signalpost.history.position import Position, precedes
from signalpost.history.stream import Entry, Stream
from signalpost.history.streams import HEAD_SECONDS, Streams
from signalpost.paths import Place

LOG = logging.getLogger("signalpost.cluster")

T = TypeVar("T")

MOST_HEARD = 1_000
"""Values that wait while a window heals; with more, it is read once more instead."""


class Outlet(Protocol):
    """What becomes of the values of windows."""

    def read(self, channel: str, body: bytes) -> Publication:
        """Return the value of a kept body; of one that this version cannot read, null."""

    def deliver(self, publication: Publication) -> object:
        """Deliver a value, which has a position, to the clients of its place, which have been told all before it."""

    def tell_gap(self, place: Place, at: Position) -> None:
        """Tell the clients of a place that values before this position are lost to them."""


class State(Enum):
    """What a window does."""

    OPENING = auto()
    OPEN = auto()
    HEALING = auto()


class Window:
    """What this node knows of a stream.

    Attributes:
        place: of its clients.
        stream: that clients read.
        opened: done when it has been read for the first time, or was brought up to date for a client.
        answer: of the backplane, which is waited for; None if nothing is asked.
    """

    __slots__ = ("again", "answer", "channel", "heard", "opened", "place", "state", "stream")

    def __init__(self, place: Place, stream: Stream) -> None:
        self.place = place
        self.channel = channel_of_place(place)
        self.stream = stream
        self.state = State.OPENING
        self.heard: list[tuple[Top, int, bytes]] = []  # while it opens or heals
        self.answer: asyncio.Future[Any] | None = None
        self.again = False  # too much was heard: it is to be read once more
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Windows:
    """All windows of a node.

    Args:
        backplane: that keeps the streams.
        streams: of the node; a window's stream stays there while it is open.
        outlet: delivers.
        clock: returns monotonic seconds.

    Attributes:
        healed: how often a hole was filled.
        lost: how often one could not be.
    """

    def __init__(self, backplane: Backplane, streams: Streams, outlet: Outlet, clock: Callable[[], float]) -> None:
        self._backplane = backplane
        self._streams = streams
        self._outlet = outlet
        self._clock = clock
        self._windows: dict[str, Window] = {}  # by channel
        self.healed = 0
        self.lost = 0

    def __iter__(self) -> Iterator[Window]:
        return iter(tuple(self._windows.values()))

    def __len__(self) -> int:
        return len(self._windows)

    def of(self, place: Place) -> Window | None:
        """Return the window of a place; None if there is none."""
        return self._windows.get(channel_of_place(place))

    def open(self, place: Place, heard: "asyncio.Future[None] | None" = None) -> Window | None:
        """Return the window of a place, which begins to open if there is none; None if the place has no history.

        Args:
            place: whose channel is followed already.
            heard: done when that channel is heard; None if it is. Only then is the window read, so that nothing is
                published between what is read and what is heard.
        """
        window = self.of(place)
        if window is not None and self._streams.find(place) is window.stream:
            return window
        if window is not None:
            self.close(window.channel)
        stream = self._streams.follow(place)  # which keeps it in memory
        if stream is None:
            return None
        window = self._windows[channel_of_place(place)] = Window(place, stream)
        if heard is None:
            self._read(window)
        else:
            self._read_after(window, heard)
        return window

    def close(self, channel: str) -> None:
        """Forget a window whose channel is not followed any more, or whose path has no history."""
        window = self._windows.pop(channel, None)
        if window is not None:
            self._streams.unfollow(window.stream)
            if not window.opened.done():
                window.opened.cancel()

    def looks_for(self, channel: str, position: Position) -> bool:
        """Return whether a window knows a position, so that it notices if the backplane does not."""
        window = self._windows.get(channel)
        if window is None or window.state is State.OPENING:
            return False
        return window.stream.doubt(position) is None

    def is_ahead(self, place: Place, position: Position) -> bool:
        """Return whether a client knows more of a place than this node does."""
        window = self.of(place)
        if window is None or window.state is not State.OPEN:
            return window is not None
        at = window.stream.at
        return position.epoch != at.epoch or position.offset > at.offset

    def catch_up(self, place: Place) -> "asyncio.Future[None] | None":
        """Ask what is new at a place; return what is done when that is known, None if there is no window."""
        window = self.of(place)
        if window is None:
            return None
        if window.opened.done():
            window.opened = asyncio.get_running_loop().create_future()
            if window.state is State.OPEN:
                self._heal(window)
        return window.opened

    # What is heard

    def heard(self, channel: str, top: Top, previous: int, body: bytes) -> None:
        """Called with a kept value of a channel."""
        window = self._windows.get(channel)
        if window is None:
            return
        if window.state is not State.OPEN:
            if len(window.heard) < MOST_HEARD:
                window.heard.append((top, previous, body))
            else:
                window.heard.clear()
                window.again = True
            return
        stream = window.stream
        if top.epoch == stream.epoch and top.offset == stream.top + 1 and previous == stream.last:
            self._take(window, top.id, body, self._clock())
        elif not self._knows(stream, top):
            self._heal(window)

    @staticmethod
    def _knows(stream: Stream, top: Top) -> bool:
        """Return whether a value has been heard before, as far as can be told: an old one may be kept no longer."""
        if top.epoch != stream.epoch or top.offset > stream.top:
            return False
        entry = stream.entry(top.offset)
        return entry is None or entry.id == top.id

    def compare_all(self) -> None:
        """Called when the backplane is back: ask for the tops of all streams at once, and read what is missing."""
        there: list[Window] = []
        for window in self:
            if window.state is State.OPEN:
                there.append(window)
                window.state = State.HEALING
            else:
                self._read(window)
        if there:
            tops = self._backplane.tops([window.channel for window in there])
            for number, window in enumerate(there):
                self._expect(window, tops, partial(self._compare_top, window, number))

    def _compare_top(self, window: Window, number: int, tops: Sequence[Top]) -> None:
        if Position(*tops[number]) == window.stream.at:
            self._go_on(window)
        else:
            self._read(window)

    def look(self) -> None:
        """Read what is not open once more, if no answer about it is under way: the backplane had refused it."""
        for window in self:
            if window.state is not State.OPEN and window.answer is None:
                self._read(window)

    # Reading

    def _heal(self, window: Window) -> None:
        window.state = State.HEALING
        self._read(window)

    def _read(self, window: Window, *, whole: bool = False) -> None:
        stream = window.stream
        after = None if whole or window.state is State.OPENING else stream.top

        # What was heard until now is in what is read, or is lost there: held against it, it would be a hole for ever.
        window.heard.clear()
        window.again = False
        read = self._backplane.read(window.channel, after, stream.config.keep)
        self._expect(window, read, partial(self._take_in, window, whole=after is None))

    def _read_after(self, window: Window, heard: "asyncio.Future[None]") -> None:
        """Read a window when its channel is heard, unless it is read before: the backplane was lost, and is back."""
        window.answer = heard

        def read(_: "asyncio.Future[None]") -> None:
            if window.answer is heard and self._windows.get(window.channel) is window:
                self._read(window)

        heard.add_done_callback(read)

    def _expect(self, window: Window, answer: "asyncio.Future[T]", use: Callable[[T], None]) -> None:
        """Wait for an answer about a window, and for no other one any more; use it if it comes."""
        window.answer = answer

        def take(answer: "asyncio.Future[T]") -> None:
            if window.answer is not answer:
                return  # another was asked for since, when the backplane was there again
            window.answer = None
            found = _answer(answer)
            if found is not None and self._windows.get(window.channel) is window:
                use(found)

        answer.add_done_callback(take)

    def _take_in(self, window: Window, found: Slice, *, whole: bool) -> None:
        """Bring a window to where the backplane is.

        Args:
            window: that is not open.
            found: what was read.
            whole: whether that is all that is kept, and not only what is behind the window's end.
        """
        if not found.top.epoch:
            self._end_epoch(window, "")  # nothing is known of the stream: it begins now, for all nodes
            return
        if window.state is State.OPENING:
            self._restart(window, found)
            return
        if precedes(found.top.epoch, window.stream.epoch):
            self._end_epoch(window, found.top.epoch)  # a replica that lags has brought it back
            return
        match compare(window.stream.at, found):
            case Outcome.SAME:
                pass
            case Outcome.NEXT:
                self.healed += 1
                for item in found.items:
                    self._take(window, item.id, item.body, self._clock() - item.age)
            case Outcome.DIVERGED:
                self._end_epoch(window, found.top.epoch)
                return
            case Outcome.REPLACED if not whole:
                self._read(window, whole=True)  # its offsets are others than those of the window
                return
            case Outcome.BEHIND | Outcome.REPLACED:
                self._jump(window, found)
        self._go_on(window)

    def _restart(self, window: Window, found: Slice) -> None:
        """Begin a window with what is kept."""
        now = self._clock()
        entries = [
            _entry(self._outlet.read(window.channel, item.body), item.id, now - item.age) for item in found.items
        ]
        self._streams.restart(window.stream, Position(*found.top), found.before, entries)
        if window.stream.readers > 1:  # clients that were here before there was a history
            self._outlet.tell_gap(window.place, window.stream.at)
        self._go_on(window)

    def _jump(self, window: Window, found: Slice) -> None:
        """Go on where the backplane has other values: clients are told of what is lost, and read the rest.

        In another epoch something is lost that some node knew, perhaps not this one: its clients may have missed it.
        """
        stream = window.stream
        common = last_common(stream, found)
        at = base_of(found) if common is None else common
        known = [entry for offset, entry in stream.after(0) if common is not None and offset <= common.offset]
        position = Position(found.top.epoch, at.offset, at.id)
        self._streams.restart(stream, position, stream.before if known else at.id, known)
        self.lost += 1
        self._outlet.tell_gap(window.place, position)
        for item in found.items:
            if item.offset > at.offset:
                self._take(window, item.id, item.body, self._clock() - item.age)

    def _end_epoch(self, window: Window, epoch: str) -> None:
        """Begin a new epoch, unless another node has done so: positions of the old one name two values."""

        def begin(_: Top) -> None:
            if epoch and window.state is State.HEALING:
                LOG.warning(
                    "the backplane has other values on %s than it had: clients are told of a gap", window.stream.place
                )
            self._read(window)

        stream = window.stream
        head_seconds = max(HEAD_SECONDS, stream.config.seconds)
        known = "" if window.state is State.OPENING else stream.epoch
        self._expect(window, self._backplane.end_epoch(window.channel, epoch, head_seconds, known), begin)

    def _go_on(self, window: Window) -> None:
        """Take what was heard meanwhile, and tell those who wait."""
        window.state = State.OPEN
        if window.again:
            window.again = False
            self._heal(window)
            return
        heard, window.heard = window.heard, []
        for each in heard:
            self.heard(window.channel, *each)
        if window.state is State.OPEN and not window.opened.done():
            window.opened.set_result(None)

    def _take(self, window: Window, found: int, body: bytes, kept_at: float) -> None:
        publication = self._outlet.read(window.channel, body)
        publication.position = self._streams.adopt(window.stream, _entry(publication, found, kept_at))
        self._outlet.deliver(publication)


def _entry(publication: Publication, found: int, kept_at: float) -> Entry:
    target = publication.target
    return Entry(publication.data, publication.is_text, target.left_out or target.excluding, found, kept_at)


def _answer(future: "asyncio.Future[T]") -> T | None:
    """Return an answer; None if the backplane was lost before it, or refuses: it is asked again when it is back."""
    if future.cancelled():
        return None
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, AwayError):
        LOG.error("the backplane does not say what it keeps: %s", error)
    return None
