"""A client: one open connection, where it belongs, and what waits to be written to it."""

import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import NewType, Protocol

from signalpost.config.model import EndpointConfig
from signalpost.delivery.frames import CloseCode, Deflate, Dialect, encode_close
from signalpost.delivery.transport import Buffer, Transport

ClientId = NewType("ClientId", str)

NO_DESCRIPTOR = -1
"""In place of a file descriptor: everything must go through the transport (TLS)."""

CHUNK = 65_536
"""Bytes given to a congested transport at once (or one frame, if that is longer)."""

_NO_GROUPS: frozenset[str] = frozenset()
_NO_PARAMS: Mapping[str, str | int] = {}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
_INT = struct.Struct("i")


class _Ending(Enum):
    """What becomes of the transport once everything is written."""

    NOT_YET = 0
    HALF = 1
    WHOLE = 2


class Membership(Protocol):
    """What a client needs of its hub, which alone changes where a client belongs."""

    def send(self, client: "Client", data: bytes) -> bool:
        """Queue an encoded frame for one client; False when it was dropped for being too slow."""

    def send_last(self, client: "Client", data: bytes) -> bool:
        """Queue the last frames of a client, for which there is always room; False when it is gone."""

    def remove(self, client: "Client") -> None:
        """Write what is queued, then forget the client and its descriptor. Twice is no error."""

    def regroup(self, client: "Client", groups: frozenset[str]) -> None:
        """Move the client to just these groups."""

    def go_direct(self, client: "Client") -> None:
        """Write straight to the client's descriptor from now on."""

    def go_indirect(self, client: "Client") -> None:
        """Let frames wait in the client's outbox from now on."""


