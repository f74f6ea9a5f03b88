"""A client: one open connection, its place, and what waits to be written to it."""

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.model import EndpointConfig, LatestBy, SlowPolicy
from signalpost.delivery.codec import PLAIN, Encoding
from signalpost.delivery.feed import FedOutbox, Reader, reached
from signalpost.delivery.outbox import Fate, Outbox, WholeOutbox, open_outbox
from signalpost.delivery.target import ClientId
from signalpost.delivery.transport import Buffer, Transport
from signalpost.history.stream import Stream, Why
from signalpost.paths import Place
from signalpost.websocket.frames import CloseCode

NO_DESCRIPTOR = -1
"""In place of a file descriptor: every write must go through the transport (TLS)."""


LONGEST_GROUP = 255
"""Characters of a group's name."""

_NO_GROUPS: frozenset[str] = frozenset()
_NO_PARAMS: Mapping[str, str | int] = {}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
_INT = struct.Struct("i")
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)  # only Linux has it
_ACKED = slice(120, 128)  # tcpi_bytes_acked of struct tcp_info (linux/tcp.h)
_QUEUED = Fate.QUEUED  # a lookup in an Enum's class costs as much as the rest of `enqueue`
_DISCONNECT, _CATCH_UP = SlowPolicy.DISCONNECT, SlowPolicy.CATCH_UP


class _Ending(Enum):
    """What happens to the transport once everything is written."""

    NOT_YET = 0
    HALF = 1
    WHOLE = 2


_NOT_YET = _Ending.NOT_YET


def reset(transport: Transport) -> None:
    """End a connection at once and free the kernel's buffers (linger 0 sends a RST). The peer sees only the RST."""
    sock = transport.get_extra_info("socket")
    # Without a spare descriptor the buffers are freed later, by the kernel's own timeout.
    with contextlib.suppress(OSError):
        if sock is not None and sock.fileno() >= 0:
            with socket.socket(fileno=os.dup(sock.fileno())) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def held_by_kernel(transport: Transport) -> int:
    """Return the bytes that the kernel holds and the peer's machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    held = bytearray(_INT.size)
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None and sock.fileno() >= 0:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, held)
    return int(_INT.unpack(held)[0])


class Membership(Protocol):
    """What a client needs of its hub, which alone changes the client's place and groups."""

    def send(self, client: "Client", data: bytes) -> bool:
        """Queue an encoded frame for one client; return False if it was dropped for being too slow."""

    def send_last(self, client: "Client", data: bytes) -> bool:
        """Queue the last frames of a client, which always fit; return False if it is gone."""

    def remove(self, client: "Client") -> None:
        """Write what is queued, then forget the client and its descriptor. Calling it twice is no error."""

    def regroup(self, client: "Client", groups: frozenset[str]) -> None:
        """Set the client's groups to exactly these."""

    def note_drop(self, client: "Client", code: int) -> None:
        """Note that the client's connection is aborted."""

    def note_gap(self, client: "Client", why: Why) -> None:
        """Note that the client misses values of its path."""

    def note_waiting(self, client: "Client", waiting: int) -> None:
        """Note how many bytes wait for the client now."""


