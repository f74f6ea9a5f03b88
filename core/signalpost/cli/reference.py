"""``signalpost reference``: the reference of routes.yaml, generated from its schema.

The repository contains it as a file: ``signalpost reference > core/reference.md``.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

from signalpost.actions.builtin import routes_schema
from signalpost.config import COOKBOOK

Schema = Mapping[str, Any]

_TABLE = "| key | type | default | meaning |\n|---|---|---|---|\n"
_STEPS = "#/$defs/steps"


def reference() -> str:
    """Return the reference as Markdown: a section per top-level key, a row per key; then actions, templates, apps."""
    root = routes_schema()
    parts = [_guide("routes"), "\n"]
    for name, section in root["properties"].items():
        required = " Required." if name in root.get("required", ()) else ""
        parts.append(f"## {name}\n\n{section.get('description', '')}{required}\n\n")
        rows = list(_rows(name, section, root, required=name in root.get("required", ())))
        parts.append(_TABLE + "\n".join(rows) + "\n\n")
        if name == "history":
            parts.append(_guide("history") + "\n")
    parts += [_actions(root), _guide("templates"), "\n", *_cookbook(COOKBOOK)]
    return "".join(parts).rstrip() + "\n"


def _actions(root: Schema) -> str:
    """Return the section on lists of actions."""
    step = root["$defs"]["step"]
    rows = [
        row
        for name, child in step["properties"].items()
        for row in (_row(name, child, root), *_rows_below(name, child, root))
    ]
    table = _TABLE + "\n".join(rows)
    return f"{_guide('actions')}\n{step['description']}\n\n{table}\n\n"


def _guide(name: str) -> str:
    return files("signalpost.config").joinpath(f"{name}.md").read_text(encoding="utf-8")


def _cookbook(folder: Path) -> Iterator[str]:
    """Yield the section on apps: the description of each, from its first comment, and its YAML."""
    yield "## Cookbook\n\nEach of these is a whole app, without any code; only signin has a plugin.\n\n"
    for file in sorted(folder.glob("*.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        comment = list(takewhile(lambda line: line.startswith("#"), lines))
        about = " ".join(line.removeprefix("#").strip() for line in comment)
        text = "\n".join(lines[len(comment) :])
        yield f"### {file.stem}\n\n{about}\n\n```yaml\n{text}\n```\n\n"


def _rows(key: str, schema: Schema, root: Schema, *, required: bool) -> Iterator[str]:
    """Yield the row of a key, then those of the keys below it."""
    node = _resolved(schema, root)
    # A section's own row would only repeat the text above its table.
    if "." in key or not (node.get("properties") or node.get("items")):
        yield _row(key, schema, root, required=required)
    yield from _rows_below(key, schema, root)


def _rows_below(key: str, schema: Schema, root: Schema) -> Iterator[str]:
    if schema.get("$ref") == _STEPS:
        return  # steps contain steps: they have a section of their own
    node = _resolved(schema, root)
    items = _resolved(node.get("items", {}), root)
    for below, prefix in ((node, key), (items, f"{key}[]")):
        for name, child in below.get("properties", {}).items():
            yield from _rows(f"{prefix}.{name}", child, root, required=name in below.get("required", ()))


def _row(key: str, schema: Schema, root: Schema, *, required: bool = False) -> str:
    node = _resolved(schema, root)
    example = f" Example: `{_cell(node['examples'][0])}`" if node.get("examples") and not node.get("properties") else ""
    default = "required" if required else f"`{_cell(node['default'])}`" if "default" in node else ""
    return f"| `{key}` | {_type(node)} | {default} | {_text(node.get('description', ''))}{example} |"


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a `$ref` into the schema's own definitions; keys beside it take precedence."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    return {**root["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}


def _type(node: Schema) -> str:
    if "enum" in node:
        return ", ".join(f"`{_cell(value)}`" for value in node["enum"])
    kinds = node.get("type", "any value")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    """Escape text so that Markdown reads neither ``<name>`` as HTML nor ``*`` as emphasis."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
