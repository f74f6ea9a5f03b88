"""The requests of one connection and their responses: Sanic's HTTP/1.1, with what it leaves out.

Bodies are parsed strictly, heads with known fields are not parsed again, and other connections get their turns between
two requests. Responses have a Date, and a framing that the client understands.
"""

import ast
import logging
from collections.abc import Callable
from http import HTTPStatus
from inspect import getsource
from textwrap import dedent
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

from sanic.exceptions import BadRequest, PayloadTooLarge, SanicException
from sanic.helpers import has_message_body
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.models.protocol_types import TransportProtocol
from sanic.touchup.schemes.ode import RemoveDispatch

from signalpost.http.access import note_answer
from signalpost.http.answer import date_now, head_of
from signalpost.http.body import Body, ChunkedBody, MalformedBodyError, SizedBody
from signalpost.http.errorpages import OverloadedError
from signalpost.http.intake import Intake
from signalpost.http.known import closes
from signalpost.http.request import WebRequest, is_plain
from signalpost.logsubject import about_path
from signalpost.websocket.handshake import is_upgrade
from signalpost.websocket.head import MOST_FIELDS

LOG = logging.getLogger(__name__)

# Bytes of a body that are passed on together; a list of them costs more than they do if they are few.
_PIECE = 65_536
END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"
_MOST_EMPTY_LINES = 8  # before a request (RFC 9112 section 2.2)
_LEAST_STATUS = 200  # of a response that is the last one to a request

LEAST_RATE = 1_024
"""Bytes per second that a client must send of a body, and read of a response that waits for it."""


class Progress:
    """A deadline that each byte postpones, to at most the patience from now.

    No pause may exceed the patience, and a client slower than the least rate uses the patience up. So a body of n bytes
    is complete after patience + n / rate seconds, or it is late.

    Args:
        patience: seconds.
        now: the clock's seconds.
    """

    __slots__ = ("_due", "_patience")

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._due = now + patience

    def note(self, count: int, now: float) -> None:
        """Note that a number of bytes have moved."""
        self._due = min(now + self._patience, self._due + count / LEAST_RATE)

    def is_late(self, now: float) -> bool:
        """Return whether too few bytes have moved."""
        return now > self._due


F = TypeVar("F", bound=Callable[..., Any])


def without_events(function: F) -> F:
    """Return a copy of one of Sanic's functions without its events, or the function itself if it has no source.

    Nothing subscribes to those events, and they cost a tenth of a request. Sanic can compile them away itself
    (TOUCHUP), but in its own classes, which belong to every app of the process.
    """
    try:
        source = getsource(function)
    except OSError:
        return function
    tree = RemoveDispatch([]).visit(ast.parse(dedent(source)))
    found: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, found)  # noqa: S102 - as Sanic does
    return cast("F", found[function.__name__])


_read_head = without_events(Http.http1_request_header)


class Owner(Protocol):
    """The connection, as far as its requests need it (`signalpost.http.protocol.HandingOver`)."""

    app: Any
    intake: Intake
    request_timeout: float
    state: dict[str, Any]
    transport: Any

    @property
    def asked(self) -> float:
        """When the request under way had arrived, by `time.monotonic`."""

    @property
    def keeps_alive(self) -> bool:
        """Whether connections last for more than one request."""

    def expect_request(self) -> None:
        """Start waiting for the head of a request."""

    def hold_the_clock(self) -> None:
        """Stop waiting for the head: it is complete."""

    def rest(self) -> None:
        """Wait for a request of which no byte has arrived."""

    def begin_request(self) -> bool:
        """Begin a request whose head has been read; return False if the limit of requests is reached."""

    def begin_answer(self) -> None:
        """Begin to answer a request whose body has been read, too."""

    def wait_for_client(self) -> None:
        """Note that nothing continues until the client acts."""

    def write(self, data: bytes) -> bool:
        """Write bytes of a response; return False, writing none, if the client must first read those before."""

    def discard(self) -> None:
        """Ignore all further bytes: the connection ends with the response."""

    def reset(self) -> None:
        """Reset the connection, so that the client cannot mistake the part that arrived for the whole."""


