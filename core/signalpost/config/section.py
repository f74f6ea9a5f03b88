"""A mapping of routes.yaml, read key by key.

The routes schema has checked types and names before, so missing values and wrong types are reported already: here they
count as not given, and everything else can still be checked.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from signalpost.existence import is_file, is_folder, meant, reason
from signalpost.places import Keys
from signalpost.words import quoted
from signalpost.yaml.report import Report

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@cache
def _plain_fields(config: type) -> tuple[tuple[str, type], ...]:
    hints = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(config).items()}
    kinds = {name: set(hint) - {type(None)} for name, hint in hints.items()}
    return tuple((name, kind) for name, (kind, *more) in kinds.items() if not more and kind in (str, int, bool))


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with its place.

    Attributes:
        keys: the path to it.
        data: as in the file.
    """

    keys: Keys
    data: Mapping[str, Any]
    report: Report

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def problem(self, name: str | None, text: str, *, of_key: bool = False) -> None:
        """Report a problem about the value of a key (or about the key), or about the whole mapping."""
        keys = self.keys if name is None else (*self.keys, name)
        self.report.add(keys, text, of_key=of_key)

    def place(self, *names: str) -> str:
        """Return the place of a value: ``routes.yaml:14``."""
        return self.report.source.place((*self.keys, *names))

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        value = self.data.get(name)
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> tuple[tuple[Keys, str], ...]:
        """Return one text, or each of a list, with the path to it."""
        value = self.data.get(name)
        keys = (*self.keys, name)
        if isinstance(value, str):
            return ((keys, value),) if value else ()
        items = value if isinstance(value, list) else ()
        return tuple(((*keys, index), item) for index, item in enumerate(items) if isinstance(item, str) and item)

    def words(self, name: str) -> tuple[str, ...]:
        """Return one text, or each of a list."""
        return tuple(text for _, text in self.texts(name))

    def whole(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.data.get(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def flag(self, name: str) -> bool:
        """Return whether a switch is on."""
        return self.data.get(name) is True

    def choice(self, name: str, choices: type[E], default: E) -> E:
        """Return one of the words of an enum."""
        value = self.data.get(name)
        return choices(value) if isinstance(value, str) and value in set(choices) else default

    def plain(self, config: type) -> dict[str, Any]:
        """Return arguments for a dataclass as in the file: the fields that are text, a whole number or a switch."""
        found: dict[str, Any] = {}
        for name, kind in _plain_fields(config):
            value = self.data.get(name)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if type(value) is kind and value != "":
                found[name] = value
        return found

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a mapping as it is; empty if it is not given."""
        value = self.data.get(name)
        return value if isinstance(value, dict) else {}

    def parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Return a text as `parse` reads it; its ValueError becomes a problem."""
        text = self.text(name)
        return None if text is None else self._parse(name, text, parse)

    def quantity(self, name: str, parse: Callable[[str | float], T]) -> T | None:
        """Return a duration or size as `parse` reads it; its ValueError becomes a problem."""
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return self._parse(name, value, parse)

    def section(self, name: str) -> "Section | None":
        """Return the mapping of a key."""
        value = self.data.get(name)
        return Section((*self.keys, name), value, self.report) if isinstance(value, dict) else None

    def sections(self, name: str) -> "Iterator[Section]":
        """Yield each mapping of a list."""
        value = self.data.get(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, dict):
                yield Section((*self.keys, name, index), item, self.report)

    def _parse(self, name: str, value: Any, parse: Callable[[Any], T]) -> T | None:
        try:
            return parse(value)
        except ValueError as error:
            self.problem(name, str(error))
            return None


def check_names(sections: Iterable[Section], what: str) -> None:
    """Report each name that an earlier one has, too."""
    places: dict[str, str] = {}
    for section in sections:
        name = section.text("name")
        if name in places:
            section.problem("name", f"the name {quoted(name)} is taken by the {what} at {places[name]}")
        elif name is not None:
            places[name] = section.place("name")


def find_file(section: Section, name: str, folder: Path) -> Path | None:
    """Return the absolute path of the file that a key names; None, and a problem, if it cannot be read."""
    return _find(section, name, folder, "file")


def find_folder(section: Section, name: str, folder: Path) -> Path | None:
    """Return the absolute path of the folder that a key names; None, and a problem, if it cannot be read."""
    return _find(section, name, folder, "folder")


def _find(section: Section, name: str, folder: Path, kind: str) -> Path | None:
    text = section.text(name)
    if text is None:
        return None
    path = Path(os.path.normpath(folder / text))
    if kind == "file" and "\0" not in text and not is_folder(path):
        section.report.files[path] = None
    fault = _fault(quoted(text), path, folder, kind)
    if fault:
        section.problem(name, fault)
        return None
    return path


def _fault(text: str, path: Path, folder: Path, kind: str) -> str:
    """Return what is wrong with a path: it does not exist, is of the wrong kind, or is not readable."""
    is_kind, other, is_other = (is_file, "folder", is_folder) if kind == "file" else (is_folder, "file", is_file)
    if "\0" in str(path):
        return "a file's name has no null characters"
    if is_other(path):
        return f"{text} is a {other}; a {kind} is meant here"
    try:
        path.stat()
    except FileNotFoundError:
        slashes = "; folders are parted by /, not by a backslash" if "\\" in text else ""
        return f"no {kind} {text} in the folder of routes.yaml ({path}){meant(path, folder)}{slashes}"
    except OSError as error:
        return f"the {kind} {text} cannot be read: {reason(error)}"
    if not is_kind(path):
        return f"{text} is not a {kind}"
    needed = os.R_OK if kind == "file" else os.R_OK | os.X_OK
    return "" if os.access(path, needed) else f"the {kind} {text} may not be read by this user"
