"""The request class of signalpost's Sanic apps: Sanic's own, with three of its holes filled."""

from typing import Any

import orjson
from sanic.compat import Header
from sanic.models.protocol_types import TransportProtocol
from sanic.request import Request

_NO_PATH = b"*"


class WebRequest(Request[Any, Any]):
    """Sanic's request, with three differences.

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
        super().__init__(url_bytes, headers, version, method, transport, app, head, stream_id)

    @property
    def path(self) -> str:
        """The path as it was asked for, percent-encoded."""
        raw: bytes | None = self._parsed_url.path
        return raw.decode("ascii") if raw else "/"
