"""The text of routes.yaml, and of the files that it includes, as a tree with the place of every key and value.

PyYAML's pure-Python parser yields events (its C parser crashes on deep nesting); this module builds the nodes. A
problem with a single node (a repeated key, an unknown tag, a variable that is not set) is noted and reading continues.
A problem that makes the rest of a file meaningless (a syntax error) ends that file, and excessive size (a bomb of
aliases or of includes) ends the whole reading. No text makes this raise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml import events

from signalpost import scalars
from signalpost.places import Keys
from signalpost.words import did_you_mean, quoted
from signalpost.yaml.bounds import Reading
from signalpost.yaml.document import Document
from signalpost.yaml.nodes import Entry, Hidden, ListNode, MapNode, Node, ScalarNode, Span
from signalpost.yaml.problems import StopReadingError, TextProblem
from signalpost.yaml.scanner import Stream, explain
from signalpost.yaml.surroundings import Surroundings
from signalpost.yaml.tags import TAGS, Tags
from signalpost.yaml.variables import Substituted, VariableProblem, substitute

_MERGE = "<<"
# Stands in a path of keys for a key that is still being read, or is invalid.
_NO_KEY = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """The result of reading.

    Attributes:
        root: None if the text is empty or could not be read to its end.
        documents: the files, as `Span.document` counts them; the first is routes.yaml.
        faults: in the order found; after one that ended the reading, `root` is None.
        unread: paths of keys whose value is unknown, for a reason in a fault without keys.
        files: included files, and included folders, and the file of secrets; absolute.
    """

    root: Node | None
    documents: tuple[Document, ...]
    faults: tuple[TextProblem, ...] = ()
    unread: tuple[Keys, ...] = ()
    files: tuple[Path, ...] = ()


def read_tree(text: str, file: str = "", outside: Surroundings | None = None) -> Tree:
    """Read YAML text; a leading byte order mark must be gone. Never raises.

    Args:
        text: to read.
        file: of the text, as named by the user.
        outside: the source of variables, includes and secrets; without it, the text has none of them.
    """
    reader = _Reader(Reading(), outside)
    root: Node | None = None
    try:
        root, _ = reader.read(reader.reading.open(Document(file, text), Span(0, 0)))
    except StopReadingError as stop:
        reader.reading.faults.append(stop.fault)
    reading = reader.reading
    files = reader.tags.files if reader.tags else ()
    return Tree(root, tuple(reading.documents), tuple(reading.faults), tuple(reading.unread), files)


class _Reader:
    """Reads the documents of one `Reading`.

    Attributes:
        reading: shared by the documents.
        tags: resolves tags; None if there are none.
    """

    __slots__ = ("_environment", "reading", "tags")

    def __init__(self, reading: Reading, outside: Surroundings | None) -> None:
        self.reading = reading
        self.tags = Tags(outside, reading, self.read) if outside else None
        self._environment = outside.environment if outside else None

    def read(self, document: int, *, first: int = 0, tags: bool = True) -> tuple[Node | None, int]:
        """Read a document; see `signalpost.yaml.surroundings.ReadDocument`."""
        text = self.reading.documents[document].text
        stream = Stream(text)
        builder = _Builder(iter(stream), document, self.reading, self.tags if tags else None, self._environment, first)
        try:
            return builder.document()
        except (yaml.YAMLError, OverflowError, RecursionError, ValueError) as error:
            # OverflowError and ValueError: PyYAML's chr() of an escape beyond Unicode, its int() of a long %YAML
            # version.
            raise StopReadingError(explain(error, text, stream.offset, document)) from None


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node with an anchor, and what each alias of it adds to the document."""

    node: Node
    nodes: int
    characters: int
    height: int


