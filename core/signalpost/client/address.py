"""Where a room is: a URL as a person writes it, and the URLs of its connections."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_OVER_HTTP = {"ws": "http", "wss": "https"}
_UNESCAPED = "/%:@!$&'()*+,;=~-._"
_AT = "at="


@dataclass(frozen=True, slots=True)
class Address:
    """Where a room is.

    Attributes:
        scheme: ``ws`` or ``wss``.
        authority: host and port, with a user and password if the URL has them.
        path: percent-encoded; begins with a slash.
        query: without a position; without the question mark.
        at: the position that the URL has; empty for none.
        host: with its port, for people: without a user and password.
    """

    scheme: str
    authority: str
    path: str
    query: str
    at: str
    host: str

    @property
    def secure(self) -> bool:
        """Whether TLS is used."""
        return self.scheme == "wss"

    def websocket(self, at: str) -> str:
        """Return the URL of a WebSocket.

        Args:
            at: the position to go on from; empty for none.
        """
        return self._url(f"{self.scheme}://{self.authority}", "" if not at else _AT + quote(at, safe=""))

    def events(self, base: str | None, at: str) -> str:
        """Return the URL of a stream of server-sent events.

        Args:
            base: such as ``https://host:port``; None is the same host and port.
            at: as in `websocket`.
        """
        base = base or f"{_OVER_HTTP[self.scheme]}://{self.authority}"
        return self._url(base, "v=1", "" if not at else _AT + quote(at, safe=""))

    def posts(self, base: str | None) -> str:
        """Return the URL to which messages are posted; the argument is that of `events`."""
        return self._url(base or f"{_OVER_HTTP[self.scheme]}://{self.authority}")

    def beside(self, path: str) -> str:
        """Return the URL of a page of the same host and port."""
        return f"{_OVER_HTTP[self.scheme]}://{self.authority}{path}"

    def _url(self, base: str, *more: str) -> str:
        query = "&".join(part for part in (self.query, *more) if part)
        return f"{base}{self.path}{f'?{query}' if query else ''}"


def parse_address(url: str, query: Mapping[str, str] | None = None) -> Address:
    """Read a URL.

    Args:
        url: of ``ws``, ``wss``, ``http`` (taken as ws) or ``https`` (taken as wss).
        query: more parameters behind those of the URL.

    Raises:
        ValueError: it is none; the text says what was probably meant.
    """
    url = url.strip()
    if "://" not in url:
        raise ValueError(f'"{url}" has no scheme; did you mean {_with_scheme(url)}?')
    split = urlsplit(url)
    scheme = _SCHEMES.get(split.scheme)
    if scheme is None:
        rest = url.partition("://")[2]
        raise ValueError(f'"{url}" has the scheme "{split.scheme}"; did you mean ws://{rest}? (known: ws, wss)')
    _check_host(url, split)
    parts = [part for part in split.query.split("&") if part]
    position = next((unquote(part[len(_AT) :]) for part in parts if part.startswith(_AT)), "")
    kept = [part for part in parts if not part.startswith(_AT)]
    return Address(
        scheme,
        split.netloc,
        quote(split.path, safe=_UNESCAPED) or "/",
        "&".join([*kept, *([urlencode(query)] if query else [])]),
        position,
        split.netloc.rpartition("@")[2],
    )


def _with_scheme(url: str) -> str:
    rest = url.lstrip("/")
    if not rest or (url.startswith("/") and not url.startswith("//")):
        return f"ws://localhost:8080/{rest}"
    return f"ws://{rest}"


def _check_host(url: str, split: SplitResult) -> None:
    try:
        port_is_known = split.port is None or True
    except ValueError:
        raise ValueError(f'"{url}" has a port that is no number from 0 to 65535') from None
    if not split.hostname or not port_is_known:
        raise ValueError(f'"{url}" names no host; write for example ws://localhost:8080/rooms/blue')
