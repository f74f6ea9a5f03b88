"""Iteration over a JSON Schema of any draft: plain dicts and lists, and references within them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from signalpost.places import Keys

# Keywords whose value is data, and those whose value maps names to schemas: a property may be called "const".
DATA: Final = frozenset({"const", "enum", "default", "examples", "required", "dependentRequired"})
BY_NAME: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)


def mappings(document: Any, keys: Keys = ()) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Yield every mapping of a document, schema or not, with the path to it."""
    stack: list[tuple[Keys, Any]] = [(keys, document)]
    while stack:
        keys, part = stack.pop()
        if isinstance(part, dict):
            yield keys, part
            stack += [((*keys, key), value) for key, value in reversed(part.items())]
        elif isinstance(part, list):
            stack += [((*keys, index), part[index]) for index in reversed(range(len(part)))]


def pairs(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of every mapping of a document with its value; some are not keywords."""
    for _, mapping in mappings(document):
        yield from mapping.items()


def inside(key: str, value: Any, change: Callable[[Any], Any]) -> Any:
    """Return the value of a keyword with `change` applied to each part that may be a schema."""
    if key in DATA:
        return value
    if key in BY_NAME and isinstance(value, dict):
        return {name: change(part) for name, part in value.items()}
    return change(value)


def pointed(document: Any, reference: str) -> Any:
    """Return the part of a document that ``#/a/b`` points to (RFC 6901 section 6); None if there is none."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    for step in unquote(reference[1:]).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def pointer_to(path: Sequence[str | int]) -> str:
    """Return a path as a JSON Pointer: ``["a/b", 0]`` is ``/a~1b/0``."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
