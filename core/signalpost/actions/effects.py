"""What the built-in actions do, given their rendered options. Everything goes through the event."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.run import Run
from signalpost.delivery.target import Receipt


def broadcast(run: Run, options: Mapping[str, Any]) -> Receipt:
    """Send a value to clients; see `signalpost.signals.event.Broadcast`."""
    sent: Receipt = run.event.broadcast(**options)
    return sent
