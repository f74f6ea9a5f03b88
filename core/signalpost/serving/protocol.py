"""Sanic's protocol, for what the doorman has not taken: it lets go of its transport, and bounds what a client costs."""

import asyncio
import fcntl
import logging
import math
import struct
import termios
from contextlib import suppress
from contextvars import Context
from http import HTTPStatus
from time import monotonic
from typing import Any, cast

from sanic.exceptions import BadRequest, PayloadTooLarge, RequestCancelled, RequestTimeout, SanicException
from sanic.helpers import has_message_body
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.models.protocol_types import TransportProtocol
from sanic.server import HttpProtocol

from signalpost.delivery.client import reset
from signalpost.serving.answer import date_now, head_of
from signalpost.serving.body import Body, ChunkedBody, MalformedBodyError, SizedBody
from signalpost.serving.descriptors import REFUSAL
from signalpost.serving.gate import Gate
from signalpost.serving.handshake import is_upgrade
from signalpost.serving.head import MOST_FIELDS
from signalpost.serving.known import closes
from signalpost.serving.pages import LateAnswerError, OverloadedError
from signalpost.serving.progress import Progress
from signalpost.serving.quiet import without_events
from signalpost.serving.request import WebRequest, is_plain

LOG = logging.getLogger(__name__)

# Seconds in which a client may still read that its request took too long, or that there is no room for it.
_LAST_WORD = 1.0
_PIECE = (
    65_536  # bytes of a body that are handed on together; a list of them costs more than they do where they are few
)
_READING = 3  # times the patience that a client has for a request, it may rest while it reads an answer
_MOST_BUFFERED = 65_536  # bytes that are read before somebody asks for them
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"
_MOST_EMPTY_LINES = 8  # before a request (RFC 9112 section 2.2)
_MOST_LINGERING = 30.0  # seconds in which what still comes of a request is read, and dropped, once it is answered
_LEAST_STATUS = 200  # of an answer that is the last one to a request
_INT = struct.Struct("@i")


