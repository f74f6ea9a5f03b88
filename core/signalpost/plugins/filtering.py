"""The filters of a plan: what plugins say of all messages, and of all broadcasts, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from signalpost.delivery.client import Client
from signalpost.errors import ErrorCode
from signalpost.events import MessageData
from signalpost.plugins.filtered import check_message, check_outgoing
from signalpost.plugins.registry import Implementation, Registry, log_failure
from signalpost.signals.filters import Filters, Outgoing, Veto

FILTER_MESSAGE = "filter_message"
FILTER_BROADCAST = "filter_broadcast"
FILTERS = (FILTER_MESSAGE, FILTER_BROADCAST)
"""The hooks that decide at once: plain functions."""

_FAILED = "the server could not handle this message"


def filters_of(registry: Registry) -> Filters | None:
    """Return the filters of all plugins; None if there are none, so that nobody pays for them."""
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
    """Ask one plugin after the other. One that fails lets nothing pass: it may be what keeps something out.

    Args:
        implementations: of the hook.
        arguments: of the hook.
        check: raises if what a plugin leaves behind cannot be.

    Raises:
        Veto: one says so, or has failed.

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
