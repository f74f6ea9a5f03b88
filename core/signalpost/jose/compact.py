"""Tokens in compact form (RFC 7515 section 7.1): taken apart, and not yet checked."""

import base64
import json
import re
from binascii import Error
from typing import Any, NamedTuple

from signalpost.jsontext import load
from signalpost.words import quoted

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_ENCRYPTED_PARTS = 5
_LAST = {2: "AQgw", 3: "AEIMQUYcgkosw048"}  # the last characters of a part whose last bits are zero


class Compact(NamedTuple):
    """A token, taken apart. Nothing of it has been checked.

    Attributes:
        header: its JSON object.
        payload: bytes; of a JWT they are a JSON object.
    """

    header: dict[str, Any]
    payload: bytes


def take_apart(text: str) -> Compact:
    """Take a token apart; its signature is not looked at.

    Raises:
        ValueError: it is not in the compact form of a signed token. The text completes "the token …".
    """
    if _COMPACT.fullmatch(text) is None:
        raise ValueError(_fault(text))
    header, payload, signature = text.split(".")
    if not all(map(_is_canonical, (header, payload, signature))):
        raise ValueError("is not a JWT: a part is cut off, or has bits behind its end")
    return Compact(read_object(_decode(header, "header"), "header"), _decode(payload, "payload"))


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object in which no name stands twice.

    RFC 7519 section 4 lets a parser take the last one. Parsers that take the first one would read another token, so
    none is read here.

    Raises:
        ValueError: it is not one; the text completes "the token …".
    """
    try:
        found = load(data)  # judges UTF-8, surrogates and depth, and has no NaN
        if isinstance(found, dict):
            _TWINS.decode(data.decode())
    except _TwinError as twin:
        raise ValueError(f"has the same name twice in its {what}: {twin}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"is not a JWT: its {what} is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"is not a JWT: its {what} is not a JSON object")  # noqa: TRY004 - of what a stranger sent
    return found


class _TwinError(Exception):
    """A name stands twice."""


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise _TwinError(quoted(twin))


_TWINS = json.JSONDecoder(object_pairs_hook=_without_twins)


def _is_canonical(part: str) -> bool:
    """Return whether a part is the only text for its bytes: no bits are set behind its end (RFC 4648 section 3.5).

    Otherwise one token had several spellings, each with a good signature.
    """
    rest = len(part) % 4
    return rest != 1 and (not rest or part[-1] in _LAST[rest])


def _fault(text: str) -> str:
    parts = text.count(".") + 1
    if not text:
        return "is empty"
    if parts == _ENCRYPTED_PARTS:
        return "is encrypted (it has five parts, a JWE); only signed ones are taken"
    if parts != _COMPACT.pattern.count(r"\.") + 1:
        return f"is not a JWT: it has {parts} part{'' if parts == 1 else 's'} instead of three"
    if "=" in text:
        return "is not a JWT: its parts are padded with =, which RFC 7515 leaves out"
    return "is not a JWT: a part is empty, or has characters that base64url does not have"


def _decode(part: str, what: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except Error:
        raise ValueError(f"is not a JWT: its {what} is not base64url") from None
