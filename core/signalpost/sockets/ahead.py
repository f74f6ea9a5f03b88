"""Received bytes of a paused client: stored as they are, and searched for a close frame.

They are not unmasked, inflated or validated: a paused client causes no work.
"""

from typing import Final

from websockets.speedups import apply_mask

from signalpost.websocket.frames import Opcode, may_be_sent

AHEAD = 65_536
"""Bytes that are stored for a client before the rest is left in the kernel."""

_CLOSE: Final = int(Opcode.CLOSE)
_OPCODE, _LENGTH = 0x0F, 0x7F
_FIXED_HEADER, _MASK = 2, 4
_EXTENDED: Final = {126: 2, 127: 8}  # length codes, and how many bytes follow with the real length


class Ahead:
    """Bytes of a client that have not been read yet.

    Args:
        data: the first bytes.

    Attributes:
        close: the payload of a close frame among them, once it is complete; searched for from `watch` on.
        watched: whether a close frame is searched for.
    """

    __slots__ = ("_data", "_header", "_skip", "close", "watched")

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._header = b""  # the start of a frame that is too short to parse
        self._skip = 0  # bytes still missing of a frame whose header was parsed
        self.close: bytes | None = None
        self.watched = False

    def __len__(self) -> int:
        return len(self._data)

    def watch(self, missing: int, header: bytes) -> None:
        """Search for a close frame from now on.

        Args:
            missing: bytes of the frame that was being read; the first bytes here belong to it.
            header: the incomplete header that was read; the first bytes here complete it.
        """
        self.watched = True
        self._skip, self._header = missing, header
        self._look(bytes(self._data))

    def add(self, data: bytes) -> None:
        """Store more bytes."""
        self._data += data
        if self.watched:
            self._look(data)

    def take(self, most: int) -> bytes:
        """Remove and return the first bytes."""
        data = bytes(self._data[:most])
        del self._data[:most]
        return data

    def _look(self, data: bytes) -> None:
        """Step from frame to frame, parsing each header byte once; the reader rejects what is not a frame."""
        if self.close is not None:
            return
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        data = self._header + data[self._skip :]
        position, end = 0, len(data)
        self._skip = 0
        while end - position >= _FIXED_HEADER:
            length = data[position + 1] & _LENGTH
            start = position + _FIXED_HEADER + _EXTENDED.get(length, 0)
            if start > end:
                break
            if length in _EXTENDED:
                length = int.from_bytes(data[position + _FIXED_HEADER : start], "big")
            following = start + _MASK + length
            if data[position] & _OPCODE == _CLOSE and length < 126:  # noqa: PLR2004 - of a control frame
                if following > end:
                    break
                self._note(data[start:following])
                return
            if following > end:
                self._skip, position = following - end, end
                break
            position = following
        self._header = data[position:]

    def _note(self, masked: bytes) -> None:
        """Store a close frame if it can be answered; the reader rejects an invalid one later."""
        payload = apply_mask(masked[_MASK:], masked[:_MASK])
        if not payload or (len(payload) > 1 and may_be_sent(int.from_bytes(payload[:2], "big"))):
            self.close = payload
