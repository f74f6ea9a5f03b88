"""The queue of a client that does not read fast enough, and what is left out when it is too long.

Two kinds of frames wait. A *value* was broadcast or sent, and has a path; the policies `drop_oldest` and `latest` may
leave it out. A *notice* (a control frame, a close frame, an error, a welcome, a bye) is never left out.

Bytes handed to the transport, a chunk at a time, no longer wait here: no frame is ever truncated.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Protocol

from signalpost.config.model import LatestBy, SlowPolicy
from signalpost.delivery.publication import Slot
from signalpost.history.position import Position

Lagged = Callable[..., bytes]
"""Encodes how many values are missing, and the positions of the first and the last of them (`Codec.lagged`)."""

CHUNK = 65_536
"""Bytes written to a congested transport at once (or one frame, if that is longer)."""

_DISCONNECT, _CATCH_UP = SlowPolicy.DISCONNECT, SlowPolicy.CATCH_UP  # a lookup in an Enum's class takes longer
_FEW = 16  # fewer gaps are not worth a sweep


def open_outbox(policy: SlowPolicy | LatestBy, lagged: Lagged) -> "Outbox":
    """Create the outbox of a client with this policy; `lagged` is that of its codec (`Codec.lagged`).

    With `SlowPolicy.CATCH_UP` it is that for all that is in no stream (`signalpost.delivery.feed`).
    """
    if policy is _DISCONNECT:
        return WholeOutbox()
    return LossyOutbox(SlowPolicy.DROP_OLDEST if policy is _CATCH_UP else policy, lagged)


class Fate(Enum):
    """What happened to a frame for one client."""

    QUEUED = 0
    LEFT_OUT = 1
    TOO_SLOW = 2


class Outbox(Protocol):
    """The frames that wait for one client, oldest first."""

    @property
    def size(self) -> int:
        """Bytes of the frames that wait."""

    def __bool__(self) -> bool: ...

    def append(self, data: bytes, path: str | None) -> None:
        """Add a frame, however much waits already: it is not known yet whether the client is slow.

        Args:
            data: encoded.
            path: of a value, or `NO_PATH`; None for a notice.
        """

    def apply_policy(self, room: int) -> None:
        """Called when the client is slow: apply the policy to what waits, and reduce it to `room` bytes if possible."""

    def offer(self, data: bytes, path: str | None, room: int) -> Fate:
        """Add a frame for a slow client if the policy finds room for it; the arguments are as in `append`.

        Args:
            data: encoded.
            path: of a value, or `NO_PATH`; None for a notice.
            room: bytes that may wait, this frame included.
        """

    def take(self) -> tuple[bytes, int]:
        """Remove and return the next chunk, with the number of its bytes that are behind its first frame."""


class WholeOutbox:
    """Leaves nothing out: a client for which there is no room is too slow (`SlowPolicy.DISCONNECT`)."""

    __slots__ = ("_frames", "size")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def append(self, data: bytes, path: str | None) -> None:  # noqa: ARG002 - all frames are alike here
        """See `Outbox.append`."""
        self._frames.append(data)
        self.size += len(data)

    def apply_policy(self, room: int) -> None:
        """See `Outbox.apply_policy`."""

    def offer(self, data: bytes, path: str | None, room: int) -> Fate:
        """See `Outbox.offer`."""
        if self.size + len(data) > room:
            return Fate.TOO_SLOW
        self.append(data, path)
        return Fate.QUEUED

    def take(self) -> tuple[bytes, int]:
        """See `Outbox.take`."""
        frames = self._frames
        if len(frames) == 1:
            self.size = 0
            return frames.popleft(), 0
        chunk = [frames.popleft()]
        size = head = len(chunk[0])
        while frames and size + len(frames[0]) <= CHUNK:
            chunk.append(frames.popleft())
            size += len(chunk[-1])
        self.size -= size
        return b"".join(chunk), size - head


Between = tuple[Position, Position]
"""The first and the last of some positions of one stream."""


def _joined(one: Between | None, other: Between | None) -> Between | None:
    """Return the span of both."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0], key=_offset), max(one[1], other[1], key=_offset)


def _offset(position: Position) -> int:
    return position.offset


def _span(path: str | None) -> Between | None:
    """Return the span of one value; None if it was not kept."""
    return (path.position, path.position) if type(path) is Slot and path.position is not None else None


class _Waiting:
    """A place in the queue: a frame, or the gap left by dropped frames.

    Attributes:
        data: the frame; None in a gap.
        path: of a value; None for a notice, and in a gap.
        missed: values left out here; 0 for a frame.
        between: the positions of the first and the last of them that were kept; None if none was.
    """

    __slots__ = ("between", "data", "missed", "path")

    def __init__(self, data: bytes | None, path: str | None, missed: int = 0, between: Between | None = None) -> None:
        self.data = data
        self.path = path
        self.missed = missed
        self.between = between


