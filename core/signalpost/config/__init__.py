"""The room of routes.yaml: its text becomes a `ServerConfig`, or every problem at its place.

The way: `load` reads the file, `tree` makes marked nodes of its text, `shape` holds them against
``routes.schema.json``, `endpoints`, `routes`, `signals` and `jobs` read the sections and judge what a schema cannot
(files, ports, time zones, names), and `check` puts them together. `render` shows what was found.

Everything here is pure but for reading files that routes.yaml names.
"""

from signalpost.config.check import parse_config
from signalpost.config.load import load_config
from signalpost.config.model import ServerConfig
from signalpost.config.render import Style, render_problems
from signalpost.config.schema import routes_schema

__all__ = ["ServerConfig", "Style", "load_config", "parse_config", "render_problems", "routes_schema"]
