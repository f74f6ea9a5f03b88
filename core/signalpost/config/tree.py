"""The text of routes.yaml as a tree that knows where every key and value stands.

PyYAML's pure-Python parser gives events (its C parser crashes on deep nesting); this module makes the nodes. What
is wrong with a single node (a key twice, a tag) is noted and reading goes on; what makes the rest meaningless (a
syntax error, a bomb of aliases) ends it. Nothing that the text may hold raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events

from signalpost.config import scalars, yamlerrors
from signalpost.config.yamlerrors import Span

MAX_CHARACTERS = 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 64
MAX_EXPANDED_CHARACTERS = 4 * MAX_CHARACTERS

_MERGE = "<<"
# Stands in the path of keys for a key that is still being read, or is none.
_NO_KEY = -1


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text, a number, true, false or null."""

    span: Span
    value: scalars.Scalar


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


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the text, before anyone asks what it means.

    Attributes:
        keys: the path to it; empty where no path can be named.
        earlier: a place in the text that `text` speaks of as ``{earlier}``.

    """

    span: Span
    text: str
    keys: tuple[str | int, ...] = ()
    earlier: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """What could be read.

    Attributes:
        root: None if the text is empty or could not be read to its end.
        faults: in the order found; after one that ended the reading, `root` is None.

    """

    root: Node | None
    faults: tuple[Fault, ...]


def read_tree(text: str) -> Tree:
    """Read YAML text; a leading byte order mark must be gone. Never raises."""
    if len(text) > MAX_CHARACTERS:
        fault = Fault(Span(0, 0), f"the file has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
        return Tree(None, (fault,))
    builder = _Builder(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        return Tree(builder.document(), tuple(builder.faults))
    except _StopReadingError as stop:
        fault = stop.fault
    except (yaml.YAMLError, OverflowError, RecursionError, ValueError) as error:
        # OverflowError and ValueError: PyYAML's chr() of an escape beyond Unicode, its int() of a long %YAML version.
        explained = yamlerrors.explain(error, text)
        fault = Fault(explained.span, explained.words, earlier=explained.earlier)
    return Tree(None, (*builder.faults, fault))


def plain(node: Node) -> Any:
    """Return the node's value as dicts, lists and scalars."""
    match node:
        case MapNode(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}
        case ListNode(items=items):
            return [plain(item) for item in items]
        case ScalarNode(value=value):
            return value


class _StopReadingError(Exception):
    """The rest of the text is not worth reading."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.text)


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node with an anchor, and what each alias of it adds to the document."""

    node: Node
    nodes: int
    characters: int
    height: int


