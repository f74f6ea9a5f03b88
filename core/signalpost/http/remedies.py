"""Advice on how to allow what was rejected: for the log, and for the operator of the server."""

from collections.abc import Collection
from http import HTTPStatus

from sanic.request import Request

from signalpost.config.addresses import parse_origin
from signalpost.config.model import EndpointConfig
from signalpost.edge.forwarded import PublicView
from signalpost.signals.admission import IdentityRejection
from signalpost.websocket.handshake import OPAQUE_ORIGINS, Authority, HandshakeRejection, read_authority, read_origin
from signalpost.words import cut

_LONGEST = 101
_HTTP_1_1 = "if a proxy is in front, let it speak HTTP/1.1 (nginx: proxy_http_version 1.1)"
_UPGRADE = (
    "if a proxy is in front, let it pass the upgrade on (nginx: proxy_http_version 1.1; "
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade)"
)
_HOST = "if a proxy is in front, let it pass the Host header on (nginx: proxy_set_header Host $http_host)"


def shown(text: str) -> str:
    """Return untrusted text in one line of ASCII."""
    return '"' + cut(text, _LONGEST).encode("unicode_escape").decode("ascii") + '"'


def let_in_origin(origin: str, asked: Authority, listed: Collection[str]) -> str:
    """Return how to allow the pages of an origin; empty for an invalid origin.

    Args:
        origin: as it was sent.
        asked: the requested host and port.
        listed: the endpoint's ``origins``.
    """
    try:
        entry = parse_origin(origin)
    except ValueError:
        return ""
    read = read_origin(origin)
    if len(entry) > 2 * _LONGEST or (read is None and entry not in OPAQUE_ORIGINS):
        return ""
    beside = " beside those that are there" if listed else ""
    if read is None:
        what = "a file" if entry == "file://" else "a file, a sandboxed frame or a data: URL, of anybody's"
        return f'if it is yours, write origins: ["{entry}"]{beside}, which lets in every page that is {what}'
    remedy = f"if it is yours, write origins: [{entry}]{beside}"
    if read[1] != asked[0]:
        return f"{remedy}; {_HOST}"
    return f"{remedy}, as for the port of a development server" if asked[1] != read[2] else remedy


def open_handshake(
    refusal: HandshakeRejection,
    request: Request,
    endpoint: EndpointConfig | None,
    served: Collection[EndpointConfig],
    limit: int,
) -> str:
    """Return what to write, or do, so that a handshake is answered with a 101; empty if nothing helps.

    Args:
        refusal: of the handshake.
        request: of the handshake.
        endpoint: that received it; None if its port has none for WebSockets.
        served: all endpoints of the app.
        limit: ``limits.connections``.
    """
    if endpoint is None:
        return _elsewhere(served)
    match refusal.status:
        case HTTPStatus.FORBIDDEN if not isinstance(refusal, IdentityRejection):
            view: PublicView | None = getattr(request, "public", None)
            host = read_authority(request.headers.get("host", "")) if view is None else view.authority
            return let_in_origin(request.headers.get("origin", "").strip(), host, endpoint.origins)
        case HTTPStatus.NOT_FOUND:
            return f"if clients are to connect there, write {{path: {shown(request.path)}}} under signals"
        case HTTPStatus.SERVICE_UNAVAILABLE if "connections" in refusal.detail:
            return f"limits.connections is {limit}"
        case HTTPStatus.UPGRADE_REQUIRED if "upgrade" in refusal.headers:
            return _UPGRADE
        case HTTPStatus.BAD_REQUEST if request.version != "1.1":
            return _HTTP_1_1
        case HTTPStatus.BAD_REQUEST if "Connection" in refusal.detail:
            return _UPGRADE
    return ""


def _elsewhere(served: Collection[EndpointConfig]) -> str:
    sockets = [f"{each.name} has port {each.port}" for each in served if each.serves_sockets]
    if not sockets:
        return "the app has no ws or wss endpoint"
    return f"WebSockets are elsewhere ({', '.join(sockets)}): send them there, or give both endpoints one port"
