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
from typing import Any

from signalpost import PluginContext, RouteEvent, SignalEvent, TickEvent, action, hookimpl

CONTEXT = "_remind.context"  # keys of the state that start with _ hold objects, and are no business of others
WAITING = "_remind.waiting"

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


@hookimpl
def startup(context: PluginContext) -> None:
    """Keep what the action needs: the settings, and tasks that end with the server."""
    context.state[CONTEXT] = context
    context.state[WAITING] = 0


@action("remind", schema=OPTIONS)
def remind(event: SignalEvent | RouteEvent | TickEvent, options: Mapping[str, Any]) -> None:
    """Send a text after some seconds: to the sender, or to everyone where there is none."""
    context: PluginContext = event.state[CONTEXT]
    if options["after"] > context.settings["longest"]:
        raise ValueError(f"a reminder waits {in_words(context.settings['longest'])} at most")
    if event.state[WAITING] >= context.settings["most"]:
        raise ValueError(f"{event.state[WAITING]} reminders are waiting already")
    client = event.client.id if isinstance(event, SignalEvent) else None
    event.state.increment(WAITING)
    context.create_task(_later(context, options, client), name=f"reminder: {options['text']}")


async def _later(context: PluginContext, options: Mapping[str, Any], client: str | None) -> None:
    try:
        await asyncio.sleep(options["after"])
    finally:
        context.state.increment(WAITING, -1)
    context.broadcast(options["text"], client=client)


def in_words(seconds: float) -> str:
    """Write seconds as people say them: ``4 min``, ``1 h 30 min``, ``2.5 s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest:g} s" if rest else ""]
    return " ".join(part for part in parts if part) or "0 s"
