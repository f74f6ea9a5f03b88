"""What filters leave behind, judged at once: what nobody can send or find is the filter's mistake, not a client's."""

from collections.abc import Mapping
from typing import Any

import orjson

from signalpost.events import MessageData
from signalpost.signals.filters import Outgoing

_WISHES = ("path", "client_id", "group")
_BYTES = (bytes, bytearray, memoryview)


def check_message(message: MessageData, before: MessageData) -> None:
    """Check what a filter has made of a message.

    Args:
        message: as the filter leaves it.
        before: as it was.

    Raises:
        TypeError: something is of a type that it cannot have, or was assigned to where that changes nothing.
        ValueError: a path, an id or a group is empty.

    """
    if message.message is not before.message:
        check_value("message.message", message.message, raw=not before.document)
    for name in _WISHES:
        value = getattr(message, name)
        if value is not getattr(before, name) and value is not None:
            setattr(message, name, _wish(name, value))
    if not isinstance(message.direct, bool):
        raise TypeError(f"message.direct is True or False, not {_kind(message.direct)}")
    if message.ref is not before.ref:
        raise TypeError("message.ref is the client's own mark: what is assigned to it changes nothing")
    if not isinstance(message.document, Mapping):
        raise TypeError(f"message.document is a mapping, not {_kind(message.document)}")


def check_outgoing(outgoing: Outgoing, before: Outgoing) -> None:
    """Check what a filter has made of what is sent; see `check_message`."""
    for name in ("path", "groups", "client", "origin", "raw"):
        if getattr(outgoing, name) is not getattr(before, name):
            raise TypeError(f"outgoing.{name} is not changed by a filter: only outgoing.value is")
    if outgoing.value is not before.value:
        check_value("outgoing.value", outgoing.value, raw=before.raw)


def check_value(name: str, value: object, *, raw: bool) -> None:
    """Check that a value can be sent.

    Raises:
        TypeError: it cannot; `name` says which value it is.

    """
    if value is None or isinstance(value, str):
        return
    if raw:
        if not isinstance(value, _BYTES):
            raise TypeError(f"{name} is a str or bytes with `format: raw`, not {_kind(value)}")
        return
    try:
        orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise TypeError(f"{name} is no JSON ({_kind(value)}): {error}") from None


def _wish(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"message.{name} is a str or None, not {_kind(value)}")
    if not value:
        raise ValueError(f"message.{name} is empty; None takes it away")
    return str.__str__(value)


def _kind(value: object) -> str:
    return type(value).__name__
