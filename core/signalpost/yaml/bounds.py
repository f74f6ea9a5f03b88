"""Limits of one routes.yaml, counted over all files that it consists of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from signalpost.places import Keys
from signalpost.yaml.document import Document
from signalpost.yaml.nodes import Span
from signalpost.yaml.problems import TextProblem, TooMuchError

MAX_CHARACTERS = 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 64
MAX_EXPANDED_CHARACTERS = 4 * MAX_CHARACTERS
MAX_FILES = 1000


@dataclass(slots=True)
class Reading:
    """Shared by all files of one routes.yaml: their limits, and the problems found.

    Attributes:
        documents: the files, as `Span.document` counts them.
        faults: in the order found.
        unread: paths of keys whose value is unknown, for a reason in a fault without keys.
        keys: the path to the value that is being read.
        nodes: created so far, aliases counted with all that they stand for; `characters` is counted the same way.
        length: characters of all files so far; a file included twice counts twice.
    """

    documents: list[Document] = field(default_factory=list)
    faults: list[TextProblem] = field(default_factory=list)
    unread: list[Keys] = field(default_factory=list)
    keys: list[str | int] = field(default_factory=list)
    nodes: int = 0
    characters: int = 0
    length: int = 0

    def open(self, document: Document, span: Span) -> int:
        """Count a file's text, and return the index of the document.

        Raises:
            TooMuchError: there are too many files, or they are too long; `span` is where this one is named.
        """
        self.documents.append(document)
        self.length += len(document.text)
        if self.length > MAX_CHARACTERS:
            what = "the file has" if len(self.documents) == 1 else f"with {document.name}, the files have"
            text = f"{what} {self.length:,} characters; at most {MAX_CHARACTERS:,} are read"
            raise TooMuchError(TextProblem(span, text))
        if len(self.documents) > MAX_FILES:
            raise TooMuchError(TextProblem(span, f"more than {MAX_FILES:,} files are included"))
        return len(self.documents) - 1

    @contextmanager
    def apart(self) -> Iterator[list[TextProblem]]:
        """Read a part with keys and faults of its own, and return the faults found in it."""
        (keys, self.keys[:]), (faults, self.faults) = (self.keys[:], []), (self.faults, [])
        try:
            yield self.faults
        finally:
            self.keys[:], self.faults = keys, faults

    def count(self, span: Span, nodes: int, characters: int, depth: int) -> None:
        """Count nodes, their characters and their depth.

        Raises:
            TooMuchError: there are too many, or they are too deep.
        """
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            text = f"the file holds more than {MAX_NODES:,} values, those behind aliases counted each time"
        elif self.characters > MAX_EXPANDED_CHARACTERS:
            text = f"the file's aliases expand to more than {MAX_EXPANDED_CHARACTERS:,} characters"
        elif depth > MAX_DEPTH:
            text = f"nested more than {MAX_DEPTH} levels deep"
        else:
            return
        raise TooMuchError(TextProblem(span, text))
