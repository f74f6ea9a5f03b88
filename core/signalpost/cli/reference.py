"""``signalpost reference``: the reference of routes.yaml, made from its schema.

In the repository it is kept as a file: ``signalpost reference > core/reference.md``.
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

_HEAD = """# Every key of routes.yaml

Made from the schema that checks the file and that editors read; `signalpost reference` prints it anew.

## Values from outside

| written | stands for |
|---|---|
| `${NAME}` | what the environment of the server holds under that name; a mistake if there is nothing |
| `${NAME:-default}` | the same, or `default` where there is nothing, or an empty text |
| `$${` | a plain `${`; before anything else `$` is itself, and `${{ … }}` is a dollar sign before a template |
| `!include signals.yaml` | what that file holds |
| `!include_dir signals` | what the .yaml and .yml files in that folder, and in those below it, hold together |
| `!secret token` | what `secrets.yaml`, beside routes.yaml, holds under that name: text or a number |

- **Variables** may stand in any value, not in keys. A value that is one variable and nothing else, without quotes, is
  read as if its content stood there: `port: ${PORT:-8090}` is a number. In quotes, or beside other text, it is text.
  It never becomes a list, a mapping or a template, nor is what it holds searched for variables. Between `{ }` and `[ ]`
  YAML wants quotes around it; for a number, write the mapping in lines. A file `.env` is not read: that is up to who
  starts the server (docker compose, systemd, a shell).
- **Files** are named from the folder of routes.yaml, in every file, and so are the schemas, pages and certificates that
  an included file names. They lie below that folder: names with `..`, absolute ones, and symbolic links that lead out
  are refused. Of a folder, the lists of all files are put one behind the other, in the order of their names, or the
  keys of all their mappings together; what starts with a dot is left out. The anchors of a file are its own. All files
  together hold at most 1,048,576 characters, 100,000 values, 64 levels and 1,000 files.
- **Secrets** are shown nowhere: problems, tables and the log have `!secret token` in their place (of fewer than three
  characters, in problems about them alone). What a variable holds is hidden in problems about it and shown elsewhere,
  as a port must be; `token: ${TOKEN}` in `secrets.yaml` makes a secret of it. A JSON Schema holds no secrets, since
  clients are told what it asks for, and no route may serve a folder in which `secrets.yaml` lies.
- **Templates** read values from outside, secrets included, by way of `constants`: `{{ constants.token }}`. A key of the
  whole file that begins with `x-` is yours: the server reads nothing of it, and anchors may stand there
  (`x-hello: &hello …`) for aliases elsewhere (`*hello`).

"""


_TABLE = "| key | type | default | meaning |\n|---|---|---|---|\n"
_STEPS = "#/$defs/steps"


def reference() -> str:
    """Return the reference as Markdown: a section a top-level key, a row a key; then actions, templates and apps."""
    root = routes_schema()
    parts = [_HEAD]
    for name, section in root["properties"].items():
        required = " Required." if name in root.get("required", ()) else ""
        parts.append(f"## {name}\n\n{section.get('description', '')}{required}\n\n")
        rows = list(_rows(name, section, root, required=name in root.get("required", ())))
        parts.append(_TABLE + "\n".join(rows) + "\n\n")
    parts += [_actions(root), _guide("templates"), "\n", *_cookbook(COOKBOOK)]
    return "".join(parts).rstrip() + "\n"


def _actions(root: Schema) -> str:
    """Return the section on what may stand in a list of actions."""
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
    """Yield the section of apps: what each is, from the comment that it begins with, and its YAML."""
    yield "## Cookbook\n\nEach of these is a whole app, without any code.\n\n"
    for file in sorted(folder.glob("*.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        comment = list(takewhile(lambda line: line.startswith("#"), lines))
        about = " ".join(line.removeprefix("#").strip() for line in comment)
        text = "\n".join(lines[len(comment) :])
        yield f"### {file.stem}\n\n{about}\n\n```yaml\n{text}\n```\n\n"


def _rows(key: str, schema: Schema, root: Schema, *, required: bool) -> Iterator[str]:
    """Yield the row of a key, then those of the keys below it."""
    node = _resolved(schema, root)
    # A section's own row would only repeat what stands above its table.
    if "." in key or not (node.get("properties") or node.get("items")):
        yield _row(key, schema, root, required=required)
    yield from _rows_below(key, schema, root)


def _rows_below(key: str, schema: Schema, root: Schema) -> Iterator[str]:
    if schema.get("$ref") == _STEPS:
        return  # steps have steps inside them: they have a section of their own
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