class Client:
    """One open connection.

    A client is in one of two modes. *Direct*: nothing waits, and the hub writes to its descriptor. *Indirect*: the
    transport still holds bytes, or speaks TLS; frames wait here, bounded, and only a chunk at a time is given to the
    transport. The hub alone switches modes, so that no frame ever overtakes another.

    Attributes:
        id: unique, chosen by the server.
        path: where it is connected: the declared spelling of literals, its own parameters.
        params: the parameters of `path`.
        groups: those it has joined.
        endpoint: where it is connected.
        dialect: what it reads.
        deflate: how frames are compressed for it; None is not at all.
        descriptor: of its cleartext socket, or `NO_DESCRIPTOR`.
        direct: its mode.
        closing: a close frame was sent, or it is being dropped: nothing more is queued.
        close_code: how the connection ends, once that is decided; else 0.

    """

    __slots__ = (
        "_behind",
        "_ending",
        "_hub",
        "_limit",
        "_paused",
        "_transport",
        "_waiting",
        "_waiting_bytes",
        "close_code",
        "closing",
        "deflate",
        "descriptor",
        "dialect",
        "direct",
        "endpoint",
        "groups",
        "id",
        "params",
        "path",
    )

    def __init__(
        self,
        client_id: ClientId,
        path: str,
        endpoint: EndpointConfig,
        transport: Transport,
        hub: Membership,
        *,
        limit: int,
        params: Mapping[str, str | int] = _NO_PARAMS,
        dialect: Dialect = Dialect.PLAIN,
        deflate: Deflate | None = None,
    ) -> None:
        self.id = client_id
        self.path = path
        self.params = params
        self.groups = _NO_GROUPS
        self.endpoint = endpoint
        self.dialect = dialect
        self.deflate = deflate
        self.closing = False
        self.close_code = 0
        self._hub = hub
        self._transport = transport
        self._limit = limit
        self._waiting: deque[bytes] | None = None
        self._waiting_bytes = 0
        self._behind = 0  # bytes in the transport behind the frame at its head, when they were given
        self._ending = _Ending.NOT_YET
        self.descriptor = NO_DESCRIPTOR
        if transport.get_extra_info("ssl_object") is None and (sock := transport.get_extra_info("socket")) is not None:
            self.descriptor = sock.fileno()
        # The handshake's answer may still be in the transport: a broadcast must not overtake it.
        self._paused = bool(transport.get_write_buffer_size()) and self.descriptor != NO_DESCRIPTOR
        self.direct = self.descriptor != NO_DESCRIPTOR and not self._paused

    def __repr__(self) -> str:
        return f"<Client {self.id} on {self.path}>"

    # For handlers and plugins

    def join(self, group: str) -> None:
        """Add the client to a group. Joining twice is no error."""
        if group not in self.groups and not self.closing:
            self._hub.regroup(self, self.groups | {group})

    def leave(self, group: str) -> None:
        """Take the client out of a group. Leaving one it is not in is no error."""
        if group in self.groups and not self.closing:
            self._hub.regroup(self, self.groups - {group})

    def close(self, code: int = CloseCode.NORMAL, reason: str = "", *, notice: bytes = b"") -> None:
        """Send what is queued, then a close frame; the peer's answer ends the connection (RFC 6455 section 7.1.2).

        Args:
            code: see RFC 6455 section 7.4; 4000 to 4999 are the application's own.
            reason: cut to 123 bytes of UTF-8.
            notice: an encoded frame that stands right before the close frame.

        Raises:
            ValueError: `code` must not be sent.

        """
        frames = notice + encode_close(code, reason)
        if not self.closing and self._hub.send_last(self, frames):
            self.close_code = self.close_code or code
            self._hub.remove(self)
            self.closing = True

    # For the connection and the hub

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client to read, the transport's included."""
        return self._waiting_bytes + self._transport.get_write_buffer_size()

    @property
    def unconfirmed(self) -> int:
        """Bytes that the peer's machine has not confirmed to have: what waits, and what the kernel holds."""
        held = bytearray(_INT.size)
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            if sock is not None and sock.fileno() >= 0:
                fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, held)  # tcp(7): SIOCOUTQ
        return self.waiting + int(_INT.unpack(held)[0])

    def send(self, frame: bytes) -> bool:
        """Queue an encoded frame; False when the client is gone, or was dropped for being too slow."""
        return self._hub.send(self, frame)

    def left(self, code: int) -> None:
        """Hear that the connection has ended, or is about to without a closing handshake."""
        self.close_code = self.close_code or code
        self._hub.remove(self)
        self.closing = True
        self._waiting, self._waiting_bytes = None, 0

    def drop(self, code: int) -> None:
        """End the connection at once and free the kernel's buffers (linger 0 sends a RST). The peer sees only that."""
        if self._transport.is_closing() and not self._transport.get_write_buffer_size():
            return  # it is over already; a reset now would only overtake the close frame
        self.left(code)
        sock = self._transport.get_extra_info("socket")
        # Without a descriptor to spare the buffers are freed later, by the kernel's own timeout.
        with contextlib.suppress(OSError):
            if sock is not None and sock.fileno() >= 0:
                with socket.socket(fileno=os.dup(sock.fileno())) as twin:
                    twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def finish(self, *, half: bool = False) -> None:
        """Close the transport as soon as what waits has been written.

        Args:
            half: close only our side where TCP can, and let the peer close the rest: closing a socket that holds
                unread bytes sends a RST, which may overtake the close frame.

        """
        self._ending = _Ending.HALF if half and self._transport.can_write_eof() else _Ending.WHOLE
        if not self._waiting:
            self._end()

    def _end(self) -> None:
        ending, self._ending = self._ending, _Ending.NOT_YET
        if ending is _Ending.WHOLE:
            self._transport.close()
        elif ending is _Ending.HALF and not self._transport.is_closing():
            self._transport.write_eof()

    def enqueue(self, data: bytes, *, last: bool = False) -> bool:
        """Let a frame wait (indirect mode); tell whether there was room.

        A frame is always taken when nothing waits; the limit bounds what waits behind the frame being written. The
        last one is always taken, too: a client that is told to go is not dropped for being told.
        """
        if (self._waiting or self._paused) and not last and not self._has_room(len(data)):
            return False
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        return True

    def _has_room(self, size: int) -> bool:
        """Tell whether `size` more bytes may wait.

        In the middle of a loop turn nobody knows yet what the transport would take of this turn's frames: it is
        offered them before a client counts as slow.
        """
        if not self._paused and self._waiting_bytes + size > self._limit:
            self.write_waiting()
            if not self._paused:
                return True
        behind = min(self._behind, self._transport.get_write_buffer_size())
        return behind + self._waiting_bytes + size <= self._limit

    def write_waiting(self) -> None:
        """Give what waits to the transport, a chunk at a time, until that holds bytes back (indirect mode)."""
        waiting = self._waiting
        while waiting and not self._paused:
            chunk = [waiting.popleft()]
            size = head = len(chunk[0])
            while waiting and size + len(waiting[0]) <= CHUNK:
                chunk.append(waiting.popleft())
                size += len(chunk[-1])
            self._waiting_bytes -= size
            self._give(b"".join(chunk), size - head)
        if not waiting:
            self._waiting = None
            self._end()

    def keep(self, frames: list[bytes], sent: int) -> bool:
        """Queue what a direct write did not take, and go indirect; tell whether there was room.

        Args:
            frames: what was offered, in order.
            sent: how many bytes of it the socket took; fewer than all.

        """
        index = 0
        while sent >= len(frames[index]):
            sent -= len(frames[index])
            index += 1
        behind = frames[index + 1 :]
        size = sum(map(len, behind))
        if size > self._limit:
            return False
        self._waiting, self._waiting_bytes = deque(behind), size
        self._give(memoryview(frames[index])[sent:], 0)
        self.write_waiting()
        if self._paused:
            self._hub.go_indirect(self)
        return True

    def paused(self) -> None:
        """Hear from the transport that it holds bytes."""
        self._paused = True

    def resumed(self) -> None:
        """Hear from the transport that it holds nothing any more."""
        self._paused = False
        self.write_waiting()
        if not self._paused and not self.closing and self.descriptor != NO_DESCRIPTOR:
            self._hub.go_direct(self)

    def _give(self, data: Buffer, behind: int) -> None:
        self._behind = behind
        self._transport.write(data)
        # TLS counts its records here too; it alone says when it has enough.
        if self.descriptor != NO_DESCRIPTOR and self._transport.get_write_buffer_size():
            self._paused = True
