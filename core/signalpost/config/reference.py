"""The reference of routes.yaml, made from its schema: ``signalpost reference``.

In the repository it is kept as a file: ``python -m signalpost.config.reference > core/reference.md``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.config.schema import routes_schema

Schema = Mapping[str, Any]

_HEAD = """# Every key of routes.yaml

Made from the schema that checks the file and that editors read; `signalpost reference` prints it anew.

"""


def reference() -> str:
    """Give the reference as Markdown: a section a top-level key, a row a key."""
    root = routes_schema()
    parts = [_HEAD]
    for name, section in root["properties"].items():
        required = " Required." if name in root.get("required", ()) else ""
        parts.append(f"## {name}\n\n{section.get('description', '')}{required}\n\n")
        rows = list(_rows(name, section, root, required=name in root.get("required", ())))
        parts.append("| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n")
    return "".join(parts).rstrip() + "\n"


def _rows(key: str, schema: Schema, root: Schema, *, required: bool) -> Iterator[str]:
    """Give the row of a key, then those of the keys below it."""
    node = _resolved(schema, root)
    example = f" Example: `{_cell(node['examples'][0])}`" if node.get("examples") and not node.get("properties") else ""
    default = "required" if required else f"`{_cell(node['default'])}`" if "default" in node else ""
    # A section's own row would only repeat what stands above its table.
    if "." in key or not (node.get("properties") or node.get("items")):
        yield f"| `{key}` | {_type(node)} | {default} | {_text(node.get('description', ''))}{example} |"
    items = _resolved(node.get("items", {}), root)
    for below, prefix in ((node, key), (items, f"{key}[]")):
        for name, child in below.get("properties", {}).items():
            yield from _rows(f"{prefix}.{name}", child, root, required=name in below.get("required", ()))


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a `$ref` into the schema's own definitions; what stands beside it wins."""
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
    """Keep Markdown from reading ``<name>`` as HTML and ``*`` as emphasis."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - it is a command
