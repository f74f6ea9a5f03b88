"""Converts routes.yaml to a `ServerConfig`, or to problems with their places.

`load` reads the file, `schema` validates its structure, a module for each section (`endpoints`, `routes`, `signals`, …)
checks what a schema cannot (files, ports, time zones, names), and `model` defines the result.

Nothing is imported here: a plugin needs only `model` of this package, and the imports for reading and checking a file
(jsonschema, Jinja2, cryptography) take a third of a second.
"""

from pathlib import Path

COOKBOOK = Path(__file__).parents[1] / "cookbook"
"""Complete apps without code: each a .yaml file that begins with a comment with its description."""
