"""The value of an unquoted word of YAML: by the core schema of YAML 1.2 (section 10.3), not PyYAML's YAML 1.1.

So ``on``, ``off``, ``yes`` and ``no`` are text, as are ``12:30:00`` (45000 in YAML 1.1), ``2026-01-31`` and ``1_000``.
"""

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BASES = {"0o": 8, "0x": 16}
# More digits than 64 bits need in any base, and few enough for a fast int().
_LONGEST_INTEGER = 64


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted scalar.

    Raises:
        ValueError: it is a number that JSON or 64 bits cannot represent, so that it could not be sent to clients.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number that JSON knows; quote it if it is text")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{shorten(text)} is too large for a number; quote it if it is text")
        return value
    return text


def key_of(value: object) -> str | None:
    """Return the text of a number as a key, since mappings of JSON have only text keys; None for other values."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def check_text(text: str) -> None:
    """Reject text that UTF-8 cannot carry.

    Raises:
        ValueError: it contains a lone surrogate, e.g. from an escape as in JSON.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04X}"
        raise ValueError(f"{code} is half a character; write the character itself, or \\U and eight digits") from None


def shorten(text: str, limit: int = 40) -> str:
    """Shorten long text in the middle, so that a message that quotes it stays one readable line."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[-half + 1 :]}"


def _integer(text: str) -> int:
    if len(text) <= _LONGEST_INTEGER:
        value = int(text, _BASES.get(text[:2], 10))
        if -(2**63) <= value < 2**64:
            return value
    raise ValueError(f"{shorten(text)} does not fit into 64 bits; quote it if it is text")