class Exchange(Http):
    """Sanic's reader of requests and writer of responses, on one connection; see the module."""

    __slots__ = ("_owner", "body", "progress")
    body: Body | None
    progress: Progress | None

    def __init__(self, protocol: Owner) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._owner = protocol

    @property
    def HEADER_MAX_SIZE(self) -> int:  # type: ignore[override]  # noqa: N802 - Sanic's, one for all of a process
        """Largest length of a head."""
        return self._owner.intake.limits.head

    def init_for_request(self) -> None:
        """Reset for the next request."""
        super().init_for_request()  # type: ignore[no-untyped-call]
        self.body = None
        self.progress = None
        self._owner.expect_request()

    async def http1_request_header(self) -> None:
        """Wait for the head of a request, and for its turn, and read it."""
        buffer = self.recv_buffer
        at = -1 if buffer.startswith(b"\r") else buffer.find(END_OF_HEAD)
        if at == -1:
            at = await self._await_head()
        owner = self._owner
        if not owner.intake.turns.acquire():
            owner.hold_the_clock()
            await owner.intake.turns.place()
        if not self._take_known_head(at):
            await self._read_new_head(at)
        if not owner.begin_request():
            self.request_body = None  # it is not parsed
            raise OverloadedError
        if self.request_body:
            chunked = cast("object", self.request_body) == "chunked"
            self.body = ChunkedBody() if chunked else SizedBody(self.request_bytes_left or 0)
            if chunked:
                del self.recv_buffer[:2]  # of the head's end; Sanic's own reader begins there

    async def _read_new_head(self, at: int) -> None:
        """Parse a head with Sanic, and remember the result for plain fields.

        Raises:
            SanicException: it is invalid or too long.
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
            self.keep_alive = not closes(request.headers)  # Sanic requires it to say keep-alive
        if is_plain(request.head):
            length = self.request_bytes_left if self.request_body else None
            owner.intake.known.keep(request.head.partition(_END_OF_LINE)[2], request.headers, length)

    def _take_known_head(self, at: int) -> bool:
        """Create the request of a head with known fields; return False if they are new, or its line is unusual."""
        owner, buffer = self._owner, self.recv_buffer
        head = bytes(buffer[: max(at, 0)])
        first, _, raw = head.partition(_END_OF_LINE)
        known = owner.intake.known
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
        del buffer[: at + len(END_OF_HEAD)]
        self.request, request.stream = request, self
        owner.state["requests_count"] += 1
        return True

    def forget(self) -> None:
        """Break reference cycles, so that nothing waits for the garbage collector.

        Sanic does so after each request, but not if a connection breaks off.
        """
        for part in (self.request, self.response):
            if part is not None:
                part.stream = None
        self.exception = None
        # Sanic's own types are those of the time in between.
        self.request = self.response = self.response_func = None  # type: ignore[assignment]

    async def _await_head(self) -> int:
        """Wait until the head is complete or too long; return the offset of its end, as far as it is known."""
        buffer, at = self.recv_buffer, 0
        if buffer.startswith(b"\r"):
            await self._skip_empty_lines()
        while (at := buffer.find(END_OF_HEAD, at)) == -1:
            at = max(0, len(buffer) - len(END_OF_HEAD) + 1)
            if at >= self.HEADER_MAX_SIZE:
                break
            await self._receive_more()
        return at

    async def _skip_empty_lines(self) -> None:
        """Remove empty lines before a request: some clients end the body before it with one."""
        buffer = self.recv_buffer
        for _ in range(_MOST_EMPTY_LINES):
            while buffer == _END_OF_LINE[: len(buffer)] and buffer != _END_OF_LINE:
                if not buffer:  # nothing has been requested yet
                    self.stage = Stage.IDLE
                    self._owner.rest()
                await self._receive_more()
            self.stage = Stage.REQUEST
            if not buffer.startswith(_END_OF_LINE):
                return
            del buffer[: len(_END_OF_LINE)]

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Send the head of a response, and the available part of its body.

        Like Sanic's, with three differences. A body of unknown length for HTTP/1.0 ends with the connection (RFC 9112
        section 6.3). A client that waits for 100 receives the response instead. The headers have a Date, and no
        Content-Type if none is known.
        """
        response = self.response
        if not data and (body := getattr(response, "body", None)):
            data, end_stream = body, True
        status: Any = response.status
        headers = response.headers
        if not isinstance(status, int) or status < _LEAST_STATUS:  # what a handler wrote
            raise RuntimeError(f"Invalid response status {status!r}")
        if self.expecting_continue:  # the body need not arrive any more
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
        if (access := self._owner.intake.access) is not None:
            note_answer(access, self.request, status, monotonic() - self._owner.asked)
        if not self._owner.write(answer):
            await self._send(answer)
        self.stage = Stage.IDLE if end_stream else Stage.RESPONSE

    def _frame(self, data: bytes, *, end_stream: bool) -> tuple[str, bytes]:
        """Choose the framing of a body; return its header lines, and the first part of the body."""
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
        """Remove the headers that a response without a body must not have."""
        headers = self.response.headers
        self.response_func = None  # type: ignore[assignment]
        if data or not end_stream or "content-length" in headers or "transfer-encoding" in headers:
            headers.pop("content-length", None)
            headers.pop("transfer-encoding", None)
            request = self.request
            LOG.warning(
                "%s %s: an answer with status %d has no body",
                request.method,
                request.path,
                self.response.status,
                extra=about_path(request.path),
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
        """Leave the body out of a response to HEAD. Sanic's own cannot be awaited, which streaming code does."""
        if end_stream:
            self.response_func = None  # type: ignore[assignment]
            self.stage = Stage.IDLE

    def break_off(self) -> None:
        """Abort a started response so that its client sees that it is incomplete (RFC 9112 section 8)."""
        if self.stage is Stage.IDLE:  # it is complete; the failure came after it
            return
        self.keep_alive = False
        self.stage = Stage.FAILED
        if self.response_func == self._send_until_close:
            self._owner.reset()  # the end of the connection would be the end of the response

    async def read(self) -> bytes | None:
        """Read a piece of the body; Sanic calls this until there is none."""
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
                await self._owner.intake.turns.wait()
            else:
                self._owner.wait_for_client()
                await self._receive_more()
        return bytes(piece)

    def take_body(self) -> bytes | None:
        """Return the body if it is complete, and the client does not wait for 100 Continue; else None: use `read`."""
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
        """Read received bytes; return whether more of them can be read.

        Raises:
            BadRequest: the body is not framed as declared.
            PayloadTooLarge: the body is too large.
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
        """Answer an error; if the connection ends with it, all further bytes are dropped."""
        await super().error_response(exception)
        if not self.keep_alive:
            self._give_up_body()

    def _give_up_body(self) -> None:
        """Stop reading a body: further bytes of it are dropped until the client has read its response."""
        self.keep_alive = False
        self.request_body = self.body = None
        self._owner.discard()
