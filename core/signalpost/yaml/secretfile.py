"""The file of secrets: names and values, read once, on the first use of a secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from signalpost.existence import is_file, is_there
from signalpost.words import quoted, unknown
from signalpost.yaml.bounds import Reading
from signalpost.yaml.document import SECRET_NAME
from signalpost.yaml.includes import SECRETS_FILE
from signalpost.yaml.nodes import Hidden, MapNode, Node, ScalarNode, Span
from signalpost.yaml.problems import StopReadingError, TextProblem, TooMuchError
from signalpost.yaml.surroundings import ReadDocument, Surroundings

_FORM = "each line as in token: s3cret"


@dataclass(slots=True)
class SecretFile:
    """Looks secrets up.

    Attributes:
        read: reads a document.
        was_asked: whether any secret was asked for.
    """

    outside: Surroundings
    reading: Reading
    read: ReadDocument
    was_asked: bool = False
    _held: "_Held | None" = None

    @property
    def path(self) -> Path:
        """The path of the file, whether it exists or not: beside routes.yaml."""
        return self.outside.folder / SECRETS_FILE

    def node(self, name: str, shown: str, span: Span) -> ScalarNode:
        """Return a secret, or nothing if the file's own faults explain why it is unknown.

        Args:
            name: of the secret.
            shown: the name as written in routes.yaml, before variables were substituted.
            span: of the reference.

        Raises:
            ValueError: no usable secret has that name; the text, one line, says why.
        """
        self.was_asked = True
        if not name:
            raise ValueError("a secret's name is missing, as in !secret token")
        held = self._held = self._held or self._open(span)
        node = held.nodes.get(name)
        if name in held.faulty or (node is None and not held.complete):
            self.reading.unread.append(tuple(self.reading.keys))
            return ScalarNode(span, None)
        if node is None:
            # What YAML reads as a name may be a secret, if a colon or a line break is missing.
            names = [each for each in held.nodes if SECRET_NAME.fullmatch(each)]
            raise ValueError(unknown(f"secret in {SECRETS_FILE}", shown, names))
        if not isinstance(node, ScalarNode) or node.value is None or isinstance(node.value, bool):
            place = self.reading.documents[node.span.document].place(node.span.start)
            raise ValueError(f"the secret {quoted(shown)} ({place}) must be text or a number; quotes make it text")
        text = str(node.value)
        self.reading.count(span, 1, len(text), 0)
        return ScalarNode(span, node.value, (Hidden(f"!secret {shown}", text, secret=True), *node.hidden))

    def _open(self, span: Span) -> "_Held":
        """Read the file. Problems in it are noted at their place, and belong to no keys of routes.yaml.

        Raises:
            ValueError: it cannot be read at all.
        """
        name = quoted(self.outside.shown(self.path))
        if not is_there(self.path):
            raise ValueError(f"no file {name}: secrets stand there, beside routes.yaml, {_FORM}")
        if not is_file(self.path):
            raise ValueError(f"{name} is not a file")
        document = self.reading.open(self.outside.document(self.path, secret=True), span)
        with self.reading.apart() as found:
            complete = True
            root: Node | None = None
            try:
                root, _ = self.read(document, tags=False)
            except TooMuchError:
                raise
            except StopReadingError as stop:
                found.append(stop.fault)
                complete = False
            if root is not None and not isinstance(root, MapNode):
                found.append(TextProblem(root.span, f"a file of secrets is a mapping, {_FORM}"))
                complete = False
        self.reading.faults += (replace(fault, keys=()) for fault in found)
        nodes = {key: entry.node for key, entry in root.entries.items()} if isinstance(root, MapNode) else {}
        return _Held(nodes, frozenset(str(fault.keys[0]) for fault in found if fault.keys), complete)


@dataclass(frozen=True, slots=True)
class _Held:
    """The contents of the file.

    Attributes:
        nodes: by name.
        faulty: names with problems.
        complete: whether the file could be read to its end.
    """

    nodes: Mapping[str, Node] = field(repr=False)
    faulty: frozenset[str]
    complete: bool
