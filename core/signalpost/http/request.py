"""The request class of signalpost's Sanic apps: Sanic's own, with the differences listed below."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sanic.compat import Header
from sanic.exceptions import BadRequest, ServerError
from sanic.models.protocol_types import TransportProtocol
from sanic.request import Request, RequestParameters
from sanic.response import BaseHTTPResponse, HTTPResponse

from signalpost.auth.identity import GUEST, Identity
from signalpost.edge.forwarded import PublicView
from signalpost.fields import decode_field, join_fields
from signalpost.http.answer import check_answer
from signalpost.http.errorpages import harden
from signalpost.http.known import LONGEST
from signalpost.jsontext import load
from signalpost.websocket.handshake import is_upgrade

_NO_PATH = b"*"
# Lines of token:value without control characters; headers that frame a body also without Unicode's blanks, which Sanic
# would strip.
_HEAD = re.compile(
    rb"[^\x00-\x1f\x7f]*"
    rb"(?:\r\n(?!(?i:content-length|transfer-encoding):[\t -~]*[\x80-\xff])"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+)*+"
)


_LINE = re.compile(rb"[\x20-\x7e]*")
_END_OF_LINE = b"\r\n"
# A host and a port, or nothing if the request is for no host (RFC 9112 section 3.2).
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][\s:/?#@,\\]*)(:[0-9]*)?")
_CHUNKED = "chunked"
_SINGLE = frozenset({"host", "origin", "content-length", "sec-websocket-key", "sec-websocket-version"})
_WITHOUT_HOST = ("1.0", "0.9")


class WebRequest(Request[Any, Any]):
    """Sanic's request, with eleven differences.

    * A head is lines of ``token:value`` and nothing else (RFC 9112 sections 2.2, 5.1 and 5.2, RFC 9110 section 5.5).
      Sanic reads ``Content-Length : 5``, a folded line and a bare line break as headers of other names, or as parts
      of a value: a proxy before it may see a body there, in which somebody else's request could be hidden.
    * There is one Host, and it is a name or an address (RFC 9112 section 3.2): a proxy may have used another one.
    * A body is framed in one way (RFC 9112 section 6.1): Transfer-Encoding is ``chunked``, in whatever case, once, from
      HTTP/1.1, and without a Content-Length. Sanic accepts it from HTTP/1.0, too, where a proxy sees no body.
    * A URL that cannot be parsed is answered. Sanic creates a second request of the same URL to report what is
      wrong with the first, fails again, and closes the connection with a traceback in the log.
    * ``GET http://host HTTP/1.1`` means its ``/`` (RFC 9112 section 3.2.2) instead of failing without a path.
    * All values of a repeated field are seen, not only the first one.
    * Header fields are decoded as UTF-8, else as Latin-1, and never contain lone surrogates.
    * A parameter or form field without a value is empty instead of missing.
    * Client, scheme and host are those that a trusted proxy reports (`signalpost.edge.forwarded`), and nobody else.
    * The results of a route's schemas are stored: `document`, its body, and `typed_query`, its query parameters.
    * It has the identity of who has sent it.
    * JSON is parsed like that of messages: no ``NaN``, no lone surrogates, and limited in size.
    """

    __slots__ = ("document", "identity", "is_private", "path", "public", "typed_query")

    path: str  # as requested, percent-encoded; Sanic's own parses it each time

    identity: Identity  # of who has sent it
    is_private: bool  # the answer is for that identity alone
    document: Any
    typed_query: Mapping[str, Any] | None
    public: PublicView | None  # what a trusted proxy says of it

    _loads = staticmethod(load)  # type: ignore[assignment]  # Sanic lets its type be guessed

    def __init__(  # noqa: PLR0917 - as Sanic has it
        self,
        url_bytes: bytes,
        headers: Header,
        version: str,
        method: str,
        transport: TransportProtocol,
        app: Any,
        head: bytes = b"",
        stream_id: int = 0,
        *,
        plain: bool = False,
    ) -> None:
        if method == "NONE" and not head:  # the stand-in for which Sanic answers when there is no request
            url_bytes = _NO_PATH
        if not plain and not is_plain(head):
            _judge(head, headers, version)
        super().__init__(url_bytes, headers, version, method, transport, app, head, stream_id)
        raw: bytes | None = self._parsed_url.path
        self.path = raw.decode("ascii") if raw else "/"
        self.document = self.typed_query = self.public = None
        self.identity, self.is_private = GUEST, False

    @property
    def ip(self) -> str:
        """The client's address; empty if it is unknown."""
        return super().ip if self.public is None else self.public.peer[0]

    @property
    def port(self) -> int:
        """The client's port; 0 if it is unknown."""
        return super().port if self.public is None else self.public.peer[1]

    @property
    def forwarded(self) -> dict[str, Any]:
        """What a trusted proxy says: Sanic's `remote_addr`, `scheme`, `host`, `server_port` and `url` follow it."""
        public = self.public
        if public is None:
            return {}
        said = {"for": public.peer[0], "proto": public.scheme, "host": public.host, "port": public.port}
        return {name: value for name, value in said.items() if value}

    async def receive_body(self) -> None:
        """Read the body; at once if it is complete, as most short ones are."""
        take = getattr(self.stream, "take_body", None)  # Sanic's own streams have none
        body = None if self.body or take is None else take()
        if body is None:
            await super().receive_body()  # type: ignore[no-untyped-call]
        else:
            self.body = body

    def answers_with(self, response: HTTPResponse) -> bool:
        """Choose the response, as `respond` does; return False if one is chosen already."""
        stream = self.stream
        if self.responded or self._response_middleware_started or stream is None or stream.response is not None:
            return False
        stream.respond(response)
        self._response_middleware_started = self.responded = True
        harden(self, response)
        return True

    async def respond(
        self,
        response: BaseHTTPResponse | None = None,
        *,
        status: int = 200,
        headers: Header | dict[str, str] | None = None,
        content_type: str | None = None,
    ) -> Any:
        """Choose the response; its headers are then complete (`harden`), and nothing is sent yet.

        Sanic's own leaves that to its middleware, which costs a tenth of a request.

        Raises:
            ServerError: one is chosen already.
        """
        stream = self.stream
        if stream is not None and getattr(stream, "response", None):
            raise ServerError("Second respond call is not allowed.")
        if response is None:
            response = HTTPResponse(status=status, headers=headers, content_type=content_type)
        if isinstance(response, BaseHTTPResponse):
            check_answer(response)
            if stream is not None:
                connected: Any = stream.respond(response)
                response = connected if isinstance(connected, BaseHTTPResponse) else await connected
        if not self._response_middleware_started:
            self._response_middleware_started = True
            harden(self, response)
        self.responded = True
        return response

    def reset_response(self) -> None:
        """Discard the chosen response: the headers of its replacement are completed, too.

        Raises:
            ServerError: a part of it has been sent.
        """
        super().reset_response()
        self._response_middleware_started = False

    def get_args(self, keep_blank_values: bool = True, *others: Any, **named: Any) -> RequestParameters:
        """Return the values of each parameter of the query."""
        return super().get_args(keep_blank_values, *others, **named)

    args = property(get_args)

    def get_form(self, keep_blank_values: bool = True) -> RequestParameters | None:
        """Return the fields of a form."""
        return super().get_form(keep_blank_values)

    def get_query_args(self, keep_blank_values: bool = True, *others: Any, **named: Any) -> list[tuple[str, str]]:
        """Return the parameters of the query, one after the other."""
        return super().get_query_args(keep_blank_values, *others, **named)

    query_args = property(get_query_args)


