"""Header fields and queries as handlers and templates see them: by name."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_COOKIE = "cookie"
_MOST_PARAMETERS = 100


def decode_field(value: bytes) -> str:
    """Decode a header field: as UTF-8, which programs write today, if valid, else as Latin-1, HTTP's original."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def origin_form(target: str) -> str:
    """Return the path and query of a request target: ``/who`` for ``http://host/who`` (RFC 9112 3.2.2)."""
    if target.startswith("/"):
        return target
    authority = _AUTHORITY.match(target)
    rest = target if authority is None else target[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def join_fields(fields: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return header fields by lower-case name.

    A repeated field is one list, in its order (RFC 9110 section 5.3), and cookies are one line (RFC 9113 section
    8.2.3). The first alone would show what a client claims, and hide what a proxy adds: ``x-forwarded-for: 6.6.6.6``
    and ``X-Forwarded-For: 10.0.0.7`` are ``6.6.6.6, 10.0.0.7``.

    Args:
        fields: names and values as received.
    """
    joined: dict[str, str] = {}
    for name, value in fields:
        key, text = name.lower(), value.strip(" \t")
        before = joined.get(key)
        joined[key] = text if before is None else f"{before}{'; ' if key == _COOKIE else ', '}{text}"
    return joined


def read_query(text: str) -> Mapping[str, str]:
    """Return the first value of each parameter of a query, percent-decoded; a parameter without a value is empty.

    A template may read it for every message, so at most a hundred parameters are parsed.

    Args:
        text: the query as requested, without the question mark.
    """
    return {name: values[0] for name, values in query_values(text).items()} if text else {}


def query_values(text: str) -> dict[str, list[str]]:
    """Return all values of each parameter of a query; otherwise as `read_query`."""
    read = "&".join(text.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS])
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(read, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
