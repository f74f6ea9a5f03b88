"""What is known of what templates name: the parameters of a path, the keys that a schema lets a client send."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.names import MESSAGE_KEYS
from signalpost.config.model import RouteConfig, SignalConfig
from signalpost.paths import PathPattern

Shapes = Mapping[str, frozenset[str]]


def signal_shapes(signal: SignalConfig) -> Shapes:
    """Return all attributes of names of a signal's lists, for the names of which they are known."""
    keys = allowed_keys(None if signal.schema is None else signal.schema.document)
    return _params(signal.path) | ({} if keys is None else {"data": keys | MESSAGE_KEYS})


def route_shapes(route: RouteConfig) -> Shapes:
    """Return all attributes of names of a route's list, for the names of which they are known."""
    keys = allowed_keys(None if route.schema is None else route.schema.document)
    return _params(route.path) | ({} if keys is None else {"data": keys})


def allowed_keys(document: Any) -> frozenset[str] | None:
    """Return all keys that a JSON Schema lets a mapping have; None if it may have others, too.

    ``{"properties": {"to": {}}, "additionalProperties": false}`` allows ``to``.
    """
    if not isinstance(document, Mapping) or document.get("additionalProperties") is not False:
        return None
    if "$ref" in document:  # before draft 2019-09 nothing beside it counts
        return None
    return None if document.get("patternProperties") else frozenset(document.get("properties", ()))


def _params(path: PathPattern) -> dict[str, frozenset[str]]:
    return {"params": frozenset(parameter.name for parameter in path.parameters)}
