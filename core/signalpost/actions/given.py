"""Checks of step options after rendering, with words for the author of the step."""

from collections.abc import Mapping, Sequence
from typing import Any

from signalpost.words import given

_LONGEST_WHOLE = 9  # digits


class OptionError(ValueError):
    """The value of a template is invalid; the text is the complete message for the author of the step."""


def items_of(value: Any) -> Sequence[Any]:
    """Return the items of a list; of a mapping, its keys.

    Raises:
        OptionError: it is something else.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return list(value)
    raise OptionError(f"must be a list, not {described(value)}")


def text_of(name: str, value: Any) -> str:
    """Return an option that must be text; a number is converted to text.

    Raises:
        OptionError: it is something else, or empty.
    """
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise OptionError(f"{name} must be text, not {described(value)}")


def whole_of(name: str, value: Any) -> int:
    """Return an option that must be a whole number; a text may contain one.

    Raises:
        OptionError: it is something else.
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_WHOLE:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    raise OptionError(f"{name} must be a whole number, not {described(value)}")


def described(value: Any) -> str:
    """Return the name of a template's value for a message."""
    return "null" if value is None else given(value)
