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
    """The sources of variables, includes and secrets.

    Attributes:
        folder: of routes.yaml; absolute.
        file: the name of routes.yaml, as given by the user.
        environment: for variables.
    """

    folder: Path
    file: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def path(self) -> Path:
        """The path of routes.yaml."""
        return self.folder / PurePath(self.file).name

    def shown(self, path: Path) -> str:
        """Return the name of a file below the folder for the user: in the form used for routes.yaml itself."""
        return str(PurePath(self.file).parent / self.relative(path))

    def relative(self, path: Path) -> str:
        """Return the name of a file below the folder relative to it, as routes.yaml does."""
        return path.relative_to(self.folder).as_posix()

    def document(self, path: Path, *, secret: bool = False) -> Document:
        """Read a file below the folder.

        Raises:
            ValueError: it cannot be read, or is not text; the text, one line, says why.
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
        """Read a document into a node (None if it is empty), and return it with its height.

        Args:
            document: its index among all.
            first: the index of its first item, if it is a list.
            tags: whether tags are allowed in it.

        Raises:
            StopReadingError: it cannot be read to its end.
        """