class Client:
    """One open connection.

    A client is in one of two modes. Only the hub switches them, so that no frame ever overtakes another::

        direct    nothing waits: the hub writes to its descriptor
          | the socket did not take all          ^ the transport holds nothing any more
          v                                      |
        indirect  frames wait in its outbox, bounded; a chunk at a time goes to the transport (always so with TLS)

    And it is somewhere on its way, as `arriving`, `closing` and `heeded` say::

        arriving --hub.admit--> here --close, drop, or the peer is gone--> closing --hub.forget--> gone
                                                                  heeded: what it had sent is still handled

    The policy applies to the client's waiting frames only while the transport holds bytes back: until then, frames of a
    loop turn are on their way.

    Attributes:
        path: of its connection: the declared spelling of literals, its own parameters.
        place: whose clients are one audience; for `ward` too, see `signalpost.signals.table.ResolvedPath`.
        params: the parameters of `path`.
        groups: that it has joined.
        endpoint: of its connection.
        encoding: of what it receives.
        descriptor: of its cleartext socket, or `NO_DESCRIPTOR`.
        direct: its mode.
        policy: what happens when more waits than its outbox holds.
        arriving: whether it is in no audience yet (`signalpost.delivery.hub.Hub.hold`); only what is sent to it alone
            reaches it.
        closing: whether a close frame was sent, or it is being dropped; nothing more is queued.
        close_code: with which the connection ends, once decided; else 0.
        session: what survives its reconnects (`signalpost.signals.sessions`), or else its id.
        stream: of its path, if that has a history; the node that it belongs to sets it.
        identity: who is connected; only `signalpost.delivery.hub.Hub.identify` changes it.
        refused: whether it is banned, or its token revoked: of what it has sent, nothing more is handled.
        address: of its machine; empty if it is unknown.
        visiting: whether it has come for one message (a POST): it is in no audience, and what is sent to it alone is
            its answer.
        find_twin: of a visiting client: returns its `twin`; None if it has no session of another one.
    """

    __slots__ = (
        "_behind",
        "_data",
        "_dismiss",
        "_ending",
        "_hub",
        "_id",
        "_limit",
        "_outbox",
        "_paused",
        "_transport",
        "address",
        "arriving",
        "close_code",
        "closing",
        "descriptor",
        "direct",
        "encoding",
        "endpoint",
        "find_twin",
        "groups",
        "identity",
        "params",
        "path",
        "place",
        "policy",
        "refused",
        "session",
        "stream",
        "visiting",
        "ward",
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
        policy: SlowPolicy | LatestBy = SlowPolicy.DISCONNECT,
        params: Mapping[str, str | int] = _NO_PARAMS,
        encoding: Encoding = PLAIN,
        place: Place | None = None,
        ward: str | None = None,
        session: str = "",
        identity: Identity = GUEST,
        address: str = "",
    ) -> None:
        self._id = client_id
        self.address = address
        self.identity = identity
        self.session = session or client_id
        self.stream: Stream | None = None
        self.visiting = False
        self.refused = False
        self.find_twin: Callable[[], Client | None] | None = None
        self.path = path
        self.place: Place = path if place is None else place
        self.ward = ward
        self.params = params
        self.groups = _NO_GROUPS
        self.endpoint = endpoint
        self.encoding = encoding
        self.policy = policy
        self.arriving = False
        self.closing = False
        self.close_code = 0
        self._hub = hub
        self._transport = transport
        self._limit = limit
        self._outbox: Outbox | None = None
        self._dismiss: Callable[[], None] | None = None
        self._data: dict[str, Any] | None = None
        self._behind = 0  # bytes in the transport behind its first frame, at the time of the write
        self._ending = _Ending.NOT_YET
        self.descriptor = NO_DESCRIPTOR
        if transport.get_extra_info("ssl_object") is None and (sock := transport.get_extra_info("socket")) is not None:
            self.descriptor = sock.fileno()
        # The handshake's response may still be in the transport: a broadcast must not overtake it.
        self._paused = bool(transport.get_write_buffer_size()) and self.descriptor != NO_DESCRIPTOR
        self.direct = self.descriptor != NO_DESCRIPTOR and not self._paused

    @property
    def id(self) -> ClientId:
        """Unique, chosen by the server. Read-only: the hub would lose a client whose id changed."""
        return self._id

    def __repr__(self) -> str:
        return f"<Client {self.id} on {self.path}>"

    @property
    def user(self) -> str | None:
        """The name of who is connected, as the identity says; None is a guest."""
        return self.identity.user

    @property
    def named(self) -> str:
        """Its name for logs: its id, and who it is, if that is known."""
        return self.id if self.identity.is_guest else f"{self.id} ({self.identity})"

    @property
    def twin(self) -> "Client | None":
        """Of a visiting client: the one that reads for the same session now, whose groups and data are its own too."""
        return None if self.find_twin is None else self.find_twin()

    # For handlers and plugins

    @property
    def data(self) -> dict[str, Any]:
        """What plugins store about this client, by names of their choice; removed with the client."""
        if (twin := self.twin) is not None:
            return twin.data
        if self._data is None:
            self._data = {}
        return self._data

    def join(self, group: str) -> None:
        """Add the client to a group. Joining twice is no error.

        Raises:
            TypeError: the name is not a string, so nobody could send to the group.
            ValueError: the name is empty, or longer than 255 characters: a client may have chosen it.
        """
        if not isinstance(group, str):
            raise TypeError(f"a group is a string, not a {type(group).__name__}")
        if not 0 < len(group) <= LONGEST_GROUP:
            raise ValueError(f"a group's name has 1 to {LONGEST_GROUP} characters, this one has {len(group)}")
        if (twin := self.twin) is not None:
            twin.join(group)
        if group not in self.groups and not self.closing:
            self._hub.regroup(self, self.groups | {group})

    def leave(self, group: str) -> None:
        """Remove the client from a group. Leaving a group that it is not in is no error."""
        if (twin := self.twin) is not None:
            twin.leave(group)
        if group in self.groups and not self.closing:
            self._hub.regroup(self, self.groups - {group})

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Send what is queued, then a close frame; the peer's close frame ends the connection (RFC 6455 section 7.1.2).

        Args:
            code: see RFC 6455 section 7.4; 4000 to 4999 are the application's own.
            reason: truncated to 123 bytes of UTF-8.

        Raises:
            ValueError: `code` must not be sent.
        """
        frames = self.encoding.codec.goodbye(code, reason, None)
        self._close(code, frames)

    def _close(self, code: int, frames: bytes) -> None:
        if self._dismiss is not None:
            self.dismiss()
        if not self.closing and self._hub.send_last(self, frames):
            self.close_code = self.close_code or code
            self._hub.remove(self)
            self.closing = True
            if not self.encoding.codec.answers_close:
                self.finish()

    # For the connection and the hub

    @property
    def heeded(self) -> bool:
        """Whether the client has disconnected while messages that it sent are still handled."""
        return self._dismiss is not None

    def heed(self, dismiss: Callable[[], None] | None) -> None:
        """Note that a disconnected client's messages are handled until `dismiss` ends that; None: no longer."""
        self._dismiss = dismiss

    def dismiss(self) -> None:
        """Drop the messages of a client that has disconnected."""
        dismiss, self._dismiss = self._dismiss, None
        if dismiss is not None:
            dismiss()

    @property
    def limit(self) -> int:
        """Bytes that may wait for the client."""
        return self._limit

    @property
    def waiting(self) -> int:
        """Bytes that wait until the client reads, including the transport's."""
        outbox = self._outbox
        return (outbox.size if outbox is not None else 0) + self._transport.get_write_buffer_size()

    @property
    def unconfirmed(self) -> int:
        """Bytes that the peer's machine has not acknowledged: what waits, and what the kernel holds."""
        return self.waiting + held_by_kernel(self._transport)

    def set_outbox(self, limit: int, policy: SlowPolicy | LatestBy) -> None:
        """Change how many bytes may wait for the client. What waits already stays under the earlier policy."""
        self._limit = limit
        self.policy = policy

    @property
    def confirmed(self) -> int:
        """Bytes that the peer's machine has ever acknowledged; 0 where the system does not report it (tcp(7))."""
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            if sock is not None and sock.fileno() >= 0 and _TCP_INFO is not None:
                return int.from_bytes(
                    sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKED.stop)[_ACKED], sys.byteorder
                )
        return 0

    def send(self, frame: bytes) -> bool:
        """Queue an encoded notice; return False if the client is gone, or was dropped for being too slow."""
        return self._hub.send(self, frame)

    def send_away(self, code: CloseCode, reason: str, retry_ms: int | None = None) -> None:
        """Close the connection as `close` does, with the equivalent of `code` for this kind of client.

        Args:
            code: as the server means it.
            reason: see `close`.
            retry_ms: milliseconds after which the client is asked to reconnect; None if it is not asked to.
        """
        codec = self.encoding.codec
        code = codec.close_code(code)
        self._close(code, codec.goodbye(code, reason, retry_ms))

    def left(self, code: int) -> None:
        """Called when the connection has ended, or is about to end without a closing handshake."""
        self.close_code = self.close_code or code
        self._hub.remove(self)
        self.closing = True
        self._outbox = None
        self._hub.note_waiting(self, 0)

    def drop(self, code: int) -> None:
        """Abort the connection with a reset."""
        self.dismiss()
        if self._transport.is_closing() and not self._transport.get_write_buffer_size():
            return  # it is over already; a reset now would only overtake the close frame
        self._hub.note_drop(self, code)
        self.left(code)
        reset(self._transport)

    def finish(self, *, half: bool = False) -> None:
        """Close the transport as soon as what waits has been written.

        Args:
            half: close only our side where TCP can, and let the peer close the rest: closing a socket that holds
                unread bytes sends a RST, which may overtake the close frame.
        """
        self._ending = _Ending.HALF if half and self._transport.can_write_eof() else _Ending.WHOLE
        if not self._outbox:
            self._end()

    def _end(self) -> None:
        ending, self._ending = self._ending, _Ending.NOT_YET
        if ending is _Ending.WHOLE:
            self._transport.close()
        elif ending is _Ending.HALF and not self._transport.is_closing():
            self._transport.write_eof()

    def enqueue(self, data: bytes, path: str | None = None, *, last: bool = False) -> Fate:
        """Queue a frame (indirect mode); see `signalpost.delivery.outbox.Outbox.offer`.

        A frame is always accepted when nothing waits; the limit applies to what waits behind the frame being written.
        During a loop turn it is unknown how much of this turn's frames the transport accepts: it is offered them before
        a client counts as slow.

        Args:
            data: encoded.
            path: of a value, or `NO_PATH`; None for a notice.
            last: no frame follows it: it is always accepted, and nothing more is read from a stream.
        """
        if last:
            self.end_feeding(b"")
        outbox = self._outbox
        if outbox and not self._paused and outbox.size + len(data) > self._limit:
            self.write_waiting()
            outbox = self._outbox
        if outbox is None:
            outbox = self._outbox = WholeOutbox() if self.policy is _DISCONNECT else self._open_outbox()
        if self._paused and not last:
            behind = min(self._behind, self._transport.get_write_buffer_size())
            return outbox.offer(data, path, self._limit - behind)
        outbox.append(data, path)
        return _QUEUED

    def _open_outbox(self, offset: int | None = None) -> Outbox:
        """Create an outbox by the client's policy; `offset` is that of the last kept value that the client was sent."""
        plain = open_outbox(self.policy, self.encoding.codec.lagged)
        if self.policy is not _CATCH_UP or self.stream is None or self.arriving:
            return plain
        return FedOutbox(self.reader(self.stream, self.stream.sent if offset is None else offset), plain, behind=False)

    def reader(self, stream: Stream, offset: int) -> Reader:
        """Return what reads a stream for this client, from behind an offset on."""
        return Reader(stream, offset, self.encoding, self.session, self.miss)

    def miss(self, why: Why) -> None:
        """Note that this client misses values of its path."""
        self._hub.note_gap(self, why)

    def feed(self, stream: Stream, offset: int) -> None:
        """Read what is behind an offset from the stream of its path, before later values (indirect mode)."""
        self.end_feeding(b"")
        rest = self._outbox or open_outbox(self.policy, self.encoding.codec.lagged)
        self._outbox = FedOutbox(self.reader(stream, offset), rest, behind=True)

    def end_feeding(self, notice: bytes) -> bool:
        """Read nothing from a stream any more: the client is on another one. Return whether it had not read all.

        Args:
            notice: tells that values are missing, if the client had not read all; may be empty.
        """
        outbox = self._outbox
        if not isinstance(outbox, FedOutbox):
            return False
        self._outbox = outbox.rest
        return outbox.end(notice)

    def write_waiting(self) -> int:
        """Write what waits to the transport, a chunk at a time, until it holds bytes back (indirect mode).

        Returns:
            The bytes that wait now, including the transport's.
        """
        outbox = self._outbox
        while not self._paused and outbox:
            self._give(*outbox.take())
        if outbox:
            outbox.apply_policy(self._limit)
            return self.waiting
        self._outbox = None
        if self._ending is not _NOT_YET:
            self._end()
        return self._transport.get_write_buffer_size()

    def keep(self, frames: Sequence[bytes], sent: int, paths: Sequence[str | None] = ()) -> Fate:
        """Queue what a direct write left over.

        Args:
            frames: that were written, in order.
            sent: how many of their bytes the socket accepted; fewer than all.
            paths: of the frames, as in `enqueue`; not needed for a client that must lose nothing.
        """
        index = 0
        while sent >= len(frames[index]):
            sent -= len(frames[index])
            index += 1
        outbox = self._outbox = self._open_outbox(reached(paths, index))
        for behind in range(index + 1, len(frames)):
            outbox.append(frames[behind], paths[behind] if paths else None)
        self._give(memoryview(frames[index])[sent:], 0)
        self.write_waiting()
        return Fate.TOO_SLOW if outbox.size > self._limit else _QUEUED

    @property
    def writable(self) -> bool:
        """Whether its descriptor may be written to directly: the transport holds no bytes, and need not be used."""
        return not self._paused and not self.closing and self.descriptor != NO_DESCRIPTOR

    def paused(self) -> None:
        """Called when the transport begins to hold bytes."""
        self._paused = True

    def resumed(self) -> int:
        """Called when the transport holds no bytes any more; return the same as `write_waiting`."""
        self._paused = False
        return self.write_waiting()

    def _give(self, data: Buffer, behind: int) -> None:
        self._behind = behind
        self._transport.write(data)
        # TLS counts its records here too; only the transport knows when it has enough.
        if self.descriptor != NO_DESCRIPTOR and self._transport.get_write_buffer_size():
            self._paused = True
