"""``reply``: sends a value to the sender alone."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import Run
from signalpost.config.actions import NO_SENDER, WITH_SENDER
from signalpost.delivery.target import Receipt


def _reply(run: Run, options: Mapping[str, Any]) -> Receipt:
    return run.count(run.event.broadcast(options["value"], to="sender"))


ACTION = BuiltIn(
    schema=option(
        "Reply",
        "Sends a value only to the sender.",
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
    places=WITH_SENDER,
    needs=NO_SENDER,
    effect=_reply,
)
