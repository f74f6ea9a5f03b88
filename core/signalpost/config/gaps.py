"""The unknown parts of a routes.yaml with problems, for checks of the rest.

A problem must neither hide nor cause another one: a handler from a folder that was not found is not reported as
unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from signalpost.config.actions import calls_in
from signalpost.config.model import ServerConfig
from signalpost.config.section import Section
from signalpost.errors import Problem
from signalpost.places import Keys
from signalpost.words import nearest
from signalpost.yaml.report import Report

_PARTS = ("routes", "signals", "timers", "schedules", "feeds")
_SECTIONS = ("endpoints", "plugins", "handlers", "undeclared", "limits", "state", "history", *_PARTS)


@dataclass(frozen=True, slots=True)
class SkippedPart:
    """A route, signal, timer, schedule or feed left out of the configuration, since a part of it could not be read.

    Attributes:
        keys: of the whole: ``("signals", 0)``.
        handler: the handler it names, if it does.
        calls: the handlers that its steps call.
    """

    keys: Keys
    handler: str | None
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gaps:
    """The problems of a file so far, and what they leave unknown; nothing if there are none.

    Attributes:
        problems: by place.
        faulty: the paths that they are about.
        skipped: parts left out of the configuration because of them.
    """

    problems: tuple[Problem, ...] = ()
    faulty: frozenset[Keys] = frozenset()
    skipped: tuple[SkippedPart, ...] = ()

    @property
    def plugins(self) -> bool:
        """Whether the set of plugins is unknown."""
        return any(keys[0] == "plugins" and keys[1:2] != ("settings",) for keys in self._sections())

    @property
    def bindings(self) -> bool:
        """Whether it is unknown which handlers the file names or unbinds, in whole sections."""
        return any(keys[0] == "handlers" or (keys[0] in _PARTS and len(keys) == 1) for keys in self._sections())

    @property
    def endpoints(self) -> bool:
        """Whether there may be more or other endpoints than could be read."""
        return not all(self.faulty) or any(keys[0] == "endpoints" for keys in self._sections())

    def at(self, keys: Keys) -> bool:
        """Return whether a problem is about the value at `keys`, or about a part of it."""
        return any(each[: len(keys)] == keys for each in self.faulty)

    def _sections(self) -> Iterator[Keys]:
        """Yield the paths of problems, with the intended section in place of a misspelt one."""
        for keys in self.faulty:
            if keys:
                section = str(keys[0])
                yield (section if section in _SECTIONS else nearest(section, _SECTIONS) or section, *keys[1:])


NO_GAPS = Gaps()


def gaps_of(report: Report, root: Section, config: ServerConfig) -> Gaps:
    """Return what the problems of a file leave unknown.

    Args:
        report: its problems.
        root: the whole file.
        config: its valid parts.
    """
    if not report.problems:
        return NO_GAPS
    read = {part.keys for part in config.parts}
    return Gaps(
        report.problems,
        report.faulty,
        tuple(
            SkippedPart(section.keys, section.text("handler"), tuple(calls_in(section.data.get("do"))))
            for part in _PARTS
            for section in root.sections(part)
            if section.keys not in read
        ),
    )
