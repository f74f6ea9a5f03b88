"""signalpost: real-time signals from one YAML file.

These names are for plugins; `plugins/README.md` is their guide. Importing this package imports neither Sanic nor
APScheduler, nor what only reading routes.yaml needs, so that a plugin's tests stay light. Each name is imported on
first access: a command that only prints its version needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signalpost.auth.identity import Identity
    from signalpost.delivery.client import Client
    from signalpost.delivery.target import Published, Receipt
    from signalpost.errors import UnauthorizedError, UnavailableError
    from signalpost.events import (
        ClientEvent,
        FeedEvent,
        HandshakeRequest,
        MessageData,
        RouteEvent,
        SignalEvent,
        TickEvent,
    )
    from signalpost.handlers import (
        FeedBinding,
        Handler,
        HandlerKind,
        RouteBinding,
        ScheduleBinding,
        SignalBinding,
        TimerBinding,
    )
    from signalpost.plugins.action import Action
    from signalpost.plugins.context import PluginContext
    from signalpost.plugins.decorators import action, feed, route, schedule, signal, timer
    from signalpost.plugins.hookspecs import hookimpl
    from signalpost.signals.messagefilters import Outgoing, Veto
    from signalpost.state.state import State

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Client",
    "ClientEvent",
    "FeedBinding",
    "FeedEvent",
    "Handler",
    "HandlerKind",
    "HandshakeRequest",
    "Identity",
    "MessageData",
    "Outgoing",
    "PluginContext",
    "Published",
    "Receipt",
    "RouteBinding",
    "RouteEvent",
    "ScheduleBinding",
    "SignalBinding",
    "SignalEvent",
    "State",
    "TickEvent",
    "TimerBinding",
    "UnauthorizedError",
    "UnavailableError",
    "Veto",
    "action",
    "feed",
    "hookimpl",
    "route",
    "schedule",
    "signal",
    "timer",
]

_HOMES = {
    "Action": "signalpost.plugins.action",
    "Client": "signalpost.delivery.client",
    "ClientEvent": "signalpost.events",
    "FeedBinding": "signalpost.handlers",
    "FeedEvent": "signalpost.events",
    "Handler": "signalpost.handlers",
    "HandlerKind": "signalpost.handlers",
    "HandshakeRequest": "signalpost.events",
    "Identity": "signalpost.auth.identity",
    "MessageData": "signalpost.events",
    "Outgoing": "signalpost.signals.messagefilters",
    "PluginContext": "signalpost.plugins.context",
    "Published": "signalpost.delivery.target",
    "Receipt": "signalpost.delivery.target",
    "RouteBinding": "signalpost.handlers",
    "RouteEvent": "signalpost.events",
    "ScheduleBinding": "signalpost.handlers",
    "SignalBinding": "signalpost.handlers",
    "SignalEvent": "signalpost.events",
    "State": "signalpost.state.state",
    "TickEvent": "signalpost.events",
    "TimerBinding": "signalpost.handlers",
    "UnauthorizedError": "signalpost.errors",
    "UnavailableError": "signalpost.errors",
    "Veto": "signalpost.signals.messagefilters",
    "action": "signalpost.plugins.decorators",
    "feed": "signalpost.plugins.decorators",
    "hookimpl": "signalpost.plugins.hookspecs",
    "route": "signalpost.plugins.decorators",
    "schedule": "signalpost.plugins.decorators",
    "signal": "signalpost.plugins.decorators",
    "timer": "signalpost.plugins.decorators",
}
"""The module of each of these names."""


if not TYPE_CHECKING:  # a type checker would accept every name as present

    def __getattr__(name: str) -> object:
        """Import a name on first access."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
