"""The places of everything in routes.yaml: converts paths of keys to problems with file, line and column."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from signalpost.errors import Problem
from signalpost.places import Keys, Part
from signalpost.words import format_keys, printable
from signalpost.yaml.document import Document
from signalpost.yaml.masks import MASK, SHORTEST, Mask, secrets_mask
from signalpost.yaml.nodes import Hidden, ListNode, MapNode, Node, ScalarNode, Span, hidden_in, secrets_in
from signalpost.yaml.problems import TextProblem
from signalpost.yaml.tree import Tree


class Source:
    """The files of a routes.yaml and their tree; the `SourceMap` of `signalpost.config.model`.

    Attributes:
        file: routes.yaml, as the user named it.
        has_secrets: whether any value is a secret.
        masked: hides the secrets in a text: ``!secret token`` replaces each.
    """

    __slots__ = ("_around", "_documents", "_hidden", "_root", "file", "has_secrets", "masked")

    def __init__(self, tree: Tree) -> None:
        self.file = tree.documents[0].name
        self._documents: Sequence[Document] = tree.documents
        self._root = tree.root
        self._around: tuple[Node | None, tuple[Hidden, ...]] = (None, ())
        self._hidden = tuple(hidden_in(tree.root)) if tree.root else ()
        self.has_secrets = any(each.secret for each in self._hidden)
        self.masked = secrets_mask(self._hidden)

    def hide(self, secret: str, around: str = "") -> None:
        """Hide a part of a value from now on, as if it were a secret, also in the lines that problems show.

        Args:
            secret: the part.
            around: the part with what stands next to it, by which it is found in lines; empty for no search there.
        """
        self._hidden = (*self._hidden, Hidden(MASK, secret, secret=True))
        self.has_secrets = True
        self.masked = secrets_mask(self._hidden)
        for document in self._documents if around else ():
            document.hide(around, around.replace(secret, "*" * len(secret)))

    def problem(self, keys: Keys, text: str, *, of_key: bool = False, part: Part | None = None) -> Problem:
        """Return the problem `text` about the value at `keys` (or about its key, or a part), or its nearest parent."""
        nodes = self._way(keys)
        if not nodes:
            return Problem(self.file, 0, 0, format_keys(keys), printable(text))
        span = self._span(nodes, keys, of_key=of_key)
        document = self._documents[span.document]
        start, end = document.find(part, span.start, span.end) if part else (span.start, span.end)
        return document.problem(start, end, self._masked(text, nodes), keys)

    def place(self, keys: Keys) -> str:
        """Return the place of the value at `keys`, or of its nearest parent: ``routes.yaml:14``."""
        nodes = self._way(keys)
        if not nodes:
            return self.file
        span = self._span(nodes, keys, of_key=True)
        return self._documents[span.document].place(span.start)

    def shown(self, name: str) -> str:
        """Return the name of a file in the folder of routes.yaml for the user: in the form of routes.yaml itself."""
        return str(PurePath(self.file).parent / name)

    def secrets(self, keys: Keys) -> Iterator[Keys]:
        """Yield the paths, at `keys` and below, of the values that are secrets."""
        nodes = self._way(keys)
        if len(nodes) == len(keys) + 1:
            yield from secrets_in(nodes[-1], keys)

    def fault(self, fault: TextProblem) -> Problem:
        """Convert a fault found while reading the tree to a problem."""
        document = self._documents[fault.span.document]
        earlier = fault.earlier and self._documents[fault.earlier.document].place(fault.earlier.start)
        text = fault.words(earlier or "", masked=document.secret)
        return document.problem(fault.span.start, fault.span.end, self.masked(text), fault.keys)

    def outside(self, keys: Keys, text: str) -> Sequence[tuple[int, int]]:
        """Return the parts of the text at `keys` that came from variables and secrets; see `SourceMap`."""
        nodes = self._way(keys)
        node = nodes[-1] if len(nodes) == len(keys) + 1 else None
        if not isinstance(node, ScalarNode) or node.value != text:
            return ()
        return [(each.start, each.start + len(each.text)) for each in node.hidden if each.text]

    def _masked(self, text: str, nodes: Sequence[Node]) -> str:
        """Hide what a problem about the last of `nodes` must not show.

        For the value itself that is every piece of what came from outside; for values beside it, the whole value.
        """
        beside = nodes[-2] if len(nodes) > 1 and isinstance(nodes[-2], MapNode) else None
        if self._around[0] is not beside:  # many problems are about the values of one mapping
            hidden = hidden_in(beside) if beside else ()
            self._around = beside, tuple(each for each in hidden if len(each.text) >= SHORTEST)
        about = tuple(hidden_in(nodes[-1]))
        return self.masked(Mask((*about, *self._around[1]))(text, about))

    def _way(self, keys: Keys) -> list[Node]:
        """Return the nodes on the path to the value at `keys`, or to its nearest parent; none without a tree."""
        nodes = [self._root] if self._root else []
        for key in keys:
            node = nodes[-1] if nodes else None
            if isinstance(node, MapNode) and isinstance(key, str) and key in node.entries:
                nodes.append(node.entries[key].node)
            elif isinstance(node, ListNode) and isinstance(key, int) and 0 <= key < len(node.items):
                nodes.append(node.items[key])
            else:
                break
        return nodes

    def _span(self, nodes: Sequence[Node], keys: Keys, *, of_key: bool) -> Span:
        reached = len(nodes) - 1
        parent = nodes[-2] if reached else None
        if of_key and reached == len(keys) and isinstance(parent, MapNode):
            return parent.entries[str(keys[-1])].key
        return nodes[-1].span
