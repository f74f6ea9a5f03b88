"""The key ``headers`` of endpoints and routes."""

import re
from collections.abc import Container

from signalpost.config.actions import has_template
from signalpost.config.section import Section
from signalpost.words import quoted

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110 section 5.6.2)."""

# Headers that frame a response or belong to its connection, and those computed for each response.
_OURS = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "content-range", "date", "etag", "last-modified"),
    }
)


def read_headers(section: Section) -> tuple[tuple[str, str], ...]:
    """Read headers: names in lower case with their texts; an empty text omits the header."""
    found: dict[str, str] = {}
    for name, text in section.mapping("headers").items():
        fault = header_fault(name, text, found)
        if fault:
            section.report.add((*section.keys, "headers", name), fault)
        elif isinstance(text, str):
            found[name.lower()] = text
    return tuple(found.items())


def header_fault(name: str, text: object, found: Container[str]) -> str:
    """Return why a header cannot be sent; empty if it can.

    Args:
        name: of the header.
        text: of the header.
        found: those before it, by name in lower case.
    """
    if not TOKEN.fullmatch(name):
        return f"{quoted(name)} is no name of a header (allowed: letters, digits and -)"
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        return f"the server sets {name.lower()} itself: leave it out"
    if name.lower() in found:
        return f"{name} stands here twice: names of headers have no case"
    if not isinstance(text, str):
        return ""  # reported already
    if not text.isascii() or not text.isprintable():
        return "a header is one line of ASCII, without control characters"
    if text.strip() != text:
        return "a header's text has no spaces at its ends"
    if has_template(text):
        return "headers here have no templates; the action respond takes some"
    return ""
