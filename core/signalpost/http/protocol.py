"""Sanic's protocol for connections that the acceptor did not answer: can release its transport, and limits costs."""

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Any, cast

from sanic.exceptions import RequestCancelled, RequestTimeout, SanicException
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

from signalpost.delivery.client import held_by_kernel, reset
from signalpost.http.descriptors import REFUSAL
from signalpost.http.errorpages import LateAnswerError
from signalpost.http.exchange import END_OF_HEAD, Exchange, Progress, without_events
from signalpost.http.intake import Intake
from signalpost.websocket.handshake import HandshakeRejection

# Seconds in which a client may still read that its request took too long, or that there is no room for it.
_LAST_WORD = 1.0
_READING = 3  # times the patience for a request: the longest rest while a client reads a response
_MOST_BUFFERED = 65_536  # bytes that are read before they are requested
_MOST_LINGERING = 30.0  # seconds in which the rest of an answered request is read, and dropped

_serve = without_events(HttpProtocol.connection_task)


class HandingOver(HttpProtocol):
    """Sanic's protocol, which can release its transport, and in which every wait has a limit.

    Sanic alone waits forever for a head that arrives byte by byte, for a body that does not arrive behind an Upgrade,
    and for the rest of a body that it has answered already. Here the head of a request must be complete within
    REQUEST_TIMEOUT: the first one's from the connection's start, a further one's from its first bytes. A body must make
    progress (`Progress`), and so must a client that reads a response; it may rest three times as long.

    All stored bytes of requests are counted (`Inbound`), and so are requests under way and connections that wait for
    their client (`Intake`).

    Args:
        begun: when the connection opened, by `time.monotonic`.
        intake: what all connections share.

    Attributes:
        asked: when the request under way had arrived.
        intake: the same.
        decided: what is decided of its handshake already: that it is rejected, or what is waited for.
    """

    __slots__ = (
        "_begun",
        "_discarding",
        "_dropped",
        "_due",
        "_first",
        "_full",
        "_given",
        "_held",
        "_host",
        "_idle",
        "_more",
        "_paused",
        "_reader",
        "_taken",
        "_under_way",
        "_unread",
        "asked",
        "decided",
        "intake",
    )
    HTTP_CLASS = Exchange

    def __init__(self, *, begun: float, intake: Intake, **options: Any) -> None:
        super().__init__(**options)
        self.intake = intake
        self.decided: HandshakeRejection | Awaitable[Any] | None = None
        self._begun = begun
        self._host = ""
        self._first = True
        self._idle = True  # no request is under way
        self._due = math.inf
        self._reader: Exchange | None = None  # Sanic drops it before its task is over
        self._held = 0  # bytes that the account holds for this connection
        self._under_way = False  # a request of it is counted
        self.asked = begun
        self._more: asyncio.Future[None] | None = None  # while bytes are awaited
        self._paused = False  # no bytes are read
        self._discarding = False
        self._dropped = 0  # bytes that arrived meanwhile
        self._full = False  # the client must read before more is written
        self._given = 0  # bytes written to the transport
        self._unread: Progress | None = None  # while some of them wait
        self._taken = 0  # how many of them the peer had at the last check

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        peer = transport.get_extra_info("peername")
        self._host = peer[0] if isinstance(peer, tuple) else ""
        self.intake.newcomers.add(self, self._host)
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def hand_over(self) -> bytes:
        """Release the transport without closing it; return the bytes that arrived behind the request."""
        early = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        self.connections.discard(self)
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        # The rest of the request's task closes its transport at the end, if it has one.
        self.transport = None
        self._leave()
        return early

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release all that the connection held."""
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        self._leave()

    def _leave(self) -> None:
        self.intake.newcomers.remove(self)
        self.intake.waiting.remove(self)
        self._end_request()
        self.intake.inbound.release_bytes(self._held)
        self._held = 0
        self._discarding = True

    def reset(self) -> None:
        """Reset the connection, so that the client sees that this is not a normal end."""
        if self.transport is not None:
            reset(self.transport)

    def end(self) -> None:
        """Close the connection at once, whatever it is doing."""
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        if self.transport is not None:
            # Not the protocol's abort(): without its transport the request's task fails, and logs that.
            self.transport.abort()

    evict = end

    def close_if_idle(self) -> bool:
        """Close the connection unless a request is under way; one with an incomplete head delays no stop."""
        if super().close_if_idle():
            return True
        if self._idle and END_OF_HEAD not in self.recv_buffer:
            self.end()
            return True
        return False

    def close(self, timeout: float | None = None) -> None:
        """Close the connection properly; a client whose bytes are ignored has a moment to read the reason."""
        if self.transport is None or self.transport.is_closing():
            return
        if not self._discarding:
            unread = self.transport.get_write_buffer_size()
            # Sanic would truncate a response that is not read in five seconds.
            super().close(math.inf if unread and timeout is None else timeout)
            if unread:
                self._look_at_rest()
            return
        # Bytes that arrive after a close make the kernel reset the connection, and the peer would lose the response.
        if self.transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                self.transport.write_eof()
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        self.wait_for_client()
        self._linger(monotonic() + _MOST_LINGERING, -1)

    def _linger(self, until: float, dropped: int) -> None:
        """End an answered connection when its client sends no more (RFC 9112 section 9.6)."""
        if self.transport is None or self.transport.is_closing():
            return
        if dropped == self._dropped or monotonic() > until:
            self.end()
        else:
            self._callback_check_timeouts = self.loop.call_later(
                _LAST_WORD,
                self._linger,
                until,
                self._dropped,
                context=Context(),  # not the timer that keeps the request alive
            )

    def _look_at_rest(self) -> None:
        """End a closed connection if the client does not read the rest."""
        if self.conn_info is not None and self.conn_info.lost:
            return
        if self._reads_too_slowly(monotonic()):
            self.end()
        else:
            self._callback_check_timeouts = self.loop.call_later(self._interval, self._look_at_rest)

    # The requests of the connection, one after the other.

    async def connection_task(self) -> None:
        """Serve the connection."""
        try:
            await _serve(self)  # type: ignore[no-untyped-call]
        finally:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.forget()

    def _setup_connection(self) -> None:
        super()._setup_connection()  # type: ignore[no-untyped-call]
        self._reader = cast("Exchange", self.http)

    def expect_request(self) -> None:
        """Start waiting for the head of a request; the one before is over."""
        if self._under_way:
            self._end_request()
        self._idle = True
        left = len(self.recv_buffer)
        if self._held != left:
            self.intake.inbound.release_bytes(self._held - left)
            self._held = left
        if self._first:
            self._due = self._begun + self.request_timeout
        else:
            self.intake.waiting.add_soon(self, self._host)
            self._due = monotonic() + self.request_timeout if left else math.inf

    def hold_the_clock(self) -> None:
        """Stop waiting for the head of a request: it is complete, and the server's own time does not count."""
        self._due = math.inf

    def begin_request(self) -> bool:
        """Begin a request whose head has been read; return False if the limit of requests is reached."""
        self._idle = False
        self._due = math.inf
        if self._first:
            self._first = False
            self.intake.newcomers.remove(self)
        self.intake.waiting.remove(self)
        self.asked = monotonic()
        self._under_way = self.intake.admit_request()
        self._discarding = not self._under_way
        return self._under_way

    def begin_answer(self) -> None:
        """Begin to answer a request whose body has been read, too."""
        self.stop_waiting()
        self.asked = monotonic()

    def rest(self) -> None:
        """Wait for a request of which no byte has arrived; before the first request, its timeout applies."""
        if not self._first:
            self._due = math.inf

    @property
    def keeps_alive(self) -> bool:
        """Whether connections last for more than one request; not while the server stops."""
        return bool(self.app.config["KEEP_ALIVE"])  # as an attribute it costs a microsecond

    def discard(self) -> None:
        """Ignore all further bytes: the connection ends with the response."""
        self._discarding = True
        self.recv_buffer.clear()
        self.intake.inbound.release_bytes(self._held)
        self._held = 0
        if self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    @property
    def work(self) -> str:
        """What runs for the request that is under way: ``handler publish of plugin publish``; empty without one."""
        if self._idle or self.transport is None:
            return ""
        request = None if self._reader is None else self._reader.request
        route = None if request is None else request.route
        return "a request" if route is None else str(getattr(route.ctx, "work", "a request"))

    @property
    def path(self) -> str:
        """The path of the request that is under way; empty without one."""
        request = None if self._reader is None else self._reader.request
        return "" if request is None else str(request.path)

    def _end_request(self) -> None:
        if self._under_way:
            self._under_way = False
            self.intake.end_request()

    def wait_for_client(self) -> None:
        """Note that nothing continues here until the client acts."""
        self.intake.waiting.add(self, self._host)

    def stop_waiting(self) -> None:
        """Note that the client has acted."""
        self.intake.waiting.remove(self)

    # Input and output.

    def data_received(self, data: bytes) -> None:
        """Store bytes of a request, if there is room for them."""
        if self._discarding:
            self._dropped += len(data)
            return
        self._time = now = monotonic()
        if self._due == math.inf:
            self._due = now + self.request_timeout
        if not self.intake.inbound.acquire(len(data)):
            self._refuse()
            return
        self._held += len(data)
        buffer = self.recv_buffer
        buffer += data
        if len(buffer) >= _MOST_BUFFERED and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)

    async def receive_more(self) -> None:
        """Wait until more bytes have arrived. Sanic waits with an event, which takes twice the time."""
        if self.transport is not None and self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._more = self.loop.create_future()
        await self._more

    def _refuse(self) -> None:
        """Accept no more bytes: an unfinished request is rejected, one that is being answered is the last."""
        http = cast("Exchange | None", self.http)
        self._discarding = True
        if http is not None and http.stage in (Stage.HANDLER, Stage.RESPONSE, Stage.FAILED) and not http.request_body:
            http.keep_alive = False
            return
        if self.transport is not None and (http is None or getattr(http, "response", None) is None):
            self.transport.write(REFUSAL)
        self.close()

    async def send(self, data: bytes) -> None:
        """Write bytes of a response, once the client has read most of those before."""
        while not self.write(data):
            await self._can_write.wait()

    def write(self, data: bytes) -> bool:
        """Write bytes of a response; return False, writing none, if the client must first read those before.

        Raises:
            RequestCancelled: the connection is over.
        """
        if self._full:
            return False
        transport = self.transport
        if transport is None or transport.is_closing():
            raise RequestCancelled
        transport.write(data)
        self._time = monotonic()
        self._given += len(data)
        return True

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        self._full = True
        super().pause_writing()  # type: ignore[no-untyped-call]
        self.wait_for_client()

    def resume_writing(self) -> None:
        """Continue: the client has read."""
        self._full = False
        super().resume_writing()  # type: ignore[no-untyped-call]
        if not self._idle:
            self.stop_waiting()

    # Timeouts.

    def check_timeouts(self) -> None:
        """End what is late; called periodically while there is a connection."""
        http: Http | None = self.http
        if self._task is None or http is None:
            return
        now = monotonic()
        if self._reads_too_slowly(now):
            self.end()
            return
        if http.stage is Stage.IDLE and not self._owes_body(http) and now - self._time > self.keep_alive_timeout:
            self._task.cancel()
            return
        late = self._lateness(http, now)
        if late is None:
            self._callback_check_timeouts = self.loop.call_later(self._interval, self.check_timeouts)
            return
        http.exception = late
        self._task.cancel()
        self._callback_check_timeouts = self.loop.call_later(_LAST_WORD, self.end)

    @property
    def _interval(self) -> float:
        """Seconds between two checks of a connection."""
        return float(max(0.1, min(self.keep_alive_timeout, self.request_timeout, self.response_timeout) / 2))

    @staticmethod
    def _owes_body(http: Http) -> bool:
        return bool(getattr(http, "request_body", None))  # at first this attribute does not exist

    def _lateness(self, http: Http, now: float) -> SanicException | None:
        """Return the error response for what is late; None if nothing is."""
        if self._owes_body(http):
            progress = cast("Exchange", http).progress
            return RequestTimeout("Request Timeout") if progress is not None and progress.is_late(now) else None
        if http.stage in (Stage.IDLE, Stage.REQUEST):
            return RequestTimeout("Request Timeout") if now >= self._due else None
        if http.stage is Stage.HANDLER and not http.upgrade_websocket and http.response is None:
            return LateAnswerError() if now - self.asked > self.response_timeout else None
        return None

    def _reads_too_slowly(self, now: float) -> bool:
        """Return whether a response waits for a client that reads nothing, or almost nothing."""
        transport = self.transport
        if transport is None or not (waiting := transport.get_write_buffer_size()):
            self._unread = None
            return False
        taken = self._given - waiting - held_by_kernel(transport)
        if self._unread is None:
            self._unread = Progress(_READING * self.request_timeout, now)
        else:
            self._unread.note(max(0, taken - self._taken), now)
        self._taken = taken
        return self._unread.is_late(now)
