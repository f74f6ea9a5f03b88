"""What only the server may say: a client's message that plain clients could not tell from an error of the server's.

Plain clients read a value as it is. ``{"error": {"code": "handler-failed"}}`` as a message of a client's would be, to
them, the server speaking. Clients of ``signalpost.v1`` read what others send in an envelope, and take no value for the
server's; but a raw frame reaches them as it is, and could be an envelope or a notice.
"""

import re
from typing import Any

import orjson

from signalpost.errors import ErrorCode

_CODES = frozenset(code.value for code in ErrorCode)
_ERROR_KEYS = frozenset({"code", "pointer", "detail"})
_MAYBE_MAPPING = frozenset("{ \t\r\n\ufeff")  # what the text of a mapping can begin with, white space included
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
    """Return whether a value is, as JSON or text, a mapping with one key, ``error``, and a code of the server's."""
    if type(value) is dict:
        return len(value) == 1 and _is_error(value)
    if type(value) is str:
        return value[:1] in _MAYBE_MAPPING and text_looks_like_an_error(value)
    return False


def text_looks_like_an_error(text: str) -> bool:
    """Tell it of text; only what may be such a mapping is read."""
    text = text.strip(_SPACE)
    if not text.startswith("{") or not text.endswith("}") or ("error" not in text and "\\u" not in text):
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Others read what orjson does not: lone surrogates, and whatever is nested deeper than it goes.
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
        # Codes of plugins' own are known by what stands beside them: the server says all of it, always.
        and (code in _CODES or error.keys() >= _ERROR_KEYS)
    )
