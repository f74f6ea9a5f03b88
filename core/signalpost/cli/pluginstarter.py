"""``signalpost new --plugin``: an installable plugin, with tests that run as they are."""

import re
from pathlib import Path

from signalpost import __version__
from signalpost.errors import OperatorError

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.IGNORECASE)
_PREFIX = "signalpost-"

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{package}"
version = "0.1.0"
description = "A plugin for signalpost"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["signalpost>={version}"]

[project.optional-dependencies]
test = ["pytest>=8"]

# By this, signalpost finds the plugin where it is installed.
[project.entry-points.signalpost]
{name} = "{module}"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""

_README = """\
# {package}

A plugin for signalpost: shouts what it is told on `/{name}`.

    pip install -e '.[test]'     # here, and beside signalpost
    pytest

In an app's `routes.yaml`, where undeclared paths are refused:

    handlers: {{{name}: on}}

and, if it is not to end with an exclamation mark:

    plugins: {{settings: {{{name}: {{ending: "."}}}}}}
"""

_MODULE = """\
\"\"\"Shouts what it is told.\"\"\"

from collections.abc import Mapping
from typing import Any

from signalpost import SignalEvent, hookimpl, signal


@hookimpl
def settings_schema() -> Mapping[str, Any]:
    \"\"\"Say what routes.yaml may set for this plugin.\"\"\"
    return {{
        "type": "object",
        "additionalProperties": False,
        "properties": {{"ending": {{"type": "string", "default": "!", "description": "Stands behind it."}}}},
    }}


@signal("{name}", path="/{name}")
async def shout(event: SignalEvent) -> None:
    \"\"\"Broadcast the message in capitals.\"\"\"
    event.broadcast(str(event.data.message).upper() + event.settings["ending"])
"""

_TEST = """\
\"\"\"The plugin by itself, and in a server.\"\"\"

import asyncio
from pathlib import Path

import {module}
from signalpost.testing import Sent, sent, serve, signal_event

ROUTES = \"\"\"
endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]
plugins: {{installed: []}}
\"\"\"
SOURCE = Path({module}.__file__).read_text(encoding="utf-8")


def test_the_handler_shouts() -> None:
    event = signal_event("hello", settings={{"ending": "."}})
    asyncio.run({module}.shout(event))
    assert sent(event) == [Sent("HELLO.")]


def test_a_client_hears_it() -> None:
    async def talk() -> None:
        async with serve(ROUTES, plugins={{"{identifier}": SOURCE}}) as app, app.connect("/{name}") as client:
            await client.send("hello")
            assert await client.receive() == "HELLO!"

    asyncio.run(talk())
"""


def plugin_files(folder: Path) -> dict[Path, str]:
    """Return the files of a plugin that is named after its folder, relative to it.

    Raises:
        OperatorError: the folder's name is none for a package.

    """
    called = folder.resolve().name
    if not _NAME.fullmatch(called):
        raise OperatorError(
            f'"{called}" is no name for a package: letters and digits, with hyphens between them, as in signalpost-chat'
        )
    name = called.lower().replace("_", "-").removeprefix(_PREFIX)
    identifier = name.replace("-", "_")
    words = {
        "package": _PREFIX + name,
        "name": name,
        "identifier": identifier,
        "module": f"signalpost_{identifier}",
        "version": __version__,
    }
    texts = {
        "README.md": _README,
        "pyproject.toml": _PYPROJECT,
        f"{words['module']}/__init__.py": _MODULE,
        f"{words['module']}/py.typed": "",
        f"tests/test_{identifier}.py": _TEST,
    }
    return {Path(file): text.format(**words) for file, text in texts.items()}
