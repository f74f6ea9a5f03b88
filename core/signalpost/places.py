"""Where something stands in routes.yaml: the path of keys to it, and how to name its file, line and column."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from signalpost.errors import Problem
from signalpost.words import format_keys

Keys = tuple[str | int, ...]


class Part(NamedTuple):
    """A piece of a text that is a value of routes.yaml.

    Attributes:
        line: of the text, from 1, in which it stands.
        text: the piece.

    """

    line: int
    text: str


class SourceMap(Protocol):
    """Where every key and value of routes.yaml stands."""

    def problem(self, keys: Keys, text: str, *, of_key: bool = False, part: Part | None = None) -> Problem:
        """Make the problem `text` about the value at `keys` (or about its key), or about a part of it.

        A path that the file does not have is placed at its nearest parent that it has.
        """

    def place(self, keys: Keys) -> str:
        """Name where the value at `keys` stands: ``routes.yaml:14``."""

    def outside(self, keys: Keys, text: str) -> Sequence[tuple[int, int]]:
        """Return what of the text at `keys` came from variables and secrets.

        Returns:
            The stretches, in order: offsets, the second exclusive. None if there is another text at `keys`.

        """

    @property
    def has_secrets(self) -> bool:
        """Whether any value is a secret."""

    def masked(self, text: str) -> str:
        """Hide the secrets that a text holds: ``!secret token`` stands in the place of each."""


class Placed:
    """A part of routes.yaml. Its repr says where it stands and not what it holds, since that may be a secret."""

    __slots__ = ()

    keys: Keys

    def __repr__(self) -> str:
        return f"{type(self).__name__}({format_keys(self.keys)})"
