"""Forged errors: a client's message that plain clients could not distinguish from an error of the server.

Plain clients receive a value as it is: they would read a client's ``{"error": {"code": "handler-failed"}}`` as an error
of the server. Clients of ``signalpost.v1`` receive values in an envelope, so no value looks like the server's; but a
raw frame reaches them as it is, and could be an envelope or a notice.
"""

import re
from typing import Any

import orjson

from signalpost.errors import ErrorCode

_CODES = frozenset(code.value for code in ErrorCode)
_ERROR_KEYS = frozenset({"code", "pointer", "detail"})
_MAYBE_MAPPING = frozenset("{ \t\r\n\ufeff")  # how the text of a mapping can begin, white space included
_ENVELOPES = {
    "signal": frozenset({"path", "value"}),
    "welcome": frozenset({"clientId", "path"}),
    "bye": frozenset({"retry_ms"}),
    "lagged": frozenset({"missed"}),
    "alive": frozenset(),
}
_FIRST_ENVELOPE = re.compile(rf'\{{[ \t\r\n]*"({"|".join(_ENVELOPES)})"[ \t\r\n]*:[ \t\r\n]*\{{')
_ESCAPES = "\\u"
_SPACE = " \t\r\n\ufeff"
_FIRST_KEY = re.compile(r'\{[ \t\r\n]*"error"[ \t\r\n]*:')
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")


def looks_like_an_error(value: Any) -> bool:
    """Return whether a value is, as JSON or text, a mapping with one key, ``error``, and one of the server's codes."""
    if type(value) is dict:
        return len(value) == 1 and _is_error(value)
    if type(value) is str:
        return value[:1] in _MAYBE_MAPPING and text_looks_like_an_error(value)
    return False


def text_looks_like_an_error(text: str) -> bool:
    """Return the same for text; only text that may be such a mapping is parsed."""
    text = text.strip(_SPACE)
    if not text.startswith("{") or not text.endswith("}") or ("error" not in text and "\\u" not in text):
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Clients parse what orjson does not: lone surrogates, and values nested deeper than its limit.
        text = _unescaped(text)
        return _FIRST_KEY.match(text) is not None and any(f'"{code}"' in text for code in _CODES)
    return type(value) is dict and len(value) == 1 and _is_error(value)


def frame_looks_like_the_server_s(text: str) -> bool:
    """Return whether a raw frame is what the server itself sends to plain clients, or to those of ``signalpost.v1``."""
    if text_looks_like_an_error(text):
        return True
    if _ESCAPES not in text and not any(name in text for name in _ENVELOPES):
        return False
    text = text.strip(_SPACE)
    if not text.startswith("{") or not text.endswith("}"):
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # as above
        text = _unescaped(text)
        first = _FIRST_ENVELOPE.match(text)
        return first is not None and all(f'"{key}"' in text for key in _ENVELOPES[first[1]])
    if type(value) is not dict or len(value) != 1:
        return False
    ((name, body),) = value.items()
    return type(body) is dict and _ENVELOPES.get(name) == body.keys()


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _is_error(value: dict[str, Any]) -> bool:
    error = value.get("error")
    return (
        type(error) is dict
        and isinstance(code := error.get("code"), str)
        # Codes of plugins are recognised by the keys beside them, which only the server sends.
        and (code in _CODES or error.keys() >= _ERROR_KEYS)
    )
