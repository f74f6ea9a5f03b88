"""Logs once that the result of a handler, an action or a hook is dropped.

The results of route handlers are used, and those of hooks that return something. Those of signal handlers answer
messages with ``ref``, and POSTs.
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from signalpost.delivery.target import Receipt
from signalpost.events import SignalEvent
from signalpost.foreign import Seat
from signalpost.handlers import Handler, HandlerKind
from signalpost.plugins.action import Action

LOG = logging.getLogger(__name__)

_UNTOLD = "__signalpost_untold__"

_OF_ACTIONS = "event.reply(…) answers the sender, event.broadcast(…) tells others"
_OF_SIGNALS = f"{_OF_ACTIONS}; a returned value answers a message with ref, from a client of signalpost.v1, and a POST"
_OF_JOBS = "event.broadcast(…) sends it to clients, event.state keeps it"
_OF_FEEDS = f"{_OF_JOBS}; await event.send(…) answers the feed"
_INSTEAD = {
    HandlerKind.SIGNAL: _OF_SIGNALS,
    HandlerKind.TIMER: _OF_JOBS,
    HandlerKind.SCHEDULE: _OF_JOBS,
    HandlerKind.FEED: _OF_FEEDS,
}
Made = TypeVar("Made", Handler, Action)

WITH_RESULT = frozenset({"authenticate", "authorize"})
"""The hooks whose results are used while the server runs."""

_OF_HOOKS = {
    "client_connected": "client.close(…) refuses the client",
    "filter_message": "raise Veto(…) refuses the message, message.message = … changes it",
    "filter_broadcast": "raise Veto() keeps it back, outgoing.value = … changes it",
}


def with_told_returns(made: Made) -> Made:
    """Return a handler or action whose first dropped result is logged; a route's handler is unchanged."""
    used: Callable[..., bool] | None = None
    if isinstance(made, Action):
        what, kind, instead = f'action "{made.name}"', "an action", _OF_ACTIONS
    elif made.kind is HandlerKind.ROUTE:
        return made
    else:
        what, kind, instead = f'handler "{made.name}"', f"the handler of a {made.kind}", _INSTEAD[made.kind]
        used = _answers if made.kind is HandlerKind.SIGNAL else None
    what = f"{what} of plugin {made.plugin} ({made.where})"
    return replace(made, function=telling(made.function, what, kind, instead, _told_of(made.seat), used=used))


def _answers(event: object) -> bool:
    """Return whether the result of a signal's handler is the answer to its message."""
    if not isinstance(event, SignalEvent) or not event.client.encoding.codec.converses:
        return False
    return event.data.ref is not None or event.client.visiting


def _told_of(seat: Seat | None) -> set[str]:
    return set() if seat is None else seat.told


def telling(
    function: Callable[..., Any],
    what: str,
    kind: str,
    instead: str,
    told: set[str],
    *,
    used: Callable[..., bool] | None = None,
) -> Callable[..., Any]:
    """Return a function that logs, the first time only, that its result is dropped.

    A `Receipt` is not logged: ``return event.reply(…)`` is a usual end of a handler.

    Args:
        function: plain, or an ``async def``; the returned one is the same.
        what: its name, with its place.
        kind: of code whose results are dropped.
        instead: names what may have been meant.
        told: the functions logged already.
        used: returns, for the arguments of a call, whether its result is used; by default none is.
    """

    def tell(value: object, args: tuple[Any, ...]) -> None:
        if value is None or what in told or isinstance(value, Receipt) or (used is not None and used(*args)):
            return
        told.add(what)
        hint = f": {instead}" if instead else ""
        given = type(value).__name__
        LOG.warning("%s returned a value (%s) that nobody gets; what %s returns is dropped%s", what, given, kind, hint)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def handle(*args: Any) -> Any:
            value = await function(*args)
            tell(value, args)
            return value

        setattr(handle, _UNTOLD, function)
        return handle

    @wraps(function)
    def call(*args: Any) -> Any:
        value = function(*args)
        if not inspect.isawaitable(value):  # else the caller awaits it, or reports why not
            tell(value, args)
        return value

    return call


def untold(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the original function inside a result of `telling`, for callers that use its result."""
    made: Callable[..., Any] = vars(function).get(_UNTOLD, function) if inspect.isfunction(function) else function
    return made


def hook_with_told_returns(function: Callable[..., Any], what: str, hook: str, seat: Seat | None) -> Callable[..., Any]:
    """Return an implementation of a hook without a result; if it returns something, that is logged once.

    Args:
        function: the implementation.
        what: its name, with its place.
        hook: its name.
        seat: the plugin's.
    """
    return telling(function, what, f"the hook {hook}", _OF_HOOKS.get(hook, ""), _told_of(seat))
