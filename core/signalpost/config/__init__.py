"""routes.yaml becomes a `ServerConfig`, or every problem at its place.

`load` reads the file, `schema` judges its shape, a file for each section (`endpoints`, `routes`, `signals`, …) judges
what a schema cannot (files, ports, time zones, names), and `model` has what comes of it.

Nothing of that is imported here: `model` is all that a plugin needs of this package, and what reads and judges a file
(jsonschema, Jinja2, cryptography) takes a third of a second to import.
"""

from pathlib import Path

COOKBOOK = Path(__file__).parents[1] / "cookbook"
"""Whole apps without any code: each a .yaml file that begins with a comment on what it is."""
