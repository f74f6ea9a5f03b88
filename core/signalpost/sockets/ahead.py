"""What has come from a client that is not read from just now: kept as it is, and searched for its goodbye.

Nothing of it is unmasked, inflated or judged: who is not read from has no work done for it.
"""

from typing import Final

from websockets.speedups import apply_mask

from signalpost.websocket.frames import Opcode, may_be_sent

AHEAD = 65_536
"""Bytes that are kept for a client before the rest is left in the kernel."""

_CLOSE: Final = int(Opcode.CLOSE)
_OPCODE, _LENGTH = 0x0F, 0x7F
_FIXED_HEADER, _MASK = 2, 4
_EXTENDED: Final = {126: 2, 127: 8}  # lengths, and how many bytes behind them hold the real one


class Ahead:
    """Bytes of a client that are still to be read.

    Args:
        data: the first of them.

    Attributes:
        close: the payload of a close frame among them, once it has come whole; looked for from `watch` on.
        watched: whether it is looked for.

    """

    __slots__ = ("_data", "_header", "_skip", "close", "watched")

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._header = b""  # the beginning of a frame that is not whole enough to look at
        self._skip = 0  # bytes that still belong to a frame which has been looked at
        self.close: bytes | None = None
        self.watched = False

    def __len__(self) -> int:
        return len(self._data)

    def watch(self, missing: int, header: bytes) -> None:
        """Look for a close frame from now on.

        Args:
            missing: bytes of the frame that was being read, which the first ones here belong to.
            header: the incomplete header that was read, likewise.

        """
        self.watched = True
        self._skip, self._header = missing, header
        self._look(bytes(self._data))

    def add(self, data: bytes) -> None:
        """Keep more."""
        self._data += data
        if self.watched:
            self._look(data)

    def take(self, most: int) -> bytes:
        """Return the first bytes, and keep them no more."""
        data = bytes(self._data[:most])
        del self._data[:most]
        return data

    def _look(self, data: bytes) -> None:
        """Go from frame to frame, each byte of a header once; what is no frame is the reader's business."""
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
        """Note a close frame, if it is one that can be answered; another one the reader refuses in its turn."""
        payload = apply_mask(masked[_MASK:], masked[:_MASK])
        if not payload or (len(payload) > 1 and may_be_sent(int.from_bytes(payload[:2], "big"))):
            self.close = payload
