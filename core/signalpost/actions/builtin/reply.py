"""``reply``: sends a value to the sender alone."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import Run
from signalpost.config.actions import MAY_HAVE_SENDER
from signalpost.delivery.target import Receipt


def _reply(run: Run, options: Mapping[str, Any]) -> Receipt:
    return run.count(run.event.broadcast(options["value"], to="sender"))


ACTION = BuiltIn(
    schema=option(
        "Reply",
        (
            "Sends a value only to the sender. In a route that is the connected client whose session the request names "
            "in the header signalpost-session; a request that names none is answered with 409."
        ),
        "object",
        additionalProperties=False,
        required=["value"],
        properties={
            "value": option(
                "Value",
                "Text is sent unchanged, anything else as compact JSON. null and empty text send nothing.",
                examples=["You are {{ client.id }}"],
            )
        },
        examples=[{"value": "You are {{ client.id }}"}],
    ),
    places=MAY_HAVE_SENDER,
    needs="there is no sender here (allowed in do and connected of a signal, and in do of a route)",
    effect=_reply,
)
