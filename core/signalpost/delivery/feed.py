"""Clients that are fed from a history: what they have missed is read from it, a piece whenever there is room.

A client that comes back with a position, or that cannot keep up (``slow: {policy: catch_up}``), has no queue for the
values of its path. It has a place in the stream, and needs no more memory than that, however far it is behind. When
nothing is left to read, the client receives values as all others do.
"""

from collections import deque
from collections.abc import Callable, Sequence

from signalpost.delivery.codec import Encoding
from signalpost.delivery.outbox import CHUNK, Fate, Outbox
from signalpost.delivery.publication import KeptPublication, Slot
from signalpost.history.position import Position
from signalpost.history.stream import Stream, Why
from signalpost.paths import path_of

_QUEUED = Fate.QUEUED


class Reader:
    """Reads a stream for one client.

    Args:
        stream: of the client's path.
        encoding: of the client.
        session: of the client: values that leave it out are skipped.
        missed: called with the reason when the client misses values.

    Attributes:
        offset: of the value that was read last.
    """

    __slots__ = ("_encoding", "_epoch", "_missed", "_session", "_stream", "offset")

    def __init__(
        self, stream: Stream, offset: int, encoding: Encoding, session: str, missed: Callable[[Why], None]
    ) -> None:
        self._stream = stream
        self._epoch = stream.epoch
        self._encoding = encoding
        self._session = session
        self._missed = missed
        self.offset = offset

    def __bool__(self) -> bool:
        """Return whether there is something to read."""
        return self.offset < self._stream.top or self._epoch != self._stream.epoch

    def read(self) -> bytes:
        """Return the frames of the next values, 64 KiB at most (or one, if that is longer); or of a gap before them."""
        stream, encoding, session = self._stream, self._encoding, self._session
        path = path_of(stream.place) or ""
        chunk: list[bytes] = []
        size = 0
        if self._epoch != stream.epoch or self.offset < stream.first - 1:
            why = Why.SLOW if self._epoch == stream.epoch else Why.LOST
            self.offset, self._epoch = stream.first - 1, stream.epoch
            self._missed(why)
            chunk.append(gap(path, stream.position(self.offset), why, encoding))
        for offset, entry in stream.after(self.offset):
            if entry.left_out != session:
                data = encoding.encode(KeptPublication(entry, stream.position(offset), path))
                if size and size + len(data) > CHUNK:
                    break
                chunk.append(data)
                size += len(data)
            self.offset = offset
            if size >= CHUNK:
                break
        return b"".join(chunk)


def gap(path: str | None, at: Position | None, why: Why, encoding: Encoding) -> bytes:
    """Encode that values cannot be had; empty if this kind of client is not told.

    Args:
        path: that they were sent to.
        at: where the client goes on; None if nothing is kept of the path any more.
        why: they cannot be had.
        encoding: of the client.
    """
    place = None if at is None else str(at)
    return encoding.noticed("gap", {"path": path, "at": place, "why": why.value})


class FedOutbox:
    """The outbox of a client that is fed from a history; all else waits here (`signalpost.delivery.outbox.Outbox`).

    ::

        near    all frames wait here, in their order: the client may read as fast as it is sent to
          | it does not, or it has come back with a position
          v
        behind  values of its path are read from the stream; nothing of them waits

    Args:
        reader: of the client, at the last value that it was sent.
        rest: the outbox for what is not in the stream.
        behind: whether the client has missed something already.

    Attributes:
        size: bytes of the frames that wait.
    """

    __slots__ = ("_behind", "_near", "_near_size", "_reader", "rest")

    def __init__(self, reader: Reader, rest: Outbox, *, behind: bool) -> None:
        self._reader = reader
        self.rest = rest
        self._behind = behind
        self._near: deque[tuple[bytes, int | None, str | None]] = deque()  # with the offset of a kept value
        self._near_size = 0

    @property
    def size(self) -> int:
        """See above."""
        return self.rest.size + self._near_size

    def __bool__(self) -> bool:
        return bool(self._near or self.rest) or (self._behind and bool(self._reader))

    def append(self, data: bytes, path: str | None) -> None:
        """See `signalpost.delivery.outbox.Outbox.append`."""
        offset = _offset_in(path)
        if not self._behind:
            self._near.append((data, offset, path))
            self._near_size += len(data)
        elif offset is None:
            self.rest.append(data, path)

    def apply_policy(self, room: int) -> None:
        """See `signalpost.delivery.outbox.Outbox.apply_policy`."""
        self._fall_behind()
        self.rest.apply_policy(room)

    def offer(self, data: bytes, path: str | None, room: int) -> Fate:
        """See `signalpost.delivery.outbox.Outbox.offer`."""
        self._fall_behind()
        return _QUEUED if _offset_in(path) is not None else self.rest.offer(data, path, room)

    def end(self, notice: bytes) -> bool:
        """Leave everything to `rest`. Return whether some values were left to read.

        Args:
            notice: tells that values are missing, if some are left to read; may be empty.
        """
        for data, _, path in self._near:
            self.rest.append(data, path)
        self._near.clear()
        left = self._behind and bool(self._reader)
        if notice and left:
            self.rest.append(notice, None)
        return left

    def _fall_behind(self) -> None:
        """Leave values of the stream out from now on, with those that wait already: they are read again."""
        if self._behind:
            return
        self._behind = True
        for data, offset, path in self._near:
            if offset is None:
                self.rest.append(data, path)
        self._near.clear()
        self._near_size = 0

    def take(self) -> tuple[bytes, int]:
        """See `signalpost.delivery.outbox.Outbox.take`."""
        if not self._near:
            return self.rest.take() if self.rest else (self._reader.read(), 0)
        chunk: list[bytes] = []
        size = 0
        while self._near and (not chunk or size + len(self._near[0][0]) <= CHUNK):
            data, offset, _ = self._near.popleft()
            if offset is not None:
                self._reader.offset = offset
            chunk.append(data)
            size += len(data)
        self._near_size -= size
        return b"".join(chunk), size - len(chunk[0])


def reached(paths: Sequence[str | None], index: int) -> int | None:
    """Return the offset of the last kept value that a client was sent.

    Args:
        paths: of frames that were to be written, in order; empty if they are not known.
        index: of the frame that was written in part.

    Returns:
        None if none of the frames is a kept value: all that were sent have been written before.
    """
    offsets = [_offset_in(path) for path in paths]
    for offset in reversed(offsets[: index + 1]):
        if offset is not None:
            return offset
    following = next((offset for offset in offsets[index + 1 :] if offset is not None), None)
    return None if following is None else following - 1


def _offset_in(path: str | None) -> int | None:
    """Return the offset of a kept value; None for everything else."""
    return path.position.offset if type(path) is Slot and path.position is not None else None