class LossyOutbox:
    """Leaves values out instead of dropping the client, and tells it where, if its codec supports that.

    With `SlowPolicy.DROP_OLDEST` newer frames replace the oldest waiting values. With `SlowPolicy.LATEST` a value
    replaces the waiting one from the same path (with a `LatestBy`, of the same thing), at the end of the queue, before
    the oldest are left out. A value that would not fit even beside the notices alone is left out itself. Only notices
    can make the client too slow.

    Args:
        policy: one of these two, or a `LatestBy`.
        lagged: encodes how many values are missing; empty if the client is not told.

    Attributes:
        size: bytes of the frames that wait.
    """

    __slots__ = (
        "_by_path",
        "_gaps",
        "_key",
        "_lagged",
        "_notices",
        "_queue",
        "_settled",
        "_swept",
        "_told",
        "_values",
        "size",
    )

    def __init__(self, policy: SlowPolicy | LatestBy, lagged: Lagged) -> None:
        self._by_path = policy is not SlowPolicy.DROP_OLDEST
        self._key = policy.key if isinstance(policy, LatestBy) else None
        self._lagged = lagged
        self._told = bool(lagged(1))
        self._queue: deque[_Waiting] = deque()
        self._values: OrderedDict[Hashable, _Waiting] = OrderedDict()  # places in the queue, oldest first
        self._gaps = 0  # places of the queue that are gaps
        self._swept = 0  # how many the last sweep left
        self._notices = 0  # bytes
        self._settled = False
        self.size = 0

    def __bool__(self) -> bool:
        return self.size > 0 or (self._told and bool(self._queue))

    def append(self, data: bytes, path: str | None) -> None:
        """See `Outbox.append`."""
        waiting = _Waiting(data, path)
        self._queue.append(waiting)
        self.size += len(data)
        if path is None:
            self._notices += len(data)
        else:
            self._values[self._thing(path) if self._by_path and self._settled else waiting] = waiting

    def _thing(self, path: str) -> Hashable:
        """Return what distinguishes the values of one thing from those of others."""
        return (path, path.picks.get(self._key)) if self._key is not None and type(path) is Slot else path

    def apply_policy(self, room: int) -> None:
        """See `Outbox.apply_policy`."""
        if self._settled:
            return
        self._settled = True
        appended, self._queue = self._queue, deque()
        self._values.clear()
        self.size = self._notices = 0
        for waiting in appended:
            if waiting.data is not None and self.offer(waiting.data, waiting.path, room) is Fate.TOO_SLOW:
                self.append(waiting.data, waiting.path)

    def offer(self, data: bytes, path: str | None, room: int) -> Fate:
        """See `Outbox.offer`."""
        self._settled = True
        if path is not None and self._by_path and (outdated := self._values.pop(self._thing(path), None)) is not None:
            self._leave_out(outdated)
        fits = self._notices + len(data) <= room
        if fits:
            while self.size + len(data) > room:
                self._leave_out(self._values.popitem(last=False)[1])
            self.append(data, path)
        elif path is None:
            return Fate.TOO_SLOW
        else:
            self._queue.append(_Waiting(None, None, 1, _span(path)))
            self._gaps += 1
        # Both conditions together bound the cost of a sweep to a few steps for each gap since the last one.
        if self._gaps > _FEW + 2 * self._swept and self._gaps * 2 > len(self._queue):
            self._sweep()
        return Fate.QUEUED if fits else Fate.LEFT_OUT

    def _leave_out(self, value: _Waiting) -> None:
        self.size -= len(value.data or b"")
        value.between = _span(value.path)
        value.data, value.path, value.missed = None, None, 1
        self._gaps += 1

    def _sweep(self) -> None:
        """Merge adjacent gaps into one; a client that is not told needs none at all."""
        swept: deque[_Waiting] = deque()
        gaps = 0
        for waiting in self._queue:
            if waiting.data is None and not self._told:
                continue
            if waiting.data is None and swept and swept[-1].data is None:
                swept[-1].missed += waiting.missed
                swept[-1].between = _joined(swept[-1].between, waiting.between)
                continue
            gaps += waiting.data is None
            swept.append(waiting)
        self._queue = swept
        self._gaps = self._swept = gaps

    def take(self) -> tuple[bytes, int]:
        """See `Outbox.take`; a client that is told receives the number of missing values at their place."""
        queue = self._queue
        chunk: list[bytes] = []
        size = head = missed = 0
        between: Between | None = None
        while queue:
            waiting = queue.popleft()
            if waiting.data is None:
                self._gaps -= 1
                missed += waiting.missed
                between = _joined(between, waiting.between)
                continue
            # A gap and the frame behind it are taken together, since the gap may grow while both wait.
            data = self._notice_of(missed, between) + waiting.data
            if chunk and size + len(data) > CHUNK:
                queue.appendleft(waiting)
                if missed:
                    queue.appendleft(_Waiting(None, None, missed, between))
                    self._gaps += 1
                    missed = 0
                break
            self._taken(waiting)
            chunk.append(data)
            size += len(data)
            head = head or size
            missed, between = 0, None
        notice = self._notice_of(missed, between)
        return b"".join((*chunk, notice)), size + len(notice) - (head or len(notice))

    def _taken(self, waiting: _Waiting) -> None:
        size = len(waiting.data or b"")
        self.size -= size
        if waiting.path is None:
            self._notices -= size
        else:
            self._values.popitem(last=False)

    def _notice_of(self, missed: int, between: Between | None) -> bytes:
        if not missed:
            return b""
        return self._lagged(missed) if between is None else self._lagged(missed, between)
