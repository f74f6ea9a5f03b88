"""Collects all problems of one file, so that no problem hides another one."""

from collections.abc import Iterable
from pathlib import Path

from signalpost.errors import Problem
from signalpost.places import Keys
from signalpost.yaml.problems import TextProblem
from signalpost.yaml.source import Source


class Report:
    """The problems found so far.

    Attributes:
        source: of the places.
        files: that were read or named; absolute.
    """

    __slots__ = ("_about", "_faulty", "_problems", "files", "source")

    def __init__(self, source: Source, faults: Iterable[TextProblem] = (), unread: Iterable[Keys] = ()) -> None:
        self.source = source
        self.files: dict[Path, None] = {}
        self._problems: dict[Problem, None] = {}
        self._faulty: set[Keys] = set(unread)
        self._about: set[Keys] = set()
        for fault in faults:
            self._problems[source.fault(fault)] = None
            self._faulty.add(fault.keys)

    def add(self, keys: Keys, text: str, *, of_key: bool = False) -> None:
        """Add a problem about the value at `keys`, or about its key.

        A value that could not be read gets no further problem: the rest of it is not what the file says.
        """
        if keys not in self._faulty or not keys:
            self._problems[self.source.problem(keys, text, of_key=of_key)] = None
            self._about.add(keys)

    def add_problem(self, problem: Problem) -> None:
        """Add a problem of another file."""
        self._problems[problem] = None

    @property
    def faulty(self) -> frozenset[Keys]:
        """The key paths with problems in this file."""
        return frozenset(self._about | self._faulty)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, each once, sorted by place; those of other files last."""
        return tuple(
            sorted(self._problems, key=lambda each: (each.file != self.source.file, each.file, each.line, each.column))
        )