def is_plain(head: bytes) -> bool:
    """Return whether a head is like nearly all: printable, each field once, with a Host, and framed by its length."""
    line, end, fields = head.partition(_END_OF_LINE)
    return bool(end) and len(fields) <= LONGEST and _LINE.fullmatch(line) is not None and _are_plain(fields)


@lru_cache(maxsize=256)
def _are_plain(fields: bytes) -> bool:
    """Return whether fields are like those of nearly all requests: most clients send the same ones again and again."""
    if not fields.isascii() or not _HEAD.fullmatch(_END_OF_LINE + fields):
        return False
    names = [line.partition(b":")[0].lower() for line in fields.split(_END_OF_LINE)]
    if len(set(names)) < len(names) or b"transfer-encoding" in names or b"host" not in names:
        return False
    host = fields.split(_END_OF_LINE)[names.index(b"host")].partition(b":")[2]
    return _HOST.fullmatch(host.decode("ascii").strip()) is not None


def _judge(head: bytes, headers: Header, version: str) -> None:
    """Validate a head, and convert its fields to their final form; see `WebRequest`.

    Raises:
        BadRequest: it is invalid.
    """
    if not _HEAD.fullmatch(head) or (head and not _has_one_host(headers, version)):
        raise BadRequest("Bad Request")
    if "transfer-encoding" in headers:
        _check_framing(headers, version)
    if len(set(headers)) < len(headers):
        _join(headers)
    if not head.isascii():
        for name, value in tuple(headers.items()):
            if not value.isascii():  # Sanic decodes invalid UTF-8 to lone surrogates, which no response can contain
                headers[name] = decode_field(value.encode(errors="surrogateescape"))


def _join(headers: Header) -> None:
    """Join repeated fields, so that ``headers.get`` does not return only the first (see `join_fields`).

    Fields that must not be repeated stay separate; they are checked elsewhere.
    """
    for name, value in join_fields(headers.items()).items():
        if name not in _SINGLE:
            headers[name] = value


def _check_framing(headers: Header, version: str) -> None:
    """Check how a body is framed, and write ``chunked`` as Sanic expects it.

    Raises:
        BadRequest: it is framed in another way, or ambiguously.
    """
    codings = headers.getall("transfer-encoding")
    chunked = [coding.strip(" \t").lower() for coding in codings] == [_CHUNKED]
    # Chunks behind a handshake could be read as frames by an intermediary: reject them without waiting for the body.
    if not chunked or version != "1.1" or "content-length" in headers or is_upgrade(headers):
        raise BadRequest("Bad Request")
    headers["transfer-encoding"] = _CHUNKED


def _has_one_host(headers: Header, version: str) -> bool:
    hosts = headers.getall("host", [])
    if not hosts:
        return version in _WITHOUT_HOST
    return len(hosts) == 1 and _is_host(hosts[0])


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text.strip()) is not None
