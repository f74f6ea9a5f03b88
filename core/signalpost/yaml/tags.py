"""Resolves the tags of routes.yaml: ``!include``, ``!include_dir`` and ``!secret``.

An included file is a separate tree: its anchors are unknown outside it, and those of other files in it. For a folder,
the lists of all its files are concatenated, or the keys of all its mappings are merged.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from signalpost.existence import is_same, reason
from signalpost.places import Keys
from signalpost.words import quoted
from signalpost.yaml.bounds import MAX_DEPTH, Reading
from signalpost.yaml.includes import check_included, included_files, place_below
from signalpost.yaml.nodes import Entry, ListNode, MapNode, Node, ScalarNode, Span
from signalpost.yaml.problems import StopReadingError, TextProblem, TooMuchError
from signalpost.yaml.secretfile import SecretFile
from signalpost.yaml.surroundings import ReadDocument, Surroundings

INCLUDE = "!include"
INCLUDE_FOLDER = "!include_dir"
SECRET = "!secret"  # noqa: S105 - the tag's name
TAGS = (INCLUDE, INCLUDE_FOLDER, SECRET)


class Tags:
    """Converts tags to nodes.

    Args:
        outside: the source of files and secrets.
        reading: shared by all files.
        read: reads a document.
    """

    __slots__ = ("_included", "_open", "_outside", "_read", "_reading", "_secrets")

    def __init__(self, outside: Surroundings, reading: Reading, read: ReadDocument) -> None:
        self._outside = outside
        self._reading = reading
        self._read = read
        self._secrets = SecretFile(outside, reading, read)
        self._included: dict[Path, None] = {}
        self._open: list[Path] = []

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read or named, and the folders that were searched; absolute."""
        return (*self._included, *((self._secrets.path,) if self._secrets.was_asked else ()))

    def node(self, tag: str, name: str, shown: str, span: Span) -> tuple[Node, int]:
        """Return the node for a tag, and its height. Problems are noted.

        Args:
            tag: one of `TAGS`.
            name: the text behind it.
            shown: the same as written, before variables were substituted.
            span: of the tag.

        Raises:
            TooMuchError: the total is more than may be read.
        """
        try:
            if tag == SECRET:
                return self._secrets.node(name, shown, span), 0
            path = place_below(name, shown, self._outside.folder)
            self._included[path] = None
            if tag == INCLUDE_FOLDER:
                return self._include_folder(path, shown, span)
            check_included(path, shown, self._outside.folder)
            return self._include(path, span)
        except ValueError as error:
            text = str(error)
        except OSError as error:
            text = f"{quoted(shown)} cannot be read: {reason(error)}"
        self._reading.faults.append(TextProblem(span, "{echo}", tuple(self._reading.keys), echo=text))
        return ScalarNode(span, None), 0

    def _include(self, path: Path, span: Span, first: int = 0) -> tuple[Node, int]:
        """Read a file.

        Raises:
            ValueError: it cannot be read at all.
        """
        chain = [self._outside.path, *self._open]
        for index, other in enumerate(chain):
            if is_same(path, other):
                names = " -> ".join(self._outside.relative(each) for each in (*chain[index:], path))
                raise ValueError(f"a file cannot include itself: {names}")
        keys = tuple(self._reading.keys)
        if len(keys) + len(self._open) >= MAX_DEPTH:
            raise TooMuchError(TextProblem(span, f"nested more than {MAX_DEPTH} levels deep"))
        self._included[path] = None
        document = self._reading.open(self._outside.document(path), span)
        self._open.append(path)
        try:
            node, height = self._read(document, first=first)
        except TooMuchError:
            raise
        except StopReadingError as stop:
            self._reading.faults.append(replace(stop.fault, keys=keys))
            return ScalarNode(span, None), 0
        finally:
            self._reading.keys[:] = keys
            self._open.pop()
        return node or ScalarNode(span, None), height

    def _include_folder(self, folder: Path, shown: str, span: Span) -> tuple[Node, int]:
        paths = included_files(folder, shown, self._outside.folder)
        gathered = Gathered(tuple(self._reading.keys))
        tallest = 0
        for path in paths:
            node, height = self._include(path, span, first=len(gathered.items))
            tallest = max(tallest, height)
            gathered.add(self._outside.relative(path), node)
        self._reading.faults += gathered.faults
        return gathered.node(span), tallest


@dataclass(slots=True)
class Gathered:
    """The merged contents of the files of one folder.

    Attributes:
        keys: the path to them.
        faults: conflicts between the files.
        items: of the lists so far.
    """

    keys: Keys
    faults: list[TextProblem] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _first: tuple[str, type[Node]] | None = None

    def add(self, name: str, node: Node) -> None:
        """Add the contents of the file `name`. A file without any value adds nothing."""
        if isinstance(node, ScalarNode):
            if node.value is not None:
                text = "a file of an included folder holds a list or a mapping, and this is neither"
                self.faults.append(TextProblem(node.span, text, self.keys))
            return
        if self._first is None:
            self._first = name, type(node)
        elif self._first[1] is not type(node):
            this, other = ("a list", "a mapping") if isinstance(node, ListNode) else ("a mapping", "a list")
            text = (
                f"this is {this}, and {quoted(self._first[0])} holds {other}: all files of an included folder hold the "
                "same (each item of a list begins with a dash)"
            )
            self.faults.append(TextProblem(node.span, text, self.keys))
            return
        if isinstance(node, ListNode):
            self.items += node.items
        else:
            self._merge(node)

    def node(self, span: Span) -> Node:
        """Return the merged contents, placed at `span`; nothing if no file has any."""
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
                self.faults.append(TextProblem(entry.key, text, (*self.keys, key), earlier.key, quoted(key)))
