"""The answers of endpoints that redirect to another one.

Only the protocol and the port are changed. The host is the one that the client asked for: no browser lets a page choose
it, and the guard has judged it. It is written from its parts, so that nothing of a hostile Host or address gets into
the answer. No cache keeps the answer: another client may ask by another host, and the next file may say otherwise.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from sanic.request import Request

from signalpost.config.model import EndpointConfig
from signalpost.http.guard import Redirect, hosts_of
from signalpost.http.publichost import public_host
from signalpost.websocket.handshake import HandshakeRejection, read_authority, read_host

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")  # RFC 1123 section 2.1, and names of containers
_ADDRESS = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*")
_ANY_PATH = "*"  # RFC 9110 section 9.3.7
_KEPT = "%/:?@!$&'()*+,;=~"  # RFC 3986 section 3.3; what is escaped already stays so


def redirect_to(target: Callable[[], EndpointConfig | None]) -> Redirect:
    """Return what answers the requests of an endpoint that redirects.

    Args:
        target: returns the endpoint that serves, with its actual port; None while a reload replaces it.
    """

    def answer(request: Request[Any, Any]) -> HandshakeRejection:
        endpoint = target()
        if endpoint is None:
            return HandshakeRejection(503, "The server has changed meanwhile; try again in a while.")
        where = location(request, endpoint)
        if where is None:
            return HandshakeRejection(400, "This address redirects, and the request does not name the host to go to.")
        # 308 and not 301: the method and the body stay, of a POST, too (RFC 9110 section 15.4.9).
        return HandshakeRejection(HTTPStatus.PERMANENT_REDIRECT, "", {"location": where, "cache-control": "no-store"})

    return answer


def location(request: Request[Any, Any], endpoint: EndpointConfig) -> str | None:
    """Return the URL of a request at another endpoint; None if it names no host, an invalid one, or two."""
    name, _ = read_authority(public_host(request))
    if not (_NAME.fullmatch(name) or _ADDRESS.fullmatch(name)):
        return None
    if any(read_host(host) != name for host in hosts_of(request)):
        return None
    path = "/" if request.path == _ANY_PATH else request.path
    if not path.startswith("/"):
        return None
    query = request.query_string
    return f"{endpoint.url_at(name)}{quote(path, safe=_KEPT)}{f'?{quote(query, safe=_KEPT)}' if query else ''}"
