"""``signalpost schema``: the schema for editors, with the actions, settings and handlers of an app's plugins."""

import json
from pathlib import Path
from typing import Any

from signalpost.actions.builtin import routes_schema
from signalpost.cli.ownfolder import OwnFolder, UnsafeFolderError
from signalpost.config.exposure import RECORDS_FOLDER
from signalpost.config.schema.editor import editor_schema
from signalpost.errors import OperatorError
from signalpost.plan.loading import load_offers
from signalpost.plan.resolver import KINDS
from signalpost.plugins.registry import Registry

SCHEMA_FILE = Path(RECORDS_FOLDER) / "routes.schema.json"


def app_schema(file: Path) -> dict[str, Any]:
    """Return the schema for editing a routes.yaml; without that file, the general one.

    The file may have problems. If they leave the set of plugins unknown, any action is allowed.
    """
    registry = load_offers(file)
    try:
        return editor_schema(_composed(registry))
    finally:
        registry.unload()


def write_schema(folder: Path, schema: dict[str, Any]) -> Path:
    """Write the schema to the file named in the first line of the folder's routes.yaml; return its name.

    Raises:
        OperatorError: it cannot be written.
    """
    file = folder / SCHEMA_FILE
    try:
        with OwnFolder.open(folder, make=True) as own:
            descriptor, name = own.make(0o644)
            with open(descriptor, "w", encoding="utf-8") as made:  # noqa: PTH123 - it has no path yet
                made.write(schema_text(schema) + "\n")
            own.rename(name, file.name)
    except UnsafeFolderError as error:
        raise OperatorError(str(error)) from None
    except OSError as error:
        raise OperatorError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return file


def schema_text(schema: dict[str, Any]) -> str:
    """Return the schema as text, also readable for people."""
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _composed(registry: Registry) -> dict[str, Any]:
    settings = {name: each.document for name, each in registry.settings_schemas.items()}
    actions = {name: each.described for name, each in registry.actions.items()}
    schema = routes_schema(actions, settings)
    if registry.broken or not registry.found:
        schema["$defs"]["step"].pop("additionalProperties", None)
    for section, kinds in KINDS.items():
        names = [name for name, handler in registry.handlers.items() if handler.kind in kinds]
        if names:
            schema["$defs"][section.removesuffix("s")]["properties"]["handler"]["examples"] = names
    return schema
