"""Header fields and queries as handlers and templates see them: by name."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_COOKIE = "cookie"
_MOST_PARAMETERS = 100


def decode_field(value: bytes) -> str:
    """Read a header field: UTF-8 if it is that, which is what programs write today, else Latin-1, as HTTP began."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def origin_form(target: str) -> str:
    """Return the path and query of what a request line asks for: ``/who`` of ``http://host/who`` (RFC 9112 3.2.2)."""
    if target.startswith("/"):
        return target
    authority = _AUTHORITY.match(target)
    rest = target if authority is None else target[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def join_fields(fields: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return header fields by lower-case name.

    A field that stands several times is one list, in its order (RFC 9110 section 5.3), and of cookies one line
    (RFC 9113 section 8.2.3). Showing the first alone would show what a client claims, and hide what a proxy adds:
    ``x-forwarded-for: 6.6.6.6`` and ``X-Forwarded-For: 10.0.0.7`` are ``6.6.6.6, 10.0.0.7``.

    Args:
        fields: names and values as they came.

    """
    joined: dict[str, str] = {}
    for name, value in fields:
        key, text = name.lower(), value.strip(" \t")
        before = joined.get(key)
        joined[key] = text if before is None else f"{before}{'; ' if key == _COOKIE else ', '}{text}"
    return joined


def read_query(text: str) -> Mapping[str, str]:
    """Return the first value of each parameter of a query, percent-decoded; what has no value is empty.

    A template may ask for it with every message, so a hundred parameters are read, and no more.

    Args:
        text: the query as asked for, without the question mark.

    """
    return {name: values[0] for name, values in query_values(text).items()} if text else {}


def query_values(text: str) -> dict[str, list[str]]:
    """Return all values of each parameter of a query; otherwise as `read_query`."""
    read = "&".join(text.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS])
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(read, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
