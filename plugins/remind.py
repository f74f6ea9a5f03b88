"""Reminds people: routes.yaml says of what and when, and this waits until then.

    signals:
      - path: /remind                    # {"message": {"text": "tea", "after": 240}}
        do:
          - remind: {text: "{{ message.text }}", after: "{{ message.after }}"}
          - reply: {value: "In {{ in_words(message.after) }}: {{ message.text }}"}

Settings, in routes.yaml under ``plugins: settings: remind:``, are those of `settings_schema`.

A model for an action, a name in templates, and settings that are checked.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signalpost import PluginContext, RouteEvent, SignalEvent, TickEvent, action, hookimpl

REMINDERS = "_reminders"  # keys of the state that start with _ hold objects, and are no business of others

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text", "after"],
    "properties": {
        "text": {"title": "Text", "description": "What is sent.", "type": "string", "examples": ["tea"]},
        "after": {"title": "After", "description": "In how many seconds.", "type": "number", "minimum": 0},
    },
    "examples": [{"text": "tea", "after": 240}],
}


@hookimpl
def settings_schema() -> Mapping[str, Any]:
    """Say what routes.yaml may set."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "longest": {"description": "Seconds that a reminder may wait.", "type": "number", "default": 86_400},
            "most": {"description": "Reminders that may wait at once.", "type": "integer", "default": 1_000},
        },
    }


@hookimpl
def template_globals() -> Mapping[str, Callable[..., Any]]:
    """Let templates write seconds as people say them."""
    return {"in_words": in_words}


@dataclass
class Reminders:
    """What the action needs between startup and shutdown: settings, tasks that end with the plugin, and a count."""

    context: PluginContext
    waiting: int = 0

    def add(self, text: str, after: float, client: str | None) -> None:
        """Send a text after some seconds, to a client or to everyone."""
        settings = self.context.settings
        if after > settings["longest"]:
            raise ValueError(f"a reminder waits {in_words(settings['longest'])} at most")
        if self.waiting >= settings["most"]:
            raise ValueError(f"{self.waiting} reminders are waiting already")
        self.waiting += 1
        self.context.create_task(self._send(text, after, client), name=f"reminder: {text}")

    async def _send(self, text: str, after: float, client: str | None) -> None:
        try:
            await asyncio.sleep(after)
        finally:
            self.waiting -= 1
        self.context.broadcast(text, client=client)


@hookimpl
def startup(context: PluginContext) -> None:
    """Begin without reminders."""
    context.state[REMINDERS] = Reminders(context)


@action("remind", schema=OPTIONS)
def remind(event: SignalEvent | RouteEvent | TickEvent, options: Mapping[str, Any]) -> None:
    """Send a text after some seconds: to the sender, or to everyone where there is none."""
    client = event.client.id if isinstance(event, SignalEvent) else None
    event.state[REMINDERS].add(options["text"], options["after"], client)


def in_words(seconds: float) -> str:
    """Write seconds as people say them: ``4 min``, ``1 h 30 min``, ``2.5 s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest:g} s" if rest else ""]
    return " ".join(part for part in parts if part) or "0 s"
