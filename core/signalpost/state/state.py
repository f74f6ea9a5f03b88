"""The state: one mapping that all handlers and all actions of a server share.

Its values are JSON, and nothing changes them in place: what is stored is copied, and what is read is an immutable list
or mapping (`signalpost.state.frozen`). So every change is noticed, is counted against the limit, and is written to the
file if there is one. A value that was read stays the same while others change the state. An app that works without a
file works with one.

`State.put` and `State.discard` copy a mapping only if other code has received it since the last copy: a thousand
changes in a row copy it once, and their time does not grow with its size.

Keys that start with ``_`` are the exception: they hold any object as it is, belong to the code that stored it, are
never written to a file, and are hidden from templates.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from threading import RLock
from typing import Any

from signalpost.config.model import StateConfig
from signalpost.errors import StateFileError, StateFullError
from signalpost.places import SourceMap
from signalpost.scalars import shorten
from signalpost.state.file import StateFile
from signalpost.state.frozen import FrozenDict, Owner, entry_weight, freeze, put_at, take_at, weight_added, weight_of
from signalpost.state.shares import Holder, Shares, value_at
from signalpost.state.writer import StateWriter
from signalpost.units import format_size

_DEFAULT = StateConfig()


class State(MutableMapping[str, Any]):
    """A mapping that changes one value at a time.

    Each method is atomic: no handler, action or thread runs between its read and its write. Reads are safe in the
    server's loop; a thread must read single keys.

    Args:
        entries: the initial ones.
        limit: see below.
        recorder: called for every change.
        fleeting: see below.
        share: how many bytes the messages of one client may store; 0 is no limit.

    Attributes:
        fleeting: keys whose new values are not recorded; ``names.ada`` is a key inside another one.
        limit: about how many bytes all values together may take as JSON. Present entries may exceed it; then
            nothing that adds to them is accepted.
        view: for templates: the current mapping, which they cannot change, without the keys that
            start with ``_``.
    """

    __slots__ = (
        "_inner",
        "_lock",
        "_objects",
        "_owners",
        "_recorder",
        "_shares",
        "_values",
        "_weight",
        "fleeting",
        "limit",
        "view",
    )

    def __init__(
        self,
        entries: Mapping[str, Any] | None = None,
        *,
        limit: int = _DEFAULT.limit,
        recorder: StateWriter | None = None,
        fleeting: frozenset[str] = frozenset(),
        share: int = 0,
    ) -> None:
        self._values: dict[str, Any] = {key: _frozen(key, value) for key, value in (entries or {}).items()}
        self._objects: dict[str, Any] = {}
        self._owners: dict[str, Owner] = {}
        self.limit = limit
        self.fleeting = fleeting
        self._inner = _inner(fleeting)
        self._recorder = recorder
        self._shares = Shares(share, limit)
        self._weight = sum(entry_weight(key, value) for key, value in self._values.items())
        self._lock = RLock()
        self.view: Mapping[str, Any] = StateView(self._values, self._given_away)

    @classmethod
    def open(cls, config: StateConfig, source: SourceMap) -> "State":
        """Create the state of a server, with the contents of its file; call `close` at the end.

        Raises:
            StateFileError: the file cannot be used; named with its place in routes.yaml.
        """
        if config.file is None:
            return cls(limit=config.limit, share=config.share_of_limit)
        try:
            file, entries = StateFile.open(config.file)
        except StateFileError as error:
            raise StateFileError(f"{source.place((*config.keys, 'file'))}: state.file: {error}") from None
        writer = StateWriter(file)
        for key in config.forget & entries.keys():
            del entries[key]
            writer.forget(key)
        for key, paths in _inner(config.forget).items():
            if key in entries and (lasting := _without(entries[key], paths)) is not entries[key]:
                entries[key] = lasting
                writer.note(key, lasting)
        state = cls(entries, limit=config.limit, recorder=writer, fleeting=config.forget, share=config.share_of_limit)
        writer.seal, writer.entries = state._seal, state._lasting
        return state

    def close(self) -> None:
        """Write the changes to the file, if there is one, and close it; waits for the disk."""
        if self._recorder is not None:
            self._recorder.close()

    @property
    def weight(self) -> int:
        """About how many bytes all values together take as JSON."""
        return self._weight

    def __getitem__(self, key: str) -> Any:
        try:
            return self._given_away(key)
        except KeyError:
            return self._objects[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set the value of a key.

        Raises:
            TypeError: `key` is not text, or `value` is not JSON.
            ValueError: `value` is not JSON, see `freeze`.
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
            self._owners.pop(key, None)
            self._shares.forget((key,))
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
        return f"State({dict(self)!r})"

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, after setting it to `default` if there is none."""
        with self._lock:
            if key not in self:
                self[key] = default
            return self[key]

    def change(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace a value by the result of a function, and return that.

        Args:
            key: of the value.
            function: plain and quick; called with the value, which it must not change in place.
            default: the argument of the function if there is no value.

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
        """Add to a number, and return the sum; a missing number is 0.

        Raises:
            TypeError: the value or the summand is not a number.
        """
        with self._lock:
            value = self.get(key, 0)
            for number in (value, by):
                if not isinstance(number, int | float) or isinstance(number, bool):
                    raise TypeError(f"state.increment({key!r}): only numbers are added, not {number!r}")
            self[key] = total = value + by
            return total

    def put(
        self, path: Sequence[str], value: Any, holder: Holder | None = None, tick: Callable[[], None] | None = None
    ) -> None:
        """Set a value in nested mappings; missing ones are created.

        ``put(("votes", "tea"), 3)`` turns an empty state into ``{"votes": {"tea": 3}}``.

        Args:
            path: keys; the last one is that of the value.
            value: any JSON.
            holder: whose message stores it, if it is charged to a client (`signalpost.state.shares`).
            tick: checks a clock while the value is copied, and raises when that takes too long.

        Raises:
            TypeError: a value on the path is not a mapping, `value` is not JSON, or `path` is not a sequence of
                texts.
            StateFullError: it does not fit, or is more than the holder's share.
        """
        key, *rest = _keys_of(path)
        if key.startswith("_"):
            with self._lock:
                self._put_object(key, rest, value)
            return
        frozen = _frozen(".".join(path), value, tick)
        with self._lock:
            added, made = weight_added(self._values, path, frozen)
            old = None
            if holder is not None:
                old = None if made else value_at(self._values, path)
                self._shares.check(holder, path, made, frozen, old)
            self._make_room(key, added)
            if rest:
                frozen_at, owner = self._values.get(key), self._owner(key)
                self._changed(key, put_at(frozen_at, rest, frozen, owner), added)
            else:
                self._owners.pop(key, None)
                self._changed(key, frozen, added)
            self._shares.note(holder, path, made, frozen, old)

    def _put_object(self, key: str, rest: Sequence[str], value: Any) -> None:
        """Set a value below a key that holds an object, if that is a mapping of ours."""
        if not rest:
            self[key] = value
            return
        frozen = _frozen(".".join((key, *rest)), value)
        weight_added(self._objects, (key, *rest), frozen)
        self[key] = put_at(self.get(key), rest, frozen, Owner())

    def discard(self, path: Sequence[str]) -> None:
        """Remove a value from nested mappings (or a key from the state itself), if it exists."""
        key, *rest = _keys_of(path)
        with self._lock:
            entries = self._objects if key in self._objects else self._values
            if not _leads_somewhere(entries, path):
                return
            if not rest:
                del self[key]
            elif entries is self._objects:
                self[key] = take_at(self[key], rest, Owner())
            else:
                before = weight_of(self._values[key])
                value = take_at(self._values[key], rest, self._owner(key))
                self._changed(key, value, weight_of(value) - before)
                self._shares.forget(path)

    def _seal(self, take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the entries that `take` returns, frozen from now on; no change happens in between.

        Fleeting keys in them are left out.
        """
        with self._lock:
            entries = take()
            for key in entries:
                self._owners.pop(key, None)
            for key, paths in self._inner.items():
                if key in entries:
                    entries[key] = _without(entries[key], paths)
            return entries

    def _lasting(self) -> dict[str, Any]:
        """Return all entries that are recorded."""
        with self._lock:
            return {key: value for key, value in self._values.items() if key not in self.fleeting}

    def _forget_these(self, fleeting: frozenset[str]) -> None:
        """Stop recording these keys, and record those that were left out so far.

        Recorded values of a key that is left out now are dropped when the file is next opened.
        """
        with self._lock:
            before, self.fleeting = self.fleeting, fleeting
            self._inner = _inner(fleeting)
            for word in before - fleeting:
                for key in {word, word.partition(".")[0]} & self._values.keys() - fleeting:
                    if self._recorder is not None:
                        self._recorder.note(key, self._values[key])

    def _store(self, key: str, value: Any) -> None:
        """Set a frozen value."""
        with self._lock:
            added = entry_weight(key, value)
            if key in self._values:
                added -= entry_weight(key, self._values[key])
            self._make_room(key, added)
            self._owners.pop(key, None)
            self._shares.forget((key,))
            self._changed(key, value, added)

    def _make_room(self, key: str, added: int) -> None:
        if added > 0 and self._weight + added > self.limit:
            raise StateFullError(
                f'state holds {format_size(self.limit)} at most, and the new value of "{shorten(key)}" would make it '
                f"{format_size(self._weight + added)}; take something out, or raise it: state: {{limit: …}}"
            )

    def _changed(self, key: str, value: Any, added: int) -> None:
        self._values[key] = value
        self._weight += added
        if self._recorder is not None and key not in self.fleeting:
            self._recorder.note(key, value)

    def _owner(self, key: str) -> Owner:
        """Return who may change the mappings below a key in place: a new owner if other code has received them."""
        owner = self._owners.get(key)
        if owner is None:
            owner = self._owners[key] = Owner()
        return owner

    def _given_away(self, key: str) -> Any:
        """Return the value of a key for code that may keep it."""
        value = self._values[key]
        if key not in self._owners:
            return value
        with self._lock:
            self._owners.pop(key, None)
            return self._values[key]


class StateView(Mapping[str, Any]):
    """A read-only view of a state for templates: always its current mapping.

    Created by `State`.
    """

    __slots__ = ("_entries", "_give_away")

    def __init__(self, entries: Mapping[str, Any], give_away: Callable[[str], Any]) -> None:
        self._entries = entries
        self._give_away = give_away

    def __getitem__(self, key: str) -> Any:
        return self._give_away(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"StateView({dict(self)!r})"


def writer_of(state: State) -> StateWriter | None:
    """Return what writes the file of a state; None without one."""
    return state._recorder  # noqa: SLF001 - no attribute: handlers have the state, too


def configure(state: State, config: StateConfig) -> None:
    """Apply another configuration to a state from now on; its file stays."""
    state.limit = state._shares.limit = config.limit  # noqa: SLF001 - no method: handlers have the state, too
    state._forget_these(config.forget)  # noqa: SLF001
    state._shares.share = config.share_of_limit  # noqa: SLF001


def picked(view: StateView, picks: Sequence[tuple[Callable[[Any, Any], Any], Any]]) -> Any:
    """Return what is looked up in a view and in its values.

    ``state.votes.tea`` does not expose `votes`, so the next change need not copy it.

    Args:
        view: where the lookup starts.
        picks: the lookup functions with their keys, in order.
    """
    value: Any = view._entries  # noqa: SLF001 - this function belongs to the view, but a method would hide a key
    for pick, key in picks:
        value = pick(value, key)
    if type(value) is FrozenDict:
        key = picks[0][1]
        view._give_away(key if key in view._entries else str(key))  # noqa: SLF001 - a number was found by its text
    return value


def _frozen(key: str, value: Any, tick: Callable[[], None] | None = None) -> Any:
    """Freeze a value; an error names the key, and the alternative for code that needs an object."""
    try:
        return freeze(value) if tick is None else freeze(value, tick)
    except TypeError as error:
        raise TypeError(
            f'state["{shorten(key)}"]: {error}; an object is kept under a key that starts with "_"'
        ) from None
    except ValueError as error:
        raise ValueError(f'state["{shorten(key)}"]: {error}') from None


def _inner(words: frozenset[str]) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return the paths among words, by their first key."""
    found: dict[str, list[Sequence[str]]] = {}
    for word in sorted(words):
        key, *rest = word.split(".")
        if rest:
            found.setdefault(key, []).append(rest)
    return found


def _without(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    """Return a frozen value without the values at these paths; the value itself if there are none."""
    for path in paths:
        if isinstance(value, FrozenDict) and _leads_somewhere(value, path):
            value = take_at(value, path, Owner())
    return value


def _keys_of(path: Sequence[str]) -> Sequence[str]:
    """Check a path: a text would count as the list of its letters."""
    if isinstance(path, str) or not path or not all(isinstance(key, str) for key in path):
        raise TypeError(f'a path into state is a list of keys, as in ("votes", "tea"), not {path!r}')
    return path


def _leads_somewhere(entries: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Return whether a value exists at the end of a path."""
    for name in path[:-1]:
        child = entries.get(name)
        if not isinstance(child, FrozenDict):
            return False
        entries = child
    return path[-1] in entries
