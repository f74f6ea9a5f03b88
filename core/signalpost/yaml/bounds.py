"""What one routes.yaml may hold, counted over all files that make it up."""

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
    """What is shared by all files that make up one routes.yaml: their bounds, and what was found.

    Attributes:
        documents: the files, as `Span.document` counts them.
        faults: in the order found.
        unread: paths of keys whose value is not known, for a reason that a fault without keys tells.
        keys: the path to what is being read.
        nodes: made so far, aliases counted with all that they stand for; likewise `characters`.
        length: characters of all files so far, those included twice counted twice.

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
            TooMuchError: it is one too many, or makes the whole too long; `span` is where it is named.

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
        """Read something that has keys and faults of its own, and return the faults found in it."""
        (keys, self.keys[:]), (faults, self.faults) = (self.keys[:], []), (self.faults, [])
        try:
            yield self.faults
        finally:
            self.keys[:], self.faults = keys, faults

    def count(self, span: Span, nodes: int, characters: int, depth: int) -> None:
        """Count nodes, the characters in them, and how deep they lie.

        Raises:
            TooMuchError: they are too many, or too deep.

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
