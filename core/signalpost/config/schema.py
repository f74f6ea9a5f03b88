"""The one JSON Schema of routes.yaml: it checks the file's shape, feeds editors and documents every key."""

import json
from importlib.resources import files
from typing import Any


def routes_schema() -> dict[str, Any]:
    """Return a fresh copy of the schema (draft 2020-12)."""
    text = files("signalpost.config").joinpath("routes.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
