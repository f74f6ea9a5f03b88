"""The addresses of endpoints, and the origins that may reach them, in canonical form."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from signalpost.websocket.head import DEFAULT_PORTS
from signalpost.words import quoted, suggestion

# RFC 1035 section 2.3.4, and underscores, which some networks have. Label by label: one expression for a whole name
# would try all ways to part it, and clients choose names.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_NAME = 253
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.]+")
_SCHEME_NAME = re.compile(r"[a-z][a-z0-9+.-]*")
_OPAQUE = frozenset({"null", "file://"})  # of pages without a host


def parse_address(text: str) -> str:
    """Check an endpoint's address: an IPv4 or IPv6 address, a host name, or ``*``.

    Raises:
        ValueError: with one line that says what is allowed.
    """
    if text == "*":
        return text
    if "://" in text:
        raise ValueError(f"{quoted(text)} is a URL; an address is only its host, as in 127.0.0.1")
    if text.startswith("["):
        raise ValueError(f"{quoted(text)}: an IPv6 address stands here without brackets, as in ::1")
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        raise ValueError(f'{quoted(text)} holds a port; write address: "{host}" and port: {port}')
    if _LOOKS_LIKE_IPV4.fullmatch(text) or not _is_host_name(text):
        raise ValueError(
            f"{quoted(text)} is no address (allowed: an IPv4 or IPv6 address, a host name, or * for all IPv4)"
        )
    return text.lower()


def parse_origin(text: str) -> str:
    """Convert an origin to the form of browsers (RFC 6454 section 6.1): lower case, no default port.

    ``null`` and ``file://`` are unchanged.

    Raises:
        ValueError: with one line that says what is allowed.
    """
    if text.lower() in _OPAQUE:
        return text.lower()
    if text.lower().startswith("file:"):
        raise ValueError(f'{quoted(text)}: browsers do not tell files apart: write "file://" or "null", or both')
    if "*" in text:
        raise ValueError(f"{quoted(text)}: origins have no wildcard; list each as scheme://host[:port]")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{quoted(text)} is no origin (allowed: scheme://host[:port])") from None
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if not parts.netloc or not host or not _SCHEME_NAME.fullmatch(scheme):
        meant = suggestion(f"https://{text}" if _is_host_name(text.partition(":")[0]) else None)
        raise ValueError(f"{quoted(text)} is no origin{meant} (allowed: scheme://host[:port])")
    shown = f"[{host}]" if ":" in host else host
    origin = f"{scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS.get(scheme)) else f":{port}")
    if "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        raise ValueError(f'{quoted(text)} is more than an origin: write "{origin}"')
    if not origin.isascii() or not origin.isprintable() or " " in origin:
        raise ValueError(f"{quoted(text)}: write a host name as browsers send it, in ASCII (xn--…)")
    return origin


def parse_host(text: str) -> str:
    """Convert a host name of an endpoint to the form for comparison: lower case, no dot at its end.

    Args:
        text: ``app.example.com``, or ``*.example.com`` for every name below that one.

    Raises:
        ValueError: with one line that says what is allowed.
    """
    allowed = "(allowed: a host name, or *. and a name for all names below it)"
    if "://" in text:
        name = urlsplit(text).hostname or "app.example.com"
        raise ValueError(f"{quoted(text)} is a URL; a host is only its name: write {quoted(name)}")
    name = text.removeprefix("*.")
    if name == "*":
        raise ValueError(f'"*" would accept every name, even those of DNS rebinding; list each {allowed}')
    host, colon, port = name.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        raise ValueError(
            f"{quoted(text)} holds a port; a host is only its name: write {quoted(text[: -len(port) - 1])}"
        )
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(f"{quoted(text)}: IP addresses are always answered; leave it out")
    if not name.isascii():
        raise ValueError(f"{quoted(text)}: write a host name as browsers send it, in ASCII (xn--…)")
    if _LOOKS_LIKE_IPV4.fullmatch(name) or not _is_host_name(name):
        raise ValueError(f"{quoted(text)} is no host name {allowed}")
    return text.removesuffix(".").lower()


def _is_host_name(text: str) -> bool:
    """Return whether a text is a host name, perhaps with the root's dot at its end."""
    name = text.removesuffix(".")
    return len(name) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, name.split(".")))


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return what one machine has: its address; of IPv6 the network of 64 bits, whose addresses are all its own."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else found
    return found.packed[:8].hex(":", 2) if mapped is None else str(mapped)
