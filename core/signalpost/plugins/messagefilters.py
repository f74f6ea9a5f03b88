"""The filters of a plan: plugins' filters of all messages, and of all broadcasts, called one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from signalpost.delivery.client import Client
from signalpost.errors import ErrorCode
from signalpost.events import MessageData
from signalpost.plugins.registry import Implementation, Registry, log_failure
from signalpost.signals.messagefilters import Filters, Outgoing, Veto

FILTER_MESSAGE = "filter_message"
FILTER_BROADCAST = "filter_broadcast"
FILTERS = (FILTER_MESSAGE, FILTER_BROADCAST)

_FAILED = "the server could not handle this message"


def filters_of(registry: Registry) -> Filters | None:
    """Return the filters of all plugins; None if there are none, to avoid any cost."""
    messages = registry.implementations.get(FILTER_MESSAGE, ())
    broadcasts = registry.implementations.get(FILTER_BROADCAST, ())

    def filter_message(message: MessageData, client: Client) -> None:
        before = replace(message)
        _ask(messages, {"message": message, "client": client}, lambda: check_message(message, before))

    def filter_broadcast(outgoing: Outgoing) -> None:
        before = replace(outgoing)
        _ask(broadcasts, {"outgoing": outgoing}, lambda: check_outgoing(outgoing, before))

    if not messages and not broadcasts:
        return None
    return Filters(filter_message if messages else None, filter_broadcast if broadcasts else None)


def _ask(implementations: Sequence[Implementation], arguments: Mapping[str, Any], check: Callable[[], None]) -> None:
    """Call one plugin after the other. A filter that fails accepts nothing: it may be there for security.

    Args:
        implementations: of the hook.
        arguments: of the hook.
        check: raises if the result of a plugin is invalid.

    Raises:
        Veto: a filter raised it, or failed.
    """
    for implementation in implementations:
        try:
            implementation.code.call(_checked, implementation, arguments, check)
        except Veto:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_failure(implementation, error)
            raise Veto(ErrorCode.HANDLER_FAILED.value, _FAILED) from None


def _checked(implementation: Implementation, arguments: Mapping[str, Any], check: Callable[[], None]) -> None:
    implementation(arguments)
    check()


_WISHES = ("path", "client_id", "group", "user")
_BYTES = (bytes, bytearray, memoryview)


def check_message(message: MessageData, before: MessageData) -> None:
    """Check a message after a filter.

    Args:
        message: after the filter.
        before: the filter.

    Raises:
        TypeError: a field has an invalid type, or a value was assigned to a field where that has no effect.
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
    """Check a value to be sent after a filter; see `check_message`."""
    for name in ("path", "groups", "client", "origin", "raw", "user"):
        if getattr(outgoing, name) is not getattr(before, name):
            raise TypeError(f"outgoing.{name} is not changed by a filter: only outgoing.value is")
    if outgoing.value is not before.value:
        check_value("outgoing.value", outgoing.value, raw=before.raw)


def check_value(name: str, value: object, *, raw: bool) -> None:
    """Check that a value can be sent.

    Raises:
        TypeError: it cannot; `name` names the value.
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
