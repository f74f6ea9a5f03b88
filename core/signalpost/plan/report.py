"""Problems, each at its place in routes.yaml or in a plugin's file, and notes, found while a plan is built."""

import linecache
from collections.abc import Sequence
from pathlib import Path

from signalpost.config.model import ServerConfig
from signalpost.errors import ConfigError, PluginError, Problem
from signalpost.handlers import Handler
from signalpost.places import Keys, Part
from signalpost.plugins.registry import Registry


class PlanReport:
    """Collects problems and notes.

    Args:
        config: from routes.yaml.
        earlier: its known problems.

    Attributes:
        notes: in the order they were found.
        plugin_notes: those of them that are about plugins.
    """

    def __init__(self, config: ServerConfig, earlier: Sequence[Problem] = ()) -> None:
        self.notes = list(config.notes)
        self.plugin_notes: list[str] = []
        self._config = config
        self._problems = list(earlier)
        # A faulty value gets no second problem: the second check relies on what the first one rejected.
        self._judged = {problem.keys for problem in earlier if problem.keys}

    def problem(self, keys: Keys, text: str, *, of_key: bool = False, part: Part | None = None) -> None:
        """Report a problem in routes.yaml, unless an earlier one is about the same value."""
        problem = self._config.source.problem(keys, self._shown(text), of_key=of_key, part=part)
        if problem.keys not in self._judged:
            self._problems.append(problem)

    def fault(self, handler: Handler, text: str) -> None:
        """Report a problem in a plugin, at its handler."""
        self._plugin(PluginError(handler.plugin, handler.where, text))

    def note(self, text: str) -> None:
        """Report what is valid but may not be intended."""
        self.notes.append(self._shown(text))

    def note_plugin(self, text: str) -> None:
        """Report what may not be intended about a plugin as a whole."""
        self.note(text)
        self.plugin_notes.append(self.notes[-1])

    def of_registry(self, registry: Registry) -> None:
        """Report the problems and notes from loading the plugins."""
        for error in registry.errors:
            self._plugin(error)
        for note in registry.notes:
            self.note_plugin(note)

    def raise_problems(self) -> None:
        """Raise if there are problems.

        Raises:
            ConfigError: with those in routes.yaml first, each file's by place.
        """
        if self._problems:
            raise ConfigError(sorted(dict.fromkeys(self._problems), key=self._order), self._config.files)

    def _order(self, problem: Problem) -> tuple[bool, str, int, int]:
        return problem.file != self._config.file, problem.file, problem.line, problem.column

    def _plugin(self, error: PluginError) -> None:
        file, _, line = error.where.rpartition(":")
        text = f"plugin {error.plugin}: {self._shown(error.text)}"
        if not line.isdecimal():
            self._problems.append(Problem(self._shown(error.where), 0, 0, "", text))
            return
        linecache.checkcache(file)  # the file may have been fixed and broken again since the last check
        source = linecache.getline(file, int(line)).rstrip()
        column = len(source) - len(source.lstrip()) + 1
        width = max(len(source.strip()), 1)
        self._problems.append(Problem(self._shown(file), int(line), column, "", text, source, width))

    def _shown(self, text: str) -> str:
        """Return words with files of the app named as routes.yaml was by the user, and with secrets hidden."""
        shown = text.replace(f"{self._config.folder}/", f"{Path(self._config.file).parent}/".removeprefix("./"))
        return self._config.source.masked(shown)
