"""The one JSON Schema of routes.yaml: it checks the file's shape, feeds editors and documents every key."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from signalpost.config.parts import embedded

Part = Mapping[str, Any] | bool

ROUTES_ID = "urn:signalpost:routes"
"""The schema's own ``$id``."""

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")


def routes_schema(
    actions: Mapping[str, Part] | None = None, settings: Mapping[str, Part] | None = None
) -> dict[str, Any]:
    """Return a fresh copy of the schema (draft 2020-12).

    Args:
        actions: what plugins add to the steps of ``do``: by name the schema of the options, as
            `signalpost.config.parts` judges them sound. With them a step of another name is wrong; without them it
            may be one of a plugin that is not known here.
        settings: by plugin, the schema of its settings.

    """
    text = files("signalpost.config").joinpath("routes.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    if actions is not None:
        step = schema["$defs"]["step"]
        step["additionalProperties"] = False
        step["properties"] |= _put_in(schema, "action", actions)
    if settings:
        described = schema["properties"]["plugins"]["properties"]["settings"]
        described["properties"] = _put_in(schema, "settings", settings)
    return schema


def built_in_actions() -> frozenset[str]:
    """Name the steps, and the words beside them, that no plugin's action can be called."""
    return frozenset(routes_schema()["$defs"]["step"]["properties"])


def _put_in(schema: dict[str, Any], kind: str, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Put parts among the definitions, and give the references to them by name."""
    definitions = schema["$defs"]
    references: dict[str, Any] = {}
    for number, (name, part) in enumerate(parts.items()):
        own = f"{kind}{number}.{_STRANGE.sub('_', name)}"
        definitions |= embedded(part, own)
        references[name] = {"$ref": f"#/$defs/{own}"}
    return references
