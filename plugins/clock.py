"""Tells the time: when a client asks for it, and every few seconds to whoever watches ``/clock``.

Settings, in routes.yaml under ``plugins: settings: clock:``

    format: how the time is written, as for strftime; "%Y-%m-%d %H:%M:%S" unless given.

A model for a plugin with a setting, a signal and a timer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from signalpost import PluginContext, SignalEvent, TickEvent, hookimpl, signal, timer

FORMAT = "clock.format"  # under this key of the server's state; prefixed, as all plugins share it
DEFAULT_FORMAT = "%Y-%m-%d %H:%M:%S"


@hookimpl
def startup(context: PluginContext) -> None:
    """Put the setting where the handlers find it."""
    context.state[FORMAT] = str(context.settings.get("format", DEFAULT_FORMAT))


@signal("clock")
async def clock(event: SignalEvent) -> None:
    """Answer ``[date]`` with the time; send every other message on as it is.

    Both go to where the client asks, or else to everyone.
    """
    message = event.data.message
    asked = isinstance(message, str) and message.lower() == "[date]"
    event.broadcast(_now(event.state) if asked else message)


@timer("time", every="5s")
async def time(event: TickEvent) -> None:
    """Tell the time to everyone on ``/clock``."""
    event.broadcast(_now(event.state), path="/clock")


def _now(state: Mapping[str, Any]) -> str:
    return datetime.now().astimezone().strftime(state.get(FORMAT, DEFAULT_FORMAT))
