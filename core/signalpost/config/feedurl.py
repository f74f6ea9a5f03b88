"""The URL of a feed, and what is sent there; without what reading YAML needs, since plugins' bindings use it, too."""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson

from signalpost.config.model import Scheme

NO_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
"""A character that a token, such as a subprotocol, must not contain (RFC 9110 section 5.6.2)."""

_SOCKETS = {Scheme.HTTP: Scheme.WS, Scheme.HTTPS: Scheme.WSS}
_FORM = "wss://feed.example.com/ticker"


def parse_url(text: str) -> str:
    """Return the URL of a WebSocket server.

    Raises:
        ValueError: it is none, or not one of a WebSocket.
    """
    if "{{" in text or "{%" in text:
        raise ValueError("url is read once, so it has no templates; a secret or a variable may stand for it")
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("an address has no blanks and no control characters: write %20 for a blank")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port cannot be read (allowed: {_FORM}, with a port from 1 to 65535)") from None
    scheme = parts.scheme.lower()
    if scheme not in (Scheme.WS, Scheme.WSS):
        if scheme in _SOCKETS:
            meant = _SOCKETS[Scheme(scheme)].value
            raise ValueError(f"a feed is a WebSocket: begin with {meant}://, not with {scheme}://")
        raise ValueError(f"a feed's address begins with ws:// or wss://, as in {_FORM}")
    if not parts.hostname:
        raise ValueError(f"it names no host (allowed: {_FORM})")
    if port == 0:
        raise ValueError("port 0 is no server's (allowed: 1 to 65535)")
    if parts.fragment or text.endswith("#"):
        raise ValueError("what follows # is never sent to a server: leave it out")
    return text


def shown_url(url: str) -> str:
    """Return a URL without user, password and query, which may be secret: ``wss://feed.example.com/ticker``.

    Where a whole address was masked (``!secret feed``), it stays so.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in (Scheme.WS, Scheme.WSS):
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself, as far as its name says."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def message_text(value: Any) -> str:
    """Return the text of a message to a feed: a text as it is, anything else as compact JSON.

    Raises:
        TypeError: it is not JSON.
    """
    return value if isinstance(value, str) else orjson.dumps(value).decode()
