"""Pieces of JSON Schema that several operations share."""

from collections.abc import Mapping
from typing import Any

LONGEST = 1_024
"""Characters of a name or path in arguments."""

Schema = dict[str, Any]


def text(description: str, example: str | None = None) -> Schema:
    """Return the schema of a name or a path: it is never empty, as that would mean nobody, or everybody."""
    found: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": description}
    return found if example is None else {**found, "examples": [example]}


def told(schema: Schema) -> Schema:
    """Return the schema of a text in answers: arguments are bounded, and what is there may be longer."""
    return {name: value for name, value in schema.items() if name != "maxLength"}


def whole(description: str, least: int, most: int | None = None, default: int | None = None) -> Schema:
    """Return the schema of a whole number."""
    found: Schema = {"type": "integer", "minimum": least, "description": description}
    if most is not None:
        found["maximum"] = most
    return found if default is None else {**found, "default": default}


def switch(description: str) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", "description": description}


def closed(properties: Mapping[str, Any], required: tuple[str, ...] = (), **more: Any) -> Schema:
    """Return the schema of an object that has no other keys."""
    found: Schema = {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}
    return {**found, "required": list(required)} if required else found


def listed(items: Schema, description: str) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "description": description}


PATH = text("A path, as clients connect to it.", "/rooms/blue")
USER = text("The name of a user.", "ann")
GROUP = text("The name of a group.", "admins")
CLIENT = text("The id of a client.")
WHOM: Mapping[str, Schema] = {"client": CLIENT, "user": USER, "path": PATH, "group": GROUP}
"""Which clients: those that match all that is given."""

ANY_OF_THEM = [{"required": [name]} for name in WHOM]
POSITION = text("A position, as it came with a value (at).")

ERROR = closed(
    {
        "code": {"type": "string", "description": "For programs: words of small letters, digits and hyphens."},
        "pointer": {"type": "string", "description": "A JSON Pointer to what is wrong in the request."},
        "detail": {"type": "string", "description": "One sentence for people."},
    },
    ("code", "detail"),
    description="What is wrong.",
)

OTHERS = switch("Whether the other nodes are told at once; false if the backplane is away. Left out by a single node.")
COMPLETE = switch("Whether this is about all nodes; false if there are others that this answer knows nothing of.")
