"""Keys of the state in the actions ``set`` and ``append``, and which client is charged for their values."""

from collections.abc import Sequence
from typing import Any

from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError, text_of
from signalpost.config.actions import split_key
from signalpost.config.addresses import network_of
from signalpost.state.shares import Holder
from signalpost.words import quoted

_OF_PLUGINS = 'keys of state that start with "_" belong to plugins'


def key_fault(key: str) -> str:
    """Return why an action must not write to a key of routes.yaml; empty if it may."""
    parts = split_key(key)
    if not all(parts):
        return f"{quoted(key)} has an empty part: write keys of state with single dots between them"
    return f"{_OF_PLUGINS}: choose another" if parts[0].startswith("_") else ""


def path_of(parts: Sequence[Any]) -> list[str]:
    """Return the path from the rendered parts of a key.

    Raises:
        OptionError: a part is not text, or the key belongs to plugins.
    """
    path = [text_of("a key of state", part) for part in parts]
    if path[0].startswith("_"):
        raise OptionError(_OF_PLUGINS)
    return path


def holder_of(run: Run) -> Holder | None:
    """Return which client is charged for a value in the state; None for a job."""
    if run.request is not None:  # whatever client it names: it may name another one next time
        return Holder(address=network_of(run.request.address))
    client = getattr(run.event, "client", None)
    return None if client is None else Holder(client.id, network_of(run.event.request.peer[0]))