@dataclass(slots=True)
class _Builder:
    """Makes nodes of events, one document deep.

    Attributes:
        nodes: made so far, aliases counted with all that they stand for; likewise `characters`.
        anchors: by name; None while the anchored node is still being read.

    """

    events: Iterator[Any]
    faults: list[Fault] = field(default_factory=list)
    keys: list[str | int] = field(default_factory=list)
    anchors: dict[str, _Anchored | None] = field(default_factory=dict)
    nodes: int = 0
    characters: int = 0

    def document(self) -> Node | None:
        """Read the whole stream, which may hold one document."""
        root: Node | None = None
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                if root is not None:
                    raise _StopReadingError(
                        Fault(_span(event), "a second document begins here; the file holds one, so leave out the ---")
                    )
                root, _ = self._node(next(self.events))
        return root

    def _node(self, event: Any) -> tuple[Node, int]:
        """Return the node that begins with `event`, and its height (a scalar has 0)."""
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        before = self.nodes, self.characters
        self._count(event, nodes=1, characters=len(getattr(event, "value", "")), height=0)
        if event.tag is not None:
            self._fault(_span(event), f"tags are not read: leave out {_tag(event.tag)}, and quote what must be text")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node, height = self._content(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(node, self.nodes - before[0], self.characters - before[1], height)
        return node, height

    def _content(self, event: Any) -> tuple[Node, int]:
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(event)
        if isinstance(event, events.SequenceStartEvent):
            return self._sequence(event)
        return ScalarNode(_span(event), self._scalar(event)), 0

    def _alias(self, event: Any) -> tuple[Node, int]:
        if event.anchor not in self.anchors:
            known = ", ".join(f"&{name}" for name in self.anchors) or "none"
            text = f"no anchor &{event.anchor} above (known: {known}); a text that starts with * needs quotes"
            raise _StopReadingError(Fault(_span(event), text, tuple(self.keys)))
        anchored = self.anchors[event.anchor]
        if anchored is None:
            text = f"*{event.anchor} stands inside what &{event.anchor} names, so it would contain itself"
            raise _StopReadingError(Fault(_span(event), text, tuple(self.keys)))
        self._count(event, anchored.nodes, anchored.characters, anchored.height)
        return anchored.node, anchored.height

    def _count(self, event: Any, nodes: int, characters: int, height: int) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            text = f"the file holds more than {MAX_NODES:,} values, those behind aliases counted each time"
        elif self.characters > MAX_EXPANDED_CHARACTERS:
            text = f"the file's aliases expand to more than {MAX_EXPANDED_CHARACTERS:,} characters"
        elif len(self.keys) + height > MAX_DEPTH:
            text = f"nested more than {MAX_DEPTH} levels deep"
        else:
            return
        raise _StopReadingError(Fault(_span(event), text))

    def _sequence(self, event: Any) -> tuple[Node, int]:
        items: list[Node] = []
        tallest = 0
        while not isinstance(item := next(self.events), events.SequenceEndEvent):
            self.keys.append(len(items))
            node, height = self._node(item)
            self.keys.pop()
            items.append(node)
            tallest = max(tallest, height + 1)
        return ListNode(_span(event, item), tuple(items)), tallest

    def _mapping(self, event: Any) -> tuple[Node, int]:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        tallest = 0
        while not isinstance(key_event := next(self.events), events.MappingEndEvent):
            key, span, is_merge = self._key(key_event)
            self.keys.append(_NO_KEY if key is None else key)
            node, height = self._node(next(self.events))
            tallest = max(tallest, height + 1)
            if is_merge:
                self._merge(merged, node)
            elif key is not None and key in entries:
                text = f"the key {scalars.shorten(key)!r} stands here a second time (first in {{earlier}})"
                self._fault(span, text, entries[key].key.start)
            elif key is not None:
                entries[key] = Entry(span, node)
            self.keys.pop()
        return MapNode(_span(event, key_event), {**merged, **entries} if merged else entries), tallest

    def _key(self, event: Any) -> tuple[str | None, Span, bool]:
        """Read a key: its text (None if it is none), its place, whether it is the merge key."""
        known = len(self.faults)
        self.keys.append(_NO_KEY)
        node, _ = self._node(event)
        self.keys.pop()
        span = _span(event)
        if not isinstance(node, ScalarNode):
            text = "a key is text, not a mapping or a list; {{ … }} and text that starts with { or [ need quotes"
            if len(self.faults) == known:  # of "{{ x }}" the inner braces are the key, and are told once
                self._fault(node.span, text)
            return None, span, False
        if isinstance(node.value, str):
            return node.value, span, node.value == _MERGE and getattr(event, "style", None) is None
        if len(self.faults) > known:
            return None, span, False
        written = str(getattr(event, "value", node.value))
        self._fault(span, f'a key is text: write "{written}" in quotes' if written else "the key is missing")
        return None, span, False

    def _merge(self, merged: dict[str, Entry], node: Node) -> None:
        """Take over the keys of a ``<<``: of several mappings the first that has a key gives it."""
        for source in node.items if isinstance(node, ListNode) else (node,):
            if not isinstance(source, MapNode):
                self._fault(node.span, "<< takes over the keys of a mapping: give it an alias like *defaults")
                return
            for key, entry in source.entries.items():
                merged.setdefault(key, entry)

    def _scalar(self, event: Any) -> scalars.Scalar:
        value: str = event.value
        try:
            scalars.check_text(value)
            return scalars.resolve(value) if event.style is None else value
        except ValueError as error:
            self._fault(_span(event), str(error))
            return None

    def _fault(self, span: Span, text: str, earlier: int | None = None) -> None:
        keys = self.keys[: self.keys.index(_NO_KEY)] if _NO_KEY in self.keys else self.keys
        self.faults.append(Fault(span, text, tuple(keys), earlier))


def _span(event: Any, end: Any = None) -> Span:
    """Return the place of an event, or of the collection between `event` and `end`.

    A collection in block style has no end of its own (its last event stands behind blank lines and comments): its
    place is its first character.
    """
    start: int = event.start_mark.index
    if end is None:
        return Span(start, event.end_mark.index)
    return Span(start, end.end_mark.index if event.flow_style else start)


def _tag(tag: str) -> str:
    return scalars.shorten(tag.replace("tag:yaml.org,2002:", "!!"))
