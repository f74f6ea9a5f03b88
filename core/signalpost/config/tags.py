"""What the tags of routes.yaml stand for: ``!include``, ``!include_dir`` and ``!secret``.

An included file is a tree of its own: its anchors are not known outside it, nor those of others in it. Of a folder,
the lists of all its files are put one behind the other, or the keys of all its mappings together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Protocol

from signalpost.config.bounds import MAX_DEPTH, Reading
from signalpost.config.disk import read_text
from signalpost.config.document import SECRET_NAME, Document
from signalpost.config.faults import Fault, StopReadingError, TooMuchError
from signalpost.config.folders import Gathered
from signalpost.config.includes import SECRETS_FILE, included_file, included_files
from signalpost.config.neighbours import reason
from signalpost.config.nodes import Hidden, MapNode, Node, ScalarNode, Span
from signalpost.config.words import quoted, unknown
from signalpost.errors import ConfigError

INCLUDE = "!include"
INCLUDE_FOLDER = "!include_dir"
SECRET = "!secret"  # noqa: S105 - the tag's name
TAGS = (INCLUDE, INCLUDE_FOLDER, SECRET)


@dataclass(frozen=True, slots=True)
class Outside:
    """What routes.yaml may refer to beyond its own text.

    Attributes:
        folder: of routes.yaml; absolute.
        file: the name of routes.yaml, as the user gave it.
        environment: where variables are looked up.

    """

    folder: Path
    file: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def path(self) -> Path:
        """Where routes.yaml is."""
        return self.folder / PurePath(self.file).name

    def shown(self, path: Path) -> str:
        """Name a file below the folder as the user would: as routes.yaml itself was named."""
        return str(PurePath(self.file).parent / self.relative(path))

    def relative(self, path: Path) -> str:
        """Name a file below the folder from there, as routes.yaml does."""
        return path.relative_to(self.folder).as_posix()


class ReadDocument(Protocol):
    """Reads documents."""

    def __call__(self, document: int, *, first: int = 0, tags: bool = True) -> tuple[Node | None, int]:
        """Read a document, by its index, into a node (None if it is empty) and its height.

        Args:
            document: its index among all.
            first: what its first item is counted as, if it is a list.
            tags: whether tags are known in it.

        Raises:
            StopReadingError: it cannot be read to its end.

        """


@dataclass(slots=True)
class Tags:
    """Makes nodes of tags.

    Attributes:
        read: reads a document.
        files: the files that were read and the folders that were looked into.

    """

    outside: Outside
    reading: Reading
    read: ReadDocument
    files: dict[Path, None] = field(default_factory=dict)
    _open: list[Path] = field(default_factory=list)
    _secrets: "_Secrets | None" = None

    def node(self, tag: str, name: str, shown: str, span: Span) -> tuple[Node, int]:
        """Return what a tag stands for, and its height. What is wrong is noted.

        Args:
            tag: one of `TAGS`.
            name: what stands behind it.
            shown: the same as it is written, before its variables were put in.
            span: where it stands.

        Raises:
            TooMuchError: all of it together is more than is read.

        """
        try:
            if tag == INCLUDE:
                return self._include(included_file(name, shown, self.outside.folder), span)
            if tag == INCLUDE_FOLDER:
                return self._include_folder(name, shown, span)
            return self._secret(name, shown, span), 0
        except ValueError as error:
            text = str(error)
        except OSError as error:
            text = f"{quoted(shown)} cannot be read: {reason(error)}"
        self.reading.faults.append(Fault(span, "{echo}", tuple(self.reading.keys), echo=text))
        return ScalarNode(span, None), 0

    def _include(self, path: Path, span: Span, first: int = 0) -> tuple[Node, int]:
        """Read a file.

        Raises:
            ValueError: it cannot be read at all.

        """
        chain = [self.outside.path, *self._open]
        for index, other in enumerate(chain):
            if other.exists() and path.samefile(other):
                names = " -> ".join(self.outside.relative(each) for each in (*chain[index:], path))
                raise ValueError(f"a file cannot include itself: {names}")
        keys = tuple(self.reading.keys)
        if len(keys) + len(self._open) >= MAX_DEPTH:
            raise TooMuchError(Fault(span, f"nested more than {MAX_DEPTH} levels deep"))
        document = self.reading.open(self._document(path), span)
        self._open.append(path)
        try:
            node, height = self.read(document, first=first)
        except TooMuchError:
            raise
        except StopReadingError as stop:
            self.reading.faults.append(replace(stop.fault, keys=keys))
            return ScalarNode(span, None), 0
        finally:
            self.reading.keys[:] = keys
            self._open.pop()
        return node or ScalarNode(span, None), height

    def _include_folder(self, name: str, shown: str, span: Span) -> tuple[Node, int]:
        paths = included_files(name, shown, self.outside.folder)
        self.files[self.outside.folder / PurePath(name)] = None
        gathered = Gathered(tuple(self.reading.keys))
        tallest = 0
        for path in paths:
            node, height = self._include(path, span, first=len(gathered.items))
            tallest = max(tallest, height)
            gathered.add(self.outside.relative(path), node)
        self.reading.faults += gathered.faults
        return gathered.node(span), tallest

    def _secret(self, name: str, shown: str, span: Span) -> ScalarNode:
        """Look a secret up.

        Raises:
            ValueError: there is none of that name that could be used.

        """
        if not name:
            raise ValueError("a secret's name is missing, as in !secret token")
        if self._secrets is None:
            self._secrets = self._read_secrets(span)
        node = self._secrets.nodes.get(name)
        if node is None or name in self._secrets.faulty:
            if not self._secrets.complete or name in self._secrets.faulty:
                self.reading.unread.append(tuple(self.reading.keys))
                return ScalarNode(span, None)
            # What YAML takes for a name may be a secret, where a colon or a line break is missing.
            names = [each for each in self._secrets.nodes if SECRET_NAME.fullmatch(each)]
            raise ValueError(unknown(f"secret in {SECRETS_FILE}", shown, names))
        if not isinstance(node, ScalarNode) or node.value is None or isinstance(node.value, bool):
            place = self.reading.documents[node.span.document].place(node.span.start)
            raise ValueError(f"the secret {quoted(shown)} ({place}) must be text or a number; quotes make it text")
        text = str(node.value)
        self.reading.count(span, 1, len(text), 0)
        return ScalarNode(span, node.value, (Hidden(f"{SECRET} {shown}", text, secret=True), *node.hidden))

    def _read_secrets(self, span: Span) -> "_Secrets":
        """Read the file of secrets. What is wrong in it is noted at its place, and belongs to no keys of routes.yaml.

        Raises:
            ValueError: it cannot be read at all.

        """
        path = self.outside.folder / SECRETS_FILE
        if not path.exists():
            raise ValueError(
                f"no file {quoted(self.outside.shown(path))}: secrets stand there, beside routes.yaml, each in a line "
                "as in token: s3cret"
            )
        if not path.is_file():
            raise ValueError(f"{quoted(self.outside.shown(path))} is not a file")
        document = self.reading.open(self._document(path, secret=True), span)
        earlier, self.reading.faults = self.reading.faults, []
        keys, self.reading.keys[:] = self.reading.keys[:], []
        complete = True
        root: Node | None = None
        try:
            root, _ = self.read(document, tags=False)
        except TooMuchError:
            raise
        except StopReadingError as stop:
            complete = False
            self.reading.faults.append(stop.fault)
        finally:
            found, self.reading.faults = self.reading.faults, earlier
            self.reading.keys[:] = keys
            self.reading.faults += (replace(fault, keys=()) for fault in found)
        if root is not None and not isinstance(root, MapNode):
            complete = False
            self.reading.faults.append(
                Fault(root.span, "a file of secrets is a mapping, each line as in token: s3cret")
            )
        nodes = {name: entry.node for name, entry in root.entries.items()} if isinstance(root, MapNode) else {}
        return _Secrets(nodes, frozenset(str(fault.keys[0]) for fault in found if fault.keys), complete)

    def _document(self, path: Path, *, secret: bool = False) -> Document:
        """Read a file's text.

        Raises:
            ValueError: it cannot be read.

        """
        name = self.outside.shown(path)
        self.files[path] = None
        try:
            return Document(name, read_text(path, name), secret=secret)
        except ConfigError as error:
            (problem,) = error.problems
            line = f"line {problem.line}: " if problem.line else ""
            raise ValueError(f"the file {quoted(name)} cannot be used: {line}{problem.text}") from None


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What the file of secrets holds.

    Attributes:
        nodes: by name.
        faulty: names of which something is wrong.
        complete: whether the file could be read to its end.

    """

    nodes: Mapping[str, Node] = field(repr=False)
    faulty: frozenset[str]
    complete: bool
