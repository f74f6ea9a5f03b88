"""What routes.yaml may refer to beyond its own text: its folder, and the environment of the process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol

from signalpost.errors import ConfigError
from signalpost.words import quoted
from signalpost.yaml.disk import read_text
from signalpost.yaml.document import Document
from signalpost.yaml.nodes import Node


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where variables, includes and secrets are found.

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

    def document(self, path: Path, *, secret: bool = False) -> Document:
        """Read a file below the folder.

        Raises:
            ValueError: it cannot be read, or is no text; the text, one line, says why.

        """
        name = self.shown(path)
        try:
            return Document(name, read_text(path, name), secret=secret)
        except ConfigError as error:
            (problem,) = error.problems
            line = f"line {problem.line}: " if problem.line else ""
            raise ValueError(f"the file {quoted(name)} cannot be used: {line}{problem.text}") from None


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
