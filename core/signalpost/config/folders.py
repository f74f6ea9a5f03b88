"""Puts the files of an included folder together: lists one behind the other, mappings key by key."""

from dataclasses import dataclass, field

from signalpost.config.faults import Fault
from signalpost.config.model import Keys
from signalpost.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, Span
from signalpost.config.words import quoted


@dataclass(slots=True)
class Gathered:
    """What the files of one folder hold together.

    Attributes:
        keys: the path to it.
        faults: what does not fit together.
        items: of the lists so far.

    """

    keys: Keys
    faults: list[Fault] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _first: tuple[str, type[Node]] | None = None

    def add(self, name: str, node: Node) -> None:
        """Add what the file `name` holds. A file without any value adds nothing."""
        if isinstance(node, ScalarNode):
            if node.value is not None:
                text = "a file of an included folder holds a list or a mapping, and this is neither"
                self.faults.append(Fault(node.span, text, self.keys))
            return
        if self._first is None:
            self._first = name, type(node)
        elif self._first[1] is not type(node):
            this, other = ("a list", "a mapping") if isinstance(node, ListNode) else ("a mapping", "a list")
            text = (
                f"this is {this}, and {quoted(self._first[0])} holds {other}: all files of an included folder hold the "
                "same (each item of a list begins with a dash)"
            )
            self.faults.append(Fault(node.span, text, self.keys))
            return
        if isinstance(node, ListNode):
            self.items += node.items
        else:
            self._merge(node)

    def node(self, span: Span) -> Node:
        """Return all of it, placed at `span`; nothing, if no file holds anything."""
        if self._first is None:
            return ScalarNode(span, None)
        return ListNode(span, tuple(self.items)) if self._first[1] is ListNode else MapNode(span, self._entries)

    def _merge(self, node: MapNode) -> None:
        for key, entry in node.entries.items():
            earlier = self._entries.setdefault(key, entry)
            if earlier is not entry:
                text = (
                    "the key {echo} stands in two files of the folder (first in {earlier}); where each file is an item "
                    "of a list, begin it with a dash"
                )
                self.faults.append(Fault(entry.key, text, (*self.keys, key), earlier.key, quoted(key)))