class _Http(Http):
    """Sanic's reader of requests, with bodies that are read to the letter, and others' turns between two requests."""

    __slots__ = ("_owner", "body", "progress")
    body: Body | None
    progress: Progress | None

    def __init__(self, protocol: "HandingOver") -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._owner = protocol

    @property
    def HEADER_MAX_SIZE(self) -> int:  # type: ignore[override]  # noqa: N802 - Sanic's, one for all of a process
        """How long a head may be."""
        return self._owner.gate.limits.head

    def init_for_request(self) -> None:
        super().init_for_request()  # type: ignore[no-untyped-call]
        self.body = None
        self.progress = None
        self._owner.expect_request()

    async def http1_request_header(self) -> None:
        buffer = self.recv_buffer
        at = -1 if buffer.startswith(b"\r") else buffer.find(_END_OF_HEAD)
        if at == -1:
            at = await self._await_head()
        owner = self._owner
        if not owner.gate.turns.take():
            owner.hold_the_clock()
            await owner.gate.turns.place()
        if not self._take_known_head(at):
            await self._read_new_head(at)
        if not owner.begin_request():
            self.request_body = None  # it is not read
            raise OverloadedError
        if self.request_body:
            chunked = cast("object", self.request_body) == "chunked"
            self.body = ChunkedBody() if chunked else SizedBody(self.request_bytes_left or 0)
            if chunked:
                del self.recv_buffer[:2]  # of the head's end; Sanic's own reader begins there

    async def _read_new_head(self, at: int) -> None:
        """Have Sanic read a head, and keep what it makes of plain fields.

        Raises:
            SanicException: it is none, or too long.

        """
        buffer, owner = self.recv_buffer, self._owner
        if buffer.count(_END_OF_LINE, 0, at) > MOST_FIELDS:
            raise SanicException("Too many fields", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        await _read_head(self)  # type: ignore[no-untyped-call]
        request = self.request
        if request.version != "1.1":
            self.expecting_continue = False  # RFC 9110 section 10.1.1
            return
        if not self.keep_alive and owner.keeps_alive and not is_upgrade(request.headers):
            self.keep_alive = not closes(request.headers)  # Sanic wants it to say keep-alive
        if is_plain(request.head):
            length = self.request_bytes_left if self.request_body else None
            owner.gate.known.keep(request.head.partition(_END_OF_LINE)[2], request.headers, length)

    def _take_known_head(self, at: int) -> bool:
        """Make the request of a head whose fields have come before; False if they are new, or its line is unusual."""
        owner, buffer = self._owner, self.recv_buffer
        head = bytes(buffer[: max(at, 0)])
        first, _, raw = head.partition(_END_OF_LINE)
        known = owner.gate.known
        fields, line = known.find(raw), known.line(first)
        if fields is None or line is None or at >= self.HEADER_MAX_SIZE:
            return False
        self.keep_alive = owner.keeps_alive and not fields.closes
        self.head_only = line.head_only
        self.url = line.url_text
        transport = cast("TransportProtocol", owner.transport)
        request = WebRequest(line.url, fields.headers, "1.1", line.method, transport, owner.app, head, plain=True)
        WebRequest._current.set(request)  # noqa: SLF001 - as Sanic does
        self.request_bytes_left = self.request_bytes = fields.length or 0
        self.request_body = None if fields.length is None else True  # type: ignore[assignment]  # or "chunked"
        del buffer[: at + len(_END_OF_HEAD)]
        self.request, request.stream = request, self
        owner.state["requests_count"] += 1
        return True

    def forget(self) -> None:
        """Let go of what refers to this again, so that nothing waits for the collector.

        Sanic does so behind each request, but not where a connection breaks off.
        """
        for part in (self.request, self.response):
            if part is not None:
                part.stream = None
        self.exception = None
        # Sanic's own types are those of the time in between.
        self.request = self.response = self.response_func = None  # type: ignore[assignment]

    async def _await_head(self) -> int:
        """Wait until the head is there, or is longer than it may be; return where it ends, as far as it is known."""
        buffer, at = self.recv_buffer, 0
        if buffer.startswith(b"\r"):
            await self._skip_empty_lines()
        while (at := buffer.find(_END_OF_HEAD, at)) == -1:
            at = max(0, len(buffer) - len(_END_OF_HEAD) + 1)
            if at >= self.HEADER_MAX_SIZE:
                break
            await self._receive_more()
        return at

    async def _skip_empty_lines(self) -> None:
        """Take empty lines off that stand before a request: some clients end the body before it with one."""
        buffer = self.recv_buffer
        for _ in range(_MOST_EMPTY_LINES):
            while buffer == _END_OF_LINE[: len(buffer)] and buffer != _END_OF_LINE:
                if not buffer:  # nothing has been asked for yet
                    self.stage = Stage.IDLE
                    self._owner.rest()
                await self._receive_more()
            self.stage = Stage.REQUEST
            if not buffer.startswith(_END_OF_LINE):
                return
            del buffer[: len(_END_OF_LINE)]

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Send the head of an answer, and what is there of its body.

        As Sanic's, but for a body of unknown length for HTTP/1.0, which ends with the connection (RFC 9112 section
        6.3), for a client that waits for 100, which is answered instead, and for headers: a Date, and no Content-Type
        where none is known.
        """
        response = self.response
        if not data and (body := getattr(response, "body", None)):
            data, end_stream = body, True
        status: Any = response.status
        headers = response.headers
        if not isinstance(status, int) or status < _LEAST_STATUS:  # what a handler wrote
            raise RuntimeError(f"Invalid response status {status!r}")
        if self.expecting_continue:  # the body need not come any more
            self.expecting_continue = False
            self._give_up_body()
        self.response_size = len(data)
        if has_message_body(status):  # type: ignore[no-untyped-call]
            framing, data = self._frame(data, end_stream=end_stream)
        else:
            framing, data, end_stream = self._frame_without_body(data, end_stream=end_stream), b"", True
        if self.head_only:
            data = b""
            self.response_func = self.head_response_ignored
        if "date" not in headers:
            framing += f"date: {date_now()}\r\n"
        connection = "keep-alive" if self.keep_alive else "close"
        if "upgrade" in headers:  # RFC 9110 section 7.8
            connection = f"upgrade, {connection}"
        headers.pop("connection", None)
        answer = head_of(status, headers.items(), f"{framing}connection: {connection}\r\n") + data
        if not self._owner.write(answer):
            await self._send(answer)
        self.stage = Stage.IDLE if end_stream else Stage.RESPONSE

    def _frame(self, data: bytes, *, end_stream: bool) -> tuple[str, bytes]:
        """Choose how a body is framed; return the lines that say so, and the first part of it."""
        headers, kind = self.response.headers, self.response.content_type
        framing = f"content-type: {kind}\r\n" if kind and "content-type" not in headers else ""
        if self.head_only and "content-length" in headers:
            return framing, b""
        if end_stream:
            if "content-length" in headers:
                del headers["content-length"]
            framing += f"content-length: {len(data)}\r\n"
            self.response_func = None  # type: ignore[assignment]
        elif "content-length" in headers:
            self.response_bytes_left = int(headers["content-length"]) - len(data)
            self.response_func = self.http1_response_normal
        elif self.request.version == "1.1":
            headers.pop("transfer-encoding", None)
            framing += "transfer-encoding: chunked\r\n"
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            self.response_func = self.http1_response_chunked
        else:
            self.keep_alive = False
            self.response_func = self._send_until_close
        return framing, data

    def _frame_without_body(self, data: bytes, *, end_stream: bool) -> str:
        """Take away what an answer that has no body must not have."""
        headers = self.response.headers
        self.response_func = None  # type: ignore[assignment]
        if data or not end_stream or "content-length" in headers or "transfer-encoding" in headers:
            headers.pop("content-length", None)
            headers.pop("transfer-encoding", None)
            request = self.request
            LOG.warning(
                "%s %s: an answer with status %d has no body", request.method, request.path, self.response.status
            )
        return ""

    async def _send_until_close(self, data: bytes, end_stream: bool) -> None:
        """Send a piece of a body that ends with the connection."""
        if data:
            await self._send(data)
        if end_stream:
            self.response_func = None  # type: ignore[assignment]
            self.stage = Stage.IDLE

    async def head_response_ignored(  # type: ignore[override]
        self,
        data: bytes,  # noqa: ARG002 - as Sanic's own
        end_stream: bool,
    ) -> None:
        """Leave the body out of an answer to HEAD. Sanic's own cannot be awaited, which whoever streams does."""
        if end_stream:
            self.response_func = None  # type: ignore[assignment]
            self.stage = Stage.IDLE

    def break_off(self) -> None:
        """End an answer that has begun so that its client sees that it is not whole (RFC 9112 section 8)."""
        if self.stage is Stage.IDLE:  # it is whole; what failed came behind it
            return
        self.keep_alive = False
        self.stage = Stage.FAILED
        if self.response_func == self._send_until_close:
            self._owner.reset()  # the end of the connection would be the end of the answer

    async def read(self) -> bytes | None:
        """Read a piece of the body; Sanic asks until there is none."""
        body, piece = self.body, bytearray()
        if body is None:
            self.request_body = None
            return None
        if self.expecting_continue and body.length <= self.request_max_size:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        while True:
            more = self._read_into(piece, body)
            if body.done:
                self.request_body = self.body = None
                self._owner.begin_answer()
                break
            if len(piece) >= _PIECE:
                break
            if more:
                await self._owner.gate.turns.wait()
            else:
                self._owner.wait_for_client()
                await self._receive_more()
        return bytes(piece)

    def take_body(self) -> bytes | None:
        """Return the body if all of it is there, and nobody waits for 100 Continue; else None, and `read` reads it."""
        body, buffer = self.body, self.recv_buffer
        if type(body) is not SizedBody or self.expecting_continue or self.progress is not None:
            return None
        length = body.length
        if length > len(buffer) or length > self.request_max_size:
            return None
        data = bytes(buffer[:length])
        del buffer[:length]
        self.request_body = self.body = None
        self._owner.begin_answer()
        return data

    def _read_into(self, piece: bytearray, body: Body) -> bool:
        """Read what has come; return whether more of it can be read.

        Raises:
            BadRequest: it is not framed as it says.
            PayloadTooLarge: there is too much of it.

        """
        now = monotonic()
        if self.progress is None:
            self.progress = Progress(self._owner.request_timeout, now)
        before = len(piece)
        try:
            more = body.read(self.recv_buffer, piece)
        except MalformedBodyError:
            self._give_up_body()
            raise BadRequest("Bad chunked encoding") from None
        if body.length > self.request_max_size:
            self._give_up_body()
            raise PayloadTooLarge("Request body exceeds the size limit")
        self.progress.note(len(piece) - before, now)
        return more

    async def error_response(self, exception: Exception) -> None:
        """Answer what went wrong; where the connection ends with it, what still comes is dropped."""
        await super().error_response(exception)
        if not self.keep_alive:
            self._give_up_body()

    def _give_up_body(self) -> None:
        """Read no more of a body: what still comes of it is dropped, until the client has read its answer."""
        self.keep_alive = False
        self.request_body = self.body = None
        self._owner.discard()