@dataclass(slots=True)
class _Builder:
    """Builds nodes from the events of one document.

    Attributes:
        index: of the document.
        reading: shared with other documents.
        tags: None if none are allowed.
        environment: of variables; None if none are allowed.
        first: the index of the document's first item, if it is a list.
        anchors: by name; None while the anchored node is still being read.
    """

    events: Iterator[Any]
    index: int
    reading: Reading
    tags: Tags | None
    environment: Mapping[str, str] | None
    first: int = 0
    anchors: dict[str, _Anchored | None] = field(default_factory=dict)

    def document(self) -> tuple[Node | None, int]:
        """Read the whole stream, which may contain one document; return its node and height."""
        root: Node | None = None
        height = 0
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                if root is not None:
                    text = "a second document begins here; the file holds one, so leave out the ---"
                    raise StopReadingError(TextProblem(self._span(event), text))
                root, height = self._node(next(self.events))
        return root, height

    def _node(self, event: Any, *, key: bool = False) -> tuple[Node, int]:
        """Return the node that starts with `event`, and its height (0 for a scalar)."""
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        before = self.reading.nodes, self.reading.characters
        self._count(event, nodes=1, characters=len(getattr(event, "value", "")), height=0)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node, height = self._content(event, key=key)
        if event.anchor is not None:
            nodes, characters = self.reading.nodes - before[0], self.reading.characters - before[1]
            self.anchors[event.anchor] = _Anchored(node, nodes, characters, height)
        return node, height

    def _content(self, event: Any, *, key: bool) -> tuple[Node, int]:
        if event.tag is not None and (key or not self._is_known(event)):
            self._unknown_tag(event, key=key)
        elif event.tag is not None and self.tags is not None:
            filled = self._filled(event)
            return self.tags.node(event.tag, filled.text, event.value, self._span(event))
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(event)
        if isinstance(event, events.SequenceStartEvent):
            return self._sequence(event)
        return self._scalar(event, key=key), 0

    def _is_known(self, event: Any) -> bool:
        return self.tags is not None and event.tag in TAGS and isinstance(event, events.ScalarEvent)

    def _unknown_tag(self, event: Any, *, key: bool) -> None:
        tag = str(event.tag)
        if key or self.tags is None or tag.startswith("tag:yaml.org,2002:") or tag == "!":
            text = "tags are not read{place}: leave out {echo}, and quote what must be text"
            self._fault(event, text.replace("{place}", " in keys" if key else ""), echo=_shown_tag(tag))
        elif tag in TAGS:
            self._fault(event, f"{tag} stands before a name, not before a list or a mapping: {tag} NAME")
        else:
            echo = f"{quoted(tag)}{did_you_mean(tag, TAGS)}"
            self._fault(
                event, f"no tag {{echo}} (known: {', '.join(TAGS)}); a text that starts with ! needs quotes", echo=echo
            )

    def _alias(self, event: Any) -> tuple[Node, int]:
        if event.anchor not in self.anchors:
            known = ", ".join(f"&{name}" for name in self.anchors) or "none"
            echo = f"&{event.anchor} above (known: {known})"
            self._stop(event, "no anchor {echo}; a text that starts with * needs quotes", echo)
        anchored = self.anchors[event.anchor]
        if anchored is None:
            echo = f"*{event.anchor} stands inside what &{event.anchor} names"
            self._stop(event, "{echo}, so it would contain itself", echo)
        self._count(event, anchored.nodes, anchored.characters, anchored.height)
        return anchored.node, anchored.height

    def _stop(self, event: Any, text: str, echo: str) -> NoReturn:
        raise StopReadingError(TextProblem(self._span(event), text, tuple(self.reading.keys), echo=echo))

    def _count(self, event: Any, nodes: int, characters: int, height: int) -> None:
        self.reading.count(self._span(event), nodes, characters, len(self.reading.keys) + height)

    def _sequence(self, event: Any) -> tuple[Node, int]:
        items: list[Node] = []
        tallest = 0
        first, self.first = self.first, 0
        while not isinstance(item := next(self.events), events.SequenceEndEvent):
            self.reading.keys.append(first + len(items))
            node, height = self._node(item)
            self.reading.keys.pop()
            items.append(node)
            tallest = max(tallest, height + 1)
        return ListNode(self._span(event, item), tuple(items)), tallest

    def _mapping(self, event: Any) -> tuple[Node, int]:
        self.first = 0
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        tallest = 0
        while not isinstance(key_event := next(self.events), events.MappingEndEvent):
            key, span, is_merge = self._key(key_event)
            self.reading.keys.append(_NO_KEY if key is None else key)
            known = len(self.reading.faults)
            node, height = self._node(next(self.events))
            tallest = max(tallest, height + 1)
            if is_merge:
                self._merge(merged, node, told=len(self.reading.faults) > known)
            elif key is not None and key in entries:
                text = "the key {echo} stands here a second time (first in {earlier})"
                self._fault(key_event, text, entries[key].key, quoted(key))
            elif key is not None:
                entries[key] = Entry(span, node)
            self.reading.keys.pop()
        return MapNode(self._span(event, key_event), {**merged, **entries} if merged else entries), tallest

    def _key(self, event: Any) -> tuple[str | None, Span, bool]:
        """Read a key: its text (None if it is invalid), its place, whether it is the merge key."""
        known = len(self.reading.faults)
        self.reading.keys.append(_NO_KEY)
        node, _ = self._node(event, key=True)
        self.reading.keys.pop()
        span = self._span(event)
        if not isinstance(node, ScalarNode):
            text = "a key is text, not a mapping or a list; {{ … }} and text that starts with { or [ need quotes"
            if len(self.reading.faults) == known:  # in "{{ x }}" the inner braces are the key, and are reported once
                self._fault(event, text)
            return None, span, False
        if isinstance(node.value, str):
            return node.value, span, node.value == _MERGE and getattr(event, "style", None) is None
        if len(self.reading.faults) > known:
            return None, span, False
        written = str(getattr(event, "value", node.value))
        text = 'a key is text: write "{echo}" in quotes' if written else "the key is missing"
        self._fault(event, text, echo=written)
        return None, span, False

    def _merge(self, merged: dict[str, Entry], node: Node, *, told: bool) -> None:
        """Merge the keys of a ``<<``: of several mappings the first one with a key wins.

        If the value is not a mapping, that may be `told` already: for a file that cannot be included.
        """
        for source in node.items if isinstance(node, ListNode) else (node,):
            if not isinstance(source, MapNode):
                if not told:
                    text = "<< takes over the keys of a mapping: give it an alias like *defaults, or an !include"
                    self._fault_at(node.span, text)
                return
            for key, entry in source.entries.items():
                merged.setdefault(key, entry)

    def _scalar(self, event: Any, *, key: bool) -> ScalarNode:
        span = self._span(event)
        filled = self._filled(event, key=key)
        value: scalars.Scalar = filled.text
        hidden = filled.hidden
        try:
            scalars.check_text(filled.text)
            if event.style is None and (filled.whole or filled.text == event.value) and not filled.flaws:
                value = scalars.resolve(filled.text)
        except ValueError as error:
            what = f"{hidden[0].label} holds no text of UTF-8, or no number that JSON knows" if hidden else "{echo}"
            self._fault(event, what, echo=str(error))
            return ScalarNode(span, None)
        if filled.flaws:
            return ScalarNode(span, None)
        if hidden and not isinstance(value, str):
            hidden = (*hidden, Hidden(hidden[0].label, str(value)))  # as messages write it: 1e3 becomes 1000.0
        return ScalarNode(span, value, hidden)

    def _filled(self, event: Any, *, key: bool = False) -> Substituted:
        """Return the text of a scalar with its variables substituted; keys have none."""
        text: str = event.value
        if self.environment is None or "${" not in text:
            return Substituted(text)
        filled = substitute(text, self.environment)
        for flaw in filled.flaws:
            # A piece of text from a file of secrets is not shown, though it may be a name; one that stands alone is.
            alone = flaw.unset and (flaw.start, flaw.end) == (0, len(text))
            self._fault_at(self._within(event, flaw), flaw.text if alone else "{echo}", echo=flaw.text)
        if key and (filled.hidden or filled.whole):
            self._fault(event, "variables are put into values, not into keys; $${ is a plain ${")
        self._count(event, 0, max(len(filled.text) - len(text), 0), 0)
        return filled

    def _within(self, event: Any, flaw: VariableProblem) -> Span:
        """Return the place of a part of a scalar; of the whole scalar, if escapes or line breaks hide it."""
        start, end = event.start_mark.index, event.end_mark.index
        written = event.value[flaw.start : flaw.end]
        position = start - 1
        for _ in range(event.value.count(written, 0, flaw.start) + 1):
            position = self._text.find(written, position + 1, end)
            if position < 0:
                return self._span(event)
        return Span(position, position + len(written), self.index)

    def _fault(self, event: Any, text: str, earlier: Span | None = None, echo: str = "") -> None:
        self._fault_at(self._span(event), text, earlier, echo)

    def _fault_at(self, span: Span, text: str, earlier: Span | None = None, echo: str = "") -> None:
        keys = self.reading.keys
        keys = keys[: keys.index(_NO_KEY)] if _NO_KEY in keys else keys
        self.reading.faults.append(TextProblem(span, text, tuple(keys), earlier, echo))

    def _span(self, event: Any, end: Any = None) -> Span:
        """Return the place of an event, or of the collection between `event` and `end`.

        A collection in block style has no end of its own (its last event is behind blank lines and comments): its place
        is its first character.
        """
        start: int = event.start_mark.index
        if end is None:
            return Span(start, event.end_mark.index, self.index)
        return Span(start, end.end_mark.index if event.flow_style else start, self.index)

    @property
    def _text(self) -> str:
        return self.reading.documents[self.index].text


def _shown_tag(tag: str) -> str:
    return scalars.shorten(tag.replace("tag:yaml.org,2002:", "!!"))
