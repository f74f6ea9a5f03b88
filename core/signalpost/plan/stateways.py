"""The state as a way of messages: what one list of actions stores there, another one may broadcast."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from signalpost.config.actions import all_steps, has_template, split_key
from signalpost.config.model import StepConfig

Keys = frozenset[str]
"""First parts of keys of the state; `ANY` among them is one that no file knows."""

ANY = "*"

_BRACES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.|])(?<!\|\s)[A-Za-z_]\w*")  # no attribute, and no filter
_OWN = frozenset({"state", "now", "constants", "settings"} | {"if", "else", "and", "or", "not", "in", "is"}) | {
    "true",
    "false",
    "none",
    "defined",
}
_STATE = re.compile(r"""\bstate\b(?:\s*\.\s*([A-Za-z_]\w*)|\s*\[\s*(?:'([^'.]+)'|"([^".]+)")\s*\])?""")


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts of a value, the keys of mappings, too: all of them are rendered."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, part in value.items():
                yield from texts_of(key)
                yield from texts_of(part)
        case list():
            for part in value:
                yield from texts_of(part)


def is_rendered(value: Any) -> bool:
    """Return whether a value has a template anywhere."""
    return any(map(has_template, texts_of(value)))


def _templates(value: Any) -> Iterator[str]:
    """Yield what stands in braces, anywhere in a value."""
    for text in texts_of(value):
        yield from _BRACES.findall(text)


def asks(value: Any) -> bool:
    """Return whether templates of a value read the state."""
    return any("state" in _names(braces) for braces in _templates(value))


def _is_of_an_event(value: Any) -> bool:
    """Return whether templates ask for anything but the state and what is the app's own; rather too often than not."""
    return any(not _OWN.issuperset(_names(braces)) for braces in _templates(value))


def _names(braces: str) -> list[str]:
    """Return the names in an expression: no attributes, no filters."""
    return _NAME.findall(_LITERAL.sub("''", braces[2:-2]))


def stored(steps: tuple[StepConfig, ...]) -> Keys:
    """Return under which keys a list may store something of its event."""
    return frozenset(key for key, value in _writes(steps) if _is_of_an_event(value))


def _writes(steps: tuple[StepConfig, ...]) -> Iterator[tuple[str, Any]]:
    """Yield what a list stores: the first part of its key, and all that is rendered for it."""
    for step in all_steps(steps):
        if not isinstance(step.options, dict):
            continue
        entries: Iterable[tuple[Any, Any]] = ()
        if step.name == "set":
            entries = step.options.items()
        elif step.name == "append":
            entries = [(step.options.get("to"), step.options.get("value"))]
        for key, value in entries:
            first = split_key(str(key))[0]
            yield ANY if has_template(first) else first, [str(key), value]


def read(steps: tuple[StepConfig, ...]) -> Keys:
    """Return which keys the templates of a list may read."""
    return frozenset(
        next(filter(None, found.groups()), ANY)
        for step in all_steps(steps)
        for braces in _templates(step.options)
        for found in _STATE.finditer(braces)
    )


def meet(some: Keys, others: Keys) -> bool:
    """Return whether two sets of keys may have one in common."""
    return bool(some & others) or (bool(some) and bool(others) and ANY in some | others)


def reached(begin: Keys, lists: Iterable[tuple[StepConfig, ...]]) -> Keys:
    """Return under which keys something may stand in the end that was stored under the first ones."""
    copies = [(read(steps), frozenset(key for key, value in _writes(steps) if is_rendered(value))) for steps in lists]
    found, before = begin, None
    while found != before:
        before = found
        for reads, writes in copies:
            if meet(found, reads):
                found |= writes
    return found
