"""Places in routes.yaml: the path of keys to a value, and its file, line and column."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from signalpost.errors import Problem
from signalpost.words import format_keys

Keys = tuple[str | int, ...]


class Part(NamedTuple):
    """A piece of a text that is a value of routes.yaml.

    Attributes:
        line: of the text that contains it, from 1.
        text: the piece.
    """

    line: int
    text: str


class SourceMap(Protocol):
    """The places of every key and value of routes.yaml."""

    def problem(self, keys: Keys, text: str, *, of_key: bool = False, part: Part | None = None) -> Problem:
        """Return the problem `text` about the value at `keys` (or about its key), or about a part of it.

        A path that does not exist in the file is placed at its nearest existing parent.
        """

    def place(self, keys: Keys) -> str:
        """Return the place of the value at `keys`: ``routes.yaml:14``."""

    def outside(self, keys: Keys, text: str) -> Sequence[tuple[int, int]]:
        """Return the parts of the text at `keys` that came from variables and secrets.

        Returns:
            The parts in order: offsets, the second exclusive. None if the text at `keys` is different.
        """

    @property
    def has_secrets(self) -> bool:
        """Whether any value is a secret."""

    def masked(self, text: str) -> str:
        """Hide the secrets in a text: ``!secret token`` replaces each."""


class Placed:
    """A part of routes.yaml. Its repr shows its place and not its content, which may be a secret."""

    __slots__ = ()

    keys: Keys

    def __repr__(self) -> str:
        return f"{type(self).__name__}({format_keys(self.keys)})"
