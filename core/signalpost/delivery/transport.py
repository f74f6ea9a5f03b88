"""The transport of a client's outbox: the part of asyncio's WriteTransport that delivery uses.

uvloop's and asyncio's transports implement it, and so does the fake that contract tests compare with them.
"""

from typing import Any, Protocol

Buffer = bytes | memoryview


class Transport(Protocol):
    """A connection with a write that does not wait.

    With ``set_write_buffer_limits(high=0)`` it must call ``pause_writing()`` on its protocol when `write` leaves bytes
    behind, and ``resume_writing()`` once all of them are gone.
    """

    def write(self, data: Buffer) -> None:
        """Write now what fits and buffer the rest."""

    def get_write_buffer_size(self) -> int:
        """Return the number of buffered bytes."""

    def can_write_eof(self) -> bool:
        """Return whether our side alone can be closed; TLS cannot."""

    def write_eof(self) -> None:
        """Close our side once everything is written; the peer may continue to send."""

    def close(self) -> None:
        """Write what is buffered, then close."""

    def abort(self) -> None:
        """Close now, whatever is buffered."""

    def is_closing(self) -> bool:
        """Return whether `close` or `abort` was called."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``socket``, ``ssl_object``, ``peername``, …."""


class RecordingTransport:
    """The transport of a simulated client: it stores what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self._closing = False

    def write(self, data: Buffer) -> None:
        """Store what is written."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Return that nothing waits."""
        return 0

    def can_write_eof(self) -> bool:
        """Return that it cannot be closed by half."""
        return False

    def write_eof(self) -> None:
        """Close."""
        self._closing = True

    close = abort = write_eof

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self._closing

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        """Return that nothing is known of it."""
        return default
