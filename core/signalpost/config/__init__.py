"""The room of routes.yaml: its text becomes a `ServerConfig`, or every problem at its place.

The way: `load` reads the file, `tree` makes marked nodes of its text, of what it includes (`tags`) and of variables
(`variables`), `shape` holds them against ``routes.schema.json``, `endpoints`, `routes`, `signals` and `jobs` read the
sections and judge what a schema cannot (files, ports, time zones, names), and `check` puts them together. `render`
shows what was found, and `masks` keeps what came from outside out of it.

Everything here is pure but for reading files that routes.yaml names.

Nothing is imported here: `model` is all that a plugin needs of this room, and what reads and judges a file
(jsonschema, Jinja2, cryptography) takes a third of a second to import.
"""
