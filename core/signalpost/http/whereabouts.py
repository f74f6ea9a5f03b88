"""Where an app's WebSockets are, as pages ask: they come from one port, and may have to go to another."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from signalpost.config.model import EndpointConfig
from signalpost.websocket.handshake import read_authority

PATH = "/.well-known/signalpost"
"""Where it is told (RFC 8615), unless a route of the app's own is there."""

_HERE = None  # the address that the page itself came from


def whereabouts(host: str, page: EndpointConfig, endpoints: Iterable[EndpointConfig]) -> dict[str, Any]:
    """Return where WebSockets are for a page that asked for `host`.

    Where the port of Host is not that of the endpoint, something is in front, such as a proxy, and where it has its
    WebSockets is its own affair: at the address that the page came from. So they are where both share a port.

    Args:
        host: the header of the page's request.
        page: the endpoint that it came to.
        endpoints: all that listen, with the ports that they really have.

    Returns:
        ``url``, the best one of them, and ``endpoints``, all by name, as ``ws://host:port``; null stands for the page's
        own address. What listens on a loopback address is told only to who asks by one, or at one.

    """
    name, port = read_authority(host)
    inside = is_loopback(name) or is_loopback(page.address)
    direct = bool(name) and (port or page.scheme.default_port) == page.port
    found = sorted(
        (each for each in endpoints if each.scheme.websocket and (inside or not is_loopback(each.address))),
        key=lambda each: (each.port != page.port, each.scheme.secure != page.scheme.secure),
    )
    # At a Unix socket nobody but a proxy asks, which stands before the page, too.
    urls = {each.name: each.url_at(name) if direct and each.port not in {page.port, 0} else _HERE for each in found}
    return {"url": next(iter(urls.values()), _HERE), "endpoints": urls}


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's alone."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
