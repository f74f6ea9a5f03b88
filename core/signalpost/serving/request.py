"""The request class of signalpost's Sanic apps: Sanic's own, with four of its holes filled."""

import re
from typing import Any

import orjson
from sanic.compat import Header
from sanic.exceptions import BadRequest
from sanic.models.protocol_types import TransportProtocol
from sanic.request import Request

_NO_PATH = b"*"
# Lines of token:value, without control characters, and in headers that frame a body without Unicode's blanks, which
# Sanic would strip.
_HEAD = re.compile(
    rb"[^\x00-\x1f\x7f]*"
    rb"(?:\r\n(?!(?i:content-length|transfer-encoding):[\t -~]*[\x80-\xff])"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+)*+"
)


class WebRequest(Request[Any, Any]):
    """Sanic's request, with four differences.

    * A head is lines of ``token:value`` and nothing else (RFC 9112 sections 2.2, 5.1 and 5.2, RFC 9110 section 5.5).
      Sanic takes ``Content-Length : 5``, a folded line and a bare line break for headers of other names, or for parts
      of a value: a proxy before it may see a body there, in which somebody else's request could be hidden.

    * A URL that cannot be parsed is answered. Sanic makes a second request of the same URL in order to say what is
      wrong with the first, fails again, and closes the connection with a traceback in the log.
    * ``GET http://host HTTP/1.1`` means its ``/`` (RFC 9112 section 3.2.2) instead of failing without a path.
    * JSON is read by orjson, as messages are: no ``NaN``, no lone surrogates.
    """

    __slots__ = ()

    _loads = staticmethod(orjson.loads)  # type: ignore[assignment]  # Sanic lets its type be guessed

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
    ) -> None:
        if method == "NONE" and not head:  # the stand-in that Sanic answers with when there is no request
            url_bytes = _NO_PATH
        if not _HEAD.fullmatch(head):
            raise BadRequest("Bad Request")
        super().__init__(url_bytes, headers, version, method, transport, app, head, stream_id)

    @property
    def path(self) -> str:
        """The path as it was asked for, percent-encoded."""
        raw: bytes | None = self._parsed_url.path
        return raw.decode("ascii") if raw else "/"
