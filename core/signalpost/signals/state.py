"""The state: one mapping that all handlers and all actions of a server share.

Its values are JSON, and nothing changes them in place: what is put in is copied, what is read is a list or a mapping
that refuses to be changed (`signalpost.signals.frozen`). So every change is noticed, is counted against the limit, and
is written to the file if there is one; whoever reads has a value that stays as it is while others go on; and an app
that works without a file works with one.

Keys that start with ``_`` are the exception: they hold any object as it is, belong to the code that put it there, are
never written to a file, and are not shown to templates.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from threading import RLock
from types import MappingProxyType
from typing import Any, Protocol

from signalpost.config.model import SourceMap, StateConfig
from signalpost.config.units import format_size
from signalpost.errors import StateFileError, StateFullError
from signalpost.signals.frozen import FrozenDict, entry_weight, freeze, with_entry, without_entry
from signalpost.signals.statefile import StateFile
from signalpost.signals.statewriter import StateWriter

_DEFAULT = StateConfig()


class Recorder(Protocol):
    """Where a state notes what has changed; `signalpost.signals.statewriter` has the one that keeps it in a file."""

    def note(self, key: str, value: Any) -> None:
        """Note that a key has a new value; never waits."""

    def forget(self, key: str) -> None:
        """Note that a key is gone; never waits."""

    def close(self) -> None:
        """Take no more, and see that what was noted is kept."""


class State(MutableMapping[str, Any]):
    """A mapping that is changed a value at a time.

    Each method is atomic: no handler, no action and no thread comes between its reading and its writing. Reading needs
    no care on the server's loop; a thread reads single keys.

    Args:
        entries: what it holds at first.
        limit: see below.
        recorder: is told of every change.
        fleeting: see below.

    Attributes:
        fleeting: keys of whose new values the recorder is not told.
        limit: about how many bytes all values together may take as JSON. What is in it already may be more; then
            nothing that adds to it is taken.
        view: what templates see: the mapping as it is at any time, which they cannot change, without the keys that
            start with ``_``.

    """

    __slots__ = ("_lock", "_objects", "_recorder", "_values", "_weight", "fleeting", "limit", "view")

    def __init__(
        self,
        entries: Mapping[str, Any] | None = None,
        *,
        limit: int = _DEFAULT.limit,
        recorder: Recorder | None = None,
        fleeting: frozenset[str] = frozenset(),
    ) -> None:
        self._values: dict[str, Any] = {key: _frozen(key, value) for key, value in (entries or {}).items()}
        self._objects: dict[str, Any] = {}
        self.limit = limit
        self.fleeting = fleeting
        self._recorder = recorder
        self._weight = sum(entry_weight(key, value) for key, value in self._values.items())
        self._lock = RLock()
        self.view: Mapping[str, Any] = MappingProxyType(self._values)

    @classmethod
    def open(cls, config: StateConfig, source: SourceMap) -> "State":
        """Make the state of a server, with what its file has kept; whoever is done with it calls `close`.

        Raises:
            StateFileError: the file cannot be used; named with its place in routes.yaml.

        """
        if config.file is None:
            return cls(limit=config.limit)
        try:
            file, entries = StateFile.open(config.file)
        except StateFileError as error:
            raise StateFileError(f"{source.place((*config.keys, 'file'))}: state.file: {error}") from None
        writer = StateWriter(file)
        for key in config.forget & entries.keys():
            del entries[key]
            writer.forget(key)
        return cls(entries, limit=config.limit, recorder=writer, fleeting=config.forget)

    def close(self) -> None:
        """Write what has changed to the file, if there is one, and give it free; waits for the disk."""
        if self._recorder is not None:
            self._recorder.close()

    @property
    def weight(self) -> int:
        """About how many bytes all values together take as JSON."""
        return self._weight

    def __getitem__(self, key: str) -> Any:
        try:
            return self._values[key]
        except KeyError:
            return self._objects[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Put a value in place of what stands there.

        Raises:
            TypeError: `key` is not text, or `value` is not JSON.
            ValueError: likewise, see `freeze`.
            StateFullError: it does not fit.

        """
        if not isinstance(key, str):
            raise TypeError(f"a key of state is text, not {key!r}")
        if key.startswith("_"):
            self._objects[key] = value
        else:
            self._store(key, _frozen(key, value))

    def __delitem__(self, key: str) -> None:
        if key in self._objects:
            del self._objects[key]
            return
        with self._lock:
            self._weight -= entry_weight(key, self._values.pop(key))
            if self._recorder is not None:
                self._recorder.forget(key)

    def __iter__(self) -> Iterator[str]:
        yield from self._values
        yield from self._objects

    def __len__(self) -> int:
        return len(self._values) + len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._objects

    def __repr__(self) -> str:
        return f"State({self._values | self._objects!r})"

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return what stands at `key`, and put `default` there first if nothing does."""
        with self._lock:
            if key not in self:
                self[key] = default
            return self[key]

    def change(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Put in place of a value what a function makes of it, and return that.

        Args:
            key: of the value.
            function: plain, quick, and given the value, which it must not change in place.
            default: what the function is given if nothing stands there.

        Raises:
            TypeError: the function is ``async``, or what it returns is not JSON.
            StateFullError: the new value does not fit.

        """
        with self._lock:
            value = function(self.get(key, default))
            if inspect.iscoroutine(value):
                value.close()
                raise TypeError(f"state.change({key!r}, …) takes a plain def; others would come between an async one")
            self[key] = value
            return self[key]

    def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number, and return the sum; a number that is not there yet is 0.

        Raises:
            TypeError: something else than a number stands there, or is to be added.

        """
        with self._lock:
            value = self.get(key, 0)
            for number in (value, by):
                if not isinstance(number, int | float) or isinstance(number, bool):
                    raise TypeError(f"state.increment({key!r}): only numbers are added, not {number!r}")
            self[key] = total = value + by
            return total

    def put(self, path: Sequence[str], value: Any) -> None:
        """Put a value into mappings inside mappings; those that are not there are made.

        ``put(("votes", "tea"), 3)`` makes ``{"votes": {"tea": 3}}`` of an empty state.

        Raises:
            TypeError: something else than a mapping stands on the way, `value` is not JSON, or `path` is not text by
                text.
            StateFullError: it does not fit.

        """
        key, *rest = _keys_of(path)
        if not rest:
            self[key] = value
            return
        frozen = _frozen(".".join(path), value)
        with self._lock:
            self[key] = _put(self.get(key), rest, frozen, key)

    def discard(self, path: Sequence[str]) -> None:
        """Take a value out of mappings inside mappings (or a key out of the state itself), if it is there."""
        key, *rest = _keys_of(path)
        with self._lock:
            if key not in self:
                return
            if not rest:
                del self[key]
            elif (value := _discard(self[key], rest)) is not self[key]:
                self[key] = value

    def _store(self, key: str, value: Any) -> None:
        """Put a frozen value in its place."""
        with self._lock:
            added = entry_weight(key, value)
            if key in self._values:
                added -= entry_weight(key, self._values[key])
            if added > 0 and self._weight + added > self.limit:
                raise StateFullError(
                    f'state holds {format_size(self.limit)} at most, and the new value of "{key}" would make it '
                    f"{format_size(self._weight + added)}; take something out, or raise it: state: {{limit: …}}"
                )
            self._values[key] = value
            self._weight += added
            if self._recorder is not None and key not in self.fleeting:
                self._recorder.note(key, value)


def _frozen(key: str, value: Any) -> Any:
    """Freeze a value; what is wrong with it names the key, and the way out for code that needs an object."""
    try:
        return freeze(value)
    except TypeError as error:
        raise TypeError(f'state["{key}"]: {error}; an object is kept under a key that starts with "_"') from None
    except ValueError as error:
        raise ValueError(f'state["{key}"]: {error}') from None


def _keys_of(path: Sequence[str]) -> Sequence[str]:
    """Check a path: a text would count as the list of its letters."""
    if isinstance(path, str) or not path or not all(isinstance(key, str) for key in path):
        raise TypeError(f'a path into state is a list of keys, as in ("votes", "tea"), not {path!r}')
    return path


def _put(mapping: Any, path: Sequence[str], value: Any, way: str) -> FrozenDict:
    if mapping is None:
        mapping = freeze({})
    if not isinstance(mapping, FrozenDict):
        raise TypeError(f'state["{way}"] is no mapping, so nothing can be put at "{path[0]}" in it')
    name, *rest = path
    return with_entry(mapping, name, _put(mapping.get(name), rest, value, f"{way}.{name}") if rest else value)


def _discard(mapping: Any, path: Sequence[str]) -> Any:
    """Give a mapping without what stands at the end of a path; the very same one if nothing does."""
    name, *rest = path
    if not isinstance(mapping, FrozenDict) or name not in mapping:
        return mapping
    if not rest:
        return without_entry(mapping, name)
    child = _discard(mapping[name], rest)
    return mapping if child is mapping[name] else with_entry(mapping, name, child)