_read_head = without_events(Http.http1_request_header)
_serve = without_events(HttpProtocol.connection_task)


class HandingOver(HttpProtocol):
    """Sanic's protocol, which can let go of its transport, and in which nobody has for ever.

    Sanic alone waits for ever for a head that comes byte by byte, for a body that does not come behind an Upgrade, and
    for the rest of a body that it has answered already. Here the head of a request must be there in REQUEST_TIMEOUT,
    the first one's counted from the connection's start, a further one's from its first bytes. A body makes progress
    (`Progress`), and so does whoever reads an answer; three times as long may it rest.

    All that is held of requests is counted (`Inbound`), and so are requests under way and connections that are waited
    for (`Gate`).

    Args:
        begun: when the connection was made, as `time.monotonic` has it.
        gate: what all connections share.

    Attributes:
        gate: the same.

    """

    __slots__ = (
        "_asked",
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
        "gate",
    )
    HTTP_CLASS = _Http

    def __init__(self, *, begun: float, gate: Gate, **options: Any) -> None:
        super().__init__(**options)
        self.gate = gate
        self._begun = begun
        self._host = ""
        self._first = True
        self._idle = True  # no request is under way
        self._due = math.inf
        self._reader: _Http | None = None  # Sanic forgets it before its task is over
        self._held = 0  # bytes that the account holds for this connection
        self._under_way = False  # a request of it is counted
        self._asked = begun  # when the request under way had come
        self._more: asyncio.Future[None] | None = None  # while bytes are waited for
        self._paused = False  # no bytes are read
        self._discarding = False
        self._dropped = 0  # bytes that came meanwhile
        self._full = False  # the client has to read before more is written
        self._given = 0  # bytes that the transport was given
        self._unread: Progress | None = None  # while some of them wait
        self._taken = 0  # bytes of them that the peer had at the last look

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        peer = transport.get_extra_info("peername")
        self._host = peer[0] if isinstance(peer, tuple) else ""
        self.gate.newcomers.add(self, self._host)
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def hand_over(self) -> bytes:
        """Let go of the transport without closing it; give the bytes that came behind the request."""
        early = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        self.connections.discard(self)
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        # What is left of the request's task closes its transport at the end, if it has one.
        self.transport = None
        self._leave()
        return early

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give back all that the connection held."""
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        self._leave()

    def _leave(self) -> None:
        self.gate.newcomers.remove(self)
        self.gate.waiting.remove(self)
        self._end_request()
        self.gate.inbound.give(self._held)
        self._held = 0
        self._discarding = True

    def reset(self) -> None:
        """End the connection at once, so that the client sees that this is no end in order."""
        if self.transport is not None:
            reset(self.transport)

    def end(self) -> None:
        """Close the connection at once, whatever it is at."""
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        if self.transport is not None:
            # Not the protocol's abort(): without its transport the request's task fails, and says so in the log.
            self.transport.abort()

    give_way = end

    def close(self, timeout: float | None = None) -> None:
        """Close the connection in order; who sends what is not read has a moment to read why."""
        if self.transport is None or self.transport.is_closing():
            return
        if not self._discarding:
            unread = self.transport.get_write_buffer_size()
            # Sanic would cut an answer off that is not read in five seconds.
            super().close(math.inf if unread and timeout is None else timeout)
            if unread:
                self._look_at_rest()
            return
        # What comes in after a close would have the kernel reset the connection, and the peer lose the answer.
        if self.transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                self.transport.write_eof()
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        self.wait_for_client()
        self._linger(monotonic() + _MOST_LINGERING, -1)

    def _linger(self, until: float, dropped: int) -> None:
        """End a connection that is answered, when its client sends no more (RFC 9112 section 9.6)."""
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
                context=Context(),  # not that which keeps the request
            )

    def _look_at_rest(self) -> None:
        """End a connection that is closed, if the client does not take what is left."""
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
        self._reader = cast("_Http", self.http)

    def expect_request(self) -> None:
        """Begin to wait for the head of a request; the one before is over."""
        if self._under_way:
            self._end_request()
        self._idle = True
        left = len(self.recv_buffer)
        if self._held != left:
            self.gate.inbound.give(self._held - left)
            self._held = left
        if self._first:
            self._due = self._begun + self.request_timeout
        else:
            self.gate.waiting.add_soon(self, self._host)
            self._due = monotonic() + self.request_timeout if left else math.inf

    def hold_the_clock(self) -> None:
        """Wait no more for the head of a request: it is there, and the server's own time is not the client's."""
        self._due = math.inf

    def begin_request(self) -> bool:
        """Begin a request whose head has been read; False if there are as many as may be."""
        self._idle = False
        self._due = math.inf
        if self._first:
            self._first = False
            self.gate.newcomers.remove(self)
        self.gate.waiting.remove(self)
        self._asked = monotonic()
        self._under_way = self.gate.admit_request()
        self._discarding = not self._under_way
        return self._under_way

    def begin_answer(self) -> None:
        """Begin to answer a request whose body has been read, too."""
        self.stop_waiting()
        self._asked = monotonic()

    def rest(self) -> None:
        """Wait for a request of which nothing is there; whoever has not sent any yet has the time of the first one."""
        if not self._first:
            self._due = math.inf

    @property
    def keeps_alive(self) -> bool:
        """Whether connections last for more than one request; not while the server stops."""
        return bool(self.app.config["KEEP_ALIVE"])  # as an attribute it takes a microsecond

    def discard(self) -> None:
        """Keep nothing more of what comes: the connection ends with the answer."""
        self._discarding = True
        self.recv_buffer.clear()
        self.gate.inbound.give(self._held)
        self._held = 0
        if self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    @property
    def work(self) -> str:
        """What is done for the request that is under way: ``handler publish of plugin publish``; empty without one."""
        if self._idle or self.transport is None:
            return ""
        request = None if self._reader is None else self._reader.request
        route = None if request is None else request.route
        return "a request" if route is None else str(getattr(route.ctx, "work", "a request"))

    @property
    def path(self) -> str:
        """What the request that is under way asks for; empty without one."""
        request = None if self._reader is None else self._reader.request
        return "" if request is None else str(request.path)

    def _end_request(self) -> None:
        if self._under_way:
            self._under_way = False
            self.gate.end_request()

    def wait_for_client(self) -> None:
        """Note that nothing goes on here until the client does something."""
        self.gate.waiting.add(self, self._host)

    def stop_waiting(self) -> None:
        """Note that the client has done what was waited for."""
        self.gate.waiting.remove(self)

    # What comes, and what goes.

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, if there is room for them."""
        if self._discarding:
            self._dropped += len(data)
            return
        self._time = now = monotonic()
        if self._due == math.inf:
            self._due = now + self.request_timeout
        if not self.gate.inbound.take(len(data)):
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
        """Wait until more bytes have come. Sanic waits by an event, which takes twice the time."""
        if self.transport is not None and self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._more = self.loop.create_future()
        await self._more

    def _refuse(self) -> None:
        """Take no more bytes: what is unfinished is refused, what is being answered is the last."""
        http = cast("_Http | None", self.http)
        self._discarding = True
        if http is not None and http.stage in (Stage.HANDLER, Stage.RESPONSE, Stage.FAILED) and not http.request_body:
            http.keep_alive = False
            return
        if self.transport is not None and (http is None or getattr(http, "response", None) is None):
            self.transport.write(REFUSAL)
        self.close()

    async def send(self, data: bytes) -> None:
        """Write bytes of an answer, once the client has taken most of those before."""
        while not self.write(data):
            await self._can_write.wait()

    def write(self, data: bytes) -> bool:
        """Write bytes of an answer; False writes none, since the client has to take those before.

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
        """Go on, since the client has read."""
        self._full = False
        super().resume_writing()  # type: ignore[no-untyped-call]
        if not self._idle:
            self.stop_waiting()

    # What is late.

    def check_timeouts(self) -> None:
        """End what is late; called now and then while there is a connection."""
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
        """Seconds between two looks at a connection."""
        return float(max(0.1, min(self.keep_alive_timeout, self.request_timeout, self.response_timeout) / 2))

    @staticmethod
    def _owes_body(http: Http) -> bool:
        return bool(getattr(http, "request_body", None))  # at first there is no such attribute

    def _lateness(self, http: Http, now: float) -> SanicException | None:
        """Tell what is late, as what it is answered with; None if nothing is."""
        if self._owes_body(http):
            progress = cast("_Http", http).progress
            return RequestTimeout("Request Timeout") if progress is not None and progress.is_late(now) else None
        if http.stage in (Stage.IDLE, Stage.REQUEST):
            return RequestTimeout("Request Timeout") if now >= self._due else None
        if http.stage is Stage.HANDLER and not http.upgrade_websocket and http.response is None:
            return LateAnswerError() if now - self._asked > self.response_timeout else None
        return None

    def _reads_too_slowly(self, now: float) -> bool:
        """Tell whether an answer waits for a client that takes nothing of it, or next to nothing."""
        waiting = 0 if self.transport is None else self.transport.get_write_buffer_size()
        if not waiting:
            self._unread = None
            return False
        taken = self._given - waiting - self._held_by_kernel()
        if self._unread is None:
            self._unread = Progress(_READING * self.request_timeout, now)
        else:
            self._unread.note(max(0, taken - self._taken), now)
        self._taken = taken
        return self._unread.is_late(now)

    def _held_by_kernel(self) -> int:
        """Return the bytes that the kernel has, and the peer's machine has not confirmed (tcp(7), SIOCOUTQ)."""
        held = bytearray(_INT.size)
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        with suppress(OSError):
            if sock is not None and sock.fileno() >= 0:
                fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, held)
        return int(_INT.unpack(held)[0])
