"""signalpost: real-time signals from one YAML file.

What stands here is what plugins import; `plugins/README.md` is the guide to it. Importing it brings in neither Sanic
nor APScheduler, nor what only reading routes.yaml needs, so that a plugin's tests stay light.
"""

from signalpost.delivery.client import Client
from signalpost.delivery.target import Receipt
from signalpost.plugins.action import Action
from signalpost.plugins.context import PluginContext
from signalpost.plugins.decorators import action, route, schedule, signal, timer
from signalpost.plugins.handler import (
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
)
from signalpost.plugins.hookspecs import hookimpl
from signalpost.signals.event import ClientEvent, HandshakeRequest, MessageData, RouteEvent, SignalEvent, TickEvent
from signalpost.signals.filters import Outgoing, Veto
from signalpost.signals.state import State

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Client",
    "ClientEvent",
    "Handler",
    "HandlerKind",
    "HandshakeRequest",
    "MessageData",
    "Outgoing",
    "PluginContext",
    "Receipt",
    "RouteBinding",
    "RouteEvent",
    "ScheduleBinding",
    "SignalBinding",
    "SignalEvent",
    "State",
    "TickEvent",
    "TimerBinding",
    "Veto",
    "action",
    "hookimpl",
    "route",
    "schedule",
    "signal",
    "timer",
]
