"""Where an app's signals are, for its pages: these may have to connect to another port than their own."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from signalpost.config.model import EndpointConfig, Fallback
from signalpost.websocket.handshake import read_authority

PATH = "/.well-known/signalpost"
"""Path of the response (RFC 8615), unless the app has its own route there."""

_HERE = None  # the address that the page itself came from


def whereabouts(
    host: str, page: EndpointConfig, endpoints: Iterable[EndpointConfig], *, proxied: bool = False
) -> dict[str, Any]:
    """Return where signals are for a page that requested `host`.

    If the port of Host is not that of the endpoint, something such as a proxy is in front, and its ports are unknown:
    signals are then at the address of the page. The same holds if both share a port.

    Args:
        host: the header of the page's request.
        page: the endpoint that received it.
        endpoints: all that listen, with their actual ports.
        proxied: whether a trusted proxy is known to be in front, whatever the port is.

    Returns:
        ``url``, the best endpoint for WebSockets, and ``endpoints``, all of those by name, as ``ws://host:port``; and
        ``sse``, the best one for event streams, if there is one. Null stands for the page's own address. Endpoints on a
        loopback address are only returned for requests to a loopback address.
    """
    name, port = read_authority(host)
    inside = is_loopback(name) or is_loopback(page.address)
    direct = not proxied and bool(name) and (port or page.scheme.default_port) == page.port
    found = sorted(
        (each for each in endpoints if each.signals and (inside or not is_loopback(each.address))),
        key=lambda each: (each.port != page.port, each.scheme.secure != page.scheme.secure),
    )
    # Only a proxy connects to a Unix socket, and it stands before the page, too.
    urls = {each.name: each.url_at(name) if direct and each.port not in {page.port, 0} else _HERE for each in found}
    sockets = {each.name: urls[each.name] for each in found if each.serves_sockets}
    streams = [urls[each.name] for each in found if Fallback.SSE in each.fallbacks]
    told = {"url": next(iter(sockets.values()), _HERE), "endpoints": sockets}
    return {**told, "sse": streams[0]} if streams else told


def is_loopback(name: str) -> bool:
    """Return whether a name or address is this machine's alone."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
