"""The tree of routes.yaml: nodes with their places, and with what came from outside the files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from signalpost.places import Keys
from signalpost.scalars import Scalar


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file's text: offsets in characters, `end` exclusive.

    Attributes:
        document: the file, by its index among all that were read; 0 is routes.yaml itself.
    """

    start: int
    end: int
    document: int = 0


@dataclass(frozen=True, slots=True)
class Hidden:
    """A part of a value from outside the files, which no message may show.

    Attributes:
        label: shown instead, as in the file: ``${PORT}``, ``!secret token``.
        text: that is hidden.
        secret: whether it is hidden everywhere; else only in problems about the value.
        start: its offset in the value, in characters.
    """

    label: str
    text: str = field(repr=False)
    secret: bool = False
    start: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text, a number, true, false or null.

    Attributes:
        hidden: its parts from variables and secrets.
    """

    span: Span
    value: Scalar = field(repr=False)
    hidden: tuple[Hidden, ...] = ()


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    span: Span
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, with its value."""

    key: Span
    node: "Node"


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; its keys are text."""

    span: Span
    entries: Mapping[str, Entry]


Node = ScalarNode | ListNode | MapNode


def plain(node: Node) -> Any:
    """Return the node's value as dicts, lists and scalars."""
    match node:
        case MapNode(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}
        case ListNode(items=items):
            return [plain(item) for item in items]
        case ScalarNode(value=value):
            return value


def hidden_in(node: Node) -> Iterator[Hidden]:
    """Yield what a node and all below it took from outside."""
    for _, scalar in _scalars_in(node, ()):
        yield from scalar.hidden


def secrets_in(node: Node, keys: Keys) -> Iterator[Keys]:
    """Yield the path to every secret of a node and of all below it; the path to itself is `keys`."""
    for place, scalar in _scalars_in(node, keys):
        if any(each.secret for each in scalar.hidden):
            yield place


def _scalars_in(node: Node, keys: Keys) -> Iterator[tuple[Keys, ScalarNode]]:
    match node:
        case MapNode(entries=entries):
            for key, entry in entries.items():
                yield from _scalars_in(entry.node, (*keys, key))
        case ListNode(items=items):
            for index, item in enumerate(items):
                yield from _scalars_in(item, (*keys, index))
        case ScalarNode():
            yield keys, node
